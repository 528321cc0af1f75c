//! Ops on integers (arithmetic wraps around) and bool, and those that only move bits.

use super::{cheap, plain, Isa, Kernel, Op};
use crate::backend::program::Opcode;
use crate::base::dtype::Bool8;
use std::ops::{BitAnd, BitOr, BitXor, Not};

/// An integer that kernels compute with.
pub trait Int:
    Copy + Ord + BitAnd<Output = Self> + BitOr<Output = Self> + BitXor<Output = Self> + Not<Output = Self> + 'static
{
    const ZERO: Self;
    const ONE: Self;
    fn add(self, b: Self) -> Self;
    fn sub(self, b: Self) -> Self;
    fn mul(self, b: Self) -> Self;
    /// Rounded to zero; `b` is not zero.
    fn div(self, b: Self) -> Self;
    fn rem(self, b: Self) -> Self;
    fn neg(self) -> Self;
    fn abs(self) -> Self;
    fn sign(self) -> Self;
    fn pow(self, e: Self) -> Self;
    /// 0 where the shift is negative or as wide as the type.
    fn shl(self, b: Self) -> Self;
    /// The sign repeated where the shift is negative or as wide as the type.
    fn shr(self, b: Self) -> Self;
}
macro_rules! int {
    ($($t:ty, $sign:expr, $max_shift:expr);*) => {$(
        impl Int for $t {
            const ZERO: $t = 0;
            const ONE: $t = 1;
            #[inline(always)]
            fn add(self, b: $t) -> $t {
                self.wrapping_add(b)
            }
            #[inline(always)]
            fn sub(self, b: $t) -> $t {
                self.wrapping_sub(b)
            }
            #[inline(always)]
            fn mul(self, b: $t) -> $t {
                self.wrapping_mul(b)
            }
            #[inline(always)]
            fn div(self, b: $t) -> $t {
                self.wrapping_div(b)
            }
            #[inline(always)]
            fn rem(self, b: $t) -> $t {
                self.wrapping_rem(b)
            }
            #[inline(always)]
            fn neg(self) -> $t {
                self.wrapping_neg()
            }
            #[inline(always)]
            #[allow(unused_comparisons)]
            fn abs(self) -> $t {
                if self < 0 { self.wrapping_neg() } else { self }
            }
            #[inline(always)]
            fn sign(self) -> $t {
                $sign(self)
            }
            #[allow(unused_comparisons)]
            fn pow(self, e: $t) -> $t {
                if e < 0 {
                    // 1 / self^|e|, rounded to zero.
                    return if self == 1 {
                        1
                    } else if self.wrapping_add(1) == 0 {
                        if e & 1 == 0 { 1 } else { self }
                    } else {
                        0
                    };
                }
                let (mut base, mut e, mut r) = (self, e, 1 as $t);
                while e > 0 {
                    if e & 1 == 1 {
                        r = r.wrapping_mul(base);
                    }
                    base = base.wrapping_mul(base);
                    e >>= 1;
                }
                r
            }
            #[inline(always)]
            fn shl(self, b: $t) -> $t {
                if (b as u64) < <$t>::BITS as u64 { self.wrapping_shl(b as u32) } else { 0 }
            }
            #[inline(always)]
            fn shr(self, b: $t) -> $t {
                if (b as u64) < <$t>::BITS as u64 { self.wrapping_shr(b as u32) } else { $max_shift(self) }
            }
        }
    )*};
}
int! {
    u8, |v: u8| (v > 0) as u8, |_: u8| 0;
    i8, i8::signum, |v: i8| v >> 7;
    i16, i16::signum, |v: i16| v >> 15;
    i32, i32::signum, |v: i32| v >> 31;
    i64, i64::signum, |v: i64| v >> 63
}

