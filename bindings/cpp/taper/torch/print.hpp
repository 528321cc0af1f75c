/// Tensors as libtorch prints them.
#ifndef TAPER_TORCH_PRINT_HPP
#define TAPER_TORCH_PRINT_HPP

#include "tensor.hpp"

#include <iostream>

namespace torch {
namespace detail {
/// Puts a stream's number format back.
class KeepFormat {
  public:
    explicit KeepFormat(std::ostream &o) : stream_(o), saved_(nullptr) { saved_.copyfmt(o); }
    ~KeepFormat() { stream_.copyfmt(saved_); }
    KeepFormat(const KeepFormat &) = delete;
    KeepFormat &operator=(const KeepFormat &) = delete;

  private:
    std::ostream &stream_;
    std::ios saved_;
};
/// Elements of a tensor row-major, as doubles.
struct Printed {
    std::vector<double> values;
    std::vector<int64_t> sizes;
};
struct Columns {
    double scale = 1;
    int64_t width = 0;
};
/// The width of a column and the common factor, from the smallest and the largest number.
inline Columns choose_format(std::ostream &o, const double *v, int64_t n) {
    if (n == 0) {
        return {};
    }
    bool whole = true;
    double least = 1, most = 1;
    bool found = false;
    for (int64_t i = 0; i < n; ++i) {
        if (!std::isfinite(v[i])) {
            continue;
        }
        whole = whole && v[i] == std::ceil(v[i]);
        const double size = std::fabs(v[i]);
        least = found ? std::min(least, size) : size;
        most = found ? std::max(most, size) : size;
        found = true;
    }
    const auto digits = [&](double x) { return found && x != 0 ? std::floor(std::log10(x)) + 1 : 1.0; };
    const double low = digits(least), high = digits(most);
    Columns c;
    if (whole) {
        if (high > 9) {
            c.width = 11;
            o << std::scientific << std::setprecision(4);
        } else {
            c.width = static_cast<int64_t>(high) + 1;
            o << std::defaultfloat;
        }
    } else if (high - low > 4) {
        c.width = std::fabs(high) > 99 || std::fabs(low) > 99 ? 12 : 11;
        o << std::scientific << std::setprecision(4);
    } else {
        if (high > 5 || high < 0) {
            c.width = 7;
            c.scale = std::pow(10, high - 1);
        } else {
            c.width = high == 0 ? 7 : static_cast<int64_t>(high) + 6;
        }
        o << std::fixed << std::setprecision(4);
    }
    return c;
}
inline void print_scale(std::ostream &o, double scale) {
    const KeepFormat keep(o);
    // A power of ten: without an exponent from 1 to 1e15.
    if (scale >= 1 && scale < 1e16) {
        o << std::fixed << std::setprecision(0);
    } else {
        o << std::defaultfloat;
    }
    o << scale << " *\n";
}
inline void print_matrix(std::ostream &o, const double *v, int64_t rows, int64_t columns, int64_t line, int64_t indent) {
    const Columns c = choose_format(o, v, rows * columns);
    const std::string margin(static_cast<size_t>(indent), ' ');
    const int64_t at_once = std::max<int64_t>((line - indent) / (c.width + 1), 1);
    for (int64_t first = 0; first < columns; first += at_once) {
        const int64_t last = std::min(first + at_once, columns) - 1;
        if (at_once < columns) {
            o << (first != 0 ? "\n" : "") << "Columns " << first + 1 << " to " << last + 1 << margin;
        }
        if (c.scale != 1) {
            print_scale(o, c.scale);
            o << margin;
        }
        for (int64_t r = 0; r < rows; ++r) {
            for (int64_t k = first; k <= last; ++k) {
                o << std::setw(static_cast<int>(c.width)) << v[r * columns + k] / c.scale << (k == last ? '\n' : ' ');
            }
            if (r != rows - 1) {
                o << margin << (c.scale != 1 ? " " : "");
            }
        }
    }
}
} // namespace detail

/// Writes a tensor in libtorch's format, with lines of about `line` characters.
inline std::ostream &print(std::ostream &o, const Tensor &t, int64_t line) {
    if (!t.defined()) {
        return o << "[ Tensor (undefined) ]";
    }
    const detail::KeepFormat keep(o);
    const NoGradGuard guard;
    const Tensor d = t.detach().to(kCPU).to(kDouble).contiguous();
    const auto sizes = d.sizes().vec();
    const int64_t n = d.numel();
    const double *v = n > 0 ? d.data_ptr<double>() : nullptr;
    const size_t rank = sizes.size();
    if (rank == 0) {
        o << std::defaultfloat << v[0] << '\n';
    } else if (n > 0 && rank == 1) {
        const auto c = detail::choose_format(o, v, n);
        if (c.scale != 1) {
            detail::print_scale(o, c.scale);
        }
        for (int64_t i = 0; i < n; ++i) {
            o << std::setw(static_cast<int>(c.width)) << v[i] / c.scale << '\n';
        }
    } else if (n > 0) {
        const int64_t rows = sizes[rank - 2], columns = sizes[rank - 1], count = n / (rows * columns);
        // The first dimension runs fastest through the matrices.
        for (int64_t m = 0; m < count; ++m) {
            int64_t at = 0, rest = m;
            if (rank > 2) {
                o << (m ? "\n" : "") << '(';
                std::vector<int64_t> index(rank - 2);
                for (size_t k = 0; k < rank - 2; ++k) {
                    index[k] = rest % sizes[k];
                    rest /= sizes[k];
                    o << index[k] + 1 << ',';
                }
                for (size_t k = 0; k < rank - 2; ++k) {
                    at = at * sizes[k] + index[k];
                }
                o << ".,.) = \n";
            }
            detail::print_matrix(o, v + at * rows * columns, rows, columns, line, rank > 2 ? 1 : 0);
        }
    }
    o << "[ " << t.toString() << '{';
    for (size_t i = 0; i < rank; ++i) {
        o << (i ? "," : "") << sizes[i];
    }
    return o << "} ]";
}
inline std::ostream &operator<<(std::ostream &o, const Tensor &t) { return print(o, t, 80); }
inline void print(const Tensor &t, int64_t line = 80) { print(std::cout, t, line); }
inline void Tensor::print() const { std::cout << '[' << toString() << ' ' << sizes() << "]\n"; }
} // namespace torch

#endif
