//! Curves as a picture: PNG, or SVG where the file's name ends so.

use super::canvas::{Canvas, Colour, LETTER};
use super::graph::escaped;
use super::png;
use crate::backend::memory;
use crate::io::file::Writer;
use crate::{ensure, ops, DType, Device, Result, Tensor};
use std::fmt::Write;
use std::path::Path;

/// One curve.
struct Curve<'a> {
    label: &'a str,
    points: Vec<(f64, f64)>,
}

/// Distinguishable for most eyes (Okabe and Ito 2008).
const COLOURS: [Colour; 7] =
    [[0, 114, 178], [213, 94, 0], [0, 158, 115], [204, 121, 167], [230, 159, 0], [86, 180, 233], [0, 0, 0]];
const GRID: Colour = [222, 222, 222];
const PAPER: Colour = [255, 255, 255];
const INK: Colour = [40, 40, 40];

/// About `wanted` round numbers within a range (steps of 1, 2 or 5 times a power of ten).
fn ticks(low: f64, high: f64, wanted: f64) -> (Vec<f64>, usize) {
    let rough = (high - low) / wanted;
    let unit = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * unit).find(|s| *s >= rough * 0.999).unwrap_or(unit * 10.0);
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    let first = (low / step).ceil();
    let mut all = Vec::new();
    for i in 0..64 {
        let v = (first + i as f64) * step;
        if v > high + step * 1e-9 {
            break;
        }
        // Not -0.
        all.push(if v == 0.0 { 0.0 } else { v });
    }
    (all, decimals)
}
fn number(v: f64, decimals: usize) -> String {
    if v.abs() >= 1e6 || (v != 0.0 && decimals > 5) {
        format!("{v:.1e}")
    } else {
        format!("{v:.decimals$}")
    }
}

/// The range of finite values, a little wider where it is a point.
fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    values.filter(|v| v.is_finite()).for_each(|v| (low, high) = (low.min(v), high.max(v)));
    if low > high {
        return None;
    }
    if high - low <= high.abs().max(low.abs()) * 1e-12 {
        let around = if high == 0.0 { 1.0 } else { high.abs() * 0.1 };
        return Some((low - around, high + around));
    }
    Some((low, high))
}

/// What is drawn where: corners in pixels and in values.
struct Frame {
    width: i64,
    height: i64,
    left: i64,
    top: i64,
    right: i64,
    bottom: i64,
    x: (f64, f64),
    y: (f64, f64),
}
impl Frame {
    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let across = (x - self.x.0) / (self.x.1 - self.x.0);
        let up = (y - self.y.0) / (self.y.1 - self.y.0);
        let (w, h) = ((self.right - self.left) as f64, (self.bottom - self.top) as f64);
        (self.left as f64 + across * w, self.bottom as f64 - up * h)
    }
}

fn curves<'a>(series: &[Tensor], labels: &'a str) -> Result<Vec<Curve<'a>>> {
    let mut labels = labels.split('\n');
    let mut all = memory::with_capacity(series.len())?;
    for (i, t) in series.iter().enumerate() {
        let shape = t.shape();
        let pairs = matches!(shape[..], [_, 2]);
        ensure!(
            shape.len() == 1 || pairs,
            Value,
            "a curve is [n] values or [n, 2] pairs of x and y; series {i} has the shape {:?}",
            &shape[..]
        );
        let t = crate::autograd::no_grad(|| ops::to(&ops::detach(t)?, Some(DType::F64), Some(Device::CPU), false))?;
        let data = t.to_vec::<f64>()?;
        let points = match pairs {
            true => memory::collect(data.chunks_exact(2).map(|p| (p[0], p[1])))?,
            false => memory::collect(data.iter().enumerate().map(|(i, y)| (i as f64, *y)))?,
        };
        all.push(Curve { label: labels.next().unwrap_or(""), points });
    }
    Ok(all)
}

