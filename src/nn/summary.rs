//! A module tree as a table: what each module gives, holds and multiplies.

use super::{Module, Outputs};
use crate::backend::memory;
use crate::base::sync::Mutex;
use crate::watch::count;
use crate::{autograd, Result, Tensor};
use std::fmt::Write;
use std::sync::Arc;

#[derive(Default, Clone)]
struct Seen {
    began: Vec<u64>,
    macs: u64,
    shape: String,
}

/// Takes the hooks away and brings the modes back, also when the forward fails.
struct Restore(Vec<(Module, u64, u64, bool)>);
impl Drop for Restore {
    fn drop(&mut self) {
        for (m, pre, post, training) in &self.0 {
            m.remove_hook(*pre);
            m.remove_hook(*post);
            // Parents come first, so that each has its own in the end.
            let _ = m.train(*training);
        }
    }
}

fn shapes(outputs: &[Option<Tensor>]) -> String {
    let mut s = String::new();
    for t in outputs.iter().flatten() {
        let _ = write!(s, "{}{:?}", if s.is_empty() { "" } else { ", " }, &t.shape()[..]);
    }
    s
}

fn elements(m: &Module) -> Result<(usize, usize)> {
    let parameters = m.parameters()?;
    let of = |wanted: &dyn Fn(&Tensor) -> bool| parameters.iter().filter(|p| wanted(p)).map(Tensor::numel).sum();
    Ok((of(&|_| true), of(&|p| autograd::requires_grad(p))))
}

/// Digits in groups of three.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut s = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            s.push(',');
        }
        s.push(c);
    }
    s
}

/// Runs `m` on `inputs` (in eval mode, without recording) and says for each module of the tree which shape it gave, how many
/// parameters are in it and how many multiply-adds its products and convolutions took.
pub fn summary(m: &Module, inputs: &[Option<Tensor>]) -> Result<String> {
    let modules = m.named_modules()?;
    let seen = Arc::new(Mutex::new(memory::filled(modules.len(), Seen::default())?));
    let mut restore = Restore(Vec::new());
    for (i, (_, module)) in modules.iter().enumerate() {
        let (before, after) = (seen.clone(), seen.clone());
        let pre = module.register_forward_pre_hook(Arc::new(move |_, _| {
            before.lock()[i].began.push(count::multiply_adds());
            Ok(None::<Outputs>)
        }));
        let post = module.register_forward_hook(Arc::new(move |_, _, outputs| {
            let row = &mut after.lock()[i];
            row.macs += count::multiply_adds().wrapping_sub(row.began.pop().unwrap_or_default());
            row.shape = shapes(outputs);
            Ok(None::<Outputs>)
        }));
        restore.0.push((module.clone(), pre, post, module.is_training()));
    }
    m.eval()?;
    let run = autograd::no_grad(|| m.forward_list(inputs));
    drop(restore);
    run?;
    let seen = std::mem::take(&mut *seen.lock());
    let mut rows = vec![["Module".to_string(), "Output shape".into(), "Parameters".into(), "Multiply-adds".into()]];
    for ((path, module), row) in modules.iter().zip(&seen) {
        let depth = if path.is_empty() { 0 } else { path.matches('.').count() + 1 };
        let own = path.rsplit('.').next().unwrap_or("");
        let name = if own.is_empty() { module.name().to_string() } else { format!("{own}: {}", module.name()) };
        let shape = if row.shape.is_empty() { "-".to_string() } else { row.shape.clone() };
        let parameters = grouped(elements(module)?.0 as u64);
        rows.push([format!("{}{name}", "  ".repeat(depth)), shape, parameters, grouped(row.macs)]);
    }
    let (all, trained) = elements(m)?;
    let width = |i: usize| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or(0);
    let (a, b, c, d) = (width(0), width(1), width(2), width(3));
    let rule = "=".repeat(a + b + c + d + 6);
    let mut s = String::new();
    for (i, [name, shape, parameters, macs]) in rows.iter().enumerate() {
        let _ = writeln!(s, "{name:a$}  {shape:b$}  {parameters:>c$}  {macs:>d$}");
        if i == 0 {
            let _ = writeln!(s, "{rule}");
        }
    }
    let macs = seen.first().map_or(0, |r| r.macs);
    let _ = writeln!(s, "{rule}");
    let _ = writeln!(s, "Parameters: {} ({} trainable)", grouped(all as u64), grouped(trained as u64));
    let _ = writeln!(s, "Multiply-adds: {}", grouped(macs));
    Ok(s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::layers;
    use crate::ops;

    #[test]
    fn a_tree_as_a_table() {
        let net = layers::sequential(&[
            layers::linear(3, 4, true).unwrap(),
            layers::relu(false),
            layers::linear(4, 2, false).unwrap(),
        ]);
        let net = net.unwrap();
        let x = ops::ones(&[5, 3], None, None).unwrap();
        let text = summary(&net, &[Some(x)]).unwrap();
        let want = "\
Module       Output shape  Parameters  Multiply-adds
====================================================
Sequential   [5, 2]                24            100
  0: Linear  [5, 4]                16             60
  1: ReLU    [5, 4]                 0              0
  2: Linear  [5, 2]                 8             40
====================================================
Parameters: 24 (24 trainable)
Multiply-adds: 100
";
        assert_eq!(text, want);
        assert!(net.is_training());
        assert_eq!(grouped(1234567), "1,234,567");
    }
}
