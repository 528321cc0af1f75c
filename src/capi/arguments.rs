//! Which argument an error is about. A message of the core names it, in PyTorch's words; here that name becomes the
//! argument's index in the C function.

use super::arguments_gen::ARGUMENTS;
use crate::base::error::{Error, ErrorKind};

/// What messages call an argument that has another name.
const ALIASES: &[(&str, &[&str])] = &[
    ("self", &["input", "for tensor", "tensors with"]),
    ("weight", &["for tensor"]),
    ("input", &["self"]),
    ("dim", &["dimension", "dimensions"]),
    ("dims", &["dim", "dimension", "dimensions"]),
    ("axis", &["dim", "dimension"]),
    ("index", &["indices"]),
    ("indices", &["index"]),
    ("items", &["index", "indices", "ellipsis", "step"]),
    ("size", &["sizes", "shape", "negative dimension"]),
    ("sizes", &["size", "shape", "negative dimension"]),
    ("shape", &["size", "sizes", "negative dimension"]),
    ("p", &["probability"]),
    ("lr", &["learning rate"]),
    ("params", &["parameter list", "some parameters", "non-leaf Tensor"]),
    (
        "options",
        &[
            "groups",
            "stride",
            "padding",
            "dilation",
            "momentum",
            "dampening",
            "learning rate",
            "beta parameter",
            "weight_decay",
            "epsilon",
        ],
    ),
    ("tensors", &["list of Tensors", "tensor"]),
    ("inputs", &["input"]),
    ("path", &["attribute", "read", "write"]),
    ("name", &["attribute"]),
    ("nbytes", &["bytes"]),
];
/// Beginnings of messages that speak of a dimension without the argument's name.
const DIMENSION: &[&str] = &["Dimension out of range", "duplicate dims", "repeated dim"];
/// What messages of in-place ops say of the tensor that is written.
const WRITTEN: &[&str] = &["leaf Variable", "desired output type", "output with shape"];

/// The index of the argument that `e` is about; None where the message speaks of none, or of several alike.
#[cold]
pub fn at_fault(op: &str, e: &Error) -> Option<usize> {
    use ErrorKind::*;
    if matches!(e.kind, OutOfMemory | Internal | Callback | InvalidHandle) || e.message.contains("(): argument '") {
        return e.arg;
    }
    let at = ARGUMENTS.binary_search_by_key(&op, |(name, _)| name).ok()?;
    let given: Vec<&str> = ARGUMENTS[at].1.iter().copied().filter(|n| *n != "out").collect();
    // An index from an op that was part of this one may not fit.
    if e.arg.is_some_and(|a| a < given.len()) {
        return e.arg;
    }
    // The op's own name is none of its arguments.
    let text = match e.message.split_once("(): ").or_else(|| e.message.split_once(": ")) {
        Some((before, rest)) if !before.contains(' ') && !rest.is_empty() => rest,
        _ => &e.message,
    };
    if op.ends_with('_') && WRITTEN.iter().any(|w| text.contains(w)) {
        return Some(0);
    }
    if DIMENSION.iter().any(|d| text.starts_with(d)) || text.contains("multiple times in the list of dims") {
        let is_dim = |n: &str| matches!(n, "axis" | "dimension") || n.starts_with("dim") || n.ends_with("_dim");
        let mut dims = (0..given.len()).filter(|i| is_dim(given[*i]));
        // Of two dimensions the message does not say which.
        return dims.next().filter(|_| dims.next().is_none());
    }
    // A name may begin the sentence.
    let text = &lower_first(text);
    let mut best: Option<(u8, usize, usize)> = None;
    let mut offer = |strength: u8, place: usize, index: usize| {
        let new = (strength, place, index);
        if best.is_none_or(|b| new < b) {
            best = Some(new);
        }
    };
    for (index, name) in given.iter().enumerate() {
        let spoken = name.replace('_', " ");
        for place in words(text, name) {
            offer(if named_clearly(text, place, name.len()) { 0 } else { 2 }, place, index);
        }
        if spoken != *name {
            words(text, &spoken).into_iter().for_each(|place| offer(1, place, index));
        }
        let aliases = ALIASES.iter().find(|(n, _)| n == name).map_or(&[][..], |(_, a)| a);
        for alias in aliases.iter().filter(|a| !given.contains(a)) {
            words(text, alias).into_iter().for_each(|place| offer(3, place, index));
        }
    }
    // What a function of one argument complains about.
    best.map(|b| b.2).or_else(|| (given.len() == 1).then_some(0))
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}

/// Where `word` stands in `text` as a word of its own.
fn words(text: &str, word: &str) -> Vec<usize> {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(word)
        .map(|(i, _)| i)
        .filter(|i| !is_part(text[..*i].chars().next_back()) && !is_part(text[*i + word.len()..].chars().next()))
        .collect()
}

/// Whether the word at `place` can only be an argument's name: in quotes, before a value, the subject of a rule.
fn named_clearly(text: &str, place: usize, len: usize) -> bool {
    let (before, after) = (&text[..place], &text[place + len..]);
    let quoted = before.ends_with(['\'', '`', '"']) && after.starts_with(['\'', '`', '"']);
    let ruled = ["=", " must ", " should ", " has to ", " needs ", " cannot ", " can only ", " to be "];
    quoted
        || before.ends_with("argument ")
        || before.ends_with("value for ")
        || ruled.iter().any(|r| after.starts_with(r))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(op: &str, message: &str) -> Option<usize> {
        at_fault(op, &Error::new(ErrorKind::Value, message))
    }

    #[test]
    fn messages_name_arguments() {
        assert_eq!(at("sum_dim", "Dimension out of range (expected to be in range of [-2, 1], but got 5)"), Some(1));
        assert_eq!(at("dropout", "dropout probability has to be between 0 and 1, but got 2"), Some(1));
        assert_eq!(at("select", "index 5 is out of bounds for dimension 0 with size 3"), Some(2));
        assert_eq!(at("nll_loss", "nll_loss: 'reduction' must be mean, sum or none, got x"), Some(4));
        assert_eq!(at("transpose", "Dimension out of range (expected to be in range of [-2, 1], but got 5)"), None);
        assert_eq!(at("mse_loss", "target is not a valid value for reduction; valid are 'none' and 'sum'"), Some(2));
        assert_eq!(at("index_select", "index_select(): Index is supposed to be a vector, got 4 dimensions"), Some(2));
        assert_eq!(at("add_", "a leaf Variable that requires grad is being used in an in-place operation."), Some(0));
        assert_eq!(at("abs", "anything"), Some(0));
        assert_eq!(at("add", "The size of tensor a (2) must match the size of tensor b (3)"), None);
        assert_eq!(at("no_such_op", "anything"), None);
    }

    #[test]
    fn the_table_is_sorted() {
        assert!(ARGUMENTS.is_sorted_by_key(|(name, _)| name));
    }
}