/// Draws curves, one for each tensor: [n] values over 0, 1, 2 .., or [n, 2] pairs of x and y. What is not finite leaves a gap.
/// `labels` has a line of text for each; `title` stands above.
pub fn save_plot(series: &[Tensor], path: &Path, labels: &str, title: &str, width: i64, height: i64) -> Result<()> {
    ensure!(
        (200..=8192).contains(&width) && (150..=8192).contains(&height),
        Value,
        "a plot is 200 to 8192 pixels wide and 150 to 8192 high, got {width} x {height}"
    );
    ensure!(!series.is_empty(), Value, "there is nothing to plot");
    let curves = curves(series, labels)?;
    let both = || curves.iter().flat_map(|c| &c.points).filter(|p| p.0.is_finite() && p.1.is_finite());
    let x = range(both().map(|p| p.0)).unwrap_or((0.0, 1.0));
    let (low, high) = range(both().map(|p| p.1)).unwrap_or((0.0, 1.0));
    let margin = (high - low) * 0.05;
    ensure!(
        (x.1 - x.0).is_finite() && (high - low + 2.0 * margin).is_finite(),
        Value,
        "the values reach too far to be drawn: x from {} to {}, y from {low} to {high}",
        x.0,
        x.1
    );
    let y = (low - margin, high + margin);
    let (ys, decimals) = ticks(y.0, y.1, height as f64 / 70.0);
    let widest = ys.iter().map(|v| number(*v, decimals).len()).max().unwrap_or(1) as i64;
    let top = if title.is_empty() { 16 } else { 38 };
    let frame =
        Frame { width, height, left: 18 + widest * LETTER.0, top, right: width - 18, bottom: height - 34, x, y };
    let xs = ticks(x.0, x.1, width as f64 / 110.0);
    let vector = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("svg"));
    let bytes = match vector {
        true => as_svg(&curves, &frame, title, &xs, &(ys, decimals))?.into_bytes(),
        false => as_png(&curves, &frame, title, &xs, &(ys, decimals))?,
    };
    let mut file = Writer::begin(path)?;
    file.write(&bytes)?;
    file.commit()
}

type Ticks = (Vec<f64>, usize);

fn as_png(curves: &[Curve], f: &Frame, title: &str, xs: &Ticks, ys: &Ticks) -> Result<Vec<u8>> {
    let mut c = Canvas::new(f.width as usize, f.height as usize)?;
    for v in &xs.0 {
        let at = f.place((*v, f.y.0)).0 as i64;
        c.rectangle(at, f.top, 1, f.bottom - f.top, GRID);
        let text = number(*v, xs.1);
        c.text(at - text.len() as i64 * LETTER.0 / 2, f.bottom + 8, &text, INK);
    }
    for v in &ys.0 {
        let at = f.place((f.x.0, *v)).1 as i64;
        c.rectangle(f.left, at, f.right - f.left, 1, GRID);
        let text = number(*v, ys.1);
        c.text(f.left - 8 - text.len() as i64 * LETTER.0, at - LETTER.1 / 2, &text, INK);
    }
    c.rectangle(f.left, f.bottom, f.right - f.left, 1, INK);
    c.rectangle(f.left, f.top, 1, f.bottom - f.top, INK);
    for (i, curve) in curves.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        for pair in curve.points.windows(2) {
            if pair.iter().all(|p| p.0.is_finite() && p.1.is_finite()) {
                c.line(f.place(pair[0]), f.place(pair[1]), 1.6, colour);
            }
        }
        if let [only] = curve.points[..] {
            if only.0.is_finite() && only.1.is_finite() {
                let at = f.place(only);
                c.line(at, at, 5.0, colour);
            }
        }
    }
    let named = || curves.iter().enumerate().filter(|(_, c)| !c.label.is_empty());
    let longest = named().map(|(_, c)| c.label.chars().count()).max().unwrap_or(0) as i64;
    let box_left = (f.right - 44 - longest * LETTER.0).max(f.left + 8);
    let lines = named().count() as i64;
    if lines > 0 {
        let (w, h) = (f.right - box_left, lines * (LETTER.1 + 4) + 8);
        c.wash(box_left - 8, f.top + 4, w + 8, h.min(f.bottom - f.top), PAPER, 0.85);
    }
    for (line, (i, curve)) in named().enumerate() {
        let y = f.top + 10 + line as i64 * (LETTER.1 + 4);
        c.line(
            (box_left as f64, y as f64 + 7.0),
            (box_left as f64 + 22.0, y as f64 + 7.0),
            2.0,
            COLOURS[i % COLOURS.len()],
        );
        c.text(box_left + 30, y, curve.label, INK);
    }
    c.text((f.width - title.chars().count() as i64 * LETTER.0) / 2, 12, title, INK);
    png::encode(&c.0)
}

