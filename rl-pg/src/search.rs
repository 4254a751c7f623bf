use rl_core::{
    Agent, BoxSpace, Error, Metrics, Policy, Progress, Result, Rng, Sections, Seeds, Space,
    Transitions, VecEnv, check,
};
use rl_nets::{
    Backend, Body, Chain, Distribution, Init, Linear, Module, Network, NetworkConfig,
    PolicyDescription, PolicyOutput, PolicySpace, with_head,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The common settings of all searches.
pub trait SearchConfig: Clone {
    /// Checks all fields.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] that names the field and the accepted values.
    fn validate(&self) -> Result<()>;

    /// The policy, and the number of episodes per evaluation of a candidate.
    fn common(&self) -> (&NetworkConfig, usize);
}

/// The rule by which a gradient-free search generates candidates.
pub trait SearchRule: Sized {
    /// The algorithm's name, stored in checkpoints to identify the algorithm.
    const NAME: &'static str;

    /// The settings.
    type Config: SearchConfig;

    /// State that changes during the search.
    type State: Serialize + DeserializeOwned;

    /// A rule with these settings, which have been validated, that starts from the given parameters.
    ///
    /// # Errors
    /// Those of an optimiser's settings.
    fn new(config: &Self::Config, params: Vec<f32>) -> Result<Self>;

    /// Writes the next candidates, `[candidates, params]`.
    fn propose(&mut self, rng: &mut Rng, candidates: &mut Vec<f32>);

    /// Updates the search with the score of each candidate, `[candidates, params]`: its mean episode return.
    ///
    /// # Errors
    /// Scores that are not finite.
    fn update(
        &mut self,
        candidates: &[f32],
        scores: &[f64],
        rng: &mut Rng,
        progress: Progress,
        metrics: &mut Metrics,
    ) -> Result<()>;

    /// The parameters of the current policy, `[params]`.
    fn best(&self) -> &[f32];

    /// Goes on from another policy, `[params]`, of which nothing is known yet.
    ///
    /// # Errors
    /// Those of an optimiser's settings.
    fn set_best(&mut self, params: &[f32]) -> Result<()>;

    /// The current state.
    ///
    /// # Errors
    /// If it cannot be encoded.
    fn state(&self) -> Result<Self::State>;

    /// Restores `state`, which has the same number of parameters.
    ///
    /// # Errors
    /// An invalid state. The rule is then unchanged.
    fn set_state(&mut self, state: Self::State) -> Result<()>;
}

/// Gradient-free policy search, for discrete and continuous actions: each candidate is scored by complete episodes,
/// and a [`SearchRule`] generates the next candidates from the scores. The policy is deterministic: the discrete
/// action with the largest output, or the outputs clipped to the bounds as a continuous action.
///
/// With several environments, the episodes of a generation are distributed over them. A candidate's episode that was cut
/// by a reset from outside is played once more, since scores compare whole episodes; a time limit
/// ([`TimeLimit`](rl_core::TimeLimit)) ends an episode, a reset does not.
///
/// ```
/// use rl_core::{Seeds, SerialVecEnv, TimeLimit, Trainer, TrainerConfig};
/// use rl_pg::{HillClimbing, HillClimbingConfig};
/// let env = TimeLimit::new(rl_envs::CartPole::default(), 500)?;
/// let envs = SerialVecEnv::new(vec![env], Seeds::new(0))?;
/// let backend = rl_nets::Backend::cpu();
/// let agent = HillClimbing::new(&HillClimbingConfig::default(), &envs, &backend, Seeds::new(0))?;
/// Trainer::new(envs, agent, TrainerConfig::new(500))?.run()?;
/// # Ok::<(), rl_core::Error>(())
/// ```
pub struct PolicySearch<D: Distribution, R> {
    /// The policy network, with the parameters of the candidate that acts.
    module: Chain,
    /// The search rule, which holds the current policy.
    policy: Network,
    distribution: D,
    action_space: D::Action,
    rule: R,
    /// Episodes per candidate.
    episodes: usize,
    rng: Rng,
    generation: Generation,
    /// Scratch buffer: the mean return of each candidate.
    scores: Vec<f64>,
}

/// The generation being scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Generation {
    /// `[candidates, params]`.
    candidates: Vec<f32>,
    /// The return of each finished episode, `[candidates, episodes]`.
    returns: Vec<Option<f64>>,
    /// The first episode that has not been started.
    next: usize,
    lanes: Vec<Lane>,
}

