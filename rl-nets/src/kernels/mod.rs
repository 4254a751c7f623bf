//! The arithmetic of the fused path, also for custom modules: matrix products and element-wise loops, compiled for
//! each instruction set and selected at run time. All `unsafe` code of the workspace is in this module.
//!
//! Every loop has a fixed order and a fixed number of partial sums, so the result depends only on the processor.

pub(crate) mod conv;
mod im2row;
mod product;
mod threads;
mod transpose;

pub(crate) use im2row::Geometry;
pub use product::{Matrix, product};
use std::sync::OnceLock;
pub use threads::Threads;
pub use transpose::transpose;

/// Partial sums of a reduction: enough to fill the widest vector registers.
const LANES: usize = 16;

/// Runs `f` compiled for the best instruction set of this processor. `f` and all functions that it calls must be
/// marked `#[inline(always)]`.
///
/// ```
/// use rl_nets::kernels::{dispatch, tanh};
/// let mut x = [0.0, 1.0, -1.0];
/// dispatch(
///     #[inline(always)]
///     || x.iter_mut().for_each(|x| *x = tanh(*x)),
/// );
/// assert!((x[1] - 1.0f32.tanh()).abs() < 1e-6);
/// ```
#[inline(always)]
pub fn dispatch<R>(f: impl FnOnce() -> R) -> R {
    struct Call<F>(F);
    impl<R, F: FnOnce() -> R> pulp::NullaryFnOnce for Call<F> {
        type Output = R;
        #[inline(always)]
        fn call(self) -> R {
            (self.0)()
        }
    }
    arch().dispatch(Call(f))
}

/// This processor's best instruction set.
fn arch() -> pulp::Arch {
    static ARCH: OnceLock<pulp::Arch> = OnceLock::new();
    *ARCH.get_or_init(pulp::Arch::new)
}

/// Copies `bias` into each row of `out`, `[rows, bias.len()]`.
pub fn fill_rows(out: &mut [f32], bias: &[f32]) {
    let width = bias.len();
    if width < 8 * LANES && out.len() >= width {
        // Doubles the filled part for short rows, since one copy per row would be one call per row.
        out[..width].copy_from_slice(bias);
        let mut done = width;
        while done < out.len() {
            let more = done.min(out.len() - done);
            out.copy_within(..more, done);
            done += more;
        }
        return;
    }
    out.chunks_exact_mut(bias.len()).for_each(|row| row.copy_from_slice(bias));
}

/// `sum[j] += sum_i rows[i][j]`.
pub fn add_column_sums(sum: &mut [f32], rows: &[f32]) {
    /// The same with the sums in registers.
    #[inline(always)]
    fn narrow<const WIDTH: usize>(sum: &mut [f32], rows: &[f32]) {
        let mut sums = [0.0; WIDTH];
        sums.copy_from_slice(sum);
        for row in rows.chunks_exact(WIDTH) {
            for (s, x) in sums.iter_mut().zip(row) {
                *s += x;
            }
        }
        sum.copy_from_slice(&sums);
    }
    dispatch(
        #[inline(always)]
        || match sum.len() {
            16 => narrow::<16>(sum, rows),
            32 => narrow::<32>(sum, rows),
            64 => narrow::<64>(sum, rows),
            width => {
                for row in rows.chunks_exact(width) {
                    for (s, x) in sum.iter_mut().zip(row) {
                        *s += x;
                    }
                }
            }
        },
    );
}

/// The sum of squares. Partial sums within blocks are in single precision; blocks are added in double precision.
pub fn sum_of_squares(x: &[f32]) -> f64 {
    dispatch(
        #[inline(always)]
        || {
            let mut total = 0.0f64;
            for block in x.chunks(64 * LANES) {
                let mut lanes = [0.0f32; LANES];
                let mut rows = block.chunks_exact(LANES);
                for row in &mut rows {
                    for (lane, x) in lanes.iter_mut().zip(row) {
                        *lane = x.mul_add(*x, *lane);
                    }
                }
                for (lane, x) in lanes.iter_mut().zip(rows.remainder()) {
                    *lane = x.mul_add(*x, *lane);
                }
                total += lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>();
            }
            total
        },
    )
}

