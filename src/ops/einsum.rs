//! Einstein summation: the equation as PyTorch reads it, then products of two operands at a time.

use super::*;
use crate::{bail, ensure};
use smallvec::SmallVec;
use std::fmt;

/// What names a dimension: a letter, or a place among those that an ellipsis covers, counted from the right.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Label {
    Broadcast(usize),
    Letter(u8),
}
/// One character of an operand's or the output's subscripts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Subscript {
    Ellipsis,
    Letter(u8),
}

/// The subscripts of each operand, and the output's where it is given.
type Subscripts = SmallVec<[Subscript; 8]>;
fn parse(equation: &str, operands: usize) -> Result<(Vec<Subscripts>, Option<Subscripts>)> {
    let text = equation.as_bytes();
    let arrow = equation.find("->");
    let invalid = |i: usize| {
        Error::new(
            ErrorKind::Runtime,
            format!(
                "einsum(): invalid subscript given at index {i} in the equation string, subscripts must be in [a-zA-Z]"
            ),
        )
    };
    let lhs = &text[..arrow.unwrap_or(text.len())];
    let (mut terms, mut term, mut i) = (Vec::new(), Subscripts::new(), 0);
    while i < lhs.len() {
        let now = terms.len();
        match lhs[i] {
            b' ' => {}
            b'.' => {
                let again = format_args!("operand {now} for which an ellipsis was already found");
                ellipsis(&lhs[i..], &mut term, again, format_args!("operand {now} that is not part of any ellipsis"))?;
                i += 2;
            }
            b',' => {
                terms.push(std::mem::take(&mut term));
                ensure!(
                    terms.len() < operands,
                    Runtime,
                    "einsum(): fewer operands were provided than specified in the equation"
                );
            }
            c if c.is_ascii_alphabetic() => term.push(Subscript::Letter(c)),
            _ => return Err(invalid(i)),
        }
        i += 1;
    }
    terms.push(term);
    ensure!(terms.len() == operands, Runtime, "einsum(): more operands were provided than specified in the equation");
    let Some(arrow) = arrow else { return Ok((terms, None)) };
    let (mut out, mut i) = (Subscripts::new(), arrow + 2);
    while i < text.len() {
        match text[i] {
            b' ' => {}
            b'.' => {
                let again = format_args!("output but an ellipsis (...) was already found");
                ellipsis(&text[i..], &mut out, again, format_args!("output that is not part of any ellipsis (...)"))?;
                i += 2;
            }
            c if c.is_ascii_alphabetic() => {
                let (letter, name) = (Subscript::Letter(c), char::from(c));
                ensure!(
                    !out.contains(&letter),
                    Runtime,
                    "einsum(): output subscript {name} appears more than once in the output"
                );
                ensure!(
                    terms.iter().any(|t| t.contains(&letter)),
                    Runtime,
                    "einsum(): output subscript {name} does not appear in the equation for any input operand"
                );
                out.push(letter);
            }
            _ => return Err(invalid(i)),
        }
        i += 1;
    }
    Ok((terms, Some(out)))
}

/// Takes the three dots with which `rest` begins, the only ones of these subscripts; else says that they stand `again` or
/// `apart`.
fn ellipsis(rest: &[u8], subscripts: &mut Subscripts, again: fmt::Arguments, apart: fmt::Arguments) -> Result<()> {
    ensure!(!subscripts.contains(&Subscript::Ellipsis), Runtime, "einsum(): found '.' for {again}");
    ensure!(rest.starts_with(b"..."), Runtime, "einsum(): found '.' for {apart}");
    subscripts.push(Subscript::Ellipsis);
    Ok(())
}

