//! Checks that candle's gradients of a model equal its derivatives.

use crate::candle_body::CandleModule;
use crate::{Error, Module, Result};
use candle_core::{DType, Device, Tensor, Var};
use rl_core::{Rng, Seeds};
use std::collections::HashMap;

/// The number of test points, and the range of the inputs at each: some ranges suit models that need positive
/// numbers, others include negative ones.
const POINTS: [(f64, f64); 3] = [(0.1, 1.0), (-1.0, 1.0), (-1.0, 1.0)];

/// Finite differences: the step size relative to the value's size, and the tolerance relative to the gradient's size.
struct Width {
    step: f64,
    tolerance: f64,
}

/// For double precision.
const FINE: Width = Width { step: 1e-6, tolerance: 1e-3 };
/// For models that compute partly in single precision.
const COARSE: Width = Width { step: 1e-3, tolerance: 3e-2 };

/// Tests the gradients of a model at random points: each parameter and the input must have a gradient that equals
/// finite differences of the output. Each output row must depend only on its own input row.
pub(crate) fn probe(module: &CandleModule) -> Result<()> {
    let mut rng = Seeds::new(0).stream("probe", 0);
    let mut settled = vec![false; 1 + module.layout().entries().len()];
    let mut undefined = 0;
    for (number, range) in POINTS.into_iter().enumerate() {
        let drawn = Drawn::new(module, range, &mut rng);
        let single = drawn.at(DType::F32)?;
        let y = single.output()?;
        if number == 0 {
            single.refuse_missing()?;
            single.refuse_random(&y)?;
        }
        if !is_finite(&y)? {
            undefined += 1;
            continue;
        }
        single.refuse_mixed_rows(&y)?;
        // In double precision, if the model supports it, since finite differences are then most accurate.
        let double = drawn.at(DType::F64).ok();
        let double = double.and_then(|point| Some((point.gradients().ok()?, point)));
        let (gradients, point) = match double {
            Some(double) => double,
            None => (single.gradients()?, single),
        };
        for (i, gradient) in gradients.iter().enumerate() {
            if let Some(gradient) = gradient {
                settled[i] |= point.check_slope(i, gradient, &mut rng)?;
            }
        }
    }
    // A model whose output is NaN at all test points is accepted untested.
    match settled.iter().position(|settled| !settled) {
        Some(i) if undefined < POINTS.len() => {
            let name = i.checked_sub(1).and_then(|i| module.layout().entries().get(i));
            let name = name.map_or("the input".to_owned(), |entry| format!("'{}'", entry.name));
            let why = "the output is not smooth enough in it, or computed too coarsely, for its gradient to be checked";
            Err(Error::Model(format!("{name}: {why}")))
        }
        _ => Ok(()),
    }
}

fn is_finite(y: &Tensor) -> Result<bool> {
    let y = y.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    Ok(y.iter().all(|y| y.is_finite()))
}

fn scalar(x: &Tensor) -> Result<f64> {
    Ok(x.to_dtype(DType::F64)?.to_scalar()?)
}

fn norm(x: &Tensor) -> Result<f64> {
    scalar(&x.to_dtype(DType::F64)?.sqr()?.sum_all()?.sqrt()?)
}

/// Parameters near their initial values, two rows of input, and the weight of each output in the weighted sum.
struct Drawn<'a> {
    module: &'a CandleModule,
    params: Vec<f64>,
    input: Vec<f64>,
    weight: Vec<f64>,
}

impl<'a> Drawn<'a> {
    fn new(module: &'a CandleModule, (low, high): (f64, f64), rng: &mut Rng) -> Self {
        let mut params = vec![0.0; module.layout().len()];
        module.init(&mut params, rng);
        // Away from the initial values, where zeros hide derivatives and kinks.
        let params = params.iter().map(|&p| f64::from(p) + 0.1 * rng.normal()).collect();
        let mut draw = |n: usize, low, high| (0..n).map(|_| rng.uniform(low, high)).collect();
        let input = draw(2 * module.input_len(), low, high);
        let weight = draw(2 * module.output_len(), 0.1, 1.0);
        Drawn { module, params, input, weight }
    }

    fn at(&self, dtype: DType) -> Result<Point<'a>> {
        let tensor = |data: &[f64], shape: &[usize]| -> Result<Tensor> {
            Ok(Tensor::from_slice(data, shape, &Device::Cpu)?.to_dtype(dtype)?)
        };
        let mut values = vec![tensor(&self.input, &[2, self.module.input_len()])?];
        for entry in self.module.layout().entries() {
            values.push(tensor(&self.params[entry.offset..][..entry.len()], &entry.shape)?);
        }
        let weight = tensor(&self.weight, &[2, self.module.output_len()])?;
        let point = Point { module: self.module, values, weight };
        point.output()?;
        Ok(point)
    }
}

/// A test point: the input, then the parameters, in a given precision.
struct Point<'a> {
    module: &'a CandleModule,
    values: Vec<Tensor>,
    weight: Tensor,
}

