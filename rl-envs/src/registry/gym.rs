//! Environments of Gymnasium by name, `gym:ID`.

use super::table::PIXEL_LIMIT;
use super::{AnyVecEnv, Copies, DiscreteVecEnv, Kind, Made, Maker, Options, Spec};
use crate::gymnasium::{Connection, GymAction, GymConfig, GymEnv, GymObs, GymVecEnv, SpaceSpec};
use rl_core::{AtariConfig, BoxSpace, Discrete, Error, Result};
use std::borrow::Cow;
use std::sync::Arc;

/// The namespace of Atari games.
const ATARI: &str = "ALE/";

/// How an environment of Gymnasium is made.
#[derive(Clone, Debug)]
pub(super) struct GymMaker {
    config: Arc<GymConfig>,
    /// How an Atari game is preprocessed, where it is one that shows pictures: as published, in training and evaluation. Other
    /// settings take a [`GymEnv`] and [`AtariConfig::wrap`].
    atari: Option<AtariConfig>,
}

/// Starts the environment once to learn its kind.
pub(super) fn find(name: &str, id: &str, options: &Options) -> Result<Spec> {
    let mut config = GymConfig::parse(id)?;
    config.action_mask = options.action_mask;
    if let Some(python) = &options.python {
        config.python.clone_from(python);
    }
    let mut atari = None;
    if config.id.starts_with(ATARI)
        && !["obs_type", "continuous"].iter().any(|k| config.kwargs.contains_key(*k))
    {
        // A game that skips frames by itself is not made to skip them once more.
        let skip = match config.kwargs.contains_key("frameskip") {
            true => 1,
            false => AtariConfig::default().frame_skip,
        };
        config.kwargs.entry("frameskip").or_insert(1.into());
        atari = Some(AtariConfig { frame_skip: skip, ..AtariConfig::default() });
    }
    let hello = Connection::open(&config, 1, 1, true)?.hello;
    if let Some(atari) = &mut atari {
        // As in Stable-Baselines3: where the game has FIRE, it is action 1.
        let meanings = hello.meanings.as_deref().unwrap_or_default();
        atari.fire_on_reset = meanings.len() >= 3 && meanings[1] == "FIRE";
    }
    let kind = match (&hello.observation, &hello.action) {
        (SpaceSpec::Box { .. }, SpaceSpec::Discrete { .. }) => Kind::Discrete,
        (SpaceSpec::Box { .. }, SpaceSpec::Box { .. }) => Kind::Continuous,
        (SpaceSpec::Discrete { .. }, SpaceSpec::Discrete { .. }) => Kind::Tabular,
        (SpaceSpec::Bytes { .. }, SpaceSpec::Discrete { .. }) => Kind::Pixels,
        (SpaceSpec::Bytes { .. }, SpaceSpec::Box { .. }) => Kind::PixelsContinuous,
        (observation, action) => {
            let got = format!("{observation:?} and {action:?}");
            return Err(Error::mismatch(name, "observations and actions of a known kind", got));
        }
    };
    Ok(Spec {
        id: Cow::Owned(name.to_owned()),
        kind,
        max_episode_steps: hello.max_episode_steps,
        maker: Maker::Gym(GymMaker { config: Arc::new(config), atari }),
    })
}

impl GymMaker {
    pub(super) fn make(&self, kind: Kind, copies: Copies) -> Result<AnyVecEnv> {
        if let Some(atari) = &self.atari {
            return self.make_atari(atari, copies);
        }
        let config = self.limited(copies);
        Ok(match kind {
            Kind::Discrete => AnyVecEnv::Discrete(workers(&config, copies)?),
            Kind::Continuous => AnyVecEnv::Continuous(workers(&config, copies)?),
            Kind::Tabular => AnyVecEnv::Tabular(workers(&config, copies)?),
            Kind::Pixels => AnyVecEnv::Pixels(workers(&config, copies)?),
            Kind::PixelsContinuous => AnyVecEnv::PixelsContinuous(workers(&config, copies)?),
        })
    }

    /// With numbered states shown one-hot.
    pub(super) fn make_one_hot(&self, copies: Copies) -> Result<DiscreteVecEnv> {
        let config = GymConfig { one_hot: true, ..self.limited(copies) };
        workers(&config, copies)
    }

    /// The emulator cuts games by itself, after half an hour.
    fn make_atari(&self, atari: &AtariConfig, copies: Copies) -> Result<AnyVecEnv> {
        let games = GymEnv::<BoxSpace<u8>, Discrete>::several(&self.config, copies.envs)?;
        let games = games.into_iter().map(|game| atari.wrap(game)).collect::<Result<Vec<_>>>()?;
        Ok(AnyVecEnv::Pixels(Box::new(atari.clip(copies.stepped(games)?))))
    }

    fn limited(&self, copies: Copies) -> GymConfig {
        let config = GymConfig::clone(&self.config);
        GymConfig { limit: copies.limited.then_some(PIXEL_LIMIT), ..config }
    }
}

/// On a worker for each thread.
fn workers<O: GymObs, A: GymAction>(config: &GymConfig, copies: Copies) -> Result<Made<O, A>> {
    Ok(Box::new(GymVecEnv::new(config, copies.envs, copies.threads, copies.seeds)?))
}
