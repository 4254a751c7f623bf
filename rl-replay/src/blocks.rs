//! A ring of steps as files: whole blocks, which are never written twice, and the rest.

use crate::Result;
use rl_core::{Element, End, Error, Sections, check, codec};
use std::collections::VecDeque;
use std::ops::Range;

/// The file that says which blocks there are; without it there is no memory.
pub(crate) const HEAD: &str = "replay.bin";
/// The steps that are in no block: before the first, and after the last.
const REST: &str = "replay-rest.bin";
/// Bounds on the bytes of a block: fewer are not worth a file, and more would be too long to write at a time. These and the
/// two below decide where blocks begin, so they belong to the format.
const BYTES: [usize; 2] = [64 << 10, 16 << 20];
/// Blocks of a ring, within these bounds.
const BLOCKS: usize = 64;
/// A ring of fewer blocks has none: the rest is all of it.
const FEWEST: usize = 8;

/// Columns of steps, of which a ring keeps the newest. Steps count from 0, from the beginning of the memory.
pub(crate) trait Ring {
    /// What it is called in errors, with the meaning of its shape.
    const WHAT: &'static str;

    /// What observations and actions are made of.
    const ELEMENTS: [&'static str; 2];

    /// What another ring must have in common to hold the same steps, beside its elements.
    fn shape(&self) -> Vec<usize>;

    /// Steps that there is room for.
    fn steps(&self) -> usize;

    /// Steps stored since the beginning.
    fn pushed(&self) -> u64;

    /// The oldest stored step; the next one where none is.
    fn oldest(&self) -> u64 {
        self.pushed().saturating_sub(self.steps() as u64)
    }

    /// The number of steps stored, at most [`steps`](Ring::steps).
    fn filled(&self) -> usize {
        (self.pushed() - self.oldest()) as usize
    }

    /// The first step of which anything is still needed, the oldest or one before.
    fn needed(&self) -> u64;

    /// Takes over that so many steps were stored.
    fn set_pushed(&mut self, pushed: u64);

    /// Its blocks.
    fn blocks_mut(&mut self) -> &mut Blocks;

    /// Appends the columns of these steps.
    fn write(&self, steps: Range<u64>, out: &mut Vec<u8>);

    /// Reads what `write` wrote of these steps.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for bytes that are too few, or cannot be of this ring.
    fn read(&mut self, steps: Range<u64>, bytes: &mut Reader<'_>) -> Result<()>;

    /// Counts a step whose columns were stored.
    fn count_step(&mut self)
    where
        Self: Sized,
    {
        self.set_pushed(self.pushed() + 1);
        let mut blocks = std::mem::take(self.blocks_mut());
        blocks.take_in(self);
        *self.blocks_mut() = blocks;
    }

    /// Reads what [`Blocks::save`] wrote of such a ring into this one, in which nothing is stored.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for one of another shape; [`Error::Corrupt`] for bytes that cannot be of this ring.
    fn load_blocks(&mut self, from: &Sections) -> Result<()>
    where
        Self: Sized,
    {
        let blocks = std::mem::take(self.blocks_mut()).load(self, from)?;
        *self.blocks_mut() = blocks;
        Ok(())
    }
}

/// The blocks of a ring: all their steps are stored, and a later one, so that nothing of them can change. Each is a file of a
/// checkpoint, named after its first step and its checksum, which later checkpoints share. The files depend on what is
/// stored alone, not on the checkpoints before.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Blocks {
    /// Steps of a block; none where the ring is too small for blocks.
    length: Option<u64>,
    /// The checksums of the blocks, the oldest first.
    checksums: VecDeque<u32>,
}

impl Blocks {
    /// The blocks of a ring of so many `steps`, with so many bytes each, in which nothing is stored.
    pub(crate) fn new(steps: usize, step_bytes: usize) -> Self {
        let bytes = (steps.saturating_mul(step_bytes) / BLOCKS).clamp(BYTES[0], BYTES[1]);
        let length = (bytes / step_bytes.max(1)).max(1);
        let length = (length <= steps / FEWEST).then_some(length as u64);
        Blocks { length, checksums: VecDeque::new() }
    }

    /// The numbers of the blocks.
    fn numbers(&self, ring: &impl Ring) -> Range<u64> {
        let Some(length) = self.length else { return 0..0 };
        let first = ring.oldest().div_ceil(length);
        first..first.max(ring.pushed().saturating_sub(1) / length)
    }

    /// The steps of each block.
    fn all<R: Ring>(&self, ring: &R) -> impl DoubleEndedIterator<Item = Range<u64>> + use<R> {
        let length = self.length.unwrap_or_default();
        self.numbers(ring).map(move |number| number * length..(number + 1) * length)
    }

    /// The steps that are in no block: before the first and after the last.
    fn rest(&self, ring: &impl Ring) -> [Range<u64>; 2] {
        let first = self.all(ring).next().map_or(ring.pushed(), |steps| steps.start);
        let last = self.all(ring).next_back().map_or(ring.pushed(), |steps| steps.end);
        [ring.needed()..first, last..ring.pushed()]
    }

    /// Takes in the block that the newest step has made whole, and forgets one that it has begun to overwrite.
    fn take_in(&mut self, ring: &impl Ring) {
        let Some(length) = self.length else { return };
        let (newest, numbers) = (ring.pushed() - 1, self.numbers(ring));
        if newest > 0 && newest.is_multiple_of(length) {
            let bytes = encoded(ring, Some(newest - length..newest));
            self.checksums.push_back(codec::checksum(&bytes));
        }
        while self.checksums.len() as u64 > numbers.end - numbers.start {
            self.checksums.pop_front();
        }
    }

