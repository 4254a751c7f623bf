//! Evaluation of a policy.

use crate::{Error, Policy, Result, Space, VecEnv, check};

/// The returns of complete episodes under a greedy policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Undiscounted returns, one per episode.
    pub returns: Vec<f64>,
    /// Lengths in steps, one per episode.
    pub lengths: Vec<u64>,
    /// Steps with numbers that were NaN or infinite; without [`VecEnv::set_bad_numbers`] they are errors.
    pub bad_steps: u64,
}

impl Evaluation {
    /// The mean return.
    pub fn mean(&self) -> f64 {
        self.returns.iter().sum::<f64>() / self.returns.len() as f64
    }

    /// The standard deviation of the returns over these episodes (not the unbiased estimate).
    pub fn std(&self) -> f64 {
        let mean = self.mean();
        let squares = self.returns.iter().map(|r| (r - mean).powi(2)).sum::<f64>();
        (squares / self.returns.len() as f64).sqrt()
    }
}

/// Runs `policy` greedily for `episodes` complete episodes, from a fresh reset of `envs`.
///
/// Each environment runs a fixed share of the episodes: counting whichever finish first would favour short ones.
/// Episodes must end under any policy; give an environment without a step limit one with
/// [`TimeLimit`](crate::TimeLimit).
///
/// Normalising wrappers around `envs` are not updated, see [`VecEnv::set_evaluating`]; a normaliser without any data
/// is an error. `envs` are reset at the end.
///
/// ```
/// use rl_core::toy::{RightAnswer, Sign};
/// use rl_core::{Seeds, SerialVecEnv, evaluate};
/// let mut envs = SerialVecEnv::new(vec![Sign::with_length(10)], Seeds::new(0))?;
/// let evaluation = evaluate(&mut RightAnswer, &mut envs, 3)?;
/// assert_eq!((evaluation.mean(), evaluation.std()), (10.0, 0.0));
/// # Ok::<(), rl_core::Error>(())
/// ```
///
/// # Errors
/// Those of the policy and the environments; zero episodes.
pub fn evaluate<P, V>(policy: &mut P, envs: &mut V, episodes: usize) -> Result<Evaluation>
where
    P: Policy + ?Sized,
    V: VecEnv<Obs = P::Obs, Action = P::Action> + ?Sized,
{
    evaluate_watched(policy, envs, episodes, |_| {})
}

/// Like [`evaluate`], and shows `watch` what there is after each step that has ended an episode.
///
/// # Errors
/// Those of [`evaluate`].
pub fn evaluate_watched<P, V>(
    policy: &mut P,
    envs: &mut V,
    episodes: usize,
    watch: impl FnMut(&Evaluation),
) -> Result<Evaluation>
where
    P: Policy + ?Sized,
    V: VecEnv<Obs = P::Obs, Action = P::Action> + ?Sized,
{
    check::at_least("episodes", 1, episodes as u64)?;
    envs.set_evaluating(true);
    let result = run(policy, envs, episodes, watch);
    // Whoever trains in these environments is told that an episode was cut, after an error too.
    let reset = envs.reset();
    envs.set_evaluating(false);
    // Its steps are not the run's.
    let evaluation = result.map_err(|error| match error {
        Error::NotFinite { what, env, step, got } => {
            Error::NotFinite { what: format!("in an evaluation, {what}"), env, step, got }
        }
        error => error,
    })?;
    reset?;
    Ok(evaluation)
}

fn run<P, V>(
    policy: &mut P,
    envs: &mut V,
    episodes: usize,
    mut watch: impl FnMut(&Evaluation),
) -> Result<Evaluation>
where
    P: Policy + ?Sized,
    V: VecEnv<Obs = P::Obs, Action = P::Action> + ?Sized,
{
    let n = envs.num_envs();
    let mut remaining: Vec<usize> = (0..n).map(|i| (episodes + i) / n).collect();
    let mut left: usize = remaining.iter().sum();
    let width = envs.action_space().width();
    let mut actions = vec![<P::Action as Space>::Elem::default(); n * width];
    let mut result = Evaluation { returns: Vec::new(), lengths: Vec::new(), bad_steps: 0 };
    let mut step = 0;
    envs.reset()?;
    envs.check_finite(step)?;
    result.bad_steps += envs.batch().bad_steps();
    while left > 0 {
        policy.act_greedily(envs.batch().observations(), &mut actions)?;
        check::finite_rows("action", &actions, width, step)?;
        envs.step(&actions)?;
        envs.check_finite(step)?;
        result.bad_steps += envs.batch().bad_steps();
        step += n as u64;
        let before = left;
        for episode in envs.batch().episodes() {
            if let Some(share @ 1..) = remaining.get_mut(episode.env) {
                *share -= 1;
                left -= 1;
                result.returns.push(episode.episode_return);
                result.lengths.push(episode.length);
            }
        }
        if left < before {
            watch(&result);
        }
    }
    Ok(result)
}
