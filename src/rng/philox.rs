//! Philox4x32-10: a counter-based generator. Any device computes any draw from (seed, offset, index) alone, so every
//! device and every number of threads gives the same values.
//!
//! # Which draw an element takes
//!
//! The key is the seed (low word first). The counter is (block low, block high, offset low, offset high); `offset`
//! numbers the random calls made since seeding, so calls never share a counter. With `w[0..4]` the block's output:
//!
//! | what | element i uses |
//! |---|---|
//! | a 32-bit draw | block i / 4, word i % 4 |
//! | a 64-bit draw | block i / 2, words 2 (i % 2) (high half) and 2 (i % 2) + 1 (low half) |
//! | a float normal | block i / 4, words 2 ((i / 2) % 2) and the next one; even i cosine, odd i sine |
//! | a double normal | block i / 2, words 0, 1 (u1) and 2, 3 (u2); even i cosine, odd i sine |
//!
//! Values from a draw `x`:
//! - uniform: u = low 24 bits of a 32-bit draw times 2^-24 (float64: low 53 bits of a 64-bit draw times 2^-53), then
//!   `u * (high - low) + low`, rounded to the half types last; what rounding brought to `high` becomes `low`.
//! - integers in a range below 2^28: 32-bit draw mod range; else 64-bit draw mod range; plus low.
//! - bernoulli of one p: 32-bit draw < ceil(p * 2^32); of a tensor of p: the 24-bit float < p.
//! - float normal: u1 = x0 * 2^-32 + 2^-33, u2 = (x1 mod 2^24) * 2^-24, r = sqrt(-2 ln u1), r cos(2 pi u2) and
//!   r sin(2 pi u2); times std plus mean. Double normal: the same with u1 = 1 - (low 53 bits) * 2^-53.
//! - exponential: float -ln(x * 2^-32 + 2^-33) / lambda; double -ln(1 - u53) / lambda; ln is at most -2^-25 (float) or
//!   -2^-54 (double), so that 0 never comes.
//! - geometric: ceil(ln(u) / ln(1 - p)), at least 1, with the u of the exponential; cauchy: median +
//!   sigma tan(pi (u - 1/2)) with the u of the uniform; log-normal: exp of the normal.
//! - permutation: forward Fisher-Yates, step i swaps with i + (64-bit draw i) mod (n - i).

const M0: u32 = 0xD251_1F53;
const M1: u32 = 0xCD9E_8D57;
const W0: u32 = 0x9E37_79B9;
const W1: u32 = 0xBB67_AE85;

/// The ten rounds on one counter.
#[inline]
pub fn philox4x32(mut c: [u32; 4], mut k: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let (p0, p1) = (M0 as u64 * c[0] as u64, M1 as u64 * c[2] as u64);
        c = [(p1 >> 32) as u32 ^ c[1] ^ k[0], p1 as u32, (p0 >> 32) as u32 ^ c[3] ^ k[1], p0 as u32];
        k = [k[0].wrapping_add(W0), k[1].wrapping_add(W1)];
    }
    c
}

/// What a 32-bit draw lies below with probability `p`.
pub fn bernoulli_threshold(p: f64) -> u64 {
    (p * 2f64.powi(32)).ceil() as u64
}

/// The draws of one random call: its seed and offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhiloxCall {
    pub seed: u64,
    pub offset: u64,
}

impl PhiloxCall {
    /// Four words.
    #[inline]
    pub fn block(&self, block: u64) -> [u32; 4] {
        let (b, o) = (block, self.offset);
        philox4x32(
            [b as u32, (b >> 32) as u32, o as u32, (o >> 32) as u32],
            [self.seed as u32, (self.seed >> 32) as u32],
        )
    }
    /// The 32-bit draw of element `i`.
    #[inline]
    pub fn u32(&self, i: u64) -> u32 {
        self.block(i / 4)[(i % 4) as usize]
    }
    /// The 64-bit draw of element `i`.
    #[inline]
    pub fn u64(&self, i: u64) -> u64 {
        let w = self.block(i / 2);
        let j = 2 * (i % 2) as usize;
        (w[j] as u64) << 32 | w[j + 1] as u64
    }
    /// The standard normal of element `i`, in single precision.
    pub fn normal_f32(&self, i: u64) -> f32 {
        let w = self.block(i / 4);
        let j = 2 * (i / 2 % 2) as usize;
        let u1 = w[j] as f32 * 2f32.powi(-32) + 2f32.powi(-33);
        let theta = std::f32::consts::TAU * ((w[j + 1] & 0xff_ffff) as f32 * 2f32.powi(-24));
        (-2.0 * u1.ln()).sqrt() * if i.is_multiple_of(2) { theta.cos() } else { theta.sin() }
    }
    /// The standard normal of element `i`, in double precision.
    pub fn normal_f64(&self, i: u64) -> f64 {
        let w = self.block(i / 2);
        let u = |j: usize| {
            let x = (w[j] as u64) << 32 | w[j + 1] as u64;
            (x & ((1 << 53) - 1)) as f64 * 2f64.powi(-53)
        };
        let theta = std::f64::consts::TAU * u(2);
        (-2.0 * (1.0 - u(0)).ln()).sqrt() * if i.is_multiple_of(2) { theta.cos() } else { theta.sin() }
    }
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;

    #[cfg_attr(test, test)]
    pub(crate) fn known_answers() {
        // From the Random123 distribution's table of known answers for philox4x32 with 10 rounds.
        assert_eq!(philox4x32([0; 4], [0; 2]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
        assert_eq!(philox4x32([!0; 4], [!0; 2]), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
        assert_eq!(
            philox4x32([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]),
            [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]
        );
    }
}
