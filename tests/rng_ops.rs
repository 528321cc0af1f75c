//! Random ops, dropout and initialisers under a seed against PyTorch's values (tests/fixtures/make_rng.py).

use safetensors::SafeTensors;
use taper::rng::{self, Generator};
use taper::{ops, DType, Result, Scalar, Tensor};

/// (i mod 7 + 1) / 8
fn ramp(sizes: &[i64]) -> Tensor {
    let n: i64 = sizes.iter().product();
    let values: Vec<f32> = (0..n).map(|i| (i % 7 + 1) as f32 / 8.0).collect();
    Tensor::from_slice(&values, sizes).unwrap()
}
fn cast(t: &Tensor, d: DType) -> Tensor {
    ops::cast(t, d).unwrap()
}
fn t(x: &Tensor) -> Tensor {
    ops::t(x).unwrap()
}
fn empty(sizes: &[i64], d: DType) -> Tensor {
    Tensor::empty(sizes, d, taper::Device::CPU).unwrap()
}
/// An empty tensor after a fill.
fn filled(sizes: &[i64], d: DType, f: impl FnOnce(&Tensor) -> Result<()>) -> Result<Tensor> {
    let x = empty(sizes, d);
    f(&x)?;
    Ok(x)
}

fn call(name: &str, g: &Generator) -> Result<Tensor> {
    use DType::*;
    let g = Some(g);
    let (x, p) = (ramp(&[6, 5]), ramp(&[3, 7]));
    let (w, big): (&[i64], &[i64]) = (&[4, 6], &[8, 3, 2, 2]);
    // Weight and bias of a new layer, as its constructor draws them.
    let layer = |weight: &[i64], bias: i64| -> Result<(Tensor, Tensor)> {
        let (w, b) = (empty(weight, F32), empty(&[bias], F32));
        ops::init_default_(&w, Some(&b), g)?;
        Ok((w, b))
    };
    match name {
        "rand" => ops::rand(&[3, 4], g, None, None),
        "rand_f64" => ops::rand(&[5], g, Some(F64), None),
        "randn" => ops::randn(&[3, 7], g, None, None),
        "randn_bf16" => ops::randn(&[20], g, Some(BF16), None),
        "randint" => ops::randint(10, &[7], g, None, None),
        "randint_low" => ops::randint_low(-5, 5, &[7], g, Some(I32), None),
        "randint_f16" => filled(&[50], F16, |t| ops::random_from_(t, 0, Some(65504), g)),
        "random_from" => filled(&[20], I64, |t| ops::random_from_(t, -3, None, g)),
        "random_from_f32" => filled(&[20], F32, |t| ops::random_from_(t, 100, None, g)),
        "random_all" => filled(&[20], I64, |t| ops::random_from_(t, i64::MIN, None, g)),
        "randperm" => ops::randperm(20, g, None, None),
        "rand_like_t" => ops::rand_like(&t(&ramp(&[4, 6])), g, None, None),
        "randn_like_t" => ops::randn_like(&t(&ramp(&[4, 6])), g, None, None),
        "randint_like" => ops::randint_like_low(&x, 3, 9, g, None, None),
        "normal_tensor_float" => ops::normal_tensor_float(&x, 0.5, g),
        "normal_float_tensor" => ops::normal_float_tensor(1.5, &x, g),
        "normal_tensor_tensor" => ops::normal_tensor_tensor(&x, &ramp(&[5]), g),
        "normal_float_float" => ops::normal_float_float(2.0, 3.0, &[20], g, None, None),
        "bernoulli" => ops::bernoulli(&x, g),
        "bernoulli_t" => ops::bernoulli(&t(&x), g),
        "bernoulli_f64" => ops::bernoulli(&cast(&x, F64), g),
        "bernoulli_tensor_into_int" => filled(&[6, 5], I32, |t| ops::bernoulli_(t, &ramp(&[5]), g)),
        "multinomial_1" => ops::multinomial(&p, 1, false, g),
        "multinomial_5" => ops::multinomial(&p, 5, false, g),
        "multinomial_vector" => ops::multinomial(&ramp(&[7]), 4, false, g),
        "multinomial_replace" => ops::multinomial(&p, 30, true, g),
        "multinomial_replace_f64" => ops::multinomial(&cast(&p, F64), 30, true, g),
        "multinomial_replace_f16" => ops::multinomial(&cast(&p, F16), 30, true, g),
        "dropout" => ops::dropout(&x, 0.3, true, g),
        "dropout_t" => ops::dropout(&t(&ramp(&[4, 6])), 0.3, true, g),
        "dropout1d" => ops::dropout1d(&ramp(&[4, 5, 3]), 0.4, true, g),
        "dropout2d" => ops::dropout2d(&ramp(&[4, 5, 2, 2]), 0.4, true, g),
        "dropout3d_unbatched" => ops::dropout3d(&ramp(&[5, 2, 1, 2]), 0.4, true, g),
        "alpha_dropout" => ops::alpha_dropout(&x, 0.3, true, g),
        "feature_alpha_dropout" => ops::feature_alpha_dropout(&ramp(&[4, 5, 3]), 0.3, true, g),
        "init_uniform" => filled(w, F32, |t| ops::init_uniform_(t, -1.0, 2.0, g)),
        "init_normal" => filled(w, F32, |t| ops::init_normal_(t, 1.0, 2.0, g)),
        "init_xavier_uniform" => filled(big, F32, |t| ops::init_xavier_uniform_(t, 1.5, g)),
        "init_xavier_normal" => filled(big, F32, |t| ops::init_xavier_normal_(t, 1.0, g)),
        "init_kaiming_uniform" => filled(big, F32, |t| ops::init_kaiming_uniform_(t, 0.0, "fan_out", "relu", g)),
        "init_kaiming_normal" => filled(big, F32, |t| ops::init_kaiming_normal_(t, 0.2, "fan_in", "leaky_relu", g)),
        "init_trunc_normal" => filled(&[30, 20], F32, |t| ops::init_trunc_normal_(t, 0.0, 1.0, -2.0, 2.0, g)),
        "init_trunc_normal_narrow" => filled(&[30, 20], F32, |t| ops::init_trunc_normal_(t, 0.0, 1.0, 0.1, 0.2, g)),
        "init_trunc_normal_tail" => filled(&[30, 20], F32, |t| ops::init_trunc_normal_(t, 0.0, 1.0, 2.0, 5.0, g)),
        "init_trunc_normal_bf16" => filled(&[300], BF16, |t| ops::init_trunc_normal_(t, 0.0, 1.0, -1.0, 1.0, g)),
        "init_orthogonal" => filled(w, F32, |t| ops::init_orthogonal_(t, 1.0, g)),
        "init_orthogonal_tall" => filled(&[6, 2, 2], F32, |t| ops::init_orthogonal_(t, 2.0, g)),
        "linear.weight" => Ok(layer(&[3, 4], 3)?.0),
        "linear.bias" => Ok(layer(&[3, 4], 3)?.1),
        "conv2d.weight" => Ok(layer(&[6, 1, 3, 3], 6)?.0),
        "conv2d.bias" => Ok(layer(&[6, 1, 3, 3], 6)?.1),
        "conv1d.bias" => Ok(layer(&[6, 2, 3], 6)?.1),
        "program" => {
            let (lw, lb) = layer(&[4, 5], 4)?;
            let (cw, cb) = layer(&[3, 2, 2, 2], 3)?;
            let ones = ops::ones(&[9], None, None)?;
            let parts = [
                lw,
                lb,
                cw,
                cb,
                ops::randn(&[3], g, None, None)?,
                ops::randn(&[17], g, None, None)?,
                ops::dropout(&ones, 0.5, true, g)?,
                ops::randperm(6, g, None, None)?,
                ops::rand(&[2], g, None, None)?,
                ops::randn(&[2], g, None, None)?,
            ];
            let flat: Result<Vec<Tensor>> = parts.iter().map(|t| ops::reshape(&cast(t, F32), &[-1])).collect();
            ops::cat(&flat?, 0)
        }
        _ => panic!("no call {name}"),
    }
}

