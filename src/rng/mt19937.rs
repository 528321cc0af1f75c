//! MT19937 with the position bookkeeping of PyTorch's CPU engine, so that states interchange.

pub const N: usize = 624;
const M: usize = 397;

/// The Mersenne Twister's state: 624 words and how many draws are left before the next twist.
#[derive(Clone)]
pub struct Mt19937 {
    pub(super) seed: u64,
    /// Draws left in the block plus one; a draw that brings it to 0 twists first.
    pub(super) left: u32,
    pub(super) next: u32,
    pub(super) state: [u32; N],
}

impl Mt19937 {
    /// Seeds with the low 32 bits of `seed` (all of it is remembered as the initial seed).
    pub fn new(seed: u64) -> Self {
        let mut state = [0u32; N];
        state[0] = seed as u32;
        for j in 1..N {
            let p = state[j - 1];
            state[j] = 1_812_433_253u32.wrapping_mul(p ^ (p >> 30)).wrapping_add(j as u32);
        }
        Mt19937 { seed, left: 1, next: 0, state }
    }

    fn twist(&mut self) {
        #[inline(always)]
        fn mix(u: u32, v: u32) -> u32 {
            let y = (u & 0x8000_0000) | (v & 0x7fff_ffff);
            (y >> 1) ^ ((v & 1).wrapping_neg() & 0x9908_b0df)
        }
        let s = &mut self.state;
        for k in 0..N - M {
            s[k] = s[k + M] ^ mix(s[k], s[k + 1]);
        }
        for k in N - M..N - 1 {
            s[k] = s[k + M - N] ^ mix(s[k], s[k + 1]);
        }
        s[N - 1] = s[M - 1] ^ mix(s[N - 1], s[0]);
        self.left = N as u32;
        self.next = 0;
    }

    #[inline(always)]
    fn temper(mut y: u32) -> u32 {
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    #[inline]
    pub fn next_u32(&mut self) -> u32 {
        self.left -= 1;
        if self.left == 0 {
            self.twist();
        }
        let y = self.state[self.next as usize];
        self.next += 1;
        Self::temper(y)
    }

    /// As many `next_u32` as fit into `out`, block by block.
    pub fn fill(&mut self, mut out: &mut [u32]) {
        while !out.is_empty() {
            if self.left <= 1 {
                self.twist();
                // `left` counts one more than the draws available, except right after a twist.
                self.left += 1;
            }
            let n = out.len().min(self.left as usize - 1);
            let (head, tail) = out.split_at_mut(n);
            let from = &self.state[self.next as usize..self.next as usize + n];
            for (o, &y) in head.iter_mut().zip(from) {
                *o = Self::temper(y);
            }
            self.next += n as u32;
            self.left -= n as u32;
            out = tail;
        }
    }
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;

    #[cfg_attr(test, test)]
    pub(crate) fn reference_sequence() {
        // The published check value: the 10000th draw of seed 5489.
        let mut m = Mt19937::new(5489);
        let mut last = 0;
        for _ in 0..10_000 {
            last = m.next_u32();
        }
        assert_eq!(last, 4_123_659_995);
    }

    #[cfg_attr(test, test)]
    pub(crate) fn fill_equals_single_draws() {
        let (mut a, mut b) = (Mt19937::new(7), Mt19937::new(7));
        for n in [1usize, 3, 620, 1, 623, 624, 625, 2000, 5] {
            let mut block = vec![0; n];
            a.fill(&mut block);
            let single: Vec<u32> = (0..n).map(|_| b.next_u32()).collect();
            assert_eq!(block, single);
            assert_eq!((a.left, a.next), (b.left, b.next));
        }
    }
}
