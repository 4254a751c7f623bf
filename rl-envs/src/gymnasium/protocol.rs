//! Messages between this process and a worker. `worker.py` is the other end.
//!
//! A frame is a header and a payload in the machine's own byte order: both ends run on it. The header is
//! `magic (2) | version (1) | kind (1) | length of the payload (4)`. Each command has one reply, of its kind or an error,
//! whose payload is a message in UTF-8.
//!
//! | kind | command | reply |
//! |---|---|---|
//! | start | settings, JSON | spaces, JSON |
//! | step | seeds `[n]` u64, actions `[n, width]` | rows |
//! | reset | seeds `[n]` u64, [`NO_SEED`] for an environment that goes on | rows |
//! | repeat | how often u64, action `[width]` | rows, the observation before the last |
//! | render | | height u32, width u32, pixels `[height, width, 3]` |
//!
//! Rows are `length of the tail u64 | rewards [n] f64 | lives [n] u32 | ends [n] u8 | padding to 8 bytes |
//! observations [n, width] | final observations of ended episodes | tail`. The tail holds numbers of ended episodes, each
//! `length of the name u16 | name | number f64`.

use rl_core::End;
use std::ops::Range;

const MAGIC: u16 = 0x7247;
const VERSION: u8 = 1;
/// Stands for no seed: the environment is not reset, and its row is not to be read.
pub(super) const NO_SEED: u64 = u64::MAX;
/// The bytes of a header.
pub(super) const HEADER: usize = 8;

/// The kind of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Start = 1,
    Step = 2,
    Reset = 3,
    Render = 4,
    Repeat = 5,
    Error = 255,
}

/// A header for a payload of so many bytes.
pub(super) fn header(kind: Kind, length: u32) -> [u8; HEADER] {
    let [a, b] = MAGIC.to_ne_bytes();
    let [w, x, y, z] = length.to_ne_bytes();
    [a, b, VERSION, kind as u8, w, x, y, z]
}

/// The length of the payload behind a header and whether it is an error, if this is a reply to a command of `kind`.
pub(super) fn parse_header(bytes: [u8; HEADER], kind: Kind) -> Option<(usize, bool)> {
    let [a, b, version, got, length @ ..] = bytes;
    let is_error = got == Kind::Error as u8;
    let fits = u16::from_ne_bytes([a, b]) == MAGIC && version == VERSION;
    let length = usize::try_from(u32::from_ne_bytes(length)).ok()?;
    (fits && (is_error || got == kind as u8)).then_some((length, is_error))
}

/// Where the parts of rows lie in a payload, of `envs` environments with observations of `row` bytes.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    envs: usize,
    row: usize,
    rows: usize,
}

/// The longest tail: far more than any environment says of an episode.
const MAX_TAIL: usize = 1 << 20;

impl Layout {
    pub(super) fn new(envs: usize, row: usize) -> Self {
        let ends = 8 + 12 * envs;
        Layout { envs, row, rows: (ends + envs).next_multiple_of(8) }
    }

    /// The longest reply, but for the tail.
    pub(super) fn longest_rows(&self) -> usize {
        HEADER + self.rows + 2 * self.envs * self.row
    }

    /// The longest payload.
    pub(super) fn max(&self) -> usize {
        self.longest_rows() + MAX_TAIL
    }

    /// Splits the reply to a step or a reset, if it has the right length.
    pub(super) fn split<'a>(&self, payload: &'a [u8]) -> Option<Reply<'a>> {
        self.parts(payload, |ended| [0, ended * self.row])
    }

    /// Splits the reply to a repeated step: its final observations are those before the last ones.
    pub(super) fn split_repeated<'a>(&self, payload: &'a [u8]) -> Option<Reply<'a>> {
        self.parts(payload, |_| [self.envs * self.row; 2])
    }

    /// `finals`: the lengths that final observations may have, given how many episodes ended.
    fn parts<'a>(
        &self,
        payload: &'a [u8],
        finals: impl Fn(usize) -> [usize; 2],
    ) -> Option<Reply<'a>> {
        let n = self.envs;
        let (tail, _) = payload.split_first_chunk()?;
        let tail = usize::try_from(u64::from_ne_bytes(*tail)).ok()?;
        let part = |range: Range<usize>| payload.get(range);
        let ends = part(8 + 12 * n..8 + 13 * n)?;
        let ended = ends.iter().filter(|end| **end != 0).count();
        let rows_end = self.rows + n * self.row;
        let reply = Reply {
            rewards: part(8..8 + 8 * n)?,
            lives: part(8 + 8 * n..8 + 12 * n)?,
            ends,
            observations: part(self.rows..rows_end)?,
            finals: payload.get(rows_end..payload.len().checked_sub(tail)?)?,
            tail: &payload[payload.len() - tail..],
        };
        finals(ended).contains(&reply.finals.len()).then_some(reply)
    }
}

