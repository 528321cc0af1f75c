//! The backward engine: runs nodes in reverse order of their making, on the calling thread, without recursion.

use super::algebra::{algebra, Algebra};
use super::meta;
use super::mode::{self, Anomaly, GradMode};
use super::node::{Ctx, Edge, Grads, Hook, Kind, Node, OutputMeta};
use crate::backend::memory;
use crate::base::error::Result;
use crate::base::sync::Mutex;
use crate::tensor::Tensor;
use crate::watch;
use crate::{bail, ensure};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::collections::BinaryHeap;
use std::sync::Arc;

type Key = *const Node;

struct State {
    node: Arc<Node>,
    /// Edges into this node that have not delivered yet.
    pending: usize,
    grads: Grads,
    /// Whether the node leads to something that was asked for.
    run: bool,
    /// Numbers of the captures taken from this node's gradients.
    captures: SmallVec<[(usize, usize); 1]>,
}

/// Options of one backward pass.
#[derive(Clone, Copy, Default)]
pub struct Options {
    pub retain_graph: bool,
    pub create_graph: bool,
}

fn root_edges(outputs: &[Tensor], grads: &[Option<Tensor>]) -> Result<Vec<(Edge, Tensor)>> {
    ensure!(!outputs.is_empty(), Runtime, "backward: at least one tensor is needed");
    ensure!(
        grads.is_empty() || grads.len() == outputs.len(),
        Runtime,
        "got {} tensors and {} gradients",
        outputs.len(),
        grads.len()
    );
    let alg = algebra()?;
    let mut roots = memory::with_capacity(outputs.len())?;
    for (i, out) in outputs.iter().enumerate() {
        let Some(edge) = meta::gradient_edge(out) else {
            bail!(Runtime, "element {i} of tensors does not require grad and does not have a grad_fn");
        };
        let g = match grads.get(i).and_then(Option::as_ref) {
            Some(g) => {
                let (gs, os) = (g.shape(), out.shape());
                ensure!(
                    gs == os,
                    Runtime,
                    "Mismatch in shape: grad_output[{i}] has a shape of torch.Size({:?}) and output[{i}] has a shape of torch.Size({:?}).",
                    &gs[..],
                    &os[..]
                );
                g.clone()
            }
            None => {
                ensure!(out.numel() == 1, Runtime, "grad can be implicitly created only for scalar outputs");
                ensure!(
                    !out.dtype().is_complex(),
                    Runtime,
                    "grad can be implicitly created only for real scalar outputs but got torch.{}",
                    out.dtype()
                );
                alg.ones(&OutputMeta::of(out))?
            }
        };
        roots.push((edge, g));
    }
    Ok(roots)
}

/// Computes gradients of `outputs` and adds them to the `.grad` of the leaves (or of `inputs` only, when given).
pub fn backward(
    outputs: &[Tensor],
    grads: &[Option<Tensor>],
    options: Options,
    inputs: Option<&[Tensor]>,
) -> Result<()> {
    let roots = root_edges(outputs, grads)?;
    match inputs {
        None => run(roots, options, None).map(|_| ()),
        Some(inputs) => {
            ensure!(!inputs.is_empty(), Runtime, "`inputs` argument to `backward()` cannot be empty.");
            let edges = input_edges(inputs)?;
            let found = run(roots, options, Some(&edges))?;
            for (t, g) in inputs.iter().zip(found) {
                if let Some(g) = g {
                    let _turn = meta::hook_turn(t);
                    accumulate(t, g, options.create_graph)?;
                    run_post_accumulate_hooks(t)?;
                }
            }
            Ok(())
        }
    }
}

/// Gradients of `outputs` with respect to `inputs`, without touching any `.grad`; None where an input is not used
/// (an error unless `allow_unused`).
pub fn grad(
    outputs: &[Tensor],
    inputs: &[Tensor],
    grads: &[Option<Tensor>],
    options: Options,
    allow_unused: bool,
) -> Result<Vec<Option<Tensor>>> {
    let roots = root_edges(outputs, grads)?;
    let edges = input_edges(inputs)?;
    let found = run(roots, options, Some(&edges))?;
    if !allow_unused {
        if let Some(i) = found.iter().position(Option::is_none) {
            bail!(Runtime, "One of the differentiated Tensors appears to not have been used in the graph. Set allow_unused=True if this is the desired behavior. (input {i})");
        }
    }
    Ok(found)
}

