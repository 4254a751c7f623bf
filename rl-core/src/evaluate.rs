//! Measuring a policy.

use crate::{Policy, Result, Space, VecEnv, check};

/// The returns of whole episodes under a policy that does not explore.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Undiscounted returns, one an episode.
    pub returns: Vec<f64>,
    /// Lengths in steps, one an episode.
    pub lengths: Vec<u64>,
}

impl Evaluation {
    /// The mean return.
    pub fn mean(&self) -> f64 {
        self.returns.iter().sum::<f64>() / self.returns.len() as f64
    }

    /// The returns' standard deviation over episodes (of these episodes, not an estimate for all).
    pub fn std(&self) -> f64 {
        let mean = self.mean();
        let squares = self.returns.iter().map(|r| (r - mean).powi(2)).sum::<f64>();
        (squares / self.returns.len() as f64).sqrt()
    }
}

/// Runs `policy` greedily for `episodes` whole episodes, from a fresh reset of `envs`.
///
/// The episodes are shared out evenly among the environments beforehand: counting whichever
/// finishes first would favour short ones. Episodes must end whatever the policy does: give an
/// environment without a limit one by [`TimeLimit`](crate::TimeLimit).
///
/// Normalisers around `envs` learn nothing meanwhile, see [`VecEnv::set_evaluating`]; those that have seen nothing are
/// an error. `envs` are left reset.
///
/// ```
/// use rl_core::{Seeds, SerialVecEnv, evaluate};
/// # use rl_core::doc_env::{Sign, RightAnswer};
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
    check::at_least("episodes", 1, episodes as u64)?;
    envs.set_evaluating(true);
    let result = run(policy, envs, episodes);
    envs.set_evaluating(false);
    result
}

fn run<P, V>(policy: &mut P, envs: &mut V, episodes: usize) -> Result<Evaluation>
where
    P: Policy + ?Sized,
    V: VecEnv<Obs = P::Obs, Action = P::Action> + ?Sized,
{
    let n = envs.num_envs();
    let mut remaining: Vec<usize> = (0..n).map(|i| (episodes + i) / n).collect();
    let mut left: usize = remaining.iter().sum();
    let width = envs.action_space().width();
    let mut actions = vec![<P::Action as Space>::Elem::default(); n * width];
    let mut result = Evaluation { returns: Vec::new(), lengths: Vec::new() };
    envs.reset()?;
    while left > 0 {
        policy.act_greedily(envs.batch().observations(), &mut actions)?;
        envs.step(&actions)?;
        for episode in envs.batch().episodes() {
            if let Some(share @ 1..) = remaining.get_mut(episode.env) {
                *share -= 1;
                left -= 1;
                result.returns.push(episode.episode_return);
                result.lengths.push(episode.length);
            }
        }
    }
    // Whoever trains in these environments is told that an episode was cut.
    envs.reset()?;
    Ok(result)
}
