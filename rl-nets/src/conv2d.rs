//! The two-dimensional convolution.

use crate::aligned::Aligned;
use crate::kernels::conv::{
    add_kernel, convolve, image_gradient, kernel_columns, kernel_gradient, kernel_rows,
};
use crate::kernels::{Geometry, add_column_sums, transpose};
use crate::{Activation, Init, Layout, Module, ModuleDescription, Result, Threads};
#[cfg(feature = "candle")]
use candle_core::Tensor;
use rl_core::{Rng, check};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The hyperparameters of a convolution with a square kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvConfig {
    /// Channels of the output.
    pub channels: usize,
    /// Height and width of the kernel.
    pub kernel: usize,
    /// The stride of the kernel in pixels; 1.
    #[serde(default = "one")]
    pub stride: usize,
    /// Zero padding on each side of the image; 0.
    #[serde(default)]
    pub padding: usize,
}

fn one() -> usize {
    1
}

/// Far more than any image's side.
const MAX_KERNEL: u64 = 1 << 16;

impl ConvConfig {
    /// Checks the fields.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] for zero channels, kernel size or stride, a kernel above 65,536, or for padding as large as
    /// the kernel, whose outermost positions would cover only zeros.
    pub fn validate(&self) -> rl_core::Result<()> {
        check::at_least("channels", 1, self.channels as u64)?;
        check::at_least("kernel", 1, self.kernel as u64)?;
        check::at_most("kernel", MAX_KERNEL, "the largest", self.kernel as u64)?;
        check::at_least("stride", 1, self.stride as u64)?;
        check::at_most("padding", self.kernel as u64 - 1, "kernel - 1", self.padding as u64)
    }
}

/// A two-dimensional convolution with an activation; shapes and order as in PyTorch.
///
/// An input row is an image, `[channels, height, width]`; an output row is `[filters, out_height, out_width]`.
/// Parameters are `weight` `[filters, channels, kernel, kernel]` and `bias` `[filters]`.
///
/// ```
/// use rl_nets::{Activation, Conv2d, ConvConfig, Module};
/// let config = ConvConfig { channels: 32, kernel: 8, stride: 4, padding: 0 };
/// let conv = Conv2d::new([4, 84, 84], &config)?.with_activation(Activation::Relu);
/// assert_eq!(conv.output_shape(), [32, 20, 20]);
/// assert_eq!(conv.layout().entries()[0].shape, [32, 4, 8, 8]);
/// # Ok::<(), rl_nets::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Conv2d {
    layout: Layout,
    weight: Range<usize>,
    bias: Range<usize>,
    geometry: Geometry,
    activation: Activation,
    init: Init,
    threads: Threads,
    /// The output, `[batch, filters, positions]`.
    y: Aligned,
    /// The input of the activation, shaped as the output, if its derivative needs it.
    z: Aligned,
    /// The gradient of the linear part, `[batch, positions, filters]`.
    grad: Aligned,
    /// Reordered copies of the weight, each of its length: the operand of the forward product; the direction or the
    /// gradient; the operand of the image gradient's product.
    kernels: [Vec<f32>; 3],
}

impl Conv2d {
    /// A convolution of images `[channels, height, width]`, without an activation, initialised as in PyTorch.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] for errors of [`ConvConfig::validate`], an empty image, or an image smaller than
    /// the kernel.
    pub fn new(input: [usize; 3], config: &ConvConfig) -> Result<Self> {
        config.validate()?;
        let [channels, height, width] = input;
        for (name, size) in [("input channels", channels), ("height", height), ("width", width)] {
            check::at_least(name, 1, size as u64)?;
        }
        let ConvConfig { channels: filters, kernel, stride, padding } = *config;
        let padded = |size: usize| size.saturating_add(padding.saturating_mul(2));
        let smallest = padded(height.min(width));
        check::at_most("kernel", smallest as u64, "the padded image's size", kernel as u64)?;
        let out = [height, width].map(|size| (padded(size) - kernel) / stride + 1);
        let size = [height, width];
        let geometry = Geometry { channels, size, kernel, stride, padding, filters, out };
        let mut layout = Layout::default();
        let weight = layout.push("weight", &[filters, channels, kernel, kernel]);
        let bias = layout.push("bias", &[filters]);
        Ok(Conv2d {
            weight: weight..bias,
            bias: bias..layout.len(),
            layout,
            geometry,
            activation: Activation::Identity,
            init: Init::Pytorch,
            threads: Threads::one(),
            y: Aligned::default(),
            z: Aligned::default(),
            grad: Aligned::default(),
            kernels: Default::default(),
        })
    }

    /// Adds an activation.
    pub fn with_activation(self, activation: Activation) -> Self {
        Conv2d { activation, ..self }
    }