/// Relative error allowed where arithmetic follows the draw; everything else is equal bit for bit.
fn tolerance(name: &str) -> f64 {
    match name {
        // The sum of squares of a factorisation in single precision.
        "init_orthogonal" | "init_orthogonal_tall" => 1e-5,
        _ => 0.0,
    }
}

#[test]
fn random_ops_equal_pytorch() {
    let file = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/rng.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&file).unwrap();
    let mut failures = vec![];
    let mut count = 0;
    for (key, want) in tensors.tensors() {
        let Some(name) = key.strip_prefix("op|").filter(|n| !n.ends_with("|next")) else { continue };
        if name == "init_sparse" {
            continue; // it draws from the default generator: tested below
        }
        count += 1;
        let g = Generator::new();
        g.manual_seed(42);
        let got = match call(name, &g) {
            Ok(t) => t,
            Err(e) => {
                failures.push(format!("{name}: {e:?}"));
                continue;
            }
        };
        let shape: Vec<i64> = want.shape().iter().map(|s| *s as i64).collect();
        let mut bytes = vec![0u8; got.numel() * got.dtype().size()];
        got.copy_to_host(&mut bytes).unwrap();
        if got.shape()[..] != shape[..] {
            failures.push(format!("{name}: shape {:?} instead of {shape:?}", got.shape()));
        } else if bytes != want.data() {
            let want = Tensor::from_bytes(want.data(), &shape, got.dtype(), got.device()).unwrap();
            let (a, b) = (got.to_f64_vec().unwrap(), want.to_f64_vec().unwrap());
            let close = a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= tolerance(name) * b.abs().max(0.1));
            if !close {
                failures.push(format!("{name}:\n  got  {a:?}\n  want {b:?}"));
            }
        }
        let next = ops::empty(&[1], Some(DType::I64), None).unwrap();
        ops::random_(&next, Some(&g)).unwrap();
        let want = tensors.tensor(&format!("{key}|next")).unwrap();
        if next.to_vec::<i64>().unwrap()[0].to_le_bytes() != want.data() {
            failures.push(format!("{name}: the generator stands elsewhere"));
        }
    }
    assert!(count > 50, "{count} calls");
    assert!(failures.is_empty(), "{} of {count} calls differ:\n{}", failures.len(), failures.join("\n"));

    // The default generator, seeded as a program does.
    rng::manual_seed(42);
    let w = filled(&[6, 5], DType::F32, |t| ops::init_sparse_(t, 0.4, 0.1, None)).unwrap();
    let want = tensors.tensor("op|init_sparse").unwrap();
    assert_eq!(bytemuck::cast_slice::<f32, u8>(&w.to_vec::<f32>().unwrap()), want.data());
}