/// The state of an environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Lane {
    /// The episode of the generation that it runs; none if all have been started.
    episode: Option<usize>,
    /// Whether it is at the beginning of an episode.
    fresh: bool,
    earned: f64,
}

impl Generation {
    /// Whether each episode that has begun is done, or played in one of the environments, and no other is.
    fn is_consistent(&self) -> bool {
        let playing = |i: usize| self.lanes.iter().any(|lane| lane.episode == Some(i));
        let fits = |(i, earned): (usize, &Option<f64>)| {
            if i < self.next { earned.is_some() != playing(i) } else { earned.is_none() }
        };
        let begun = self.lanes.iter().filter_map(|lane| lane.episode).all(|i| i < self.next);
        begun && self.next <= self.returns.len() && self.returns.iter().enumerate().all(fits)
    }

    fn check_finite(&self) -> Result<()> {
        let params = self.candidates.iter().map(|p| f64::from(*p));
        let earned = self.returns.iter().flatten().copied();
        let earned = earned.chain(self.lanes.iter().map(|lane| lane.earned));
        params
            .chain(earned)
            .try_for_each(|x| check::finite("search.bin: a parameter or a return", x))
    }
}

impl<D: Distribution, R> std::fmt::Debug for PolicySearch<D, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicySearch")
            .field("policy", &self.policy)
            .field("episodes", &self.episodes)
            .finish_non_exhaustive()
    }
}

impl<D: Distribution, R: SearchRule> PolicySearch<D, R> {
    /// An agent for `envs`. It computes on the CPU, on the calling thread.
    ///
    /// # Errors
    /// Those of the settings; a backend of another kind, which would have no effect.
    pub fn new<V>(config: &R::Config, envs: &V, backend: &Backend, seeds: Seeds) -> Result<Self>
    where
        V: VecEnv<Obs = BoxSpace>,
        V::Action: PolicySpace<Distribution = D>,
        D: Distribution<Action = V::Action>,
    {
        config.validate()?;
        backend.require_plain(R::NAME)?;
        let (network, episodes) = config.common();
        Self::with_rule(network, episodes, envs, seeds, |params| R::new(config, params))
    }

    /// A search over the parameters of a custom body with a head, with a rule created from their initial values. Each
    /// candidate is scored by `episodes` episodes. The body must have a fused pass.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] for a zero; errors of the body and of the rule.
    pub fn with_rule<V>(
        body: &dyn Body,
        episodes: usize,
        envs: &V,
        seeds: Seeds,
        rule: impl FnOnce(Vec<f32>) -> Result<R>,
    ) -> Result<Self>
    where
        V: VecEnv<Obs = BoxSpace>,
        V::Action: PolicySpace<Distribution = D>,
        D: Distribution<Action = V::Action>,
    {
        check::at_least("episodes", 1, episodes as u64)?;
        let action_space = envs.action_space().clone();
        let distribution = action_space.distribution();
        let outputs = distribution.params_len() - distribution.log_stds();
        let shape = envs.observation_space().shape();
        let module = with_head(body, shape, |features| {
            let init = body.output_init().unwrap_or(Init::Pytorch);
            Ok(Linear::new(features, outputs)?.with_init(init))
        })?;
        let module = module.named("policy");
        if !module.is_fused() {
            let error = rl_nets::Error::Unsupported("a search, which acts by a fused pass,");
            return Err(error.into());
        }
        let policy = Network::new(module.clone(), &Backend::cpu(), &mut seeds.stream("init", 0))?;
        let mut rule = rule(policy.params()?)?;
        let (mut rng, mut candidates) = (seeds.stream("agent", 0), Vec::new());
        rule.propose(&mut rng, &mut candidates);
        let scores = (candidates.len() / policy.num_params()).checked_mul(episodes);
        let bytes = scores.and_then(|scores| scores.checked_mul(size_of::<Option<f64>>()));
        check::memory("episodes", episodes, bytes)?;
        let lane = Lane { episode: None, fresh: true, earned: 0.0 };
        let generation = Generation {
            returns: vec![None; candidates.len() / policy.num_params() * episodes],
            candidates,
            next: 0,
            lanes: vec![lane; envs.num_envs()],
        };
        Ok(PolicySearch {
            module,
            policy,
            distribution,
            action_space,
            rule,
            episodes,
            rng,
            generation,
            scores: Vec::new(),
        })
    }