    /// Sets the initialisation of weights and biases.
    pub fn with_init(self, init: Init) -> Self {
        Conv2d { init, ..self }
    }

    /// Channels, height and width of an output row.
    pub fn output_shape(&self) -> [usize; 3] {
        let Geometry { filters, out: [height, width], .. } = self.geometry;
        [filters, height, width]
    }

    /// The number of images in `input`.
    fn batch(&self, input: &[f32]) -> Result<usize> {
        let batch = input.len() / self.geometry.input_len();
        check::len("images", batch * self.geometry.input_len(), input.len())?;
        Ok(batch)
    }

    /// The number of images in `input`, which must equal that of the last forward pass.
    fn last_batch(&self, input: &[f32]) -> Result<usize> {
        let batch = self.batch(input)?;
        check::len("the last output", batch * self.geometry.output_len(), self.y.len())?;
        Ok(batch)
    }
}

impl Module for Conv2d {
    fn describe(&self) -> Option<ModuleDescription> {
        let Geometry { channels, size, kernel, stride, padding, filters, .. } = self.geometry;
        Some(ModuleDescription::Conv2d {
            input: [channels, size[0], size[1]],
            channels: filters,
            kernel,
            stride,
            padding,
            activation: self.activation,
        })
    }

    fn input_len(&self) -> usize {
        self.geometry.input_len()
    }

    fn output_len(&self) -> usize {
        self.geometry.output_len()
    }

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn init(&self, params: &mut [f32], rng: &mut Rng) {
        let (weight, bias) = params.split_at_mut(self.bias.start);
        let receptive_field = self.geometry.kernel * self.geometry.kernel;
        self.init.fill(weight, bias, receptive_field, rng);
    }

    fn forward(&mut self, params: &[f32], input: &[f32]) -> Result<()> {
        let batch = self.batch(input)?;
        let Conv2d { geometry, activation, y, z, kernels: [kernel, ..], .. } = self;
        let (input_len, output_len) = (geometry.input_len(), geometry.output_len());
        y.resize(batch * output_len, 0.0)?;
        z.resize(if activation.needs_input() { y.len() } else { 0 }, 0.0)?;
        kernel.resize(self.weight.len(), 0.0);
        kernel_rows(geometry, &params[self.weight.clone()], kernel);
        let (bias, kernel) = (&params[self.bias.clone()], &kernel[..]);
        let work = batch * geometry.work();
        self.threads.share(batch, work, [y, z], |images, [y, mut z]| {
            // Processes one block of images at a time, so that the activation finds them in the cache.
            let together = geometry.images_together();
            let x = input[images.start * input_len..].chunks(together * input_len);
            for (x, y) in x.zip(y.chunks_mut(together * output_len)) {
                convolve(geometry, bias, &[(x, kernel)], y);
                let kept = y.len().min(z.len());
                let (now, later) = std::mem::take(&mut z).split_at_mut(kept);
                now.copy_from_slice(&y[..kept]);
                z = later;
                activation.apply(y);
            }
        });
        Ok(())
    }

    fn output(&self) -> &[f32] {
        &self.y
    }

    fn backward(
        &mut self,
        params: &[f32],
        input: &[f32],
        grad_output: &mut [f32],
        grads: Option<&mut [f32]>,
        grad_input: Option<&mut [f32]>,
    ) -> Result<()> {
        let batch = self.last_batch(input)?;
        check::len("gradient of the output", self.y.len(), grad_output.len())?;
        let Conv2d { geometry, activation, y, z, grad, kernels: [_, kernel, other], .. } = self;
        let (filters, positions) = (geometry.filters, geometry.positions());
        let (depth, output_len) = (geometry.depth(), geometry.output_len());
        let work = batch * geometry.work();
        grad.resize(y.len(), 0.0)?;
        other.resize(self.weight.len(), 0.0);
        self.threads.share(batch, work, [grad_output, grad], |images, [from, to]| {
            let rows = from.chunks_exact_mut(output_len).zip(to.chunks_exact_mut(output_len));
            for (image, (from, to)) in images.zip(rows) {
                let part = image * output_len..(image + 1) * output_len;
                activation.chain_part(from, part, y, z);
                transpose((filters, positions), (from, positions), (to, filters));
            }
        });
        let grad = &grad[..];
        if let Some(grads) = grads {
            add_column_sums(&mut grads[self.bias.clone()], grad);
            kernel.clear();
            kernel.resize(self.weight.len(), 0.0);
            self.threads.share(depth, work, [kernel], |columns, [kernel]| {
                kernel_gradient(geometry, input, grad, columns, kernel);
            });
            add_kernel(geometry, kernel, other, &mut grads[self.weight.clone()]);
        }
        if let Some(grad_input) = grad_input {
            check::len("gradient of the input", input.len(), grad_input.len())?;
            kernel_columns(geometry, &params[self.weight.clone()], other);
            let kernel = &other[..];
            self.threads.share(batch, work, [grad_input], |images, [out]| {
                let grad = &grad[images.start * output_len..images.end * output_len];
                image_gradient(geometry, kernel, grad, out);
            });
        }
        Ok(())
    }

