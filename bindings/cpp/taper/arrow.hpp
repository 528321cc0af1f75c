/// Tables of Arrow's C data interface as tensors, and tensors as such tables, without copies. The structs are those of Arrow's
/// specification (in arrow/c/abi.h, nanoarrow and others).
#ifndef TAPER_ARROW_HPP
#define TAPER_ARROW_HPP

#include "named_tensors.hpp"

namespace taper {

/// Tensors over a table's memory: numbers are [rows], lists of one length [rows, length ..], dates and times integers; bools are
/// copied. A column with nulls is an error, or with `masks` gets a tensor NAME.valid. Takes over what both structs hold, also
/// when it throws. What others see must not be written to.
inline NamedTensors from_arrow(ArrowSchema *schema, ArrowArray *array, bool masks = false) {
    taper_named_tensors *n = nullptr;
    detail::check(taper_arrow_import(schema, array, masks, &n));
    return NamedTensors::adopt(n);
}
/// The next table of a stream; nothing at the end.
inline std::optional<NamedTensors> from_arrow(ArrowArrayStream *stream, bool masks = false) {
    taper_named_tensors *n = nullptr;
    detail::check(taper_arrow_import_next(stream, masks, &n));
    return n ? std::optional<NamedTensors>(NamedTensors::adopt(n)) : std::nullopt;
}
/// Puts tensors of one length on the CPU into two structs, which the receiver releases.
inline void to_arrow(const NamedTensors &columns, ArrowSchema *schema, ArrowArray *array) {
    detail::check(taper_arrow_export(columns.handle(), schema, array));
}

} // namespace taper

#endif
