//! A probe environment with image observations.

use crate::fixed;
use rl_core::{BoxSpace, Discrete, Env, Error, Result, Rng, Space, Step};

/// Height and width of the image.
const SIDE: usize = 8;
/// The length of the bar in pixels.
const LENGTH: usize = 4;

/// A probe of learning from images: one channel of 8x8 bytes with a bright bar at a random position on a dark, noisy
/// background. Episodes have one step; action 1 is right if the bar is vertical, action 0 if it is horizontal. The
/// right action gives reward 1, the wrong one -1. Each pixel is bright equally often in both cases, so no linear
/// function of the pixels separates them: the policy must use neighbouring pixels.
///
/// ```
/// use rl_core::{Env, Seeds};
/// let mut probe = rl_envs::PixelProbe::default();
/// let (mut rng, mut obs) = (Seeds::new(0).stream("env", 0), [0; 64]);
/// probe.reset(&mut rng, &mut obs)?;
/// assert_eq!(obs.iter().filter(|&&pixel| pixel == 255).count(), 4);
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct PixelProbe {
    stands: bool,
}

impl PixelProbe {
    fn show(&mut self, rng: &mut Rng, obs: &mut [u8]) {
        obs.fill_with(|| rng.below(60) as u8);
        self.stands = rng.below(2) == 1;
        // The bar wraps around the border, so that each pixel is part of it equally often.
        let (along, across) = (rng.below(SIDE), rng.below(SIDE));
        for i in 0..LENGTH {
            let at = (along + i) % SIDE;
            let (y, x) = if self.stands { (at, across) } else { (across, at) };
            obs[y * SIDE + x] = u8::MAX;
        }
    }
}

impl Env for PixelProbe {
    type Obs = BoxSpace<u8>;
    type Action = Discrete;
    type State = bool;

    fn observation_space(&self) -> BoxSpace<u8> {
        fixed::image(&[1, SIDE, SIDE])
    }

    fn action_space(&self) -> Discrete {
        fixed::choices(2)
    }

    fn reset(&mut self, rng: &mut Rng, obs: &mut [u8]) -> Result<()> {
        self.show(rng, obs);
        Ok(())
    }

    fn step(&mut self, action: usize, rng: &mut Rng, obs: &mut [u8]) -> Result<Step> {
        let action = u32::try_from(action)
            .map_err(|_| Error::mismatch("action", "an index below 2", action))?;
        self.action_space().check("action", &[action])?;
        let right = (action == 1) == self.stands;
        self.show(rng, obs);
        Ok(Step::terminated_if(true, if right { 1.0 } else { -1.0 }))
    }

    fn state(&self) -> Option<bool> {
        Some(self.stands)
    }

    fn set_state(&mut self, stands: bool) -> Result<()> {
        self.stands = stands;
        Ok(())
    }
}
