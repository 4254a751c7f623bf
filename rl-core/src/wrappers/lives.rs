use crate::Env;

/// A game with lives. Wrappers of one environment pass the number on.
///
/// ```
/// use rl_core::toy::Game;
/// use rl_core::{Env, Greyscale, Lives, Seeds};
/// let mut env = Greyscale::new(Game::default())?;
/// let (mut rng, mut obs) = (Seeds::new(0).stream("env", 0), vec![0; 210 * 160]);
/// env.reset(&mut rng, &mut obs)?;
/// assert_eq!(env.lives(), 3);
/// # Ok::<(), rl_core::Error>(())
/// ```
pub trait Lives: Env {
    /// The lives that are left. A game may go on for some frames with none left.
    fn lives(&self) -> u32;
}
