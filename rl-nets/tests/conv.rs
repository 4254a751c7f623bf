//! The convolution equals candle's in double precision and PyTorch's, for any number of threads.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

use candle_core::{DType, Device, Tensor, Var};
use proptest::prelude::{Strategy, any, prop};
use proptest::{prop_assert, prop_assert_eq, prop_assume, proptest};
use rl_core::Seeds;
use rl_nets::{Activation, Conv2d, ConvConfig, Module, Threads};
use serde_json::Value;

fn draw(n: usize, seed: u64) -> Vec<f32> {
    let mut rng = Seeds::new(seed).stream("data", 0);
    (0..n).map(|_| rng.normal() as f32).collect()
}

fn conv2d(
    input: [usize; 3],
    config: &ConvConfig,
    activation: Activation,
) -> rl_nets::Result<Conv2d> {
    Ok(Conv2d::new(input, config)?.with_activation(activation))
}

fn params(conv: &Conv2d, seed: u64) -> Vec<f32> {
    let mut params = vec![f32::NAN; conv.layout().len()];
    conv.init(&mut params, &mut Seeds::new(seed).stream("init", 0));
    params
}

/// Within `tolerance` of the largest magnitude.
fn close(a: &[f32], b: &[f32], tolerance: f32) -> bool {
    let scale = b.iter().fold(1e-2f32, |m, x| m.max(x.abs()));
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance * scale)
}

fn double(values: &[f32], shape: &[usize]) -> Tensor {
    Tensor::from_slice(values, shape, &Device::Cpu).unwrap().to_dtype(DType::F64).unwrap()
}

fn single(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.flatten_all().unwrap().to_dtype(DType::F32).unwrap();
    flat.to_vec1().unwrap()
}

#[derive(Debug)]
struct Case {
    input: [usize; 3],
    config: ConvConfig,
    activation: Activation,
    batch: usize,
    seed: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    use Activation::*;
    let activation = prop::sample::select(vec![Identity, Relu, Tanh, Sigmoid, Elu, Silu, Gelu]);
    let input = (1usize..14, 1usize..18, 1usize..18);
    let config = (1usize..40, 1usize..6, 1usize..4, 0usize..5);
    // Many positions in few images, or few in many: blocks that are parts of an image, and blocks of several images.
    let batch = prop::sample::select(vec![1, 2, 7, 16, 33]);
    (input, config, activation, batch, any::<u64>()).prop_map(
        |(input, (channels, kernel, stride, padding), activation, batch, seed)| Case {
            input: input.into(),
            config: ConvConfig { channels, kernel, stride, padding: padding % kernel },
            activation,
            batch,
            seed,
        },
    )
}

/// The output, the gradients of the parameters and of the input, and the forward derivative.
fn passes(conv: &mut Conv2d, batch: usize, seed: u64) -> [Vec<f32>; 4] {
    let (params, x) = (params(conv, seed), draw(batch * conv.input_len(), seed));
    let mut upstream = draw(batch * conv.output_len(), seed ^ 1);
    let direction = draw(params.len(), seed ^ 2);
    let moved = draw(x.len(), seed ^ 3);
    conv.forward(&params, &x).unwrap();
    let y = conv.output().to_vec();
    let mut tangent = vec![f32::NAN; y.len()];
    conv.tangent(&params, &x, &direction, Some(&moved), &mut tangent).unwrap();
    let (mut grads, mut grad_x) = (vec![0.0; params.len()], vec![f32::NAN; x.len()]);
    conv.backward(&params, &x, &mut upstream, Some(&mut grads), Some(&mut grad_x)).unwrap();
    [y, grads, grad_x, tangent]
}

