//! What a class holds, worked out for the languages that have no classes to inherit from.

use super::expr::Expr;
use super::model::*;

/// One value of a layer.
#[derive(Clone, Debug)]
pub struct Slot {
    /// The attribute's name.
    pub name: String,
    /// The argument's, where it is one.
    pub argument: Option<Argument>,
    pub kind: Type,
    pub default: Option<Expr>,
    pub is_attribute: bool,
}

/// A class with its bases folded in.
pub struct Plan<'a> {
    pub layers: &'a Layers,
    pub entry: &'a Entry,
    /// Nearest first.
    pub line: Vec<&'a Entry>,
    /// The entry whose arguments the constructor takes.
    pub constructor: Option<&'a Entry>,
    /// Arguments, what a base has besides, further attributes, constants.
    pub slots: Vec<Slot>,
    /// How many of them are constants.
    pub consts: usize,
}

fn plain(name: &str) -> Type {
    Type { name: name.into(), count: None, optional: false }
}

impl<'a> Plan<'a> {
    pub fn new(layers: &'a Layers, entry: &'a Entry) -> Plan<'a> {
        let mut line = layers.line(entry);
        if let Some(of) = entry.of.as_ref().and_then(|o| layers.entry(o)) {
            line.retain(|e| e.kind == Kind::Lazy);
            line.extend(layers.line(of));
        }
        let constructor = layers.constructor(entry).or_else(|| {
            let of = entry.of.as_ref().and_then(|o| layers.entry(o));
            of.and_then(|o| layers.constructor(o))
        });
        let mut slots: Vec<Slot> = Vec::new();
        let mut consts = 0;
        if let Some(c) = constructor {
            for a in c.arguments.iter().flatten().filter(|a| a.is_value()) {
                slots.push(Slot {
                    name: a.field().into(),
                    argument: Some(a.clone()),
                    kind: a.kind.clone(),
                    default: a.default.clone(),
                    is_attribute: a.stored(),
                });
            }
            let chain = bases(layers, c);
            for (i, b) in chain.iter().enumerate().skip(1) {
                for a in b.arguments.iter().flatten().filter(|a| a.is_value()) {
                    if slots
                        .iter()
                        .any(|s| s.name == a.field() || s.argument.as_ref().is_some_and(|x| x.name == a.name))
                    {
                        continue;
                    }
                    let fixed = chain[..i].iter().flat_map(|e| &e.fixed).find(|f| f.0 == a.name).map(|f| f.1.clone());
                    slots.push(Slot {
                        name: a.field().into(),
                        argument: None,
                        kind: a.kind.clone(),
                        default: fixed.or_else(|| a.default.clone()),
                        is_attribute: a.stored(),
                    });
                }
            }
            for e in chain.iter().rev() {
                for step in &e.steps {
                    if let Step::Let { name, value } = step {
                        if !slots.iter().any(|s| s.name == *name) {
                            let kind = match value {
                                Expr::Name(n) if n == "class" => "str",
                                Expr::Binary(..) => "Sizes",
                                _ => "bool",
                            };
                            slots.push(Slot {
                                name: name.clone(),
                                argument: None,
                                kind: plain(kind),
                                default: None,
                                is_attribute: true,
                            });
                        }
                    }
                }
            }
            // The class's own value of each constant of the line.
            for e in &line {
                for (name, _) in &e.consts {
                    if matches!(name.as_str(), "_ranks" | "_version") || slots.iter().any(|s| s.name == *name) {
                        continue;
                    }
                    let value = line.iter().find_map(|e| e.consts.iter().find(|c| c.0 == *name)).map(|c| c.1.clone());
                    let kind = if matches!(&value, Some(Expr::Literal(l)) if l == "True" || l == "False") {
                        "bool"
                    } else {
                        "int"
                    };
                    consts += 1;
                    slots.push(Slot {
                        name: name.clone(),
                        argument: None,
                        kind: plain(kind),
                        default: value,
                        is_attribute: false,
                    });
                }
            }
            let first = slots.len() - consts;
            slots[first..].sort_by(|a, b| a.name.cmp(&b.name));
        }
        Plan { layers, entry, line, constructor, slots, consts }
    }

    pub fn slot(&self, name: &str) -> Option<usize> {
        self.slots
            .iter()
            .position(|s| s.argument.as_ref().is_some_and(|a| a.name == name))
            .or_else(|| self.slots.iter().position(|s| s.name == name))
    }

    /// The constructor's arguments as other languages than Python take them: without the first of a lazy class.
    pub fn arguments(&self) -> Vec<&'a Argument> {
        let all = self.constructor.and_then(|c| c.arguments.as_deref()).unwrap_or(&[]);
        let skip = usize::from(self.is_lazy());
        all.iter().filter(|a| !a.python_only && a.kind.name != "Function").skip(skip).collect()
    }

    pub fn is_lazy(&self) -> bool {
        self.entry.kind == Kind::Lazy
    }

    pub fn factory(&self) -> bool {
        self.constructor.is_some_and(|c| c.factory)
    }

    /// Where an attribute stands among them: what a base has comes first, as its constructor runs first.
    pub fn place(&self, slot: &Slot) -> Option<usize> {
        let mut order: Vec<&str> = Vec::new();
        for e in self.chain().into_iter().rev() {
            let arguments = e.arguments.iter().flatten().filter(|a| a.is_value()).map(|a| a.field());
            let lets = e.steps.iter().filter_map(|s| match s {
                Step::Let { name, .. } => Some(name.as_str()),
                _ => None,
            });
            for name in arguments.chain(lets) {
                if !order.contains(&name) && self.slots.iter().any(|s| s.name == name && s.is_attribute) {
                    order.push(name);
                }
            }
        }
        order.iter().position(|n| *n == slot.name).filter(|_| slot.is_attribute)
    }

    /// The entries of the constructor's chain, nearest first.
    pub fn chain(&self) -> Vec<&'a Entry> {
        self.constructor.map_or(Vec::new(), |c| bases(self.layers, c))
    }

    /// `parameter` or `buffer` where the class has one of that name.
    pub fn tensor(&self, name: &str) -> Option<&'static str> {
        self.line.iter().flat_map(|e| &e.steps).find_map(|s| match s {
            Step::Param { name: n, .. } if n == name => Some("parameter"),
            Step::Buffer { name: n, .. } | Step::BufferFrom { name: n, .. } if n == name => Some("buffer"),
            _ => None,
        })
    }
}