fn run_post_accumulate_hooks(leaf: &Tensor) -> Result<()> {
    let hooks = meta::peek(leaf).map(|m| m.lock().post_accumulate.clone()).unwrap_or_default();
    for h in hooks {
        ensure!((h.call)(leaf)?.is_none(), Runtime, "Tensor post accumulate grad hooks should return None.");
    }
    Ok(())
}

/// A hook's gradient must be like the one that it replaces.
fn check_replaced(old: &Tensor, new: &Tensor) -> Result<()> {
    let (a, b) = (old.body(), new.body());
    ensure!(
        a.dtype() == b.dtype() && a.device() == b.device(),
        Runtime,
        "hook has changed the type of value (was torch.{}Tensor on {} got torch.{}Tensor on {})",
        a.dtype().scalar_name(),
        a.device(),
        b.dtype().scalar_name(),
        b.device()
    );
    ensure!(
        a.shape() == b.shape(),
        Runtime,
        "hook has changed the size of value (was {:?} got {:?})",
        a.shape(),
        b.shape()
    );
    Ok(())
}
/// Runs tensor hooks on a gradient.
fn run_hooks(list: &Mutex<Vec<Hook>>, slot: &mut Option<Tensor>) -> Result<()> {
    // Copied, since a hook may add or remove hooks.
    let list = list.lock().clone();
    for h in list {
        let Some(g) = slot.clone() else { return Ok(()) };
        if let Some(new) = (h.call)(&g)? {
            check_replaced(&g, &new)?;
            *slot = Some(new);
        }
    }
    Ok(())
}
/// Takes the gradients of a node's hook.
fn replace_all(slots: &mut Grads, new: Vec<Option<Tensor>>) -> Result<()> {
    ensure!(
        new.len() == slots.len(),
        Runtime,
        "hook has returned an incorrect number of values (got {}, but expected {})",
        new.len(),
        slots.len()
    );
    for (old, new) in slots.iter().zip(&new) {
        match (old, new) {
            (Some(old), Some(new)) => check_replaced(old, new)?,
            (None, Some(_)) => bail!(Runtime, "can't replace a None gradient with a non-None value"),
            (_, None) => {}
        }
    }
    *slots = new.into_iter().collect();
    Ok(())
}

fn input_edges(inputs: &[Tensor]) -> Result<Vec<Edge>> {
    inputs
        .iter()
        .map(|t| match meta::gradient_edge(t) {
            Some(e) => Ok(e),
            None => bail!(Runtime, "One of the differentiated Tensors does not require grad"),
        })
        .collect()
}

/// All nodes reachable from the roots with the number of edges into each; post-order in `order`.
fn discover(roots: &[(Edge, Tensor)], order: Option<&mut Vec<Key>>) -> Result<FxHashMap<Key, State>> {
    let mut states: FxHashMap<Key, State> = FxHashMap::default();
    // Room for most graphs of a few ops at once; more comes when it is needed, and so does the error of too little.
    let _ = memory::reserve::fallibly(|| states.try_reserve(14));
    fn enter(states: &mut FxHashMap<Key, State>, node: &Arc<Node>, by_edge: bool) -> Result<bool> {
        let mut fresh = false;
        memory::reserve_hash_map(states)?;
        let state = states.entry(Arc::as_ptr(node)).or_insert_with(|| {
            fresh = true;
            let mut grads = Grads::new();
            grads.resize(node.outputs.len(), None);
            State { node: node.clone(), pending: 0, grads, run: true, captures: SmallVec::new() }
        });
        state.pending += by_edge as usize;
        Ok(fresh)
    }
    let mut order = order;
    let mut stack: Vec<(Arc<Node>, usize)> = Vec::new();
    for (edge, _) in roots {
        if enter(&mut states, &edge.node, false)? {
            memory::push(&mut stack, (edge.node.clone(), 0))?;
        }
        while let Some((node, next)) = stack.last_mut() {
            if *next == node.edges.len() {
                if let Some(order) = &mut order {
                    memory::push(order, Arc::as_ptr(node))?;
                }
                stack.pop();
                continue;
            }
            let edge = &node.edges[*next];
            *next += 1;
            if let Some(e) = edge {
                if enter(&mut states, &e.node, true)? {
                    let deeper = e.node.clone();
                    memory::push(&mut stack, (deeper, 0))?;
                }
            }
        }
    }
    Ok(states)
}

