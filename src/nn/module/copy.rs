//! Copies of module trees.

use super::{is_new, Hooks, Inner, Module, State};
use crate::backend::memory;
use crate::base::sync::{Mutex, RwLock};
use crate::{autograd, bail, ops, Result, Tensor};
use rustc_hash::FxHashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// A tensor's copy, the same one for each place where it stands.
fn copied(seen: &mut FxHashMap<u64, Tensor>, t: &Tensor) -> Result<Tensor> {
    if let Some(c) = seen.get(&t.id()) {
        return Ok(c.clone());
    }
    let c = autograd::no_grad(|| ops::clone(t))?;
    autograd::set_requires_grad(&c, autograd::requires_grad(t))?;
    memory::reserve_hash_map(seen)?;
    seen.insert(t.id(), c.clone());
    Ok(c)
}

impl Module {
    /// A copy of the whole tree with tensors of its own; what is shared in it is shared in the copy, hooks stay the same.
    /// Fails with a NotImplemented error for modules that a program computes itself.
    pub fn deepcopy(&self) -> Result<Module> {
        let all = self.modules()?;
        let (mut tensors, mut copies) = (FxHashMap::default(), FxHashMap::default());
        for m in &all {
            memory::check()?;
            let Some(layer) = m.0.layer.duplicate() else {
                bail!(NotImplemented, "{} cannot be copied: its forward is the program's own", m.name())
            };
            let mut state = State::default();
            {
                let s = m.0.state.read();
                for (name, p) in &s.parameters {
                    let p = p.as_ref().map(|p| copied(&mut tensors, p)).transpose()?;
                    memory::reserve_map(&mut state.parameters, 1)?;
                    state.parameters.insert(memory::text(name)?, p);
                }
                for (name, b) in &s.buffers {
                    let mut b = b.clone();
                    b.tensor = b.tensor.as_ref().map(|t| copied(&mut tensors, t)).transpose()?;
                    memory::reserve_map(&mut state.buffers, 1)?;
                    state.buffers.insert(memory::text(name)?, b);
                }
                state.shapeless = s.shapeless.clone();
            }
            let hooks = m.0.hooks.lock();
            let hooks = Hooks { pre: hooks.pre.clone(), post: hooks.post.clone() };
            let copy = Module(Arc::new(Inner {
                name: m.0.name.clone(),
                became: m.0.became.clone(),
                layer,
                state: RwLock::new(state),
                hooks: Mutex::new(hooks),
                training: AtomicBool::new(m.is_training()),
                adopted: AtomicBool::new(m.0.adopted.load(Ordering::Relaxed)),
                lazy: AtomicBool::new(m.0.lazy.load(Ordering::Relaxed)),
            }));
            memory::reserve_hash_map(&mut copies)?;
            copies.insert(m.id(), copy);
        }
        let mut seen = FxHashMap::default();
        for m in all {
            if !is_new(&mut seen, m.id())? {
                continue;
            }
            let children = m.named_children()?;
            let mut to = copies[&m.id()].0.state.write();
            for (name, child) in children {
                // One that was added meanwhile stays shared.
                let child = child.map(|c| copies.get(&c.id()).cloned().unwrap_or(c));
                memory::reserve_map(&mut to.children, 1)?;
                to.children.insert(name, child);
            }
        }
        match copies.remove(&self.id()) {
            Some(copy) => Ok(copy),
            None => bail!(Internal, "a module is not in its own tree"),
        }
    }
}