    fn tangent(
        &mut self,
        params: &[f32],
        input: &[f32],
        direction: &[f32],
        input_tangent: Option<&[f32]>,
        out: &mut [f32],
    ) -> Result<()> {
        let batch = self.last_batch(input)?;
        if let Some(moved) = input_tangent {
            check::len("derivative of the input", input.len(), moved.len())?;
        }
        let Conv2d { geometry, activation, y, z, kernels: [kernel, moving, _], .. } = self;
        let (input_len, output_len) = (geometry.input_len(), geometry.output_len());
        for (kernel, params) in [(&mut *kernel, params), (&mut *moving, direction)] {
            kernel.resize(self.weight.len(), 0.0);
            kernel_rows(geometry, &params[self.weight.clone()], kernel);
        }
        let (bias, kernel, moving) = (&direction[self.bias.clone()], &kernel[..], &moving[..]);
        let work = 2 * batch * geometry.work();
        self.threads.share(batch, work, [out], |images, [out]| {
            let inputs = images.start * input_len..images.end * input_len;
            let by_kernel = (&input[inputs.clone()], moving);
            match input_tangent {
                None => convolve(geometry, bias, &[by_kernel], out),
                Some(moved) => {
                    let by_input = (&moved[inputs], kernel);
                    convolve(geometry, bias, &[by_kernel, by_input], out);
                }
            }
            let part = images.start * output_len..images.end * output_len;
            activation.chain_part(out, part, y, z);
        });
        Ok(())
    }

    #[cfg(feature = "candle")]
    fn reference(&self, params: &Tensor, input: &Tensor) -> Result<Tensor> {
        let Geometry { channels, size, kernel, stride, padding, filters, out } = self.geometry;
        // As one of stride 1 over blocks of stride x stride pixels: a product of the pixels under the kernel, a part of a
        // block at a time, with their weights. Candle's own has a slow gradient of its input on a GPU, and computes it
        // for pixels too.
        let stride = if out == [1, 1] { kernel } else { stride };
        let blocks = kernel.div_ceil(stride);
        let part = |block: usize| stride.min(kernel - block * stride);
        let mut x = input.reshape(((), channels, size[0], size[1]))?;
        for (dim, size, out) in [(2, size[0], out[0]), (3, size[1], out[1])] {
            let reached = (out + blocks - 1) * stride;
            let beyond = reached.saturating_sub(padding + size);
            x = x.pad_with_zeros(dim, padding, beyond)?.narrow(dim, 0, reached)?;
        }
        let [rows, columns] = out.map(|out| out + blocks - 1);
        let x = x.reshape(&[x.dim(0)?, channels, rows, stride, columns, stride][..])?;
        let x = x.permute([0, 2, 4, 1, 3, 5])?;
        let weight = params.narrow(0, self.weight.start, self.weight.len())?;
        let weight = weight.reshape((filters, channels, kernel, kernel))?.permute([1, 2, 3, 0])?;
        let (mut pixels, mut weights) = (Vec::new(), Vec::new());
        for (i, j) in (0..blocks * blocks).map(|at| (at / blocks, at % blocks)) {
            let under = x.narrow(1, i, out[0])?.narrow(2, j, out[1])?;
            let under = under.narrow(4, 0, part(i))?.narrow(5, 0, part(j))?;
            pixels.push(under.contiguous()?.flatten_from(3)?);
            let own = weight.narrow(1, i * stride, part(i))?.narrow(2, j * stride, part(j))?;
            weights.push(own.contiguous()?.reshape(((), filters))?);
        }
        let (under, weight) = (Tensor::cat(&pixels, 3)?, Tensor::cat(&weights, 0)?);
        let bias = params.narrow(0, self.bias.start, filters)?;
        let y = under.flatten_to(2)?.matmul(&weight)?.broadcast_add(&bias)?;
        let y = y.reshape(((), out[0] * out[1], filters))?.transpose(1, 2)?.contiguous()?;
        Ok(self.activation.reference(&y.flatten_from(1)?)?)
    }

    fn share_among(&mut self, threads: &Threads) {
        self.threads = threads.clone();
    }

    fn work(&self) -> usize {
        self.geometry.work()
    }
}
