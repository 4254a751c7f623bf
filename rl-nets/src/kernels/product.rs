//! Matrix products of the sizes that occur in small networks.
//!
//! The output is computed in tiles that stay in registers. Operands stored in order are read directly; a right
//! operand that is not is copied into panels as wide as a tile, in buffers of each thread. A thread allocates nothing
//! once it has computed a product of the same size.
//!
//! Each element is one chain of fused multiply-adds: it starts from the previous output and follows the inner
//! dimension in order. So the result is bit-identical for any tile size, any division of rows among calls, and any
//! vector width. The only exception is a product of few rows or columns with an operand stored by columns ([`Dots`]),
//! which uses several partial sums.

use super::arch;
use super::transpose::{shuffles, tall_block};
use pulp::{Simd, WithSimd};
use std::cell::RefCell;
use std::ops::Range;

/// A matrix as a slice, its shape, and the strides of its rows and columns, one of which is 1.
///
/// ```
/// use rl_nets::kernels::{Matrix, product};
/// let a = Matrix::new(&[1.0, 2.0, 3.0, 4.0], 2, 2);
/// let mut out = [0.0; 4];
/// product(&mut out, a, a.t(), false);
/// assert_eq!(out, [5.0, 11.0, 11.0, 25.0]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    stride: usize,
    /// Whether `data` is in column-major order.
    transposed: bool,
}

impl<'a> Matrix<'a> {
    /// `data` in row-major order, `[rows, columns]`.
    ///
    /// # Panics
    /// If the length of the data does not match the shape.
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(data.len(), rows * columns, "a matrix's data fill its shape");
        Matrix { data, rows, columns, stride: columns, transposed: false }
    }

    /// The transposed matrix on the same data.
    pub fn t(self) -> Self {
        Matrix { rows: self.columns, columns: self.rows, transposed: !self.transposed, ..self }
    }

    /// A range of rows.
    ///
    /// # Panics
    /// If the range is empty or out of bounds.
    pub fn rows(self, rows: Range<usize>) -> Self {
        assert!(rows.start < rows.end && rows.end <= self.rows, "the rows are there");
        Matrix { data: &self.data[self.at(rows.start, 0)..], rows: rows.len(), ..self }
    }

    /// The index of element `(i, j)`.
    fn at(&self, i: usize, j: usize) -> usize {
        if self.transposed { j * self.stride + i } else { i * self.stride + j }
    }
}

/// Buffers of a thread for products.
#[derive(Default)]
struct Scratch {
    tiles: Tiles,
    /// An output computed in transposed form.
    output: Vec<f32>,
}

#[derive(Default)]
struct Tiles {
    /// A panel of the right operand.
    panel: Vec<f32>,
    /// The output columns that do not fill a panel; unspecified values beyond them.
    edge: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
}

/// The number of rows of the right operand processed at a time, so that a panel of them stays in the first-level
/// cache.
const DEPTH: usize = 256;

/// A product with a right operand stored by columns uses dot products, of at least `LONG` elements, if it has fewer
/// than `FEW` rows or columns.
pub(super) const FEW: usize = 8;
const LONG: usize = 16;

/// `out = a b`, or `out += a b` if `accumulate`; `out` is in row-major order.
///
/// # Panics
/// If the shapes do not match.
pub fn product(out: &mut [f32], a: Matrix<'_>, b: Matrix<'_>, accumulate: bool) {
    // These hold for all callers; the unsafe code below relies on them.
    assert_eq!(a.columns, b.rows, "inner dimensions agree");
    assert_eq!(out.len(), a.rows * b.columns, "the output fills its shape");
    if !accumulate {
        out.fill(0.0);
    }
    if out.is_empty() || a.columns == 0 {
        return;
    }
    if by_dots(&a, &b) {
        arch().dispatch(Dots { out, a, b });
    } else {
        SCRATCH.with_borrow_mut(|scratch| arch().dispatch(Tiled { out, a, b, scratch }));
    }
}

