use super::*;
use crate::base::dtype::Element;
use crate::dispatch;

const FIXTURE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/print.txt"));

fn dtype(name: &str) -> DType {
    *DType::ALL.iter().find(|d| d.name() == name).unwrap()
}

fn from_bits(hex: &str) -> f64 {
    f64::from_bits(u64::from_str_radix(hex, 16).unwrap())
}

/// Rounds to the dtype and keeps its category.
fn cast(v: f64, d: DType) -> Scalar {
    if d.is_float() {
        Scalar::Float(dispatch!(d, T, T::from_f64(v).to_f64()))
    } else if d == DType::Bool {
        Scalar::Bool(v != 0.0)
    } else {
        Scalar::Int(v as i64)
    }
}

fn parse_values(text: &str, d: DType, n: usize) -> Vec<Scalar> {
    if let Some(rest) = text.strip_prefix("gen ") {
        let p: Vec<i64> = rest.split(' ').map(|v| v.parse().unwrap()).collect();
        return (0..n as i64).map(|i| cast(((i * p[0] + p[1]) % p[2] + p[3]) as f64 / p[4] as f64, d)).collect();
    }
    text.split_whitespace()
        .map(|v| match d {
            d if d.is_float() => Scalar::Float(from_bits(v)),
            DType::Bool => Scalar::Bool(v != "0"),
            _ => Scalar::Int(v.parse().unwrap()),
        })
        .collect()
}

#[test]
fn every_recorded_text_is_pytorchs() {
    let mut lines = FIXTURE.lines().filter(|l| !l.starts_with("float "));
    let (mut count, mut wrong) = (0, Vec::new());
    while let (Some(head), Some(values), Some(text)) = (lines.next(), lines.next(), lines.next()) {
        let f: Vec<&str> = head.split('|').collect();
        let shape: Vec<i64> = f[0].split(',').filter(|s| !s.is_empty()).map(|s| s.parse().unwrap()).collect();
        let d = dtype(f[1]);
        let values = parse_values(values, d, shape.iter().product::<i64>() as usize);
        let strides = crate::base::layout::contiguous_strides(&shape);
        let value = |at: &[i64]| values[at.iter().zip(&strides).map(|(a, b)| a * b).sum::<i64>() as usize];
        let data = TensorText {
            shape: &shape,
            dtype: d,
            device: Device::CPU,
            value: &value,
            requires_grad: f[2] == "1",
            grad_fn: (f[3] != "-").then_some(f[3]),
            parameter: f[4] == "1",
            default_dtype: dtype(f[5]),
        };
        let opts = PrintOptions {
            precision: f[6].parse().unwrap(),
            threshold: f[7].parse().unwrap(),
            edgeitems: f[8].parse().unwrap(),
            linewidth: f[9].parse().unwrap(),
            sci_mode: (f[10] != "-").then_some(f[10] == "1"),
        };
        let want = text.replace("\\n", "\n");
        let got = format_tensor(&data, &opts).unwrap();
        count += 1;
        if got != want {
            wrong.push(format!("{head}\nwant {want}\ngot  {got}"));
        }
    }
    assert!(count > 1000, "the fixture holds {count} cases");
    assert!(wrong.is_empty(), "{} of {count} differ:\n{}", wrong.len(), wrong[..wrong.len().min(5)].join("\n\n"));
}

#[test]
fn floats_have_pythons_repr() {
    let mut count = 0;
    for line in FIXTURE.lines().filter(|l| l.starts_with("float ")) {
        let f: Vec<&str> = line.split(' ').collect();
        assert_eq!(py_float(from_bits(f[1])), f[2]);
        count += 1;
    }
    assert!(count > 300);
}

fn ones(shape: &[i64], device: &str) -> String {
    let data = TensorText {
        shape,
        dtype: DType::F16,
        device: Device::parse(device).unwrap(),
        value: &|_| Scalar::Float(1.0),
        requires_grad: true,
        grad_fn: None,
        parameter: false,
        default_dtype: DType::F32,
    };
    format_tensor(&data, &PrintOptions::DEFAULT).unwrap()
}

#[test]
fn other_devices_are_named_first() {
    assert_eq!(ones(&[2], "opencl:0"), "tensor([1., 1.], device='opencl:0', dtype=torch.float16, requires_grad=True)");
    assert_eq!(
        ones(&[0, 3], "cuda:1"),
        "tensor([], device='cuda:1', size=(0, 3), dtype=torch.float16,\n       requires_grad=True)"
    );
}

#[test]
fn a_summary_asks_for_edge_items_only() {
    let asked = std::cell::Cell::new(0);
    let shape = [1 << 20, 1 << 20, 1 << 20];
    let data = TensorText {
        shape: &shape,
        dtype: DType::F32,
        device: Device::CPU,
        value: &|at| {
            asked.set(asked.get() + 1);
            assert!(at.iter().all(|i| !(3..(1 << 20) - 3).contains(i)));
            Scalar::Float(at[2] as f64)
        },
        requires_grad: false,
        grad_fn: None,
        parameter: false,
        default_dtype: DType::F32,
    };
    let text = format_tensor(&data, &PrintOptions::DEFAULT).unwrap();
    assert!(text.contains("...,"));
    assert!(asked.get() <= 3 * 216, "{} elements read", asked.get());
}

#[test]
fn process_options_and_profiles() {
    assert_eq!(PrintOptions::profile("short").unwrap().precision, 2);
    assert_eq!(PrintOptions::profile("full").unwrap().threshold, f64::INFINITY);
    assert!(PrintOptions::profile("wide").is_err());
    // One test alone touches the process-wide options, and puts them back.
    let before = print_options();
    assert!(set_printoptions(Some(9), Some(f64::NAN), None, None, None, None).is_err());
    assert!(set_printoptions(Some(9), None, None, None, Some("wide"), None).is_err());
    assert_eq!(print_options(), before, "a refused call changes nothing");
    set_printoptions(Some(3), None, None, Some(100), Some("short"), Some(true)).unwrap();
    let want = PrintOptions { precision: 3, threshold: 1000.0, edgeitems: 2, linewidth: 100, sci_mode: Some(true) };
    assert_eq!(print_options(), want);
    set_printoptions(None, None, None, None, Some("default"), None).unwrap();
    assert_eq!(print_options(), PrintOptions::DEFAULT);
}
