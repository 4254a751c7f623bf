//! Whether candle's gradients of a model are its slopes.

use crate::candle_body::CandleModule;
use crate::{Error, Module, Result};
use candle_core::{DType, Device, Tensor, Var};
use rl_core::{Rng, Seeds};
use std::collections::HashMap;

/// The step of the differences, and by how much a slope may differ from them, as a share.
const H: f64 = 1e-6;
const TOLERANCE: f64 = 1e-3;

/// Tries the gradients of a model at a random point: each parameter and the input must have one, and the same
/// as differences of the output give.
pub(crate) fn probe(module: &CandleModule) -> Result<()> {
    let mut rng = Seeds::new(0).stream("probe", 0);
    let mut params = vec![0.0; module.layout().len()];
    module.init(&mut params, &mut rng);
    // Away from the beginning, where zeros hide slopes and kinks.
    params.iter_mut().for_each(|p| *p += 0.1 * rng.normal() as f32);
    let shape = (2, module.input_len());
    let mut draw = |n: usize| (0..n).map(|_| rng.uniform(0.1, 1.0)).collect::<Vec<_>>();
    let (input, weight) = (draw(2 * module.input_len()), draw(2 * module.output_len()));
    let tensor = |data: &[f64], shape: &[usize], dtype: DType| -> Result<Tensor> {
        Ok(Tensor::from_slice(data, shape, &Device::Cpu)?.to_dtype(dtype)?)
    };
    let wide: Vec<f64> = params.iter().map(|&p| f64::from(p)).collect();
    let at = |dtype: DType| -> Result<Point<'_>> {
        let mut values =
            vec![Value { name: None, tensor: tensor(&input, &[shape.0, shape.1], dtype)? }];
        for entry in module.layout().entries() {
            let part = &wide[entry.offset..][..entry.len()];
            let tensor = tensor(part, &entry.shape, dtype)?;
            values.push(Value { name: Some(&entry.name), tensor });
        }
        Ok(Point { module, values, weight: tensor(&weight, &[2, module.output_len()], dtype)? })
    };
    let point = at(DType::F32)?;
    let without: Vec<String> = point
        .gradients()?
        .into_iter()
        .zip(&point.values)
        .filter(|(gradient, _)| gradient.is_none())
        .map(|(_, value)| value.name())
        .collect();
    if !without.is_empty() {
        let without = without.join(", ");
        let why = "candle would not train it, silently (its fused layer norm and softmax have no gradient, \
                   nor have running statistics and what is detached)";
        return Err(Error::Model(format!("{without} gets no gradient: {why}")));
    }
    // Slopes need double precision; a model that insists on single is taken at its word.
    let Ok(point) = at(DType::F64) else { return Ok(()) };
    let Ok(gradients) = point.gradients() else { return Ok(()) };
    let out = point.loss(&point.values)?;
    if point.loss(&point.values)? != out {
        let why = "the same input gives another output each time: what is random in it has no seed";
        return Err(Error::Model(why.to_owned()));
    }
    for (i, gradient) in gradients.into_iter().enumerate() {
        let Some(gradient) = gradient else { continue };
        point.check_slope(i, &gradient, &mut rng)?;
    }
    Ok(())
}

/// The input, which has no name, or a parameter.
struct Value<'a> {
    name: Option<&'a str>,
    tensor: Tensor,
}

impl Value<'_> {
    fn name(&self) -> String {
        self.name.map_or("the input".to_owned(), |name| format!("'{name}'"))
    }
}

/// Where the gradients are tried: the input and the parameters, and the weight of each output in a sum.
struct Point<'a> {
    module: &'a CandleModule,
    values: Vec<Value<'a>>,
    weight: Tensor,
}

impl Point<'_> {
    fn apply(&self, values: &[Tensor]) -> Result<Tensor> {
        let names = self.values.iter().skip(1).filter_map(|value| value.name);
        let tensors: HashMap<String, Tensor> =
            names.map(str::to_owned).zip(values.iter().skip(1).cloned()).collect();
        let y = self.module.apply(tensors, self.weight.dtype(), &values[0])?;
        Ok((y * &self.weight)?.sum_all()?)
    }

    fn loss(&self, values: &[Value<'_>]) -> Result<f64> {
        let tensors: Vec<Tensor> = values.iter().map(|value| value.tensor.clone()).collect();
        Ok(self.apply(&tensors)?.to_dtype(DType::F64)?.to_scalar()?)
    }

    /// The gradient of each value, where there is one.
    fn gradients(&self) -> Result<Vec<Option<Tensor>>> {
        let vars: Vec<Var> = self
            .values
            .iter()
            .map(|value| Var::from_tensor(&value.tensor))
            .collect::<candle_core::Result<_>>()?;
        let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let found = self.apply(&tensors)?.backward()?;
        Ok(vars.iter().map(|var| found.get(var).cloned()).collect())
    }

    /// Compares the gradient of value `i` with differences along a random direction.
    fn check_slope(&self, i: usize, gradient: &Tensor, rng: &mut Rng) -> Result<()> {
        let value = &self.values[i].tensor;
        let direction: Vec<f64> = (0..value.elem_count()).map(|_| rng.normal()).collect();
        let direction = Tensor::from_vec(direction, value.shape(), &Device::Cpu)?;
        let along = |h: f64| -> Result<f64> {
            let mut tensors: Vec<Tensor> =
                self.values.iter().map(|value| value.tensor.clone()).collect();
            tensors[i] = (value + (&direction * h)?)?;
            Ok(self.apply(&tensors)?.to_scalar::<f64>()?)
        };
        let claimed = (gradient * &direction)?.sum_all()?.to_scalar::<f64>()?;
        let difference = |h: f64| Ok::<_, Error>((along(h)? - along(-h)?) / (2.0 * h));
        let (slope, finer) = (difference(H)?, difference(H / 10.0)?);
        let scale = gradient.sqr()?.sum_all()?.sqrt()?.to_scalar::<f64>()?.max(slope.abs());
        // A kink within reach makes the difference itself wrong: then two widths disagree.
        if !slope.is_finite() || (slope - finer).abs() > 0.1 * TOLERANCE * scale {
            return Ok(());
        }
        if (claimed - slope).abs() > TOLERANCE * scale.max(1e-6) {
            let name = self.values[i].name();
            let why = "a part of the model that depends on it is computed without a gradient, or with a wrong one";
            return Err(Error::Model(format!(
                "{name} gets the gradient {claimed:.6} where the output's slope is {slope:.6}: {why}"
            )));
        }
        Ok(())
    }
}
