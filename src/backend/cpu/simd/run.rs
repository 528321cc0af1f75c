//! The loop of every kernel, and its instances for the instruction sets.

use crate::backend::cpu::level::{level, Level};
use std::mem::MaybeUninit;

/// `out[i] = op(a[i], b[i], c[i])` for `n` dense elements; arguments that the op does not take are ignored (but not
/// null). `out` may equal an argument whose elements have the same size. True when an integer divisor was zero.
pub type Kernel = unsafe fn(n: usize, out: *mut u8, a: *const u8, b: *const u8, c: *const u8) -> bool;

/// What differs between instruction sets inside an element's arithmetic.
pub trait Isa {
    /// a * b + c, rounded once where the machine does that in one instruction.
    fn fma32(a: f32, b: f32, c: f32) -> f32;
    fn fma64(a: f64, b: f64, c: f64) -> f64;
}

/// What every machine of the target has.
pub struct Base;
/// With fused multiply-add.
pub struct Fma;

impl Isa for Base {
    #[inline(always)]
    fn fma32(a: f32, b: f32, c: f32) -> f32 {
        if cfg!(target_arch = "aarch64") {
            a.mul_add(b, c)
        } else {
            a * b + c
        }
    }
    #[inline(always)]
    fn fma64(a: f64, b: f64, c: f64) -> f64 {
        if cfg!(target_arch = "aarch64") {
            a.mul_add(b, c)
        } else {
            a * b + c
        }
    }
}
impl Isa for Fma {
    #[inline(always)]
    fn fma32(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
    #[inline(always)]
    fn fma64(a: f64, b: f64, c: f64) -> f64 {
        a.mul_add(b, c)
    }
}

/// The arithmetic of one element.
pub trait Op: 'static {
    type A: Copy;
    type B: Copy;
    type C: Copy;
    type Out: Copy;
    fn apply<I: Isa>(a: Self::A, b: Self::B, c: Self::C) -> Self::Out;

    /// Whether `bad` is asked about each element (integer division by zero).
    const CHECKED: bool = false;
    #[inline(always)]
    fn bad(_a: Self::A, _b: Self::B) -> bool {
        false
    }
    /// Whether rare arguments take `slow` in place of `apply`.
    const HAS_SLOW: bool = false;
    #[inline(always)]
    fn is_slow(_a: Self::A, _b: Self::B) -> bool {
        false
    }
    fn slow(_a: Self::A, _b: Self::B) -> Self::Out {
        unreachable!()
    }
    /// Long arithmetic: the last elements are computed as one padded chunk, not one by one.
    const LONG: bool = false;
}

/// Computes `L` elements.
///
/// # Safety
/// The pointers are valid for `L` elements (of any alignment).
#[inline(always)]
unsafe fn chunk<I: Isa, O: Op, const L: usize>(
    out: *mut O::Out,
    a: *const O::A,
    b: *const O::B,
    c: *const O::C,
) -> bool {
    // SAFETY: the caller vouches for L elements behind each pointer.
    unsafe {
        let av = a.cast::<[O::A; L]>().read_unaligned();
        let bv = b.cast::<[O::B; L]>().read_unaligned();
        let cv = c.cast::<[O::C; L]>().read_unaligned();
        let mut r: [MaybeUninit<O::Out>; L] = [const { MaybeUninit::uninit() }; L];
        for k in 0..L {
            r[k].write(O::apply::<I>(av[k], bv[k], cv[k]));
        }
        let mut bad = false;
        if O::CHECKED {
            for k in 0..L {
                bad |= O::bad(av[k], bv[k]);
            }
        }
        if O::HAS_SLOW {
            let mut any = false;
            for k in 0..L {
                any |= O::is_slow(av[k], bv[k]);
            }
            if any {
                for k in 0..L {
                    if O::is_slow(av[k], bv[k]) {
                        r[k].write(O::slow(av[k], bv[k]));
                    }
                }
            }
        }
        out.cast::<[MaybeUninit<O::Out>; L]>().write_unaligned(r);
        bad
    }
}

/// Keeps the compiler from vectorising the loop that this stands in.
#[inline(always)]
pub fn scalar_loop() {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    // SAFETY: an empty instruction sequence.
    unsafe {
        std::arch::asm!("", options(nomem, nostack, preserves_flags))
    }
}

