//! The ops: one file per family; shape and dtype rule, forward and derivative side by side.
//!
//! A function here has the name of its entry in `spec/ops.txt`, from which the C shims and the languages' methods are
//! generated. Derivatives are written in ops, so that second derivatives follow.

mod activations;
mod affine;
mod algebra;
mod antialias;
mod arith;
mod attention;
mod bags;
mod batch_norm;
mod cast;
mod clip;
mod compare;
mod complex;
mod composed;
mod conv;
mod create;
mod distance;
mod einsum;
mod factor;
mod fft;
mod fold;
pub mod fused;
mod gather;
mod gradcheck;
mod grid;
mod in_place;
mod index;
pub mod init;
mod interpolate;
mod join;
mod linalg;
mod loss;
mod margin;
mod more;
mod norm;
mod operands;
mod pad;
mod per_sample;
pub mod pointwise;
mod pool;
mod products;
mod random;
mod recurrent;
mod reduce;
mod rest;
mod sampling;
mod scan;
mod scatter_reduce;
mod search;
mod sequence;
mod shape;
mod special;
mod stft;
#[rustfmt::skip]
#[allow(clippy::excessive_precision)]
mod special_gen;
mod tiled;
mod unary;
mod whole;
mod written;

pub use activations::*;
pub use affine::*;
pub use algebra::{backward, grad};
pub use antialias::resize_images;
pub use arith::*;
pub use attention::*;
pub use bags::*;
pub use cast::*;
pub use clip::*;
pub use compare::*;
pub use complex::{
    adjoint, angle, complex, conj, conj_physical, imag, isreal, polar, real, sgn, vdot, view_as_complex, view_as_real,
};
pub use composed::*;
pub use conv::*;
pub use create::*;
pub use distance::*;
pub use einsum::einsum;
pub use factor::*;
pub use fft::{
    fft_fft, fft_fft2, fft_fftfreq, fft_fftn, fft_fftshift, fft_hfft, fft_hfft2, fft_hfftn, fft_ifft, fft_ifft2,
    fft_ifftn, fft_ifftshift, fft_ihfft, fft_ihfft2, fft_ihfftn, fft_irfft, fft_irfft2, fft_irfftn, fft_rfft,
    fft_rfft2, fft_rfftfreq, fft_rfftn,
};
pub use fold::*;
pub use fused::{fused_adam_, fused_sgd_};
pub use gather::*;
pub use gradcheck::{gradcheck, gradgradcheck, GradCheck};
pub use grid::*;
pub use index::*;
pub use init::*;
pub use interpolate::*;
pub use join::*;
pub use linalg::*;
pub use loss::*;
pub use margin::*;
pub use more::*;
pub use norm::*;
pub use pad::*;
pub use per_sample::per_sample_grads;
pub use pool::*;
pub use products::*;
pub use random::*;
pub use recurrent::*;
pub use reduce::*;
pub use rest::*;
pub use sampling::*;
pub use scan::*;
pub use scatter_reduce::*;
pub use search::*;
pub use shape::*;
pub use special::*;
pub use stft::{istft, stft};
pub use unary::*;
pub use written::*;

use crate::autograd::{self, Algebra, Ctx, Grads, OutputMeta, Saved};
use crate::base::device::Device;
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::layout::Layout;
use crate::base::scalar::Scalar;
use crate::tensor::Tensor;