/// The labels of operand `i`'s dimensions, one for each.
fn labels_of(i: usize, term: &[Subscript], ndim: usize) -> Result<Vec<Label>> {
    let dots = term.contains(&Subscript::Ellipsis);
    let letters = term.len() - dots as usize;
    if dots {
        ensure!(
            letters <= ndim,
            Runtime,
            "einsum(): the number of subscripts in the equation ({letters}) is more than the number of dimensions ({ndim}) \
             for operand {i}"
        );
    } else {
        ensure!(
            letters == ndim,
            Runtime,
            "einsum(): the number of subscripts in the equation ({letters}) does not match the number of dimensions \
             ({ndim}) for operand {i} and no ellipsis was given"
        );
    }
    let mut labels = Vec::new();
    for s in term {
        match s {
            Subscript::Ellipsis => labels.extend((0..ndim - letters).rev().map(Label::Broadcast)),
            Subscript::Letter(c) => labels.push(Label::Letter(*c)),
        }
    }
    Ok(labels)
}
/// An operand with each letter once: a repeated one takes the diagonal.
fn diagonals(i: usize, labels: &mut Vec<Label>, t: &Tensor) -> Result<Tensor> {
    let (mut t, mut d) = (t.clone(), 0);
    while d < labels.len() {
        let Some(e) = labels[..d].iter().position(|l| *l == labels[d]) else {
            d += 1;
            continue;
        };
        let (first, second) = (t.shape()[e], t.shape()[d]);
        ensure!(
            first == second,
            Runtime,
            "einsum(): subscript {} is repeated for operand {i} but the sizes don't match, {second} != {first}",
            name(labels[d])
        );
        t = diagonal(&t, 0, e as i64, d as i64)?;
        let l = labels.remove(d);
        labels.remove(e);
        labels.push(l);
        d = 0;
    }
    Ok(t)
}
fn name(label: Label) -> char {
    match label {
        Label::Letter(c) => char::from(c),
        Label::Broadcast(_) => '.',
    }
}

/// Sums of products of the operands' elements. Letters name dimensions, `...` stands for broadcast ones; without `->` the
/// output has those of the ellipsis and the letters that appear once, in alphabetical order. Source: PyTorch's convention.
pub fn einsum(equation: &str, tensors: &[Tensor]) -> Result<Tensor> {
    ensure!(!tensors.is_empty(), Runtime, "einsum(): must provide at least one operand");
    let (terms, out) = parse(equation, tensors.len())?;
    let mut sizes: Vec<(Label, i64)> = Vec::new();
    let mut operands: Vec<(Vec<Label>, Tensor)> = Vec::new();
    let mut widest = 0;
    for (i, (term, t)) in terms.iter().zip(tensors).enumerate() {
        let mut labels = labels_of(i, term, t.ndim())?;
        widest = widest.max(labels.iter().filter(|l| matches!(l, Label::Broadcast(_))).count());
        let all = labels.clone();
        let t = diagonals(i, &mut labels, t)?;
        for (l, s) in labels.iter().zip(t.shape()) {
            let Some((_, old)) = sizes.iter_mut().find(|(k, _)| k == l) else {
                sizes.push((*l, s));
                continue;
            };
            if *old == 1 {
                *old = s;
            } else if s != *old && s != 1 {
                match l {
                    Label::Letter(_) => bail!(
                        Runtime,
                        "einsum(): subscript {} has size {s} for operand {i} which does not broadcast with previously seen size {old}",
                        name(*l)
                    ),
                    Label::Broadcast(_) => bail!(
                        Runtime,
                        "einsum(): dimension {} covered by ellipsis in operand {i}has size {s} which does not broadcast with \
                         previously seen ellipsis with size {old} for the respective dimension",
                        all.iter().position(|k| k == l).unwrap_or(0)
                    ),
                }
            }
        }
        operands.push((labels, t));
    }
    let broadcast = (0..widest).rev().map(Label::Broadcast);
    let mut output: Vec<Label> = Vec::new();
    match out {
        Some(out) => {
            for s in out {
                match s {
                    Subscript::Ellipsis => output.extend(broadcast.clone()),
                    Subscript::Letter(c) => output.push(Label::Letter(c)),
                }
            }
        }
        None => {
            let all = || terms.iter().flatten();
            output.extend(broadcast);
            let once = (b'A'..=b'z').filter(|c| all().filter(|s| **s == Subscript::Letter(*c)).count() == 1);
            output.extend(once.map(Label::Letter));
        }
    }
    contract(operands, &output, &sizes)
}

