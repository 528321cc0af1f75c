//! The handle types' functions: `spec/objects.txt`. What a type is in each language is one row of `types.rs`.

pub mod docs;
mod parser;
pub mod python;
pub mod shims;
pub mod types;

pub use parser::{parse, Argument, Function, Returns};

/// The specification of a repository.
pub fn load(root: &std::path::Path) -> Result<Vec<Function>, String> {
    let file = root.join("spec/objects.txt");
    let text = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    // The optimisers' constructors, and what makes the kinds of schedules, follow from their own specifications.
    let optimizers = crate::optim::c::entries(&crate::optim::load(root)?);
    parse(&format!("{text}\n{}\n{optimizers}", crate::schedules::objects(root)?))
}

#[cfg(test)]
mod tests;
