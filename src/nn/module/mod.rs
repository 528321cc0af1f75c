//! The module tree: named parameters, buffers and children, and what is done to all of them.

mod copy;
pub(super) mod state;

use super::attribute::Attribute;
use super::repr;
use crate::backend::Activation;
use crate::backend::{memory, stack};
use crate::base::device::Device;
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Place};
use crate::base::sync::{Mutex, RwLock, RwLockWriteGuard};
use crate::{autograd, bail, ensure, Result, Tensor};
use indexmap::IndexMap;
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;
use std::cell::RefCell;
use std::fmt;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// What a module computes and how it prints: a leaf layer, a container or a user's own module.
pub trait Layer: Send + Sync {
    /// The outputs for `inputs` (None: an optional one that was not given); parameters and children are found in
    /// `module`.
    fn forward(&self, module: &Module, inputs: &[Option<Tensor>]) -> Result<Outputs>;
    /// The same with the arguments that the forward takes besides its inputs, in its order; None for one that is not given.
    fn forward_with(&self, module: &Module, _inputs: &[Option<Tensor>], _more: &[Attribute]) -> Result<Outputs> {
        bail!(Type, "{}.forward() takes no arguments besides its inputs", module.name())
    }
    /// What its forward takes besides its inputs.
    fn further(&self) -> &'static [&'static str] {
        &[]
    }
    /// The same layer for a copy of its module; None where what it computes is a program's own.
    fn duplicate(&self) -> Option<Box<dyn Layer>> {
        None
    }
    /// What stands between the brackets of the printed form; several lines are indented below each other.
    fn extra_repr(&self, _module: &Module) -> Result<String> {
        Ok(String::new())
    }
    /// The activation that this layer is, if it is one that a matrix product can apply.
    fn activation(&self) -> Option<Activation> {
        None
    }
    /// The output with an activation applied, in one go; None where this layer cannot do that.
    fn forward_activated(
        &self,
        _module: &Module,
        _inputs: &[Option<Tensor>],
        _then: Activation,
    ) -> Option<Result<Tensor>> {
        None
    }
    /// PyTorch's attributes that are no tensors (`in_features`, `kernel_size`), in the order of its constructor.
    fn attributes(&self, _module: &Module) -> Vec<(&'static str, Attribute)> {
        Vec::new()
    }
    /// Gives the parameters that have no shape yet theirs, from the first inputs. It runs before the pre-hooks, once:
    /// it calls [`Module::materialize`] for each, draws the values, and [`Module::become_type`].
    fn initialize(&self, module: &Module, _inputs: &[Option<Tensor>]) -> Result<()> {
        bail!(Runtime, "'{}' object has parameters without a shape and nothing that gives them one", module.name())
    }
    /// Whether `extra_repr` is code of the user's, which must not run while an error is on its way.
    fn is_foreign(&self) -> bool {
        false
    }
    /// Whether equal consecutive children print as one line `(0-2): 3 x ...` (ModuleList).
    fn folds_repeats(&self) -> bool {
        false
    }
    /// Buffers that may be missing when a state dict is loaded (older files lack them).
    fn optional_keys(&self) -> &'static [&'static str] {
        &[]
    }
}

/// Runs before forward and may replace the inputs.
pub type PreHook = Arc<dyn Fn(&Module, &[Option<Tensor>]) -> Result<Option<Outputs>> + Send + Sync>;
/// Runs after forward and may replace the outputs.
pub type PostHook = Arc<dyn Fn(&Module, &[Option<Tensor>], &[Option<Tensor>]) -> Result<Option<Outputs>> + Send + Sync>;
/// What a forward gives, one tensor nearly always; None for an optional output that was not asked for.
pub type Outputs = SmallVec<[Option<Tensor>; 1]>;

/// The outputs of a forward that gives one tensor.
#[inline]
pub fn one(t: Tensor) -> Outputs {
    let mut outputs = Outputs::new();
    outputs.push(Some(t));
    outputs
}

