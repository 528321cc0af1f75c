//! One elementwise program over lists of tensors: compiled once, one fork-join over all elements.

use super::grain;
use super::interp::{data, Compiled, Input, Loc};
use crate::backend::cpu::threads::parallel::parallel_for;
use crate::backend::program::{ListProgram, Src};
use crate::backend::{check, memory, StepTensors};
use crate::base::error::{Error, Result};
use crate::base::scalar::Scalar;
use crate::base::sync::Mutex;
use smallvec::SmallVec;

/// The tensors of one parameter, as the program counts its inputs.
struct Item {
    at: SmallVec<[*mut u8; 5]>,
    /// Number of elements in the parameters before this one.
    start: usize,
    n: usize,
}
// SAFETY: parts of a parallel loop touch disjoint elements.
unsafe impl Send for Item {}
unsafe impl Sync for Item {}

/// Bytes of buffers that stay in the first-level cache beside the operands.
const CACHE: usize = 20 << 10;

/// Changes the tensors as the program says. All have one dtype; those of one parameter have one size.
pub fn run_list(list: &ListProgram, scalars: &[f64], tensors: &[StepTensors]) -> Result<()> {
    check::step(tensors, list.states())?;
    let Some(first) = tensors.first() else { return Ok(()) };
    let dtype = first.param.dtype;
    if !dtype.is_real_float() {
        return Err(Error::unsupported("optimizer_step", dtype, "cpu"));
    }
    let size = dtype.size();
    let program = list.typed(dtype);
    let inputs: SmallVec<[Input; 5]> =
        (0..list.inputs as usize).map(|operand| Input { dtype, operand, constant: None }).collect();
    let scalars: SmallVec<[Scalar; 12]> = scalars.iter().map(|v| Scalar::Float(*v)).collect();
    // An instruction writes a tensor at once unless a later one reads what was there.
    let direct: SmallVec<[Option<usize>; 4]> = list
        .outputs
        .iter()
        .map(|(input, reg)| {
            let reads = |args: &[Src; 3]| args.contains(&Src::Input(*input));
            let last = list.insts.iter().rposition(|(_, args)| reads(args)).unwrap_or(0);
            (*reg as usize >= last).then_some(*input as usize)
        })
        .collect();
    let mut code = Compiled::new(&program, &inputs, &scalars, &direct)?;
    for (o, (input, reg)) in list.outputs.iter().enumerate() {
        let to = Loc::Operand(*input as usize);
        if code.results[o] != to {
            code.store(program.reg_dtype(*reg), code.results[o], dtype, to);
        }
    }
    let mut items = memory::with_capacity(tensors.len())?;
    let mut total = 0;
    for t in tensors {
        let n = t.param.layout.numel();
        let views = [&t.param, &t.grad].into_iter().chain(t.state.iter().take(list.states()));
        items.push(Item { at: views.map(data).collect::<Result<_>>()?, start: total, n });
        total += n;
    }
    let block = code.block(CACHE);
    // Checked before any thread starts: memory for the buffers.
    drop(code.scratch(block)?);
    let failed: Mutex<Option<Error>> = Mutex::new(None);
    parallel_for(total, grain(code.cost).max(4 * block), |range| {
        let scratch = match code.scratch(block) {
            Ok(s) => s,
            Err(e) => {
                failed.lock().get_or_insert(e);
                return;
            }
        };
        let mut k = items.partition_point(|item| item.start + item.n <= range.start);
        let mut at = range.start;
        while at < range.end {
            let item = &items[k];
            let end = range.end.min(item.start + item.n);
            while at < end {
                let len = block.min(end - at);
                let operands: SmallVec<[*mut u8; 5]> =
                    item.at.iter().map(|p| p.wrapping_add((at - item.start) * size)).collect();
                // SAFETY: elements of this part, dense, which no other part touches; the buffers hold a block.
                unsafe { code.run(len, &operands, &scratch) };
                at += len;
            }
            k += 1;
        }
    });
    match failed.into_inner() {
        Some(e) => Err(e),
        None => Ok(()),
    }
}
