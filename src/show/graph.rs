//! The graph of what was recorded, as a picture: DOT for Graphviz, or SVG, laid out here in layers.

use crate::autograd::{self, node::Kind, Node};
use crate::backend::memory;
use crate::nn::Module;
use crate::{ensure, Result, Tensor};
use rustc_hash::FxHashMap;
use std::fmt::Write;
use std::sync::Arc;

/// A box of the picture: an op's result, a leaf or a parameter.
pub struct Item {
    pub name: String,
    pub shape: String,
    pub leaf: bool,
    /// What it came from: places in the list.
    pub inputs: Vec<usize>,
}

/// More boxes than this are nothing to look at.
const MOST: usize = 20_000;

fn op_name(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit()).strip_suffix("Backward").unwrap_or(name)
}

/// The boxes behind a tensor, what comes first before what is made from it. Parameters have their names in `module`.
pub fn items(output: &Tensor, module: Option<&Module>) -> Result<Vec<Item>> {
    let mut names = FxHashMap::default();
    for (name, t) in module.map_or(Ok(Vec::new()), |m| m.named_parameters())? {
        memory::reserve_hash_map(&mut names)?;
        names.entry(t.id()).or_insert(name);
    }
    let root = autograd::gradient_edge(output);
    ensure!(root.is_some(), Value, "the tensor has no history: no recorded op made it, and it wants no gradient");
    let key = |n: &Arc<Node>| Arc::as_ptr(n) as usize;
    let mut places: FxHashMap<usize, usize> = FxHashMap::default();
    let mut all: Vec<Item> = Vec::new();
    // A node is listed when all that it came from is; no recursion, since graphs are deep.
    let mut open: Vec<(Arc<Node>, usize)> = root.into_iter().map(|e| (e.node, 0)).collect();
    while let Some((node, next)) = open.last_mut() {
        if places.contains_key(&key(node)) {
            open.pop();
            continue;
        }
        if let Some(edge) = node.edges.get(*next) {
            *next += 1;
            if let Some(e) = edge {
                if !places.contains_key(&key(&e.node)) {
                    let inner = e.node.clone();
                    memory::push(&mut open, (inner, 0))?;
                }
            }
            continue;
        }
        let node = node.clone();
        open.pop();
        ensure!(all.len() < MOST, Value, "the graph has more than {MOST} nodes: too many for a picture");
        let inputs = memory::collect(node.edges.iter().flatten().filter_map(|e| places.get(&key(&e.node)).copied()))?;
        let (name, leaf) = match &node.kind {
            Kind::Accumulate(t) => (names.get(&t.id()).map_or("input", String::as_str), true),
            _ => (op_name(&node.name), false),
        };
        let mut shape = String::new();
        for (i, o) in node.outputs.iter().enumerate() {
            let sizes: Vec<String> = o.shape.iter().map(i64::to_string).collect();
            let _ = write!(shape, "{}({})", if i > 0 { " " } else { "" }, sizes.join(", "));
        }
        memory::reserve_hash_map(&mut places)?;
        places.insert(key(&node), all.len());
        memory::push(&mut all, Item { name: name.to_string(), shape, leaf, inputs })?;
    }
    Ok(all)
}

/// The graph behind a tensor in Graphviz's language: ops as boxes, leaves and parameters as ellipses, with shapes.
pub fn dot(output: &Tensor, module: Option<&Module>) -> Result<String> {
    let all = items(output, module)?;
    let mut s = String::new();
    memory::reserve_text(&mut s, 200 + 160 * all.len())?;
    s.push_str(
        "digraph taper {\n  rankdir=TB;\n  node [fontname=\"sans-serif\", fontsize=11, style=filled, shape=box];\n",
    );
    for (i, item) in all.iter().enumerate() {
        let look = if item.leaf { "shape=ellipse, fillcolor=\"#dbe9f6\"" } else { "fillcolor=\"#eeeeee\"" };
        let name = item.name.replace('\\', "\\\\").replace('"', "\\\"");
        let _ = writeln!(s, "  n{i} [label=\"{name}\\n{}\", {look}];", item.shape);
    }
    for (i, item) in all.iter().enumerate() {
        for from in &item.inputs {
            let _ = writeln!(s, "  n{from} -> n{i};");
        }
    }
    s.push_str("}\n");
    Ok(s)
}

/// Text inside XML.
pub fn escaped(text: &str) -> String {
    let mut s = String::new();
    for c in text.chars() {
        match c {
            '&' => s.push_str("&amp;"),
            '<' => s.push_str("&lt;"),
            '>' => s.push_str("&gt;"),
            '"' => s.push_str("&quot;"),
            // What XML cannot hold.
            c if (c as u32) < 32 && !matches!(c, '\t' | '\n') => s.push('\u{fffd}'),
            c => s.push(c),
        }
    }
    s
}