/// The products, from left to right: shared labels that nobody needs later become the inner dimension of one.
fn contract(operands: Vec<(Vec<Label>, Tensor)>, output: &[Label], sizes: &[(Label, i64)]) -> Result<Tensor> {
    let size = |l: &Label| sizes.iter().find(|(k, _)| k == l).map_or(1, |(_, s)| *s);
    let mut pending: std::collections::VecDeque<_> = operands.into();
    let Some((mut labels, mut acc)) = pending.pop_front() else {
        bail!(Runtime, "einsum(): must provide at least one operand")
    };
    // Sums over labels that appear in this operand alone.
    let sum_out = |labels: &mut Vec<Label>, t: Tensor, keep: &dyn Fn(&Label) -> bool| -> Result<Tensor> {
        let dims: Vec<i64> = (0..labels.len()).filter(|&i| !keep(&labels[i])).map(|i| i as i64).collect();
        if dims.is_empty() {
            return Ok(t);
        }
        labels.retain(|l| keep(l));
        sum_dim(&t, Some(&dims), false, None)
    };
    while let Some((other_labels, other)) = pending.pop_front() {
        let later = |l: &Label| output.contains(l) || pending.iter().any(|(ls, _)| ls.contains(l));
        let mut ol = other_labels.clone();
        let a = sum_out(&mut labels, acc, &|l| later(l) || other_labels.contains(l))?;
        let snapshot = labels.clone();
        let b = sum_out(&mut ol, other, &|l| later(l) || snapshot.contains(l))?;
        let real = |ls: &[Label], t: &Tensor, l: &Label| ls.iter().position(|k| k == l).map(|i| t.shape()[i]);
        let both: Vec<Label> = labels.iter().copied().filter(|l| ol.contains(l)).collect();
        let batch: Vec<Label> = both.iter().copied().filter(|l| later(l)).collect();
        let inner: Vec<Label> = both.iter().copied().filter(|l| !later(l)).collect();
        let left: Vec<Label> = labels.iter().copied().filter(|l| !ol.contains(l)).collect();
        let right: Vec<Label> = ol.iter().copied().filter(|l| !labels.contains(l)).collect();
        let arrange = |ls: &[Label], t: &Tensor, groups: [&[Label]; 3]| -> Result<Tensor> {
            let order: Vec<Label> = groups.concat();
            let dims: Vec<i64> = order.iter().map(|l| ls.iter().position(|k| k == l).unwrap_or(0) as i64).collect();
            let t = permute(t, &dims)?;
            let full: Vec<i64> =
                order.iter().zip(t.shape()).map(|(l, s)| if both.contains(l) { size(l) } else { s }).collect();
            let t = expand(&t, &full)?;
            let merged: Vec<i64> = groups
                .iter()
                .map(|g| g.iter().map(|l| full[order.iter().position(|k| k == l).unwrap_or(0)]).product())
                .collect();
            reshape(&t, &merged)
        };
        let x = arrange(&labels, &a, [&batch, &left, &inner])?;
        let y = arrange(&ol, &b, [&batch, &inner, &right])?;
        // What was summed may be of a wider dtype.
        let ty = pointwise::promote(&[(&x).into(), (&y).into()]);
        let product = bmm(&cast(&x, ty)?, &cast(&y, ty)?)?;
        let new: Vec<Label> = batch.iter().chain(&left).chain(&right).copied().collect();
        let shape: Vec<i64> = new
            .iter()
            .map(|l| {
                if batch.contains(l) {
                    size(l)
                } else {
                    real(&labels, &a, l).or_else(|| real(&ol, &b, l)).unwrap_or(1)
                }
            })
            .collect();
        acc = reshape(&product, &shape)?;
        labels = new;
    }
    acc = sum_out(&mut labels, acc, &|l| output.contains(l))?;
    let dims: Vec<i64> = output.iter().filter_map(|l| labels.iter().position(|k| k == l)).map(|i| i as i64).collect();
    permute(&acc, &dims)
}
