//! Distributions and policy losses compared with reference values computed by PyTorch (fixtures/generate.py), and
//! with finite differences.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

use candle_core::{DType, Device, Shape, Tensor, Var};
use proptest::prelude::prop;
use proptest::{prop_assert, proptest};
use rl_core::Seeds;
use rl_nets::{
    Activation, Backend, Categorical, Coefficients, DiagGaussian, Distribution, FisherProduct,
    Init, KlPenalty, LogStd, Module, Network, NetworkConfig, PolicyRows, PolicyStats,
    ReferenceDistribution, ReferenceRows, SquashedGaussian, policy_gradient,
    policy_gradient_reference, policy_net, ppo_clip, ppo_clip_reference, ppo_kl, ppo_kl_reference,
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
    // A copy of rl_replay's `normalise`, since this crate does not depend on rl_replay.
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

/// With a ratio of 1 and no clipping, PPO's gradient equals the plain policy gradient; a value estimate outside the
/// clip range has no gradient.
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
fn masked_actions_are_impossible_and_the_rest_is_renormalised() {
    let d = Categorical::new(3);
    let logits = [0.4, -1e8, -0.3];
    let two = Categorical::new(2);
    assert_eq!(d.log_prob(&logits, &[0]), two.log_prob(&[0.4, -0.3], &[0]));
    assert_eq!(d.entropy(&logits), two.entropy(&[0.4, -0.3]));
    assert_eq!(d.kl(&logits, &[0.1, -1e8, 0.2]), two.kl(&[0.4, -0.3], &[0.1, 0.2]));
    let mut grad = [0.0; 3];
    d.add_log_prob_grad(&logits, &[0], 1.0, &mut grad);
    d.add_entropy_grad(&logits, 1.0, &mut grad);
    d.add_kl_grad(&logits, &logits, 1.0, &mut grad);
    assert!(grad[1].abs() < 1e-20, "{grad:?}");
    let mut rng = Seeds::new(0).stream("t", 0);
    for _ in 0..2_000 {
        let mut action = [9];
        d.sample(&logits, &mut rng, &mut action);
        assert_ne!(action, [1]);
    }
}

/// Standard normal numbers, for parameters, directions and the like.
fn draw(n: usize, seed: u64) -> Vec<f32> {
    let mut rng = Seeds::new(seed).stream("draw", 0);
    (0..n).map(|_| rng.normal() as f32).collect()
}

fn tensor(x: &[f32], shape: impl Into<Shape>) -> Tensor {
    Tensor::from_slice(x, shape, &Device::Cpu).unwrap().to_dtype(DType::F64).unwrap()
}

/// The gradients of the losses equal those that candle derives from their definitions, in double precision.
#[test]
fn the_losses_equal_their_definitions() {
    fn check<D: ReferenceDistribution>(d: &D, actions: &[D::Elem]) {
        let (n, p) = (16, d.params_len());
        let output: Vec<f32> = draw(n * (p + 1), 1).iter().map(|x| 0.5 * x).collect();
        let old: Vec<f32> = output
            .chunks(p + 1)
            .zip(draw(n * p, 2).chunks(p))
            .flat_map(|(row, noise)| {
                row[..p].iter().zip(noise).map(|(x, e)| x + 0.2 * e).collect::<Vec<_>>()
            })
            .collect();
        let action = |i: usize| &actions[i * d.action_len()..][..d.action_len()];
        let log_probs: Vec<f32> =
            (0..n).map(|i| d.log_prob(&old[i * p..][..p], action(i))).collect();
        let (advantages, returns, values) = (draw(n, 3), draw(n, 4), draw(n, 5));
        let rows = PolicyRows {
            actions,
            log_probs: &log_probs,
            advantages: &advantages,
            returns: &returns,
            values: &values,
        };
        let column = |x: &[f32]| tensor(x, n);
        let at = Var::from_tensor(&tensor(&output, (n, p + 1))).unwrap();
        let (taken, old_t) = (d.reference_actions(actions, &at).unwrap(), tensor(&old, (n, p)));
        let columns = [&log_probs, &advantages, &returns, &values].map(|x| column(x));
        let reference = ReferenceRows {
            actions: &taken,
            log_probs: &columns[0],
            advantages: &columns[1],
            returns: &columns[2],
            values: &columns[3],
        };
        let coefficients = Coefficients { value: 0.7, entropy: 0.03 };
        let compare = |what: &str, grad: &[f32], loss: f64, expected: Tensor| {
            let exact = expected.backward().unwrap();
            let exact = exact.get(&at).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
            let exact: Vec<f32> = exact.iter().map(|&g| g as f32).collect();
            assert_close(what, grad, &exact);
            let expected = expected.to_scalar::<f64>().unwrap();
            assert!(
                (loss - expected).abs() < 1e-5 * (1.0 + expected.abs()),
                "{what}: {loss} {expected}"
            );
        };
        let value = |s: PolicyStats| s.policy_loss + 0.7 * s.value_loss - 0.03 * s.entropy;
        let mut grad = vec![0.0; output.len()];
        for clip_value in [None, Some(0.3)] {
            let stats =
                ppo_clip(d, &output, rows, 0.2, clip_value, coefficients, &mut grad).unwrap();
            let clip_value = clip_value.map(f64::from);
            let loss =
                ppo_clip_reference(d, &at, reference, 0.2, clip_value, coefficients).unwrap();
            compare("ppo_clip", &grad, value(stats), loss);
        }
        let stats = policy_gradient(d, &output, rows, coefficients, &mut grad).unwrap();
        let loss = policy_gradient_reference(d, &at, reference, coefficients).unwrap();
        compare("policy_gradient", &grad, value(stats), loss);
        let penalty = KlPenalty { old_params: &old, beta: 1.7 };
        let stats = ppo_kl(d, &output, rows, penalty, coefficients, &mut grad).unwrap();
        let loss = ppo_kl_reference(d, &at, reference, (&old_t, 1.7), coefficients).unwrap();
        compare("ppo_kl", &grad, value(stats) + 1.7 * stats.kl, loss);
    }
    let choices: Vec<u32> = (0..16).map(|i| i % 3).collect();
    check(&Categorical::new(3), &choices);
    check(&DiagGaussian::new(2), &draw(32, 6));
}

/// The Fisher-vector product is the Hessian of the divergence times a vector, computed here by central differences of
/// candle's gradient in double precision.
#[test]
fn the_fisher_product_is_the_hessian_of_the_divergence() {
    fn check<D: ReferenceDistribution>(d: &D, log_std: LogStd, layer_norm: bool) {
        let config = NetworkConfig {
            hidden: vec![7, 5],
            activation: Activation::Tanh,
            layer_norm,
            ..NetworkConfig::default()
        };
        let module = policy_net(&config, &[3], d, log_std, Init::Pytorch).unwrap();
        let (x, n) = (draw(8 * 3, 1), module.layout().len());
        let v = draw(n, 2);
        for backend in ["cpu", "reference"] {
            let mut rng = Seeds::new(0).stream("init", 0);
            let backend = Backend::by_name(backend).unwrap();
            let mut net = Network::new(module.clone(), &backend, &mut rng).unwrap();
            let (mut fisher, mut product) = (FisherProduct::default(), vec![f32::NAN; n]);
            let mut pass = net.forward(&x).unwrap();
            for _ in 0..2 {
                fisher.product(&mut pass, d, &v, &mut product).unwrap();
            }
            let (params, x) = (tensor(&net.params().unwrap(), n), tensor(&x, (8, 3)));
            let old = module.reference(&params, &x).unwrap();
            let gradient = |h: f64| {
                let at = (&params + (tensor(&v, n) * h).unwrap()).unwrap();
                let at = Var::from_tensor(&at).unwrap();
                let new = module.reference(&at, &x).unwrap();
                let kl = d.reference_kl(&old, &new).unwrap().mean_all().unwrap();
                kl.backward().unwrap().get(&at).unwrap().detach()
            };
            const H: f64 = 1e-6;
            let hessian = ((gradient(H) - gradient(-H)).unwrap() / (2.0 * H)).unwrap();
            let hessian = hessian.to_vec1::<f64>().unwrap();
            let hessian: Vec<f32> = hessian.iter().map(|&h| h as f32).collect();
            assert_close("Fisher product", &product, &hessian);
        }
    }
    for layer_norm in [false, true] {
        check(&Categorical::new(3), LogStd::OfState, layer_norm);
        check(&DiagGaussian::new(2), LogStd::Free(-0.4), layer_norm);
        check(&DiagGaussian::new(2), LogStd::OfState, layer_norm);
    }
}

#[test]
fn the_squashed_gaussian() {
    let data = &fixture("distributions")["tanh_gaussian"];
    let (mean, log_std) = (flat(&data["mean"]), flat(&data["log_std"]));
    let (noise, upstream) = (flat(&data["noise"]), flat(&data["upstream_action"]));
    let pi = SquashedGaussian::new(2);
    let (mut actions, mut log_probs) = (vec![0.0; 12], vec![]);
    let (mut grad_mean, mut grad_log_std) = (vec![], vec![]);
    for i in 0..6 {
        let row = 2 * i..2 * i + 2;
        let params = [&mean[row.clone()], &log_std[row.clone()]].concat();
        let (noise, action) = (&noise[row.clone()], &mut actions[row.clone()]);
        log_probs.push(pi.push(&params, noise, action));
        let mut grad = [0.0; 4];
        // The recorded loss is the weighted sum of actions plus a fifth of the log-densities.
        pi.add_grad(&params, noise, action, (&upstream[row], 0.2), &mut grad);
        grad_mean.extend_from_slice(&grad[..2]);
        grad_log_std.extend_from_slice(&grad[2..]);
    }
    assert_close("action", &actions, &flat(&data["action"]));
    assert_close("log_prob", &log_probs, &flat(&data["log_prob"]));
    assert_close("grad_mean", &grad_mean, &flat(&data["grad_mean"]));
    assert_close("grad_log_std", &grad_log_std, &flat(&data["grad_log_std"]));
    let rows: Vec<f32> =
        (0..6).flat_map(|i| [&mean[2 * i..][..2], &log_std[2 * i..][..2]].concat()).collect();
    let (a, l) = pi.reference(&tensor(&rows, (6, 4)), &tensor(&noise, (6, 2))).unwrap();
    let single = |x: Tensor| -> Vec<f32> {
        x.flatten_all().unwrap().to_dtype(DType::F32).unwrap().to_vec1().unwrap()
    };
    assert_close("action in candle", &single(a), &flat(&data["action"]));
    assert_close("log_prob in candle", &single(l), &flat(&data["log_prob"]));
}

/// The density is finite even where tanh rounds to one: `log(1 - tanh(u)²)` tends to `2 log 2 - 2 |u|`.
#[test]
fn far_out_the_squashed_density_stays_exact() {
    let pi = SquashedGaussian::new(1);
    for mean in [-60.0f32, -20.0, 20.0, 60.0] {
        let mut action = [0.0];
        let log_prob = pi.push(&[mean, 0.0], &[0.5], &mut action);
        let u = f64::from(mean) + 0.5;
        let normal = -0.125 - 0.918_938_533_204_672_7;
        let exact = normal - (2.0 * std::f64::consts::LN_2 - 2.0 * u.abs());
        assert!((f64::from(log_prob) - exact).abs() < 1e-5 * exact.abs(), "{log_prob} {exact}");
        assert!((action[0] - mean.signum()).abs() < 1e-6, "{}", action[0]);
    }
    let mut grad = [0.0; 2];
    pi.add_grad(&[60.0, 0.0], &[0.5], &[1.0], (&[3.0], 1.0), &mut grad);
    assert!((grad[0] - 2.0).abs() < 1e-5 && grad[1].abs() < 1e-5, "{grad:?}");
}