fn check(case: &Case) -> Result<(), proptest::test_runner::TestCaseError> {
    let Case { input, config, activation, batch, seed } = case;
    let conv = conv2d(*input, config, *activation);
    prop_assume!(conv.is_ok());
    let mut conv = conv.unwrap();
    let [y, grads, grad_x, tangent] = passes(&mut conv, *batch, *seed);
    let w = Var::from_tensor(&double(&params(&conv, *seed), &[conv.layout().len()])).unwrap();
    let x = draw(batch * conv.input_len(), *seed);
    let x = Var::from_tensor(&double(&x, &[*batch, conv.input_len()])).unwrap();
    let upstream = draw(batch * conv.output_len(), seed ^ 1);
    let upstream = double(&upstream, &[*batch, conv.output_len()]);
    let expected = conv.reference(&w, &x).unwrap();
    let store = (&expected * &upstream).unwrap().sum_all().unwrap().backward().unwrap();
    prop_assert!(close(&y, &single(&expected), 1e-5));
    let got = single(store.get(&w).unwrap());
    prop_assert!(close(&grads, &got, 1e-5), "{grads:?}\n{got:?}");
    let got = single(store.get(&x).unwrap());
    prop_assert!(close(&grad_x, &got, 1e-5), "{grad_x:?}\n{got:?}");
    // The forward derivative agrees with the gradient: u·(J v) equals (Jᵀ u)·v.
    let sum = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let direction = draw(conv.layout().len(), seed ^ 2);
    let moved = draw(batch * conv.input_len(), seed ^ 3);
    let forwards = sum(&tangent, &single(&upstream));
    let backwards = sum(&grads, &direction) + sum(&grad_x, &moved);
    let norm = sum(&tangent, &tangent).sqrt() * sum(&single(&upstream), &single(&upstream)).sqrt();
    prop_assert!((forwards - backwards).abs() <= 1e-5 * (1.0 + norm), "{forwards} {backwards}");
    Ok(())
}

proptest! {
    #[test]
    fn the_convolution_equals_candles(case in cases()) {
        check(&case)?;
    }

    #[test]
    fn threads_have_no_say(case in cases()) {
        let Case { input, config, activation, seed, .. } = &case;
        let conv = conv2d(*input, config, *activation);
        prop_assume!(conv.is_ok());
        let mut conv = conv.unwrap();
        let one = passes(&mut conv, 50, *seed);
        for count in [2, 3] {
            conv.share_among(&Threads::new(count).unwrap());
            prop_assert_eq!(&passes(&mut conv, 50, *seed), &one);
        }
        // The result of a row does not depend on earlier passes or on the other rows either.
        let mut other = conv2d(*input, config, *activation).unwrap();
        other.forward(&params(&conv, *seed), &draw(conv.input_len(), *seed)).unwrap();
        prop_assert_eq!(other.output(), &one[0][..conv.output_len()]);
    }

    #[test]
    fn the_derivative_equals_central_differences(case in cases()) {
        let Case { input, config, activation, seed, .. } = &case;
        let conv = conv2d(*input, config, *activation);
        prop_assume!(conv.is_ok());
        let mut conv = conv.unwrap();
        let [y, _, _, tangent] = passes(&mut conv, 2, *seed);
        let values = |n: usize, mask: u64| double(&draw(n, seed ^ mask), &[n]);
        let w = double(&params(&conv, *seed), &[conv.layout().len()]);
        let x = values(2 * conv.input_len(), 0).reshape((2, ())).unwrap();
        let direction = values(conv.layout().len(), 2);
        let moved = values(2 * conv.input_len(), 3).reshape((2, ())).unwrap();
        let at = |h: f64| {
            let (w, x) = ((&w + (&direction * h).unwrap()), (&x + (&moved * h).unwrap()));
            conv.reference(&w.unwrap(), &x.unwrap()).unwrap()
        };
        let difference = |h: f64| single(&((at(h) - at(-h)).unwrap() / (2.0 * h)).unwrap());
        let (exact, wider) = (difference(1e-6), difference(1e-5));
        let scale = exact.iter().fold(1.0f32, |m, x| m.max(x.abs()));
        prop_assert_eq!(y.len(), exact.len());
        for (i, (got, exact)) in tangent.iter().zip(&exact).enumerate() {
            // A nearby kink makes the finite difference wrong: then two step sizes disagree.
            if (exact - wider[i]).abs() > 1e-3 {
                continue;
            }
            prop_assert!((got - exact).abs() <= 1e-4 * scale, "output {i}: {got} {exact}");
        }
    }
}

