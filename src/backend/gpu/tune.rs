//! How to multiply on this device, measured once.
//!
//! The first large product of a dtype times a few kernels on this device and keeps what was best on disk, beside the
//! compiled kernels and under the device's and its driver's names. Measured are the method and the tile of large
//! products, the method of thin ones, and into how many parts a long k is cut. All of it is bounded: no candidate is
//! begun after [`BUDGET`], which counts the compiler's time, and one that is beaten on its first run gets no more. Small
//! products use defaults, so that what they do depends on their shape alone. `TAPER_OPENCL_TUNE=0` (`TAPER_CUDA_TUNE=0`)
//! switches this off.

use super::compile::{hash, read_entry, write_entry};
use super::device::*;
use super::gemm::{Operands, Plain, Target};
use super::tile::{candidates, default_of, Choice, How, Method};
use crate::base::device::DeviceType;
use std::time::{Duration, Instant};

/// Multiplications of a product that is worth measured parameters.
const LARGE: i64 = 1 << 24;
/// No candidate is begun after this time; each of the three measurements has it. Nearly all of it is the compiler's: runs
/// take milliseconds.
const BUDGET: Duration = Duration::from_secs(2);

impl Gpu {
    /// The device's own method for large products.
    fn family(&self) -> Method {
        match self.info.kind {
            "cpu" => Method::Packed,
            _ => Method::Tiled,
        }
    }

    /// What was measured, for a product that is large enough; measures when it is the first one.
    pub(super) fn choice(&self, acc: DType, dims: [i64; 4]) -> Option<Choice> {
        let slot = match acc {
            DType::F32 => 0,
            DType::F64 => 1,
            _ => return None,
        };
        if dims.iter().product::<i64>() < LARGE || !self.tunes() {
            return None;
        }
        let found = &self.tuning.found[slot];
        if self.capturing.load(Ordering::Relaxed) {
            // A graph being captured cannot wait for a measurement.
            return found.get().copied();
        }
        let n = if self.info.kind == "cpu" { 384 } else { 1024 };
        Some(*found.get_or_init(|| self.tuned(acc, n)))
    }

    /// Parameters of `method` for a product `[batch, m, n, k]`.
    pub(super) fn how(&self, method: Method, acc: DType, dims: [i64; 4]) -> How {
        let plain = default_of(method, acc);
        let how = match self.choice(acc, dims) {
            Some(c) if c.large.method == method => c.large,
            Some(c) if c.thin.method == method => c.thin,
            _ => return plain,
        };
        // Large tiles that leave compute units idle are worse than small ones.
        let [bs, m, n, _] = dims;
        let (th, tw) = (16 * how.tile.rows, 16 * how.tile.columns);
        let tiles = bs * ((m + th - 1) / th) * ((n + tw - 1) / tw);
        match method {
            Method::Tiled if tiles < self.info.compute_units as i64 => How { tile: plain.tile, ..how },
            _ => how,
        }
    }

    fn tunes(&self) -> bool {
        static OFF: OnceLock<[bool; 2]> = OnceLock::new();
        let off = OFF
            .get_or_init(|| ["TAPER_OPENCL_TUNE", "TAPER_CUDA_TUNE"].map(|v| std::env::var(v).is_ok_and(|v| v == "0")));
        !cfg!(feature = "tests") && !off[(self.device.kind != DeviceType::OpenCl) as usize]
    }

    /// The best choice: from the disk or by trying products of about `n` rows and columns.
    pub(super) fn tuned(&self, acc: DType, n: i64) -> Choice {
        let own = self.family();
        let plain = Choice { large: default_of(own, acc), thin: default_of(Method::Direct, acc) };
        // The device's own kind of kernel with every tile, and the other kind's default: some CPUs announce themselves
        // as something else, and some GPUs have no local memory worth the name.
        let other = if own == Method::Packed { Method::Tiled } else { Method::Packed };
        let large: Vec<How> = candidates(own, acc)
            .iter()
            .map(|t| How { tile: *t, ..plain.large })
            .chain([default_of(other, acc)])
            .collect();
        // A driver that cannot say what it compiles for will say so to the product itself.
        let Ok(build_key) = self.driver.build_key() else { return plain };
        let known: Vec<String> = large.iter().map(|h| h.text()).collect();
        let key = format!("{build_key}\nproducts of {n} in {acc} among {}", known.join(", "));
        let path = self.disk_cache.as_ref().map(|dir| dir.join(format!("{:016x}.tuned", hash(0, key.as_bytes()))));
        let stored = path.as_ref().and_then(|p| read_entry(p, &key));
        if let Some(choice) = stored.and_then(|text| parse(&text, &large, acc)) {
            return choice;
        }
        let start = Instant::now();
        let best = self.measure(&large, acc, n).unwrap_or(plain);
        crate::log!(
            Info,
            "{}: measured which kernel suits large products of {acc} in {} ms: {}",
            self.device,
            start.elapsed().as_millis(),
            text(&best).replace('\n', ", ")
        );
        if let Some(path) = path {
            let _ = write_entry(&path, &key, text(&best).as_bytes());
        }
        best
    }

