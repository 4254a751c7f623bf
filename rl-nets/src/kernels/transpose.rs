//! Matrix transposition, in blocks that stay in registers.

use super::dispatch;

/// Writes the transpose of `from`, `[rows, columns]`, to `to`, `[columns, rows]`, given the row stride of each.
pub fn transpose(
    (rows, columns): (usize, usize),
    (from, from_stride): (&[f32], usize),
    (to, to_stride): (&mut [f32], usize),
) {
    dispatch(
        #[inline(always)]
        || transpose_inlined((rows, columns), (from, from_stride), (to, to_stride)),
    );
}

/// The same, for callers already compiled for the instruction set.
#[inline(always)]
fn transpose_inlined(
    (rows, columns): (usize, usize),
    (from, from_stride): (&[f32], usize),
    (to, to_stride): (&mut [f32], usize),
) {
    if rows == 1 && to_stride == 1 {
        return to[..columns].copy_from_slice(&from[..columns]);
    }
    if columns == 1 && from_stride == 1 {
        return to[..rows].copy_from_slice(&from[..rows]);
    }
    let shuffles = shuffles();
    let mut row = 0;
    // Blocks of eight rows by four columns, then of four rows by eight; the remainder element by element.
    while rows - row >= 8 {
        let whole = columns / 4 * 4;
        for column in (0..whole).step_by(4) {
            let block = &from[row * from_stride + column..];
            tall_block(
                shuffles,
                block,
                from_stride,
                &mut to[column * to_stride + row..],
                to_stride,
            );
        }
        one_by_one((row, 8), (whole, columns), (from, from_stride), (to, to_stride));
        row += 8;
    }
    if rows - row >= 4 {
        let whole = columns / 8 * 8;
        for column in (0..whole).step_by(8) {
            let block = &from[row * from_stride + column..];
            wide_block(
                shuffles,
                block,
                from_stride,
                &mut to[column * to_stride + row..],
                to_stride,
            );
        }
        one_by_one((row, 4), (whole, columns), (from, from_stride), (to, to_stride));
        row += 4;
    }
    one_by_one((row, rows - row), (0, columns), (from, from_stride), (to, to_stride));
}

/// Transposes `count` rows starting at `row`, and a range of columns.
#[inline(always)]
fn one_by_one(
    (row, count): (usize, usize),
    (first, end): (usize, usize),
    (from, from_stride): (&[f32], usize),
    (to, to_stride): (&mut [f32], usize),
) {
    if count == 0 {
        return;
    }
    for column in first..end {
        let to = &mut to[column * to_stride + row..][..count];
        let from = from[row * from_stride + column..].iter().step_by(from_stride);
        to.iter_mut().zip(from).for_each(|(t, s)| *t = *s);
    }
}

/// Transposes eight rows of four into four rows of eight.
#[inline(always)]
pub(super) fn tall_block(
    shuffles: Shuffles,
    from: &[f32],
    from_stride: usize,
    to: &mut [f32],
    to_stride: usize,
) {
    let mut rows = [[0.0; 8]; 4];
    // Rows `j` and `j + 4` side by side.
    for (j, row) in rows.iter_mut().enumerate() {
        row[..4].copy_from_slice(&from[j * from_stride..][..4]);
        row[4..].copy_from_slice(&from[(j + 4) * from_stride..][..4]);
    }
    for (i, column) in squares(shuffles, rows).into_iter().enumerate() {
        to[i * to_stride..][..8].copy_from_slice(&column);
    }
}

/// Transposes four rows of eight into eight rows of four.
#[inline(always)]
fn wide_block(
    shuffles: Shuffles,
    from: &[f32],
    from_stride: usize,
    to: &mut [f32],
    to_stride: usize,
) {
    let mut rows = [[0.0; 8]; 4];
    for (j, row) in rows.iter_mut().enumerate() {
        row.copy_from_slice(&from[j * from_stride..][..8]);
    }
    for (i, pair) in squares(shuffles, rows).into_iter().enumerate() {
        to[i * to_stride..][..4].copy_from_slice(&pair[..4]);
        to[(i + 4) * to_stride..][..4].copy_from_slice(&pair[4..]);
    }
}

/// The shuffle instructions, if the processor has them.
#[cfg(target_arch = "x86_64")]
pub(super) type Shuffles = Option<pulp::x86::V3>;
#[cfg(not(target_arch = "x86_64"))]
pub(super) type Shuffles = ();

/// This processor's.
pub(super) fn shuffles() -> Shuffles {
    #[cfg(target_arch = "x86_64")]
    {
        static SHUFFLES: std::sync::OnceLock<Shuffles> = std::sync::OnceLock::new();
        *SHUFFLES.get_or_init(pulp::x86::V3::try_new)
    }
}

/// Transposes the two adjacent four-by-four squares in `rows`, each in place.
#[inline(always)]
fn squares(shuffles: Shuffles, rows: [[f32; 8]; 4]) -> [[f32; 8]; 4] {
    #[cfg(target_arch = "x86_64")]
    if let Some(v3) = shuffles {
        use std::arch::x86_64::__m256;
        let avx = v3.avx;
        let [r0, r1, r2, r3]: [__m256; 4] = pulp::cast(rows);
        // Two rounds of interleaving.
        let (t0, t1) = (avx._mm256_unpacklo_ps(r0, r1), avx._mm256_unpackhi_ps(r0, r1));
        let (t2, t3) = (avx._mm256_unpacklo_ps(r2, r3), avx._mm256_unpackhi_ps(r2, r3));
        return [
            pulp::cast(avx._mm256_shuffle_ps::<0b01_00_01_00>(t0, t2)),
            pulp::cast(avx._mm256_shuffle_ps::<0b11_10_11_10>(t0, t2)),
            pulp::cast(avx._mm256_shuffle_ps::<0b01_00_01_00>(t1, t3)),
            pulp::cast(avx._mm256_shuffle_ps::<0b11_10_11_10>(t1, t3)),
        ];
    }
    let _ = shuffles;
    std::array::from_fn(|i| std::array::from_fn(|j| rows[j % 4][i + j / 4 * 4]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_changes_places() {
        for rows in 1..22 {
            for columns in 1..22 {
                let (from_stride, to_stride) = (columns + rows % 3, rows + columns % 2);
                let from: Vec<f32> = (0..rows * from_stride).map(|i| i as f32).collect();
                let mut to = vec![-1.0; columns * to_stride];
                transpose((rows, columns), (&from, from_stride), (&mut to, to_stride));
                for (j, row) in to.chunks_exact(to_stride).enumerate() {
                    for (i, &x) in row.iter().enumerate() {
                        let expected = if i < rows { from[i * from_stride + j] } else { -1.0 };
                        assert_eq!(x, expected, "[{rows}, {columns}] at ({i}, {j})");
                    }
                }
            }
        }
    }

    #[test]
    fn squares_are_the_same_without_shuffles() {
        let rows = std::array::from_fn(|i| std::array::from_fn(|j| (10 * i + j) as f32));
        let plain: [[f32; 8]; 4] =
            std::array::from_fn(|i| std::array::from_fn(|j| rows[j % 4][i + j / 4 * 4]));
        assert_eq!(dispatch(|| squares(shuffles(), rows)), plain);
    }
}
