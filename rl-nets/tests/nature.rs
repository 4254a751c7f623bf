//! The network of Mnih et al. (2015) equals PyTorch's: its output and its gradient (tests/fixtures/nature.py).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use rl_core::Seeds;
use rl_nets::{Backend, Linear, Network, NetworkConfig, with_head};

/// The number in `[0, 1)`, of 24 bits, that the script gives an index.
fn hashed(i: usize) -> f64 {
    let h = (i as u32).wrapping_mul(2_654_435_761);
    let h = (h ^ (h >> 15)).wrapping_mul(2_246_822_519);
    f64::from((h ^ (h >> 13)) >> 8) / f64::from(1 << 24)
}

#[test]
fn output_and_gradient_equal_the_reference_data() {
    let data: serde_json::Value =
        serde_json::from_str(include_str!("fixtures/nature.json")).unwrap();
    let numbers = |key: &str| -> Vec<f64> {
        data[key].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
    };
    // Without candle there is the fused path alone.
    for backend in [Some(Backend::cpu()), Backend::by_name("reference").ok()].into_iter().flatten()
    {
        let head = |features| Linear::new(features, 6);
        let module = with_head(&NetworkConfig::nature(), &[4, 84, 84], head).unwrap();
        let mut rng = Seeds::new(0).stream("init", 0);
        let mut net = Network::new(module, &backend, &mut rng).unwrap();
        let mut params = Vec::new();
        let tensors: Vec<(std::ops::Range<usize>, usize)> = {
            let entries = net.layout().entries();
            let fan_in = |i: usize| entries[i - i % 2].shape[1..].iter().product();
            let ranges = entries.iter().scan(0, |start, entry| {
                let n = entry.shape.iter().product::<usize>();
                *start += n;
                Some(*start - n..*start)
            });
            ranges.enumerate().map(|(i, range)| (range, fan_in(i))).collect()
        };
        for (range, fan_in) in &tensors {
            let bound = (3.0 / *fan_in as f64).sqrt();
            params.extend(range.clone().map(|i| ((hashed(i) - 0.5) * 2.0 * bound) as f32));
        }
        net.set_params(&params).unwrap();
        let images: Vec<u8> =
            (0..2 * 4 * 84 * 84).map(|i| (hashed(i + 123_456_789) * 256.0) as u8).collect();
        let mut upstream: Vec<f32> =
            (0..12).map(|i| (hashed(i + 987_654_321) - 0.5) as f32).collect();
        net.zero_grads().unwrap();
        let pass = net.forward(&images[..]).unwrap();
        for (y, expected) in pass.output().iter().zip(numbers("output")) {
            assert!((f64::from(*y) - expected).abs() < 1e-5, "{y} {expected}");
        }
        pass.backward(&mut upstream).unwrap();
        let grads = net.grads().unwrap();
        let kept = numbers("gradient");
        assert_eq!(kept.len(), grads.len().div_ceil(4_001));
        for (g, expected) in grads.iter().step_by(4_001).zip(kept) {
            assert!((f64::from(*g) - expected).abs() < 1e-5, "{g} {expected}");
        }
        for ((range, _), (sum, norm)) in
            tensors.iter().zip(numbers("sums").iter().zip(numbers("norms")))
        {
            let of: Vec<f64> = grads[range.clone()].iter().map(|g| f64::from(*g)).collect();
            assert!((of.iter().sum::<f64>() - sum).abs() < 1e-4 * sum.abs().max(norm));
            let found = of.iter().map(|g| g * g).sum::<f64>().sqrt();
            assert!((found / norm - 1.0).abs() < 1e-5, "{found} {norm}");
        }
    }
}
