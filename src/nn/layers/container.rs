//! Sequential and ModuleList.

use super::single;
use crate::nn::{one, Layer, Module, Outputs};
use crate::{bail, Result, Tensor};

struct Sequential;
impl Layer for Sequential {
    fn forward(&self, m: &Module, inputs: &[Option<Tensor>]) -> Result<Outputs> {
        let children: Vec<Module> = m.named_children()?.into_iter().filter_map(|(_, c)| c).collect();
        let mut x: Option<Outputs> = None;
        let mut at = 0;
        while at < children.len() {
            let given = x.as_deref().unwrap_or(inputs);
            // A layer and its activation run as one kernel where nobody can tell.
            let both = children.get(at + 1).and_then(|next| children[at].forward_through(next, given));
            let (out, step) = match both {
                Some(out) => (one(out?), 2),
                None => (children[at].forward_list(given)?, 1),
            };
            x = Some(out);
            at += step;
        }
        x.map_or_else(|| single(m, inputs).cloned().map(one), Ok)
    }
    fn duplicate(&self) -> Option<Box<dyn Layer>> {
        Some(Box::new(Sequential))
    }
}

fn numbered(m: Module, modules: &[Module]) -> Result<Module> {
    for (i, child) in modules.iter().enumerate() {
        m.register_module(&i.to_string(), Some(child.clone()))?;
    }
    Ok(m)
}

/// Runs its children in order, each on the output of the one before; they are named "0", "1" and so on. More are
/// added with [`Module::append`] or, under a name, with [`Module::register_module`].
pub fn sequential(modules: &[Module]) -> Result<Module> {
    numbered(Module::new("Sequential", Sequential), modules)
}

struct ModuleList;
impl Layer for ModuleList {
    fn forward(&self, m: &Module, _: &[Option<Tensor>]) -> Result<Outputs> {
        bail!(NotImplemented, "Module [{}] is missing the required \"forward\" function", m.name())
    }
    fn folds_repeats(&self) -> bool {
        true
    }
    fn duplicate(&self) -> Option<Box<dyn Layer>> {
        Some(Box::new(ModuleList))
    }
}

/// Holds modules by number, so that their parameters are found; has no forward of its own.
pub fn module_list(modules: &[Module]) -> Result<Module> {
    numbered(Module::new("ModuleList", ModuleList), modules)
}
