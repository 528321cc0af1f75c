//! What is printed around `optim.cl`: the lists of one launch, and an optimiser's program.

use super::{compute_type, print};
use crate::backend::program::ListProgram;
use crate::base::device::Device;
use crate::base::dtype::DType;
use crate::base::error::Result;
use std::fmt::Write;

/// The lists of optim.cl: buffers of `count` parameters with `states` states each.
pub fn optimizer_lists(count: usize, states: usize) -> String {
    let (mut params, mut cases) = (String::new(), String::new());
    for k in 0..count {
        let _ = write!(cases, "case {k}: ");
        for (i, name) in ["p", "gr", "s0", "s1", "s2"][..states + 2].iter().enumerate() {
            let _ = write!(params, "GLOBAL T_S *b{k}_{i}, ");
            let _ = write!(cases, "{name} = b{k}_{i}; ");
        }
        cases += if k + 1 < count { "break; " } else { "break; default: return;" };
    }
    format!("#define PARAMS {params}\n#define CASES {cases}\n")
}

/// The middle of optim.cl for a program, and the numbers of its scalars in the order in which the kernel takes them.
pub fn optimizer_program(list: &ListProgram, acc: DType, device: Device) -> Result<(String, Vec<u8>)> {
    let body = print::body(&list.typed(acc), device)?;
    let mut s = body.helpers;
    for (i, (k, ty)) in body.scalars.iter().enumerate() {
        let _ = writeln!(s, "#define s{k}_{} h.s[{i}]", compute_type(*ty));
    }
    let stores: String = list
        .outputs
        .iter()
        .map(|(input, reg)| match input {
            0 => format!("T_ST(p, ip, (T)r{reg}); "),
            n => format!("T_ST(s{}, OFF({n}), (T)r{reg}); ", n - 2),
        })
        .collect();
    let _ = writeln!(s, "#define BODY {}", body.statements.replace('\n', " "));
    let _ = writeln!(s, "#define STORES {stores}\n#define SCALARS {}", body.scalars.len().max(1));
    Ok((s, body.scalars.iter().map(|s| s.0).collect()))
}