    /// The rule.
    pub fn rule(&self) -> &R {
        &self.rule
    }

    /// Starts the next generation.
    fn propose(&mut self) {
        let PolicySearch { generation, rule, rng, policy, episodes, .. } = self;
        rule.propose(rng, &mut generation.candidates);
        let count = generation.candidates.len() / policy.num_params();
        generation.returns.clear();
        generation.returns.resize(count * *episodes, None);
        generation.next = 0;
    }
}

/// The mode of what is NaN is no action.
fn check_finite(output: &[f32]) -> Result<()> {
    let bad = output.iter().find(|x| !x.is_finite());
    bad.map_or(Ok(()), |bad| Ok(rl_nets::check_finite("an output of the policy", (*bad).into())?))
}

/// Builds the agent of these settings for any action space.
macro_rules! builds {
    ($config:ty, $agent:ident) => {
        impl<A: rl_nets::PolicySpace> rl_nets::AgentConfig<rl_core::BoxSpace, A> for $config {
            type Agent = $agent<A::Distribution>;

            fn build<V: rl_core::VecEnv<Obs = rl_core::BoxSpace, Action = A>>(
                &self,
                envs: &V,
                backend: &rl_nets::Backend,
                seeds: rl_core::Seeds,
            ) -> rl_core::Result<Self::Agent> {
                $agent::new(self, envs, backend, seeds)
            }
        }
    };
}
pub(crate) use builds;

impl<D: Distribution, R: SearchRule> Policy for PolicySearch<D, R> {
    type Obs = BoxSpace;
    type Action = D::Action;

    fn act_greedily(&mut self, observations: &[f32], actions: &mut [D::Elem]) -> Result<()> {
        let (outputs, width) = (self.module.output_len(), self.action_space.width());
        let output = self.policy.predict(observations)?;
        check::len("actions", output.len() / outputs * width, actions.len())?;
        for (row, action) in output.chunks_exact(outputs).zip(actions.chunks_exact_mut(width)) {
            check_finite(row)?;
            self.distribution.mode(row, action);
            self.action_space.clip(action);
        }
        Ok(())
    }

    fn describe(&self) -> Result<Option<String>> {
        // The network has means alone.
        let output = self.distribution.describe(&self.action_space).map(|output| match output {
            PolicyOutput::Gaussian { bounds } => PolicyOutput::Mean { bounds },
            output => output,
        });
        PolicyDescription::text_of::<f32>(&self.policy, output, None)
    }
}