impl Point<'_> {
    fn name(&self, i: usize) -> String {
        let entry = i.checked_sub(1).and_then(|i| self.module.layout().entries().get(i));
        entry.map_or("the input".to_owned(), |entry| format!("'{}'", entry.name))
    }

    fn apply(&self, values: &[Tensor]) -> Result<Tensor> {
        let entries = self.module.layout().entries().iter();
        let names = entries.map(|entry| entry.name.clone());
        let tensors: HashMap<String, Tensor> = names.zip(values.iter().skip(1).cloned()).collect();
        self.module.apply(tensors, self.weight.dtype(), &values[0])
    }

    fn output(&self) -> Result<Tensor> {
        self.apply(&self.values)
    }

    /// The weighted sum of the output.
    fn loss(&self, values: &[Tensor]) -> Result<Tensor> {
        Ok((self.apply(values)? * &self.weight)?.sum_all()?)
    }

    /// The gradient of each value, if it has one.
    fn gradients(&self) -> Result<Vec<Option<Tensor>>> {
        let vars: candle_core::Result<Vec<Var>> =
            self.values.iter().map(Var::from_tensor).collect();
        let vars = vars?;
        let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let failed = |error| Error::Model(format!("candle cannot compute its gradient: {error}"));
        let found = self.loss(&tensors)?.backward().map_err(failed)?;
        Ok(vars.iter().map(|var| found.get(var).cloned()).collect())
    }

    fn refuse_missing(&self) -> Result<()> {
        let missing: Vec<String> = (self.gradients()?.iter().enumerate())
            .filter(|(_, gradient)| gradient.is_none())
            .map(|(i, _)| self.name(i))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let missing = missing.join(", ");
        let why = "candle would not train it, silently (its fused layer norm and softmax have no gradient, \
                   nor have running statistics and what is detached)";
        Err(Error::Model(format!("{missing} gets no gradient: {why}")))
    }

    fn refuse_random(&self, y: &Tensor) -> Result<()> {
        let bits = |y: &Tensor| -> Result<Vec<u32>> {
            let y = y.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
            Ok(y.into_iter().map(f32::to_bits).collect())
        };
        if bits(y)? == bits(&self.output()?)? {
            return Ok(());
        }
        let why = "the same input gives another output each time: what is random in it has no seed";
        Err(Error::Model(why.to_owned()))
    }

    /// Each row alone must give the same output as beside another row.
    fn refuse_mixed_rows(&self, y: &Tensor) -> Result<()> {
        let largest = scalar(&y.abs()?.max_all()?)?;
        for row in 0..2 {
            let mut values = self.values.clone();
            values[0] = values[0].narrow(0, row, 1)?.contiguous()?;
            let apart = (self.apply(&values)? - y.narrow(0, row, 1)?)?.abs()?.max_all()?;
            if scalar(&apart)? > 1e-3 * largest.max(1e-3) {
                let why = "a row's output depends on the other rows of its batch: acting and learning would differ";
                return Err(Error::Model(why.to_owned()));
            }
        }
        Ok(())
    }

    /// Compares the gradient of value `i` with finite differences. Returns whether they could be compared: near a
    /// kink or with large rounding errors, differences of two step sizes disagree.
    fn check_slope(&self, i: usize, gradient: &Tensor, rng: &mut Rng) -> Result<bool> {
        // Along the gradient, where the derivative is largest, and along another direction.
        let random: Vec<f64> = (0..gradient.elem_count()).map(|_| rng.normal()).collect();
        let random = Tensor::from_vec(random, gradient.shape(), &Device::Cpu)?;
        let gradient = gradient.to_dtype(DType::F64)?;
        let size = norm(&gradient)?;
        let mut direction = (&random / norm(&random)?)?;
        if size > 0.0 {
            direction = (direction + (&gradient / size)?)?;
        }
        let direction = (&direction / norm(&direction)?)?;
        let claimed = scalar(&(&gradient * &direction)?.sum_all()?)?;

        let widths = match self.weight.dtype() {
            DType::F64 => &[FINE, COARSE][..],
            _ => &[COARSE],
        };
        let value = 1.0 + norm(&self.values[i])?;
        for Width { step, tolerance } in widths {
            let (slope, finer) = (
                self.slope(i, &direction, step * value)?,
                self.slope(i, &direction, 0.5 * step * value)?,
            );
            let scale = size.max(slope.abs()).max(1e-6);
            if !(slope - finer).is_finite() || (slope - finer).abs() > 0.3 * tolerance * scale {
                continue;
            }
            if (claimed - slope).abs() > tolerance * scale {
                let name = self.name(i);
                let why = "a part of the model that depends on it is computed without a gradient, or with a wrong one";
                return Err(Error::Model(format!(
                    "{name} gets the gradient {claimed:.6} where the output's slope is {slope:.6}: {why}"
                )));
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// The derivative of the weighted sum along a direction of value `i`, by a central difference.
    fn slope(&self, i: usize, direction: &Tensor, h: f64) -> Result<f64> {
        let along = |h: f64| -> Result<f64> {
            let mut values = self.values.clone();
            let moved = (direction * h)?.to_dtype(values[i].dtype())?;
            values[i] = (&values[i] + moved)?;
            let y =
                (self.apply(&values)?.to_dtype(DType::F64)? * self.weight.to_dtype(DType::F64)?)?;
            scalar(&y.sum_all()?)
        };
        Ok((along(h)? - along(-h)?) / (2.0 * h))
    }
}