/// The parts of a reply to a step or a reset.
#[derive(Debug)]
pub(super) struct Reply<'a> {
    rewards: &'a [u8],
    lives: &'a [u8],
    ends: &'a [u8],
    /// Rows of observations, as bytes.
    pub(super) observations: &'a [u8],
    /// Rows of final observations, one for each end, or those before the last of a repeated step, as bytes.
    pub(super) finals: &'a [u8],
    tail: &'a [u8],
}

impl<'a> Reply<'a> {
    pub(super) fn rewards(&self) -> impl Iterator<Item = f32> {
        self.rewards.as_chunks().0.iter().map(|x| f64::from_ne_bytes(*x) as f32)
    }

    pub(super) fn lives(&self) -> impl Iterator<Item = u32> {
        self.lives.as_chunks().0.iter().map(|x| u32::from_ne_bytes(*x))
    }

    pub(super) fn ends(&self) -> impl Iterator<Item = Option<End>> {
        self.ends.iter().map(|end| match end {
            0 => None,
            1 => Some(End::Terminated),
            _ => Some(End::Truncated),
        })
    }

    /// The names and numbers of ended episodes; ends early where the bytes are damaged.
    pub(super) fn measured(&self) -> impl Iterator<Item = (&'a str, f64)> {
        let mut rest = self.tail;
        std::iter::from_fn(move || {
            let (length, after) = rest.split_first_chunk()?;
            let (name, after) = after.split_at_checked(u16::from_ne_bytes(*length).into())?;
            let (number, after) = after.split_first_chunk()?;
            rest = after;
            Some((std::str::from_utf8(name).ok()?, f64::from_ne_bytes(*number)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_split_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            envs in 1usize..4,
            row in 1usize..20,
        ) {
            if let Some(reply) = Layout::new(envs, row).split(&bytes) {
                prop_assert_eq!(reply.rewards().count(), envs);
                prop_assert_eq!(reply.observations.len(), envs * row);
                reply.measured().for_each(drop);
            }
        }
    }

    #[test]
    fn headers_are_told_from_other_bytes() {
        let bytes = header(Kind::Step, 300);
        assert_eq!(parse_header(bytes, Kind::Step), Some((300, false)));
        assert_eq!(parse_header(bytes, Kind::Reset), None);
        assert_eq!(parse_header(header(Kind::Error, 7), Kind::Reset), Some((7, true)));
        assert_eq!(parse_header(*b"Welcome!", Kind::Start), None);
    }

    #[test]
    fn a_reply_has_its_parts() {
        let layout = Layout::new(2, 4);
        let mut bytes = Vec::new();
        bytes.extend(13u64.to_ne_bytes());
        bytes.extend([1.5f64, -2.0].map(f64::to_ne_bytes).concat());
        bytes.extend([3u32, 4].map(u32::to_ne_bytes).concat());
        bytes.extend([0, 2]);
        bytes.extend([0; 6]);
        bytes.extend([10, 11, 12, 13, 20, 21, 22, 23]);
        bytes.extend([30, 31, 32, 33]);
        bytes.extend(3u16.to_ne_bytes());
        bytes.extend(b"won");
        bytes.extend(1f64.to_ne_bytes());
        let reply = layout.split(&bytes).unwrap();
        assert_eq!(reply.rewards().collect::<Vec<_>>(), [1.5, -2.0]);
        assert_eq!(reply.lives().collect::<Vec<_>>(), [3, 4]);
        assert_eq!(reply.ends().collect::<Vec<_>>(), [None, Some(End::Truncated)]);
        assert_eq!((reply.observations.len(), reply.finals), (8, &[30, 31, 32, 33][..]));
        assert_eq!(reply.measured().collect::<Vec<_>>(), [("won", 1.0)]);
        assert!(layout.split(&bytes[..bytes.len() - 1]).is_none());
        assert!(bytes.len() <= layout.max());
    }
}
