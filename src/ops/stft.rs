//! Transforms of a signal's overlapping pieces, and the signal of them. Composed of recorded ops.

use super::fft::{c2c, c2r, r2c, Norm};
use super::*;
use crate::{bail, ensure, Dims};
use std::fmt::Write;

/// How PyTorch's messages name a type.
fn named(a: &Tensor) -> String {
    match a.dtype() {
        d if d.is_complex() => format!("CPU{}Type", d.scalar_name()),
        d => format!("torch.{}Tensor", d.scalar_name()),
    }
}
fn sizes(s: &[i64]) -> String {
    let mut out = String::from("[");
    for (i, n) in s.iter().enumerate() {
        let _ = write!(out, "{}{n}", if i > 0 { ", " } else { "" });
    }
    out + "]"
}
fn maybe(b: Option<bool>) -> &'static str {
    match b {
        None => "None",
        Some(false) => "0",
        Some(true) => "1",
    }
}
fn window_named(w: Option<&Tensor>) -> String {
    w.map_or("None".into(), |w| format!("{}{{{}}}", named(w), sizes(&w.shape())))
}

/// The transforms of the pieces of n_fft samples, hop_length apart, of signals [length] or [batch, length], times the window:
/// [.., frequencies, pieces], complex, or with a last dimension of two.
pub fn stft(
    a: &Tensor,
    n_fft: i64,
    hop_length: Option<i64>,
    win_length: Option<i64>,
    window: Option<&Tensor>,
    center: bool,
    pad_mode: &str,
    normalized: bool,
    onesided: Option<bool>,
    return_complex: Option<bool>,
    align_to_window: Option<bool>,
) -> Result<Tensor> {
    let hop = hop_length.unwrap_or(n_fft / 4);
    let length = win_length.unwrap_or(n_fft);
    ensure!(
        !center || align_to_window.is_none(),
        Runtime,
        "stft align_to_window should only be set when center = false"
    );
    let mut x = a.clone();
    if center {
        let s = x.shape();
        let wide: Dims = (s.len()..3).map(|_| 1).chain(s.iter().copied()).collect();
        let by = n_fft / 2;
        let padded = pad(&reshape(&x, &wide)?, &[by, by], pad_mode, None)?;
        let p = padded.shape();
        x = reshape(&padded, &p[p.len() - s.len()..])?;
    }
    let call = || {
        format!(
            "stft({}{}, n_fft={n_fft}, hop_length={hop}, win_length={length}, window={}, normalized={}, onesided={}, \
             return_complex={}, align_to_window={}) ",
            named(&x),
            sizes(&x.shape()),
            window_named(window),
            i32::from(normalized),
            maybe(onesided),
            maybe(return_complex),
            maybe(align_to_window)
        )
    };
    ensure!(
        window.is_none_or(|w| w.device() == x.device()),
        Runtime,
        "stft input and window must be on the same device but got self on {} and window on {}",
        x.device(),
        window.map_or(x.device(), |w| w.device())
    );
    let complex_window = window.is_some_and(|w| w.dtype().is_complex());
    let complex = x.dtype().is_complex() || complex_window;
    ensure!(
        return_complex.is_some() || complex,
        Runtime,
        "stft requires the return_complex parameter be given for real inputs, and will further require that \
         return_complex=True in a future PyTorch release."
    );
    let return_complex = return_complex.unwrap_or(true);
    ensure!(
        x.dtype().is_inexact(),
        NotImplemented,
        "{}: expected a tensor of floating point or complex values",
        call()
    );
    let rank = x.ndim();
    ensure!(rank == 1 || rank == 2, Runtime, "{}: expected a 1D or 2D tensor", call());
    let len = x.size(-1)?;
    ensure!(n_fft > 0 && n_fft <= len, Runtime, "{}: expected 0 < n_fft < {len}, but got n_fft={n_fft}", call());
    ensure!(hop > 0, Runtime, "{}: expected hop_length > 0, but got hop_length={hop}", call());
    ensure!(
        length > 0 && length <= n_fft,
        Runtime,
        "{}: expected 0 < win_length <= n_fft, but got win_length={length}",
        call()
    );
    if let Some(w) = window {
        let s = w.shape();
        ensure!(
            s[..] == [length],
            Runtime,
            "{}: expected a 1D window tensor of size equal to win_length={length}, but got window with size {}",
            call(),
            sizes(&s)
        );
    }
    let onesided = onesided.unwrap_or(!complex);
    ensure!(!(complex && onesided), Runtime, "Cannot have onesided output if window or input is complex");
    let signals = if rank == 1 { unsqueeze(&x, 0)? } else { x.clone() };
    // With a window shorter than the pieces, pieces are either whole or as far as the window reaches.
    let (left, right) = around(n_fft, length);
    let signals =
        if align_to_window == Some(true) { pad(&signals, &[left, right], "constant", Some(0.0))? } else { signals };
    let mut pieces = unfold(&signals, 1, n_fft, hop)?;
    if let Some(w) = widened(window, n_fft, length, &x)? {
        pieces = mul(&pieces, &w)?;
    }
    let norm = if normalized { Norm::Root } else { Norm::None };
    let out = if complex {
        c2c(&pieces, &[2], norm, true)?
    } else {
        let d = pieces.dtype();
        ensure!(
            matches!(d, DType::F32 | DType::F64),
            NotImplemented,
            "MKL FFT doesn't support tensors of type: {}",
            d.scalar_name()
        );
        r2c(&pieces, &[2], norm, onesided)?
    };
    let out = transpose(&out, 1, 2)?;
    let out = if rank == 1 { squeeze_dim(&out, 0)? } else { out };
    if return_complex {
        Ok(out)
    } else {
        view_as_real(&out)
    }
}
/// Zeros before and after a window of `length` in a piece.
fn around(n_fft: i64, length: i64) -> (i64, i64) {
    let left = (n_fft - length) / 2;
    (left, n_fft - length - left)
}
/// The window of a whole piece: zeros around a shorter one, ones where none is given; None where that does nothing.
fn widened(window: Option<&Tensor>, n_fft: i64, length: i64, like: &Tensor) -> Result<Option<Tensor>> {
    if window.is_none() && length == n_fft {
        return Ok(None);
    }
    let real = |d: DType| if d.is_complex() { d.real() } else { d };
    let w = match window {
        Some(w) => w.clone(),
        None => ones(&[length], Some(real(like.dtype())), Some(like.device()))?,
    };
    let (left, right) = around(n_fft, length);
    Ok(Some(if length < n_fft { pad(&w, &[left, right], "constant", Some(0.0))? } else { w }))
}
/// Pieces [batch, pieces, n], `hop` apart, added up: [batch, length].
fn added_up(pieces: &Tensor, length: i64, hop: i64) -> Result<Tensor> {
    if pieces.dtype().is_complex() {
        return complex(&added_up(&real(pieces)?, length, hop)?, &added_up(&imag(pieces)?, length, hop)?);
    }
    let s = pieces.shape();
    let image = col2im(&transpose(pieces, 1, 2)?, &[1, length], &[1, s[2]], &[1, 1], &[0, 0], &[1, hop])?;
    reshape(&image, &[s[0], length])
}

