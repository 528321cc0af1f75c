//! Ops that compute out of place and write the result back, and when they need not.

use super::*;
use crate::autograd::view as tracking;
use crate::ensure;

/// Runs an op out of place and writes its result, with its history, into the tensor. `keeps_input`: the derivative
/// needs the values from before.
pub(super) fn write_back(a: &Tensor, keeps_input: bool, f: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<()> {
    let ghost = before(a, keeps_input)?;
    after(a, f(&ghost)?)
}
/// What the op computes from: an alias or a copy of the tensor, with its history. Apart from `write_back`, since that is
/// compiled once an op.
#[inline(never)]
fn before(a: &Tensor, keeps_input: bool) -> Result<Tensor> {
    tracking::check_inplace(a)?;
    let edge = if autograd::grad_enabled() { autograd::gradient_edge(a) } else { None };
    let ghost = if keeps_input && autograd::grad_enabled() { a.contiguous_copy()? } else { a.alias_same() };
    if edge.is_some() {
        autograd::meta::set_history(&ghost, edge);
    }
    Ok(ghost)
}
#[inline(never)]
fn after(a: &Tensor, out: Tensor) -> Result<()> {
    ensure!(
        out.shape() == a.shape(),
        Runtime,
        "output with shape {:?} doesn't match the broadcast shape {:?}",
        &a.shape()[..],
        &out.shape()[..]
    );
    a.copy_from(&out)?;
    a.bump_version();
    tracking::rebase(a, autograd::gradient_edge(&out).filter(|_| autograd::grad_enabled()))
}
/// Whether an in-place op on `a` may write into its memory at once: nothing is recorded, and what it reads lies elsewhere.
pub(super) fn writes_at_once(a: &Tensor, others: &[&Tensor]) -> bool {
    let apart = |t: &&Tensor| t.ndim() > 0 && !std::sync::Arc::ptr_eq(&t.storage(), &a.storage());
    a.ndim() > 0
        && a.layout().is_dense()
        && others.iter().all(apart)
        && !autograd::recording(&[a])
        && !autograd::recording(others)
}