/// An op's arithmetic, as a type of its name.
macro_rules! op {
    ($name:ident, ($a:ident: $ta:ty, $b:ident: $tb:ty, $c:ident: $tc:ty) -> $out:ty, $body:expr, { $($more:tt)* }) => {
        pub struct $name<T>(std::marker::PhantomData<T>);
        impl<T: Int> Op for $name<T> {
            type A = $ta;
            type B = $tb;
            type C = $tc;
            type Out = $out;
            #[inline(always)]
            #[allow(unused_variables)]
            fn apply<I: Isa>($a: $ta, $b: $tb, $c: $tc) -> $out {
                $body
            }
            $($more)*
        }
    };
    (unary $name:ident |$a:ident| $body:expr) => { op!($name, ($a: T, _b: (), _c: ()) -> T, $body, {}); };
    (binary $name:ident |$a:ident, $b:ident| $body:expr) => { op!($name, ($a: T, $b: T, _c: ()) -> T, $body, {}); };
    (ternary $name:ident |$a:ident, $b:ident, $c:ident| $body:expr) => {
        op!($name, ($a: T, $b: T, $c: T) -> T, $body, {});
    };
    (compare $name:ident |$a:ident, $b:ident| $body:expr) => {
        op!($name, ($a: T, $b: T, _c: ()) -> Bool8, Bool8($body as u8), {});
    };
    // A divisor of zero is reported.
    (division $name:ident |$a:ident, $b:ident| $body:expr) => {
        op!($name, ($a: T, $b: T, _c: ()) -> T, { let $b = if $b == T::ZERO { T::ONE } else { $b }; $body }, {
            const CHECKED: bool = true;
            #[inline(always)]
            fn bad(_: T, b: T) -> bool {
                b == T::ZERO
            }
        });
    };
}
/// How an op is compiled: `cheap` (vector code), `truth` (vector code whose results are bytes), `scalar`.
macro_rules! compiled {
    (cheap $o:ty) => {
        cheap::<$o, L>()
    };
    (truth $o:ty) => {
        cheap::<$o, 32>()
    };
    (scalar $o:ty) => {
        plain::<$o, 1>()
    };
}
/// The table: types, and the match that finds a kernel. What computes the same stands in one line.
macro_rules! table {
    ($($shape:ident { $($name:ident $(= $same:ident)* $how:ident |$($arg:ident),*| $body:expr;)* })*) => {
        pub mod op {
            use super::*;
            $($(op!($shape $name |$($arg),*| $body);)*)*
        }

        /// The kernel of `op` on T in chunks of L, or None.
        pub fn kernel<T: Int, const L: usize>(op: Opcode) -> Option<Kernel> {
            use Opcode as O;
            Some(match op {
                O::Cast | O::Ceil | O::Floor | O::Round | O::Trunc => copy(size_of::<T>()),
                $($(O::$name $(| O::$same)* => compiled!($how op::$name<T>),)*)*
                _ => return None,
            })
        }
    };
}
table! {
    unary {
        Neg cheap |a| a.neg();
        Abs cheap |a| a.abs();
        Sign cheap |a| a.sign();
        BitNot cheap |a| !a;
        Square cheap |a| a.mul(a);
        Relu cheap |a| a.max(T::ZERO);
    }
    binary {
        Add cheap |a, b| a.add(b);
        Sub cheap |a, b| a.sub(b);
        Mul cheap |a, b| a.mul(b);
        Pow scalar |a, b| a.pow(b);
        Maximum = Fmax cheap |a, b| a.max(b);
        Minimum = Fmin cheap |a, b| a.min(b);
        BitAnd cheap |a, b| a & b;
        BitOr cheap |a, b| a | b;
        BitXor cheap |a, b| a ^ b;
        ShiftLeft cheap |a, b| a.shl(b);
        ShiftRight cheap |a, b| a.shr(b);
        ReluGrad cheap |g, x| if x > T::ZERO { g } else { T::ZERO };
    }
    division {
        TruncDiv scalar |a, b| a.div(b);
        Fmod scalar |a, b| a.rem(b);
        FloorDiv scalar |a, b| {
            let (q, r) = (a.div(b), a.rem(b));
            if r != T::ZERO && (r < T::ZERO) != (b < T::ZERO) { q.sub(T::ONE) } else { q }
        };
        Remainder scalar |a, b| {
            let r = a.rem(b);
            if r != T::ZERO && (r < T::ZERO) != (b < T::ZERO) { r.add(b) } else { r }
        };
    }
    compare {
        Eq truth |a, b| a == b;
        Ne truth |a, b| a != b;
        Lt truth |a, b| a < b;
        Le truth |a, b| a <= b;
        Gt truth |a, b| a > b;
        Ge truth |a, b| a >= b;
    }
    ternary {
        Clamp cheap |a, lo, hi| a.max(lo).min(hi);
        MulAdd cheap |a, b, c| a.add(b.mul(c));
    }
}

