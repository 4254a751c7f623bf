//! Loads models without the warning that MuJoCo prints on the attribute `settotalmass`: a library is silent, and
//! Gymnasium's `half_cheetah.xml` has it.

use mujoco_rs::error::MjModelError;
use mujoco_rs::prelude::{MjData, MjModel};
use std::path::Path;

const ATTRIBUTE: &str = "settotalmass=\"";

/// Loads a model. Where it asks for a total mass, bodies are scaled after its compilation instead of within it, to the
/// same bits.
pub(super) fn load(path: &Path) -> Result<MjModel, MjModelError> {
    let scaled = std::fs::read_to_string(path).ok().and_then(|text| without_attribute(&text));
    match scaled.map(|(text, mass)| (MjModel::from_xml_string(&text), mass)) {
        Some((Ok(model), mass)) => Ok(scale(model, mass)),
        // A model that reads other files has to be loaded from its folder.
        _ => MjModel::from_xml(path),
    }
}

/// The model's text without the attribute, and the attribute's value.
fn without_attribute(text: &str) -> Option<(String, f64)> {
    let (before, rest) = text.split_once(ATTRIBUTE)?;
    let (mass, after) = rest.split_once('"')?;
    let mass = mass.trim().parse().ok().filter(|mass| *mass > 0.0)?;
    Some((format!("{before}{after}"), mass))
}

fn scale(mut model: MjModel, mass: f64) -> MjModel {
    model.set_totalmass(mass);
    let mut data = MjData::new(Box::new(model));
    data.set_const();
    // The statistics are those of the compilation. The solver's tolerance depends on the mean inertia.
    data.reset();
    data.forward();
    let n = data.model().nv() as usize;
    let mut inertia = vec![0.0; n * n];
    if data.full_m(&mut inertia).is_ok() && n > 0 {
        let diagonal = inertia.iter().step_by(n + 1);
        data.model_stat_mut().meaninertia = diagonal.sum::<f64>() / n as f64;
    }
    let masses = &data.model().body_mass()[1..];
    let mean = masses.iter().sum::<f64>() / masses.len() as f64;
    data.model_stat_mut().meanmass = mean;
    data.model().clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scaled_model_has_the_bits_of_one_that_is_compiled_so() {
        let path = crate::mujoco_models().join("half_cheetah.xml");
        let bytes = |model: MjModel| {
            let mut bytes = vec![0; model.size()];
            model.save_to_buffer(&mut bytes).unwrap();
            bytes
        };
        assert!(without_attribute(&std::fs::read_to_string(&path).unwrap()).is_some());
        assert!(bytes(load(&path).unwrap()) == bytes(MjModel::from_xml(&path).unwrap()));
    }
}
