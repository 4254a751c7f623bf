//! Parameters as safetensors files.

use crate::{Error, Layout, Result};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

pub(crate) fn write(layout: &Layout, params: &[f32]) -> Result<Vec<u8>> {
    let bytes: Vec<u8> = params.iter().flat_map(|x| x.to_le_bytes()).collect();
    let error = |e: safetensors::SafeTensorError| Error::Weights(e.to_string());
    let mut views = Vec::new();
    for entry in layout.entries() {
        // What was diverged must not take the place of what was not.
        let numbers = &params[entry.offset..][..entry.len()];
        if let Some(bad) = numbers.iter().find(|x| !x.is_finite()) {
            return Err(Error::Diverged { name: entry.name.clone(), value: *bad });
        }
        let part = &bytes[entry.offset * 4..][..entry.len() * 4];
        let view = TensorView::new(Dtype::F32, entry.shape.clone(), part).map_err(error)?;
        views.push((entry.name.clone(), view));
    }
    safetensors::serialize(views, None).map_err(error)
}

pub(crate) fn read(layout: &Layout, bytes: &[u8]) -> Result<Vec<f32>> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| Error::Weights(e.to_string()))?;
    let mut params = Vec::with_capacity(layout.len());
    for entry in layout.entries() {
        append(&file, &entry.name, &entry.shape, &mut params)?;
    }
    if file.len() != layout.entries().len() {
        let known = |n: &&&str| layout.entries().iter().all(|e| e.name != **n);
        let names = file.names();
        let extra = names.iter().find(known).copied().unwrap_or_default();
        return Err(Error::Weights(format!("'{extra}' is not a parameter of this network")));
    }
    Ok(params)
}

/// Reads the tensors `names`, in the order of the entries of a layout, whose shapes they must have; others are left out.
pub(crate) fn read_named(layout: &Layout, names: &[String], bytes: &[u8]) -> Result<Vec<f32>> {
    rl_core::check::len("names of parameters", layout.entries().len(), names.len())?;
    let file = SafeTensors::deserialize(bytes).map_err(|e| Error::Weights(e.to_string()))?;
    let mut params = Vec::new();
    for (entry, name) in layout.entries().iter().zip(names) {
        append(&file, name, &entry.shape, &mut params)?;
    }
    Ok(params)
}

fn append(file: &SafeTensors<'_>, name: &str, shape: &[usize], to: &mut Vec<f32>) -> Result<()> {
    let Ok(view) = file.tensor(name) else {
        return Err(Error::Weights(format!("'{name}' is missing")));
    };
    if view.dtype() != Dtype::F32 || view.shape() != shape {
        let (dtype, found) = (view.dtype(), view.shape());
        let problem = format!("'{name}': expected F32 {shape:?}, got {dtype:?} {found:?}");
        return Err(Error::Weights(problem));
    }
    let start = to.len();
    let numbers = view.data().chunks_exact(4);
    to.extend(numbers.map(|b| f32::from_le_bytes(b.try_into().unwrap_or_default())));
    if let Some(bad) = to[start..].iter().find(|x| !x.is_finite()) {
        return Err(Error::Weights(format!("'{name}' has {bad}, not a finite number")));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // How a test fails.
mod tests {
    use crate::{Backend, Linear, Network};
    use rl_core::Seeds;

    #[test]
    fn parameters_that_are_no_numbers_are_not_saved() {
        let mut rng = Seeds::new(0).stream("init", 0);
        let mut net = Network::new(Linear::new(1, 1).unwrap(), &Backend::cpu(), &mut rng).unwrap();
        net.set_params(&[1.0, f32::NAN]).unwrap();
        let error = net.save().unwrap_err().to_string();
        assert!(error.contains("' has NaN, not a finite number, and is not saved"), "{error}");
    }
}