#[derive(Clone)]
struct Buffer {
    tensor: Option<Tensor>,
    /// Part of the state dict.
    persistent: bool,
}

#[derive(Default)]
pub(super) struct State {
    parameters: IndexMap<String, Option<Tensor>>,
    buffers: IndexMap<String, Buffer>,
    /// Parameters and buffers that have no shape yet.
    pub(super) shapeless: FxHashSet<String>,
    children: IndexMap<String, Option<Module>>,
}

#[derive(Default)]
struct Hooks {
    pre: Vec<(u64, PreHook)>,
    post: Vec<(u64, PostHook)>,
}

pub(super) struct Inner {
    name: String,
    /// The type that a lazy module became with its first input.
    pub(super) became: OnceLock<&'static str>,
    pub(super) layer: Box<dyn Layer>,
    pub(super) state: RwLock<State>,
    hooks: Mutex<Hooks>,
    training: AtomicBool,
    /// Whether it ever was another module's child.
    adopted: AtomicBool,
    /// Whether it has parameters or buffers without a shape.
    pub(super) lazy: AtomicBool,
}

type Children = indexmap::map::IntoValues<String, Option<Module>>;
thread_local! {
    /// Children of modules that are being dropped, a list for each module that has some left: a deep tree must not overflow
    /// the stack, and a wide one must need no memory. Nothing is left of it after a drop, so the thread's end need not know
    /// of it: registering that takes memory, too.
    static ORPHANS: RefCell<ManuallyDrop<Option<Vec<Children>>>> = const { RefCell::new(ManuallyDrop::new(None)) };
}
impl Drop for Inner {
    fn drop(&mut self) {
        let mut own = std::mem::take(&mut self.state.get_mut().children).into_values();
        if own.len() == 0 {
            return;
        }
        let outermost = ORPHANS.with(|o| {
            let mut o = o.borrow_mut();
            let outermost = o.is_none();
            let lists = o.get_or_insert_default();
            if lists.len() < lists.capacity() || memory::reserve::fallibly(|| lists.try_reserve(1)).is_ok() {
                lists.push(std::mem::take(&mut own));
            }
            outermost
        });
        // Where there was no memory for the list.
        own.for_each(drop);
        if !outermost {
            return;
        }
        // Each drop leaves its module's children here.
        let next = || {
            ORPHANS.with(|o| {
                let mut o = o.borrow_mut();
                let lists = o.as_mut()?;
                let child = lists.last_mut()?.next();
                if lists.last().is_some_and(|l| l.len() == 0) {
                    lists.pop();
                }
                child
            })
        };
        while let Some(child) = next() {
            drop(child);
        }
        ORPHANS.with(|o| drop(o.borrow_mut().take()));
    }
}

/// A handle to a module; cloning makes another handle to the same module. All methods may be called from any thread.
/// No lock is held while a callback runs.
#[derive(Clone)]
pub struct Module(pub(super) Arc<Inner>);

/// Names and tensors in the order of the module tree.
pub type StateDict = IndexMap<String, Tensor>;

/// How much of a module's path an error tells.
const LONGEST_PATH: usize = 500;

/// How many places a tree may have for its modules, one with several parents counted for each, where all are visited.
const MOST_PLACES: usize = 1_000_000;

static NEXT_HOOK: AtomicU64 = AtomicU64::new(1);

impl Module {
    /// A module without parameters or children, in training mode. `name` is its printed type name.
    pub fn new(name: impl Into<String>, layer: impl Layer + 'static) -> Module {
        Module(Arc::new(Inner {
            name: name.into(),
            became: OnceLock::new(),
            layer: Box::new(layer),
            state: RwLock::default(),
            hooks: Mutex::default(),
            training: AtomicBool::new(true),
            adopted: AtomicBool::new(false),
            lazy: AtomicBool::new(false),
        }))
    }
    /// The type name, `Conv2d`.
    pub fn name(&self) -> &str {
        self.0.became.get().copied().unwrap_or(&self.0.name)
    }
    pub fn is_same(&self, other: &Module) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
    /// Identity of this module among the living ones, never 0.
    pub fn id(&self) -> u64 {
        Arc::as_ptr(&self.0) as usize as u64
    }

