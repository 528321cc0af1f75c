//! Pictures, event files, progress.

use super::convert::{new_handle, HandleType, IntoC};
use super::handle::Kind;
use super::types::*;
use crate::nn::Module;
use crate::show::{self, events::EventWriter, grid::Layout, progress::Progress};
use crate::{Result, Tensor};
use std::path::Path;
use std::sync::Arc;

/// PyTorch's `make_grid`.
const GRID: Layout = Layout { columns: 8, padding: 2, border: 0.0, normalize: false };

/// `taper_save_image`.
pub fn save_image(images: &Tensor, path: &Path, columns: i64, padding: i64, normalize: bool) -> Result<()> {
    let columns = if columns == 0 { GRID.columns } else { columns };
    show::save_image(images, path, &Layout { columns, padding, normalize, ..GRID })
}

/// `taper_save_plot`.
pub fn save_plot(
    series: &[Tensor],
    path: &Path,
    labels: Option<&str>,
    title: Option<&str>,
    width: i64,
    height: i64,
) -> Result<()> {
    let or = |v, default| if v == 0 { default } else { v };
    show::save_plot(series, path, labels.unwrap_or(""), title.unwrap_or(""), or(width, 800), or(height, 500))
}

/// `taper_tensor_graph_dot`.
pub fn tensor_graph_dot(output: &Tensor, m: Option<&Module>) -> Result<String> {
    show::dot(output, m)
}

/// `taper_tensor_graph_svg`.
pub fn tensor_graph_svg(output: &Tensor, m: Option<&Module>) -> Result<String> {
    show::svg(output, m)
}

impl HandleType for taper_summary_writer {
    const KIND: Kind = Kind::SummaryWriter;
    type Object = Arc<EventWriter>;
}
impl IntoC<*mut taper_summary_writer> for EventWriter {
    fn into_c(self) -> Result<*mut taper_summary_writer> {
        new_handle(Arc::new(self))
    }
}

/// `taper_summary_writer_create`.
pub fn summary_writer_create(folder: &Path, suffix: Option<&str>) -> Result<EventWriter> {
    EventWriter::create(folder, suffix.unwrap_or(""))
}

/// `taper_summary_writer_path`.
pub fn summary_writer_path(w: &Arc<EventWriter>) -> Result<String> {
    Ok(w.path().to_string_lossy().into_owned())
}

/// `taper_summary_writer_add_scalar`.
pub fn summary_writer_add_scalar(
    w: &Arc<EventWriter>,
    tag: &str,
    value: f64,
    step: i64,
    time: Option<f64>,
) -> Result<()> {
    w.scalar(tag, value, step, time)
}

/// `taper_summary_writer_add_histogram`.
pub fn summary_writer_add_histogram(
    w: &Arc<EventWriter>,
    tag: &str,
    values: &Tensor,
    step: i64,
    time: Option<f64>,
) -> Result<()> {
    w.histogram(tag, values, step, time)
}

/// `taper_summary_writer_add_image`.
pub fn summary_writer_add_image(
    w: &Arc<EventWriter>,
    tag: &str,
    images: &Tensor,
    step: i64,
    time: Option<f64>,
) -> Result<()> {
    w.image(tag, images, &GRID, step, time)
}

/// `taper_summary_writer_add_text`.
pub fn summary_writer_add_text(
    w: &Arc<EventWriter>,
    tag: &str,
    text: &str,
    step: i64,
    time: Option<f64>,
) -> Result<()> {
    w.text(tag, text, step, time)
}

/// `taper_summary_writer_add_graph`.
pub fn summary_writer_add_graph(
    w: &Arc<EventWriter>,
    output: &Tensor,
    m: Option<&Module>,
    time: Option<f64>,
) -> Result<()> {
    w.graph(output, m, time)
}

/// `taper_summary_writer_flush`.
pub fn summary_writer_flush(w: &Arc<EventWriter>) -> Result<()> {
    w.flush()
}

impl HandleType for taper_progress {
    const KIND: Kind = Kind::Progress;
    type Object = Arc<Progress>;
}
impl IntoC<*mut taper_progress> for Progress {
    fn into_c(self) -> Result<*mut taper_progress> {
        new_handle(Arc::new(self))
    }
}

/// `taper_progress_create`.
pub fn progress_create(total: u64, description: Option<&str>) -> Result<Progress> {
    Ok(Progress::new(total, description.unwrap_or("")))
}

/// `taper_progress_update`.
pub fn progress_update(p: &Arc<Progress>, steps: u64, note: Option<&str>) -> Result<()> {
    p.update(steps, note)
}

/// `taper_progress_close`.
pub fn progress_close(p: &Arc<Progress>) -> Result<()> {
    p.close();
    Ok(())
}
