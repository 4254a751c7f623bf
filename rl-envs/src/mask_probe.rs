use rl_core::{ActionMask, BoxSpace, Discrete, Env, Error, Result, Rng, Step};

/// A probe of action masking: two of four actions are allowed. The one with the larger index gives reward 1, the
/// other 0; a forbidden action is an error. Episodes have one step, after which no action is allowed.
///
/// ```
/// use rl_core::{AppendMask, Env, Seeds};
/// use rl_envs::MaskProbe;
/// let mut env = AppendMask::new(MaskProbe::default())?;
/// let (mut rng, mut obs) = (Seeds::new(0).stream("env", 0), [0.0; 5]);
/// env.reset(&mut rng, &mut obs)?;
/// assert_eq!(obs[1..].iter().sum::<f32>(), 2.0);
/// let forbidden = obs[1..].iter().position(|x| *x == 0.0).unwrap_or(0);
/// assert!(env.step(forbidden, &mut rng, &mut obs).is_err());
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct MaskProbe {
    open: [bool; 4],
    nothing: bool,
}

impl MaskProbe {
    /// A variant that allows no action, which is an error.
    pub fn closed() -> Self {
        MaskProbe { nothing: true, ..MaskProbe::default() }
    }
}

impl Env for MaskProbe {
    type Obs = BoxSpace;
    type Action = Discrete;
    type State = [bool; 4];

    #[allow(clippy::expect_used)] // The bounds are constant.
    fn observation_space(&self) -> BoxSpace {
        BoxSpace::new(vec![-1.0], vec![1.0]).expect("low < high")
    }

    #[allow(clippy::expect_used)] // The argument is constant.
    fn action_space(&self) -> Discrete {
        Discrete::new(4).expect("four choices")
    }

    fn reset(&mut self, rng: &mut Rng, obs: &mut [f32]) -> Result<()> {
        self.open = [false; 4];
        let first = rng.below(4);
        self.open[first] = true;
        self.open[(first + 1 + rng.below(3)) % 4] = true;
        obs.fill(0.5);
        Ok(())
    }

    fn step(&mut self, action: usize, _: &mut Rng, obs: &mut [f32]) -> Result<Step> {
        if !self.open.get(action).is_some_and(|open| *open) {
            return Err(Error::Env(format!("action {action} is forbidden")));
        }
        obs.fill(0.5);
        let best = self.open.iter().rposition(|&open| open) == Some(action);
        self.open = [false; 4];
        Ok(Step::terminated_if(true, if best { 1.0 } else { 0.0 }))
    }

    fn state(&self) -> Option<[bool; 4]> {
        Some(self.open)
    }

    fn set_state(&mut self, open: [bool; 4]) -> Result<()> {
        self.open = open;
        Ok(())
    }
}

impl ActionMask for MaskProbe {
    fn action_mask(&self, mask: &mut [f32]) {
        let allowed = |open: &bool| if *open && !self.nothing { 1.0 } else { 0.0 };
        mask.iter_mut().zip(&self.open).for_each(|(m, open)| *m = allowed(open));
    }
}
