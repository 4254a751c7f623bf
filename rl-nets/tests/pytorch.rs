//! Networks, optimisers and losses compared with reference values computed by PyTorch (fixtures/generate.py), on both
//! paths.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

use candle_core::{Device, Tensor};
use rl_core::Seeds;
use rl_nets::{
    Activation, Backend, Linear, Network, NetworkConfig, Optimizer, OptimizerConfig, TdLoss,
    with_head,
};
use serde_json::Value;

fn fixture(name: &str) -> Value {
    let path = format!("{}/tests/fixtures/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// All numbers of a nested list, flattened in row-major order.
fn flat(value: &Value) -> Vec<f32> {
    match value {
        Value::Array(items) => items.iter().flat_map(flat).collect(),
        Value::Bool(b) => vec![u8::from(*b).into()],
        number => vec![number.as_f64().unwrap() as f32],
    }
}

/// Within 1e-5 of the largest magnitude.
fn assert_close(what: &str, got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1e-3f32, |m, x| m.max(x.abs()));
    for (i, (a, b)) in got.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= 1e-5 * scale, "{what}[{i}]: {a}, PyTorch has {b}");
    }
}

fn backends() -> [Backend; 2] {
    [Backend::cpu(), Backend::candle(Device::Cpu)]
}

#[test]
fn the_perceptron_and_its_gradients() {
    for (name, activation) in [("mlp_tanh", Activation::Tanh), ("mlp_relu", Activation::Relu)] {
        let data = fixture(name);
        let config = NetworkConfig { hidden: vec![16, 16], activation, ..NetworkConfig::default() };
        let interleaved = |weights: &str, biases: &str| -> Vec<f32> {
            let lists = data[weights].as_array().unwrap().iter();
            lists
                .zip(data[biases].as_array().unwrap())
                .flat_map(|(w, b)| [flat(w), flat(b)].concat())
                .collect()
        };
        for backend in backends() {
            let mut rng = Seeds::new(0).stream("init", 0);
            let mlp = with_head(&config, &[5], |features| Linear::new(features, 3)).unwrap();
            let mut net = Network::new(mlp, &backend, &mut rng).unwrap();
            net.set_params(&interleaved("weights", "biases")).unwrap();
            let x = flat(&data["x"]);
            let pass = net.forward(&x).unwrap();
            assert_close(name, pass.output(), &flat(&data["y"]));
            let mut grad_x = vec![f32::NAN; x.len()];
            pass.backward_to_input(&mut flat(&data["upstream"]), &mut grad_x).unwrap();
            assert_close(name, &net.grads().unwrap(), &interleaved("grad_weights", "grad_biases"));
            assert_close(name, &grad_x, &flat(&data["grad_x"]));
        }
    }
}

#[test]
fn every_optimiser_step_by_step() {
    let rms = |alpha, eps, centered, momentum| OptimizerConfig::RmsProp {
        alpha,
        eps,
        eps_inside_root: false,
        centered,
        momentum,
        initial_accumulator: 0.0,
    };
    let adam = |eps, weight_decay, amsgrad| OptimizerConfig::Adam {
        beta1: 0.9,
        beta2: 0.999,
        eps,
        weight_decay,
        amsgrad,
    };
    for (name, config, lr) in [
        ("optim_adam", adam(1e-5, 0.0, false), 3e-3),
        ("optim_adamw", adam(1e-8, 0.1, false), 3e-3),
        ("optim_adam_amsgrad", adam(1e-8, 0.0, true), 3e-3),
        ("optim_rmsprop", rms(0.99, 1e-5, false, 0.0), 7e-4),
        ("optim_rmsprop_centred_momentum", rms(0.95, 1e-2, true, 0.9), 7e-4),
        (
            "optim_sgd_momentum_nesterov",
            OptimizerConfig::Sgd { momentum: 0.9, nesterov: true },
            1e-2,
        ),
    ] {
        let data = fixture(name);
        let mut host = Optimizer::new(config.clone(), 7).unwrap();
        let mut params = flat(&data["start"]);
        let mut device = Optimizer::on_device(config, 7, &Device::Cpu).unwrap();
        let mut tensor = Tensor::new(params.clone(), &Device::Cpu).unwrap();
        for step in data["steps"].as_array().unwrap() {
            let (mut grad, after) = (flat(&step["grad"]), flat(&step["param_after"]));
            let expected_norm = step["norm_before_clip_at_4"].as_f64().unwrap();
            let on_device = Tensor::new(grad.clone(), &Device::Cpu).unwrap();
            let norm = host.step(&mut params, &mut grad, lr, Some(4.0)).unwrap();
            assert!((norm - expected_norm).abs() < 1e-5 * expected_norm, "{name}: norm {norm}");
            assert_close(name, &params, &after);
            let (moved, norm) = device.step_on_device(&tensor, &on_device, lr, Some(4.0)).unwrap();
            assert!((norm - expected_norm).abs() < 1e-5 * expected_norm, "{name}: norm {norm}");
            tensor = moved;
            assert_close(name, &tensor.to_vec1::<f32>().unwrap(), &after);
        }
        // A restored optimiser continues exactly like the original.
        let mut copy = Optimizer::new(
            serde_json::from_value(serde_json::to_value(config_of(name)).unwrap()).unwrap(),
            7,
        )
        .unwrap();
        copy.load(&host.save().unwrap()).unwrap();
        let mut twin = params.clone();
        host.step(&mut params, &mut [0.5; 7], lr, None).unwrap();
        copy.step(&mut twin, &mut [0.5; 7], lr, None).unwrap();
        assert_eq!(params, twin, "{name}");
    }
}

