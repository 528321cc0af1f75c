//! Ways to multiply and their tiles: what a device can be tuned for.

use crate::base::dtype::DType;
use smallvec::SmallVec;
use std::sync::OnceLock;

/// Ways to multiply; all give the same result up to rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// Tiles in local memory: GPUs.
    Tiled,
    /// Packed panels and register tiles: CPUs.
    Packed,
    /// Register tiles over operands where they lie; b's columns are neighbours: CPUs, what fits their caches.
    Stream,
    /// Inner products by vectors; both operands run along k: CPUs, what fits their caches.
    Dot,
    /// No preparation: small and thin products.
    Direct,
}

/// Rows of a register tile.
pub(super) const TILE_ROWS: i64 = 8;

/// Columns of a register tile.
pub(super) fn tile_columns(acc: DType) -> usize {
    2 * (64 / acc.size())
}

/// The register tile of one work-item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub rows: i64,
    /// Vectors per row; elements where there are none (`Method::Tiled`).
    pub columns: i64,
    /// Elements of a vector.
    pub lanes: i64,
}

impl Tile {
    /// Columns in elements.
    pub fn width(self) -> i64 {
        self.columns * self.lanes
    }
}

/// A method with what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct How {
    pub method: Method,
    pub tile: Tile,
    /// Groups per compute unit that a product with few tiles is cut into along k.
    pub groups: i64,
}

impl How {
    pub fn text(self) -> String {
        let How { method, tile, groups } = self;
        format!("{method:?} {} {} {} {groups}", tile.rows, tile.columns, tile.lanes)
    }
}

/// Tiles worth a try, the default first.
pub(super) fn candidates(method: Method, acc: DType) -> SmallVec<[Tile; 6]> {
    let lanes = tile_columns(acc) as i64 / 2;
    match method {
        // 16 x 16 work-items in local memory of at most 32 KB.
        Method::Tiled if acc.size() == 8 => SmallVec::from_slice(&[tile(4, 4), tile(8, 4)]),
        Method::Tiled => SmallVec::from_slice(&[tile(4, 4), tile(8, 4), tile(8, 8)]),
        // Registers of 64, 32 and 16 bytes.
        _ => [(TILE_ROWS, lanes), (6, lanes / 2), (12, lanes), (4, lanes / 4)]
            .into_iter()
            .filter(|t| t.1 >= 2)
            .map(|(rows, lanes)| Tile { rows, columns: 2, lanes })
            .collect(),
    }
}

fn tile(rows: i64, columns: i64) -> Tile {
    Tile { rows, columns, lanes: 1 }
}

/// A method's default.
pub(super) fn default_of(method: Method, acc: DType) -> How {
    How { method, tile: candidates(method, acc)[0], groups: if method == Method::Tiled { 4 } else { 2 } }
}

/// What was found out for an accumulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub large: How,
    /// For products of few rows or columns.
    pub thin: How,
}

/// By accumulator: f32, f64; others keep the defaults.
#[derive(Default)]
pub(super) struct Tuning {
    pub found: [OnceLock<Choice>; 2],
}
