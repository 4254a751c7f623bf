//! The passes of a convolution, as matrix products over blocks of rows.
//!
//! Each result is one chain of fused multiply-adds: an output in the order of the kernel, a weight gradient in the
//! order of the positions. So the result is bit-identical for any division into blocks and threads.

use super::im2row::{BEYOND, Geometry, channels_first, channels_last, im2row, row2im};
use super::{Matrix, dispatch, fill_rows, product, transpose};
use std::cell::RefCell;
use std::ops::Range;

/// Buffers of a thread for convolutions.
#[derive(Default)]
struct Scratch {
    /// The images of a block, with channels last.
    images: Vec<f32>,
    /// Its rows.
    rows: Vec<f32>,
    /// Its output, `[positions, filters]`.
    out: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
}

/// The first `len` elements of a buffer that only grows.
fn room(memory: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if memory.len() < len {
        memory.resize(len, 0.0);
    }
    &mut memory[..len]
}

/// Writes `bias` plus the sum of the convolutions of all terms to `out`, `[images, filters, positions]`. A term has
/// images, `[images, channels, height, width]`, and a kernel as returned by [`kernel_rows`].
pub(crate) fn convolve(
    geometry: &Geometry,
    bias: &[f32],
    terms: &[(&[f32], &[f32])],
    out: &mut [f32],
) {
    let (filters, depth, positions) = (geometry.filters, geometry.depth(), geometry.positions());
    let (input_len, padded_len) = (geometry.input_len(), geometry.padded_len());
    let count = out.len() / geometry.output_len();
    let slot = geometry.images_together() * padded_len + BEYOND;
    SCRATCH.with_borrow_mut(|Scratch { images, rows, out: products }| {
        let slots = room(images, terms.len() * slot);
        for block in geometry.blocks(count) {
            let here = geometry.positions_of(&block);
            let products = room(products, here * filters);
            fill_rows(products, bias);
            for ((images, kernel), padded) in terms.iter().zip(slots.chunks_exact_mut(slot)) {
                if block.lines.start == 0 {
                    let images = images[block.images.start * input_len..].chunks_exact(input_len);
                    let padded = padded.chunks_exact_mut(padded_len).take(block.images.len());
                    padded.zip(images).for_each(|(to, from)| channels_last(geometry, from, to));
                }
                let rows = room(rows, here * depth + BEYOND);
                im2row(geometry, &block, 0..depth, padded, rows);
                let rows = Matrix::new(&rows[..here * depth], here, depth);
                product(products, rows, Matrix::new(kernel, depth, filters), true);
            }
            let (lines, width) = (block.lines.len() * geometry.out[1], geometry.out[1]);
            for (image, products) in block.images.zip(products.chunks_exact(lines * filters)) {
                let to = &mut out[image * filters * positions + block.lines.start * width..];
                transpose((lines, filters), (products, filters), (to, positions));
            }
        }
    });
}

/// Adds some rows of the kernel gradient, `[columns.len(), filters]`, given images and the gradient of the
/// convolution's output, `[images, positions, filters]`.
pub(crate) fn kernel_gradient(
    geometry: &Geometry,
    images: &[f32],
    grad: &[f32],
    columns: Range<usize>,
    out: &mut [f32],
) {
    let (filters, positions) = (geometry.filters, geometry.positions());
    let (input_len, padded_len) = (geometry.input_len(), geometry.padded_len());
    let width = columns.len();
    SCRATCH.with_borrow_mut(|scratch| {
        let padded = room(&mut scratch.images, geometry.images_together() * padded_len + BEYOND);
        for block in geometry.blocks(images.len() / input_len) {
            let here = geometry.positions_of(&block);
            if block.lines.start == 0 {
                let images = images[block.images.start * input_len..].chunks_exact(input_len);
                let padded = padded.chunks_exact_mut(padded_len).take(block.images.len());
                padded.zip(images).for_each(|(to, from)| channels_last(geometry, from, to));
            }
            let rows = room(&mut scratch.rows, here * width + BEYOND);
            im2row(geometry, &block, columns.clone(), padded, rows);
            let first = block.images.start * positions + block.lines.start * geometry.out[1];
            let grad = Matrix::new(&grad[first * filters..][..here * filters], here, filters);
            product(out, Matrix::new(&rows[..here * width], here, width).t(), grad, true);
        }
    });
}

/// Writes the gradient of the images, given that of the convolution's output, `[images, positions, filters]`, and the
/// kernel as returned by [`kernel_columns`].
pub(crate) fn image_gradient(geometry: &Geometry, kernel: &[f32], grad: &[f32], out: &mut [f32]) {
    let (filters, depth, positions) = (geometry.filters, geometry.depth(), geometry.positions());
    let (input_len, padded_len) = (geometry.input_len(), geometry.padded_len());
    let kernel = Matrix::new(kernel, filters, depth);
    SCRATCH.with_borrow_mut(|scratch| {
        let padded = room(&mut scratch.images, geometry.images_together() * padded_len);
        for block in geometry.blocks(out.len() / input_len) {
            let here = geometry.positions_of(&block);
            let first = block.images.start * positions + block.lines.start * geometry.out[1];
            let grad = Matrix::new(&grad[first * filters..][..here * filters], here, filters);
            let rows = room(&mut scratch.rows, here * depth);
            product(rows, grad, kernel, false);
            if block.lines.start == 0 {
                padded.fill(0.0);
            }
            row2im(geometry, &block, rows, padded);
            if block.lines.end == geometry.out[0] {
                let images = out[block.images.start * input_len..].chunks_exact_mut(input_len);
                let padded = padded.chunks_exact(padded_len).take(block.images.len());
                padded.zip(images).for_each(|(from, to)| channels_first(geometry, from, to));
            }
        }
    });
}

/// The weight, `[filters, channels, kernel, kernel]`, as the right operand of the forward product: `[kernel,
/// kernel, channels, filters]`.
pub(crate) fn kernel_rows(geometry: &Geometry, weight: &[f32], out: &mut [f32]) {
    let (channels, filters) = (geometry.channels, geometry.filters);
    let square = geometry.kernel * geometry.kernel;
    for c in 0..channels {
        let from = (&weight[c * square..], channels * square);
        transpose((filters, square), from, (&mut out[c * filters..], channels * filters));
    }
}

/// The weight as the right operand of the image gradient's product: `[filters, kernel, kernel, channels]`.
pub(crate) fn kernel_columns(geometry: &Geometry, weight: &[f32], out: &mut [f32]) {
    let (channels, square) = (geometry.channels, geometry.kernel * geometry.kernel);
    let depth = channels * square;
    for (from, to) in weight.chunks_exact(depth).zip(out.chunks_exact_mut(depth)) {
        transpose((channels, square), (from, square), (to, channels));
    }
}

/// Adds the kernel gradient, in the order of [`kernel_rows`], to that of the weight; `spare` has the same length.
pub(crate) fn add_kernel(geometry: &Geometry, kernel: &[f32], spare: &mut [f32], out: &mut [f32]) {
    let (channels, filters) = (geometry.channels, geometry.filters);
    let square = geometry.kernel * geometry.kernel;
    for c in 0..channels {
        let from = (&kernel[c * filters..], channels * filters);
        transpose((square, filters), from, (&mut spare[c * square..], channels * square));
    }
    dispatch(
        #[inline(always)]
        || out.iter_mut().zip(&*spare).for_each(|(o, s)| *o += s),
    );
}
