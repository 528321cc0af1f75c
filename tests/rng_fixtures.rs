//! The CPU generator against draws recorded from PyTorch (tests/fixtures/make_rng.py).
//!
//! Everything is compared bit for bit except what passes through the C library's log, sin, cos, tan and exp: there the
//! last bits are the library's, and a few ulp are allowed.

use safetensors::SafeTensors;
use std::collections::BTreeMap;
use taper::backend::storage::Storage;
use taper::backend::{self, Distribution, View};
use taper::base::dtype::Element;
use taper::base::layout::Dims;
use taper::rng::Generator;
use taper::{DType, Device, Layout};

/// Allowed error in units of the last place.
const ULP: f64 = 4.0;

fn fixture() -> Vec<u8> {
    super::common::device::fixture("rng.safetensors")
}

fn dtype(name: &str) -> DType {
    match name {
        "f16" => DType::F16,
        "bf16" => DType::BF16,
        "f32" => DType::F32,
        "f64" => DType::F64,
        "u8" => DType::U8,
        "i8" => DType::I8,
        "i16" => DType::I16,
        "i32" => DType::I32,
        "i64" => DType::I64,
        "bool" => DType::Bool,
        _ => panic!("dtype {name}"),
    }
}

/// Offsets of a layout's elements in row-major order.
fn offsets(l: &Layout) -> Vec<usize> {
    let mut all = vec![l.offset];
    for (size, stride) in l.shape.iter().zip(&l.strides) {
        all = all.iter().flat_map(|at| (0..*size).map(move |i| at + i * stride)).collect();
    }
    all.into_iter().map(|at| at as usize).collect()
}

fn list(text: &str) -> Dims {
    text.split(',').filter(|t| !t.is_empty()).map(|t| t.parse().unwrap()).collect()
}

/// Runs one recorded call; the values' bytes in row-major order.
fn run(g: &Generator, op: &str, args: &str, dt: DType, sizes: &str, strides: &str) -> Vec<u8> {
    let f: Vec<f64> = args.split(',').filter(|t| !t.is_empty()).map(|t| t.parse().unwrap()).collect();
    let dist = match op {
        "uniform" => Distribution::Uniform { low: f[0], high: f[1] },
        "normal" => Distribution::Normal { mean: f[0], std: f[1] },
        "log_normal" => Distribution::LogNormal { mean: f[0], std: f[1] },
        "cauchy" => Distribution::Cauchy { median: f[0], sigma: f[1] },
        "geometric" => Distribution::Geometric { p: f[0] },
        "exponential" => Distribution::Exponential { lambda: f[0] },
        "bernoulli" => Distribution::Bernoulli { p: f[0] },
        "permutation" => Distribution::Permutation,
        "full_range" => Distribution::FullRange,
        "integer" => {
            let b = list(args);
            Distribution::Integer { low: b[0], high: b[1] }
        }
        _ => panic!("op {op}"),
    };
    let mut layout = Layout::contiguous(&list(sizes));
    if !strides.is_empty() {
        layout.strides = list(strides);
    }
    let size = dt.size();
    let mut bytes = vec![0u8; layout.required_elements() as usize * size];
    let storage = Storage::alloc(bytes.len(), Device::CPU).unwrap();
    let cpu = backend::get(Device::CPU).unwrap();
    cpu.random(dist, g, View { storage: &storage, layout: &layout, dtype: dt }).unwrap();
    cpu.download(&storage, 0, &mut bytes).unwrap();
    offsets(&layout).into_iter().flat_map(|at| bytes[at * size..][..size].to_vec()).collect()
}

fn typed<T: Element>(bytes: &[u8]) -> Vec<f64> {
    bytes.chunks_exact(size_of::<T>()).map(|b| bytemuck::pod_read_unaligned::<T>(b).to_f64()).collect()
}

#[test]
fn draws_equal_pytorch() {
    let file = fixture();
    let tensors = SafeTensors::deserialize(&file).unwrap();
    let calls: BTreeMap<String, _> =
        tensors.tensors().into_iter().filter(|(n, _)| n.starts_with(char::is_numeric)).collect();
    let g = Generator::new();
    let (mut case, mut worst) = (String::new(), BTreeMap::<(String, &str), (f64, usize, usize)>::new());
    let mut failures = vec![];
    for (name, want) in &calls {
        let parts: Vec<&str> = name.split('|').collect();
        let [step, seed, op, args, dt, sizes, strides] = parts[..] else { panic!("{name}") };
        if case != step[..3] {
            case = step[..3].to_string();
            g.manual_seed(seed.parse().unwrap());
        }
        let dt = dtype(dt);
        let got = run(&g, op, args, dt, sizes, strides);
        if got == want.data() {
            let n = want.data().len() / dt.size();
            worst.entry((op.to_string(), dt.name())).or_default().2 += n;
            continue;
        }
        let transcendental = ["normal", "log_normal", "cauchy", "exponential"].contains(&op);
        let (a, b, digits) = match dt {
            DType::F32 => (typed::<f32>(&got), typed::<f32>(want.data()), 23),
            DType::F64 => (typed::<f64>(&got), typed::<f64>(want.data()), 52),
            DType::F16 => (typed::<half::f16>(&got), typed::<half::f16>(want.data()), 10),
            DType::BF16 => (typed::<half::bf16>(&got), typed::<half::bf16>(want.data()), 7),
            _ => (vec![], vec![], 0),
        };
        let entry = worst.entry((op.to_string(), dt.name())).or_default();
        let mut bad = !transcendental || a.len() != b.len() || a.is_empty();
        for (x, y) in a.iter().zip(&b) {
            let ulp = 2f64.powi(y.abs().max(1e-30).log2().floor() as i32 - digits);
            let d = (x - y).abs() / ulp;
            entry.0 = entry.0.max(d);
            entry.1 += (d != 0.0) as usize;
            entry.2 += 1;
            bad |= d > ULP;
        }
        if bad {
            failures.push(format!("{name}\n  got  {:?}\n  want {:?}", &a[..a.len().min(8)], &b[..b.len().min(8)]));
        }
    }
    for ((op, dt), (ulp, differ, all)) in &worst {
        println!("{op} {dt}: {differ} of {all} values differ, by {ulp} ulp at most");
    }
    assert!(calls.len() > 150, "the fixture has {} calls", calls.len());
    assert!(failures.is_empty(), "{} calls differ:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn states_interchange_with_pytorch() {
    let file = fixture();
    let tensors = SafeTensors::deserialize(&file).unwrap();
    let state = tensors.tensor("state|123").unwrap();
    let g = Generator::new();
    g.set_state(state.data()).unwrap();
    assert_eq!(g.initial_seed(), 123);
    assert_eq!(g.get_state(), state.data());
    let mut next = run(&g, "normal", "0,1", DType::F64, "3", "");
    next.extend(run(&g, "uniform", "0,1", DType::F64, "3", ""));
    let want = typed::<f64>(tensors.tensor("state|123|next").unwrap().data());
    for (a, b) in typed::<f64>(&next).iter().zip(&want) {
        assert!((a - b).abs() <= 4.0 * f64::EPSILON * b.abs(), "{a} {b}");
    }
}
