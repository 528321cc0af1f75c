//! Kernels that were built, by what they were made of.

use super::compile::Compiled;
use crate::backend::kernels::print::Walk;
use crate::backend::kernels::reduce::Spec;
use crate::backend::kernels::Def;
use crate::backend::program::Program;
use crate::base::dtype::DType;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::sync::{Arc, OnceLock};

/// What a specialised kernel is made of; the key of the in-memory cache.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct KernelKey {
    pub name: &'static str,
    pub defs: SmallVec<[(&'static str, Def); 8]>,
}

/// A printed program with the scalars that its kernel takes.
pub(super) struct Printed {
    pub kernel: Arc<Compiled>,
    pub scalars: Vec<(u8, DType)>,
}

/// What a program is printed as.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Elementwise(Walk),
    Reduce(Spec),
}

/// Where a printed program is kept once it was built.
#[derive(Default)]
pub(super) struct Slot {
    pub printed: OnceLock<Arc<Printed>>,
    /// Held by who builds it.
    pub turn: Mutex<()>,
}

type Entry = (Option<Program>, Kind, Arc<Slot>);

/// Kernels by the hash of their program and kind; looking one up copies nothing.
#[derive(Default)]
pub(super) struct ProgramCache {
    pub entries: FxHashMap<u64, Vec<Entry>>,
}