fn config_of(name: &str) -> OptimizerConfig {
    let text = match name {
        "optim_adam" => r#"{"kind": "adam", "eps": 1e-5}"#,
        "optim_adamw" => r#"{"kind": "adam", "weight_decay": 0.1}"#,
        "optim_adam_amsgrad" => r#"{"kind": "adam", "amsgrad": true}"#,
        "optim_rmsprop" => r#"{"kind": "rmsprop", "eps": 1e-5}"#,
        "optim_rmsprop_centred_momentum" => {
            r#"{"kind": "rmsprop", "alpha": 0.95, "eps": 1e-2, "centered": true, "momentum": 0.9}"#
        }
        _ => r#"{"kind": "sgd", "momentum": 0.9, "nesterov": true}"#,
    };
    serde_json::from_str(text).unwrap()
}

#[test]
fn tensorflows_rmsprop_puts_eps_under_the_root() {
    for initial_accumulator in [0.0, 1.0] {
        let config = OptimizerConfig::RmsProp {
            alpha: 0.5,
            eps: 1.0,
            eps_inside_root: true,
            centered: false,
            momentum: 0.0,
            initial_accumulator,
        };
        let mut optimizer = Optimizer::new(config.clone(), 1).unwrap();
        let mut params = [0.0];
        optimizer.step(&mut params, &mut [2.0], 0.1, None).unwrap();
        // 0.1 * 2 / sqrt(0.5 * start + 0.5 * 4 + 1)
        let root = (3.0 + 0.5 * initial_accumulator as f32).sqrt();
        assert!((params[0] + 0.2 / root).abs() < 1e-7);
        let mut device = Optimizer::on_device(config, 1, &Device::Cpu).unwrap();
        let tensor = |x: f32| Tensor::new(&[x], &Device::Cpu).unwrap();
        let (moved, _) = device.step_on_device(&tensor(0.0), &tensor(2.0), 0.1, None).unwrap();
        assert!((moved.to_vec1::<f32>().unwrap()[0] - params[0]).abs() < 1e-7);
    }
}

#[test]
fn temporal_difference_losses() {
    let data = &fixture("losses")["dqn"];
    let (q, targets) = (flat(&data["q"]), flat(&data["double_dqn_target"]));
    let actions: Vec<u32> = flat(&data["actions"]).iter().map(|&a| a as u32).collect();
    for (name, loss) in [("mse", TdLoss::Mse), ("huber_delta_1", TdLoss::Huber)] {
        let mut grad = vec![f32::NAN; q.len()];
        let value = loss.of_taken(&q, &actions, &targets, &mut grad).unwrap();
        assert_close(name, &[value as f32], &[data[name]["loss"].as_f64().unwrap() as f32]);
        assert_close(name, &grad, &flat(&data[name]["grad_q"]));

        let var = candle_core::Var::from_slice(&q, (8, 3), &Device::Cpu).unwrap();
        let mut mask = vec![0.0f32; q.len()];
        actions.iter().enumerate().for_each(|(i, &a)| mask[i * 3 + a as usize] = 1.0);
        let mask = Tensor::from_vec(mask, (8, 3), &Device::Cpu).unwrap();
        let targets = Tensor::new(targets.clone(), &Device::Cpu).unwrap();
        let reference = loss.reference(&var, &mask, &targets).unwrap();
        let value = reference.to_scalar::<f32>().unwrap();
        assert_close(name, &[value], &[data[name]["loss"].as_f64().unwrap() as f32]);
        let grads = reference.backward().unwrap();
        let grad = grads.get(&var).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_close(name, &grad, &flat(&data[name]["grad_q"]));
    }
}
