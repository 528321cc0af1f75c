//! Where a pass is, as named tensors.
//!
//! What was drawn and not read is written down, so that nothing has to be drawn again; generators that the program gave are the
//! program's to save.

use super::pass::{Batches, Reader};
use super::sampler::{Order, Rest};
use crate::backend::memory;
use crate::base::error::Result;
use crate::nn::StateDict;
use crate::rng::Generator;
use crate::{bail, ensure, DType, Tensor};

const SEED: &str = "base_seed";
const CONSUMED: &str = "consumed";
const PENDING: &str = "pending";
const SIZES: &str = "pending_sizes";
const CHUNK: &str = "order.indices";
const REST: &str = "order.rest";
const GENERATOR: &str = "order.generator";

fn put(out: &mut StateDict, name: &str, list: &[i64]) -> Result<()> {
    let t = Tensor::from_slice(list, &[list.len() as i64])?;
    memory::reserve_map(out, 1)?;
    out.insert(memory::text(name)?, t);
    Ok(())
}
fn get(from: &StateDict, name: &str) -> Result<Vec<i64>> {
    let Some(t) = from.get(name) else { bail!(Key, "the state of a pass lacks \"{name}\"") };
    ensure!(
        t.dtype() == DType::I64 && t.ndim() == 1,
        Value,
        "\"{name}\" of a pass's state must be a vector of int64, got {} of {} dimensions",
        t.dtype(),
        t.ndim()
    );
    t.to_i64_vec()
}
fn one(from: &StateDict, name: &str) -> Result<i64> {
    match get(from, name)?[..] {
        [v] => Ok(v),
        ref list => bail!(Value, "\"{name}\" of a pass's state must hold 1 number, got {}", list.len()),
    }
}

/// How [`Rest`] is written: its kind, three numbers, whether the indices have ended.
fn numbers(rest: &Rest, ended: bool) -> [i64; 5] {
    let part = |p: &Option<i64>| p.unwrap_or(-1);
    let (kind, a, b, c) = match rest {
        Rest::NotBegun => (0, 0, 0, 0),
        Rest::Nothing => (1, 0, 0, 0),
        Rest::Range { next, end } => (2, *next, *end, 0),
        Rest::Permutations { n, full, part: p } => (3, *n, *full, part(p)),
        Rest::Numbers { n, full, part: p } => (4, *n, *full, part(p)),
    };
    [kind, a, b, c, ended as i64]
}
fn rest(list: &[i64]) -> Result<(Rest, bool)> {
    let [kind, a, b, c, ended] = *list else {
        bail!(Value, "\"{REST}\" of a pass's state must hold 5 numbers, got {}", list.len())
    };
    let part = (c >= 0).then_some(c);
    let drawn = a > 0 && b >= 0;
    let rest = match kind {
        0 => Rest::NotBegun,
        1 => Rest::Nothing,
        2 if 0 <= a && a <= b => Rest::Range { next: a, end: b },
        3 if drawn && c <= a => Rest::Permutations { n: a, full: b, part },
        4 if drawn && c < 1 << 20 => Rest::Numbers { n: a, full: b, part },
        _ => bail!(Value, "\"{REST}\" of a pass's state is none that a pass writes: {list:?}"),
    };
    Ok((rest, ended != 0))
}

impl Batches {
    /// Where the pass is, for [`super::loader::Loader::resume`].
    pub fn state_dict(&self) -> Result<StateDict> {
        self.look(|r, seed| {
            let mut out = StateDict::default();
            put(&mut out, SEED, &[seed as i64])?;
            put(&mut out, CONSUMED, &[r.consumed as i64])?;
            let Some(order) = &r.order else { return Ok(out) };
            let (mut all, mut sizes) = (Vec::new(), Vec::new());
            let on_their_way = (r.next..r.sent).map(|k| &r.waiting[(k % r.waiting.len() as u64) as usize]);
            for list in on_their_way.chain(r.early.iter().rev()) {
                memory::reserve(&mut all, list.len())?;
                all.extend_from_slice(list);
                memory::push(&mut sizes, list.len() as i64)?;
            }
            put(&mut out, PENDING, &all)?;
            put(&mut out, SIZES, &sizes)?;
            put(&mut out, CHUNK, &order.chunk[order.at.min(order.chunk.len())..])?;
            put(&mut out, REST, &numbers(&order.rest, order.ended))?;
            if let Some(g) = &order.generator {
                let bytes = g.get_state();
                memory::reserve_map(&mut out, 1)?;
                out.insert(memory::text(GENERATOR)?, Tensor::from_slice(&bytes, &[bytes.len() as i64])?);
            }
            Ok(out)
        })
    }
}

/// A reader that goes on where a state says, and the pass's seed.
pub(super) fn read(order: Option<Order>, from: &StateDict) -> Result<(Reader, u64)> {
    let (seed, consumed) = (one(from, SEED)?, one(from, CONSUMED)?);
    ensure!(consumed >= 0, Value, "\"{CONSUMED}\" of a pass's state is negative: {consumed}");
    let Some(mut order) = order else { return Ok((Reader::new(None, Vec::new(), consumed as u64), seed as u64)) };
    let (all, sizes) = (get(from, PENDING)?, get(from, SIZES)?);
    let mut early = memory::with_capacity(sizes.len())?;
    let mut left = &all[..];
    for n in sizes {
        ensure!(
            n > 0 && n as u64 <= left.len() as u64,
            Value,
            "\"{SIZES}\" of a pass's state does not fit \"{PENDING}\", which has {} indices",
            all.len()
        );
        let (list, behind) = left.split_at(n as usize);
        early.push(memory::copied(list)?);
        left = behind;
    }
    ensure!(
        left.is_empty(),
        Value,
        "\"{SIZES}\" of a pass's state leaves {} indices of \"{PENDING}\" over",
        left.len()
    );
    early.reverse();
    (order.rest, order.ended) = rest(&get(from, REST)?)?;
    (order.chunk, order.at) = (get(from, CHUNK)?, 0);
    if matches!(order.rest, Rest::Permutations { .. } | Rest::Numbers { .. }) {
        order.generator = Some(generator(&order, from)?);
    }
    Ok((Reader::new(Some(order), early, consumed as u64), seed as u64))
}

/// The sampler's own generator, which the program gave, or one of the state.
fn generator(order: &Order, from: &StateDict) -> Result<Generator> {
    if let Some(g) = order.given_generator() {
        return Ok(g.clone());
    }
    let Some(t) = from.get(GENERATOR) else { bail!(Key, "the state of a pass lacks \"{GENERATOR}\"") };
    ensure!(t.dtype() == DType::U8, Value, "\"{GENERATOR}\" of a pass's state must be of uint8, got {}", t.dtype());
    let g = Generator::new();
    g.set_state(&t.to_vec::<u8>()?)?;
    Ok(g)
}
