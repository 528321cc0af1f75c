//! Prints reductions, with an elementwise program as their prologue.

use super::print::{body, Body};
use super::{compute_type, convert, load, storage_type, store};
use crate::backend::program::Program;
use crate::backend::ReduceOp;
use crate::base::device::Device;
use crate::base::dtype::DType;
use crate::base::error::Result;
use std::fmt::Write;

/// How the work-items of a reduction share the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sharing {
    /// One work-item per output and chunk.
    Serial,
    /// The same with several accumulators, so that a CPU's vector units have work.
    Lanes,
    /// One group per output and chunk; neighbours read neighbouring elements.
    Group,
    /// `ROW` work-items per output, several outputs a group, no chunks: many short rows.
    Rows,
    /// One work-item per block of neighbouring outputs and chunk: where outputs lie closer than what they reduce.
    Columns,
}

/// Accumulators of a `Lanes` work-item.
const LANES: usize = 16;
/// Outputs of a `Columns` work-item.
pub const COLUMNS: usize = 256;
/// Work-items of a `Group`, and of a group of `Rows`.
pub const GROUP: usize = 256;
/// Work-items that share an output of `Rows`.
pub const ROW: usize = 32;

/// Everything that changes a reduction's source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    pub op: ReduceOp,
    /// Dtype of the reduced value (of the program's result where there is one).
    pub input: DType,
    pub out: DType,
    pub acc: DType,
    /// Dimensions of the kept and of the reduced space, at least 1 each.
    pub kept: u8,
    pub reduced: u8,
    pub wide: bool,
    pub sharing: Sharing,
    /// Inputs whose innermost reduced stride (`Columns`: kept stride) is 1 and 0.
    pub unit: u16,
    pub fixed: u16,
    /// Arg ops: the pass writes value and index, or reads them.
    pub writes_pairs: bool,
    pub reads_pairs: bool,
}

/// Additions in float32 that a plain accumulator takes before it is emptied into a compensated one: a sum of more loses
/// digits.
const PLAIN: usize = 16;

/// Whether sums are compensated.
fn compensated(s: &Spec) -> bool {
    s.acc == DType::F32 && second_pass(s.op) == ReduceOp::Sum
}
/// Empties the accumulators `a` into `sum` with what was `lost`; `of` says of which one.
fn emptied(a: &str, of: &str) -> String {
    format!("COMPENSATED_ADD(sum{of}, lost{of}, {a}) {a} = 0;")
}
fn is_arg(op: ReduceOp) -> bool {
    matches!(op, ReduceOp::ArgMax | ReduceOp::ArgMin)
}

/// The accumulator's dtype.
pub fn accumulator(op: ReduceOp, input: DType, out: DType) -> DType {
    use ReduceOp::*;
    match op {
        Any | All => DType::Bool,
        Max | Min | ArgMax | ArgMin => input.compute(),
        Sum | Prod | SumSquares | SumAbs | NanSum => match (input.compute(), out.compute()) {
            (a, b) if !a.is_float() && !b.is_float() => DType::I64,
            (DType::F64, _) | (_, DType::F64) => DType::F64,
            (a, _) if a.is_float() => DType::F32,
            _ => DType::I64,
        },
    }
}

/// The op that combines partial results.
pub fn second_pass(op: ReduceOp) -> ReduceOp {
    match op {
        ReduceOp::SumSquares | ReduceOp::SumAbs | ReduceOp::NanSum => ReduceOp::Sum,
        op => op,
    }
}

fn lowest(d: DType, highest: bool) -> String {
    let (lo, hi) = match d {
        DType::Bool => ("0", "1"),
        DType::U8 => ("0", "255"),
        DType::I8 => ("-128", "127"),
        DType::I16 => ("-32768", "32767"),
        DType::I32 => ("(-2147483647 - 1)", "2147483647"),
        DType::I64 => ("(-9223372036854775807L - 1)", "9223372036854775807L"),
        DType::F64 => ("-INF_F64", "INF_F64"),
        _ => ("-INF_F32", "INF_F32"),
    };
    if highest { hi } else { lo }.to_string()
}