    // forward
    /// Runs the pre-hooks, the layer and the post-hooks; several outputs are an error, which [`Module::forward_list`]
    /// gives.
    ///
    /// An error says which module of the tree failed.
    pub fn forward(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let inputs: SmallVec<[Option<Tensor>; 4]> = inputs.iter().cloned().map(Some).collect();
        let mut outputs = self.forward_list(&inputs)?;
        match (outputs.pop(), outputs.len()) {
            (Some(Some(only)), 0) => Ok(only),
            (last, before) => {
                let n = before + usize::from(last.is_some());
                let what = format!("{}.forward() gave {n} outputs; call it for a list", self.name());
                let what = if n == 1 { format!("{}.forward() gave None", self.name()) } else { what };
                Err(self.placed(Error::new(ErrorKind::Type, what)))
            }
        }
    }
    /// Runs the pre-hooks, the layer and the post-hooks; None is an optional input that is not given, or an optional
    /// output that was not asked for.
    pub fn forward_list(&self, inputs: &[Option<Tensor>]) -> Result<Outputs> {
        self.run(inputs, &[]).map_err(|e| self.placed(e))
    }
    /// The same of a layer whose forward takes arguments besides its inputs (a transposed convolution's output_size).
    pub fn forward_with(&self, inputs: &[Option<Tensor>], more: &[Attribute]) -> Result<Outputs> {
        self.run(inputs, more).map_err(|e| self.placed(e))
    }
    fn run(&self, inputs: &[Option<Tensor>], more: &[Attribute]) -> Result<Outputs> {
        let forward = |inputs: &[Option<Tensor>]| match more {
            [] => self.0.layer.forward(self, inputs),
            more => self.0.layer.forward_with(self, inputs, more),
        };
        stack::check()?;
        if self.0.lazy.load(Ordering::Acquire) {
            self.initialize(inputs)?;
        }
        let (pre, post) = {
            let h = self.0.hooks.lock();
            if h.pre.is_empty() && h.post.is_empty() {
                drop(h);
                return forward(inputs);
            }
            (h.pre.clone(), h.post.clone())
        };
        let mut replaced: Option<Outputs> = None;
        for (_, hook) in &pre {
            if let Some(new) = hook(self, replaced.as_deref().unwrap_or(inputs))? {
                replaced = Some(new);
            }
        }
        let inputs = replaced.as_deref().unwrap_or(inputs);
        let mut out = forward(inputs)?;
        for (_, hook) in &post {
            if let Some(new) = hook(self, inputs, &out)? {
                out = new;
            }
        }
        Ok(out)
    }
    /// An error that leaves this module: the first one is the module that failed, those around it say where it stands.
    #[cold]
    pub(crate) fn placed(&self, mut e: Error) -> Error {
        // Texts take memory, which has just run out.
        if e.kind == ErrorKind::OutOfMemory {
            return e;
        }
        let Some(place) = &mut e.place else {
            let module = match self.0.layer.is_foreign() {
                true => self.name().to_string(),
                false => format!("{}({})", self.name(), self.0.layer.extra_repr(self).unwrap_or_default()),
            };
            e.place = Some(Box::new(Place { outer: self.id(), path: String::new(), module }));
            return e;
        };
        let is_failed = |m: &Module| m.id() == place.outer;
        let direct = self.0.state.read().children.iter().find_map(|(name, c)| {
            let c = c.as_ref()?;
            is_failed(c).then(|| name.clone())
        });
        // A forward may also call a module further down.
        let way = direct.or_else(|| {
            let all = self.named_modules().unwrap_or_default();
            all.into_iter().find(|(_, m)| is_failed(m)).map(|(name, _)| name)
        });
        if let Some(way) = way.filter(|w| !w.is_empty()) {
            place.outer = self.id();
            if place.path.len() + way.len() > LONGEST_PATH {
                // An endless recursion has a long way to say.
                if !place.path.starts_with("...") {
                    place.path.insert_str(0, "....");
                }
                return e;
            }
            place.path = match place.path.is_empty() {
                true => way,
                false => format!("{way}.{}", place.path),
            };
        }
        e
    }
    /// What its forward takes besides its inputs, by name.
    pub fn further(&self) -> &'static [&'static str] {
        self.0.layer.further()
    }
    /// This module and then `next` in one go; None where they must run one after the other, as where somebody watches
    /// one of them through a hook.
    pub(crate) fn forward_through(&self, next: &Module, inputs: &[Option<Tensor>]) -> Option<Result<Tensor>> {
        let then = next.0.layer.activation()?;
        if self.0.lazy.load(Ordering::Acquire) {
            return None;
        }
        let watched = |m: &Module| {
            let h = m.0.hooks.lock();
            !(h.pre.is_empty() && h.post.is_empty())
        };
        if watched(self) || watched(next) {
            return None;
        }
        self.0.layer.forward_activated(self, inputs, then).map(|out| out.map_err(|e| self.placed(e)))
    }
    /// [`Module::forward`] of one input.
    pub fn call(&self, input: &Tensor) -> Result<Tensor> {
        self.forward(std::slice::from_ref(input))
    }
    /// Runs `hook` before every forward, in order of registration; gives the id that removes it.
    pub fn register_forward_pre_hook(&self, hook: PreHook) -> u64 {
        let id = NEXT_HOOK.fetch_add(1, Ordering::Relaxed);
        self.0.hooks.lock().pre.push((id, hook));
        id
    }
    /// Runs `hook` after every forward, in order of registration; gives the id that removes it.
    pub fn register_forward_hook(&self, hook: PostHook) -> u64 {
        let id = NEXT_HOOK.fetch_add(1, Ordering::Relaxed);
        self.0.hooks.lock().post.push((id, hook));
        id
    }
    /// Removes a hook of either kind; false when there is none of that id.
    pub fn remove_hook(&self, id: u64) -> bool {
        // Dropped after the lock: a hook's own drop may call back.
        let mut removed = Hooks::default();
        let mut h = self.0.hooks.lock();
        if let Some(i) = h.pre.iter().position(|(k, _)| *k == id) {
            removed.pre.push(h.pre.remove(i));
        }
        if let Some(i) = h.post.iter().position(|(k, _)| *k == id) {
            removed.post.push(h.post.remove(i));
        }
        drop(h);
        !(removed.pre.is_empty() && removed.post.is_empty())
    }

    // registration
    /// The state with room for one more entry. It is not held while the out-of-memory hook runs, which may look here.
    fn with_room(&self, room: impl Fn(&mut State) -> Option<()>) -> Result<RwLockWriteGuard<'_, State>> {
        memory::attempt(0, || {
            let mut s = self.0.state.write();
            room(&mut s)?;
            Some(s)
        })
        .map_err(|_| {
            // A table that is full doubles.
            let s = self.0.state.read();
            let entries = s.parameters.len() + s.buffers.len() + s.children.len();
            memory::out_of_memory(2 * entries.max(4) * size_of::<(usize, String, Buffer)>())
        })
    }
    fn check_name(&self, kind: &str, name: &str, taken: bool) -> Result<()> {
        let got = if kind == "module" { format!(", got: {name}") } else { String::new() };
        ensure!(!name.contains('.'), Key, "{kind} name can't contain \".\"{got}");
        ensure!(!name.is_empty(), Key, "{kind} name can't be empty string \"\"");
        ensure!(!taken, Key, "attribute '{name}' already exists");
        Ok(())
    }
    /// Registers (or replaces) a parameter, which from then on requires grad; None keeps the name without a tensor.
    ///
    /// Fails with a Key error for a name that is empty, holds a dot or is taken by a buffer or child, with a Value
    /// error for a tensor that has a history, and with a Runtime error for one that is not of a float dtype.
    pub fn register_parameter(&self, name: &str, param: Option<Tensor>) -> Result<()> {
        if let Some(p) = &param {
            ensure!(
                autograd::is_leaf(p),
                Value,
                "Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be created explicitly. To express '{name}' as a function of another Tensor, compute the value in the forward() method."
            );
        }
        let mut s = self.with_room(|s| memory::try_reserve_map(&mut s.parameters))?;
        let taken = s.buffers.contains_key(name) || s.children.contains_key(name);
        self.check_name("parameter", name, taken)?;
        if let Some(p) = &param {
            autograd::set_requires_grad(p, true)?;
        }
        s.shapeless.remove(name);
        let old = s.parameters.insert(name.to_string(), param);
        drop(s);
        drop(old);
        Ok(())
    }
    /// Registers (or replaces) a buffer: a tensor that is part of the state but not trained. A buffer that is not
    /// `persistent` stays out of the state dict. Fails with a Key error for a bad or taken name.
    pub fn register_buffer(&self, name: &str, tensor: Option<Tensor>, persistent: bool) -> Result<()> {
        let mut s = self.with_room(|s| memory::try_reserve_map(&mut s.buffers))?;
        let taken = s.parameters.contains_key(name) || s.children.contains_key(name);
        self.check_name("buffer", name, taken)?;
        s.shapeless.remove(name);
        let old = s.buffers.insert(name.to_string(), Buffer { tensor, persistent });
        drop(s);
        drop(old);
        Ok(())
    }
    /// Registers (or replaces) a child; None keeps the name without a module. Fails with a Key error for a bad or
    /// taken name, and with a Value error when the child contains this module (the tree would have no end).
    pub fn register_module(&self, name: &str, child: Option<Module>) -> Result<()> {
        // One at a time: two modules that adopt each other would both look free.
        static ADOPTING: Mutex<()> = Mutex::new(());
        memory::check()?;
        let adopting = ADOPTING.lock();
        if let Some(c) = &child {
            // Only what was adopted can lie in another module: trees that grow from below are not walked each time.
            let inside = self.0.adopted.load(Ordering::Relaxed) && c.modules()?.iter().any(|m| m.is_same(self));
            ensure!(
                !inside && !c.is_same(self),
                Value,
                "cannot register {} as child '{name}' of {}: it contains that module",
                c.name(),
                self.name()
            );
        }
        let mut s = self.with_room(|s| memory::try_reserve_map(&mut s.children))?;
        let taken = s.parameters.contains_key(name) || s.buffers.contains_key(name);
        self.check_name("module", name, taken)?;
        if let Some(c) = &child {
            c.0.adopted.store(true, Ordering::Relaxed);
        }
        let old = s.children.insert(name.to_string(), child);
        drop(s);
        drop(adopting);
        drop(old);
        Ok(())
    }

    /// Registers a child under the next number: how Sequential and ModuleList grow.
    pub fn append(&self, child: Module) -> Result<()> {
        let next = self.0.state.read().children.len();
        self.register_module(&next.to_string(), Some(child))
    }

    // access
    /// This module's own parameters by name (None where a name has no tensor).
    pub fn own_parameters(&self) -> Result<Vec<(String, Option<Tensor>)>> {
        memory::try_collect(self.0.state.read().parameters.iter().map(|(k, v)| Ok((memory::text(k)?, v.clone()))))
    }
    /// This module's own parameter; None when it is absent or not set.
    pub fn parameter(&self, name: &str) -> Option<Tensor> {
        self.0.state.read().parameters.get(name).cloned().flatten()
    }
    /// This module's own buffer; None when it is absent or not set.
    pub fn buffer(&self, name: &str) -> Option<Tensor> {
        self.0.state.read().buffers.get(name).and_then(|b| b.tensor.clone())
    }
    /// This module's own parameter, or an error when it is missing.
    pub(crate) fn need(&self, name: &str) -> Result<Tensor> {
        match self.parameter(name) {
            Some(p) => Ok(p),
            None => bail!(Runtime, "'{}' object has no parameter '{name}'", self.name()),
        }
    }
    /// Direct children by name, in order; None where a name has no module.
    pub fn named_children(&self) -> Result<Vec<(String, Option<Module>)>> {
        memory::try_collect(self.0.state.read().children.iter().map(|(k, v)| Ok((memory::text(k)?, v.clone()))))
    }
    /// How many names of children there are, those without a module included.
    pub fn num_children(&self) -> usize {
        self.0.state.read().children.len()
    }
    /// The module at a dotted path (`"features.0"`); the empty path is this module.
    pub fn get_submodule(&self, path: &str) -> Result<Module> {
        let mut at = self.clone();
        for name in path.split('.').filter(|_| !path.is_empty()) {
            let next = match at.0.state.read().children.get(name) {
                Some(Some(m)) => m.clone(),
                Some(None) => bail!(Key, "`{name}` is not an nn.Module"),
                None => bail!(Key, "{} has no attribute `{name}`", at.name()),
            };
            at = next;
        }
        Ok(at)
    }
    /// The module that owns the last part of a dotted path, and that part.
    fn owner<'p>(&self, path: &'p str) -> Result<(Module, &'p str)> {
        let (prefix, name) = path.rsplit_once('.').unwrap_or(("", path));
        Ok((self.get_submodule(prefix)?, name))
    }
    /// The parameter at a dotted path (`"conv1.weight"`), or a Key error.
    pub fn get_parameter(&self, path: &str) -> Result<Tensor> {
        let (m, name) = self.owner(path)?;
        match m.parameter(name) {
            Some(p) => Ok(p),
            None => bail!(Key, "{} has no attribute `{name}`", m.name()),
        }
    }
    /// The buffer at a dotted path (`"bn1.running_mean"`), or a Key error.
    pub fn get_buffer(&self, path: &str) -> Result<Tensor> {
        let (m, name) = self.owner(path)?;
        match m.buffer(name) {
            Some(p) => Ok(p),
            None => bail!(Key, "{} has no attribute `{name}`", m.name()),
        }
    }

    // walks
    // Their lists grow with the tree and can fail; they go without recursion, as trees may be deep.
    /// This module (under the empty name) and all below it, parents first, each once.
    pub fn named_modules(&self) -> Result<Vec<(String, Module)>> {
        let mut seen = FxHashMap::default();
        self.paths(|m| is_new(&mut seen, m.id()))
    }
    /// Every way to a module of the tree: one that has several parents comes several times, as PyTorch's state dicts
    /// have it. Shared children at every level make their number grow without measure; then it is an error.
    fn all_paths(&self) -> Result<Vec<(String, Module)>> {
        let mut count = 0;
        self.paths(|_| {
            self.check_places(&mut count)?;
            Ok(true)
        })
    }
    fn check_places(&self, count: &mut usize) -> Result<()> {
        *count += 1;
        ensure!(
            *count <= MOST_PLACES,
            Runtime,
            "{} has more than {MOST_PLACES} places for modules: modules that share children, level after level, are too many to visit",
            self.name()
        );
        Ok(())
    }
    /// The modules that `enter` lets in under their dotted names, parents first.
    fn paths(&self, mut enter: impl FnMut(&Module) -> Result<bool>) -> Result<Vec<(String, Module)>> {
        let (mut out, mut next) = (Vec::new(), vec![(String::new(), self.clone())]);
        while let Some((path, m)) = next.pop() {
            if enter(&m)? {
                for (name, c) in m.0.state.read().children.iter().rev() {
                    if let Some(c) = c {
                        memory::push(&mut next, (join(&path, name)?, c.clone()))?;
                    }
                }
                memory::push(&mut out, (path, m))?;
            }
        }
        Ok(out)
    }
    /// [`Module::named_modules`] without the names.
    pub fn modules(&self) -> Result<Vec<Module>> {
        let (mut out, mut next) = (Vec::new(), vec![self.clone()]);
        let mut seen = FxHashMap::default();
        while let Some(m) = next.pop() {
            if is_new(&mut seen, m.id())? {
                for c in m.0.state.read().children.values().rev().flatten() {
                    memory::push(&mut next, c.clone())?;
                }
                memory::push(&mut out, m)?;
            }
        }
        Ok(out)
    }
    fn named_tensors(
        &self,
        each: impl Fn(&State, &mut dyn FnMut(&String, &Tensor) -> Result<()>) -> Result<()>,
    ) -> Result<Vec<(String, Tensor)>> {
        let mut seen = FxHashMap::default();
        let mut out = Vec::new();
        for (prefix, m) in self.named_modules()? {
            each(&m.0.state.read(), &mut |name, t| {
                if is_new(&mut seen, t.id())? {
                    memory::push(&mut out, (join(&prefix, name)?, t.clone()))?;
                }
                Ok(())
            })?;
        }
        Ok(out)
    }
    /// All parameters with their dotted names; a shared parameter appears once, under its first name.
    pub fn named_parameters(&self) -> Result<Vec<(String, Tensor)>> {
        self.named_tensors(|s, add| s.parameters.iter().try_for_each(|(k, v)| v.as_ref().map_or(Ok(()), |v| add(k, v))))
    }
    /// [`Module::named_parameters`] without the names: what an optimiser takes.
    pub fn parameters(&self) -> Result<Vec<Tensor>> {
        let mut seen = FxHashMap::default();
        let mut out = Vec::new();
        for m in self.modules()? {
            for t in m.0.state.read().parameters.values().flatten() {
                if is_new(&mut seen, t.id())? {
                    memory::push(&mut out, t.clone())?;
                }
            }
        }
        Ok(out)
    }
    /// All buffers with their dotted names, each once.
    pub fn named_buffers(&self) -> Result<Vec<(String, Tensor)>> {
        self.named_tensors(|s, add| {
            s.buffers.iter().try_for_each(|(k, b)| b.tensor.as_ref().map_or(Ok(()), |t| add(k, t)))
        })
    }
    /// Calls `f` with every module below, children before their parent, this one last. As in PyTorch a module that has
    /// several parents comes once for each; fails where these are too many to visit.
    pub fn apply(&self, f: &mut dyn FnMut(&Module) -> Result<()>) -> Result<()> {
        let below = |m: &Module| -> Result<_> {
            let (mut seen, mut out) = (FxHashMap::default(), Vec::new());
            for c in m.0.state.read().children.values().flatten() {
                if is_new(&mut seen, c.id())? {
                    memory::push(&mut out, c.clone())?;
                }
            }
            Ok(out.into_iter())
        };
        let mut count = 0;
        let mut open = vec![(self.clone(), below(self)?)];
        while let Some((m, children)) = open.last_mut() {
            match children.next() {
                Some(c) => {
                    let next = below(&c)?;
                    memory::push(&mut open, (c, next))?;
                }
                None => {
                    self.check_places(&mut count)?;
                    f(m)?;
                    open.pop();
                }
            }
        }
        Ok(())
    }

    // modes
    /// Whether this module is in training mode.
    pub fn is_training(&self) -> bool {
        self.0.training.load(Ordering::Relaxed)
    }
    /// Sets training mode (dropout, batch statistics) on this module and all below.
    pub fn train(&self, mode: bool) -> Result<()> {
        for m in self.modules()? {
            m.0.training.store(mode, Ordering::Relaxed);
        }
        Ok(())
    }
    /// `train(false)`.
    pub fn eval(&self) -> Result<()> {
        self.train(false)
    }
    /// Makes all parameters require grad, or freezes them.
    pub fn requires_grad_(&self, on: bool) -> Result<()> {
        self.parameters()?.iter().try_for_each(|p| autograd::set_requires_grad(p, on))
    }
    /// Drops the gradients of all parameters, or (`set_to_none` false) sets them to zero.
    pub fn zero_grad(&self, set_to_none: bool) -> Result<()> {
        super::zero_grad(&self.parameters()?, set_to_none)
    }

    /// Moves parameters, buffers and gradients to a device and converts the float ones to a dtype. Every tensor keeps
    /// its identity: optimisers and other holders see the new contents.
    ///
    /// Fails with a Type error when `dtype` is not a float dtype, and when the device is not available (parameters
    /// before the failing one have then been moved).
    pub fn to(&self, dtype: Option<DType>, device: Option<Device>) -> Result<()> {
        if let Some(d) = dtype {
            ensure!(
                d.is_inexact(),
                Type,
                "nn.Module.to only accepts floating point or complex dtypes, but got desired dtype=torch.{d}"
            );
        }
        let convert = |t: &Tensor| -> Result<Option<Tensor>> {
            let to_dtype = dtype.filter(|_| t.dtype().is_inexact()).unwrap_or(t.dtype());
            let to_device = device.unwrap_or(t.device());
            if to_dtype == t.dtype() && to_device == t.device() {
                return Ok(None);
            }
            super::convert(t, to_dtype, to_device).map(Some)
        };
        for p in self.parameters()? {
            let grad = autograd::meta::grad(&p);
            if let Some(new) = convert(&p)? {
                super::replace_data(&p, &new)?;
            }
            if let Some(g) = grad {
                if let Some(new) = convert(&g)? {
                    super::replace_data(&g, &new)?;
                }
            }
        }
        for (_, b) in self.named_buffers()? {
            if let Some(new) = convert(&b)? {
                super::replace_data(&b, &new)?;
            }
        }
        Ok(())
    }

    // attributes
    /// The attributes that this module has, in the order of PyTorch's constructor.
    pub fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        self.0.layer.attributes(self)
    }
    /// The attribute of a name, or a Key error.
    pub fn attribute(&self, name: &str) -> Result<Attribute> {
        match self.attributes().into_iter().find(|(n, _)| *n == name) {
            Some((_, value)) => Ok(value),
            None => bail!(Key, "'{}' object has no attribute '{name}'", self.name()),
        }
    }

    // text
    /// The printed form, PyTorch's; fails only where a callback's `extra_repr` does.
    pub fn repr(&self) -> Result<String> {
        self.repr_at(0, &mut 0)
    }
    fn repr_at(&self, depth: usize, count: &mut usize) -> Result<String> {
        // The text grows with the square of the depth.
        ensure!(
            depth < 1000,
            Runtime,
            "maximum recursion depth exceeded: {} cannot be printed more than 1000 levels below the outermost module",
            self.name()
        );
        stack::check()?;
        self.check_places(count)?;
        let extra = self.0.layer.extra_repr(self)?;
        let texts = memory::try_collect(self.named_children()?.into_iter().map(|(name, child)| {
            Ok((name, child.map_or_else(|| memory::text("None"), |c| c.repr_at(depth + 1, count))?))
        }))?;
        match self.0.layer.folds_repeats() {
            true => repr::folded(self.name(), &texts),
            false => repr::nested(self.name(), &extra, &texts),
        }
    }
}

fn join(prefix: &str, name: &str) -> Result<String> {
    let mut out = String::new();
    memory::reserve_text(&mut out, prefix.len() + name.len() + 1)?;
    out.push_str(prefix);
    if !prefix.is_empty() {
        out.push('.');
    }
    out.push_str(name);
    Ok(out)
}
/// Notes `id`; whether it was not there yet.
fn is_new(seen: &mut FxHashMap<u64, ()>, id: u64) -> Result<bool> {
    memory::reserve_hash_map(seen)?;
    Ok(seen.insert(id, ()).is_none())
}

impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.repr() {
            Ok(text) => f.write_str(&text),
            Err(e) => write!(f, "{}(<extra_repr failed: {e}>)", self.name()),
        }
    }
}
impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
