//! Conversion of images to rows of a matrix product (im2row).
//!
//! The interface uses images `[channels, height, width]`. Internally, images have channels last and include their
//! zero padding, `[height + 2 padding, width + 2 padding, channels]`, so that the pixels under one row of the kernel
//! are contiguous. A row of the left operand of the product contains the pixels under the kernel at one position, in
//! the order (kernel row, kernel column, channel).

use super::transpose::transpose;
use super::{LANES, dispatch};
use std::ops::Range;

/// The size of a block of rows: small enough to fit the second-level cache together with the weight.
const BLOCK: usize = 64 * 1024;

/// The dimensions of a convolution with a square kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    /// Channels of the input.
    pub channels: usize,
    /// Height and width of the input.
    pub size: [usize; 2],
    /// Height and width of the kernel.
    pub kernel: usize,
    /// The stride in pixels.
    pub stride: usize,
    /// Zero padding on each side of the image.
    pub padding: usize,
    /// Channels of the output.
    pub filters: usize,
    /// Height and width of the output.
    pub out: [usize; 2],
}

/// A block of positions: all positions of several images, or some rows of one.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// The range of images.
    pub images: Range<usize>,
    /// The range of rows of their outputs.
    pub lines: Range<usize>,
}

impl Geometry {
    /// The size of an input image.
    pub fn input_len(&self) -> usize {
        self.channels * self.size[0] * self.size[1]
    }

    /// The number of positions of the kernel in an image.
    pub fn positions(&self) -> usize {
        self.out[0] * self.out[1]
    }

    /// The size of an output image.
    pub fn output_len(&self) -> usize {
        self.filters * self.positions()
    }

    /// The number of elements that the kernel covers.
    pub fn depth(&self) -> usize {
        self.kernel * self.run()
    }

    /// Multiplications per image.
    pub fn work(&self) -> usize {
        self.positions() * self.depth() * self.filters
    }

    /// The number of elements that one row of the kernel covers.
    fn run(&self) -> usize {
        self.kernel * self.channels
    }

    /// The length of one line of a padded image.
    fn line(&self) -> usize {
        (self.size[1] + 2 * self.padding) * self.channels
    }

    /// The size of a padded image.
    pub(super) fn padded_len(&self) -> usize {
        (self.size[0] + 2 * self.padding) * self.line()
    }

    /// The number of images per block.
    pub fn images_together(&self) -> usize {
        (BLOCK / (self.positions() * self.depth())).max(1)
    }

    /// The blocks of `count` images, in order. All except the last have nearly equal sizes.
    pub(super) fn blocks(&self, count: usize) -> impl Iterator<Item = Block> + use<> {
        let (lines, together) = (self.out[0], self.images_together());
        let most = (BLOCK / (self.out[1] * self.depth())).clamp(1, lines);
        let step = lines.div_ceil(lines.div_ceil(most));
        (0..count).step_by(together).flat_map(move |image| {
            let images = image..count.min(image + together);
            (0..lines).step_by(step).map(move |line| Block {
                images: images.clone(),
                lines: line..lines.min(line + step),
            })
        })
    }

    /// The number of positions of a block.
    pub(super) fn positions_of(&self, block: &Block) -> usize {
        block.images.len() * block.lines.len() * self.out[1]
    }
}

/// Writes an image, `[channels, height, width]`, with channels last and padding.
pub(super) fn channels_last(geometry: &Geometry, image: &[f32], padded: &mut [f32]) {
    let Geometry { channels, size: [height, width], padding, .. } = *geometry;
    let pixels = height * width;
    if padding == 0 {
        return transpose((channels, pixels), (image, pixels), (padded, channels));
    }
    padded.fill(0.0);
    for y in 0..height {
        let at = (y + padding) * geometry.line() + padding * channels;
        let from = &image[y * width..];
        transpose((channels, width), (from, pixels), (&mut padded[at..], channels));
    }
}

