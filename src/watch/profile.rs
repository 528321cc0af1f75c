//! What ops cost: times, calls, bytes, memory and multiply-adds of this thread, as a table and as a trace.

use super::{count, PROFILE};
use crate::backend;
use crate::base::device::Device;
use crate::base::error::{Error, ErrorKind, Result};
use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Instant;

/// What an event stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An op of the table.
    Op,
    /// A node of a backward pass.
    Backward,
    /// A call that consists of others: a module's forward, a step of an optimiser.
    Call,
    /// What the program named.
    Range,
}
impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Op => "op",
            Kind::Backward => "backward",
            Kind::Call => "call",
            Kind::Range => "range",
        }
    }
}

/// An event's name: the library's own, or one that the program gave.
#[derive(Clone)]
enum Name {
    Own(&'static str),
    Given(Arc<str>),
}
impl Name {
    fn text(&self) -> &str {
        match self {
            Name::Own(s) => s,
            Name::Given(s) => s,
        }
    }
}

/// One finished event; times in nanoseconds from the profile's beginning.
struct Event {
    name: Name,
    kind: Kind,
    depth: u32,
    start: u64,
    duration: u64,
    /// Without what ran inside it.
    own: u64,
    /// Of the tensors that it was given.
    bytes: u64,
    /// How much more memory its device holds afterwards, and that without what ran inside.
    memory: i64,
    own_memory: i64,
    macs: u64,
    shapes: Option<Box<str>>,
}

struct Open {
    name: Name,
    kind: Option<Kind>,
    start: u64,
    inside: u64,
    memory: i64,
    memory_inside: i64,
    macs: u64,
    bytes: u64,
    device: Device,
    shapes: Option<Box<str>>,
}

/// What a profile notes besides times.
#[derive(Clone, Copy, Default, Debug)]
pub struct Options {
    /// Wait for the device after each op, so that its time is the device's and not that of handing it over.
    pub synchronize: bool,
    /// Keep the shapes of the tensors.
    pub shapes: bool,
}

struct Recorder {
    /// Tells profiles apart.
    number: u64,
    began: Instant,
    options: Options,
    open: Vec<Open>,
    events: Vec<Event>,
    total: u64,
}

thread_local! {
    static RECORDER: RefCell<Option<Recorder>> = const { RefCell::new(None) };
}
static PROFILES: AtomicU64 = AtomicU64::new(0);

fn with<R>(f: impl FnOnce(&mut Recorder) -> R) -> Option<R> {
    RECORDER.try_with(|r| r.try_borrow_mut().ok().and_then(|mut r| r.as_mut().map(f))).ok().flatten()
}

/// Begins a profile of this thread; one that was being taken, or its results, are gone.
pub fn start(options: Options) {
    let number = PROFILES.fetch_add(1, Ordering::Relaxed);
    let fresh = Recorder { number, began: Instant::now(), options, open: Vec::new(), events: Vec::new(), total: 0 };
    let _ = RECORDER.try_with(|r| r.replace(Some(fresh)));
    super::set(PROFILE, true);
}

/// Ends it; the results stay readable on this thread until the next one begins.
pub fn stop() -> Result<()> {
    if !super::set(PROFILE, false) {
        crate::bail!(Runtime, "no profile is being taken on this thread");
    }
    while with(|r| !r.open.is_empty()) == Some(true) {
        close();
    }
    with(|r| r.total = r.began.elapsed().as_nanos() as u64);
    Ok(())
}

fn held(device: Device) -> i64 {
    backend::get(device).map_or(0, |b| b.memory_stats().allocated as i64)
}

fn open(name: Name, kind: Option<Kind>) -> Span {
    let memory = held(Device::CPU);
    let at = with(|r| {
        let start = r.began.elapsed().as_nanos() as u64;
        r.open.push(Open {
            name,
            kind,
            start,
            inside: 0,
            memory,
            memory_inside: 0,
            macs: count::multiply_adds(),
            bytes: 0,
            device: Device::CPU,
            shapes: None,
        });
        (r.number, r.open.len())
    });
    Span(at.unwrap_or((u64::MAX, 0)))
}

fn close() {
    let Some((device, synchronize)) = with(|r| r.open.last().map(|o| (o.device, r.options.synchronize))).flatten()
    else {
        return;
    };
    if synchronize && !device.is_cpu() {
        // Its own error comes from the next op.
        let _ = backend::get(device).and_then(|b| b.synchronize());
    }
    let memory = held(device);
    with(|r| {
        let Some(o) = r.open.pop() else { return };
        let duration = (r.began.elapsed().as_nanos() as u64).saturating_sub(o.start);
        let grown = memory - o.memory;
        if let Some(around) = r.open.last_mut() {
            // What is no event of its own belongs to the one around with what is inside.
            around.inside += if o.kind.is_some() { duration } else { o.inside };
            around.memory_inside += if o.kind.is_some() { grown } else { o.memory_inside };
        }
        let Some(kind) = o.kind else { return };
        r.events.push(Event {
            depth: r.open.iter().filter(|o| o.kind.is_some()).count() as u32,
            name: o.name,
            kind,
            start: o.start,
            duration,
            own: duration.saturating_sub(o.inside),
            bytes: o.bytes,
            memory: grown,
            own_memory: grown - o.memory_inside,
            macs: count::multiply_adds().wrapping_sub(o.macs),
            shapes: o.shapes,
        });
    });
}

/// An event that ends when this is dropped: the profile's number, and how many were open with it.
pub struct Span((u64, usize));
impl Drop for Span {
    fn drop(&mut self) {
        let (number, depth) = self.0;
        // Ranges that were left open inside end with it; another profile has events of its own.
        while with(|r| r.number == number && r.open.len() >= depth) == Some(true) {
            close();
        }
    }
}

/// A backward node's event.
pub fn node(name: &str) -> Span {
    open(Name::Given(name.into()), Some(Kind::Backward))
}
/// A call of which is not known yet whether it is worth an event.
pub fn call(name: &'static str) -> Span {
    open(Name::Own(name), WORTH.contains(&name).then_some(Kind::Call))
}
/// Calls that are no ops but events.
const WORTH: [&str; 8] = [
    "backward",
    "grad",
    "module_forward",
    "module_forward_list",
    "optimizer_step",
    "function_apply",
    "graph_replay",
    "tensor_index",
];

/// Whether shapes are noted.
pub fn wants_shapes() -> bool {
    with(|r| r.options.shapes).unwrap_or(false)
}

/// The innermost open call is the op `name`, given so many bytes on a device.
pub fn is_op(name: &'static str, bytes: u64, device: Device, shapes: Option<String>) {
    let memory = (!device.is_cpu()).then(|| held(device));
    with(|r| {
        if let Some(o) = r.open.last_mut() {
            (o.name, o.kind, o.bytes, o.device) = (Name::Own(name), Some(Kind::Op), bytes, device);
            o.memory = memory.unwrap_or(o.memory);
            o.shapes = shapes.map(String::into_boxed_str);
        }
    });
}

/// Opens a range that the program names; without a profile nothing happens.
pub fn push(name: &str) {
    if super::word() & PROFILE != 0 {
        std::mem::forget(open(Name::Given(name.into()), Some(Kind::Range)));
    }
}
/// Closes the innermost event where that is a range.
pub fn pop() {
    if super::word() & PROFILE != 0
        && with(|r| r.open.last().is_some_and(|o| o.kind == Some(Kind::Range))) == Some(true)
    {
        close();
    }
}

fn nothing() -> Error {
    Error::new(ErrorKind::Runtime, "no profile has been taken on this thread")
}

/// A text as JSON writes it.
fn quoted(s: &str) -> String {
    serde_json::Value::from(s).to_string()
}

/// The events as JSON, in the order in which they ended: an array of objects.
pub fn events() -> Result<String> {
    with(|r| {
        let mut s = String::from("[");
        for (i, e) in r.events.iter().enumerate() {
            s += if i == 0 { "{\"name\": " } else { ",\n{\"name\": " };
            s += &quoted(e.name.text());
            let _ = write!(
                s,
                ", \"kind\": \"{}\", \"depth\": {}, \"start_ns\": {}, \"duration_ns\": {}, \"self_ns\": {}, \"bytes\": {}, \
                 \"memory\": {}, \"self_memory\": {}, \"macs\": {}, \"shapes\": \"{}\"}}",
                e.kind.name(),
                e.depth,
                e.start,
                e.duration,
                e.own,
                e.bytes,
                e.memory,
                e.own_memory,
                e.macs,
                e.shapes.as_deref().unwrap_or("")
            );
        }
        s + "]"
    })
    .ok_or_else(nothing)
}

/// The events in the format that chrome://tracing and Perfetto read.
pub fn chrome_trace() -> Result<String> {
    let pid = std::process::id();
    with(|r| {
        let mut s = String::from("{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\n");
        for (i, e) in r.events.iter().enumerate() {
            s += if i == 0 { "{\"ph\": \"X\", \"name\": " } else { ",\n{\"ph\": \"X\", \"name\": " };
            s += &quoted(e.name.text());
            let _ = write!(
                s,
                ", \"cat\": \"{}\", \"pid\": {pid}, \"tid\": 1, \"ts\": {:.3}, \"dur\": {:.3}, \"args\": {{\"bytes\": {}, \
                 \"memory\": {}, \"multiply-adds\": {}, \"shapes\": \"{}\"}}}}",
                e.kind.name(),
                e.start as f64 / 1e3,
                e.duration as f64 / 1e3,
                e.bytes,
                e.memory,
                e.macs,
                e.shapes.as_deref().unwrap_or("")
            );
        }
        s + "\n]}\n"
    })
    .ok_or_else(nothing)
}

#[derive(Default, Clone)]
struct Row {
    calls: u64,
    own: u64,
    total: u64,
    bytes: u64,
    own_memory: i64,
    macs: u64,
}

/// A time as PyTorch's tables write it.
fn time(ns: u64) -> String {
    match ns as f64 / 1e3 {
        us if us >= 1e6 => format!("{:.3}s", us / 1e6),
        us if us >= 1e3 => format!("{:.3}ms", us / 1e3),
        us => format!("{us:.3}us"),
    }
}
fn size(bytes: i64) -> String {
    let b = bytes as f64;
    match b.abs() {
        x if x >= 1e9 => format!("{:.2} GB", b / (1u64 << 30) as f64),
        x if x >= 1e6 => format!("{:.2} MB", b / (1u64 << 20) as f64),
        x if x >= 1e3 => format!("{:.2} KB", b / 1024.0),
        _ => format!("{bytes} B"),
    }
}

/// One row per name, the most own time first, at most `rows` (0: all).
pub fn table(rows: usize) -> Result<String> {
    with(|r| {
        let mut by_name: FxHashMap<&str, Row> = FxHashMap::default();
        for e in &r.events {
            let row = by_name.entry(e.name.text()).or_default();
            row.calls += 1;
            row.own += e.own;
            row.total += e.duration;
            row.bytes += e.bytes;
            row.own_memory += e.own_memory;
            row.macs += e.macs;
        }
        let mut sorted: Vec<(&str, Row)> = by_name.into_iter().collect();
        sorted.sort_by(|a, b| b.1.own.cmp(&a.1.own).then(a.0.cmp(b.0)));
        let all: u64 = sorted.iter().map(|(_, r)| r.own).sum();
        let shown = if rows == 0 { sorted.len() } else { rows.min(sorted.len()) };
        let width = sorted[..shown].iter().map(|(n, _)| n.chars().count()).max().unwrap_or(0).max(4);
        let line = "-".repeat(width + 97);
        let mut s = format!(
            "{line}\n{:width$} {:>8} {:>12} {:>8} {:>12} {:>12} {:>12} {:>12} {:>13}\n{line}\n",
            "Name", "Calls", "Self time", "Self %", "Total time", "Time avg", "Bytes", "Self memory", "Multiply-adds"
        );
        for (name, row) in &sorted[..shown] {
            let _ = writeln!(
                s,
                "{name:width$} {:>8} {:>12} {:>7.2}% {:>12} {:>12} {:>12} {:>12} {:>13}",
                row.calls,
                time(row.own),
                100.0 * row.own as f64 / all.max(1) as f64,
                time(row.total),
                time(row.total / row.calls),
                size(row.bytes as i64),
                size(row.own_memory),
                row.macs
            );
        }
        let _ = writeln!(s, "{line}\nSelf time total: {}; whole profile: {}", time(all), time(r.total));
        s
    })
    .ok_or_else(nothing)
}