impl Argument {
    /// Held as a value, and not as a tensor or by Python alone.
    pub fn is_value(&self) -> bool {
        !self.python_only && !matches!(self.kind.name.as_str(), "Tensor" | "Function" | "Module")
    }
}

/// An entry that has a constructor and those that its base has, nearest first.
fn bases<'a>(layers: &'a Layers, entry: &'a Entry) -> Vec<&'a Entry> {
    let mut out = vec![entry];
    let mut next = entry.base.as_ref().and_then(|b| layers.entry(b)).and_then(|b| layers.constructor(b));
    while let Some(e) = next {
        out.push(e);
        next = e.base.as_ref().and_then(|b| layers.entry(b)).and_then(|b| layers.constructor(b));
    }
    out
}

/// `CrossEntropyLoss` as `cross_entropy_loss`, `_ConvNd` as `conv_nd`.
pub fn snake(name: &str) -> String {
    let name = name.trim_start_matches('_').replace("PReLU", "Prelu").replace("ReLU", "Relu").replace("SiLU", "Silu");
    let c: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (i, x) in c.iter().enumerate() {
        let before = i.checked_sub(1).map(|j| c[j]);
        let next_is_lower = c.get(i + 1).is_some_and(|n| n.is_ascii_lowercase());
        let starts = match before {
            Some(b) if x.is_ascii_uppercase() => !b.is_ascii_uppercase() || next_is_lower,
            _ => false,
        };
        if starts {
            out.push('_');
        }
        out.push(x.to_ascii_lowercase());
    }
    out
}

/// Every class that can be made, in order.
pub fn classes(layers: &Layers) -> Vec<Plan<'_>> {
    let is_class = |e: &&Entry| match e.kind {
        Kind::Layer | Kind::Loss => true,
        Kind::Lazy => !e.name.starts_with('_'),
        Kind::Family => false,
    };
    layers.files.iter().flat_map(|f| &f.entries).filter(is_class).map(|e| Plan::new(layers, e)).collect()
}

#[cfg(test)]
mod tests {
    use super::snake;

    #[test]
    fn names_are_those_that_c_has() {
        for (class, wanted) in [
            ("ReLU6", "relu6"),
            ("PReLU", "prelu"),
            ("LeakyReLU", "leaky_relu"),
            ("GELU", "gelu"),
            ("NLLLoss2d", "nll_loss2d"),
            ("L1Loss", "l1_loss"),
            ("SmoothL1Loss", "smooth_l1_loss"),
            ("BCEWithLogitsLoss", "bce_with_logits_loss"),
            ("LPPool1d", "lp_pool1d"),
            ("LazyBatchNorm1d", "lazy_batch_norm1d"),
            ("_ConvNd", "conv_nd"),
        ] {
            assert_eq!(snake(class), wanted);
        }
    }
}
