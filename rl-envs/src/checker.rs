//! Checks environments and describes their problems.

use rl_core::{ActionMask, Env, Rng, Seeds, Space, Step};

/// Tests an environment with `episodes` episodes of random actions, of at most a thousand steps each.
///
/// The checks: observations are inside their space; rewards are finite; a reset works after the end and in the middle
/// of an episode; the same seed gives the same trajectory; the state, where there is one, can be saved and restored; every element of an
/// observation is written, whatever the buffer held before. Each kind of problem is returned once.
///
/// ```
/// let problems = rl_envs::check_env(rl_envs::CartPole::default, 5);
/// assert!(problems.is_empty(), "{problems:?}");
/// ```
pub fn check_env<E: Env>(make: impl Fn() -> E, episodes: usize) -> Vec<String> {
    check(make, episodes, |env, rng, action| {
        env.action_space().sample(rng, action);
        None
    })
}

/// Like `check_env`, for an environment with action masks: forbidden actions are not taken, and the masks are checked
/// too.
///
/// ```
/// use rl_core::{ActionMask, BoxSpace, Discrete, Env, Result, Rng, Step};
/// /// Either action is allowed only where it has not been taken.
/// struct Once(u32);
/// impl Env for Once {
///     type Obs = BoxSpace;
///     type Action = Discrete;
///     type State = u32;
///     fn observation_space(&self) -> BoxSpace { BoxSpace::unbounded(1).expect("one number") }
///     fn action_space(&self) -> Discrete { Discrete::new(2).expect("two actions") }
///     fn reset(&mut self, _: &mut Rng, obs: &mut [f32]) -> Result<()> {
///         self.0 = 3;
///         obs[0] = 3.0;
///         Ok(())
///     }
///     fn step(&mut self, action: usize, _: &mut Rng, obs: &mut [f32]) -> Result<Step> {
///         rl_core::check::at_least("action", 1, u64::from(self.0 >> action & 1))?;
///         self.0 &= !(1 << action);
///         obs[0] = self.0 as f32;
///         Ok(Step::terminated_if(self.0 == 0, 1.0))
///     }
///     fn state(&self) -> Option<u32> { Some(self.0) }
///     fn set_state(&mut self, state: u32) -> Result<()> { self.0 = state; Ok(()) }
/// }
/// impl ActionMask for Once {
///     fn action_mask(&self, mask: &mut [f32]) {
///         mask.iter_mut().enumerate().for_each(|(i, m)| *m = (self.0 >> i & 1) as f32);
///     }
/// }
/// assert!(!rl_envs::check_env(|| Once(0), 5).is_empty());
/// let problems = rl_envs::check_masked_env(|| Once(0), 5);
/// assert!(problems.is_empty(), "{problems:?}");
/// ```
pub fn check_masked_env<E: ActionMask>(make: impl Fn() -> E, episodes: usize) -> Vec<String> {
    check(make, episodes, |env, rng, action| {
        let mut mask = vec![f32::NAN; env.action_space().n()];
        env.action_mask(&mut mask);
        if let Some(x) = mask.iter().find(|x| **x != 0.0 && **x != 1.0) {
            return Some(format!("action mask: expected 0 or 1 for each action, got {x}"));
        }
        let allowed: Vec<u32> =
            (0u32..).zip(&mask).filter(|(_, x)| **x == 1.0).map(|(a, _)| a).collect();
        if allowed.is_empty() {
            return Some("action mask: allows nothing, though the episode goes on".to_owned());
        }
        action[0] = allowed[rng.below(allowed.len())];
        None
    })
}

/// Samples an action, or describes why this is not possible.
type Choose<E> = fn(&E, &mut Rng, &mut [<<E as Env>::Action as Space>::Elem]) -> Option<String>;

fn check<E: Env>(make: impl Fn() -> E, episodes: usize, choose: Choose<E>) -> Vec<String> {
    let mut checker = Checker { problems: Vec::new(), spoil: spoil(0), choose };
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

/// The random generator for the contents of observation buffers before an environment writes to them.
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

struct Checker<E: Env> {
    problems: Vec<String>,
    spoil: Rng,
    choose: Choose<E>,
}

/// An exact record of one step: the observation and the bits of the reward.
type Shown = (String, u32, bool);

impl<E: Env> Checker<E> {
    fn say(&mut self, problem: String) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Fills a buffer with random contents to detect an environment that writes only the elements that changed: in
    /// the training loop the buffer need not be the one that it wrote last.
    fn spoil(&mut self, space: &E::Obs, obs: &mut [<E::Obs as Space>::Elem]) {
        space.sample(&mut self.spoil, obs);
    }

    fn reset(&mut self, env: &mut E, rng: &mut Rng, obs: &mut [<E::Obs as Space>::Elem]) {
        self.spoil(&env.observation_space(), obs);
        if let Err(e) = env.reset(rng, obs) {
            self.say(format!("reset failed: {e}"));
        } else if let Err(e) = env.observation_space().check("reset: observation", obs) {
            self.say(e.to_string());
        }
    }

    fn step(
        &mut self,
        env: &mut E,
        rng: &mut Rng,
        actions: &mut Rng,
        obs: &mut [<E::Obs as Space>::Elem],
    ) -> Option<Step> {
        let mut action = vec![<E::Action as Space>::Elem::default(); env.action_space().width()];
        if let Some(problem) = (self.choose)(env, actions, &mut action) {
            self.say(problem);
            return None;
        }
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

    fn play(&mut self, env: &mut E, seed: u64, episodes: usize) -> Vec<Shown> {
        let mut rng = Seeds::new(seed).stream("env", 0);
        let mut actions = Seeds::new(seed).stream("actions", 0);
        let mut obs = vec![<E::Obs as Space>::Elem::default(); env.observation_space().width()];
        let mut shown = Vec::new();
        for episode in 0..episodes {
            self.reset(env, &mut rng, &mut obs);
            shown.push((format!("{obs:?}"), 0, false));
            // Every third episode is reset in the middle, to test such resets too.
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

    fn restore(&mut self, make: &impl Fn() -> E) {
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
        // An environment that cannot be saved says so; that is no problem of it.
        let Some(state) = env.state() else { return };
        let fresh = make().state().map(|state| make().set_state(state));
        if let Some(Err(e)) = fresh {
            self.say(format!("a state saved before a reset could not be restored: {e}"));
        }
        let saved = rl_core::codec::encode(&state)
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
