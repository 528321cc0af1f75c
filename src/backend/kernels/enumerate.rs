//! A list of kernels that covers every kernel file, opcode and dtype, for compilers to check without a device.

use super::print::{elementwise, Walk};
use super::reduce::{accumulator, reduce, Sharing, Spec};
use super::{defines, Def, ROWS};
use crate::backend::program::{Inst, ListProgram, Opcode, Program, Src};
use crate::backend::ReduceOp;
use crate::base::device::{Device, DeviceType};
use crate::base::dtype::DType;

const DEVICE: Device = Device { kind: DeviceType::Cuda, index: 0 };

const CONV: &str = include_str!("conv.cl");
const GEMM: &str = include_str!("gemm.cl");
const INDEX: &str = include_str!("index.cl");
const OPTIM: &str = include_str!("optim.cl");
const POOL: &str = include_str!("pool.cl");
const RANDOM: &str = include_str!("random.cl");
const SCAN: &str = include_str!("scan.cl");
const SOFTMAX: &str = include_str!("softmax.cl");
const SORT: &str = include_str!("sort.cl");

/// One kernel: a name that is good for a file, and its source without prelude and common.h.
pub struct Listed {
    pub name: String,
    pub source: String,
}

struct List(Vec<Listed>);

impl List {
    fn add(&mut self, name: String, source: String) {
        self.0.push(Listed { name, source });
    }
    /// A kernel file specialised by macros; the name tells them.
    fn file(&mut self, name: &str, files: &[&str], defs: &[(&'static str, Def)]) {
        let mut label = name.to_string();
        for (k, d) in defs {
            match d {
                Def::Type(t) => label += &format!("-{k}.{t:?}"),
                Def::Int(1) | Def::Flag => label += &format!("-{k}"),
                Def::Int(v) => label += &format!("-{k}.{v}"),
            }
        }
        self.add(label.replace(' ', ""), defines(defs) + &files.concat());
    }
}

const ON: Def = Def::Int(1);
const FLOATS: [DType; 4] = [DType::F32, DType::F64, DType::F16, DType::BF16];
/// The dtypes that instructions calculate in.
const COMPUTE: [DType; 8] =
    [DType::Bool, DType::U8, DType::I8, DType::I16, DType::I32, DType::I64, DType::F32, DType::F64];

/// Every opcode in every compute dtype that it has, over the storage dtypes and layouts between them.
fn programs(list: &mut List) {
    let flat = Walk { rank: 0, wide: false, repeated: 0, rows: None, each: 1 };
    let walks = [
        flat,
        Walk { rank: 2, wide: false, repeated: 0, rows: None, each: 1 },
        Walk { rank: 3, wide: true, repeated: 0, rows: None, each: 1 },
        Walk { rank: 0, wide: false, repeated: 1, rows: None, each: 1 },
        Walk { rank: 0, wide: false, repeated: 1, rows: None, each: 4 },
        Walk { rank: 2, wide: false, repeated: 0, rows: None, each: 8 },
    ];
    for op in Opcode::ALL {
        for ty in COMPUTE {
            let inputs = vec![ty; op.arity()];
            let out = if op.is_predicate() { DType::Bool } else { ty };
            if let Ok((source, _)) = elementwise(&Program::single(op, ty, &inputs, out), flat, DEVICE) {
                list.add(format!("elementwise-{op:?}.{ty:?}"), source);
            }
        }
        // With a scalar, on a half type.
        let inputs = vec![DType::F16; (op.arity() - 1).max(1)];
        let out = if op.is_predicate() { DType::Bool } else { DType::BF16 };
        if let Ok((source, _)) = elementwise(&Program::single(op, DType::F32, &inputs, out), walks[1], DEVICE) {
            list.add(format!("elementwise-{op:?}.halves"), source);
        }
    }
    for from in DType::REAL {
        for to in DType::REAL {
            let walk = walks[(from as usize + to as usize) % walks.len()];
            let program = Program::single(Opcode::Cast, to, &[from], to);
            let (source, _) = elementwise(&program, walk, DEVICE).expect("every cast has a kernel");
            list.add(format!("cast-{from:?}.{to:?}"), source);
        }
    }
    // A fused chain with two outputs.
    for ty in FLOATS {
        let t = ty.compute();
        let chain = Program {
            inputs: [ty, ty].into_iter().collect(),
            insts: [
                Inst { op: Opcode::MulAdd, ty: t, args: [Src::Input(0), Src::Input(1), Src::Scalar(0)] },
                Inst { op: Opcode::Gelu, ty: t, args: [Src::Reg(0); 3] },
                Inst { op: Opcode::Gt, ty: t, args: [Src::Reg(1), Src::Scalar(1), Src::Reg(1)] },
            ]
            .into_iter()
            .collect(),
            outputs: [(1, ty), (2, DType::Bool)].into_iter().collect(),
        };
        for (i, walk) in walks.iter().enumerate() {
            let (source, _) = elementwise(&chain, *walk, DEVICE).expect("a chain has a kernel");
            list.add(format!("chain-{ty:?}.walk{i}"), source);
        }
    }
}

fn reductions(list: &mut List) {
    use ReduceOp::*;
    for op in [Sum, Prod, Max, Min, ArgMax, ArgMin, Any, All, SumSquares, SumAbs, NanSum] {
        for input in DType::REAL {
            let float_only = matches!(op, SumSquares | SumAbs | NanSum);
            if float_only && !input.is_float() {
                continue;
            }
            let out = match op {
                ArgMax | ArgMin => DType::I64,
                Any | All => DType::Bool,
                Max | Min => input,
                _ if input.is_float() => input,
                _ => DType::I64,
            };
            let acc = accumulator(op, input, out);
            for (i, sharing) in [Sharing::Serial, Sharing::Group, Sharing::Lanes, Sharing::Rows].into_iter().enumerate()
            {
                // The accumulators for CPUs differ little from dtype to dtype.
                if sharing == Sharing::Lanes && input != DType::F32 {
                    continue;
                }
                let arg = matches!(op, ArgMax | ArgMin);
                let spec = Spec {
                    op,
                    input,
                    out: if arg && i == 1 { acc } else { out },
                    acc,
                    kept: 1 + i as u8,
                    reduced: 2 - (i as u8 & 1),
                    wide: i == 1 && input == DType::I32,
                    sharing,
                    unit: (i == 0) as u16,
                    fixed: 0,
                    writes_pairs: arg && i == 1,
                    reads_pairs: false,
                };
                let (source, _) = reduce(&spec, None, DEVICE).expect("a reduction has a kernel");
                list.add(format!("reduce-{op:?}.{input:?}.{sharing:?}"), source);
                if arg && sharing == Sharing::Serial && input == input.compute() {
                    let second = Spec { reads_pairs: true, input: acc, ..spec };
                    let (source, _) = reduce(&second, None, DEVICE).expect("a second pass has a kernel");
                    list.add(format!("reduce-{op:?}.{input:?}.second"), source);
                }
            }
        }
        // A prologue.
        let program = Program::single(Opcode::Mul, DType::F32, &[DType::F32, DType::BF16], DType::F32);
        let out = match op {
            ArgMax | ArgMin => DType::I64,
            Any | All => DType::Bool,
            _ => DType::F32,
        };
        let spec = Spec {
            op,
            input: DType::F32,
            out,
            acc: accumulator(op, DType::F32, out),
            kept: 1,
            reduced: 1,
            wide: false,
            sharing: Sharing::Group,
            unit: 1,
            fixed: 2,
            writes_pairs: false,
            reads_pairs: false,
        };
        let (source, _) = reduce(&spec, Some(&program), DEVICE).expect("a fused reduction has a kernel");
        list.add(format!("reduce-{op:?}.prologue"), source);
    }
}

fn rows(list: &mut List) {
    let shape = |nt: i64, rank: i64| [("NT", Def::Int(nt)), ("RANK", Def::Int(rank))];
    for ty in FLOATS {
        for log in [false, true] {
            for forward in [true, false] {
                for variant in 0..3 {
                    let mut defs = shape(if forward { 2 } else { 3 }, 1 + variant % 2).to_vec();
                    defs.extend([("T", Def::Type(ty)), ("A", Def::Type(ty.compute()))]);
                    for (name, on) in [("LOG", log), ("FORWARD", forward), ("UNIT", variant > 0)] {
                        if on {
                            defs.push((name, ON));
                        }
                    }
                    if variant == 2 {
                        defs.push(("GROUP", Def::Int(256)));
                    }
                    list.file("softmax", &[ROWS, SOFTMAX], &defs);
                    if forward && !log && variant < 2 && ty == ty.compute() {
                        defs.push(("KEEP", ON));
                        list.file("softmax", &[ROWS, SOFTMAX], &defs);
                    }
                }
            }
        }
    }
    for ty in DType::REAL {
        let acc = if ty.is_float() { ty.compute() } else { DType::I64 };
        for op in 1..=5 {
            if op == 3 && !ty.is_float() {
                continue;
            }
            let mut defs = shape(if op >= 4 { 3 } else { 2 }, 2).to_vec();
            defs.extend([("T", Def::Type(ty)), ("A", Def::Type(acc)), ("OP", Def::Int(op))]);
            list.file("scan", &[ROWS, SCAN], &defs);
            if acc == DType::F32 && op <= 2 {
                defs[3] = ("A", Def::Type(DType::F64));
                list.file("scan", &[ROWS, SCAN], &defs);
            }
            if acc == DType::F32 && op == 1 {
                defs[3] = ("A", Def::Type(acc));
                defs.push(("COMPENSATED", ON));
                list.file("scan", &[ROWS, SCAN], &defs);
            }
        }
        for descending in [false, true] {
            let mut common = vec![("T", Def::Type(ty))];
            if descending {
                common.push(("DESCENDING", ON));
            }
            if ty.is_float() {
                common.push(("FLOATING", ON));
            }
            let mut runs = shape(1, 2).to_vec();
            runs.extend(common.iter().copied().chain([("RUN", Def::Int(32)), ("SORT_RUNS", ON)]));
            list.file("sort_runs", &[ROWS, SORT], &runs);
            let mut parts = common.clone();
            parts.extend([("SORT_MERGE_PARTS", ON), ("PART", Def::Int(64))]);
            list.file("sort_merge_parts", &[SORT], &parts);
            common.push(("SORT_MERGE", ON));
            list.file("sort_merge", &[SORT], &common);
        }
        let mut store = shape(2, 2).to_vec();
        store.extend([("T", Def::Type(ty)), ("SORT_STORE", ON)]);
        list.file("sort_store", &[ROWS, SORT], &store);
        let mut check = shape(1, 2).to_vec();
        check.extend([("T", Def::Type(ty)), ("CHECK", ON)]);
        if ty.is_float() {
            check.push(("FLOATING", ON));
        }
        list.file("check", &[ROWS, INDEX], &check);
        let mut gather = shape(3, 2).to_vec();
        gather.extend([("T", Def::Type(ty)), ("GATHER", ON)]);
        list.file("gather", &[ROWS, INDEX], &gather);
        for op in 0..5 {
            let mut scatter = shape(3, 1).to_vec();
            scatter.extend([("T", Def::Type(ty)), ("SCATTER", ON), ("OP", Def::Int(op))]);
            list.file("scatter", &[ROWS, INDEX], &scatter);
        }
        let ranks = [("T", Def::Type(ty)), ("RI", Def::Int(1)), ("RR", Def::Int(2))];
        for part in ["INDEX_GET", "INDEX_PUT", "INDEX_PUT_SORTED"] {
            for accumulate in [false, true] {
                let mut defs = ranks.to_vec();
                defs.push((part, ON));
                if accumulate && part != "INDEX_GET" {
                    defs.push(("ACCUMULATE", ON));
                }
                if !accumulate || part != "INDEX_GET" {
                    list.file("index", &[INDEX], &defs);
                }
            }
        }
    }
    let mut places = shape(1, 2).to_vec();
    places.extend([("T", Def::Type(DType::I64)), ("INDEX_PLACES", ON)]);
    list.file("index_places", &[ROWS, INDEX], &places);
}

fn products(list: &mut List) {
    for ty in DType::REAL.into_iter().filter(|d| *d != DType::Bool) {
        let acc = match ty.compute() {
            DType::F32 | DType::F64 | DType::I64 => ty.compute(),
            _ => DType::I32,
        };
        let mut common = vec![("T", Def::Type(ty)), ("A", Def::Type(acc))];
        if !acc.is_float() {
            common.push(("INTEGER", ON));
        }
        let with =
            |more: &[(&'static str, Def)]| common.iter().copied().chain(more.iter().copied()).collect::<Vec<_>>();
        // Fetched along k or rows, by vectors or one by one; tiles of `tune::candidates`.
        let q = 16 / acc.size() as i64;
        for (i, (pm, pn)) in [(4, 4), (8, 4), (8, 8)].into_iter().enumerate() {
            if (pm, pn) == (8, 8) && acc.size() == 8 {
                continue;
            }
            let bk = if pm * pn * acc.size() as i64 >= 256 { 8 } else { 64 / acc.size() as i64 };
            for (n, (ak, aw, bk_first, bw)) in
                [(1, q, 0, q), (0, q, 1, q), (0, 1, 1, 1), (1, 1, 0, q)].into_iter().enumerate()
            {
                let mut defs = with(&[("TA", Def::Type(ty)), ("TB", Def::Type(if n == 1 { acc } else { ty }))]);
                match (n + i) % 4 {
                    1 => defs.push(("SPLIT", ON)),
                    2 => defs.push(("BIAS", ON)),
                    _ => {}
                }
                if n < 3 {
                    defs.push(("OUT_VEC", ON));
                }
                let shape = [("PM", pm), ("PN", pn), ("Q", q), ("BK", bk)];
                let fetch = [("A_K", ak), ("A_W", aw), ("B_K", bk_first), ("B_W", bw)];
                defs.extend(shape.into_iter().chain(fetch).map(|(name, v)| (name, Def::Int(v))));
                defs.push(("GEMM_TILED", ON));
                list.file("gemm_tiled", &[GEMM], &defs);
            }
        }
        for rows in [1, 4] {
            let operands = [("TA", Def::Type(ty)), ("TB", Def::Type(ty))];
            let part = [("GEMM_DIRECT", ON), ("ROWS", Def::Int(rows))];
            list.file("gemm_direct", &[GEMM], &with(&[&operands[..], &part].concat()));
        }
        list.file("gemm_finish", &[GEMM], &with(&[("BIAS", ON), ("GEMM_FINISH", ON)]));
        if ty.is_float() {
            let operands = [("TA", Def::Type(ty)), ("TB", Def::Type(ty))];
            for epilogue in [&[("BIAS", ON), ("RELU", ON)][..], &[("BIAS", ON), ("PRE", ON), ("GELU", ON)]] {
                let shape = [("PM", 4), ("PN", 4), ("Q", q), ("BK", 64 / acc.size() as i64)];
                let fetch = [("A_K", 1), ("A_W", q), ("B_K", 0), ("B_W", 1)];
                let mut tiled: Vec<_> = shape.into_iter().chain(fetch).map(|(name, v)| (name, Def::Int(v))).collect();
                tiled.extend([("OUT_VEC", ON), ("GEMM_TILED", ON)]);
                list.file("gemm_tiled", &[GEMM], &with(&[&operands[..], epilogue, &tiled].concat()));
                let direct = [("GEMM_DIRECT", ON), ("ROWS", Def::Int(4))];
                list.file("gemm_direct", &[GEMM], &with(&[&operands[..], epilogue, &direct].concat()));
                list.file("gemm_finish", &[GEMM], &with(&[epilogue, &[("GEMM_FINISH", ON)]].concat()));
            }
        }
        // For CPUs; other devices can run them as well.
        if [DType::F32, DType::F64, DType::BF16, DType::I32, DType::I64].contains(&ty) {
            let columns = 2 * (64 / acc.size() as i64);
            let base = match acc {
                DType::F32 => "BASE float",
                DType::F64 => "BASE double",
                DType::I64 => "BASE long",
                _ => "BASE int",
            };
            let tile = [
                ("GEMM_PACKED", ON),
                ("MR", Def::Int(8)),
                ("NV", Def::Int(2)),
                ("VL", Def::Int(columns / 2)),
                (base, Def::Flag),
            ];
            let mut defs = with(&tile);
            if ty == acc {
                defs.push(("DIRECT_STORE", ON));
            }
            list.file("gemm_packed", &[GEMM], &defs);
            if ty.is_float() {
                for epilogue in [&[("BIAS", ON), ("RELU", ON)][..], &[("BIAS", ON), ("PRE", ON), ("GELU", ON)]] {
                    list.file("gemm_packed", &[GEMM], &[&defs[..], epilogue].concat());
                }
            }
            if ty == acc {
                let stream = [("GEMM_STREAM", ON), ("MR", Def::Int(4)), ("NV", Def::Int(2))];
                let dot = [("GEMM_DOT", ON), ("MR", Def::Int(4)), ("NR", Def::Int(4))];
                for part in [stream, dot] {
                    let vectors = [("VL", Def::Int(columns / 2)), (base, Def::Flag)];
                    list.file("gemm_small", &[GEMM], &with(&[&part[..], &vectors].concat()));
                }
            }
            list.file("gemm_pack", &[GEMM], &with(&[("R", Def::Int(8)), ("GEMM_PACK", ON)]));
            list.file("columns", &[CONV], &with(&[("COLUMNS", ON), ("R", Def::Int(columns)), ("POSITION_ROWS", ON)]));
        }
        for part in ["DIRECT_FORWARD", "DIRECT_INPUT", "DIRECT_WEIGHT"] {
            list.file("conv", &[CONV], &with(&[(part, ON)]));
        }
        list.file("conv_bias", &[CONV], &with(&[("DIRECT_FORWARD", ON), ("BIAS", ON)]));
        for more in [
            &[("POSITION_ROWS", ON)][..],
            &[],
            &[("POSITION_ROWS", ON), ("BACK", ON)],
            &[("POSITION_ROWS", ON), ("BACK", ON), ("UNIT_STRIDE", ON)],
        ] {
            list.file("columns", &[CONV], &with(&[&[("COLUMNS", ON)][..], more].concat()));
        }
    }
}

fn others(list: &mut List) {
    for ty in DType::REAL {
        let acc = if ty.is_float() { ty.compute() } else { DType::I64 };
        for part in ["MAX_FORWARD", "MAX_BACKWARD", "AVG_FORWARD", "AVG_BACKWARD"] {
            list.file("pool", &[POOL], &[("T", Def::Type(ty)), ("A", Def::Type(acc)), (part, ON)]);
        }
        for part in ["TILES_FORWARD", "TILES_BACKWARD"] {
            let window = [("K0", Def::Int(1)), ("K1", Def::Int(2)), ("K2", Def::Int(2))];
            let defs = [("T", Def::Type(ty)), ("A", Def::Type(acc)), (part, ON)];
            list.file("pool", &[POOL], &[&defs[..], &window].concat());
        }
        let double = ty == DType::F64;
        for code in 0..=8i64 {
            let float_only = matches!(code, 0 | 1 | 2 | 5 | 8);
            if float_only && !ty.is_float() {
                continue;
            }
            for wide in [false, true] {
                let fits = match code {
                    3 => true,
                    4 => !wide,
                    7 => wide,
                    _ => wide == double,
                };
                if !fits {
                    continue;
                }
                let f = if double { DType::F64 } else { DType::F32 };
                let mut defs = vec![("T", Def::Type(ty)), ("F", Def::Type(f)), ("DIST", Def::Int(code))];
                for (name, on) in [("WIDE", wide), ("DOUBLE", double), ("BOOLEAN", ty == DType::Bool)] {
                    if on {
                        defs.push((name, ON));
                    }
                }
                list.file("random", &[RANDOM], &defs);
                if ty == DType::F32 {
                    defs.push(("LIVE", ON));
                    list.file("random", &[RANDOM], &defs);
                }
                defs.retain(|d| d.0 != "LIVE");
                defs.push(("BLOCKS", Def::Int(256)));
                list.file("random", &[RANDOM], &defs);
            }
        }
    }
    for ty in FLOATS {
        for (kind, states, flags) in [
            ("SGD", 0, &[][..]),
            ("SGD", 1, &["FIRST"]),
            ("SGD", 1, &["NESTEROV", "MAXIMIZE"]),
            ("ADAM", 2, &[]),
            ("ADAM", 2, &["DECOUPLED"]),
            ("ADAM", 3, &["MAXIMIZE"]),
        ] {
            for count in [1usize, 10] {
                let mut defs = vec![
                    ("T", Def::Type(ty)),
                    ("A", Def::Type(ty.compute())),
                    ("COUNT", Def::Int(count as i64)),
                    ("STATES", Def::Int(states)),
                    (kind, ON),
                ];
                defs.extend(flags.iter().map(|f| (*f, ON)));
                let lists = super::optimizer_lists(count, states as usize);
                list.file("optimizer_step", &[&lists, OPTIM], &defs);
                if count == 1 {
                    defs.push(("LIVE", ON));
                    list.file("optimizer_step", &[&lists, OPTIM], &defs);
                }
            }
        }
    }
    // A program of one instruction for each result; the opcodes are all compiled as programs.
    for acc in [DType::F32, DType::F64] {
        let args = [Src::Input(0), Src::Scalar(0), Src::Input(1)];
        let insts = [(Opcode::MulAdd, args), (Opcode::Maximum, [Src::Input(2), Src::Input(1), Src::Input(1)])];
        let program = ListProgram {
            inputs: 3,
            insts: insts.into_iter().collect(),
            outputs: [(0, 0), (2, 1)].into_iter().collect(),
        };
        let (middle, _) = super::optimizer_program(&program, acc, DEVICE).unwrap();
        let lists = super::optimizer_lists(2, 1);
        let number = Def::Int(2);
        let one = Def::Int(1);
        let defs = [("T", Def::Type(acc)), ("A", Def::Type(acc)), ("COUNT", number), ("STATES", one), ("PROGRAM", one)];
        list.file("optimizer_step", &[&lists, &middle, OPTIM], &defs);
    }
}

/// The whole list.
pub fn all() -> Vec<Listed> {
    let mut list = List(Vec::new());
    programs(&mut list);
    reductions(&mut list);
    rows(&mut list);
    products(&mut list);
    others(&mut list);
    list.0
}

/// With `TAPER_KERNEL_LIST=FOLDER` every kernel of the list is written there, for tests/gpu/nvrtc.py.
#[cfg_attr(test, test)]
pub(crate) fn every_kernel_is_listed_once() {
    let list = all();
    let mut names: Vec<&str> = list.iter().map(|k| &k.name[..]).collect();
    names.sort_unstable();
    let total = names.len();
    names.dedup();
    assert_eq!(names.len(), total, "two kernels of the list share a name");
    // Each file's kernels are all there: a kernel that only some macro switches on must not be forgotten.
    let sources: String = list.iter().map(|k| &k.name[..]).collect::<Vec<_>>().join(" ");
    for file in [CONV, GEMM, INDEX, OPTIM, POOL, RANDOM, SCAN, SOFTMAX, SORT] {
        let tests = file.lines().filter(|l| l.starts_with("#ifdef ") || l.starts_with("#if "));
        // `#ifdef X` and `defined(X)`.
        let parts = tests.flat_map(|l| l.split(['(', ')', ' ', '!']).filter(|w| w.len() > 1));
        for part in parts.filter(|w| w.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')) {
            // Numbers rather than switches: any value of them counts.
            let switch = !["OP", "DIST", "STATES", "VL"].contains(&part);
            assert!(!switch || sources.contains(&format!("-{part}")), "no kernel of the list defines {part}");
        }
    }
    if let Some(folder) = std::env::var_os("TAPER_KERNEL_LIST") {
        let folder = std::path::PathBuf::from(folder);
        std::fs::create_dir_all(&folder).unwrap();
        for k in &list {
            std::fs::write(folder.join(format!("{}.cl", k.name)), &k.source).unwrap();
        }
    }
}
