//! State dicts: the tensors of a module tree under their dotted names.

use super::{join, Buffer, Module, StateDict};
use crate::backend::memory;
use crate::base::error::{Error, ErrorKind};
use crate::{Result, Tensor};
use rustc_hash::FxHashMap;

/// What `load_state_dict` did not match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncompatibleKeys {
    pub missing: Vec<String>,
    pub unexpected: Vec<String>,
}

impl Module {
    fn own_state(&self) -> Result<Vec<(String, Tensor)>> {
        let s = self.0.state.read();
        let params = s.parameters.iter().filter_map(|(k, v)| Some((k, v.as_ref()?)));
        let buffers = s.buffers.iter().filter(|(_, b)| b.persistent);
        let all = params.chain(buffers.filter_map(|(k, b)| Some((k, b.tensor.as_ref()?))));
        memory::try_collect(all.map(|(k, t)| Ok((memory::text(k)?, t.clone()))))
    }
    /// All parameters and persistent buffers under their dotted names (shared ones under each name). The tensors are
    /// detached but share the module's memory. Fails where shared modules are in more places than can be listed.
    pub fn state_dict(&self) -> Result<StateDict> {
        let paths = self.all_paths()?;
        let count: usize = paths.iter().map(|(_, m)| m.num_state()).sum();
        let mut out = StateDict::new();
        memory::reserve_map(&mut out, count)?;
        memory::room_for(count, 256)?;
        for (path, m) in paths {
            for (name, t) in m.own_state()? {
                memory::reserve_map(&mut out, 1)?;
                out.insert(join(&path, &name)?, t.alias_same());
            }
        }
        Ok(out)
    }
    fn num_state(&self) -> usize {
        let s = self.0.state.read();
        s.parameters.len() + s.buffers.len()
    }
    /// Copies the tensors of `state` into the module's (converted to its dtypes and devices). Gives the names that
    /// did not match; when `strict`, those are an error, as shapes that differ always are. What matches has been
    /// copied even where an error is returned, as in PyTorch.
    pub fn load_state_dict(&self, state: &StateDict, strict: bool) -> Result<IncompatibleKeys> {
        let mut keys = IncompatibleKeys::default();
        let mut errors = Vec::new();
        self.load_from(state, &mut keys, &mut errors, true)?;
        self.report(&keys, &errors, strict)?;
        Ok(keys)
    }
    /// The same, but nothing is copied where an error is returned.
    pub fn load_whole(&self, state: &StateDict, strict: bool) -> Result<IncompatibleKeys> {
        let (ready, keys) = self.prepare(state, strict)?;
        self.load_state_dict(&ready, false)?;
        Ok(keys)
    }
    /// Looks whether `state` can be loaded, and gives it in the module's dtypes and on its devices: all of loading that
    /// may fail, before anything changes.
    pub fn prepare(&self, state: &StateDict, strict: bool) -> Result<(StateDict, IncompatibleKeys)> {
        let mut keys = IncompatibleKeys::default();
        let mut errors = Vec::new();
        self.load_from(state, &mut keys, &mut errors, false)?;
        self.report(&keys, &errors, strict)?;
        let own = self.state_dict()?;
        let mut ready = StateDict::new();
        memory::reserve_map(&mut ready, state.len())?;
        for (name, t) in state {
            let t = match own.get(name) {
                Some(u) if (u.dtype(), u.device()) != (t.dtype(), t.device()) => {
                    crate::nn::convert(t, u.dtype(), u.device())?
                }
                _ => t.clone(),
            };
            ready.insert(memory::text(name)?, t);
        }
        Ok((ready, keys))
    }
    /// The error of what did not match.
    fn report(&self, keys: &IncompatibleKeys, errors: &[String], strict: bool) -> Result<()> {
        let mut text = String::new();
        let mut add = |t: &str| {
            memory::reserve_text(&mut text, t.len())?;
            text.push_str(t);
            Ok(())
        };
        let mut count = 0;
        let kinds = [("Missing", &keys.missing), ("Unexpected", &keys.unexpected)];
        for (kind, names) in kinds.into_iter().filter(|(_, names)| strict && !names.is_empty()) {
            add(if count == 0 { "" } else { "\n\t" })?;
            add(kind)?;
            add(" key(s) in state_dict: ")?;
            for (i, name) in names.iter().enumerate() {
                [if i == 0 { "\"" } else { ", \"" }, name, "\""].into_iter().try_for_each(&mut add)?;
            }
            add(". ")?;
            count += 1;
        }
        for e in errors {
            add(if count == 0 { "" } else { "\n\t" })?;
            add(e)?;
            count += 1;
        }
        if count > 0 {
            let title = format!("Error(s) in loading state_dict for {}:\n\t", self.name());
            memory::reserve_text(&mut text, title.len())?;
            text.insert_str(0, &title);
            return Err(Error::new(ErrorKind::Runtime, text));
        }
        Ok(())
    }
    /// With `copies`, what fits is copied; without, nothing is.
    fn load_from(
        &self,
        state: &StateDict,
        keys: &mut IncompatibleKeys,
        errors: &mut Vec<String>,
        copies: bool,
    ) -> Result<()> {
        let modules = self.all_paths()?;
        let mut places: FxHashMap<&str, usize> = FxHashMap::default();
        for (place, (path, m)) in modules.iter().enumerate() {
            memory::reserve_hash_map(&mut places)?;
            places.insert(path, place);
            for (name, target) in &m.own_state()? {
                let key = join(path, name)?;
                match state.get(&key) {
                    Some(source) => {
                        let done = match copies {
                            true => m.load_own(&key, name, target, source)?,
                            // What has no shape yet takes any.
                            false if m.is_uninitialized(name) => Ok(()),
                            false => fitting(&key, target, source).map(drop),
                        };
                        if let Err(e) = done {
                            memory::push(errors, e)?;
                        }
                    }
                    None if m.0.layer.optional_keys().contains(&name.as_str()) => {}
                    None => memory::push(&mut keys.missing, key)?,
                }
            }
        }
        // A key belongs to the deepest module on its way, which has to know what comes next.
        let mut unexpected: Vec<(usize, &String)> = Vec::new();
        for key in state.keys() {
            let mut path = key.as_str();
            let place = loop {
                path = path.rsplit_once('.').map_or("", |(path, _)| path);
                if let Some(place) = places.get(path) {
                    break *place;
                }
            };
            let rest = if path.is_empty() { key } else { &key[path.len() + 1..] };
            let m = &modules[place].1;
            let known = match rest.split_once('.') {
                Some((child, _)) => m.0.state.read().children.contains_key(child),
                None => {
                    let s = m.0.state.read();
                    let buffer = |b: &Buffer| b.persistent && b.tensor.is_some();
                    s.parameters.get(rest).is_some_and(Option::is_some) || s.buffers.get(rest).is_some_and(buffer)
                }
            };
            if !known {
                memory::push(&mut unexpected, (place, key))?;
            }
        }
        unexpected.sort_by_key(|(place, _)| *place);
        for (_, key) in unexpected {
            memory::push(&mut keys.unexpected, memory::text(key)?)?;
        }
        Ok(())
    }
}

