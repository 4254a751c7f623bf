//! Distributions and policy losses against numbers that PyTorch computed (fixtures/generate.py), and
//! against finite differences.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use proptest::prelude::prop;
use proptest::{prop_assert, proptest};
use rl_core::Seeds;
use rl_nets::{
    ActorCritic, Backend, Categorical, Coefficients, DiagGaussian, Distribution, MlpConfig,
    Network, PolicyRows, policy_gradient, ppo_clip,
};
use serde_json::Value;

fn fixture(name: &str) -> Value {
    let path = format!("{}/tests/fixtures/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn flat(value: &Value) -> Vec<f32> {
    match value {
        Value::Array(items) => items.iter().flat_map(flat).collect(),
        number => vec![number.as_f64().unwrap() as f32],
    }
}

fn assert_close(what: &str, got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1e-3f32, |m, x| m.max(x.abs()));
    for (i, (a, b)) in got.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= 1e-5 * scale, "{what}[{i}]: {a}, PyTorch has {b}");
    }
}

#[test]
fn the_categorical_distribution() {
    let data = &fixture("distributions")["categorical"];
    let (logits, other) = (flat(&data["logits"]), flat(&data["other_logits"]));
    let actions: Vec<u32> = flat(&data["actions"]).iter().map(|&a| a as u32).collect();
    let d = Categorical::new(4);
    let (mut grad, mut grad_entropy) = (vec![0.0; 24], vec![0.0; 24]);
    let (mut log_prob, mut entropy, mut kl) = (vec![], vec![], vec![]);
    for i in 0..6 {
        let (row, span) = (&logits[i * 4..][..4], i * 4..i * 4 + 4);
        log_prob.push(d.log_prob(row, &actions[i..=i]));
        entropy.push(d.entropy(row));
        kl.push(d.kl(row, &other[span.clone()]));
        d.add_log_prob_grad(row, &actions[i..=i], 1.0, &mut grad[span.clone()]);
        d.add_entropy_grad(row, 1.0, &mut grad_entropy[span]);
    }
    assert_close("log_prob", &log_prob, &flat(&data["log_prob"]));
    assert_close("entropy", &entropy, &flat(&data["entropy"]));
    assert_close("kl", &kl, &flat(&data["kl(self||other)"]));
    assert_close("grad", &grad, &flat(&data["grad_logits_of_sum_log_prob"]));
    assert_close("grad", &grad_entropy, &flat(&data["grad_logits_of_sum_entropy"]));
}

#[test]
fn the_diagonal_gaussian() {
    let data = &fixture("distributions")["diagonal_gaussian"];
    let d = DiagGaussian::new(2);
    let rows = |mean: &str, log_std: &str| -> Vec<f32> {
        let log_std = flat(&data[log_std]);
        flat(&data[mean]).chunks(2).flat_map(|m| [m, &log_std].concat()).collect()
    };
    let (params, other) = (rows("mean", "log_std"), rows("other_mean", "other_log_std"));
    let actions = flat(&data["actions"]);
    let (mut grad_mean, mut grad_log_std) = (vec![], vec![0.0; 2]);
    let (mut log_prob, mut entropy, mut kl) = (vec![], vec![], vec![]);
    for i in 0..6 {
        let (row, action) = (&params[i * 4..][..4], &actions[i * 2..][..2]);
        log_prob.push(d.log_prob(row, action));
        entropy.push(d.entropy(row));
        kl.push(d.kl(row, &other[i * 4..][..4]));
        let mut grad = [0.0; 4];
        d.add_log_prob_grad(row, action, 1.0, &mut grad);
        grad_mean.extend_from_slice(&grad[..2]);
        grad_log_std.iter_mut().zip(&grad[2..]).for_each(|(s, g)| *s += g);
        let mut grad = [0.0; 4];
        d.add_entropy_grad(row, 2.0, &mut grad);
        assert_eq!(grad, [0.0, 0.0, 2.0, 2.0]);
    }
    assert_close("log_prob", &log_prob, &flat(&data["log_prob"]));
    assert_close("entropy", &entropy, &flat(&data["entropy"]));
    assert_close("kl", &kl, &flat(&data["kl(self||other)"]));
    assert_close("grad_mean", &grad_mean, &flat(&data["grad_mean"]));
    assert_close("grad_log_std", &grad_log_std, &flat(&data["grad_log_std"]));
}