/// `x += tau (y - x)`: Polyak averaging.
pub fn move_towards(x: &mut [f32], y: &[f32], tau: f32) {
    dispatch(
        #[inline(always)]
        || x.iter_mut().zip(y).for_each(|(x, y)| *x = tau.mul_add(y - *x, *x)),
    );
}

/// The hyperbolic tangent with a relative error below 1e-6.
///
/// A rational function of degree 9/8 fitted to tanh on [-9.02, 9.02] (weighted least squares towards the minimax
/// solution, 2.1e-8 in exact arithmetic; the rest is rounding). Outside, the result is constant, within 1e-7 of ±1.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let x = x.clamp(-9.02, 9.02);
    let s = x * x;
    let p = 1.331_909_8e-8f32
        .mul_add(s, 2.058_350_3e-5)
        .mul_add(s, 3.494_036e-3)
        .mul_add(s, 0.133_797_19)
        .mul_add(s, 1.0);
    let q = 7.762_031e-7f32
        .mul_add(s, 3.283_095e-4)
        .mul_add(s, 2.587_108e-2)
        .mul_add(s, 0.467_130_34)
        .mul_add(s, 1.0);
    (x * p / q).clamp(-1.0, 1.0)
}

/// The exponential function with a relative error below 1e-6; arguments are clamped to [-87, 88],
/// where the result is a normal number.
///
/// `e^x = 2^n e^r` with `n = round(x / ln 2)`, `r` reduced in two parts (Cody and Waite), and the
/// Taylor polynomial of degree 7 on `|r| <= ln 2 / 2`.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-0.693_359_4, x);
    let r = n.mul_add(2.121_944_4e-4, r);
    let p = (1.0f32 / 5040.0)
        .mul_add(r, 1.0 / 720.0)
        .mul_add(r, 1.0 / 120.0)
        .mul_add(r, 1.0 / 24.0)
        .mul_add(r, 1.0 / 6.0)
        .mul_add(r, 0.5)
        .mul_add(r, 1.0)
        .mul_add(r, 1.0);
    // The integer is in the lowest bits of `shifted`; move it into the exponent.
    let power = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    p * f32::from_bits(power)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tanh_and_exp_keep_their_bounds(x in -20.0f32..20.0) {
            let (got, exact) = dispatch(|| (tanh(x), f64::from(x).tanh()));
            prop_assert!((f64::from(got) - exact).abs() <= 1e-6 * exact.abs(), "tanh {x}: {got} {exact}");
            let (got, exact) = dispatch(|| (exp(x), f64::from(x).exp()));
            prop_assert!((f64::from(got) - exact).abs() <= 1e-6 * exact, "exp {x}: {got} {exact}");
        }

        #[test]
        fn reductions_equal_the_plain_sums(x in prop::collection::vec(-9.0f32..9.0, 0..3000)) {
            let plain: f64 = x.iter().map(|x| f64::from(*x).powi(2)).sum();
            prop_assert!((sum_of_squares(&x) - plain).abs() <= 1e-5 * plain);
        }
    }

    #[test]
    fn extremes_are_tame() {
        let [high, low, zero] = dispatch(|| [tanh(1e30), tanh(-1e30), tanh(0.0)]);
        assert!((0.999_999..=1.0).contains(&high) && low == -high && zero == 0.0);
        assert_eq!(dispatch(|| exp(0.0)), 1.0);
        assert!(dispatch(|| exp(1e9)).is_finite() && dispatch(|| exp(-1e9)) > 0.0);
        assert!(dispatch(|| tanh(f32::NAN)).is_nan());
    }
}
