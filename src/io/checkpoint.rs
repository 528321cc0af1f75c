//! Checkpoints: what a training run needs to go on with the same bits, in one safetensors file, which every language reads
//! without executing anything. Names in it: `models.<i>.<key>`, `optimizers.<i>.<key>`, `schedules.<i>.<key>` with the keys of
//! the state dicts, `generators.default` and `generators.<i>`, `extra.<name>` for the caller's tensors and texts.

use super::safetensors::{self, FileMetadata};
use crate::backend::memory;
use crate::base::sync::Mutex;
use crate::nn::{IncompatibleKeys, Module, StateDict};
use crate::optim::schedule::Schedule;
use crate::optim::Optimizer;
use crate::rng::Generator;
use crate::{bail, ensure, Device, Result, Tensor};
use std::path::Path;
use std::sync::Arc;

/// What is saved and loaded.
pub struct Parts<'a> {
    pub models: &'a [Module],
    pub optimizers: &'a [Arc<Mutex<Optimizer>>],
    pub schedules: &'a [Schedule],
    /// Besides the default generator.
    pub generators: &'a [Generator],
}

const KIND: (&str, &str) = ("format", "taper checkpoint 1");

fn put(all: &mut StateDict, prefix: &str, of: StateDict) -> Result<()> {
    memory::reserve_map(all, of.len())?;
    for (name, t) in of {
        let mut key = memory::text(prefix)?;
        memory::reserve_text(&mut key, name.len())?;
        key.push_str(&name);
        all.insert(key, t);
    }
    Ok(())
}
fn bytes(b: &[u8]) -> Result<Tensor> {
    Tensor::from_slice(b, &[b.len() as i64])
}
fn number(n: usize) -> Result<Tensor> {
    Tensor::from_slice(&[n as i64], &[])
}

/// Writes a checkpoint, which appears under its name once it is complete and on disk.
pub fn save(path: &Path, parts: &Parts, extra: &StateDict, texts: &FileMetadata) -> Result<()> {
    let mut all = StateDict::new();
    let counts = [parts.models.len(), parts.optimizers.len(), parts.schedules.len(), parts.generators.len()];
    for (name, n) in KINDS.into_iter().zip(counts) {
        all.insert(format!("count.{name}"), number(n)?);
    }
    for (i, m) in parts.models.iter().enumerate() {
        put(&mut all, &format!("models.{i}."), m.state_dict()?)?;
    }
    for (i, o) in parts.optimizers.iter().enumerate() {
        let state = o.lock().state_dict()?;
        put(&mut all, &format!("optimizers.{i}."), state)?;
    }
    for (i, s) in parts.schedules.iter().enumerate() {
        put(&mut all, &format!("schedules.{i}."), s.state_dict()?)?;
    }
    all.insert("generators.default".into(), bytes(&crate::rng::default_generator().get_state())?);
    for (i, g) in parts.generators.iter().enumerate() {
        all.insert(format!("generators.{i}"), bytes(&g.get_state())?);
    }
    for (name, t) in extra {
        memory::reserve_map(&mut all, 1)?;
        all.insert(format!("extra.{name}"), t.clone());
    }
    let mut metadata = FileMetadata::new();
    metadata.insert(KIND.0.into(), KIND.1.into());
    for (key, text) in texts {
        memory::reserve_map(&mut metadata, 1)?;
        metadata.insert(format!("extra.{key}"), memory::text(text)?);
    }
    safetensors::save(path, &all, &metadata)
}
const KINDS: [&str; 4] = ["models", "optimizers", "schedules", "generators"];

/// The tensors below a prefix, which goes.
pub fn below(all: &StateDict, prefix: &str) -> Result<StateDict> {
    let mut out = StateDict::new();
    for (name, t) in all {
        if let Some(name) = name.strip_prefix(prefix) {
            memory::reserve_map(&mut out, 1)?;
            out.insert(memory::text(name)?, t.clone());
        }
    }
    Ok(out)
}

