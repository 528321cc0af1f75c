//! The gradient that each sample of a batch would give alone.

use super::*;
use crate::autograd::engine::Options;
use crate::autograd::{no_grad, requires_grad, GradMode};
use crate::ensure;

/// For each parameter a tensor [n, *parameter] with the gradients of `loss(sample)`, where sample i is element i of each
/// tensor of the batch along its first dimension (PyTorch's `vmap(grad(loss))` over samples). The function is called once for
/// each sample; parameters that it does not use have zeros. No `.grad` is touched.
pub fn per_sample_grads(
    loss: &dyn Fn(&[Tensor]) -> Result<Tensor>,
    parameters: &[Tensor],
    batch: &[Tensor],
) -> Result<Vec<Tensor>> {
    const OP: &str = "per_sample_grads";
    ensure!(!parameters.is_empty(), Value, "{OP}: expected at least one parameter, got none");
    ensure!(!batch.is_empty(), Value, "{OP}: expected at least one tensor of samples, got none");
    for (i, p) in parameters.iter().enumerate() {
        ensure!(requires_grad(p), Runtime, "{OP}: parameter {i} does not require grad");
    }
    let mut n = 0;
    for (i, t) in batch.iter().enumerate() {
        ensure!(t.ndim() > 0, Value, "{OP}: batch[{i}] has no dimension of samples, it is 0-dim");
        let size = t.size(0)?;
        ensure!(
            i == 0 || size == n,
            Value,
            "{OP}: expected all tensors of the batch to have the same number of samples, got {n} and {size} (batch[{i}])"
        );
        n = size;
    }
    let results = parameters
        .iter()
        .map(|p| {
            let mut shape = p.shape().to_vec();
            shape.insert(0, n);
            zeros(&shape, Some(p.dtype()), Some(p.device()))
        })
        .collect::<Result<Vec<_>>>()?;
    for i in 0..n {
        let sample = batch.iter().map(|t| select(t, 0, i)).collect::<Result<Vec<_>>>()?;
        let grads = {
            let _recorded = GradMode::set(true);
            let value = loss(&sample)?;
            ensure!(
                value.ndim() == 0,
                Runtime,
                "{OP}: Expected the function to return a scalar tensor, got tensor with {} dims.",
                value.ndim()
            );
            let options = Options { retain_graph: false, create_graph: false };
            grad(&[value], parameters, &[], options, true)?
        };
        no_grad(|| {
            for (result, g) in results.iter().zip(grads) {
                if let Some(g) = g {
                    copy_(&select(result, 0, i)?, &g)?;
                }
            }
            Ok(())
        })?;
    }
    Ok(results)
}
