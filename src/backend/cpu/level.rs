//! The instruction set that every kernel of the CPU uses: detected once, for all of them.

use std::sync::atomic::{AtomicU8, Ordering};

/// Instruction sets that kernels are compiled for, each with all that the ones before it have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Whatever the target's baseline is.
    Base = 1,
    /// x86-64 with AVX2, FMA, F16C, BMI1, BMI2, LZCNT and POPCNT.
    Avx2 = 2,
    /// The same with AVX-512 F, VL, BW and DQ.
    Avx512 = 3,
}

static LEVEL: AtomicU8 = AtomicU8::new(0);

/// The widest level of this machine, or what `TAPER_SIMD` (`base`, `avx2`, `avx512`) lowers it to.
#[inline(always)]
pub fn level() -> Level {
    match LEVEL.load(Ordering::Relaxed) {
        3 => Level::Avx512,
        2 => Level::Avx2,
        1 => Level::Base,
        _ => choose(),
    }
}

#[cold]
fn choose() -> Level {
    let wanted = std::env::var_os("TAPER_SIMD").filter(|v| !v.is_empty());
    let chosen = match wanted.as_ref().map(|v| parse(&v.to_string_lossy())) {
        None => widest(),
        Some(Some(w)) => w.min(widest()),
        // Nothing that a program calls could return the error: the level is chosen where the first kernel runs.
        Some(None) => {
            let at = widest();
            eprintln!(
                "taper: TAPER_SIMD={:?} is none of base, avx2, avx512; kernels use {at:?}",
                wanted.unwrap_or_default()
            );
            at
        }
    };
    LEVEL.store(chosen as u8, Ordering::Relaxed);
    chosen
}

fn parse(name: &str) -> Option<Level> {
    Some(match name {
        "base" => Level::Base,
        "avx2" => Level::Avx2,
        "avx512" => Level::Avx512,
        _ => return None,
    })
}

/// The widest level of this machine.
fn widest() -> Level {
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("popcnt");
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq");
        if avx2 {
            return if avx512 { Level::Avx512 } else { Level::Avx2 };
        }
    }
    Level::Base
}

/// Every level up to the one in force, for tests of all instantiations.
#[cfg(feature = "tests")]
pub fn levels() -> Vec<Level> {
    [Level::Base, Level::Avx2, Level::Avx512].into_iter().filter(|&l| l <= level()).collect()
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;

    #[cfg_attr(test, test)]
    pub(crate) fn names_of_levels_and_no_level_beyond_the_machine() {
        assert_eq!(parse("avx2"), Some(Level::Avx2));
        assert_eq!(parse("sse9"), None);
        assert!(level() <= widest());
        let wanted = std::env::var("TAPER_SIMD").ok().and_then(|v| parse(&v)).unwrap_or(Level::Avx512);
        assert_eq!(level(), wanted.min(widest()));
        assert_eq!(levels().last(), Some(&level()));
    }
}
