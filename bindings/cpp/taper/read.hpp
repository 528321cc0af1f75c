/// Data sets, tables and images from files, as tensors of the CPU.
#ifndef TAPER_READ_HPP
#define TAPER_READ_HPP

#include "tensor.hpp"
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace taper {

/// The array of an IDX file (MNIST and its kin), plain or compressed by gzip.
inline Tensor read_idx(const std::string &path) {
    taper_tensor *t = nullptr;
    detail::check(taper_read_idx(detail::text(path), &t));
    return Tensor::adopt(t);
}

/// Images, uint8 [n, 3, 32, 32], and labels, int64: [n] with 10 classes; with 100 [n, 2], the coarse ones first. Of a binary
/// file, plain or compressed by gzip.
inline std::pair<Tensor, Tensor> read_cifar(const std::string &path, int64_t classes = 10) {
    taper_tensor *images = nullptr, *labels = nullptr;
    detail::check(taper_read_cifar(detail::text(path), classes, &images, &labels));
    return {Tensor::adopt(images), Tensor::adopt(labels)};
}

/// A table of numbers: [rows, columns], and the columns' names where the file has them.
struct Table {
    Tensor values;
    std::vector<std::string> names;
};
/// How read_csv reads.
struct CsvOptions {
    /// One character; " " stands for any run of spaces and tabs.
    std::string separator = ",";
    /// Whether the first line has names; nothing: whether one of its fields is no number.
    std::optional<bool> header = std::nullopt;
    /// Put where a field is empty, NA, N/A, nan, null, None or ?.
    double missing = std::numeric_limits<double>::quiet_NaN();
    /// A floating-point one; nothing: the default.
    std::optional<DType> dtype = std::nullopt;
};
/// Reads a table of numbers, plain or compressed by gzip.
inline Table read_csv(const std::string &path, const CsvOptions &options = {}) {
    taper_tensor *values = nullptr;
    taper_string *names = nullptr;
    const bool *header = options.header ? &*options.header : nullptr;
    detail::check(taper_read_csv(detail::text(path), detail::text(options.separator), header, options.missing,
                                 detail::raw(options.dtype), &values, &names));
    Tensor owned = Tensor::adopt(values);
    return {std::move(owned), detail::take_lines(names)};
}

/// A PNG or JPEG file as uint8 [channels, rows, columns]; channels is 0 (as the file has it), 1 (grey), 2 (grey and alpha), 3
/// (RGB) or 4 (RGB and alpha).
inline Tensor read_image(const std::string &path, int64_t channels = 0) {
    taper_tensor *t = nullptr;
    detail::check(taper_read_image(detail::text(path), channels, &t));
    return Tensor::adopt(t);
}
/// The same of a file's bytes in memory.
inline Tensor decode_image(const void *data, size_t nbytes, int64_t channels = 0) {
    taper_tensor *t = nullptr;
    detail::check(taper_decode_image(data, nbytes, channels, &t));
    return Tensor::adopt(t);
}
/// Paths of images, each one's class as int64 [n], and the classes' names.
struct ImageFolder {
    std::vector<std::string> paths;
    Tensor labels;
    std::vector<std::string> classes;
};
/// Looks for images (.png, .jpg, .jpeg) in a folder that has a folder for each class.
inline ImageFolder image_folder(const std::string &folder) {
    taper_string *paths = nullptr, *classes = nullptr;
    taper_tensor *labels = nullptr;
    detail::check(taper_image_folder(detail::text(folder), &paths, &labels, &classes));
    Tensor owned = Tensor::adopt(labels);
    return {detail::take_lines(paths), std::move(owned), detail::take_lines(classes)};
}
/// Resizes the last two dimensions of images, uint8 or floating-point, as Pillow does: "nearest", "box", "bilinear", "hamming",
/// "bicubic" or "lanczos". Floats have gradients.
inline Tensor resize_image(const Tensor &images, int64_t height, int64_t width, const std::string &filter = "bilinear") {
    taper_tensor *t = nullptr;
    detail::check(taper_image_resize(images.handle(), height, width, detail::text(filter), &t));
    return Tensor::adopt(t);
}

} // namespace taper

#endif