#[test]
fn the_layers_of_atari_networks_equal_candles() {
    let shapes = [([4, 84, 84], 32, 8, 4), ([32, 20, 20], 64, 4, 2), ([64, 9, 9], 64, 3, 1)];
    for (input, channels, kernel, stride) in shapes {
        let config = ConvConfig { channels, kernel, stride, padding: 0 };
        check(&Case { input, config, activation: Activation::Relu, batch: 3, seed: 5 }).unwrap();
    }
    // Large enough for two threads.
    let config = ConvConfig { channels: 32, kernel: 8, stride: 4, padding: 0 };
    let mut conv = conv2d([4, 84, 84], &config, Activation::Relu).unwrap();
    let one = passes(&mut conv, 24, 1);
    for count in [2, 3] {
        conv.share_among(&Threads::new(count).unwrap());
        assert!(passes(&mut conv, 24, 1) == one);
    }
}

/// All numbers of a nested list, flattened in row-major order.
fn flat(value: &Value) -> Vec<f32> {
    match value {
        Value::Array(items) => items.iter().flat_map(flat).collect(),
        number => vec![number.as_f64().unwrap() as f32],
    }
}

#[test]
fn two_convolutions_equal_pytorchs() {
    let path = format!("{}/tests/fixtures/conv.json", env!("CARGO_MANIFEST_DIR"));
    let data: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let x: Vec<f32> = flat(&data["x_u8"]).iter().map(|x| x / 255.0).collect();
    let layers = ["conv1 (kernel 8, stride 4)", "conv2 (kernel 3, stride 1)"].map(|n| &data[n]);
    let part = |layer: usize, names: [&str; 2]| names.map(|n| flat(&layers[layer][n])).concat();
    let params = [0, 1].map(|i| part(i, ["weight", "bias"]));
    let conv = |input, channels, kernel, stride| {
        let config = ConvConfig { channels, kernel, stride, padding: 0 };
        conv2d(input, &config, Activation::Relu).unwrap()
    };
    let mut first = conv([4, 20, 20], 6, 8, 4);
    let mut second = conv(first.output_shape(), 5, 3, 1);
    first.forward(&params[0], &x).unwrap();
    second.forward(&params[1], first.output()).unwrap();
    assert!(close(second.output(), &flat(&data["y after relu"]), 1e-5));
    let mut grads = [0, 1].map(|i| vec![0.0; params[i].len()]);
    let mut upstream = flat(&data["upstream"]);
    let mut between = vec![0.0; first.output().len()];
    let into = (Some(&mut grads[1][..]), Some(&mut between[..]));
    second.backward(&params[1], first.output(), &mut upstream, into.0, into.1).unwrap();
    first.backward(&params[0], &x, &mut between, Some(&mut grads[0]), None).unwrap();
    for (i, grads) in grads.iter().enumerate() {
        assert!(close(grads, &part(i, ["grad_weight", "grad_bias"]), 1e-5), "layer {i}");
    }
}

/// The numbers that `conv_shapes.py` passes to PyTorch.
fn wave(n: usize, phase: f64) -> Vec<f32> {
    (0..n).map(|i| (1.7 * i as f64 + phase).sin() as f32).collect()
}