#[test]
fn dropout_passes_gradients_where_it_kept() {
    let x = ramp(&[40]);
    taper::autograd::set_requires_grad(&x, true).unwrap();
    let g = Generator::new();
    let y = ops::dropout(&x, 0.25, true, Some(&g)).unwrap();
    let weight = ops::ones(&[40], None, None).unwrap();
    let grad = ops::grad(&[y.clone()], &[x.clone()], &[Some(weight)], Default::default(), false).unwrap();
    let (y, grad) = (y.to_f64_vec().unwrap(), grad[0].as_ref().unwrap().to_f64_vec().unwrap());
    for (y, g) in y.iter().zip(&grad) {
        assert_eq!(*g, if *y == 0.0 { 0.0 } else { 1.0 / 0.75f32 as f64 } as f32 as f64);
    }
    // Not training, or p = 0: the tensor itself.
    assert!(ops::dropout(&x, 0.5, false, None).unwrap().is_same(&x));
    assert!(ops::dropout(&x, 0.0, true, None).unwrap().is_same(&x));
    assert!(ops::dropout(&x, 1.0, true, None).unwrap().to_f64_vec().unwrap().iter().all(|v| *v == 0.0));
    // In place on a leaf that requires grad is an error; on a result it is recorded.
    assert!(ops::dropout_(&x, 0.5, true, None).is_err());
    let z = ops::mul_scalar(&x, Scalar::Int(2)).unwrap();
    ops::dropout_(&z, 0.5, true, Some(&g)).unwrap();
    assert!(taper::autograd::requires_grad(&z));
}

#[test]
fn fills_refuse_what_pytorch_refuses() {
    let x = empty(&[3], DType::F32);
    let i = empty(&[3], DType::I32);
    let message = |r: Result<()>| r.unwrap_err().message;
    assert_eq!(
        message(ops::uniform_(&x, 1.0, 0.0, None)),
        "uniform_ expects to return a [from, to) range, but found from=1 > to=0"
    );
    assert_eq!(message(ops::normal_(&x, 0.0, -1.0, None)), "normal expects std >= 0.0, but found std -1");
    assert_eq!(message(ops::uniform_(&i, 0.0, 1.0, None)), "\"check_uniform_bounds\" not implemented for 'Int'");
    assert_eq!(
        message(ops::random_from_(&i, 3, Some(3), None)),
        "random_ expects 'from' to be less than 'to', but got from=3 >= to=3"
    );
    assert!(ops::random_from_(&empty(&[3], DType::U8), 0, Some(257), None).is_err());
    assert!(ops::bernoulli_float_(&x, 1.5, None).is_err());
    assert!(ops::bernoulli(&ops::full(&[2], Scalar::Float(1.5), None, None).unwrap(), None).is_err());
    assert!(ops::exponential_(&x, 0.0, None).is_err());
    assert!(ops::multinomial(&ops::zeros(&[3], None, None).unwrap(), 1, false, None).is_err());
    assert!(ops::multinomial(&ramp(&[3]), 4, false, None).is_err());
    assert!(ops::randperm(-1, None, None, None).is_err());
    assert!(ops::randperm(300, None, Some(DType::U8), None).is_err());
    assert!(ops::dropout(&x, 1.5, true, None).is_err());
}