    /// Writes a ring. Blocks that the checkpoint before has are taken from there.
    pub(crate) fn save(&self, ring: &impl Ring, out: &mut Sections) -> Result<()> {
        for (steps, checksum) in self.all(ring).zip(&self.checksums) {
            let file = file(steps.start, *checksum);
            if !out.keep(&file) {
                out.put_file(&file, encoded(ring, Some(steps)));
            }
        }
        out.put_file(REST, encoded(ring, self.rest(ring)));
        let head = (elements(ring), ring.shape(), ring.pushed(), &self.checksums);
        out.put_file(HEAD, codec::encode(&head)?);
        Ok(())
    }

    /// Reads what [`save`](Blocks::save) wrote of such a ring into `ring`.
    fn load<R: Ring>(mut self, ring: &mut R, from: &Sections) -> Result<Self> {
        let (kept, shape, pushed, checksums): (String, Vec<usize>, u64, VecDeque<u32>) =
            codec::decode("replay", from.file(HEAD)?)?;
        if kept != elements(ring) {
            let what = "elements of the replay's observations and actions";
            return Err(Error::mismatch(what, elements(ring), kept).into());
        }
        if shape != ring.shape() {
            let (expected, got) = (format!("{:?}", ring.shape()), format!("{shape:?}"));
            return Err(Error::mismatch(R::WHAT, expected, got).into());
        }
        check::count("replay steps", pushed)?;
        ring.set_pushed(pushed);
        check::len("replay blocks", self.all(ring).count(), checksums.len())?;
        let [before, after] = self.rest(ring);
        let mut rest = Reader { file: REST, bytes: from.file(REST)? };
        ring.read(before, &mut rest)?;
        for (steps, checksum) in self.all(ring).zip(&checksums) {
            let file = file(steps.start, *checksum);
            let mut block = Reader { file: &file, bytes: from.file(&file)? };
            ring.read(steps, &mut block)?;
            block.end()?;
        }
        ring.read(after, &mut rest)?;
        rest.end()?;
        self.checksums = checksums;
        Ok(self)
    }
}

fn elements<R: Ring>(_: &R) -> String {
    R::ELEMENTS.join(" and ")
}

fn file(first: u64, checksum: u32) -> String {
    format!("replay-{first:012}-{checksum:08x}.bin")
}

/// The columns of steps.
fn encoded(ring: &impl Ring, steps: impl IntoIterator<Item = Range<u64>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    steps.into_iter().for_each(|steps| ring.write(steps, &mut bytes));
    bytes
}

/// What is left to be read of a file.
pub(crate) struct Reader<'a> {
    file: &'a str,
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn corrupt(&self, problem: &str) -> Error {
        Error::corrupt(self.file, problem)
    }

    /// Checks that all was read.
    fn end(&self) -> Result<()> {
        match self.bytes.len() {
            0 => Ok(()),
            more => Err(self.corrupt(&format!("{more} bytes too many")).into()),
        }
    }

    pub(crate) fn bytes(&mut self, n: usize) -> Result<&'a [u8]> {
        let few = format!("too few bytes: {} of {n}", self.bytes.len());
        let (head, rest) = self.bytes.split_at_checked(n).ok_or_else(|| self.corrupt(&few))?;
        self.bytes = rest;
        Ok(head)
    }

    pub(crate) fn number(&mut self) -> Result<u64> {
        let bytes = self.bytes(size_of::<u64>())?;
        Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// Reads a column of these steps, `width` elements each, into a ring.
    pub(crate) fn column<T: Element>(
        &mut self,
        ring: &mut [T],
        width: usize,
        steps: Range<u64>,
    ) -> Result<()> {
        for piece in pieces(steps, ring.len() / width) {
            let values = &mut ring[piece.start * width..piece.end * width];
            T::from_le(self.bytes(size_of_val(values))?, values);
        }
        Ok(())
    }
}

impl Reader<'_> {
    /// Reads a column of ends, one for each of `width` environments, into a ring.
    pub(crate) fn ends(
        &mut self,
        ring: &mut [Option<End>],
        width: usize,
        steps: Range<u64>,
    ) -> Result<()> {
        for piece in pieces(steps, ring.len() / width) {
            let ends = &mut ring[piece.start * width..piece.end * width];
            let bytes = self.bytes(ends.len())?;
            for (end, byte) in ends.iter_mut().zip(bytes) {
                *end = match byte {
                    0 => None,
                    1 => Some(End::Terminated),
                    2 => Some(End::Truncated),
                    _ => return Err(self.corrupt("an end of an unknown kind").into()),
                };
            }
        }
        Ok(())
    }
}

/// Appends a column of ends of these steps, one for each of `width` environments, from a ring.
pub(crate) fn column_of_ends(
    ring: &[Option<End>],
    width: usize,
    steps: Range<u64>,
    out: &mut Vec<u8>,
) {
    for piece in pieces(steps, ring.len() / width) {
        out.extend(ring[piece.start * width..piece.end * width].iter().map(|end| match end {
            None => 0,
            Some(End::Terminated) => 1,
            Some(End::Truncated) => 2,
        }));
    }
}

/// Appends a column of these steps, `width` elements each, from a ring.
pub(crate) fn column<T: Element>(ring: &[T], width: usize, steps: Range<u64>, out: &mut Vec<u8>) {
    for piece in pieces(steps, ring.len() / width) {
        T::to_le(&ring[piece.start * width..piece.end * width], out);
    }
}

/// Where steps, not more than there is room for, are in a ring: in one piece, or around its end in two.
fn pieces(steps: Range<u64>, ring: usize) -> [Range<usize>; 2] {
    let (start, n) = ((steps.start % ring as u64) as usize, (steps.end - steps.start) as usize);
    let first = n.min(ring - start);
    [start..start + first, 0..n - first]
}
