//! Recording a device's work and doing it again.
//!
//! A replay repeats the same launches on the same memory, so a graph keeps every block that its launches touch: a block
//! freed meanwhile stays with the graph until that is dropped. What must differ from replay to replay (the draws of a
//! random call, an optimiser's step and learning rate) lies in one small buffer, written anew before each replay.

use super::capture::{Capture, Constant, Live, Refill, LIVE_BYTES};
use super::device::*;
use super::driver::Recording;
use super::fill;

struct GpuGraph {
    owner: &'static Gpu,
    id: u64,
    recording: Option<Box<dyn Recording>>,
    live: Vec<Refill>,
    buffer: Arc<DeviceBuffer>,
    constants: Vec<Constant>,
    launches: u64,
    /// The optimiser calls in their order.
    steps: Vec<Arc<LiveStep>>,
    /// Live values are written and used by one replay at a time.
    turn: Mutex<()>,
}

impl Graph for GpuGraph {
    fn replay(&self) -> Result<()> {
        let _turn = self.turn.lock();
        if self.owner.records() {
            bail!(Runtime, "a graph cannot be replayed while this thread captures another one");
        }
        let mut bytes = Vec::new();
        self.live.iter().for_each(|f| f(&mut bytes));
        if !bytes.is_empty() {
            self.owner.staging.upload(&*self.owner.driver, &bytes, self.buffer.mem(), 0)?;
        }
        self.recording.as_ref().expect("a graph has a recording").replay()?;
        count_launches(self.launches);
        self.owner.fault_possible.store(true, Ordering::Release);
        Ok(())
    }
    fn set_lr(&self, lr: f64) {
        self.steps.iter().for_each(|s| s.set_lr(lr));
    }
    fn set_step(&self, call: usize, lr: f64, step: u64) -> Result<()> {
        let Some(s) = self.steps.get(call) else {
            bail!(Index, "optimizer call {call} is out of range: the graph has {}", self.steps.len());
        };
        s.set_lr(lr);
        s.set_count(step - 1);
        Ok(())
    }
}

impl Drop for GpuGraph {
    fn drop(&mut self) {
        self.recording = None;
        self.constants.clear();
        self.owner.allocator.end_graph(&*self.owner.driver, self.id);
    }
}

impl Gpu {
    /// A place for `words` 64-bit words that `refill` gives anew for each replay; None when this thread records nothing.
    pub(super) fn live(&self, words: usize, refill: impl FnOnce() -> Refill) -> Result<Option<Live>> {
        if !self.capturing.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let made = self.recorded(|c| {
            if c.live_bytes + words * 8 > LIVE_BYTES {
                bail!(Runtime, "a graph can hold {} random calls and optimiser launches at most", LIVE_BYTES / 64);
            }
            let at = c.live_bytes as i64 / 8;
            c.live.push(refill());
            c.live_bytes += words * 8;
            Ok((c.buffer.clone(), at))
        });
        made.transpose()
    }

    /// In a recording: notes an optimiser's step, and gives what it follows. The first step is refused.
    pub(super) fn record_step(
        &self,
        kind: &StepKind,
        live: Option<(&Arc<LiveStep>, bool)>,
    ) -> Result<Option<Arc<LiveStep>>> {
        if !self.records() {
            return Ok(None);
        }
        let (first, step) = match kind {
            StepKind::Sgd { momentum, momentum_init, .. } => (*momentum_init && *momentum != 0.0, 1.0),
            StepKind::Adam { step, .. } => (*step < 2.0, *step),
            StepKind::Program { .. } => (false, 1.0),
        };
        if first {
            bail!(
                Runtime,
                "an optimizer's first step cannot be captured, because it makes the optimizer's state: run one step \
                 before the capture"
            );
        }
        let (live, opens) = match live {
            Some((l, opens)) => (l.clone(), opens),
            None => (Arc::new(LiveStep::new(step as u64 - 1)), true),
        };
        if opens {
            // A value of no words: counting on comes before the parts of this step are written.
            let counted = live.clone();
            self.live(0, || Box::new(move |_| counted.advance()))?;
            self.recorded(|c| c.steps.push(live.clone()));
        }
        Ok(Some(live))
    }

    /// The live hyperparameters of one launch of an optimiser's step.
    pub(super) fn live_step(&self, kind: &StepKind, live: Arc<LiveStep>, double: bool) -> Result<Option<Live>> {
        let kind = kind.clone();
        let refill = move || -> Refill {
            Box::new(move |out| {
                let mut kind = kind.clone();
                match &mut kind {
                    StepKind::Sgd { lr, .. } => *lr = live.lr().unwrap_or(*lr),
                    StepKind::Adam { lr, step, .. } => {
                        *lr = live.lr().unwrap_or(*lr);
                        *step = live.count() as f64;
                    }
                    StepKind::Program { .. } => {}
                }
                let start = out.len();
                for h in fill::hyperparameters(&kind) {
                    match double {
                        true => out.extend_from_slice(&h.to_le_bytes()),
                        false => out.extend_from_slice(&(h as f32).to_le_bytes()),
                    }
                }
                out.resize(start + 64, 0);
            })
        };
        self.live(8, refill)
    }

    /// Records an upload: the bytes of now are copied at each replay.
    pub(super) fn record_upload(&self, src: &[u8], mem: &Mem, offset: usize) -> Result<()> {
        let driver = &*self.forever().driver;
        let constant = Constant { driver, ptr: self.driver.pinned(src.len().max(1))? };
        // SAFETY: as many bytes were allocated; they stay until the graph is dropped.
        unsafe {
            std::ptr::copy_nonoverlapping(src.as_ptr(), constant.ptr.as_ptr(), src.len());
            drop(self.driver.write_async(mem, offset, constant.ptr.as_ptr(), src.len())?);
        }
        self.recorded(|c| c.constants.push(constant));
        Ok(())
    }

    pub(super) fn start_capture(&self) -> Result<()> {
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        let mut slot = self.capture.lock();
        if slot.is_some() {
            bail!(Runtime, "a graph is already being captured on {}", self.device);
        }
        let buffer = Arc::new(self.scratch(LIVE_BYTES)?);
        self.driver.begin_capture()?;
        let id = SERIAL.fetch_add(1, Ordering::Relaxed);
        self.allocator.begin_graph(id);
        *slot = Some(Capture {
            thread: std::thread::current().id(),
            id,
            live: Vec::new(),
            live_bytes: 0,
            buffer,
            constants: Vec::new(),
            launches: 0,
            steps: Vec::new(),
        });
        self.capturing.store(true, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn finish_capture(&self) -> Result<Box<dyn Graph>> {
        let c = {
            let mut slot = self.capture.lock();
            match slot.take_if(|c| c.thread == std::thread::current().id()) {
                Some(c) => c,
                None => bail!(Runtime, "this thread captures no graph on {}", self.device),
            }
        };
        self.capturing.store(false, Ordering::Relaxed);
        self.allocator.close_graph(c.id);
        let recording = match self.driver.end_capture() {
            Ok(r) => r,
            Err(e) => {
                self.allocator.end_graph(&*self.driver, c.id);
                return Err(e);
            }
        };
        Ok(Box::new(GpuGraph {
            owner: self.forever(),
            id: c.id,
            recording: Some(recording),
            live: c.live,
            buffer: c.buffer,
            constants: c.constants,
            launches: c.launches,
            steps: c.steps,
            turn: Mutex::new(()),
        }))
    }
}