/// On one thread and on two.
#[test]
fn convolutions_of_many_shapes_equal_pytorchs() {
    let path = format!("{}/tests/fixtures/conv_shapes.json", env!("CARGO_MANIFEST_DIR"));
    let data: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let cases = data["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 24);
    for (i, case) in cases.iter().enumerate() {
        let number = |name: &str| case[name].as_u64().unwrap() as usize;
        let input = [0, 1, 2].map(|i| case["input"][i].as_u64().unwrap() as usize);
        let [channels, kernel, stride, padding] =
            ["channels", "kernel", "stride", "padding"].map(number);
        let config = ConvConfig { channels, kernel, stride, padding };
        let mut conv = conv2d(input, &config, Activation::Identity).unwrap();
        let weights = conv.layout().len() - channels;
        let params = [wave(weights, 0.2), wave(channels, 0.3)].concat();
        let x = wave(number("batch") * conv.input_len(), 0.1);
        for count in [1, 2] {
            conv.share_among(&Threads::new(count).unwrap());
            conv.forward(&params, &x).unwrap();
            let mut upstream = wave(conv.output().len(), 0.4);
            assert!(close(conv.output(), &flat(&case["y"]), 1e-5), "case {i}: output");
            let (mut grads, mut grad_x) = (vec![0.0; params.len()], vec![f32::NAN; x.len()]);
            conv.backward(&params, &x, &mut upstream, Some(&mut grads), Some(&mut grad_x)).unwrap();
            for (name, got) in [
                ("grad_weight", &grads[..weights]),
                ("grad_bias", &grads[weights..]),
                ("grad_x", &grad_x),
            ] {
                assert!(close(got, &flat(&case[name]), 1e-5), "case {i}: {name}");
            }
        }
    }
}

#[test]
fn impossible_shapes_are_refused() {
    let config =
        |channels, kernel, stride, padding| ConvConfig { channels, kernel, stride, padding };
    let error = |input: [usize; 3], config: &ConvConfig| {
        conv2d(input, config, Activation::Relu).unwrap_err().to_string()
    };
    let image = [4, 10, 10];
    assert_eq!(error(image, &config(0, 3, 1, 0)), "channels: expected an integer >= 1, got 0");
    assert_eq!(error(image, &config(1, 0, 1, 0)), "kernel: expected an integer >= 1, got 0");
    assert_eq!(error(image, &config(1, 3, 0, 0)), "stride: expected an integer >= 1, got 0");
    assert!(error(image, &config(1, 3, 1, 3)).starts_with("padding: expected at most"));
    assert!(error(image, &config(1, 11, 1, 0)).starts_with("kernel: expected at most"));
    let huge = config(1, usize::MAX, 1, usize::MAX - 1);
    assert!(error(image, &huge).starts_with("kernel: expected at most the largest (65536)"));
    assert!(error([4, 0, 10], &config(1, 3, 1, 0)).starts_with("height: "));
    let mut conv = conv2d(image, &config(2, 3, 1, 0), Activation::Relu).unwrap();
    let params = params(&conv, 0);
    assert!(conv.forward(&params, &[0.0; 401]).is_err());
    conv.forward(&params, &[0.0; 400]).unwrap();
    assert!(conv.backward(&params, &[0.0; 400], &mut [0.0; 127], None, None).is_err());
    assert!(conv.backward(&params, &[0.0; 800], &mut [0.0; 256], None, None).is_err());
    let json = r#"{"channels": 8, "kernel": 3}"#;
    assert_eq!(serde_json::from_str::<ConvConfig>(json).unwrap(), config(8, 3, 1, 0));
    assert!(
        serde_json::from_str::<ConvConfig>(r#"{"channels": 8, "kernel": 3, "pad": 1}"#).is_err()
    );
}

/// The definition in candle's operations for strides beyond the image, and for pixels that no kernel reaches.
#[test]
fn the_definition_sees_what_is_under_the_kernel() {
    for (stride, unreached) in [(1 << 40, 35), (3, 2), (2, 5)] {
        let config =
            ConvConfig { channels: 2, kernel: if stride == 2 { 3 } else { 2 }, stride, padding: 0 };
        let mut conv = conv2d([1, 6, 6], &config, Activation::Identity).unwrap();
        let (params, mut x) = (params(&conv, 3), draw(36, 4));
        conv.forward(&params, &x).unwrap();
        let fused = conv.output().to_vec();
        x[unreached] = f32::INFINITY;
        let [params, x] = [(&params, vec![params.len()]), (&x, vec![1, 36])]
            .map(|(values, shape)| Tensor::from_slice(values, shape, &Device::Cpu).unwrap());
        let defined = single(&conv.reference(&params, &x).unwrap());
        assert!(close(&defined, &fused, 1e-5), "{stride}: {defined:?} {fused:?}");
    }
}