fn by_dots(a: &Matrix<'_>, b: &Matrix<'_>) -> bool {
    let few = a.rows < FEW || b.columns < FEW;
    b.transposed && !a.transposed && few && a.columns >= LONG
}

/// A product by tiles.
struct Tiled<'a> {
    out: &'a mut [f32],
    a: Matrix<'a>,
    b: Matrix<'a>,
    scratch: &'a mut Scratch,
}

impl WithSimd for Tiled<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Tiled { out, a, b, scratch } = self;
        let (m, n) = (a.rows, b.columns);
        let vectors = |n: usize| n.div_ceil(S::F32_LANES);
        // Few columns use vectors inefficiently, so the transposed product is computed.
        if a.transposed && !b.transposed && 5 * n * vectors(m) < 4 * m * vectors(n) {
            let Scratch { tiles: memory, output } = scratch;
            output.resize(out.len(), 0.0);
            for (j, row) in output.chunks_exact_mut(m).enumerate() {
                row.iter_mut().zip(out[j..].iter().step_by(n)).for_each(|(t, s)| *t = *s);
            }
            tiles(simd, output, b.t(), a.t(), memory);
            for (j, row) in output.chunks_exact(m).enumerate() {
                out[j..].iter_mut().step_by(n).zip(row).for_each(|(t, s)| *t = *s);
            }
            return;
        }
        tiles(simd, out, a, b, &mut scratch.tiles);
    }
}

/// `out += a b`, tile by tile.
#[inline(always)]
fn tiles<S: Simd>(simd: S, out: &mut [f32], a: Matrix<'_>, b: Matrix<'_>, scratch: &mut Tiles) {
    let Tiles { panel, edge } = scratch;
    let (m, n, k) = (a.rows, b.columns, a.columns);
    // As many sums as fit in registers beside a row of the right operand.
    let many = S::REGISTER_COUNT >= 32;
    for from in (0..k).step_by(DEPTH) {
        let depth = DEPTH.min(k - from);
        let mut column = 0;
        while column < n {
            let left = n - column;
            let vectors = match left.div_ceil(S::F32_LANES) {
                4.. if many => 4,
                2.. => 2,
                _ => 1,
            };
            let most_rows = match (many, vectors) {
                (true, 4) => 6,
                (true, _) => 12,
                (false, _) => 6,
            };
            let width = vectors * S::F32_LANES;
            let there = width.min(left);
            let (right, right_stride) = if b.transposed || there < width {
                (pack(panel, b, (from, depth), (column, width)), width)
            } else {
                (&b.data[b.at(from, column)..], b.stride)
            };
            assert!(right.len() >= (depth - 1) * right_stride + width, "the panel lies inside");
            let ragged = there < width;
            if ragged {
                edge.resize(m * width, 0.0);
                copy_columns(out, n, column, edge, width, 0, there);
            }
            let (target, out_stride, at) =
                if ragged { (&mut edge[..], width, 0) } else { (&mut *out, n, column) };
            let mut row = 0;
            while row < m {
                // Tiles of nearly equal height, so that none is too small to use the arithmetic units fully.
                let tiles_left = (m - row).div_ceil(most_rows);
                let rows = (m - row).div_ceil(tiles_left);
                let tile = Tile {
                    depth,
                    left: &a.data[a.at(row, from)..],
                    left_stride: a.stride,
                    right,
                    right_stride,
                    out: &mut target[row * out_stride + at..],
                    out_stride,
                };
                tile.run_any(simd, rows, vectors, a.transposed);
                row += rows;
            }
            if ragged {
                copy_columns(edge, width, 0, out, n, column, there);
            }
            column += width;
        }
    }
}

/// Copies `count` columns from one matrix to another with the same number of rows, given the width and the first
/// column of each.
fn copy_columns(
    from: &[f32],
    from_width: usize,
    from_column: usize,
    to: &mut [f32],
    to_width: usize,
    to_column: usize,
    count: usize,
) {
    for (from, to) in from.chunks_exact(from_width).zip(to.chunks_exact_mut(to_width)) {
        to[to_column..][..count].copy_from_slice(&from[from_column..][..count]);
    }
}