/// The signals of transforms [.., frequencies, pieces] as `stft` makes them, weighted by the window.
pub fn istft(
    a: &Tensor,
    n_fft: i64,
    hop_length: Option<i64>,
    win_length: Option<i64>,
    window: Option<&Tensor>,
    center: bool,
    normalized: bool,
    onesided: Option<bool>,
    length: Option<i64>,
    return_complex: bool,
) -> Result<Tensor> {
    ensure!(
        window.is_none_or(|w| w.device() == a.device()),
        Runtime,
        "istft input and window must be on the same device but got self on {} and window on {}",
        a.device(),
        window.map_or(a.device(), |w| w.device())
    );
    let hop = hop_length.unwrap_or(n_fft / 4);
    let wide = win_length.unwrap_or(n_fft);
    ensure!(
        a.dtype().is_complex(),
        Type,
        "istft requires a complex-valued input tensor matching the output from stft with return_complex=True."
    );
    let call = || {
        format!(
            "istft({}{}, n_fft={n_fft}, hop_length={hop}, win_length={wide}, window={}, center={}, normalized={}, \
             onesided={}, length={}, return_complex={}) ",
            named(a),
            sizes(&a.shape()),
            window_named(window),
            i32::from(center),
            i32::from(normalized),
            maybe(onesided),
            length.map_or("None".into(), |l| l.to_string()),
            i32::from(return_complex)
        )
    };
    let rank = a.ndim();
    let counted = rank as i64 + 1;
    ensure!(
        rank >= 2,
        Index,
        "Dimension out of range (expected to be in range of [{}, {}], but got {})",
        -counted,
        counted - 1,
        if rank == 0 { -2 } else { -3 }
    );
    let (pieces, frequencies) = (a.size(-1)?, a.size(-2)?);
    ensure!(a.numel() > 0, Runtime, "{}: input tensor cannot be empty.", call());
    ensure!(rank <= 3, Runtime, "{}: expected a tensor with 3 or 4 dimensions, but got {counted}", call());
    let half = onesided.unwrap_or(frequencies != n_fft);
    if half {
        ensure!(
            n_fft / 2 + 1 == frequencies,
            Runtime,
            "{}: expected the frequency dimension (3rd to the last) of the input tensor to match n_fft / 2 + 1 when \
             onesided=True, but got {frequencies}",
            call()
        );
    } else {
        ensure!(
            n_fft == frequencies,
            Runtime,
            "{}: expected the frequency dimension (3rd to the last) of the input tensor to match n_fft when \
             onesided=False, but got {frequencies}",
            call()
        );
    }
    ensure!(0 < hop && hop <= wide, Runtime, "{}: expected 0 < hop_length <= win_length", call());
    ensure!(0 < wide && wide <= n_fft, Runtime, "{}: expected 0 < win_length <= n_fft", call());
    if let Some(w) = window {
        let fits = w.shape()[..] == [wide];
        ensure!(fits, Runtime, "{}: Invalid window shape. window has to be 1D and length of `win_length`", call());
    }
    let x = transpose(&if rank == 2 { unsqueeze(a, 0)? } else { a.clone() }, 1, 2)?;
    let norm = if normalized { Norm::Root } else { Norm::All };
    let x = if return_complex {
        ensure!(!half, Runtime, "Cannot have onesided output if window or input is complex");
        c2c(&x, &[2], norm, false)?
    } else {
        ensure!(
            window.is_none_or(|w| !w.dtype().is_complex()),
            Runtime,
            "Complex windows are incompatible with return_complex=False"
        );
        let x = if half { x } else { slice(&x, 2, Some(0), Some(n_fft / 2 + 1), 1)? };
        c2r(&x, &[2], norm, n_fft)?
    };
    let w = match widened(window, n_fft, wide, a)? {
        Some(w) => w,
        None => ones(&[n_fft], Some(a.dtype().real()), Some(a.device()))?,
    };
    let Some(whole) = hop.checked_mul(pieces - 1).and_then(|n| n.checked_add(n_fft)) else {
        bail!(Runtime, "{}: the signal is too long", call());
    };
    let signal = added_up(&mul(&x, &w)?, whole, hop)?;
    let weights = added_up(&expand(&square(&w)?, &[1, pieces, n_fft])?, whole, hop)?;
    let start = if center { n_fft / 2 } else { 0 };
    let end = match length {
        Some(l) => start.saturating_add(l),
        None if center => -(n_fft / 2),
        None => whole,
    };
    let signal = slice(&signal, 1, Some(start), Some(end), 1)?;
    let weights = slice(&weights, 1, Some(start), Some(end), 1)?;
    ensure!(
        weights.numel() > 0,
        Runtime,
        "min(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the 'dim' argument."
    );
    if !a.device().is_meta() {
        let least = min(&abs(&detach(&weights)?)?)?;
        ensure!(least.item()?.to_f64() >= 1e-11, Runtime, "{}window overlap add min: 1", call());
    }
    let signal = div(&signal, &weights)?;
    let signal = if rank == 2 { squeeze_dim(&signal, 0)? } else { signal };
    if end > whole {
        return pad(&signal, &[0, end - whole], "constant", Some(0.0));
    }
    Ok(signal)
}
