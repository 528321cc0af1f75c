//! Attention's layers beyond what `layers_run.txt` tries: training, masks, copies, parts of a program's own.

use taper::nn::layers::{gelu, Place};
use taper::nn::layers_gen::*;
use taper::nn::{one, Layer, Module, Outputs};
use taper::optim::{AdamOptions, Optimizer};
use taper::{autograd, ops, rng, Result, Tensor};

fn numbers(shape: &[i64], salt: i64) -> Tensor {
    let n = shape.iter().product();
    let values: Vec<f32> = (0..n).map(|k: i64| ((k * 37 + 11 + salt * 13) % 101) as f32 / 50.0 - 1.0).collect();
    Tensor::from_slice(&values, shape).unwrap()
}
fn encoder_layer(dropout: f64, batch_first: bool) -> Module {
    let given = [
        ("d_model", 8i64.into()),
        ("nhead", 2i64.into()),
        ("dim_feedforward", 16i64.into()),
        ("dropout", dropout.into()),
        ("batch_first", batch_first.into()),
    ];
    TRANSFORMER_ENCODER_LAYER.build(TRANSFORMER_ENCODER_LAYER.with(&given), &[], Place::default()).unwrap()
}
fn stack(layer: &Module, n: i64) -> Module {
    let values = TRANSFORMER_ENCODER.with(&[("num_layers", n.into())]);
    TRANSFORMER_ENCODER.build_with(values, &[], &[("encoder_layer", layer.clone())], Place::default()).unwrap()
}
fn near(a: &Tensor, b: &Tensor) -> bool {
    let (a, b) = (a.to_vec::<f32>().unwrap(), b.to_vec::<f32>().unwrap());
    a.len() == b.len() && a.iter().zip(&b).all(|(x, y)| (x - y).abs() < 1e-5)
}

#[test]
fn ten_steps_of_training_are_pytorchs() {
    rng::manual_seed(2);
    let given = [
        ("d_model", 8i64.into()),
        ("nhead", 2i64.into()),
        ("num_encoder_layers", 1i64.into()),
        ("num_decoder_layers", 1i64.into()),
        ("dim_feedforward", 16i64.into()),
        ("dropout", 0.0.into()),
        ("batch_first", true.into()),
    ];
    let m = TRANSFORMER.build(TRANSFORMER.with(&given), &[], Place::default()).unwrap();
    let mut adam = Optimizer::new(m.parameters().unwrap(), AdamOptions { lr: 0.01, ..AdamOptions::adam() }).unwrap();
    let mask = ops::generate_square_subsequent_mask(3, None, None).unwrap();
    for (i, wanted) in include_str!("fixtures/transformer.txt").lines().enumerate() {
        let (x, y) = (numbers(&[2, 4, 8], i as i64), numbers(&[2, 3, 8], i as i64 + 1));
        m.zero_grad(true).unwrap();
        let out = m.forward_list(&[Some(x), Some(y.clone()), None, Some(mask.clone())]).unwrap();
        let loss = ops::mse_loss(out[0].as_ref().unwrap(), &y, "mean").unwrap();
        ops::backward(std::slice::from_ref(&loss), &[], autograd::engine::Options::default(), None).unwrap();
        adam.step().unwrap();
        let (loss, wanted) = (loss.item().unwrap().to_f64(), wanted.parse::<f64>().unwrap());
        assert!((loss - wanted).abs() < 1e-4, "step {i}: {loss}, PyTorch's is {wanted}");
    }
}