/// A tile of the output and the corresponding parts of the operands.
struct Tile<'a> {
    depth: usize,
    left: &'a [f32],
    left_stride: usize,
    right: &'a [f32],
    right_stride: usize,
    out: &'a mut [f32],
    out_stride: usize,
}

impl Tile<'_> {
    #[inline(always)]
    fn run_any<S: Simd>(self, simd: S, rows: usize, vectors: usize, transposed: bool) {
        macro_rules! run {
            ($($rows:literal $vectors:literal)*) => {
                match (rows, vectors, transposed) {
                    $(
                        ($rows, $vectors, false) => self.run::<S, $rows, $vectors, false>(simd),
                        ($rows, $vectors, true) => self.run::<S, $rows, $vectors, true>(simd),
                    )*
                    _ => unreachable!("a tile has 1 to 12 rows of 1 or 2 vectors, or 1 to 6 of 4"),
                }
            };
        }
        run!(
            1 1  2 1  3 1  4 1  5 1  6 1  7 1  8 1  9 1  10 1  11 1  12 1
            1 2  2 2  3 2  4 2  5 2  6 2  7 2  8 2  9 2  10 2  11 2  12 2
            1 4  2 4  3 4  4 4  5 4  6 4
        );
    }

    /// `ROWS` rows of `VECTORS` vectors.
    #[inline(always)]
    fn run<S: Simd, const ROWS: usize, const VECTORS: usize, const TRANSPOSED: bool>(
        self,
        simd: S,
    ) {
        let Tile { depth, left, left_stride, right, right_stride, out, out_stride } = self;
        let lanes = S::F32_LANES;
        let width = VECTORS * lanes;
        let last = match TRANSPOSED {
            true => (depth - 1) * left_stride + ROWS - 1,
            false => (ROWS - 1) * left_stride + depth - 1,
        };
        assert!(left.len() > last, "the left operand's part lies inside");
        assert!(right.len() >= (depth - 1) * right_stride + width, "so does the right's");
        assert!(out.len() >= (ROWS - 1) * out_stride + width, "and the output's");
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
        for (r, sums) in sums.iter_mut().enumerate() {
            for (v, sum) in sums.iter_mut().enumerate() {
                // SAFETY: row `r` has `width` elements from `r * out_stride` on, as asserted above: VECTORS
                // vectors of `lanes` floats each without padding.
                #[allow(unsafe_code)]
                unsafe {
                    let from = out.as_ptr().add(r * out_stride + v * lanes);
                    *sum = from.cast::<S::f32s>().read_unaligned();
                }
            }
        }
        let (mut a, mut b) = (left.as_ptr(), right.as_ptr());
        for _ in 0..depth {
            // SAFETY: in the last round the furthest element read of the left operand is `last`, and of
            // the right one `VECTORS` vectors from `(depth - 1) * right_stride` on; both lie inside, as
            // asserted above. The pointers end at most a stride beyond, without being read there.
            #[allow(unsafe_code)]
            unsafe {
                let mut row = [simd.splat_f32s(0.0); VECTORS];
                for (v, x) in row.iter_mut().enumerate() {
                    *x = b.add(v * lanes).cast::<S::f32s>().read_unaligned();
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let x = *a.add(if TRANSPOSED { r } else { r * left_stride });
                    let x = simd.splat_f32s(x);
                    for (sum, y) in sums.iter_mut().zip(row) {
                        *sum = simd.mul_add_f32s(x, y, *sum);
                    }
                }
                a = a.wrapping_add(if TRANSPOSED { left_stride } else { 1 });
                b = b.wrapping_add(right_stride);
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                // SAFETY: as where the sums were read.
                #[allow(unsafe_code)]
                unsafe {
                    let to = out.as_mut_ptr().add(r * out_stride + v * lanes);
                    to.cast::<S::f32s>().write_unaligned(*sum);
                }
            }
        }
    }
}

