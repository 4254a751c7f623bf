//! Checks modules and describes their problems.

use crate::{Error, Module, Result};
use candle_core::{DType, Device, Tensor, Var};
use rl_core::{Rng, Seeds};

/// The number of rows in a test.
const ROWS: usize = 3;
/// The tolerance between two results, relative to the largest magnitude.
const TOLERANCE: f32 = 1e-3;

/// Tests a custom module on random rows, near its initial parameters: both paths give the same output and gradients;
/// the gradient of the parameters is accumulated and that of the input is overwritten; a backward pass does not
/// change the output; and the forward derivative, if defined, is the derivative of the output. Returns each kind of
/// problem once. A module without a fused pass or without a candle definition has nothing to compare, so the result
/// is empty.
///
/// ```
/// use rl_nets::{Activation, Linear, check_module};
/// let layer = Linear::new(3, 2)?.with_activation(Activation::Silu).with_layer_norm();
/// assert_eq!(check_module(&layer)?, [""; 0]);
/// # Ok::<(), rl_nets::Error>(())
/// ```
///
/// # Errors
/// Errors of the module.
pub fn check_module(module: &(impl Module + Clone + 'static)) -> Result<Vec<String>> {
    let mut module = module.clone();
    let mut rng = Seeds::new(0).stream("check", 0);
    let n = module.layout().len();
    let mut params = vec![0.0; n];
    module.init(&mut params, &mut rng);
    params.iter_mut().for_each(|p| *p += 0.1 * rng.normal() as f32);
    let x = draw(ROWS * module.input_len(), &mut rng);
    let Some(expected) = defined(&module, &params, &x)? else { return Ok(Vec::new()) };
    if !module.is_fused() {
        return Ok(Vec::new());
    }
    let mut problems = Vec::new();
    let mut compare = |what: &str, got: &[f32], expected: &[f32]| {
        let scale = expected.iter().fold(1e-2f32, |m, e| m.max(e.abs()));
        let apart = |(g, e): (&f32, &f32)| g.is_nan() || (g - e).abs() > TOLERANCE * scale;
        if got.len() != expected.len() {
            problems.push(format!("{what} has {} numbers, not {}", got.len(), expected.len()));
        } else if let Some(i) = got.iter().zip(expected).position(apart) {
            problems.push(format!("{what}[{i}] is {}, not {}", got[i], expected[i]));
        }
    };

    module.forward(&params, &x)?;
    let output = module.output().to_vec();
    compare("output", &output, &expected.output);
    if output.len() != ROWS * module.output_len() {
        return Ok(problems);
    }
    // Non-zero initial contents, to test that gradients are accumulated or overwritten.
    let (mut grads, mut grad_x) = (vec![1.0; n], vec![f32::NAN; x.len()]);
    let mut upstream = expected.upstream.clone();
    module.backward(&params, &x, &mut upstream, Some(&mut grads), Some(&mut grad_x))?;
    grads.iter_mut().for_each(|g| *g -= 1.0);
    compare("gradient of the parameters", &grads, &expected.grads);
    compare("gradient of the input", &grad_x, &expected.grad_x);
    compare("output after a backward pass", module.output(), &output);
    let mut alone = vec![f32::NAN; x.len()];
    let mut upstream = expected.upstream.clone();
    module.backward(&params, &x, &mut upstream, None, Some(&mut alone))?;
    compare("gradient of the input alone", &alone, &expected.grad_x);

    let (along, moved) = (draw(n, &mut rng), draw(x.len(), &mut rng));
    let still = vec![0.0; x.len()];
    for (what, input) in [("tangent", None), ("tangent with a moving input", Some(&moved[..]))] {
        let mut tangent = vec![f32::NAN; output.len()];
        match module.tangent(&params, &x, &along, input, &mut tangent) {
            Err(Error::Unsupported(_)) => {}
            result => {
                result?;
                let slope = slope(&module, (&params, &x), (&along, input.unwrap_or(&still)))?;
                compare(what, &tangent, &slope);
            }
        }
    }
    Ok(problems)
}

fn draw(n: usize, rng: &mut Rng) -> Vec<f32> {
    (0..n).map(|_| rng.normal() as f32).collect()
}

/// The results of a module's candle definition.
struct Defined {
    output: Vec<f32>,
    upstream: Vec<f32>,
    grads: Vec<f32>,
    grad_x: Vec<f32>,
}

/// None if the module has no candle definition.
fn defined(module: &impl Module, params: &[f32], x: &[f32]) -> Result<Option<Defined>> {
    let tensor = |x: &[f32], shape: &[usize]| Tensor::from_slice(x, shape, &Device::Cpu);
    let w = Var::from_tensor(&tensor(params, &[params.len()])?)?;
    let input = Var::from_tensor(&tensor(x, &[ROWS, module.input_len()])?)?;
    let y = match module.reference(&w, &input) {
        Err(Error::Unsupported(_)) => return Ok(None),
        y => y?,
    };
    let upstream: Vec<f32> = (0..y.elem_count()).map(|i| (i as f32).cos()).collect();
    let found = (&y * tensor(&upstream, y.dims())?)?.sum_all()?.backward()?;
    let gradient = |var: &Var, n: usize| match found.get(var) {
        Some(gradient) => gradient.flatten_all()?.to_vec1(),
        None => Ok(vec![0.0; n]),
    };
    Ok(Some(Defined {
        output: y.flatten_all()?.to_vec1()?,
        grads: gradient(&w, params.len())?,
        grad_x: gradient(&input, x.len())?,
        upstream,
    }))
}

/// The derivative of the output along directions of the parameters and of the input, by central differences of the
/// candle definition in double precision.
fn slope(
    module: &impl Module,
    (params, x): (&[f32], &[f32]),
    (along, moved): (&[f32], &[f32]),
) -> Result<Vec<f32>> {
    const H: f64 = 1e-6;
    let double = |x: &[f32]| Tensor::from_slice(x, x.len(), &Device::Cpu)?.to_dtype(DType::F64);
    let (params, along) = (double(params)?, double(along)?);
    let (x, moved) = (double(x)?, double(moved)?);
    let at = |h: f64| {
        let input = (&x + (&moved * h)?)?.reshape((ROWS, module.input_len()))?;
        module.reference(&(&params + (&along * h)?)?, &input)
    };
    let slope = ((at(H)? - at(-H)?)? / (2.0 * H))?;
    Ok(slope.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}
