//! Files of PyTorch's and NumPy's own (`tests/fixtures/make_files.py`), every format there and back, checkpoints.

use super::checkpoint::{self, Parts};
use super::format::{self, Format};
use super::safetensors::FileMetadata;
use super::source::Source;
use super::{safetensors as flat, shards};
use crate::base::dtype::Bool8;
use crate::base::error::ErrorKind;
use crate::base::sync::Mutex;
use crate::nn::{Module, StateDict};
use crate::optim::schedule::{Rates, Schedule, StepLR};
use crate::optim::{AdamOptions, Optimizer};
use crate::{DType, Device, Tensor};
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn folder(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("taper-files-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/files").join(name)
}
fn load(path: &Path) -> (StateDict, FileMetadata) {
    let contents = format::open(path, false).unwrap();
    (contents.all(Device::CPU).unwrap(), contents.metadata)
}
fn values(t: &Tensor) -> Vec<f64> {
    t.to_f64_vec().unwrap()
}
fn counted(shape: &[i64], dtype: DType) -> Tensor {
    let n: i64 = shape.iter().product();
    let all: Vec<f32> = (0..n).map(|i| i as f32).collect();
    crate::nn::convert(&Tensor::from_slice(&all, shape).unwrap(), dtype, Device::CPU).unwrap()
}

#[test]
fn files_of_pytorch_are_read() {
    for name in ["state.pt", "legacy.pt"] {
        let (d, texts) = load(&fixture(name));
        assert!(texts.is_empty());
        let names: Vec<&str> = d.keys().map(String::as_str).collect();
        let want = ["weight", "tied", "turned", "part", "half", "brain", "count", "flags", "empty", "double"];
        assert_eq!(names, want, "{name}");
        let all: Vec<f64> = (0..12).map(f64::from).collect();
        assert_eq!(values(&d["weight"]), all);
        assert_eq!((values(&d["turned"])[1], &d["turned"].shape()[..]), (4.0, &[4i64, 3][..]));
        assert_eq!(values(&d["part"]), [4.0, 5.0]);
        assert_eq!((values(&d["half"]), d["half"].dtype()), (vec![0.5, -2.0], DType::F16));
        assert_eq!((values(&d["brain"]), d["brain"].dtype()), (vec![1.5], DType::BF16));
        assert_eq!((values(&d["count"]), d["count"].ndim()), (vec![7.0], 0));
        assert_eq!(values(&d["flags"]), [1.0, 0.0]);
        assert_eq!(&d["empty"].shape()[..], [0, 3]);
        assert_eq!(values(&d["double"]), [1e300]);
        // What shared memory shares it again.
        assert!(Arc::ptr_eq(&d["weight"].storage(), &d["tied"].storage()));
        let file = format::open(&fixture(name), false).unwrap();
        assert_eq!(file.format, "PyTorch");
        assert_eq!(values(&file.get_rows("weight", 1, 2, Device::CPU).unwrap()), [4.0, 5.0, 6.0, 7.0]);
        assert_eq!(values(&file.get_rows("turned", -1, 99, Device::CPU).unwrap()), [3.0, 7.0, 11.0]);
        assert_eq!(file.get_rows("weight", 2, 1, Device::CPU).unwrap().numel(), 0);
        assert_eq!(file.get("count", Device::CPU).unwrap().dtype(), DType::I64);
        assert_eq!(file.get_rows("count", 0, 1, Device::CPU).unwrap_err().kind, ErrorKind::Index);
        assert_eq!(file.get("no", Device::CPU).unwrap_err().kind, ErrorKind::Key);
    }
    let (d, _) = load(&fixture("compressed.pt"));
    assert_eq!(&d["0.weight"].shape()[..], [3, 2]);
}