/// Copies `depth` rows and `width` columns of `b` into the panel, `[depth, width]`, with zeros outside `b`.
#[inline(always)]
fn pack<'a>(
    panel: &'a mut Vec<f32>,
    b: Matrix<'_>,
    (from, depth): (usize, usize),
    (column, width): (usize, usize),
) -> &'a [f32] {
    panel.resize(panel.len().max(depth * width), 0.0);
    let panel = &mut panel[..depth * width];
    let there = width.min(b.columns - column);
    if there < width {
        panel.fill(0.0);
    }
    if !b.transposed {
        for (i, row) in panel.chunks_exact_mut(width).enumerate() {
            row[..there].copy_from_slice(&b.data[b.at(from + i, column)..][..there]);
        }
        return panel;
    }
    let shuffles = shuffles();
    let (blocks, deep) = (there / 8 * 8, depth / 4 * 4);
    for j in (0..blocks).step_by(8) {
        for i in (0..deep).step_by(4) {
            let block = &b.data[b.at(from + i, column + j)..];
            tall_block(shuffles, block, b.stride, &mut panel[i * width + j..], width);
        }
    }
    for j in 0..there {
        let source = &b.data[b.at(from, column + j)..][..depth];
        let start = if j < blocks { deep } else { 0 };
        for (i, x) in source.iter().enumerate().skip(start) {
            panel[i * width + j] = *x;
        }
    }
    panel
}

/// A product with both operands contiguous along the inner dimension, by dot products with several partial sums.
struct Dots<'a> {
    out: &'a mut [f32],
    a: Matrix<'a>,
    b: Matrix<'a>,
}

impl WithSimd for Dots<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Dots { out, a, b } = self;
        const SIDE: usize = 4;
        for row in (0..a.rows).step_by(SIDE) {
            for column in (0..b.columns).step_by(SIDE) {
                let tile = (SIDE.min(a.rows - row), SIDE.min(b.columns - column));
                macro_rules! run {
                    ($($rows:literal $columns:literal)*) => {
                        match tile {
                            $(($rows, $columns) => {
                                dot_tile::<S, $rows, $columns>(simd, out, a, b, (row, column));
                            })*
                            _ => unreachable!("a tile has 1 to 4 rows and columns"),
                        }
                    };
                }
                run!(1 1  2 1  3 1  4 1  1 2  2 2  3 2  4 2  1 3  2 3  3 3  4 3  1 4  2 4  3 4  4 4);
            }
        }
    }
}