fn hex(c: Colour) -> String {
    format!("#{:02x}{:02x}{:02x}", c[0], c[1], c[2])
}

fn as_svg(curves: &[Curve], f: &Frame, title: &str, xs: &Ticks, ys: &Ticks) -> Result<String> {
    let mut s = String::new();
    let (ink, grid) = (hex(INK), hex(GRID));
    let _ = writeln!(
        s,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"{ink}\">\n<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>",
        f.width, f.height
    );
    for v in &xs.0 {
        let at = f.place((*v, f.y.0)).0;
        let _ = writeln!(s, "<path d=\"M{at:.1} {}V{}\" stroke=\"{grid}\"/>", f.top, f.bottom);
        let _ = writeln!(
            s,
            "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            f.bottom + 18,
            number(*v, xs.1)
        );
    }
    for v in &ys.0 {
        let at = f.place((f.x.0, *v)).1;
        let _ = writeln!(s, "<path d=\"M{} {at:.1}H{}\" stroke=\"{grid}\"/>", f.left, f.right);
        let _ = writeln!(
            s,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            f.left - 6,
            at + 4.0,
            number(*v, ys.1)
        );
    }
    let _ =
        writeln!(s, "<path d=\"M{0} {1}V{2}H{3}\" fill=\"none\" stroke=\"{ink}\"/>", f.left, f.top, f.bottom, f.right);
    for (i, curve) in curves.iter().enumerate() {
        let colour = hex(COLOURS[i % COLOURS.len()]);
        memory::reserve_text(&mut s, 200 + 16 * curve.points.len())?;
        let _ = write!(s, "<path fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\" stroke-linecap=\"round\" d=\"");
        let mut drawing = false;
        for p in &curve.points {
            if !(p.0.is_finite() && p.1.is_finite()) {
                drawing = false;
                continue;
            }
            let (x, y) = f.place(*p);
            // A point alone is a line of no length, whose ends are round.
            let _ = if drawing { write!(s, "L{x:.1} {y:.1}") } else { write!(s, "M{x:.1} {y:.1}h0") };
            drawing = true;
        }
        s.push_str("\"/>\n");
    }
    let named = || curves.iter().enumerate().filter(|(_, c)| !c.label.is_empty());
    let longest = named().map(|(_, c)| c.label.chars().count()).max().unwrap_or(0);
    if longest > 0 {
        let w = (longest as i64 * 7 + 44).min(f.right - f.left);
        let _ = writeln!(
            s,
            "<rect x=\"{}\" y=\"{}\" width=\"{w}\" height=\"{}\" fill=\"white\" fill-opacity=\"0.85\"/>",
            f.right - w,
            f.top + 4,
            named().count() * 18 + 4
        );
    }
    for (line, (i, curve)) in named().enumerate() {
        let colour = hex(COLOURS[i % COLOURS.len()]);
        let y = f.top + 18 + line as i64 * 18;
        let _ = writeln!(
            s,
            "<path d=\"M{} {}h22\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <text x=\"{}\" y=\"{y}\" text-anchor=\"end\">{}</text>",
            f.right - 28,
            y - 4,
            f.right - 34,
            escaped(curve.label)
        );
    }
    if !title.is_empty() {
        let _ = writeln!(
            s,
            "<text x=\"{}\" y=\"24\" text-anchor=\"middle\" font-size=\"15\">{}</text>",
            f.width / 2,
            escaped(title)
        );
    }
    s.push_str("</svg>\n");
    Ok(s)
}
