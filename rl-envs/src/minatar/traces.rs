//! The games beside recordings of the `minatar` package, made by `tests/fixtures/minatar_traces.py`: 10,000 frames of each from
//! three seeds. The package's random choices are fed to ours; every observation, reward and end must be the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use super::{Asterix, Breakout, Choices, Freeway, Game, MinAtar, SpaceInvaders};
use std::path::Path;

/// A recording, read from the front. A number in [0, 1) is stored in units of 2^-16.
struct Trace {
    bytes: std::vec::IntoIter<u8>,
    /// Choices of the frame that have not been asked for.
    left: usize,
}

impl Trace {
    fn byte(&mut self) -> u8 {
        self.bytes.next().expect("the recording goes on")
    }
    fn number(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }
    fn choice(&mut self) -> u16 {
        self.left = self.left.checked_sub(1).expect("as many choices as the package makes");
        self.number()
    }
}

impl Choices for Trace {
    fn unit(&mut self) -> f64 {
        (f64::from(self.choice()) + 0.5) / 65_536.0
    }
    fn below(&mut self, n: usize) -> usize {
        let chosen = usize::from(self.choice());
        assert!(chosen < n);
        chosen
    }
}

/// CRC-16/CCITT of the observation's flags, a byte each.
fn checksum(obs: &[u8]) -> u16 {
    obs.iter().fold(0xffff, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
        })
    })
}

fn follow<G: Game>(name: &str) {
    for seed in 0..3 {
        let path = format!("tests/fixtures/minatar/{name}-{seed}.bin");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let bytes = std::fs::read(path).unwrap().into_iter();
        let mut trace = Trace { bytes, left: 0 };
        let mut env = MinAtar::<G>::default();
        let mut obs = vec![9; G::CHANNELS * 100];
        let (mut frames, mut fresh, mut ends) = (0, true, 0);
        while frames < 10_000 {
            // Each record: how many choices, the action (255: a reset), reward, end, checksum, and then the choices.
            trace.left = trace.byte().into();
            let (action, reward, end) = (trace.byte(), trace.byte(), trace.byte() == 1);
            let expected = trace.number();
            obs.fill(9);
            if action == 255 {
                assert!(fresh, "{name} {seed}: ended at frame {frames}");
                env.start(&mut trace, &mut obs);
            } else {
                let step = env.advance(action.into(), &mut trace, &mut obs).unwrap();
                let got = (step.reward, step.end.is_some());
                assert_eq!(got, (f32::from(reward), end), "{name} {seed}: frame {frames}");
                frames += 1;
                ends += u32::from(end);
            }
            assert_eq!(trace.left, 0, "{name} {seed}: choices of frame {frames}");
            assert_eq!(checksum(&obs), expected, "{name} {seed}: observation of frame {frames}");
            fresh = end;
        }
        assert!(ends > 0 && trace.bytes.next().is_none());
    }
}

#[test]
fn breakout_equals_the_package() {
    follow::<Breakout>("breakout");
}

#[test]
fn asterix_equals_the_package() {
    follow::<Asterix>("asterix");
}

#[test]
fn freeway_equals_the_package() {
    follow::<Freeway>("freeway");
}

#[test]
fn space_invaders_equals_the_package() {
    follow::<SpaceInvaders>("space_invaders");
}