// Bool: bytes, of which any but 0 is true.
macro_rules! bool_ops {
    ($($name:ident, |$a:ident, $b:ident, $c:ident: $tb:ty, $tc:ty| $body:expr;)*) => {$(
        pub struct $name;
        impl Op for $name {
            type A = u8;
            type B = $tb;
            type C = $tc;
            type Out = u8;
            #[inline(always)]
            #[allow(unused_variables)]
            fn apply<I: Isa>($a: u8, $b: $tb, $c: $tc) -> u8 {
                $body
            }
        }
    )*};
}
#[inline(always)]
fn t(a: u8) -> u8 {
    (a != 0) as u8
}
bool_ops! {
    And, |a, b, c: u8, ()| t(a) & t(b);
    Or, |a, b, c: u8, ()| t(a) | t(b);
    Xor, |a, b, c: u8, ()| t(a) ^ t(b);
    Xnor, |a, b, c: u8, ()| t(a) ^ t(b) ^ 1;
    Less, |a, b, c: u8, ()| (t(a) ^ 1) & t(b);
    LessEq, |a, b, c: u8, ()| (t(a) ^ 1) | t(b);
    Greater, |a, b, c: u8, ()| t(a) & (t(b) ^ 1);
    GreaterEq, |a, b, c: u8, ()| t(a) | (t(b) ^ 1);
    IsZero, |a, b, c: (), ()| t(a) ^ 1;
    Truth, |a, b, c: (), ()| t(a);
    BoolClamp, |a, b, c: u8, u8| (t(a) | t(b)) & t(c);
    BoolMulAdd, |a, b, c: u8, u8| t(a) | (t(b) & t(c));
}

/// The kernel of a logical op on bool arguments.
pub fn logical(op: Opcode) -> Option<Kernel> {
    Some(match op {
        Opcode::LogicalAnd => cheap::<And, 64>(),
        Opcode::LogicalOr => cheap::<Or, 64>(),
        Opcode::LogicalXor => cheap::<Xor, 64>(),
        Opcode::LogicalNot => cheap::<IsZero, 64>(),
        _ => return None,
    })
}

/// The kernel of `op` on bool, or None.
pub fn bool_kernel(op: Opcode) -> Option<Kernel> {
    use Opcode as O;
    Some(match op {
        O::Cast | O::Abs | O::Sign | O::Square | O::Relu => cheap::<Truth, 64>(),
        O::Add | O::Maximum | O::Fmax | O::BitOr => cheap::<Or, 64>(),
        O::Mul | O::Minimum | O::Fmin | O::BitAnd => cheap::<And, 64>(),
        O::BitXor | O::Ne => cheap::<Xor, 64>(),
        O::Eq => cheap::<Xnor, 64>(),
        O::Lt => cheap::<Less, 64>(),
        O::Le => cheap::<LessEq, 64>(),
        O::Gt => cheap::<Greater, 64>(),
        O::Ge => cheap::<GreaterEq, 64>(),
        O::BitNot => cheap::<IsZero, 64>(),
        O::Clamp => cheap::<BoolClamp, 64>(),
        O::MulAdd => cheap::<BoolMulAdd, 64>(),
        _ => return None,
    })
}

/// `a != 0 ? b : c` on elements of any type of one size.
pub struct Select<T>(std::marker::PhantomData<T>);
impl<T: Copy + 'static> Op for Select<T> {
    type A = u8;
    type B = T;
    type C = T;
    type Out = T;
    #[inline(always)]
    fn apply<I: Isa>(a: u8, b: T, c: T) -> T {
        if a != 0 {
            b
        } else {
            c
        }
    }
}
/// The kernel of `Where` for elements of `size` bytes.
pub fn select(size: usize) -> Kernel {
    match size {
        1 => cheap::<Select<u8>, 64>(),
        2 => cheap::<Select<u16>, 32>(),
        4 => cheap::<Select<u32>, 32>(),
        _ => cheap::<Select<u64>, 16>(),
    }
}

/// # Safety
/// As [`Kernel`].
unsafe fn copy_bytes<const S: usize>(n: usize, out: *mut u8, a: *const u8, _: *const u8, _: *const u8) -> bool {
    // SAFETY: the caller's; `copy` allows out == a.
    unsafe { std::ptr::copy(a, out, n * S) };
    false
}
/// Copies elements of `size` bytes.
pub fn copy(size: usize) -> Kernel {
    match size {
        1 => copy_bytes::<1>,
        2 => copy_bytes::<2>,
        4 => copy_bytes::<4>,
        _ => copy_bytes::<8>,
    }
}
