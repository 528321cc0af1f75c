//! `docs/reference/schedules.md`: every schedule in the four languages.

use super::{c, cpp, go, python, Entry};
use std::fmt::Write;

/// The page below its heading.
pub fn page(entries: &[Entry]) -> String {
    let mut s = String::from(
        "# Learning-rate schedules\n\nOne of the pages of [the reference](../API.md). All give PyTorch's numbers, under PyTorch's \
         names. What has a default stands\nin options: a struct with an `_INIT` macro in C, a struct in C++, a struct that a \
         function changes in Go.\n",
    );
    for e in entries {
        writeln!(s, "\n## `{}`\n\n{}\n", e.name, e.doc).unwrap();
        writeln!(s, "- C: `{}`", c::call(e)).unwrap();
        writeln!(s, "- C++: `taper::optim::{}`", cpp::call(e)).unwrap();
        writeln!(s, "- Go: `{}`", go::call(e)).unwrap();
        let module = if e.name == "SWALR" { "swa_utils" } else { "lr_scheduler" };
        writeln!(s, "- Python: `torch.optim.{module}.{}({})`", e.name, python::signature(e)).unwrap();
    }
    s
}
