//! Transforms of images, [.., C, H, W], as torchvision has them for tensors. What draws does so from a generator, in
//! torchvision's order, so that one seed gives its numbers.

mod colour;
mod frame;
mod random;

pub use colour::{brightness, contrast, grayscale, hue, normalize, saturation, to_tensor};
pub use frame::{center_crop, crop, pad};
pub use random::{color_jitter, random_crop, random_flip, random_resized_crop, Ranges};
