//! The presets of all families, and what the command line adds to the settings of a run.

use crate::Result;
use rl_core::run::{Preset, RunConfig};

/// Every preset.
pub(crate) fn presets() -> impl Iterator<Item = &'static Preset> {
    let families = [rl_dqn::PRESETS, rl_pg::PRESETS, rl_ppo::PRESETS, rl_ddpg::PRESETS];
    families.into_iter().flat_map(|presets| presets.iter())
}

/// The preset of an algorithm in an environment, if there is one. Gymnasium's own `gym:CartPole-v1` has that of
/// `CartPole-v1`.
pub(crate) fn find(algorithm: &str, env: &str) -> Result<Option<RunConfig>> {
    let id = env.strip_prefix("gym:").unwrap_or(env);
    let fits = |preset: &&Preset| preset.algorithm() == algorithm && preset.fits(id);
    let Some(preset) = presets().find(fits) else { return Ok(None) };
    Ok(Some(RunConfig { env: env.to_owned(), ..preset.config(id)? }))
}

/// The preset, or the algorithm's defaults for 100,000 steps.
pub(crate) fn find_or_defaults(algorithm: &str, env: &str) -> Result<RunConfig> {
    let defaults = || RunConfig::new(algorithm, env, 100_000);
    Ok(find(algorithm, env)?.unwrap_or_else(defaults))
}

/// The environments of this build that a preset is for.
pub(crate) fn envs(preset: &Preset) -> Vec<&'static str> {
    let ids = rl_envs::registry().iter().map(|spec| &*spec.id);
    ids.filter(|id| preset.fits(id)).collect()
}

/// How environments of other processes are reached.
pub(crate) fn options(config: &RunConfig) -> rl_envs::Options {
    fn masks(table: &toml::Table) -> bool {
        let on = |value: &toml::Value| value.as_bool() == Some(true);
        table.get("action_mask").is_some_and(on)
            || table.values().filter_map(toml::Value::as_table).any(masks)
    }
    rl_envs::Options { python: config.python.clone(), action_mask: masks(&config.agent) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rl_core::{Agent, Seeds};

    #[test]
    fn every_preset_builds() {
        for preset in presets() {
            let name = format!("{}/{}", preset.algorithm(), preset.name());
            assert!(preset.text().starts_with('#'), "{name} cites its source");
            assert!(preset.text().contains("\n[reference"), "{name} names a published return");
            for env in envs(preset) {
                let config = find(preset.algorithm(), env).unwrap().unwrap();
                assert_eq!((&*config.algorithm, &*config.env), (preset.algorithm(), env));
                // Published returns are of the games' own rules.
                assert!(!(env.ends_with("-gymnax") && config.reference.is_some()), "{env}");
                let built = crate::algorithm::build(&config, Seeds::new(0)).unwrap();
                let name = crate::algorithm::with_pair!(built, |pair| pair.agent.name());
                // Rainbow is DQN with settings.
                let expected = config.algorithm.replace("rainbow", "dqn");
                assert_eq!(name, expected);
            }
        }
    }

    #[test]
    fn the_readme_says_of_every_preset_where_its_settings_come_from() {
        let readme = include_str!("../../README.md");
        let section = readme.split("### Where the settings come from").nth(1).unwrap();
        let section = section.split("###").next().unwrap();
        let names: Vec<String> =
            presets().map(|p| format!("`{}/{}`", p.algorithm(), p.name())).collect();
        for name in &names {
            assert_eq!(section.matches(name).count(), 1, "{name}");
        }
        assert_eq!(section.matches('/').count(), names.len(), "a preset that is not there");
    }

    /// Also of environments that this build does not have.
    #[test]
    fn every_preset_is_read_in_each_environment_that_it_names() {
        let names = ["HalfCheetah-v5", "gym:LunarLander-v3", "MinAtar/Freeway-v1"];
        let found =
            |env: &str| presets().filter(|p| p.fits(env.trim_start_matches("gym:"))).count();
        assert_eq!(names.map(found), [4, 2, 4]);
        for (algorithm, env, value) in [
            ("ppo", "HalfCheetah-v5", Some(5784.0)),
            ("ppo", "Swimmer-v5", Some(281.6)),
            ("ppo", "gym:ALE/Pong-v5", Some(21.0)),
            ("dqn", "gym:ALE/Freeway-v5", None),
            ("sac", "gym:Hopper-v5", Some(3542.0)),
            ("dqn", "MinAtar/Freeway-v1", Some(48.0)),
            ("dqn", "MinAtar/Freeway-gymnax", None),
        ] {
            let config = find(algorithm, env).unwrap().unwrap();
            assert_eq!(config.env, env);
            assert_eq!(config.reference.map(|reference| reference.value), value, "{env}");
        }
        assert_eq!(find("dqn", "HalfCheetah-v5").unwrap(), None);
    }
}
