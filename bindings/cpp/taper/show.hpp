/// For people who look: pictures of tensors, curves and graphs, event files for TensorBoard, a line of progress.
#ifndef TAPER_SHOW_HPP
#define TAPER_SHOW_HPP

#include "nn.hpp"
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace taper {

/// Writes images into a PNG file: [H, W], [C, H, W] or [N, C, H, W] with 1 or 3 channels; uint8, bool, or floats from 0 to 1.
/// A batch stands side by side, `columns` in a row, with `padding` black pixels around each; `normalize` shifts and scales
/// all images together to 0 to 1.
inline void save_image(const Tensor &images, const std::string &path, int64_t columns = 8, int64_t padding = 2,
                       bool normalize = false) {
    detail::check(taper_save_image(images.handle(), detail::text(path), columns, padding, normalize));
}

/// Draws curves into a PNG file, or SVG where `path` ends in .svg: each has a label and [n] values or [n, 2] pairs of x and y.
///
///     taper::save_plot({{"train", losses}, {"test", others}}, "loss.png", "Loss");
inline void save_plot(const std::vector<std::pair<std::string, Tensor>> &curves, const std::string &path,
                      const std::string &title = "", int64_t width = 800, int64_t height = 500) {
    std::string labels;
    std::vector<Tensor> series;
    for (const auto &[label, values] : curves) {
        if (!series.empty())
            labels += '\n';
        labels += label;
        series.push_back(values);
    }
    const auto h = detail::handles(series);
    detail::check(taper_save_plot(h.data(), h.size(), detail::text(path), detail::text(labels), detail::text(title), width,
                                  height));
}

/// The recorded graph behind a tensor in the language of Graphviz; parameters have their names in `module`.
inline std::string graph_dot(const Tensor &output, const nn::Module *module = nullptr) {
    taper_string *s = nullptr;
    detail::check(taper_tensor_graph_dot(output.handle(), module ? module->handle() : nullptr, &s));
    return detail::take_string(s);
}
/// The same as SVG.
inline std::string graph_svg(const Tensor &output, const nn::Module *module = nullptr) {
    taper_string *s = nullptr;
    detail::check(taper_tensor_graph_svg(output.handle(), module ? module->handle() : nullptr, &s));
    return detail::take_string(s);
}

/// An event file for TensorBoard. `step` counts the caller's steps, `time` is in seconds since 1970 (none: now). Copies write
/// the same file; any thread may.
///
///     taper::SummaryWriter writer("runs/first");
///     writer.add_scalar("loss/train", loss.item<double>(), step);
class SummaryWriter {
  public:
    /// Begins a file in `folder`, which is made where it is missing.
    explicit SummaryWriter(const std::string &folder, const std::string &suffix = "") {
        taper_summary_writer *w = nullptr;
        detail::check(taper_summary_writer_create(detail::text(folder), detail::text(suffix), &w));
        h_ = std::shared_ptr<taper_summary_writer>(w, [](taper_summary_writer *x) { taper_summary_writer_free(x); });
    }
    std::string path() const {
        taper_string *s = nullptr;
        detail::check(taper_summary_writer_path(h_.get(), &s));
        return detail::take_string(s);
    }
    void add_scalar(const std::string &tag, double value, int64_t step, std::optional<double> time = std::nullopt) const {
        detail::check(taper_summary_writer_add_scalar(h_.get(), detail::text(tag), value, step, pointer(time)));
    }
    /// How the elements are spread; NaN and infinities are left out.
    void add_histogram(const std::string &tag, const Tensor &values, int64_t step,
                       std::optional<double> time = std::nullopt) const {
        detail::check(
            taper_summary_writer_add_histogram(h_.get(), detail::text(tag), values.handle(), step, pointer(time)));
    }
    /// A picture, or a batch side by side, as save_image takes it.
    void add_image(const std::string &tag, const Tensor &images, int64_t step,
                   std::optional<double> time = std::nullopt) const {
        detail::check(taper_summary_writer_add_image(h_.get(), detail::text(tag), images.handle(), step, pointer(time)));
    }
    /// A text, read as Markdown.
    void add_text(const std::string &tag, const std::string &text, int64_t step,
                  std::optional<double> time = std::nullopt) const {
        detail::check(
            taper_summary_writer_add_text(h_.get(), detail::text(tag), detail::text(text), step, pointer(time)));
    }
    /// The recorded graph behind a tensor; parameters have their names in `module`.
    void add_graph(const Tensor &output, const nn::Module *module = nullptr,
                   std::optional<double> time = std::nullopt) const {
        detail::check(taper_summary_writer_add_graph(h_.get(), output.handle(), module ? module->handle() : nullptr,
                                                     pointer(time)));
    }
    void flush() const { detail::check(taper_summary_writer_flush(h_.get())); }

  private:
    static const double *pointer(const std::optional<double> &time) { return time ? &*time : nullptr; }
    std::shared_ptr<taper_summary_writer> h_;
};

/// A line on standard error that says how far a loop is, how fast, and how long it will still take. Its end draws the last line.
///
///     taper::Progress progress(batches, "epoch 1");
///     for (...) progress.update(1, "loss " + std::to_string(loss));
class Progress {
  public:
    /// `total` 0: nobody knows.
    explicit Progress(uint64_t total, const std::string &description = "") {
        taper_progress *p = nullptr;
        detail::check(taper_progress_create(total, detail::text(description), &p));
        h_ = std::shared_ptr<taper_progress>(p, [](taper_progress *x) { taper_progress_free(x); });
    }
    void update(uint64_t steps = 1) const { detail::check(taper_progress_update(h_.get(), steps, nullptr)); }
    /// `note` stands behind from now on.
    void update(uint64_t steps, const std::string &note) const {
        detail::check(taper_progress_update(h_.get(), steps, detail::text(note)));
    }
    void close() const { detail::check(taper_progress_close(h_.get())); }

  private:
    std::shared_ptr<taper_progress> h_;
};

} // namespace taper

#endif