#[inline(always)]
fn dot_tile<S: Simd, const ROWS: usize, const COLUMNS: usize>(
    simd: S,
    out: &mut [f32],
    a: Matrix<'_>,
    b: Matrix<'_>,
    (row, column): (usize, usize),
) {
    let k = a.columns;
    let left: [_; ROWS] =
        std::array::from_fn(|r| S::as_simd_f32s(&a.data[(row + r) * a.stride..][..k]));
    let right: [_; COLUMNS] =
        std::array::from_fn(|c| S::as_simd_f32s(&b.data[(column + c) * b.stride..][..k]));
    let mut sums = [[simd.splat_f32s(0.0); COLUMNS]; ROWS];
    for i in 0..k / S::F32_LANES {
        let ys: [_; COLUMNS] = std::array::from_fn(|c| right[c].0[i]);
        for (sums, (x, _)) in sums.iter_mut().zip(left) {
            for (sum, y) in sums.iter_mut().zip(ys) {
                *sum = simd.mul_add_f32s(x[i], y, *sum);
            }
        }
    }
    if !k.is_multiple_of(S::F32_LANES) {
        let ys: [_; COLUMNS] = std::array::from_fn(|c| simd.partial_load_f32s(right[c].1));
        for (sums, (_, x)) in sums.iter_mut().zip(left) {
            let x = simd.partial_load_f32s(x);
            for (sum, y) in sums.iter_mut().zip(ys) {
                *sum = simd.mul_add_f32s(x, y, *sum);
            }
        }
    }
    for (r, sums) in sums.into_iter().enumerate() {
        let row = &mut out[(row + r) * b.columns + column..][..COLUMNS];
        row.iter_mut().zip(sums).for_each(|(o, sum)| *o += simd.reduce_sum_f32s(sum));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Two operands and the previous output.
    #[derive(Debug)]
    struct Case {
        shape: (usize, usize, usize),
        transposed: (bool, bool),
        a: Vec<f32>,
        b: Vec<f32>,
        start: Vec<f32>,
    }

    fn cases() -> impl Strategy<Value = Case> {
        // The least that has tiles of every kind and two rounds of `DEPTH`, for Miri, which interprets each step.
        #[cfg(miri)]
        let shape = prop_oneof![
            (1usize..14, 1usize..40, 0usize..5),
            (1usize..3, 1usize..10, 250usize..270)
        ];
        #[cfg(not(miri))]
        let shape = prop_oneof![
            (1usize..60, 1usize..90, 0usize..40),
            (1usize..20, 1usize..20, 200usize..600),
        ];
        (shape, any::<(bool, bool)>(), any::<u64>()).prop_map(|((m, n, k), transposed, seed)| {
            let mut rng = rl_core::Seeds::new(seed).stream("t", 0);
            let mut draw = |n: usize| (0..n).map(|_| rng.normal() as f32).collect::<Vec<_>>();
            Case {
                shape: (m, n, k),
                transposed,
                a: draw(m * k),
                b: draw(k * n),
                start: draw(m * n),
            }
        })
    }

    impl Case {
        fn operands(&self) -> (Matrix<'_>, Matrix<'_>) {
            let matrix = |data, transposed: bool, rows, columns| match transposed {
                false => Matrix::new(data, rows, columns),
                true => Matrix::new(data, columns, rows).t(),
            };
            let (m, n, k) = self.shape;
            (matrix(&self.a, self.transposed.0, m, k), matrix(&self.b, self.transposed.1, k, n))
        }

        /// Each element as one chain of fused multiply-adds.
        fn chains(&self, accumulate: bool) -> Vec<f32> {
            let ((m, n, k), (a, b)) = (self.shape, self.operands());
            let mut out = if accumulate { self.start.clone() } else { vec![0.0; m * n] };
            for (i, row) in out.chunks_exact_mut(n).enumerate() {
                for (j, x) in row.iter_mut().enumerate() {
                    *x = (0..k).fold(*x, |x, l| a.data[a.at(i, l)].mul_add(b.data[b.at(l, j)], x));
                }
            }
            out
        }
    }

    proptest! {
        #[test]
        fn products_are_the_chains_that_define_them(case in cases(), accumulate: bool) {
            let (a, b) = case.operands();
            let mut out = case.start.clone();
            product(&mut out, a, b, accumulate);
            let expected = case.chains(accumulate);
            if !by_dots(&a, &b) {
                prop_assert_eq!(out, expected);
                return Ok(());
            }
            // With several partial sums the order differs. Rounding errors grow with the magnitudes of the terms.
            let scale: f32 = case.shape.2 as f32 * 10.0 * f32::EPSILON;
            for (x, y) in out.iter().zip(&expected) {
                prop_assert!((x - y).abs() <= scale * (1.0 + y.abs()), "{x} {y}");
            }
        }

        /// Results are bit-identical on every instruction set and vector width.
        #[test]
        fn tiles_are_the_same_chains_on_each_instruction_set(case in cases()) {
            let (a, b) = case.operands();
            prop_assume!(case.shape.2 > 0);
            let expected = case.chains(true);
            let run = |vectorize: &dyn Fn(Tiled<'_>)| {
                let (mut out, mut scratch) = (case.start.clone(), Scratch::default());
                vectorize(Tiled { out: &mut out, a, b, scratch: &mut scratch });
                out
            };
            prop_assert_eq!(run(&|tiled| tiled.with_simd(pulp::Scalar)), expected.clone());
            #[cfg(target_arch = "x86_64")]
            if let Some(v3) = pulp::x86::V3::try_new() {
                prop_assert_eq!(run(&|tiled| Simd::vectorize(v3, tiled)), expected);
            }
        }
    }
}
