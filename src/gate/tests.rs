use super::{autocast, before, front, OpId, Slot};
use crate::base::device::DeviceType;
use crate::watch::{self, cancel, count, profile};
use crate::{autograd, ops, DType, Device, ErrorKind, Scalar, Tensor};
use std::sync::Arc;

fn matrix(n: i64) -> Tensor {
    ops::full(&[n, n], Scalar::Float(0.5), Some(DType::F32), Some(Device::CPU)).unwrap()
}

#[test]
fn casts_happen_at_the_gate_and_in_the_region_alone() {
    let (a, w) = (matrix(3), matrix(3));
    autograd::set_requires_grad(&w, true).unwrap();
    let outside = front::mm(&a, &w).unwrap();
    assert_eq!(outside.dtype(), DType::F32);
    autocast::begin(DeviceType::Cpu, None, true, None).unwrap();
    let inside = front::mm(&a, &w).unwrap();
    assert_eq!(inside.dtype(), DType::BF16);
    assert_eq!(ops::mm(&a, &w).unwrap().dtype(), DType::F32, "an implementation casts nothing");
    assert_eq!(front::add(&inside, &a, Scalar::Int(1)).unwrap().dtype(), DType::F32);
    assert_eq!(front::cat(&[inside.clone(), a.clone()], 0).unwrap().dtype(), DType::F32);
    let loss = front::mse_loss(&inside, &ops::detach(&inside).unwrap(), "mean").unwrap();
    assert_eq!(loss.dtype(), DType::F32);
    autocast::begin(DeviceType::Cpu, None, false, None).unwrap();
    assert_eq!(front::mm(&a, &w).unwrap().dtype(), DType::F32);
    autocast::end().unwrap();
    assert_eq!(front::mm(&a, &w).unwrap().dtype(), DType::BF16);
    autocast::end().unwrap();
    assert_eq!(front::mm(&a, &w).unwrap().dtype(), DType::F32);
    assert_eq!(watch::word() & watch::AUTOCAST, 0);
    ops::backward(&[ops::sum(&inside, None).unwrap()], &[], Default::default(), None).unwrap();
    assert_eq!(autograd::meta::grad(&w).unwrap().dtype(), DType::F32);
    assert_eq!(autocast::end().unwrap_err().kind, ErrorKind::Runtime);
}

#[test]
fn a_parameter_is_cast_once_until_it_is_written() {
    let w = matrix(2);
    autograd::set_requires_grad(&w, true).unwrap();
    let cast = |w: &Tensor| {
        let mut w = w.clone();
        before(OpId::find("mm").unwrap(), &mut [Slot::One(&mut w)]).unwrap();
        w
    };
    autocast::begin(DeviceType::Cpu, Some(DType::F16), true, None).unwrap();
    let first = cast(&w);
    assert_eq!(first.dtype(), DType::F16);
    assert_eq!(cast(&w).id(), first.id());
    autograd::no_grad(|| ops::fill_scalar_(&w, Scalar::Float(2.0))).unwrap();
    let second = cast(&w);
    assert_ne!(second.id(), first.id());
    assert_eq!(ops::max(&ops::detach(&second).unwrap()).unwrap().item().unwrap().to_f64(), 2.0);
    assert!(autograd::no_grad(|| !autograd::requires_grad(&cast(&w))));
    assert!(autograd::requires_grad(&cast(&w)));
    autocast::end().unwrap();
    assert_eq!(cast(&w).id(), w.id());
}

#[test]
fn a_set_token_stops_ops_and_backward_passes() {
    let x = matrix(2);
    autograd::set_requires_grad(&x, true).unwrap();
    let y = front::sum(&front::mul(&x, &x).unwrap(), None).unwrap();
    let token = Arc::new(cancel::Token::default());
    assert!(cancel::attach(Some(token.clone())).is_none());
    front::exp(&x).unwrap();
    token.cancel();
    assert_eq!(front::exp(&x).unwrap_err().kind, ErrorKind::Cancelled);
    let stopped = ops::backward(&[y.clone()], &[], Default::default(), None).unwrap_err();
    assert_eq!(stopped.kind, ErrorKind::Cancelled);
    cancel::attach(None);
    front::exp(&x).unwrap();
}

#[test]
fn a_profile_has_ops_nodes_and_ranges() {
    let x = matrix(4);
    autograd::set_requires_grad(&x, true).unwrap();
    profile::start(profile::Options { shapes: true, ..Default::default() });
    profile::push("my \"range\"");
    let y = front::sum(&front::mm(&x, &x).unwrap(), None).unwrap();
    profile::pop();
    ops::backward(&[y], &[], Default::default(), None).unwrap();
    profile::stop().unwrap();
    front::exp(&x).unwrap();
    let events = profile::events().unwrap();
    for part in
        ["\"name\": \"mm\", \"kind\": \"op\", \"depth\": 1", "MmBackward0", "my \\\"range\\\"", "[4, 4], [4, 4]"]
    {
        assert!(events.contains(part), "{part} in {events}");
    }
    assert!(!events.contains("\"exp\""));
    assert!(profile::chrome_trace().unwrap().contains("\"ph\": \"X\""));
    let table = profile::table(0).unwrap();
    assert!(table.contains("mm ") && table.contains("Self time total"), "{table}");
    assert!(profile::stop().is_err());
}

#[test]
fn multiply_adds_are_counted_forwards_and_backwards() {
    let (a, w) = (
        ops::ones(&[2, 3, 8, 8], Some(DType::F32), None).unwrap(),
        ops::ones(&[6, 3, 3, 3], Some(DType::F32), None).unwrap(),
    );
    autograd::set_requires_grad(&w, true).unwrap();
    let begin = count::multiply_adds();
    let y = front::conv2d(&a, &w, None, &[1, 1], &[1, 1], &[1, 1], 1).unwrap();
    let forward = 2 * 6 * 8 * 8 * 3 * 3 * 3;
    assert_eq!(count::multiply_adds() - begin, forward);
    ops::backward(&[ops::sum(&y, None).unwrap()], &[], Default::default(), None).unwrap();
    assert_eq!(count::multiply_adds() - begin, 2 * forward);
    let begin = count::multiply_adds();
    front::matmul(&matrix(4), &matrix(4)).unwrap();
    assert_eq!(count::multiply_adds() - begin, 64);
}
