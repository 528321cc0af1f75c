//! Random generators. On the CPU a seed gives PyTorch's CPU numbers (MT19937); the other devices, and the CPU when
//! asked, use Philox, whose draws are the same on every device (see [`philox`]).

pub mod distributions;
pub mod mt19937;
pub mod philox;

use crate::base::error::Result;
use crate::base::sync::{Mutex, MutexGuard};
use crate::{bail, ensure};
use mt19937::Mt19937;
use philox::PhiloxCall;
use std::sync::Arc;

/// The seed of a new [`Generator`], PyTorch's.
pub const DEFAULT_SEED: u64 = 67_280_421_310_721;

/// Which numbers the CPU draws from a generator. Other devices always take its Philox draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// PyTorch's CPU numbers; sequential.
    Mt19937,
    /// Philox4x32-10: every device's numbers; parallel.
    Philox,
}

/// What a locked generator consists of.
#[derive(Clone)]
pub struct State {
    pub algorithm: Algorithm,
    pub engine: Mt19937,
    /// The second value of the last Box-Muller pair, if nobody took it yet. PyTorch keeps one per precision.
    pub next_f64: Option<f64>,
    pub next_f32: Option<f32>,
    /// The seed of the Philox draws where it is not the engine's.
    pub philox_seed: Option<u64>,
    /// Philox calls made since seeding.
    pub offset: u64,
}

impl State {
    fn new(algorithm: Algorithm, seed: u64) -> State {
        State { algorithm, engine: Mt19937::new(seed), next_f64: None, next_f32: None, philox_seed: None, offset: 0 }
    }
    /// Which draws the CPU takes.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
    /// The Mersenne Twister, for draws in bulk.
    pub fn engine(&mut self) -> &mut Mt19937 {
        &mut self.engine
    }
    /// One 32-bit draw of the Mersenne Twister.
    #[inline]
    pub fn random(&mut self) -> u32 {
        self.engine.next_u32()
    }
    /// One 64-bit draw: two 32-bit draws, the first one high.
    #[inline]
    pub fn random64(&mut self) -> u64 {
        let high = self.engine.next_u32() as u64;
        high << 32 | self.engine.next_u32() as u64
    }
    /// The seed and offset of the next Philox call.
    pub fn next_philox(&mut self) -> PhiloxCall {
        let call = PhiloxCall { seed: self.philox_seed.unwrap_or(self.engine.seed), offset: self.offset };
        self.offset = self.offset.wrapping_add(1);
        call
    }
}

/// A source of random numbers. A clone is another handle on the same state; all threads may use it, one call at a time.
#[derive(Clone)]
pub struct Generator(Arc<Mutex<State>>);

impl Default for Generator {
    fn default() -> Self {
        Generator::new()
    }
}

impl std::fmt::Debug for Generator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let s = self.0.lock();
        write!(f, "Generator({:?}, seed {}, offset {})", s.algorithm, s.engine.seed, s.offset)
    }
}

// Byte positions in PyTorch's CPU state (a C struct: seed, left, seeded, next, 624 words of 8 bytes, normal_x,
// normal_y, normal_rho, normal_is_valid; then the cached float and its flag).
const STATE_SIZE: usize = 5056;
const LEGACY_SIZE: usize = 5048;
const WORDS: usize = 24;
const NORMAL_X: usize = WORDS + 8 * mt19937::N;
const NORMAL_Y: usize = NORMAL_X + 8;
const NORMAL_RHO: usize = NORMAL_Y + 8;
const NORMAL_VALID: usize = NORMAL_RHO + 8;
const NEXT_FLOAT: usize = NORMAL_VALID + 8;
const PHILOX_SIZE: usize = 16;