#[test]
fn the_clipped_surrogate() {
    let data = &fixture("losses")["ppo_clip"];
    let (logits, values) = (flat(&data["logits"]), flat(&data["values"]));
    let output: Vec<f32> =
        logits.chunks(3).zip(&values).flat_map(|(l, v)| [l, &[*v]].concat()).collect();
    let actions: Vec<u32> = flat(&data["actions"]).iter().map(|&a| a as u32).collect();
    // The definition of rl_replay's `normalise`, which this crate does not know.
    let mut advantages = flat(&data["advantages"]);
    let mean = advantages.iter().sum::<f32>() / 16.0;
    let std = (advantages.iter().map(|a| (a - mean).powi(2)).sum::<f32>() / 15.0).sqrt() + 1e-8;
    advantages.iter_mut().for_each(|a| *a = (*a - mean) / std);
    let rows = PolicyRows {
        actions: &actions,
        log_probs: &flat(&data["old_log_prob"]),
        advantages: &advantages,
        returns: &flat(&data["returns"]),
        values: &values,
    };
    let coefficients = Coefficients { value: 0.5, entropy: 0.01 };
    let mut grad = vec![f32::NAN; output.len()];
    let stats =
        ppo_clip(&Categorical::new(3), &output, rows, 0.2, None, coefficients, &mut grad).unwrap();
    let number = |key: &str| data[key].as_f64().unwrap() as f32;
    assert_close("policy_loss", &[stats.policy_loss as f32], &[number("policy_loss")]);
    assert_close("value_loss", &[stats.value_loss as f32], &[number("value_loss")]);
    assert_close("entropy", &[stats.entropy as f32], &[number("entropy")]);
    assert_close("clip_fraction", &[stats.clip_fraction as f32], &[number("clip_fraction")]);
    let kl = number("approx_kl = mean((ratio-1)-log ratio)");
    assert!((stats.approx_kl as f32 - kl).abs() < 1e-5 * (1.0 + kl), "{} {kl}", stats.approx_kl);
    let expected: Vec<f32> = flat(&data["grad_logits"])
        .chunks(3)
        .zip(&flat(&data["grad_values"]))
        .flat_map(|(l, v)| [l, &[*v]].concat())
        .collect();
    assert_close("grad", &grad, &expected);
}

/// Central differences of `f` at `x`.
fn differences(x: &[f32], f: impl Fn(&[f32]) -> f32) -> Vec<f32> {
    let at = |i: usize, h: f32| {
        let mut x = x.to_vec();
        x[i] += h;
        f(&x)
    };
    (0..x.len()).map(|i| (at(i, 1e-2) - at(i, -1e-2)) / 2e-2).collect()
}

proptest! {
    #[test]
    fn divergences_are_not_negative_and_their_gradients_are_right(
        old in prop::collection::vec(-1.0f32..1.0, 4), new in prop::collection::vec(-1.0f32..1.0, 4),
    ) {
        let (categorical, gaussian) = (Categorical::new(4), DiagGaussian::new(2));
        prop_assert!(categorical.kl(&old, &new) >= -1e-6 && gaussian.kl(&old, &new) >= -1e-6);
        prop_assert!(categorical.kl(&old, &old).abs() < 1e-6 && gaussian.kl(&old, &old).abs() < 1e-6);
        let (mut a, mut b) = (vec![0.0; 4], vec![0.0; 4]);
        categorical.add_kl_grad(&old, &new, 1.0, &mut a);
        gaussian.add_kl_grad(&old, &new, 1.0, &mut b);
        for (got, expected) in [
            (a, differences(&new, |new| categorical.kl(&old, new))),
            (b, differences(&new, |new| gaussian.kl(&old, new))),
        ] {
            for (g, e) in got.iter().zip(&expected) {
                prop_assert!((g - e).abs() < 5e-3 * (1.0 + e.abs()), "{got:?} {expected:?}");
            }
        }
    }
}

