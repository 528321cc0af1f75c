/// Transforms of images, [.., C, H, W], under torchvision's names and with its numbers. What draws takes a generator: one that
/// was given a sample's seed makes batches that do not depend on the number of a loader's threads.
#ifndef TAPER_TRANSFORMS_HPP
#define TAPER_TRANSFORMS_HPP

#include "tensor.hpp"
#include <string>
#include <vector>

namespace taper {
namespace transforms {
namespace detail {
template <class F> Tensor made(F &&call) {
    taper_tensor *t = nullptr;
    taper::detail::check(call(&t));
    return Tensor::adopt(t);
}
} // namespace detail

/// Bytes as floats from 0 to 1; other dtypes stay. `channels_last` turns [.., H, W, C] into [.., C, H, W].
inline Tensor to_tensor(const Tensor &image, bool channels_last = false) {
    return detail::made([&](taper_tensor **t) { return taper_image_to_tensor(image.handle(), channels_last, t); });
}
/// (x - mean) / std, a number for each channel or one for all.
inline Tensor normalize(const Tensor &images, const std::vector<double> &mean, const std::vector<double> &std) {
    return detail::made([&](taper_tensor **t) {
        return taper_image_normalize(images.handle(), mean.data(), mean.size(), std.data(), std.size(), t);
    });
}
/// What lies inside the box; zeros for what is beyond an edge.
inline Tensor crop(const Tensor &images, int64_t top, int64_t left, int64_t height, int64_t width) {
    return detail::made([&](taper_tensor **t) { return taper_image_crop(images.handle(), top, left, height, width, t); });
}
/// The middle, with zeros around where images are smaller.
inline Tensor center_crop(const Tensor &images, int64_t height, int64_t width) {
    return detail::made([&](taper_tensor **t) { return taper_image_center_crop(images.handle(), height, width, t); });
}
/// A frame around: one number, two (left and right, top and bottom) or four (left, top, right, bottom). `mode` is "constant",
/// "edge", "reflect" or "symmetric".
inline Tensor pad(const Tensor &images, const std::vector<int64_t> &padding, double fill = 0, const std::string &mode = "constant") {
    return detail::made([&](taper_tensor **t) {
        return taper_image_pad(images.handle(), padding.data(), padding.size(), fill, taper::detail::text(mode), t);
    });
}
/// Grey, with 1 channel or 3 equal ones.
inline Tensor rgb_to_grayscale(const Tensor &images, int64_t num_output_channels = 1) {
    return detail::made([&](taper_tensor **t) { return taper_image_grayscale(images.handle(), num_output_channels, t); });
}
inline Tensor adjust_brightness(const Tensor &images, double factor) {
    return detail::made([&](taper_tensor **t) { return taper_image_adjust_brightness(images.handle(), factor, t); });
}
/// 0 gives the grey of the mean, 1 the images.
inline Tensor adjust_contrast(const Tensor &images, double factor) {
    return detail::made([&](taper_tensor **t) { return taper_image_adjust_contrast(images.handle(), factor, t); });
}
/// 0 gives grey images, 1 the images.
inline Tensor adjust_saturation(const Tensor &images, double factor) {
    return detail::made([&](taper_tensor **t) { return taper_image_adjust_saturation(images.handle(), factor, t); });
}
/// Colours turned by a part of the circle, from -0.5 to 0.5.
inline Tensor adjust_hue(const Tensor &images, double factor) {
    return detail::made([&](taper_tensor **t) { return taper_image_adjust_hue(images.handle(), factor, t); });
}
/// Columns in reverse order with probability p.
inline Tensor random_horizontal_flip(const Tensor &images, double p = 0.5, const Generator *generator = nullptr) {
    return detail::made(
        [&](taper_tensor **t) { return taper_image_random_flip(images.handle(), p, false, taper::detail::raw(generator), t); });
}
/// Rows in reverse order with probability p.
inline Tensor random_vertical_flip(const Tensor &images, double p = 0.5, const Generator *generator = nullptr) {
    return detail::made(
        [&](taper_tensor **t) { return taper_image_random_flip(images.handle(), p, true, taper::detail::raw(generator), t); });
}
/// How random_crop pads.
struct RandomCropOptions {
    /// As pad takes it; empty: none.
    std::vector<int64_t> padding;
    /// Widens what is too small.
    bool pad_if_needed = false;
    double fill = 0;
    std::string padding_mode = "constant";
};
/// A part of height rows of width pixels, anywhere.
inline Tensor random_crop(const Tensor &images, int64_t height, int64_t width, const RandomCropOptions &o = {},
                          const Generator *generator = nullptr) {
    return detail::made([&](taper_tensor **t) {
        return taper_image_random_crop(images.handle(), height, width, o.padding.data(), o.padding.size(), o.pad_if_needed, o.fill,
                                       taper::detail::text(o.padding_mode), taper::detail::raw(generator), t);
    });
}
/// What random_resized_crop draws from.
struct RandomResizedCropOptions {
    /// The part's area, of the whole.
    std::vector<double> scale = {0.08, 1.0};
    /// The part's width by its height.
    std::vector<double> ratio = {3.0 / 4.0, 4.0 / 3.0};
    /// As resize_image takes it.
    std::string filter = "bilinear";
};
/// A part of random area and shape, anywhere, resized.
inline Tensor random_resized_crop(const Tensor &images, int64_t height, int64_t width, const RandomResizedCropOptions &o = {},
                                  const Generator *generator = nullptr) {
    return detail::made([&](taper_tensor **t) {
        return taper_image_random_resized_crop(images.handle(), height, width, o.scale.data(), o.scale.size(), o.ratio.data(),
                                               o.ratio.size(), taper::detail::text(o.filter), taper::detail::raw(generator), t);
    });
}
/// One number x draws factors from 1 - x to 1 + x (hue: -x to x), two from one to the other, none changes nothing.
struct ColorJitterOptions {
    std::vector<double> brightness, contrast, saturation, hue;
};
/// Brightness, contrast, saturation and hue changed at random, in random order.
inline Tensor color_jitter(const Tensor &images, const ColorJitterOptions &o, const Generator *generator = nullptr) {
    return detail::made([&](taper_tensor **t) {
        return taper_image_color_jitter(images.handle(), o.brightness.data(), o.brightness.size(), o.contrast.data(),
                                        o.contrast.size(), o.saturation.data(), o.saturation.size(), o.hue.data(), o.hue.size(),
                                        taper::detail::raw(generator), t);
    });
}

} // namespace transforms
} // namespace taper

#endif