fn deliver(alg: &dyn Algebra, slot: &mut Option<Tensor>, g: Tensor, create_graph: bool) -> Result<()> {
    *slot = Some(match slot.take() {
        None => g,
        Some(old) => {
            let (old_ok, same) = {
                let (o, n) = (old.body(), g.body());
                (o.layout().is_contiguous(), o.dtype() == n.dtype() && o.shape() == n.shape())
            };
            if !create_graph && same && old_ok && old.is_unique() && !old.needs_grad_flag() {
                alg.add_into(&old, &g)?;
                old
            } else {
                alg.add(&old, &g)?
            }
        }
    });
    Ok(())
}

fn run(roots: Vec<(Edge, Tensor)>, options: Options, inputs: Option<&[Edge]>) -> Result<Vec<Option<Tensor>>> {
    let alg = algebra()?;
    crate::backend::stack::check()?;
    let _mode = GradMode::set(options.create_graph);
    let mut found: Vec<Option<Tensor>> = memory::filled(inputs.map_or(0, <[Edge]>::len), None)?;
    let mut order = Vec::new();
    let mut states = discover(&roots, inputs.map(|_| &mut order))?;
    if let Some(inputs) = inputs {
        for (i, e) in inputs.iter().enumerate() {
            if let Some(s) = states.get_mut(&Arc::as_ptr(&e.node)) {
                s.captures.push((e.nr, i));
            }
        }
        for key in &order {
            let s = &states[key];
            let leads = s.node.edges.iter().flatten().any(|e| {
                let c = &states[&Arc::as_ptr(&e.node)];
                c.run || !c.captures.is_empty()
            });
            states.get_mut(key).expect("discovered").run = leads;
        }
    }
    // Roots may share a node: every root delivers before anything runs.
    for (edge, g) in roots {
        let s = states.get_mut(&Arc::as_ptr(&edge.node)).expect("discovered");
        deliver(alg, &mut s.grads[edge.nr], g, options.create_graph)?;
    }
    let mut first = memory::with_capacity(states.len())?;
    first.extend(states.iter().filter(|(_, s)| s.pending == 0).map(|(k, s)| (s.node.seq, *k)));
    let mut ready: BinaryHeap<(u64, Key)> = first.into();
    while let Some((_, key)) = ready.pop() {
        memory::check()?;
        let s = states.remove(&key).expect("a node runs once");
        let node = s.node;
        let mut results = execute(alg, &node, s.grads, s.run, &s.captures, &mut found, options)?;
        for (i, edge) in node.edges.iter().enumerate() {
            let Some(e) = edge else { continue };
            let next = states.get_mut(&Arc::as_ptr(&e.node)).expect("discovered");
            if let Some(g) = results.get_mut(i).and_then(Option::take) {
                if next.run || !next.captures.is_empty() {
                    let g = fit(alg, &node, i, g, e)?;
                    deliver(alg, &mut next.grads[e.nr], g, options.create_graph)?;
                }
            }
            next.pending -= 1;
            if next.pending == 0 {
                ready.push((next.node.seq, Arc::as_ptr(&e.node)));
            }
        }
    }
    Ok(found)
}

/// Brings a gradient to the shape and dtype of the forward value it belongs to: sums over broadcast dimensions.
fn fit(alg: &dyn Algebra, from: &Node, i: usize, g: Tensor, edge: &Edge) -> Result<Tensor> {
    let as_it_is = {
        let b = g.body();
        let like = |shape: &[i64], dtype, device| b.shape() == shape && b.dtype() == dtype && b.device() == device;
        match &edge.node.kind {
            Kind::Accumulate(leaf) => {
                let l = leaf.body();
                like(l.shape(), l.dtype(), l.device())
            }
            _ => {
                let want = &edge.node.outputs[edge.nr];
                like(&want.shape, want.dtype, want.device)
            }
        }
    };
    if as_it_is {
        return Ok(g);
    }
    let live;
    let want = match &edge.node.kind {
        Kind::Accumulate(leaf) => {
            live = OutputMeta::of(leaf);
            &live
        }
        _ => &edge.node.outputs[edge.nr],
    };
    let mut g = g;
    if g.body().shape() != &want.shape[..] {
        let have = g.shape();
        let fits = have.len() >= want.shape.len()
            && want.shape.iter().rev().zip(have.iter().rev()).all(|(w, h)| w == h || *w == 1);
        ensure!(
            fits,
            Runtime,
            "Function {} returned an invalid gradient at index {i} - got {:?} but expected shape compatible with {:?}",
            from.name,
            &have[..],
            &want.shape[..]
        );
        g = alg.sum_to(&g, &want.shape)?;
    }
    if g.dtype() != want.dtype {
        g = alg.cast(&g, want.dtype)?;
    }
    if g.device() != want.device && want.shape.is_empty() {
        // A number on the CPU may meet tensors of any device; its gradient goes back to where it is.
        g = alg.to_device(&g, want.device)?;
    }
    ensure!(
        g.device() == want.device,
        Runtime,
        "Function {} returned an invalid gradient at index {i} - expected device {} but got {}",
        from.name,
        want.device,
        g.device()
    );
    Ok(g)
}