const HIGH: f64 = 40.0;
const GAP: (f64, f64) = (18.0, 34.0);

/// The graph behind a tensor as SVG: each box below what it came from, in the order that crosses few lines (the barycentre
/// rule of Sugiyama, Tagawa and Toda 1981).
pub fn svg(output: &Tensor, module: Option<&Module>) -> Result<String> {
    let all = items(output, module)?;
    ensure!(all.len() <= 2000, Value, "the graph has {} nodes: too many for a picture (2000 at most)", all.len());
    let mut depth = vec![0usize; all.len()];
    for (i, item) in all.iter().enumerate() {
        depth[i] = item.inputs.iter().map(|from| depth[*from] + 1).max().unwrap_or(0);
    }
    // A leaf stands just above its first user.
    let mut first = vec![usize::MAX; all.len()];
    for (i, item) in all.iter().enumerate() {
        item.inputs.iter().for_each(|from| first[*from] = first[*from].min(depth[i]));
    }
    for (i, item) in all.iter().enumerate() {
        if item.leaf && first[i] != usize::MAX {
            depth[i] = first[i] - 1;
        }
    }
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); depth.iter().max().map_or(0, |d| d + 1)];
    (0..all.len()).for_each(|i| rows[depth[i]].push(i));
    let width = |i: usize| 20.0 + 7.0 * all[i].name.chars().count().max(all[i].shape.len()) as f64;
    let mut x = vec![0.0; all.len()];
    for _ in 0..4 {
        for row in &mut rows {
            let want = |i: usize, x: &[f64]| {
                let from = &all[i].inputs;
                if from.is_empty() {
                    x[i]
                } else {
                    from.iter().map(|f| x[*f]).sum::<f64>() / from.len() as f64
                }
            };
            row.sort_by(|a, b| want(*a, &x).total_cmp(&want(*b, &x)));
            let whole: f64 = row.iter().map(|i| width(*i)).sum::<f64>() + GAP.0 * (row.len() - 1) as f64;
            let mut at = -whole / 2.0;
            for i in row.iter() {
                x[*i] = at + width(*i) / 2.0;
                at += width(*i) + GAP.0;
            }
        }
    }
    let left = (0..all.len()).map(|i| x[i] - width(i) / 2.0).fold(0.0, f64::min) - 10.0;
    let right = (0..all.len()).map(|i| x[i] + width(i) / 2.0).fold(0.0, f64::max) + 10.0;
    let y = |i: usize| 10.0 + depth[i] as f64 * (HIGH + GAP.1);
    let mut s = String::new();
    memory::reserve_text(&mut s, 500 + 600 * all.len())?;
    let _ = writeln!(
        s,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"{left:.0} 0 {0:.0} {1:.0}\" width=\"{0:.0}\" height=\"{1:.0}\" \
         font-family=\"sans-serif\" font-size=\"11\" text-anchor=\"middle\" fill=\"#282828\">\n\
         <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\">\
         <path d=\"M0 0L8 4L0 8z\" fill=\"#777\"/></marker></defs>\n\
         <rect x=\"{left:.0}\" width=\"{0:.0}\" height=\"{1:.0}\" fill=\"white\"/>",
        right - left,
        rows.len() as f64 * (HIGH + GAP.1) - GAP.1 + 20.0
    );
    for (i, item) in all.iter().enumerate() {
        for from in &item.inputs {
            let (a, b) = (y(*from) + HIGH, y(i));
            let middle = (a + b) / 2.0;
            let _ = writeln!(
                s,
                "<path d=\"M{0:.1} {a:.1}C{0:.1} {middle:.1} {1:.1} {middle:.1} {1:.1} {b:.1}\" fill=\"none\" stroke=\"#777\" \
                 marker-end=\"url(#tip)\"/>",
                x[*from], x[i]
            );
        }
    }
    for (i, item) in all.iter().enumerate() {
        let (w, fill, round) =
            (width(i), if item.leaf { "#dbe9f6" } else { "#eeeeee" }, if item.leaf { 20 } else { 4 });
        let _ = writeln!(
            s,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{w:.1}\" height=\"{HIGH}\" rx=\"{round}\" fill=\"{fill}\" stroke=\"#999\"/>\
             <text x=\"{2:.1}\" y=\"{3:.1}\">{4}</text><text x=\"{2:.1}\" y=\"{5:.1}\" fill=\"#666\">{6}</text>",
            x[i] - w / 2.0,
            y(i),
            x[i],
            y(i) + 17.0,
            escaped(&item.name),
            y(i) + 32.0,
            escaped(&item.shape)
        );
    }
    s.push_str("</svg>\n");
    Ok(s)
}