/// Statements that take the value `v` (position `at`) into accumulator `a` (index `ai`).
fn step(s: &Spec, a: &str, ai: &str, v: &str, at: &str) -> String {
    use ReduceOp::*;
    match s.op {
        Sum => format!("{a} = {a} + {v};"),
        SumSquares => format!("{a} = {a} + {v} * {v};"),
        SumAbs => format!("{a} = {a} + ({v} < 0 ? -{v} : {v});"),
        NanSum => format!("{a} = {a} + ({v} == {v} ? {v} : 0);"),
        Prod => format!("{a} = {a} * {v};"),
        Max => format!("{a} = ({a} != {a} || {a} > {v}) ? {a} : {v};"),
        Min => format!("{a} = ({a} != {a} || {a} < {v}) ? {a} : {v};"),
        Any => format!("{a} = {a} | ({v} != 0);"),
        All => format!("{a} = {a} & ({v} != 0);"),
        ArgMax | ArgMin => {
            // Selects instead of branches, which random data would mispredict and vectors cannot take.
            let better = if s.op == ArgMax { ">" } else { "<" };
            format!(
                "{{ const i64 at_ = {at}; const int take_ = ({ai} < 0) | (({a} == {a}) & (({v} != {v}) | ({v} {better} {a}))) | \
                 ((({v} == {a}) | (({v} != {v}) & ({a} != {a}))) & (at_ < {ai})); \
                 {a} = take_ ? {v} : {a}; {ai} = take_ ? at_ : {ai}; }}"
            )
        }
    }
}

/// Statements that merge accumulator `b` into `a`. An arg accumulator with a negative index holds nothing.
fn merge(s: &Spec, a: &str, ai: &str, b: &str, bi: &str) -> String {
    let merged = Spec { op: second_pass(s.op), ..*s };
    if is_arg(s.op) {
        format!("if ({bi} >= 0) {{ {} }}", step(&merged, a, ai, b, bi))
    } else {
        step(&merged, a, ai, b, "0")
    }
}

/// A walk of `rank` dimensions from the linear index `from` into `{to}{k}` for `n` tensors; `field` names the struct's
/// arrays (`k` or `r`).
fn walk(idx: &str, rank: usize, field: &str, wide: bool, from: &str, to: &str, n: usize, indent: &str) -> String {
    let mut out = String::new();
    for k in 0..n {
        let _ = writeln!(out, "{indent}{idx} {to}{k} = 0;");
    }
    if rank == 0 {
        return out;
    }
    let _ = writeln!(out, "{indent}{{ {idx} rest = ({idx})({from}), q;");
    for d in (0..rank).rev() {
        if d > 0 {
            let quotient = if wide {
                format!("rest / m.{field}size[{d}]")
            } else {
                format!("div_by(rest, m.{field}magic[{d}], m.{field}shift[{d}])")
            };
            let _ = writeln!(out, "{indent}  q = {quotient}; rest = rest - q * m.{field}size[{d}];");
        }
        for k in 0..n {
            let _ = writeln!(out, "{indent}  {to}{k} += rest * m.{field}st{k}[{d}];");
        }
        if d > 0 {
            let _ = writeln!(out, "{indent}  rest = q;");
        }
    }
    let _ = writeln!(out, "{indent}}}");
    out
}

/// A chunk's rows and its piece of each of them.
const ROW_CHUNKS: &str = "    const i64 row_chunk = c / m.pieces, piece = c - row_chunk * m.pieces;
    const i64 first = row_chunk * m.row_step, last = first + m.row_step < m.rows ? first + m.row_step : m.rows;
";
const PIECES: &str = "    const i64 begin = piece * m.piece, stop = begin + m.piece < len ? begin + m.piece : len;
";