/// The inverse: writes the image without padding as `[channels, height, width]`.
pub(super) fn channels_first(geometry: &Geometry, padded: &[f32], image: &mut [f32]) {
    let Geometry { channels, size: [height, width], padding, .. } = *geometry;
    let pixels = height * width;
    if padding == 0 {
        return transpose((pixels, channels), (padded, channels), (image, pixels));
    }
    for y in 0..height {
        let at = (y + padding) * geometry.line() + padding * channels;
        let to = &mut image[y * width..];
        transpose((width, channels), (&padded[at..], channels), (to, pixels));
    }
}

/// Elements read and written beyond the end of images and rows: runs are copied in whole vectors, and the next run
/// overwrites the excess.
pub(super) const BEYOND: usize = 3 * LANES;

/// Writes some columns of the rows of a block, `[positions, columns.len()]`; `padded` holds its images. Both buffers
/// are [`BEYOND`] elements longer than their contents.
pub(super) fn im2row(
    geometry: &Geometry,
    block: &Block,
    columns: Range<usize>,
    padded: &[f32],
    rows: &mut [f32],
) {
    // Short runs are copied by a fixed number of vector moves, without a loop.
    let copy = match geometry.run().div_ceil(LANES) {
        1 => copy_runs::<1>,
        2 => copy_runs::<2>,
        3 => copy_runs::<3>,
        _ => copy_runs::<0>,
    };
    copy(geometry, block, columns, padded, rows);
}

/// For runs of at most `VECTORS` vectors, or of any length if it is zero.
fn copy_runs<const VECTORS: usize>(
    geometry: &Geometry,
    block: &Block,
    columns: Range<usize>,
    padded: &[f32],
    rows: &mut [f32],
) {
    let (run, line) = (geometry.run(), geometry.line());
    let step = geometry.stride * geometry.channels;
    // The first kernel row and its number of skipped columns; the last kernel row.
    let (first, skipped) = (columns.start / run, columns.start % run);
    let last = (columns.end - 1) / run;
    dispatch(
        #[inline(always)]
        || {
            let mut end = 0;
            for image in 0..block.images.len() {
                for y in block.lines.clone() {
                    let corner = image * geometry.padded_len() + y * geometry.stride * line;
                    for x in 0..geometry.out[1] {
                        let mut at = end;
                        end += columns.len();
                        let mut from = corner + x * step + first * line + skipped;
                        let mut len = run - skipped;
                        for k in first..=last {
                            len = if k == last { end - at } else { len };
                            match VECTORS {
                                0 => copy_run(&padded[from..], &mut rows[at..], len),
                                _ => {
                                    let to = &mut rows[at..at + VECTORS * LANES];
                                    to.copy_from_slice(&padded[from..from + VECTORS * LANES]);
                                }
                            }
                            at += len;
                            from += line - (run - len);
                            len = run;
                        }
                    }
                }
            }
        },
    );
}

/// Copies at least `len` elements, in whole vectors.
#[inline(always)]
fn copy_run(from: &[f32], to: &mut [f32], len: usize) {
    let len = len.next_multiple_of(LANES);
    let chunks = to[..len].chunks_exact_mut(LANES).zip(from[..len].chunks_exact(LANES));
    chunks.for_each(|(to, from)| to.copy_from_slice(from));
}

/// Adds the rows of a block, `[positions, depth]`, to the pixels of its images that they were copied from.
pub(super) fn row2im(geometry: &Geometry, block: &Block, rows: &[f32], padded: &mut [f32]) {
    let (run, line) = (geometry.run(), geometry.line());
    let step = geometry.stride * geometry.channels;
    let mut rows = rows.chunks_exact(run);
    dispatch(
        #[inline(always)]
        || {
            for image in 0..block.images.len() {
                for y in block.lines.clone() {
                    let corner = image * geometry.padded_len() + y * geometry.stride * line;
                    for x in 0..geometry.out[1] {
                        let to = corner + x * step;
                        for (k, row) in rows.by_ref().take(geometry.kernel).enumerate() {
                            let to = &mut padded[to + k * line..][..run];
                            to.iter_mut().zip(row).for_each(|(t, s)| *t += s);
                        }
                    }
                }
            }
        },
    );
}
