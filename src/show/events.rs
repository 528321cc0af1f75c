//! Event files for TensorBoard: records of TensorFlow's format (length, masked CRC-32C, bytes, masked CRC-32C), each an Event
//! of its protocol buffers. Every event is on its way to the disk when the call returns.

use super::checksum::masked_crc32c;
use super::graph;
use super::grid::{picture, Layout};
use super::png;
use super::protobuf::Message;
use crate::backend::memory;
use crate::base::sync::Mutex;
use crate::io::file::io_error;
use crate::nn::Module;
use crate::{autograd, bail, ensure, ops, DType, Device, Result, Tensor};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A file of events that grows. Any thread may write.
pub struct EventWriter {
    path: PathBuf,
    file: Mutex<File>,
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .map(|s| s.trim().chars().filter(|c| c.is_ascii_alphanumeric() || "-._".contains(*c)).collect::<String>())
        .filter(|s| !s.is_empty())
        .unwrap_or_else(|| "localhost".into())
}

impl EventWriter {
    /// Begins a file in `folder`, which is made where it is missing. Its name is the one that TensorBoard looks for, with
    /// `suffix` behind.
    pub fn create(folder: &Path, suffix: &str) -> Result<EventWriter> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        ensure!(
            suffix.len() <= 100 && !suffix.contains(['/', '\\', '\0']),
            Value,
            "a suffix is at most 100 bytes long and without slashes, got {suffix:?}"
        );
        std::fs::create_dir_all(folder).map_err(|e| io_error("create the folder", folder, e))?;
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("events.out.tfevents.{:010}.{}.{}.{n}{suffix}", now() as u64, host(), std::process::id());
        let path = folder.join(name);
        let file =
            OpenOptions::new().append(true).create_new(true).open(&path).map_err(|e| io_error("create", &path, e))?;
        let writer = EventWriter { path, file: Mutex::new(file) };
        writer.event(None, None, |e| e.text(3, "brain.Event:2"))?;
        Ok(writer)
    }
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// Has the system write what it still holds.
    pub fn flush(&self) -> Result<()> {
        self.file.lock().sync_data().map_err(|e| io_error("write", &self.path, e))
    }
    fn event(
        &self,
        step: Option<i64>,
        time: Option<f64>,
        write: impl FnOnce(&mut Message) -> Result<()>,
    ) -> Result<()> {
        let mut event = Message::default();
        event.double(1, time.unwrap_or_else(now))?;
        if let Some(step) = step {
            event.int(2, step)?;
        }
        write(&mut event)?;
        let bytes = event.0;
        let mut record = memory::with_capacity(bytes.len() + 16)?;
        let length = (bytes.len() as u64).to_le_bytes();
        record.extend(length);
        record.extend(masked_crc32c(&length).to_le_bytes());
        record.extend(&bytes);
        record.extend(masked_crc32c(&bytes).to_le_bytes());
        // One write, so that records of several processes or a full disk leave whole ones before.
        self.file.lock().write_all(&record).map_err(|e| io_error("write", &self.path, e))
    }
    fn value(
        &self,
        tag: &str,
        step: i64,
        time: Option<f64>,
        write: impl FnOnce(&mut Message) -> Result<()>,
    ) -> Result<()> {
        ensure!(!tag.is_empty(), Value, "a tag must have at least one character");
        self.event(Some(step), time, |e| {
            e.message(5, |summary| {
                summary.message(1, |v| {
                    v.text(1, tag)?;
                    write(v)
                })
            })
        })
    }
    /// A number.
    pub fn scalar(&self, tag: &str, value: f64, step: i64, time: Option<f64>) -> Result<()> {
        self.value(tag, step, time, |v| v.float(2, value as f32))
    }
    /// How the elements are spread over buckets that grow by a tenth. NaN and infinities are left out.
    pub fn histogram(&self, tag: &str, values: &Tensor, step: i64, time: Option<f64>) -> Result<()> {
        let t = autograd::no_grad(|| ops::to(&ops::detach(values)?, Some(DType::F64), Some(Device::CPU), false))?;
        let mut data = t.to_vec::<f64>()?;
        data.retain(|v| v.is_finite());
        if data.is_empty() {
            bail!(Value, "a histogram needs at least one finite value, got a tensor of {} without", values.numel());
        }
        data.sort_unstable_by(f64::total_cmp);
        let mut limits = Vec::new();
        let mut v = 1e-12;
        while v < 1e20 {
            limits.push(v);
            v *= 1.1;
        }
        let bounds: Vec<f64> = limits.iter().rev().map(|v| -v).chain([0.0]).chain(limits.iter().copied()).collect();
        // Bucket i reaches from bounds[i] to bounds[i + 1], the last one with its end; what lies beyond is in none.
        let mut counts = vec![0.0; bounds.len() - 1];
        for v in &data {
            let i = bounds.partition_point(|b| b <= v);
            let at_end = *v == bounds[bounds.len() - 1];
            if i > 0 && (i < bounds.len() || at_end) {
                let last = counts.len();
                counts[i.min(last) - 1] += 1.0;
            }
        }
        // Empty buckets at both ends go, but one on the left, whose end is where the first begins.
        let first = counts.iter().position(|c| *c > 0.0).unwrap_or(0);
        let last = counts.iter().rposition(|c| *c > 0.0).unwrap_or(0);
        let (ends, mut shown) = (&bounds[first..=last + 1], vec![0.0]);
        shown.extend(&counts[first..=last]);
        let sum: f64 = data.iter().sum();
        let squares: f64 = data.iter().map(|v| v * v).sum();
        self.value(tag, step, time, |v| {
            v.message(5, |h| {
                h.double(1, data[0])?;
                h.double(2, data[data.len() - 1])?;
                h.double(3, data.len() as f64)?;
                h.double(4, sum)?;
                h.double(5, squares)?;
                h.doubles(6, ends)?;
                h.doubles(7, &shown)
            })
        })
    }
    /// A picture: [H, W], [C, H, W] or a batch side by side, as `save_image` takes it.
    pub fn image(&self, tag: &str, images: &Tensor, layout: &Layout, step: i64, time: Option<f64>) -> Result<()> {
        let image = picture(images, layout)?;
        let bytes = png::encode(&image)?;
        self.value(tag, step, time, |v| {
            v.message(4, |i| {
                i.int(1, image.height as i64)?;
                i.int(2, image.width as i64)?;
                i.int(3, 3)?; // red, green, blue
                i.bytes(4, &bytes)
            })
        })
    }
    /// A text, which TensorBoard reads as Markdown.
    pub fn text(&self, tag: &str, text: &str, step: i64, time: Option<f64>) -> Result<()> {
        ensure!(!tag.is_empty(), Value, "a tag must have at least one character");
        self.value(&format!("{tag}/text_summary"), step, time, |v| {
            v.message(9, |metadata| metadata.message(1, |plugin| plugin.text(1, "text")))?;
            v.message(8, |tensor| {
                tensor.int(1, 7)?; // strings
                tensor.message(2, |shape| shape.message(2, |dim| dim.int(1, 1)))?;
                tensor.text(8, text)
            })
        })
    }
    /// The graph of what was recorded behind `output`; parameters have their names in `module`.
    pub fn graph(&self, output: &Tensor, module: Option<&Module>, time: Option<f64>) -> Result<()> {
        let all = graph::items(output, module)?;
        let name = |i: usize| {
            let item = &all[i];
            // A name's dots become the levels that TensorBoard folds.
            format!("{}_{i}", item.name.replace('.', "/"))
        };
        let mut def = Message::default();
        for (i, item) in all.iter().enumerate() {
            def.message(1, |node| {
                node.text(1, &name(i))?;
                node.text(2, if item.leaf { "Leaf" } else { &item.name })?;
                item.inputs.iter().try_for_each(|from| node.text(3, &name(*from)))?;
                node.message(5, |entry| {
                    entry.text(1, "shape")?;
                    entry.message(2, |value| value.text(2, &item.shape))
                })
            })?;
        }
        def.message(4, |versions| versions.int(1, 22))?;
        self.event(None, time, |e| e.bytes(4, &def.0))
    }
}
