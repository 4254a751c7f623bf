//! A ring of steps as files: whole blocks, which are never written twice, and the rest.

use crate::Result;
use rl_core::{Element, End, Error, Sections, check, codec};
use std::collections::VecDeque;
use std::ops::Range;

/// The file that says which blocks there are; without it there is no memory.
pub(crate) const HEAD: &str = "replay.bin";
/// The steps that are in no whole block yet.
const REST: &str = "replay-rest.bin";
/// Bounds on the bytes of a block: fewer are not worth a file, and more would be too long to write at a time.
const BYTES: [usize; 2] = [64 << 10, 16 << 20];
/// Blocks of a ring, within these bounds.
const BLOCKS: usize = 64;
/// A ring of fewer blocks has none: the rest is all of it.
const FEWEST: usize = 8;

/// Columns of steps, of which a ring keeps the newest. Steps count from 0, from the beginning of the memory.
pub(crate) trait Ring {
    /// What it is called in errors, with the meaning of its shape.
    const WHAT: &'static str;

    /// What another ring must have in common to hold the same steps.
    fn shape(&self) -> Vec<usize>;

    /// Steps stored since the beginning.
    fn pushed(&self) -> u64;

    /// The first step of which anything is still needed.
    fn needed(&self) -> u64;

    /// Takes over that so many steps were stored, of which none is here yet.
    fn set_pushed(&mut self, pushed: u64);

    /// Appends the columns of these steps.
    fn write(&self, steps: Range<u64>, out: &mut Vec<u8>);

    /// Reads what `write` wrote of these steps, and keeps what is still needed of it.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for bytes that are too few, or cannot be of this ring.
    fn read(&mut self, steps: Range<u64>, bytes: &mut Reader<'_>) -> Result<()>;
}

/// The blocks of a ring that are whole: all their steps are stored, and a later one, so that nothing of them can change.
/// Each is a file of a checkpoint, named after its first step and its checksum, which later checkpoints share.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Blocks {
    /// Steps of a block; none where the ring is too small for blocks.
    length: Option<u64>,
    /// The checksums of the blocks that are still needed, the oldest first.
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

    /// The numbers of the blocks that are whole and needed.
    fn whole(&self, pushed: u64, needed: u64) -> Range<u64> {
        let Some(length) = self.length else { return 0..0 };
        needed / length..pushed.saturating_sub(1) / length
    }

    /// To be called when a step was stored: takes in a block that it has made whole, and forgets one that is not needed any
    /// more.
    pub(crate) fn pushed(&mut self, ring: &impl Ring) {
        let whole = self.whole(ring.pushed(), ring.needed());
        let Some(length) = self.length.filter(|length| (ring.pushed() - 1).is_multiple_of(*length))
        else {
            return;
        };
        if let Some(newest) = whole.end.checked_sub(1) {
            let bytes = encoded(ring, newest * length..(newest + 1) * length);
            self.checksums.push_back(codec::checksum(&bytes));
        }
        while self.checksums.len() as u64 > whole.end - whole.start {
            self.checksums.pop_front();
        }
    }

    /// Writes a ring. Blocks that the checkpoint before has are taken from there.
    pub(crate) fn save(&self, ring: &impl Ring, out: &mut Sections) -> Result<()> {
        let whole = self.whole(ring.pushed(), ring.needed());
        // Blocks are forgotten when the next one is whole, so there may be some that are not needed now.
        let surplus = self.checksums.len() - (whole.end - whole.start) as usize;
        let checksums: Vec<u32> = self.checksums.iter().skip(surplus).copied().collect();
        let mut rest = ring.needed();
        for (number, checksum) in whole.zip(&checksums) {
            let steps = self.steps(number);
            rest = steps.end;
            let file = file(steps.start, *checksum);
            if !out.keep(&file) {
                // Of one that is partly overwritten already, what is there.
                out.put_file(&file, encoded(ring, steps.start.max(ring.needed())..steps.end));
            }
        }
        out.put_file(REST, encoded(ring, rest..ring.pushed()));
        out.put_file(HEAD, codec::encode(&(ring.shape(), ring.pushed(), checksums))?);
        Ok(())
    }