#[test]
fn the_second_mask_may_come_without_the_first() {
    rng::manual_seed(0);
    let m = MULTIHEAD_ATTENTION.with(&[("embed_dim", 8i64.into()), ("num_heads", 2i64.into())]);
    let m = MULTIHEAD_ATTENTION.build(m, &[], Place::default()).unwrap();
    let x = numbers(&[3, 2, 8], 0);
    let mask = ops::generate_square_subsequent_mask(3, None, None).unwrap();
    let given = [Some(x.clone()), Some(x.clone()), Some(x), None, Some(mask)];
    let out = m.forward_with(&given, &[true.into(), false.into(), false.into()]).unwrap();
    let weights = out[1].as_ref().unwrap();
    assert_eq!(weights.shape()[..], [2, 2, 3, 3]);
    assert_eq!(weights.to_vec::<f32>().unwrap()[1..3], [0.0, 0.0]);
    let none = m.forward_with(&given, &[false.into(), true.into(), true.into()]).unwrap();
    assert!(none[1].is_none() && near(out[0].as_ref().unwrap(), none[0].as_ref().unwrap()));
    let text = |r: Result<Outputs>| r.unwrap_err().to_string();
    let few = text(m.forward_list(&given[..2]));
    assert!(few.contains("MultiheadAttention.forward() takes 5 inputs"), "{few}");
    let hint = text(m.forward_with(&given[..3], &[true.into(), true.into(), true.into()]));
    assert!(hint.contains("Need attn_mask if specifying the is_causal hint."), "{hint}");
}

#[test]
fn padding_is_zero_in_evaluation_without_gradients() {
    let m = stack(&encoder_layer(0.1, true), 2);
    m.eval().unwrap();
    let x = numbers(&[2, 4, 8], 0);
    let padding = ops::gt_scalar(&numbers(&[2, 4], 0), 2.into()).unwrap();
    ops::fill_scalar_(&ops::select(&ops::select(&padding, 0, 0).unwrap(), 0, 3).unwrap(), true.into()).unwrap();
    let run = || m.forward_list(&[Some(x.clone()), None, Some(padding.clone())]).unwrap()[0].clone().unwrap();
    let last = |t: &Tensor| t.to_vec::<f32>().unwrap()[24..32].to_vec();
    let (plain, zeroed) = (run(), autograd::no_grad(run));
    assert!(last(&plain).iter().all(|v| *v != 0.0) && last(&zeroed) == [0.0; 8]);
    let rest = |t: &Tensor| ops::narrow(t, 0, 1, 1).unwrap();
    assert!(near(&rest(&plain), &rest(&zeroed)));
}

#[test]
fn copies_have_tensors_of_their_own() {
    let layer = encoder_layer(0.0, false);
    let m = stack(&layer, 2);
    let first = m.get_parameter("layers.0.linear1.weight").unwrap();
    let own = layer.get_parameter("linear1.weight").unwrap();
    assert!(near(&first, &own) && !first.is_same(&own));
    autograd::no_grad(|| ops::zero_(&first)).unwrap();
    assert!(!near(&first, &m.get_parameter("layers.1.linear1.weight").unwrap()));
    m.eval().unwrap();
    m.requires_grad_(false).unwrap();
    let copy = m.deepcopy().unwrap();
    assert_eq!(copy.to_string(), m.to_string());
    assert!(!copy.get_submodule("layers.0").unwrap().is_training());
    assert!(copy.parameters().unwrap().iter().all(|p| !autograd::requires_grad(p)));
    // What is shared stays shared.
    let both = taper::nn::layers::sequential(&[layer.clone(), layer]).unwrap().deepcopy().unwrap();
    assert!(both.get_submodule("0").unwrap().is_same(&both.get_submodule("1").unwrap()));
}

struct Twice;
impl Layer for Twice {
    fn forward(&self, _: &Module, inputs: &[Option<Tensor>]) -> Result<Outputs> {
        ops::mul_scalar(inputs[0].as_ref().unwrap(), 2.into()).map(one)
    }
}

#[test]
fn parts_may_be_a_programs_own() {
    let x = numbers(&[4, 2, 8], 0);
    let (layer, named) = (encoder_layer(0.0, false), encoder_layer(0.0, false));
    named.load_state_dict(&layer.state_dict().unwrap(), true).unwrap();
    layer.register_module("activation", Some(gelu("none").unwrap())).unwrap();
    assert!(layer.to_string().contains("(activation): GELU(approximate='none')"));
    assert!(!near(&layer.call(&x).unwrap(), &named.call(&x).unwrap()));
    let own = Module::new("Twice", Twice);
    let refused = own.deepcopy().err().unwrap().to_string();
    assert!(refused.contains("Twice cannot be copied"), "{refused}");
    let m = stack(&layer, 1);
    m.get_submodule("layers").unwrap().register_module("0", Some(own)).unwrap();
    assert!(near(&m.call(&x).unwrap(), &ops::mul_scalar(&x, 2.into()).unwrap()));
}
