//! Factorisations that are unique up to signs: multiplied together again, and their derivatives through functions that signs do not
//! change.

use taper::ops::{self, GradCheck};
use taper::{autograd, DType, Device, ErrorKind, Result, Scalar, Tensor};

fn numbers(shape: &[i64], seed: usize) -> Tensor {
    let n: i64 = shape.iter().product();
    let v: Vec<f64> =
        (0..n as usize).map(|i| ((i * i * 13 + i * 37 + 11 * seed + 5) % 101) as f64 / 25.4 - 2.0).collect();
    Tensor::from_slice(&v, shape).unwrap()
}
fn t(a: &Tensor) -> Result<Tensor> {
    ops::transpose(a, -2, -1)
}
fn symmetric(a: &Tensor) -> Result<Tensor> {
    ops::add(a, &t(a)?, Scalar::Int(1))
}
#[track_caller]
fn near(a: &Tensor, b: &Tensor) {
    assert_eq!(a.shape(), b.shape());
    let (a, b) = (a.to_f64_vec().unwrap(), b.to_f64_vec().unwrap());
    for (x, y) in a.iter().zip(&b) {
        assert!((x - y).abs() < 1e-10, "{a:?} instead of {b:?}");
    }
}
fn scaled(u: &Tensor, s: &Tensor, v: &Tensor) -> Result<Tensor> {
    ops::matmul(&ops::mul(u, &ops::unsqueeze(s, -2)?)?, v)
}
fn check(f: &dyn Fn(&[Tensor]) -> Result<Vec<Tensor>>, a: &Tensor) {
    autograd::set_requires_grad(a, true).unwrap();
    let inputs = std::slice::from_ref(a);
    ops::gradcheck(f, inputs, GradCheck::default()).unwrap();
    ops::gradgradcheck(f, inputs, GradCheck { atol: 1e-4, ..GradCheck::default() }).unwrap();
}
/// Numbers that tell vectors apart but not their signs: squares of a projection.
fn squares(v: &Tensor) -> Result<Tensor> {
    let x = numbers(&[v.size(-2)?, 1], 5);
    ops::square(&ops::matmul(&t(v)?, &x)?)
}

#[test]
fn eigenvectors_give_the_matrix_again() {
    for shape in [vec![1, 1], vec![4, 4], vec![2, 3, 3], vec![33, 33], vec![0, 2, 2]] {
        let a = symmetric(&numbers(&shape, 1)).unwrap();
        let (w, v) = ops::linalg_eigh(&a, "U").unwrap();
        near(&scaled(&v, &w, &t(&v).unwrap()).unwrap(), &a);
        near(&ops::linalg_eigvalsh(&a, "L").unwrap(), &w);
    }
}
#[test]
fn singular_vectors_give_the_matrix_again() {
    for shape in [vec![3, 3], vec![5, 2], vec![2, 5], vec![2, 3, 4], vec![20, 33], vec![0, 2, 3]] {
        let a = numbers(&shape, 2);
        let (m, n) = (shape[shape.len() - 2], shape[shape.len() - 1]);
        let k = m.min(n);
        let (u, s, vh) = ops::linalg_svd(&a, false, None).unwrap();
        near(&scaled(&u, &s, &vh).unwrap(), &a);
        let (u, s, vh) = ops::linalg_svd(&a, true, None).unwrap();
        assert_eq!((u.size(-1).unwrap(), vh.size(-2).unwrap()), (m, n));
        let some = |t: &Tensor, d: i64| ops::narrow(t, d, 0, k).unwrap();
        near(&scaled(&some(&u, -1), &s, &some(&vh, -2)).unwrap(), &a);
        let one = ops::expand(&ops::eye(m, Some(DType::F64), None).unwrap(), &u.shape()).unwrap();
        near(&ops::matmul(&u, &t(&u).unwrap()).unwrap(), &one);
        let (u, s, v) = ops::svd(&a, true, true).unwrap();
        near(&scaled(&u, &s, &t(&v).unwrap()).unwrap(), &a);
    }
}
#[test]
fn derivatives_of_eigenvectors() {
    let f = |x: &[Tensor]| {
        let (w, v) = ops::linalg_eigh(&symmetric(&x[0])?, "L")?;
        Ok(vec![w, squares(&v)?])
    };
    check(&f, &numbers(&[3, 3], 1));
    check(&f, &numbers(&[2, 2, 2], 3));
    check(&|x| Ok(vec![squares(&ops::linalg_eigh(&symmetric(&x[0])?, "L")?.1)?]), &numbers(&[3, 3], 4));
}
#[test]
fn derivatives_of_singular_vectors() {
    for shape in [vec![3, 3], vec![4, 2], vec![2, 4], vec![2, 3, 2]] {
        let f = |x: &[Tensor]| {
            let (u, s, vh) = ops::linalg_svd(&x[0], false, None)?;
            // u and v change their signs together.
            let p = ops::matmul(&t(&u)?, &numbers(&[u.size(-2)?, 1], 6))?;
            let q = ops::matmul(&vh, &numbers(&[vh.size(-1)?, 1], 7))?;
            Ok(vec![s, ops::mul(&p, &q)?, squares(&u)?, squares(&t(&vh)?)?])
        };
        check(&f, &numbers(&shape, 1));
    }
    check(&|x| Ok(vec![squares(&ops::linalg_svd(&x[0], true, None)?.0)?]), &numbers(&[2, 3], 2));
}
#[test]
fn a_determinant_of_zero_has_a_gradient() {
    let a = Tensor::from_slice(&[1.0, 2.0, 3.0, 2.0, 4.0, 6.0, 1.0, 0.0, 1.0], &[3, 3]).unwrap();
    autograd::set_requires_grad(&a, true).unwrap();
    let f = |x: &[Tensor]| Ok(vec![ops::linalg_det(&x[0])?]);
    ops::gradcheck(&f, std::slice::from_ref(&a), GradCheck::default()).unwrap();
}
#[test]
fn errors_say_which_matrix_is_at_fault() {
    let a = Tensor::from_slice(&[1.0, 0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 4.0], &[2, 2, 2]).unwrap();
    let e = ops::linalg_inv(&a).unwrap_err();
    assert_eq!(e.kind, ErrorKind::Runtime);
    assert_eq!(e.message, "linalg.inv: (Batch element 1): The diagonal element 2 is zero, the inversion could not be completed because the input matrix is singular.");
    let nan = Tensor::from_slice(&[f64::NAN, 0.0, 0.0, 1.0], &[2, 2]).unwrap();
    let e = ops::linalg_svd(&nan, true, None).unwrap_err();
    assert_eq!(
        e.message,
        "linalg.svd: The algorithm failed to converge because the input matrix contained non-finite values."
    );
    assert!(ops::linalg_eigh(&nan, "L")
        .unwrap_err()
        .message
        .starts_with("linalg.eigh: The algorithm failed to converge"));
}
#[test]
fn strided_and_half_precision_matrices() {
    let a = symmetric(&numbers(&[3, 3], 1)).unwrap();
    let wide = ops::stack(&[a.clone(), a.clone()], 2).unwrap();
    let strided = ops::select(&wide, 2, 1).unwrap();
    near(&ops::linalg_inv(&strided).unwrap(), &ops::linalg_inv(&a).unwrap());
    let half = ops::cast(&a, DType::F16).unwrap();
    assert_eq!(ops::linalg_inv(&half).unwrap_err().kind, ErrorKind::NotImplemented);
    assert_eq!(ops::linalg_det(&a).unwrap().device(), Device::CPU);
}