#[test]
fn nested_files_are_flattened() {
    let (d, texts) = load(&fixture("checkpoint.pt"));
    assert_eq!((values(&d["epoch"]), d["epoch"].dtype()), (vec![3.0], DType::I64));
    assert_eq!((values(&d["loss"]), d["loss"].dtype()), (vec![0.5], DType::F64));
    assert_eq!((values(&d["done"]), d["done"].dtype()), (vec![0.0], DType::Bool));
    assert_eq!(values(&d["history"]), [1.0, 2.0, 0.5]);
    assert_eq!(values(&d["nested.1.0"]), [1.0, 1.0]);
    assert_eq!(values(&d["nested.1.1.x.0"]), [0.0]);
    assert_eq!((texts["note"].as_str(), texts["nested.1.1.x.1"].as_str()), ("fine", "deep"));
    assert!(!d.contains_key("none"));
    assert_eq!(&d["model.0.weight"].shape()[..], [3, 2]);
    // An optimiser of PyTorch's goes on here: the flat names are those of Taper's state.
    let net = [Tensor::zeros_like_of(&d, "model.0.weight"), Tensor::zeros_like_of(&d, "model.0.bias")];
    let more = [
        Tensor::zeros_like_of(&d, "model.1.weight"),
        Tensor::zeros_like_of(&d, "model.1.bias"),
        Tensor::zeros_like_of(&d, "model.2.weight"),
        Tensor::zeros_like_of(&d, "model.2.bias"),
    ];
    let mut o = Optimizer::new(net.into_iter().chain(more).collect(), AdamOptions::adam()).unwrap();
    o.load_state_dict(&checkpoint::below(&d, "optimizer.").unwrap()).unwrap();
    let state = o.state_dict().unwrap();
    assert_eq!(values(&state["param_groups.0.lr"]), [0.25]);
    assert_eq!(values(&state["state.0.step"]), [1.0]);
    assert_eq!(values(&state["state.0.exp_avg"]), values(&d["optimizer.state.0.exp_avg"]));
}
trait Like {
    fn zeros_like_of(d: &StateDict, name: &str) -> Tensor;
}
impl Like for Tensor {
    fn zeros_like_of(d: &StateDict, name: &str) -> Tensor {
        let t = counted(&d[name].shape(), DType::F32);
        crate::autograd::set_requires_grad(&t, true).unwrap();
        t
    }
}

#[test]
fn files_of_numpy_are_read() {
    let want: Vec<f64> = (0..6).map(f64::from).collect();
    for (name, dtype) in [
        ("rows.npy", DType::F32),
        ("columns.npy", DType::F32),
        ("big_endian.npy", DType::F64),
        ("version2.npy", DType::F32),
    ] {
        let (d, _) = load(&fixture(name));
        assert_eq!(
            (values(&d["data"]), d["data"].dtype(), &d["data"].shape()[..]),
            (want.clone(), dtype, &[2i64, 3][..]),
            "{name}"
        );
        let rows = format::open(&fixture(name), false).unwrap().get_rows("data", 1, 2, Device::CPU).unwrap();
        assert_eq!(values(&rows), want[3..], "{name}");
    }
    let (d, _) = load(&fixture("number.npy"));
    assert_eq!((values(&d["data"]), d["data"].ndim()), (vec![-5.0], 0));
    let e = format::open(&fixture("objects.npy"), false).err().unwrap();
    assert!(e.message.contains("Python objects"), "{}", e.message);
    for name in ["stored.npz", "deflated.npz"] {
        let (d, _) = load(&fixture(name));
        assert_eq!((values(&d["a"]), values(&d["f"])), (want.clone(), want.clone()));
        assert_eq!(values(&d["b.c"]), [1.0, 0.0]);
        assert_eq!((values(&d["i"]), d["i"].dtype()), (vec![-2.0, -1.0, 0.0, 1.0, 2.0], DType::I16));
    }
    assert_eq!(load(&fixture("deflated.npz")).0["zeros"].numel(), 5000);
}

