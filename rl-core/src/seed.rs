//! All randomness derives from one seed, through named streams.

use rand::rand_core::TryRng;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Deserializer, Serialize};
use std::convert::Infallible;

/// The random number generator of this workspace: xoshiro256++. Checkpoints contain its whole state.
///
/// It implements the traits of `rand`, so all distributions of that ecosystem work with it.
///
/// ```
/// use rand::RngExt;
/// let mut rng = rl_core::Seeds::new(0).stream("example", 0);
/// let x: f32 = rng.random();
/// assert!((0.0..1.0).contains(&x));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rng(Xoshiro256PlusPlus);

impl<'de> Deserialize<'de> for Rng {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rng = Xoshiro256PlusPlus::deserialize(deserializer)?;
        // A state of zeros gives zeros for ever, on which `normal` would wait for another number.
        let mut ahead = Rng(rng.clone());
        if (0..8).all(|_| ahead.random::<u64>() == 0) {
            return Err(serde::de::Error::custom("the state of a generator is zero"));
        }
        Ok(Rng(rng))
    }
}

impl TryRng for Rng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.0.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0.try_next_u64()
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        self.0.try_fill_bytes(dst)
    }
}

impl Rng {
    /// A uniform integer in `0..n`; zero if `n` is zero.
    ///
    /// Uses multiplication instead of division (Lemire, 2019, without the rejection step): the bias is below
    /// `n / 2^64`, and the number of draws does not depend on the drawn values.
    pub fn below(&mut self, n: usize) -> usize {
        let x: u64 = self.random();
        ((u128::from(x) * n as u128) >> 64) as usize
    }

    /// A uniform number in `[low, high)`.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.random::<f64>()
    }

    /// A sample from the standard normal distribution.
    pub fn normal(&mut self) -> f64 {
        self.sample(rand_distr::StandardNormal)
    }
}

/// The root of all randomness in a run: creates independent random generators by name.
///
/// The same seed, name and index give the same stream on every machine; adding a stream does not change any other.
///
/// ```
/// use rl_core::Seeds;
/// let seeds = Seeds::new(7);
/// assert_eq!(seeds.stream("env", 0), Seeds::new(7).stream("env", 0));
/// assert_ne!(seeds.stream("env", 0), seeds.stream("env", 1));
/// assert_ne!(seeds.stream("env", 0), seeds.stream("agent", 0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seeds(u64);

impl Seeds {
    /// Streams derived from `seed`.
    pub fn new(seed: u64) -> Self {
        Seeds(seed)
    }

    /// The generator with name `name` and index `index`.
    pub fn stream(&self, name: &str, index: u64) -> Rng {
        Rng(Xoshiro256PlusPlus::seed_from_u64(self.mix(name, index)))
    }

    /// A separate family of streams, for a component that needs several (such as an evaluation at step `index`).
    pub fn child(&self, name: &str, index: u64) -> Seeds {
        Seeds(self.mix(name, index ^ 0x6368_696c_6400_0000))
    }

    /// Hashes the name with FNV-1a, then each part with SplitMix64's finaliser, so that neighbouring seeds and
    /// indices give unrelated states.
    fn mix(&self, name: &str, index: u64) -> u64 {
        let name = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        finalise(finalise(finalise(self.0) ^ name) ^ index)
    }
}

fn finalise(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn below_stays_below(seed: u64, n in 1usize..1_000_000) {
            let mut rng = Seeds::new(seed).stream("t", 0);
            prop_assert!((0..100).all(|_| rng.below(n) < n));
        }

        #[test]
        fn a_saved_generator_goes_on_where_it_was(seed: u64, skip in 0usize..50) {
            let mut rng = Seeds::new(seed).stream("t", 0);
            (0..skip).for_each(|_| { rng.normal(); });
            let bytes = crate::codec::encode(&rng).unwrap();
            let mut copy: super::Rng = crate::codec::decode("rng", &bytes).unwrap();
            prop_assert!((0..20).all(|_| rng.normal() == copy.normal()));
        }
    }

    #[test]
    fn below_is_uniform() {
        let mut rng = Seeds::new(3).stream("t", 0);
        let mut counts = [0u32; 7];
        (0..70_000).for_each(|_| counts[rng.below(7)] += 1);
        // The standard deviation of each count is about 93.
        assert!(counts.iter().all(|&c| c.abs_diff(10_000) < 500), "{counts:?}");
    }

    #[test]
    fn a_generator_of_zeros_is_refused() {
        let bytes = crate::codec::encode(&[0u64; 4]).unwrap();
        let error = crate::codec::decode::<super::Rng>("rng", &bytes).unwrap_err().to_string();
        assert_eq!(error, "rng: unexpected content: the state of a generator is zero");
        let bytes = crate::codec::encode(&[0u64, 0, 0, 1]).unwrap();
        assert!(crate::codec::decode::<super::Rng>("rng", &bytes).is_ok());
    }

    /// Streams determine every published result, so they must not change.
    #[test]
    fn streams_do_not_change_between_releases() {
        let mut rng = Seeds::new(0).stream("env", 0);
        let draws: Vec<u64> = (0..3).map(|_| rng.random()).collect();
        assert_eq!(draws, PINNED);
    }

    const PINNED: [u64; 3] = [3583735791677738982, 5814064430775177980, 4216599087202762772];
}