fn raw(all: &StateDict, name: &str, path: &Path) -> Result<Vec<u8>> {
    let Some(t) = all.get(name) else { bail!(Io, "{} is no checkpoint: it has no \"{name}\"", path.display()) };
    ensure!(t.dtype() == crate::DType::U8 && t.ndim() == 1, Io, "{}: \"{name}\" is no row of bytes", path.display());
    let mut out = memory::zeroed(t.numel())?;
    t.copy_to_host(&mut out)?;
    Ok(out)
}

/// Reads a checkpoint into what has the same structure; gives the caller's tensors and texts, and the names that models did
/// not match, which are an error when `strict`. Where it fails, everything is as it was.
pub fn load(path: &Path, parts: &Parts, strict: bool) -> Result<(StateDict, FileMetadata, Vec<IncompatibleKeys>)> {
    let (all, metadata) = safetensors::load(path, Device::CPU)?;
    ensure!(
        metadata.get(KIND.0).is_some_and(|v| v == KIND.1),
        Io,
        "{} is no checkpoint: its text entry \"{}\" is not \"{}\"",
        path.display(),
        KIND.0,
        KIND.1
    );
    let counts = [parts.models.len(), parts.optimizers.len(), parts.schedules.len(), parts.generators.len()];
    for (name, n) in KINDS.into_iter().zip(counts) {
        let has = match all.get(&format!("count.{name}")) {
            Some(t) if t.numel() == 1 => t.item()?.to_f64(),
            _ => bail!(Io, "{} is no checkpoint: it does not say how many {name} it has", path.display()),
        };
        ensure!(has == n as f64, Value, "the checkpoint {} has {has} {name}, but {n} were given", path.display());
    }
    // Everything that can be refused is, before anything changes.
    let mut models = memory::with_capacity(parts.models.len())?;
    for (i, m) in parts.models.iter().enumerate() {
        let state = below(&all, &format!("models.{i}."))?;
        let (ready, keys) = m.prepare(&state, strict)?;
        models.push((m, ready, keys));
    }
    let mut generators = vec![(crate::rng::default_generator().clone(), raw(&all, "generators.default", path)?)];
    for (i, g) in parts.generators.iter().enumerate() {
        generators.push((g.clone(), raw(&all, &format!("generators.{i}"), path)?));
    }
    for (g, state) in &generators {
        g.fork().set_state(state)?;
    }
    // The optimisers' and schedules' loads change nothing where they fail, and are taken back where a later one does.
    let (mut optimizers, mut schedules) = (Vec::new(), Vec::new());
    let result = (|| {
        for (i, o) in parts.optimizers.iter().enumerate() {
            let state = below(&all, &format!("optimizers.{i}."))?;
            let mut o = o.lock();
            let before = o.state_dict()?;
            o.load_state_dict(&state)?;
            optimizers.push(before);
        }
        for (i, s) in parts.schedules.iter().enumerate() {
            let before = s.state_dict()?;
            s.load_state_dict(&below(&all, &format!("schedules.{i}."))?)?;
            schedules.push(before);
        }
        let mut keys = Vec::new();
        for (m, ready, k) in models {
            m.load_state_dict(&ready, false)?;
            keys.push(k);
        }
        Ok(keys)
    })();
    let keys = match result {
        Ok(keys) => keys,
        Err(e) => {
            for (o, before) in parts.optimizers.iter().zip(&optimizers) {
                let _ = o.lock().load_state_dict(before);
            }
            for (s, before) in parts.schedules.iter().zip(&schedules) {
                let _ = s.load_state_dict(before);
            }
            return Err(e);
        }
    };
    for (g, state) in &generators {
        g.set_state(state)?;
    }
    let extra = below(&all, "extra.")?;
    let mut texts = FileMetadata::new();
    for (key, text) in metadata {
        if let Some(key) = key.strip_prefix("extra.") {
            memory::reserve_map(&mut texts, 1)?;
            texts.insert(memory::text(key)?, text);
        }
    }
    Ok((extra, texts, keys))
}