    fn measure(&self, large: &[How], acc: DType, n: i64) -> Result<Choice> {
        let best = self.fastest(large, [1, n, n, n], acc)?;
        // Few tiles and a long k.
        let groups = self.fastest(&cut(best), [1, n / 8, n / 8, 16 * n], acc)?.groups;
        let best = How { groups, ..best };
        // Few rows.
        let thin = self.fastest(&[default_of(Method::Direct, acc), best], [1, 6, 2 * n, n], acc)?;
        Ok(Choice { large: best, thin })
    }

    /// The fastest of several ways to do a product of zeros.
    fn fastest(&self, all: &[How], dims: [i64; 4], acc: DType) -> Result<How> {
        let [_, m, n, k] = dims;
        let zeros = |count: i64| -> Result<DeviceBuffer> {
            let bytes = vec![0u8; count as usize * acc.size()];
            let buffer = self.scratch(bytes.len())?;
            self.driver.write(buffer.mem(), 0, &bytes)?;
            Ok(buffer)
        };
        let buffers = [zeros(m * k)?, zeros(k * n)?, zeros(m * n)?];
        let plain = |mem, row, k, limit| Plain { mem, dtype: acc, offset: 0, batch: 0, row, k, limit };
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
        for how in all {
            if start.elapsed() > BUDGET {
                break;
            }
            let (a, b) = (plain(buffers[0].mem(), k, 1, m * k), plain(buffers[1].mem(), 1, n, k * n));
            // The first run builds the kernels.
            for run in 0..4 {
                self.driver.finish()?;
                let begin = Instant::now();
                if how.method == Method::Packed {
                    // What packing costs belongs to it.
                    let a = self.pack_panels(&a, [1, m, k], how.tile.rows as usize, acc)?;
                    let b = self.pack_panels(&b, [1, n, k], how.tile.width() as usize, acc)?;
                    self.product(*how, dims, Operands::Panels(&a, &b), &target)?;
                } else {
                    self.product(*how, dims, Operands::Plain(a, b), &target)?;
                }
                self.driver.finish()?;
                let took = begin.elapsed();
                if run == 0 {
                    continue;
                }
                if took < best.0 {
                    best = (took, *how);
                } else if took > best.0 * 2 {
                    break;
                }
            }
        }
        Ok(best.1)
    }
}

/// The same with more and fewer parts of a long k; its own first.
fn cut(how: How) -> [How; 3] {
    [how.groups, how.groups / 2, how.groups * 2].map(|groups| How { groups, ..how })
}

fn text(c: &Choice) -> String {
    format!("{}, {}", c.large.text(), c.thin.text())
}

/// A choice from its text, if it is one that a measurement could give.
fn parse(stored: &[u8], large: &[How], acc: DType) -> Option<Choice> {
    large.iter().flat_map(|h| cut(*h)).find_map(|large| {
        [default_of(Method::Direct, acc), large]
            .into_iter()
            .map(|thin| Choice { large, thin })
            .find(|c| text(c).as_bytes() == stored)
    })
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;

    #[cfg_attr(test, test)]
    pub(crate) fn choices_survive_as_text_and_strangers_do_not() {
        let all = [default_of(Method::Packed, DType::F32), default_of(Method::Tiled, DType::F32)];
        for how in all {
            for large in cut(how) {
                for thin in [default_of(Method::Direct, DType::F32), large] {
                    let c = Choice { large, thin };
                    assert_eq!(parse(text(&c).as_bytes(), &all, DType::F32), Some(c));
                    assert_eq!(parse(text(&c).as_bytes(), &all[..1], DType::F32).is_some(), how == all[0]);
                }
            }
        }
        assert_eq!(parse(b"", &all, DType::F32), None);
        assert_eq!(parse(b"Tiled 999 4 1 4, Direct 8 2 16 2", &all, DType::F32), None);
    }
}