impl Generator {
    /// A generator of PyTorch's CPU numbers, seeded with [`DEFAULT_SEED`] as `torch.Generator()` is.
    pub fn new() -> Generator {
        Generator::with_algorithm(Algorithm::Mt19937)
    }
    /// A generator whose draws on the CPU come from `algorithm`, seeded with [`DEFAULT_SEED`].
    pub fn with_algorithm(algorithm: Algorithm) -> Generator {
        Generator(Arc::new(Mutex::new(State::new(algorithm, DEFAULT_SEED))))
    }
    pub fn algorithm(&self) -> Algorithm {
        self.0.lock().algorithm
    }
    /// Chooses which numbers the CPU draws. A change starts the generator anew from its seed.
    pub fn set_algorithm(&self, algorithm: Algorithm) {
        let mut s = self.0.lock();
        if s.algorithm != algorithm {
            *s = State::new(algorithm, s.engine.seed);
        }
    }
    /// Starts anew from `seed`; cached normals and the Philox offset are dropped.
    pub fn manual_seed(&self, seed: u64) {
        let mut s = self.0.lock();
        *s = State::new(s.algorithm, seed);
    }
    /// Starts the Philox draws anew from `seed` and leaves those of the Mersenne Twister as they are.
    pub fn manual_seed_devices(&self, seed: u64) {
        let mut s = self.0.lock();
        if s.algorithm == Algorithm::Philox {
            *s = State::new(s.algorithm, seed);
        } else {
            (s.philox_seed, s.offset) = (Some(seed), 0);
        }
    }
    /// Seeds from the system's entropy and returns the seed (53 bits, so that it is exact as a double).
    pub fn seed(&self) -> u64 {
        let seed = nondeterministic_seed();
        self.manual_seed(seed);
        seed
    }
    /// The seed last set.
    pub fn initial_seed(&self) -> u64 {
        self.0.lock().engine.seed
    }
    /// A new generator with a copy of this one's state; the two go on independently.
    pub fn fork(&self) -> Generator {
        Generator(Arc::new(Mutex::new(self.0.lock().clone())))
    }
    /// Locks the state for a sequence of draws.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
    /// Takes the seed and offset of one random call on a device; see [`philox`] for the draws.
    pub fn next_philox(&self) -> PhiloxCall {
        self.0.lock().next_philox()
    }
    /// Whether two handles are of one generator.
    pub fn ptr_eq(&self, other: &Generator) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The state as bytes. MT19937: the 5056 bytes of `torch.get_rng_state()`, which PyTorch accepts (the Philox
    /// offset and seed, if it has its own, lie in fields that PyTorch ignores). Philox: seed and offset, 16 bytes, little-endian.
    pub fn get_state(&self) -> Vec<u8> {
        let s = self.0.lock();
        if s.algorithm == Algorithm::Philox {
            return [s.engine.seed.to_le_bytes(), s.offset.to_le_bytes()].concat();
        }
        let mut out = vec![0u8; STATE_SIZE];
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &s.engine.seed.to_le_bytes());
        put(8, &s.engine.left.to_le_bytes());
        put(12, &1i32.to_le_bytes());
        put(16, &(s.engine.next as u64).to_le_bytes());
        for (i, &w) in s.engine.state.iter().enumerate() {
            put(WORDS + 8 * i, &(w as u64).to_le_bytes());
        }
        put(NORMAL_X, &s.offset.to_le_bytes());
        put(NORMAL_RHO, &(s.philox_seed.unwrap_or(s.engine.seed) ^ s.engine.seed).to_le_bytes());
        if let Some(v) = s.next_f64 {
            put(NORMAL_Y, &v.to_le_bytes());
            put(NORMAL_VALID, &1i32.to_le_bytes());
        }
        if let Some(v) = s.next_f32 {
            put(NEXT_FLOAT, &v.to_le_bytes());
            put(NEXT_FLOAT + 4, &[1]);
        }
        out
    }

    /// Restores a state from [`Generator::get_state`] or `torch.get_rng_state()`. An error (and no change) when the
    /// size or content is not that of this generator's algorithm.
    pub fn set_state(&self, bytes: &[u8]) -> Result<()> {
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let i32_at = |at: usize| i32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let mut s = self.0.lock();
        if s.algorithm == Algorithm::Philox {
            ensure!(
                bytes.len() == PHILOX_SIZE,
                Runtime,
                "RNG state of a Philox generator is {PHILOX_SIZE} bytes, got {}",
                bytes.len()
            );
            *s = State::new(Algorithm::Philox, u64_at(0));
            s.offset = u64_at(8);
            return Ok(());
        }
        ensure!(
            bytes.len() == STATE_SIZE || bytes.len() == LEGACY_SIZE,
            Runtime,
            "RNG state is wrong size: expected {STATE_SIZE} bytes (or {LEGACY_SIZE} of old versions), got {}",
            bytes.len()
        );
        let (left, next) = (i32_at(8), u64_at(16));
        if i32_at(12) == 0 || left <= 0 || left as usize > mt19937::N || next as usize > mt19937::N {
            bail!(Runtime, "Invalid mt19937 state");
        }
        // A draw reads at `next` while `left` allows it: both together must stay inside the block.
        ensure!(next as usize + left as usize - 1 <= mt19937::N, Runtime, "Invalid mt19937 state");
        let mut engine = Mt19937::new(0);
        engine.seed = u64_at(0);
        engine.left = left as u32;
        engine.next = next as u32;
        for i in 0..mt19937::N {
            engine.state[i] = u64_at(WORDS + 8 * i) as u32;
        }
        let f64_at = |at: usize| f64::from_bits(u64_at(at));
        let current = bytes.len() == STATE_SIZE;
        let next_f64 = (i32_at(NORMAL_VALID) != 0).then(|| {
            if current {
                f64_at(NORMAL_Y)
            } else {
                f64_at(NORMAL_RHO) * (std::f64::consts::TAU * f64_at(NORMAL_X)).sin()
            }
        });
        let next_f32 = (current && bytes[NEXT_FLOAT + 4] != 0).then(|| f32::from_bits(i32_at(NEXT_FLOAT) as u32));
        let offset = if current { u64_at(NORMAL_X) } else { 0 };
        let own = if current { u64_at(NORMAL_RHO) } else { 0 };
        let philox_seed = (own != 0).then_some(engine.seed ^ own);
        *s = State { algorithm: Algorithm::Mt19937, engine, next_f64, next_f32, philox_seed, offset };
        Ok(())
    }
}

