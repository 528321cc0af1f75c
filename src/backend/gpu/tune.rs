//! Parameters of the matrix product, measured once per device.
//!
//! The first large product of a dtype times a few kernels on this device, for well under a second, and keeps the best
//! one on disk beside the compiled kernels, under the device's and its driver's names. Small products use defaults, so
//! that what a product does depends on its shape alone. `TAPER_OPENCL_TUNE=0` (`TAPER_CUDA_TUNE=0`) switches this off.

use super::compile::{hash, read_entry, write_entry};
use super::gemm::{tile_columns, Method, Operands, Plain, Target, TILE_ROWS};
use super::*;
use crate::tensor::device::DeviceType;
use std::time::{Duration, Instant};

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
    fn text(self) -> String {
        format!("{} {} {}", self.rows, self.columns, self.lanes)
    }
    /// A tile from its text, if it is one of `known`.
    fn parse(text: &[u8], known: &[Tile]) -> Option<Tile> {
        known.iter().copied().find(|t| t.text().as_bytes() == text)
    }
}

/// Tiles worth a try, the default first.
pub(super) fn candidates(method: Method, acc: DType) -> SmallVec<[Tile; 6]> {
    let lanes = tile_columns(acc) as i64 / 2;
    match method {
        // 16 x 16 work-items in local memory of at most 32 KB.
        Method::Tiled if acc.size() == 8 => SmallVec::from_slice(&[square(4)]),
        Method::Tiled => SmallVec::from_slice(&[square(4), square(8)]),
        // Registers of 64, 32 and 16 bytes.
        _ => [(TILE_ROWS, lanes), (6, lanes / 2), (12, lanes), (4, lanes / 4)]
            .into_iter()
            .filter(|t| t.1 >= 2)
            .map(|(rows, lanes)| Tile { rows, columns: 2, lanes })
            .collect(),
    }
}

fn square(side: i64) -> Tile {
    Tile { rows: side, columns: side, lanes: 1 }
}

/// Multiplications of a product that is worth tuned parameters.
const LARGE: i64 = 1 << 24;
/// No candidate is begun after this time; the compiler's is counted.
const BUDGET: Duration = Duration::from_millis(700);

/// What has been found out, by accumulator: f32, f64, others keep the default.
#[derive(Default)]
pub(super) struct Tuning {
    found: [OnceLock<Tile>; 2],
}

impl Gpu {
    /// The tile for a product of `work` multiplications.
    pub(super) fn tile(&self, method: Method, acc: DType, work: i64) -> Tile {
        let all = candidates(method, acc);
        let slot = match acc {
            DType::F32 => 0,
            DType::F64 => 1,
            _ => return all[0],
        };
        if work < LARGE || all.len() == 1 || !matches!(method, Method::Packed | Method::Tiled) || !self.tunes() {
            return all[0];
        }
        if self.capturing.load(Ordering::Relaxed) {
            // A graph being captured cannot wait for a measurement.
            return *self.tuning.found[slot].get().unwrap_or(&all[0]);
        }
        *self.tuning.found[slot].get_or_init(|| self.tuned(method, acc, &all))
    }

    fn tunes(&self) -> bool {
        static OFF: OnceLock<[bool; 2]> = OnceLock::new();
        let off = OFF
            .get_or_init(|| ["TAPER_OPENCL_TUNE", "TAPER_CUDA_TUNE"].map(|v| std::env::var(v).is_ok_and(|v| v == "0")));
        !cfg!(test) && !off[(self.device.kind != DeviceType::OpenCl) as usize]
    }

    /// The best of the candidates: from the disk or by trying.
    pub(super) fn tuned(&self, method: Method, acc: DType, all: &[Tile]) -> Tile {
        let known: Vec<String> = all.iter().map(|t| t.text()).collect();
        // A driver that cannot say what it compiles for will say so to the product itself.
        let Ok(build_key) = self.driver.build_key() else { return all[0] };
        let key = format!("{build_key}\ntile of {method:?} {acc} among {}", known.join(", "));
        let path = self.disk_cache.as_ref().map(|dir| dir.join(format!("{:016x}.tile", hash(0, key.as_bytes()))));
        let stored = path.as_ref().and_then(|p| read_entry(p, &key));
        if let Some(tile) = stored.and_then(|text| Tile::parse(&text, all)) {
            return tile;
        }
        let best = self.try_tiles(method, acc, all).unwrap_or(all[0]);
        if let Some(path) = path {
            let _ = write_entry(&path, &key, best.text().as_bytes());
        }
        best
    }

    /// Times the candidates on a product of zeros.
    fn try_tiles(&self, method: Method, acc: DType, all: &[Tile]) -> Result<Tile> {
        let n = if self.info.kind == "cpu" { 384 } else { 1024 };
        let zeros = vec![0u8; (n * n) as usize * acc.size()];
        let buffers = [self.scratch(zeros.len())?, self.scratch(zeros.len())?, self.scratch(zeros.len())?];
        for b in &buffers {
            self.driver.write(b.mem(), 0, &zeros)?;
        }
        let plain = |mem| Plain { mem, dtype: acc, offset: 0, batch: 0, row: n, k: 1, limit: n * n };
        let target = Target {
            mem: buffers[2].mem(),
            dtype: acc,
            offset: 0,
            batch: 0,
            row: n,
            col: 1,
            inner: 0,
            outer: 0,
            bias: None,
            activation: None,
            pre: None,
            alpha: 1.0,
            beta: 0.0,
        };
        let start = Instant::now();
        let mut best = (Duration::MAX, all[0]);
        for tile in all {
            if start.elapsed() > BUDGET {
                break;
            }
            let (a, b) = (plain(buffers[0].mem()), plain(buffers[1].mem()));
            let panels = match method {
                Method::Packed => Some((
                    self.pack_panels(&a, [1, n, n], tile.rows as usize, acc)?,
                    self.pack_panels(&b, [1, n, n], tile.width() as usize, acc)?,
                )),
                _ => None,
            };
            // The first run builds the kernel.
            for run in 0..4 {
                self.driver.finish()?;
                let begin = Instant::now();
                let operands = match &panels {
                    Some((a, b)) => Operands::Panels(a, b),
                    None => Operands::Plain(a, b),
                };
                self.product(method, *tile, [1, n, n, n], operands, &target)?;
                self.driver.finish()?;
                if run > 0 && begin.elapsed() < best.0 {
                    best = (begin.elapsed(), *tile);
                }
            }
        }
        Ok(best.1)
    }
}