    /// Reads what [`save`](Blocks::save) wrote of such a ring into `ring`, in which nothing is stored.
    pub(crate) fn load<R: Ring>(mut self, ring: &mut R, from: &Sections) -> Result<Self> {
        let (shape, pushed, checksums): (Vec<usize>, u64, Vec<u32>) =
            codec::decode("replay", from.file(HEAD)?)?;
        if shape != ring.shape() {
            let (expected, got) = (format!("{:?}", ring.shape()), format!("{shape:?}"));
            return Err(Error::mismatch(R::WHAT, expected, got).into());
        }
        check::count("replay steps", pushed)?;
        ring.set_pushed(pushed);
        let whole = self.whole(pushed, ring.needed());
        check::len("replay blocks", (whole.end - whole.start) as usize, checksums.len())?;
        let mut rest = ring.needed();
        for (number, checksum) in whole.zip(&checksums) {
            let steps = self.steps(number);
            rest = steps.end;
            let file = file(steps.start, *checksum);
            decode(ring, steps, &file, from.file(&file)?)?;
        }
        decode(ring, rest..pushed, REST, from.file(REST)?)?;
        self.checksums = checksums.into();
        Ok(self)
    }

    fn steps(&self, number: u64) -> Range<u64> {
        let length = self.length.unwrap_or_default();
        number * length..(number + 1) * length
    }
}

fn file(first: u64, checksum: u32) -> String {
    format!("replay-{first:012}-{checksum:08x}.bin")
}

/// The first step and the columns.
fn encoded(ring: &impl Ring, steps: Range<u64>) -> Vec<u8> {
    let mut bytes = steps.start.to_le_bytes().to_vec();
    ring.write(steps, &mut bytes);
    bytes
}

/// Reads steps, or those from a later one on of which `ring` needs all.
fn decode(ring: &mut impl Ring, steps: Range<u64>, file: &str, bytes: &[u8]) -> Result<()> {
    let mut reader = Reader { file, bytes };
    let first = reader.number()?;
    if first < steps.start || first > steps.end || first > steps.start.max(ring.needed()) {
        return Err(reader.corrupt(&format!("begins at step {first}")).into());
    }
    ring.read(first..steps.end, &mut reader)?;
    match reader.bytes.len() {
        0 => Ok(()),
        more => Err(reader.corrupt(&format!("{more} bytes too many")).into()),
    }
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

    /// Reads a column of these steps, `width` elements each, into a ring; those before `from` are passed over.
    pub(crate) fn column<T: Element>(
        &mut self,
        ring: &mut [T],
        width: usize,
        steps: Range<u64>,
        from: u64,
    ) -> Result<()> {
        let bytes_of = |steps: u64| (steps as usize).saturating_mul(width * size_of::<T>());
        let bytes = self.bytes(bytes_of(steps.end - steps.start))?;
        let from = from.clamp(steps.start, steps.end);
        let mut bytes = &bytes[bytes_of(from - steps.start)..];
        for piece in pieces(from..steps.end, ring.len() / width) {
            let values = &mut ring[piece.start * width..piece.end * width];
            let (head, rest) = bytes.split_at(size_of_val(values));
            T::from_le(head, values);
            bytes = rest;
        }
        Ok(())
    }
}

impl Reader<'_> {
    /// Reads a column of ends, one for each of `width` environments, like [`column`](Reader::column). Returns all, those that
    /// were passed over too.
    pub(crate) fn ends(
        &mut self,
        ring: &mut [Option<End>],
        width: usize,
        steps: Range<u64>,
        from: u64,
    ) -> Result<Vec<Option<End>>> {
        let bytes = self.bytes(((steps.end - steps.start) as usize).saturating_mul(width))?;
        let end = |byte: &u8| match byte {
            0 => Some(None),
            1 => Some(Some(End::Terminated)),
            2 => Some(Some(End::Truncated)),
            _ => None,
        };
        let ends: Option<Vec<_>> = bytes.iter().map(end).collect();
        let ends = ends.ok_or_else(|| self.corrupt("an end of an unknown kind"))?;
        let from = from.clamp(steps.start, steps.end);
        let mut rest = &ends[(from - steps.start) as usize * width..];
        for piece in pieces(from..steps.end, ring.len() / width) {
            let (head, behind) = rest.split_at(piece.len() * width);
            ring[piece.start * width..piece.end * width].copy_from_slice(head);
            rest = behind;
        }
        Ok(ends)
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
