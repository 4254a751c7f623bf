//! Statistics over seeds, as recommended by Agarwal et al. (2021).

use rl_core::Seeds;

/// The interquartile mean: the mean of the middle half, with partial weights at its edges.
pub(crate) fn interquartile_mean(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let (low, high) = (n / 4.0, 3.0 * n / 4.0);
    let weight = |i: usize| ((i + 1) as f64).min(high) - (i as f64).max(low);
    let sum: f64 = sorted.iter().enumerate().map(|(i, v)| weight(i).max(0.0) * v).sum();
    sum / (high - low)
}

/// The median.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

/// A 95 % percentile-bootstrap interval of the interquartile mean, from 2,000 resamples.
pub(crate) fn bootstrap_interval(values: &[f64]) -> (f64, f64) {
    let mut rng = Seeds::new(0).stream("bootstrap", 0);
    let mut means: Vec<f64> = (0..2_000)
        .map(|_| {
            let draw: Vec<f64> = values.iter().map(|_| values[rng.below(values.len())]).collect();
            interquartile_mean(&draw)
        })
        .collect();
    means.sort_by(f64::total_cmp);
    (means[50], means[1_949])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_half() {
        assert_eq!(interquartile_mean(&[9.0, 1.0, 2.0, 3.0]), 2.5);
        // Ten values: the middle six, of which the outer two have weight one half.
        let ten: Vec<f64> = (0..10).map(f64::from).collect();
        assert_eq!(interquartile_mean(&ten), 4.5);
        assert_eq!(interquartile_mean(&[1e9, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, -1e9]), 1.0);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        let (low, high) = bootstrap_interval(&ten);
        assert!(low < 4.5 && 4.5 < high);
    }
}