/// The source as it is copied into the target; the error is a line of `load_state_dict`'s report.
fn fitting(key: &str, target: &Tensor, source: &Tensor) -> std::result::Result<Tensor, String> {
    let (want, have) = (target.shape(), source.shape());
    if want == have {
        return Ok(source.clone());
    }
    if want.is_empty() && have.len() == 1 && have[0] >= 1 {
        // Old files hold 0-dim tensors as 1-dim ones.
        let mut layout = source.layout();
        layout.shape.clear();
        layout.strides.clear();
        if let Ok(first) = source.alias(layout) {
            return Ok(first);
        }
    }
    Err(format!(
        "size mismatch for {key}: copying a param with shape torch.Size({:?}) from checkpoint, the shape in current model is torch.Size({:?}).",
        &have[..], &want[..]
    ))
}

/// Copies one tensor of a state dict; the error is a line of `load_state_dict`'s report.
pub(in crate::nn) fn load_one(key: &str, target: &Tensor, source: &Tensor) -> Result<std::result::Result<(), String>> {
    let source = match fitting(key, target, source) {
        Ok(source) => source,
        Err(e) => return Ok(Err(e)),
    };
    match crate::nn::copy_into(target, &source) {
        Err(e) if e.kind == ErrorKind::OutOfMemory => Err(e),
        r => Ok(r.map_err(|e| format!(
            "While copying the parameter named \"{key}\", whose dimensions in the model are torch.Size({:?}) and whose dimensions in the checkpoint are torch.Size({:?}), an exception occurred : {e}.",
            &target.shape()[..], &source.shape()[..]
        ))),
    }
}
