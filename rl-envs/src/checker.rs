//! Says in words what is wrong with an environment.

use rl_core::{Env, Rng, Seeds, Space, Step};

/// Tries an environment out: `episodes` episodes of random actions, at most a thousand steps each.
///
/// Checked are: observations inside their space, finite rewards, a reset that works after an end
/// and in the middle of an episode, the same trajectory from the same seed, a state that can be
/// saved and restored, and observations written whole, whatever the row held before. Returns every kind of problem
/// once.
///
/// ```
/// let problems = rl_envs::check_env(rl_envs::CartPole::default, 5);
/// assert!(problems.is_empty(), "{problems:?}");
/// ```
pub fn check_env<E: Env>(make: impl Fn() -> E, episodes: usize) -> Vec<String> {
    let mut checker = Checker { problems: Vec::new(), spoil: spoil(0) };
    let first = checker.play(&mut make(), 0, episodes);
    checker.spoil = spoil(0);
    let second = checker.play(&mut make(), 0, episodes);
    checker.spoil = spoil(1);
    let spoilt_otherwise = checker.play(&mut make(), 0, episodes);
    if let Some(at) = first_difference(&first, &second) {
        checker.say(format!(
            "the same seed gave two trajectories, which differ {at}: does the environment draw \
             random numbers from elsewhere than the generator it is given?"
        ));
    } else if let Some(at) = first_difference(&first, &spoilt_otherwise) {
        checker.say(format!(
            "observations depend on what the row held before, {at}: does the environment write only what has \
             changed? Every call gets another row, so it has to write every element"
        ));
    }
    checker.play(&mut make(), 1, episodes);
    checker.restore(&make);
    checker.problems
}

/// The generator of what rows hold before an environment writes them.
fn spoil(seed: u64) -> Rng {
    Seeds::new(seed).stream("spoil", 0)
}

fn first_difference(a: &[Shown], b: &[Shown]) -> Option<String> {
    match a.iter().zip(b).position(|(a, b)| a != b) {
        Some(i) => Some(format!("from step {i} on")),
        None if a.len() != b.len() => Some("in length".to_owned()),
        None => None,
    }
}

struct Checker {
    problems: Vec<String>,
    spoil: Rng,
}

/// What one step showed, exactly: the observation's and the reward's printed bits.
type Shown = (String, u32, bool);

impl Checker {
    fn say(&mut self, problem: String) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Fills a row with an observation of no meaning, so that an environment that writes only what has changed is
    /// noticed: in a training loop the row that it gets is not the one that it wrote last.
    fn spoil<O: Space>(&mut self, space: &O, obs: &mut [O::Elem]) {
        space.sample(&mut self.spoil, obs);
    }

    fn reset<E: Env>(&mut self, env: &mut E, rng: &mut Rng, obs: &mut [<E::Obs as Space>::Elem]) {
        self.spoil(&env.observation_space(), obs);
        if let Err(e) = env.reset(rng, obs) {
            self.say(format!("reset failed: {e}"));
        } else if let Err(e) = env.observation_space().check("reset: observation", obs) {
            self.say(e.to_string());
        }
    }

    fn step<E: Env>(
        &mut self,
        env: &mut E,
        rng: &mut Rng,
        actions: &mut Rng,
        obs: &mut [<E::Obs as Space>::Elem],
    ) -> Option<Step> {
        let space = env.action_space();
        let mut action = vec![<E::Action as Space>::Elem::default(); space.width()];
        space.sample(actions, &mut action);
        self.spoil(&env.observation_space(), obs);
        let step = match env.step(E::Action::value(&action), rng, obs) {
            Ok(step) => step,
            Err(e) => {
                self.say(format!("step failed on an action inside its space, {action:?}: {e}"));
                return None;
            }
        };
        if let Err(e) = env.observation_space().check("step: observation", obs) {
            self.say(e.to_string());
        }
        if !step.reward.is_finite() {
            self.say(format!("step: expected a finite reward, got {}", step.reward));
        }
        Some(step)
    }

    fn play<E: Env>(&mut self, env: &mut E, seed: u64, episodes: usize) -> Vec<Shown> {
        let mut rng = Seeds::new(seed).stream("env", 0);
        let mut actions = Seeds::new(seed).stream("actions", 0);
        let mut obs = vec![<E::Obs as Space>::Elem::default(); env.observation_space().width()];
        let mut shown = Vec::new();
        for episode in 0..episodes {
            self.reset(env, &mut rng, &mut obs);
            shown.push((format!("{obs:?}"), 0, false));
            // Every third episode is left in the middle, so that such a reset is tried too.
            let steps = if episode % 3 == 2 { 3 } else { 1_000 };
            for _ in 0..steps {
                let Some(step) = self.step(env, &mut rng, &mut actions, &mut obs) else {
                    return shown;
                };
                shown.push((format!("{obs:?}"), step.reward.to_bits(), step.end.is_some()));
                if step.end.is_some() {
                    break;
                }
            }
        }
        shown
    }

    fn restore<E: Env>(&mut self, make: &impl Fn() -> E) {
        let (mut env, mut copy) = (make(), make());
        let mut rng = Seeds::new(2).stream("env", 0);
        let mut actions = Seeds::new(2).stream("actions", 0);
        let mut obs = vec![<E::Obs as Space>::Elem::default(); env.observation_space().width()];
        self.reset(&mut env, &mut rng, &mut obs);
        for _ in 0..3 {
            match self.step(&mut env, &mut rng, &mut actions, &mut obs) {
                Some(step) if step.end.is_some() => self.reset(&mut env, &mut rng, &mut obs),
                Some(_) => {}
                None => return,
            }
        }
        let saved = rl_core::codec::encode(&env.state())
            .and_then(|bytes| rl_core::codec::decode("state", &bytes))
            .and_then(|state| copy.set_state(state));
        if let Err(e) = saved {
            self.say(format!("a saved state could not be restored: {e}"));
            return;
        }
        let (mut rng_copy, mut actions_copy, mut obs_copy) =
            (rng.clone(), actions.clone(), obs.clone());
        for _ in 0..50 {
            let spoil = self.spoil.clone();
            let a = self.step(&mut env, &mut rng, &mut actions, &mut obs);
            self.spoil = spoil;
            let b = self.step(&mut copy, &mut rng_copy, &mut actions_copy, &mut obs_copy);
            if a != b || format!("{obs:?}") != format!("{obs_copy:?}") {
                self.say("a restored state does not go on as the saved one did".to_owned());
                return;
            }
            if a.is_none_or(|step| step.end.is_some()) {
                return;
            }
        }
    }
}