fn sample() -> (StateDict, FileMetadata) {
    let mut d = StateDict::new();
    let base = counted(&[40, 30], DType::F32);
    d.insert("a.weight".into(), base.clone());
    d.insert("turned".into(), base.alias(super::contents::columns(&[30, 40])).unwrap());
    d.insert("bool".into(), Tensor::from_slice(&[Bool8(1), Bool8(0)], &[2]).unwrap());
    for dtype in [DType::F16, DType::F64, DType::I8, DType::I16, DType::I32, DType::I64, DType::U8] {
        d.insert(dtype.name().into(), counted(&[3], dtype));
    }
    d.insert("number".into(), counted(&[], DType::F64));
    d.insert("none é".into(), counted(&[0, 5], DType::F32));
    let meta = [("note".to_string(), "text".to_string())].into_iter().collect();
    (d, meta)
}
fn same(a: &StateDict, b: &StateDict) {
    assert_eq!(a.len(), b.len());
    for (name, t) in a {
        let u = &b[name];
        assert_eq!((t.dtype(), t.shape(), values(t)), (u.dtype(), u.shape(), values(u)), "{name}");
    }
}

#[test]
fn every_format_goes_there_and_back() {
    let dir = folder("formats");
    let (d, meta) = sample();
    for format in [Format::Safetensors, Format::Torch, Format::Npz { deflated: false }, Format::Npz { deflated: true }]
    {
        let path = dir.join("x");
        format::save(&path, &d, &meta, format).unwrap();
        let bytes = format::to_memory(&d, &meta, format).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        let (back, texts) = load(&path);
        same(&d, &back);
        assert_eq!(texts.is_empty(), matches!(format, Format::Npz { .. }));
        let held = format::of_source(Source::memory(&bytes)).unwrap();
        same(&d, &held.all(Device::CPU).unwrap());
        let mapped = format::open(&path, true).unwrap();
        for name in d.keys() {
            let t = mapped.get(name, Device::CPU).unwrap();
            assert_eq!(values(&t), values(&d[name]), "{name} mapped, {format:?}");
            if t.dtype() == DType::F32 {
                t.copy_from(&counted(&[], DType::F32)).unwrap();
            }
        }
        // What was written to mapped tensors stayed here.
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        // Any byte less is an error, which leaves nothing behind.
        for cut in [0, 1, 7, 20, bytes.len() / 2, bytes.len() - 1] {
            assert!(format::of_source(Source::memory(&bytes[..cut])).is_err(), "{format:?} cut at {cut}");
        }
    }
    let one: StateDict = [("x".to_string(), counted(&[2, 2], DType::I32))].into_iter().collect();
    format::save(&dir.join("one.npy"), &one, &meta, Format::Npy).unwrap();
    assert_eq!(values(&load(&dir.join("one.npy")).0["data"]), [0.0, 1.0, 2.0, 3.0]);
    assert_eq!(format::save(&dir.join("one.npy"), &d, &meta, Format::Npy).unwrap_err().kind, ErrorKind::Value);
    let brain: StateDict = [("x".to_string(), counted(&[2], DType::BF16))].into_iter().collect();
    let e = format::save(&dir.join("one.npy"), &brain, &meta, Format::Npy).unwrap_err();
    assert!(e.message.contains("NumPy has no dtype"), "{}", e.message);
    assert_eq!(values(&load(&dir.join("one.npy")).0["data"]), [0.0, 1.0, 2.0, 3.0]);
    // Tied tensors are stored once in PyTorch's format.
    let base = counted(&[1000], DType::F32);
    let tied: StateDict = [("a".to_string(), base.clone()), ("b".to_string(), base)].into_iter().collect();
    let bytes = format::to_memory(&tied, &FileMetadata::new(), Format::Torch).unwrap();
    assert!(bytes.len() < 6000, "{}", bytes.len());
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn damaged_records_are_told() {
    let (d, meta) = sample();
    for format in [Format::Torch, Format::Npz { deflated: false }, Format::Npz { deflated: true }] {
        let bytes = format::to_memory(&d, &meta, format).unwrap();
        let mut wrong = 0;
        for i in (0..bytes.len()).step_by(bytes.len() / 300) {
            let mut bad = bytes.clone();
            bad[i] ^= 0x10;
            let read = format::of_source(Source::memory(&bad)).and_then(|c| c.all(Device::CPU));
            if let Err(e) = read {
                assert!(matches!(e.kind, ErrorKind::Io), "{format:?} byte {i}: {:?} {}", e.kind, e.message);
                wrong += 1;
            }
        }
        assert!(wrong > 100, "{format:?}: {wrong}");
    }
}

#[test]
fn hostile_pickles_are_refused() {
    let fails = |pickle: &[u8], want: &str| {
        let mut zip = super::zip::Zip::new(super::sink::Sink::memory());
        zip.bytes("a/data.pkl", pickle).unwrap();
        zip.bytes("a/data/0", &[0; 64]).unwrap();
        let bytes = zip.finish().unwrap();
        let e = format::of_source(Source::memory(&bytes)).err();
        let e = e.unwrap_or_else(|| panic!("{pickle:?} was read"));
        assert!(e.kind == ErrorKind::Io && e.message.contains(want), "{}", e.message);
    };
    fails(b"\x80\x02cos\nsystem\nX\x02\0\0\0ls\x85R.", "Unsupported global: GLOBAL os.system");
    fails(b"\x80\x02}q\x00X\x01\0\0\0ah\x00s.", "nested too deep");
    fails(b"\x80\x02]a.", "underflow");
    fails(b"\x80\x02]q\x00h\x05.", "memo 5");
    fails(b"\x80\x02X\xff\xff\xff\xff.", "truncated");
    fails(b"\x80\x09.", "protocol 9");
    fails(b"", "truncated");
    // A list of two of the same list, and so on: many more values than bytes.
    let mut bomb = b"\x80\x02]X\x01\0\0\0xa".to_vec();
    for _ in 0..40 {
        bomb.extend_from_slice(b"q\x000](h\x00h\x00e");
    }
    bomb.push(b'.');
    fails(&bomb, "than");
    let storage = |count: &[u8], rest: &[u8]| {
        let mut p = b"\x80\x02}X\x01\0\0\0actorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu".to_vec();
        p.extend_from_slice(count);
        p.extend_from_slice(b"tQ");
        p.extend_from_slice(rest);
        p.extend_from_slice(b"\x89ccollections\nOrderedDict\n)RtRs.");
        p
    };
    fails(&storage(b"K\x10", b"K\0K\x11\x85K\x01\x85"), "does not fit");
    fails(&storage(b"K\x11", b"K\0K\x10\x85K\x01\x85"), "17 elements of float32 were expected");
    fails(&storage(b"K\x10", b"K\0J\xff\xff\xff\xff\x85K\x01\x85"), "none negative");
    fails(&storage(b"K\x10", b"K\0\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7fK\x02\x86K\x01K\x01\x86"), "does not fit");
}

#[test]
fn shards_have_an_index() {
    let dir = folder("shards");
    let (d, meta) = sample();
    assert_eq!(shards::save(&dir, "model", &d, &meta, 1 << 20).unwrap(), 1);
    same(&d, &load(&dir).0);
    let n = shards::save(&dir, "model", &d, &meta, 4850).unwrap();
    assert_eq!(n, 3);
    assert!(dir.join("model-00002-of-00003.safetensors").exists());
    let index = dir.join("model.safetensors.index.json");
    for path in [&dir, &index] {
        let (back, texts) = load(path);
        same(&d, &back);
        assert_eq!(texts["note"], "text");
    }
    assert_eq!(format::open(&index, true).unwrap().format, "safetensors index");
    let good = std::fs::read_to_string(&index).unwrap();
    for (from, to, want) in [
        ("model-00002-of", "../model-00002-of", "is no file's name"),
        ("\"bool\"", "\"other\"", "has no tensor \"other\""),
        ("weight_map", "map", "has no weight_map"),
        ("model-00002-of", "gone-00002-of", "cannot read"),
    ] {
        std::fs::write(&index, good.replace(from, to)).unwrap();
        let e = format::open(&index, false).err().unwrap();
        assert!(e.kind == ErrorKind::Io && e.message.contains(want), "{}", e.message);
    }
    assert_eq!(shards::save(&dir, "a/b", &d, &meta, 5000).unwrap_err().kind, ErrorKind::Value);
    assert_eq!(shards::save(&dir.join("no"), "model", &d, &meta, 5000).unwrap_err().kind, ErrorKind::Io);
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_checkpoint_goes_on_with_the_same_bits() {
    let dir = folder("checkpoint");
    let path = dir.join("run.checkpoint");
    let build = || {
        let net = crate::nn::layers::linear(3, 2, true).unwrap();
        let adam = Optimizer::new(net.parameters().unwrap(), AdamOptions { lr: 0.1, ..AdamOptions::adam() }).unwrap();
        let adam = Arc::new(Mutex::new(adam));
        let rates: Arc<dyn Rates> = adam.clone();
        let step = StepLR { gamma: 0.5, ..StepLR::new(2) }.make(&rates).unwrap();
        (net, adam, step)
    };
    let train = |(net, adam, step): &(Module, Arc<Mutex<Optimizer>>, Schedule)| {
        let x = crate::ops::randn(&[4, 3], None, None, None).unwrap();
        let loss = crate::ops::sum(&net.forward(&[x]).unwrap(), None).unwrap();
        adam.lock().zero_grad(true).unwrap();
        crate::ops::backward(&[loss], &[None], Default::default(), None).unwrap();
        adam.lock().step().unwrap();
        step.step().unwrap();
    };
    let a = build();
    train(&a);
    let (models, optimizers, schedules) = ([a.0.clone()], [a.1.clone()], [a.2.clone()]);
    let parts = Parts { models: &models, optimizers: &optimizers, schedules: &schedules, generators: &[] };
    let (extra, texts) = sample();
    checkpoint::save(&path, &parts, &extra, &texts).unwrap();
    train(&a);
    train(&a);
    let want = a.0.state_dict().unwrap().into_values().map(|t| values(&t)).collect::<Vec<_>>();

    let b = build();
    let (models, optimizers, schedules) = ([b.0.clone()], [b.1.clone()], [b.2.clone()]);
    let parts = Parts { models: &models, optimizers: &optimizers, schedules: &schedules, generators: &[] };
    let (back, notes, keys) = checkpoint::load(&path, &parts, true).unwrap();
    same(&extra, &back);
    assert_eq!((&notes, keys.len()), (&texts, 1));
    train(&b);
    train(&b);
    let got = b.0.state_dict().unwrap().into_values().map(|t| values(&t)).collect::<Vec<_>>();
    assert_eq!(want, got);

    // Where one part does not fit, all are as they were.
    let before = b.1.lock().state_dict().unwrap().into_iter().map(|(k, t)| (k, values(&t))).collect::<Vec<_>>();
    let other = crate::nn::layers::linear(3, 3, true).unwrap();
    let wrong = [other.clone()];
    let was = values(&other.state_dict().unwrap()["bias"]);
    let parts = Parts { models: &wrong, optimizers: &optimizers, schedules: &schedules, generators: &[] };
    let e = checkpoint::load(&path, &parts, true).unwrap_err();
    assert!(e.message.contains("size mismatch for weight"), "{}", e.message);
    let after = b.1.lock().state_dict().unwrap().into_iter().map(|(k, t)| (k, values(&t))).collect::<Vec<_>>();
    assert_eq!((before, was), (after, values(&other.state_dict().unwrap()["bias"])));
    let parts = Parts { models: &[], optimizers: &optimizers, schedules: &schedules, generators: &[] };
    let e = checkpoint::load(&path, &parts, true).unwrap_err();
    assert!(e.kind == ErrorKind::Value && e.message.contains("has 1 models, but 0 were given"), "{}", e.message);
    flat::save(&path, &extra, &texts).unwrap();
    let e = checkpoint::load(&path, &parts, true).unwrap_err();
    assert!(e.message.contains("is no checkpoint"), "{}", e.message);
    std::fs::remove_dir_all(&dir).unwrap();
}