/// The kernel `reduce`: parameters are the inputs, (pairs: the index input), the output, (pairs: the index output), the
/// struct, the scalars.
pub fn reduce(s: &Spec, program: Option<&Program>, device: Device) -> Result<(String, Vec<(u8, DType)>)> {
    let single = [s.input];
    let inputs: &[DType] = program.map_or(&single, |p| &p.inputs);
    let body: Body = program.map_or(Ok(Body::default()), |p| body(p, device))?;
    let n = inputs.len();
    let (kept, reduced) = (s.kept as usize, s.reduced as usize);
    let idx = if s.wide { "i64" } else { "u32" };
    let acc = compute_type(s.acc);
    let mut src = body.helpers.clone();

    // The struct: 64-bit fields first.
    let _ = write!(src, "typedef struct {{ i64 off[{}]; i64 outer, inner, rows, row_step, pieces, piece; ", n + 1);
    for (field, rank, tensors) in [("k", kept, n + 1), ("r", reduced, n)] {
        let _ = write!(src, "{idx} {field}size[{rank}]; ");
        if !s.wide {
            let _ = write!(src, "u32 {field}magic[{rank}]; u32 {field}shift[{rank}]; ");
        }
        for k in 0..tensors {
            let _ = write!(src, "{idx} {field}st{k}[{rank}]; ");
        }
    }
    src += "} Meta;\n";

    let mut params: Vec<String> = Vec::new();
    for (k, d) in inputs.iter().enumerate() {
        params.push(format!("GLOBAL const {} *p{k}", storage_type(*d)));
    }
    if s.reads_pairs {
        params.push("GLOBAL const i64 *pairs".into());
    }
    params.push(format!("GLOBAL {} *out", storage_type(s.out)));
    if s.writes_pairs {
        params.push("GLOBAL i64 *out_index".into());
    }
    params.push("const IN_PLACE Meta m".into());
    for (k, d) in &body.scalars {
        params.push(format!("const {0} s{k}_{0}", compute_type(*d)));
    }
    let together = match s.sharing {
        Sharing::Group => Some(GROUP),
        Sharing::Rows => Some(ROW),
        _ => None,
    };
    if let Some(together) = together {
        let _ = writeln!(src, "KERNEL WG_HINT({GROUP})\nvoid reduce({}) {{", params.join(", "));
        let _ = writeln!(src, "    LOCAL {acc} la[{GROUP}];");
        if is_arg(s.op) {
            let _ = writeln!(src, "    LOCAL i64 li[{GROUP}];");
        }
        src += "    const u32 lid = LID(0);\n";
        src += &match together {
            GROUP => "    const i64 o = (i64)GRP(0), c = (i64)GRP(1);\n    const u32 lane = lid;\n".to_string(),
            _ => format!(
                "    const i64 o = (i64)GRP(0) * {} + lid / {ROW}, c = 0;\n    const u32 lane = lid % {ROW};\n",
                GROUP / ROW
            ),
        };
    } else {
        let _ = writeln!(src, "KERNEL void reduce({}) {{", params.join(", "));
        src += "    const i64 o = (i64)GID(0), c = (i64)GID(1);\n    if (o >= m.outer) return;\n";
    }
    let columns = s.sharing == Sharing::Columns;
    if columns {
        let (last, more) = (kept - 1, COLUMNS - 1);
        let _ = writeln!(src, "    const i64 width = (i64)m.ksize[{last}], blocks = (width + {more}) / {COLUMNS};");
        let _ = writeln!(src, "    const i64 line = o / blocks, col0 = (o - line * blocks) * {COLUMNS};");
        let _ = writeln!(src, "    const int cols = width - col0 < {COLUMNS} ? (int)(width - col0) : {COLUMNS};");
        src += &walk(idx, kept - 1, "k", s.wide, "line", "y", n + 1, "    ");
    } else {
        src += &walk(idx, kept, "k", s.wide, "o", "y", n + 1, "    ");
    }
    for k in 0..n {
        let start = if columns { format!(" + col0 * (i64)m.kst{k}[{}]", kept - 1) } else { String::new() };
        let _ = writeln!(src, "    const i64 base{k} = m.off[{k}] + (i64)y{k}{start};");
    }

    let initial = match s.op {
        ReduceOp::Prod | ReduceOp::All => "1".to_string(),
        ReduceOp::Max => lowest(s.acc, false),
        ReduceOp::Min => lowest(s.acc, true),
        _ => "0".to_string(),
    };
    // Takes `in{k}` and leaves the value in `v`.
    let calculated = |indent: &str| {
        let mut t = body.statements.clone();
        let v = match program {
            Some(p) => {
                let (reg, d) = p.outputs[0];
                convert(d, s.acc, &convert(p.reg_dtype(reg), d, &format!("r{reg}")))
            }
            None => convert(s.input, s.acc, "in0"),
        };
        let _ = writeln!(t, "{indent}const {acc} v = {v};");
        t
    };
    // Loads element positions `e{k}` and leaves the value in `v`.
    let value = |indent: &str| {
        let mut t = String::new();
        for (k, d) in inputs.iter().enumerate() {
            let _ = writeln!(t, "{indent}const {} in{k} = {};", compute_type(*d), load(*d, &format!("p{k}[e{k}]")));
        }
        t + &calculated(indent)
    };
    let at = |linear: &str| if s.reads_pairs { "pairs[e0]".to_string() } else { linear.to_string() };
    // A pair without index stands for an empty chunk.
    let guarded = |text: String| if s.reads_pairs { format!("if (pairs[e0] >= 0) {{ {text} }}") } else { text };

    match s.sharing {
        Sharing::Group | Sharing::Rows => {
            let together = together.expect("a group");
            let _ = writeln!(src, "    {acc} a = {initial}; i64 ai = -1;");
            let kahan = compensated(s);
            if kahan {
                let _ = writeln!(src, "    {acc} sum = 0, lost = 0;");
            }
            src += match s.sharing {
                Sharing::Rows => "    const i64 begin = 0, stop = o < m.outer ? m.inner : 0;\n",
                _ => {
                    "    const i64 begin = c * m.piece, stop = begin + m.piece < m.inner ? begin + m.piece : m.inner;\n"
                }
            };
            let positions = |r: &str, indent: &str| {
                let mut t = walk(idx, reduced, "r", s.wide, r, "z", n, indent);
                for k in 0..n {
                    let _ = writeln!(t, "{indent}const i64 e{k} = base{k} + (i64)z{k};");
                }
                t
            };
            src += "    i64 r = begin + lane;\n";
            // Several elements at once are on their way from memory: 16 bytes for each work-item (bytes: 8, more than
            // that and the compiler moves some to the stack).
            if !s.reads_pairs {
                let each = 16 / inputs.iter().map(|d| d.size()).max().unwrap_or(4).clamp(2, 4);
                let far = (each - 1) * together;
                let _ = writeln!(src, "    for (; r + {far} < stop; r += {}) {{", each * together);
                for (k, d) in inputs.iter().enumerate() {
                    let _ = writeln!(src, "        {} all{k}[{each}];", compute_type(*d));
                }
                let every = format!("#pragma unroll\n        for (int u = 0; u < {each}; u++) {{\n");
                src += &every;
                src += &positions(&format!("r + u * {together}"), "            ");
                for (k, d) in inputs.iter().enumerate() {
                    let _ = writeln!(src, "            all{k}[u] = {};", load(*d, &format!("p{k}[e{k}]")));
                }
                src += "        }\n";
                src += &every;
                for (k, d) in inputs.iter().enumerate() {
                    let _ = writeln!(src, "            const {} in{k} = all{k}[u];", compute_type(*d));
                }
                src += &calculated("            ");
                let taken = step(s, "a", "ai", "v", &format!("(r + u * {together})"));
                let after = if kahan { emptied("a", "") } else { String::new() };
                let _ = writeln!(src, "            {taken}\n        }}\n        {after}\n    }}");
            }
            let _ = writeln!(src, "    for (; r < stop; r += {together}) {{");
            src += &positions("r", "        ");
            src += &value("        ");
            let after = if kahan { emptied("a", "") } else { String::new() };
            let _ = writeln!(src, "        {} {after}\n    }}", guarded(step(s, "a", "ai", "v", &at("r"))));
            src += if kahan { "    la[lid] = sum - lost;\n" } else { "    la[lid] = a;\n" };
            if is_arg(s.op) {
                src += "    li[lid] = ai;\n";
            }
            let _ = writeln!(src, "    BARRIER();\n    for (u32 gap = {}; gap > 0; gap >>= 1) {{", together / 2);
            let (ai, bi) = if is_arg(s.op) { ("li[lid]", "li[lid + gap]") } else { ("0", "0") };
            let _ = writeln!(
                src,
                "        if (lane < gap) {{ {} }}\n        BARRIER();\n    }}\n    if (lane != 0 || o >= m.outer) return;\n    a = la[lid];",
                merge(s, "la[lid]", ai, "la[lid + gap]", bi)
            );
            if is_arg(s.op) {
                src += "    ai = li[lid];\n";
            }
        }
        Sharing::Columns => {
            src += ROW_CHUNKS;
            let _ = writeln!(src, "    const i64 len = (i64)m.rsize[{}];", reduced - 1);
            src += PIECES;
            let _ = writeln!(src, "    {acc} a[{COLUMNS}];\n    for (int l = 0; l < {COLUMNS}; l++) a[l] = {initial};");
            let kahan = compensated(s);
            if kahan {
                let _ = writeln!(src, "    {acc} sum[{COLUMNS}], lost[{COLUMNS}]; int taken = 0;");
                let _ = writeln!(src, "    for (int l = 0; l < {COLUMNS}; l++) {{ sum[l] = 0; lost[l] = 0; }}");
            }
            src += "    for (i64 row = first; row < last; row++) {\n";
            src += &walk(idx, reduced - 1, "r", s.wide, "row", "z", n, "        ");
            src += "        for (i64 j = begin; j < stop; j++) {\n";
            for k in 0..n {
                let last = reduced - 1;
                let _ = writeln!(src, "            const i64 at{k} = base{k} + (i64)z{k} + j * (i64)m.rst{k}[{last}];");
            }
            src += "            INDEPENDENT\n            for (int l = 0; l < cols; l++) {\n";
            for k in 0..n {
                let rel = match () {
                    _ if s.unit >> k & 1 == 1 => " + l".to_string(),
                    _ if s.fixed >> k & 1 == 1 => String::new(),
                    _ => format!(" + l * (i64)m.kst{k}[{}]", kept - 1),
                };
                let _ = writeln!(src, "                const i64 e{k} = at{k}{rel};");
            }
            src += &value("                ");
            let _ = writeln!(src, "                {}\n            }}", step(s, "a[l]", "0", "v", "0"));
            let all = format!("for (int l = 0; l < cols; l++) {{ {} }}", emptied("a[l]", "[l]"));
            if kahan {
                let _ = writeln!(src, "            if (++taken == {PLAIN}) {{\n                taken = 0;");
                let _ = writeln!(src, "                INDEPENDENT\n                {all}\n            }}");
            }
            src += "        }\n    }\n";
            if kahan {
                let _ = writeln!(src, "    {all}\n    for (int l = 0; l < cols; l++) a[l] = sum[l] - lost[l];");
            }
            let _ = writeln!(src, "    const i64 x = m.off[{n}] + (i64)y{n} + c, along = (i64)m.kst{n}[{}];", kept - 1);
            let result = store(s.out, &convert(s.acc, s.out, "a[l]"));
            let _ = writeln!(src, "    for (int l = 0; l < cols; l++) out[x + (col0 + l) * along] = {result};\n}}");
            return Ok((src, body.scalars));
        }
        Sharing::Serial | Sharing::Lanes => {
            src += ROW_CHUNKS;
            let _ = writeln!(src, "    const i64 len = (i64)m.rsize[{}];", reduced - 1);
            src += PIECES;
            let lanes = s.sharing == Sharing::Lanes;
            let kahan = compensated(s);
            if lanes {
                if kahan {
                    let _ = writeln!(src, "    {acc} sum[{LANES}], lost[{LANES}]; i64 taken = 0;");
                    let _ = writeln!(src, "    for (int l = 0; l < {LANES}; l++) {{ sum[l] = 0; lost[l] = 0; }}");
                }
                let _ = writeln!(src, "    {acc} lane[{LANES}]; i64 lane_i[{LANES}];");
                let _ =
                    writeln!(src, "    for (int l = 0; l < {LANES}; l++) {{ lane[l] = {initial}; lane_i[l] = -1; }}");
            } else {
                let _ = writeln!(src, "    {acc} a = {initial}; i64 ai = -1;");
                if kahan {
                    let _ = writeln!(src, "    {acc} sum = 0, lost = 0; i64 taken = 0;");
                }
            }
            let every_lane = format!("for (int l = 0; l < {LANES}; l++) {{ {} }}", emptied("lane[l]", "[l]"));
            let empty = if lanes { every_lane } else { emptied("a", "") };
            src += "    for (i64 row = first; row < last; row++) {\n";
            src += &walk(idx, reduced - 1, "r", s.wide, "row", "z", n, "        ");
            for k in 0..n {
                let _ = writeln!(src, "        const i64 row{k} = base{k} + (i64)z{k};");
            }
            let positions = |j: &str, indent: &str| {
                let mut t = String::new();
                for k in 0..n {
                    let rel = if s.unit >> k & 1 == 1 {
                        format!(" + {j}")
                    } else if s.fixed >> k & 1 == 1 {
                        String::new()
                    } else {
                        format!(" + {j} * (i64)m.rst{k}[{}]", reduced - 1)
                    };
                    let _ = writeln!(t, "{indent}const i64 e{k} = row{k}{rel};");
                }
                t
            };
            src += "        i64 j = begin;\n";
            if lanes {
                if kahan {
                    // Pieces after which the lanes are emptied.
                    let far = PLAIN * LANES;
                    let _ = writeln!(src, "        while (j + {LANES} <= stop) {{");
                    let _ = writeln!(src, "        const i64 from = j, to = j + {far} < stop ? j + {far} : stop;");
                    let _ = writeln!(src, "        for (; j + {LANES} <= to; j += {LANES}) {{");
                } else {
                    let _ = writeln!(src, "        for (; j + {LANES} <= stop; j += {LANES}) {{");
                }
                let _ = writeln!(src, "            for (int l = 0; l < {LANES}; l++) {{");
                src += &positions("(j + l)", "                ");
                src += &value("                ");
                let text = guarded(step(s, "lane[l]", "lane_i[l]", "v", &at("(row * len + j + l)")));
                let _ = writeln!(src, "                {text}\n            }}\n        }}");
                if kahan {
                    let _ = writeln!(src, "        taken += (j - from) / {LANES};");
                    let _ = writeln!(src, "        if (taken >= {PLAIN}) {{ {empty} taken = 0; }}\n        }}");
                }
            }
            if kahan && !lanes {
                let _ = writeln!(src, "        while (j < stop) {{");
                let _ = writeln!(src, "        const i64 from = j, to = j + {PLAIN} < stop ? j + {PLAIN} : stop;");
                src += "        for (; j < to; j++) {\n";
            } else {
                if kahan {
                    src += "        taken += stop - j;\n";
                }
                src += "        for (; j < stop; j++) {\n";
            }
            src += &positions("j", "            ");
            src += &value("            ");
            let (a, ai) = if lanes { ("lane[0]", "lane_i[0]") } else { ("a", "ai") };
            let _ = writeln!(src, "            {}\n        }}", guarded(step(s, a, ai, "v", &at("(row * len + j)"))));
            if kahan && !lanes {
                let _ = writeln!(src, "        taken += j - from;");
                let _ = writeln!(src, "        if (taken >= {PLAIN}) {{ {empty} taken = 0; }}\n        }}");
            }
            src += "    }\n";
            if kahan {
                let (all, one) = (format!("for (int l = 0; l < {LANES}; l++)"), "sum - lost");
                let _ = if lanes {
                    writeln!(src, "    {empty}\n    {all} lane[l] = sum[l] - lost[l];")
                } else {
                    writeln!(src, "    {empty}\n    a = {one};")
                };
            }
            if lanes {
                let _ = writeln!(src, "    for (int gap = {}; gap > 0; gap >>= 1)", LANES / 2);
                let text = merge(s, "lane[l]", "lane_i[l]", "lane[l + gap]", "lane_i[l + gap]");
                let _ = writeln!(src, "        for (int l = 0; l < gap; l++) {{ {text} }}");
                let _ = writeln!(src, "    const {acc} a = lane[0]; const i64 ai = lane_i[0];");
            }
        }
    }
    let _ = writeln!(src, "    const i64 x = m.off[{n}] + (i64)y{n} + c;");
    if s.writes_pairs {
        src += "    out_index[x] = ai;\n";
    }
    let result = if is_arg(s.op) && !s.writes_pairs {
        format!("({})ai", compute_type(s.out))
    } else {
        store(s.out, &convert(s.acc, s.out, "a"))
    };
    let _ = writeln!(src, "    out[x] = {result};\n}}");
    Ok((src, body.scalars))
}