impl<D: Distribution, R: SearchRule> Agent for PolicySearch<D, R> {
    fn name(&self) -> &'static str {
        R::NAME
    }

    fn act(&mut self, observations: &[f32], _: Progress, actions: &mut [D::Elem]) -> Result<()> {
        let PolicySearch { module, distribution, action_space, generation, rule, .. } = self;
        let Generation { candidates, returns, next, lanes } = generation;
        let (inputs, width) = (module.input_len(), action_space.width());
        check::len("observations", lanes.len() * inputs, observations.len())?;
        check::len("actions", lanes.len() * width, actions.len())?;
        let rows = observations.chunks_exact(inputs).zip(actions.chunks_exact_mut(width));
        for (lane, (observation, action)) in lanes.iter_mut().zip(rows) {
            if lane.fresh && *next < returns.len() {
                lane.episode = Some(*next);
                *next += 1;
            }
            lane.fresh = false;
            let params = match lane.episode {
                Some(episode) => {
                    let n = module.layout().len();
                    &candidates[episode / self.episodes * n..][..n]
                }
                None => rule.best(),
            };
            module.forward(params, observation)?;
            check_finite(module.output())?;
            distribution.mode(module.output(), action);
            action_space.clip(action);
        }
        Ok(())
    }

    fn observe(&mut self, transitions: &Transitions<'_, f32, D::Elem>) -> Result<()> {
        let Generation { returns, lanes, .. } = &mut self.generation;
        transitions.check(lanes.len())?;
        let steps = transitions.rewards().iter().zip(transitions.ends());
        for ((lane, (reward, end)), reset) in lanes.iter_mut().zip(steps).zip(transitions.resets())
        {
            if *reset {
                // An episode that a reset from outside has cut is run again.
                lane.earned = 0.0;
            }
            lane.earned += f64::from(*reward);
            if end.is_some() {
                if let Some(episode) = lane.episode.take() {
                    returns[episode] = Some(lane.earned);
                }
                (lane.fresh, lane.earned) = (true, 0.0);
            }
        }
        Ok(())
    }

    fn update(&mut self, progress: Progress, metrics: &mut Metrics) -> Result<()> {
        let PolicySearch { generation, scores, rule, rng, policy, episodes, .. } = self;
        if generation.returns.iter().any(Option::is_none) {
            return Ok(());
        }
        scores.clear();
        for played in generation.returns.chunks_exact(*episodes) {
            scores.push(played.iter().flatten().sum::<f64>() / *episodes as f64);
        }
        rule.update(&generation.candidates, scores, rng, progress, metrics)?;
        policy.set_params(rule.best())?;
        metrics.record("score", scores.iter().sum::<f64>() / scores.len() as f64);
        self.propose();
        Ok(())
    }

    fn save_policy(&self, out: &mut Sections) -> Result<()> {
        out.put_file("policy.safetensors", self.policy.save()?);
        Ok(())
    }

    /// The search continues from there: the candidates being scored are discarded.
    fn load_policy(&mut self, from: &Sections) -> Result<()> {
        self.policy.load(from.file("policy.safetensors")?)?;
        self.rule.set_best(&self.policy.params()?)?;
        self.propose();
        let open = self.generation.lanes.iter_mut();
        open.for_each(|lane| lane.episode = None);
        Ok(())
    }

    fn save(&self, out: &mut Sections) -> Result<()> {
        self.save_policy(out)?;
        out.put("rule", &self.rule.state()?)?;
        out.put("search", &(&self.rng, &self.generation))
    }

    fn load(&mut self, from: &Sections) -> Result<()> {
        // Fallible steps come first, so that an error leaves the agent unchanged.
        let mut policy = self.policy.twin()?;
        policy.load(from.file("policy.safetensors")?)?;
        let (rng, generation): (Rng, Generation) = from.get("search")?;
        check::len("environments", self.generation.lanes.len(), generation.lanes.len())?;
        let (params, numbers) = (policy.num_params(), generation.candidates.len());
        check::len("candidates", numbers.div_ceil(params) * params, numbers)?;
        let episodes = numbers / params * self.episodes;
        check::len("returns", episodes, generation.returns.len())?;
        check::at_least("search.bin: candidates", 1, (numbers / params) as u64)?;
        generation.check_finite()?;
        if !generation.is_consistent() {
            let problem = "episodes that are neither played, nor done, nor to come";
            return Err(Error::corrupt("search.bin", problem));
        }
        self.rule.set_state(from.get("rule")?)?;
        (self.policy, self.rng, self.generation) = (policy, rng, generation);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A saved generation in which an episode is lost, played twice over, or out of place is refused.
    #[test]
    fn each_episode_is_done_or_played_or_to_come() {
        let (done, open) = (Some(1.0), None);
        for (returns, next, lanes, expected) in [
            (vec![open, open], 0, vec![None], true),
            (vec![done, open], 2, vec![Some(1)], true),
            (vec![open, done, open], 2, vec![None, Some(0)], true),
            (vec![done, done], 2, vec![None], true),
            (vec![open, open], 1, vec![None], false), // lost
            (vec![done, open], 1, vec![Some(0)], false), // done and played
            (vec![open, done], 1, vec![Some(0)], false), // done, but to come
            (vec![open, open], 1, vec![Some(0), Some(1)], false), // played, but to come
            (vec![done, done], 3, vec![None], false), // more begun than there are
            (vec![done, done], 3, vec![Some(2)], false), // one played that there is not
        ] {
            let lane = |episode| Lane { episode, fresh: false, earned: 0.0 };
            let lanes = lanes.into_iter().map(lane).collect();
            let generation = Generation { candidates: Vec::new(), returns, next, lanes };
            assert_eq!(generation.is_consistent(), expected, "{generation:?}");
        }
    }
}