/// The generator that random ops use when none is named; seeded from the system's entropy at first use.
pub fn default_generator() -> &'static Generator {
    static DEFAULT: std::sync::OnceLock<Generator> = std::sync::OnceLock::new();
    DEFAULT.get_or_init(|| {
        let g = Generator::new();
        g.seed();
        g
    })
}

/// Seeds the default generator (`torch.manual_seed`).
pub fn manual_seed(seed: u64) {
    default_generator().manual_seed(seed);
}

fn nondeterministic_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    use std::io::Read;
    let mut bytes = [0u8; 8];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut bytes));
    let mut seed = u64::from_le_bytes(bytes);
    if read.is_err() {
        // The standard library's hasher keys come from the system's entropy where there is any.
        let mut h = std::collections::hash_map::RandomState::new().build_hasher();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        h.write_u128(now.map(|d| d.as_nanos()).unwrap_or(0));
        seed = h.finish();
    }
    seed & ((1 << 53) - 1)
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;

    #[cfg_attr(test, test)]
    pub(crate) fn handles_share_forks_do_not() {
        let a = Generator::new();
        a.manual_seed(3);
        let (b, c) = (a.clone(), a.fork());
        let x = a.lock().random();
        assert_eq!(c.lock().random(), x);
        assert_ne!(b.lock().random(), x);
        assert!(a.ptr_eq(&b) && !a.ptr_eq(&c));
        assert_eq!(c.initial_seed(), 3);
    }

    #[cfg_attr(test, test)]
    pub(crate) fn state_round_trip() {
        let g = Generator::new();
        g.manual_seed(u64::MAX);
        for _ in 0..1000 {
            g.lock().random();
        }
        g.lock().next_f64 = Some(-0.25);
        g.lock().next_f32 = Some(1.5);
        g.next_philox();
        let state = g.get_state();
        assert_eq!(state.len(), 5056);
        let h = Generator::new();
        h.set_state(&state).unwrap();
        assert_eq!(h.initial_seed(), u64::MAX);
        assert_eq!(h.get_state(), state);
        assert_eq!(h.next_philox().offset, 1);
        for _ in 0..700 {
            assert_eq!(g.lock().random64(), h.lock().random64());
        }
        assert!(h.set_state(&state[1..]).is_err());
        let mut bad = state.clone();
        bad[8..12].copy_from_slice(&0i32.to_le_bytes());
        assert!(h.set_state(&bad).is_err());

        let p = Generator::with_algorithm(Algorithm::Philox);
        p.manual_seed(9);
        p.next_philox();
        let q = Generator::with_algorithm(Algorithm::Philox);
        q.set_state(&p.get_state()).unwrap();
        assert_eq!(q.next_philox(), PhiloxCall { seed: 9, offset: 1 });
        assert!(q.set_state(&state).is_err());
    }

    #[cfg_attr(test, test)]
    pub(crate) fn devices_have_a_seed_of_their_own() {
        let g = Generator::new();
        g.manual_seed(5);
        let cpu = g.fork().lock().random();
        g.next_philox();
        g.manual_seed_devices(9);
        assert_eq!(g.next_philox(), PhiloxCall { seed: 9, offset: 0 });
        assert_eq!(g.initial_seed(), 5);
        let h = Generator::new();
        h.set_state(&g.get_state()).unwrap();
        assert_eq!(h.next_philox(), PhiloxCall { seed: 9, offset: 1 });
        assert_eq!(g.lock().random(), cpu);
        g.manual_seed(6);
        assert_eq!(g.next_philox(), PhiloxCall { seed: 6, offset: 0 });
    }

    #[cfg_attr(test, test)]
    pub(crate) fn seed_varies_and_is_53_bits() {
        let g = Generator::new();
        let (a, b) = (g.seed(), g.seed());
        assert!(a != b && a < 1 << 53 && b < 1 << 53);
        assert_eq!(g.initial_seed(), b);
    }
}
