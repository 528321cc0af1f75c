//! Sequential and ModuleList.

use super::single;
use crate::nn::{Layer, Module};
use crate::{bail, Result, Tensor};

struct Sequential;
impl Layer for Sequential {
    fn forward(&self, m: &Module, inputs: &[Tensor]) -> Result<Tensor> {
        let mut children = m.named_children().into_iter().filter_map(|(_, c)| c);
        let mut x = match children.next() {
            Some(first) => first.forward(inputs)?,
            None => return single(m, inputs).cloned(),
        };
        for child in children {
            x = child.call(&x)?;
        }
        Ok(x)
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
    fn forward(&self, m: &Module, _: &[Tensor]) -> Result<Tensor> {
        bail!(NotImplemented, "Module [{}] is missing the required \"forward\" function", m.name())
    }
    fn folds_repeats(&self) -> bool {
        true
    }
}

/// Holds modules by number, so that their parameters are found; has no forward of its own.
pub fn module_list(modules: &[Module]) -> Result<Module> {
    numbered(Module::new("ModuleList", ModuleList), modules)
}