/// Asks for the cache line at `p`, which may be any address.
#[inline(always)]
pub fn prefetch(p: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86-64; a prefetch never faults.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(p.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

/// The loop of every kernel, in chunks of `L`.
///
/// # Safety
/// As [`Kernel`]: `n` elements behind each pointer, `out` disjoint from or equal to the arguments.
#[inline(always)]
unsafe fn run<I: Isa, O: Op, const L: usize>(n: usize, out: *mut u8, a: *const u8, b: *const u8, c: *const u8) -> bool {
    let (out, a, b, c) = (out.cast::<O::Out>(), a.cast::<O::A>(), b.cast::<O::B>(), c.cast::<O::C>());
    let mut bad = false;
    let mut i = 0;
    // SAFETY: indices stay below n; the padded chunk works on local arrays.
    unsafe {
        while i + L <= n {
            // One chunk's elements belong in one vector, not every sixteenth of several chunks.
            scalar_loop();
            bad |= chunk::<I, O, L>(out.add(i), a.add(i), b.add(i), c.add(i));
            i += L;
        }
        if i == n {
            return bad;
        }
        if O::LONG {
            let rest = n - i;
            // Padding repeats the first of the last elements, so that it brings no argument of its own.
            let mut av = [a.add(i).read_unaligned(); L];
            let mut bv = [b.add(i).read_unaligned(); L];
            let mut cv = [c.add(i).read_unaligned(); L];
            let mut r = [const { MaybeUninit::<O::Out>::uninit() }; L];
            for k in 1..rest {
                scalar_loop();
                av[k] = a.add(i + k).read_unaligned();
                bv[k] = b.add(i + k).read_unaligned();
                cv[k] = c.add(i + k).read_unaligned();
            }
            bad |= chunk::<I, O, L>(r.as_mut_ptr().cast(), av.as_ptr(), bv.as_ptr(), cv.as_ptr());
            for (k, v) in r.iter().enumerate().take(rest) {
                scalar_loop();
                out.add(i + k).write_unaligned(v.assume_init());
            }
            return bad;
        }
        while i < n {
            scalar_loop();
            bad |= chunk::<I, O, 1>(out.add(i), a.add(i), b.add(i), c.add(i));
            i += 1;
        }
    }
    bad
}

/// # Safety
/// As [`Kernel`].
pub unsafe fn run_base<O: Op, const L: usize>(
    n: usize,
    out: *mut u8,
    a: *const u8,
    b: *const u8,
    c: *const u8,
) -> bool {
    // SAFETY: the caller's.
    unsafe { run::<Base, O, L>(n, out, a, b, c) }
}
/// # Safety
/// As [`Kernel`], on a machine of `Level::Avx2`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
pub unsafe fn run_avx2<O: Op, const L: usize>(
    n: usize,
    out: *mut u8,
    a: *const u8,
    b: *const u8,
    c: *const u8,
) -> bool {
    // SAFETY: the caller's.
    unsafe { run::<Fma, O, L>(n, out, a, b, c) }
}
/// # Safety
/// As [`Kernel`], on a machine of `Level::Avx512`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
pub unsafe fn run_avx512<O: Op, const L: usize>(
    n: usize,
    out: *mut u8,
    a: *const u8,
    b: *const u8,
    c: *const u8,
) -> bool {
    // SAFETY: the caller's.
    unsafe { run::<Fma, O, L>(n, out, a, b, c) }
}

/// The kernel of a cheap op: bound by loads and stores, 256-bit vectors are as good as wider ones.
#[inline(always)]
pub fn cheap<O: Op, const L: usize>() -> Kernel {
    #[cfg(target_arch = "x86_64")]
    if level() >= Level::Avx2 {
        return run_avx2::<O, L>;
    }
    run_base::<O, L>
}
/// The kernel of an op with much arithmetic that vectorises.
#[inline(always)]
pub fn long<O: Op, const L: usize>() -> Kernel {
    #[cfg(target_arch = "x86_64")]
    match level() {
        Level::Avx512 => return run_avx512::<O, L>,
        Level::Avx2 => return run_avx2::<O, L>,
        Level::Base => {}
    }
    run_base::<O, L>
}
/// The kernel of an op that does not vectorise.
#[inline(always)]
pub fn plain<O: Op, const L: usize>() -> Kernel {
    run_base::<O, L>
}