#[test]
fn samples_follow_their_distribution() {
    let mut rng = Seeds::new(0).stream("t", 0);
    let (d, logits) = (Categorical::new(3), [0.0, 1.0, -1.0]);
    let mut counts = [0f32; 3];
    for _ in 0..20_000 {
        let mut action = [9];
        d.sample(&logits, &mut rng, &mut action);
        counts[action[0] as usize] += 1.0;
    }
    for (i, count) in counts.iter().enumerate() {
        let p = d.log_prob(&logits, &[i as u32]).exp();
        assert!((count / 20_000.0 - p).abs() < 0.015, "{counts:?}");
    }
    let mut mode = [9];
    d.mode(&logits, &mut mode);
    assert_eq!(mode, [1]);
    let (d, params) = (DiagGaussian::new(1), [2.0, 0.5f32.ln()]);
    let (mut sum, mut squares, mut action) = (0.0, 0.0, [0.0]);
    for _ in 0..20_000 {
        d.sample(&params, &mut rng, &mut action);
        sum += f64::from(action[0]);
        squares += f64::from(action[0] - 2.0).powi(2);
    }
    assert!((sum / 2e4 - 2.0).abs() < 0.015 && (squares / 2e4 - 0.25).abs() < 0.015);
}

/// With a ratio of 1 and no clipping PPO's gradient is the plain policy gradient's; a value that has
/// moved too far is held.
#[test]
fn the_losses_agree_where_they_should() {
    let output = [0.3, -0.2, 0.7, 1.0, 0.1, -0.4];
    let d = Categorical::new(2);
    let log_probs = [d.log_prob(&output[..2], &[0]), d.log_prob(&output[3..5], &[1])];
    let rows = PolicyRows {
        actions: &[0, 1],
        log_probs: &log_probs,
        advantages: &[1.5, -0.5],
        returns: &[1.0, 2.0],
        values: &[0.0, -0.4],
    };
    let coefficients = Coefficients { value: 0.5, entropy: 0.02 };
    let (mut a, mut b) = ([0.0; 6], [0.0; 6]);
    let stats = ppo_clip(&d, &output, rows, 0.2, None, coefficients, &mut a).unwrap();
    policy_gradient(&d, &output, rows, coefficients, &mut b).unwrap();
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-6), "{a:?} {b:?}");
    assert_eq!((stats.clip_fraction, stats.approx_kl), (0.0, 0.0));
    // The first value went from 0 to 0.7, by more than 0.5 and towards its return: no gradient.
    let stats = ppo_clip(&d, &output, rows, 0.2, Some(0.5), coefficients, &mut a).unwrap();
    assert_eq!(a[2], 0.0);
    assert_eq!(a[5], b[5]);
    assert!((stats.value_loss - f64::midpoint(0.25, 5.76)).abs() < 1e-6, "{}", stats.value_loss);
    let short = PolicyRows { returns: &[1.0], ..rows };
    assert!(ppo_clip(&d, &output, short, 0.2, None, coefficients, &mut a).is_err());
}

#[test]
fn the_actor_critic_is_the_same_on_both_paths() {
    for initial_log_std in [None, Some(-0.5)] {
        let [mut fused, mut candle] = ["cpu", "reference"].map(|backend| {
            let mut rng = Seeds::new(0).stream("init", 0);
            let net = ActorCritic::new(3, 2, initial_log_std, &config, &config).unwrap();
            Network::new(net, &Backend::by_name(backend).unwrap(), &mut rng).unwrap()
        });
        let x: Vec<f32> = (0..15).map(|i| (i as f32).sin()).collect();
        let y = fused.forward(&x).unwrap().to_vec();
        assert_close("output", &y, candle.forward(&x).unwrap());
        assert_eq!(y.len(), 5 * (if initial_log_std.is_some() { 5 } else { 3 }));
        let upstream: Vec<f32> = (0..y.len()).map(|i| (i as f32).cos()).collect();
        let (mut a, mut b) = (vec![0.0; 15], vec![0.0; 15]);
        fused.backward(&x, &upstream, Some(&mut a)).unwrap();
        candle.backward(&x, &upstream, Some(&mut b)).unwrap();
        assert_close("input gradient", &a, &b);
        assert_close("gradient", &fused.grads().unwrap(), &candle.grads().unwrap());
        let names = fused.save().unwrap();
        candle.load(&names).unwrap();
    }
}