/// A node's function while something looks on.
#[cold]
fn watched(word: u32, node: &Node, f: impl FnOnce() -> Result<Grads>) -> Result<Grads> {
    if word & watch::CANCEL != 0 {
        watch::cancel::check()?;
    }
    if word & watch::INTERRUPT != 0 {
        watch::cancel::ask()?;
    }
    let _span = (word & watch::PROFILE != 0).then(|| watch::profile::node(&node.name));
    f()
}

fn execute(
    alg: &dyn Algebra,
    node: &Arc<Node>,
    mut grads: Grads,
    run: bool,
    captures: &[(usize, usize)],
    found: &mut [Option<Tensor>],
    options: Options,
) -> Result<Grads> {
    let hooks = node.tensor_hooks.copied();
    for (nr, list) in hooks {
        run_hooks(&list, &mut grads[nr])?;
    }
    if let Kind::Accumulate(leaf) = &node.kind {
        let list = meta::peek(leaf).and_then(|m| m.lock().hooks.clone());
        if let Some(list) = list {
            run_hooks(&list, &mut grads[0])?;
        }
    }
    let retain = node.retain.copied();
    for (nr, weak) in retain {
        if let (Some(t), Some(g)) = (weak.upgrade(), &grads[nr]) {
            accumulate(&t, alg.clone(g)?, options.create_graph)?;
        }
    }
    for &(nr, i) in captures {
        found[i] = grads[nr].clone();
    }
    if !run || grads.iter().all(Option::is_none) {
        return Ok(Grads::new());
    }
    let pre = node.pre_hooks.copied();
    for (_, hook) in pre {
        if let Some(new) = hook(&grads, &[])? {
            replace_all(&mut grads, new)?;
        }
    }
    if let Kind::Accumulate(leaf) = &node.kind {
        let _turn = meta::hook_turn(leaf);
        if let Some(g) = grads[0].take() {
            accumulate(leaf, g, options.create_graph)?;
        }
        run_post_accumulate_hooks(leaf)?;
        return Ok(Grads::new());
    }
    let f = node.backward_fn()?.expect("a function node");
    let ctx = Ctx { node, create_graph: options.create_graph };
    let word = watch::word();
    let mut results =
        if word & watch::NODES == 0 { f(&ctx, &grads)? } else { watched(word, node, || f(&ctx, &grads))? };
    drop(f);
    if mode::anomaly() == Anomaly::CheckNan {
        for (i, g) in results.iter().enumerate() {
            if let Some(g) = g {
                ensure!(!alg.has_nan(g)?, Runtime, "Function '{}' returned nan values in its {i}th output.", node.name);
            }
        }
    }
    if !options.retain_graph {
        node.release();
    }
    let post = node.post_hooks.copied();
    for (_, hook) in post {
        if let Some(new) = hook(&results, &grads)? {
            replace_all(&mut results, new)?;
        }
    }
    Ok(results)
}

/// Adds `g` to a tensor's `.grad`: the first one is moved in where nobody else holds it, later ones added in place.
pub fn accumulate(t: &Tensor, g: Tensor, create_graph: bool) -> Result<()> {
    let alg = algebra()?;
    let _turn = meta::grad_turn(t);
    match meta::grad(t) {
        None => {
            let movable = g.is_unique() && g.is_contiguous() && !g.needs_grad_flag();
            let g = if create_graph || movable {
                g
            } else {
                let _quiet = GradMode::set(false);
                alg.clone(&g)?
            };
            meta::replace_grad(t, Some(g));
        }
        Some(old) => {
            if create_graph || old.needs_grad_flag() || old.dtype() != g.dtype() {
                meta::replace_grad(t, Some(alg.add(&old, &g)?));
            } else {
                alg.add_into(&old, &g)?;
                old.bump_version();
            }
        }
    }
    Ok(())
}
