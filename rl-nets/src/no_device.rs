//! Without the feature `candle` no network is on a device: what stands in `on_device.rs`'s place has no values.

use crate::{Backend, Error, InputRows, Module, Optimizer, OptimizerConfig, Result};

/// No device.
#[derive(Clone, Debug)]
pub enum Device {}

/// No parameters on a device.
pub(crate) struct OnDevice {
    pub(crate) output: Vec<f32>,
    never: Device,
}

/// No graph.
pub(crate) struct Graph;

impl OnDevice {
    pub(crate) fn wanted(_: &Backend, module: &dyn Module, _: &[f32]) -> Result<Option<Self>> {
        if module.is_fused() { Ok(None) } else { Err(Error::Unsupported("the fused path")) }
    }

    pub(crate) fn twin(&self) -> Result<Self> {
        match self.never {}
    }

    pub(crate) fn params(&self) -> Result<Vec<f32>> {
        match self.never {}
    }

    pub(crate) fn grads(&self) -> Result<Vec<f32>> {
        match self.never {}
    }

    pub(crate) fn set_params(&mut self, _: &[f32]) -> Result<()> {
        match self.never {}
    }

    pub(crate) fn zero_grads(&mut self) -> Result<()> {
        match self.never {}
    }

    pub(crate) fn move_towards(&mut self, _: &Self, _: f64) -> Result<()> {
        match self.never {}
    }

    pub(crate) fn predict(&mut self, _: &dyn Module, _: InputRows<'_>, _: f32) -> Result<()> {
        match self.never {}
    }

    pub(crate) fn forward(&mut self, _: &dyn Module, _: InputRows<'_>, _: f32) -> Result<Graph> {
        match self.never {}
    }

    pub(crate) fn backward(
        &mut self,
        _: &dyn Module,
        _: &Graph,
        _: &[f32],
        _: bool,
        _: Option<&mut [f32]>,
        _: Option<&mut [f32]>,
    ) -> Result<()> {
        match self.never {}
    }

    pub(crate) fn optimizer(&self, _: OptimizerConfig) -> Result<Optimizer> {
        match self.never {}
    }

    pub(crate) fn step(&mut self, _: &mut Optimizer, _: f64, _: Option<f64>) -> Result<f64> {
        match self.never {}
    }
}

/// No moments on a device.
#[derive(Clone, Debug)]
pub(crate) struct DeviceSlots(Device);

impl DeviceSlots {
    pub(crate) fn to_vecs(&self) -> Result<Vec<Vec<f32>>> {
        match self.0 {}
    }

    pub(crate) fn set(&mut self, _: Vec<Vec<f32>>) -> Result<()> {
        match self.0 {}
    }
}

pub(crate) fn differences(
    _: &dyn Module,
    _: (&[f32], &[f32]),
    _: &[f32],
    _: &mut [f32],
) -> Result<()> {
    Err(Error::Unsupported("a forward derivative"))
}

pub(crate) fn backend_by_name(name: &str) -> Result<Backend> {
    let problem = match name {
        "reference" | "cuda" | "metal" => "not compiled in; build with --features candle",
        _ => "unknown; expected cpu, reference, cuda or metal",
    };
    Err(Error::Device { device: name.to_owned(), problem: problem.to_owned() })
}
