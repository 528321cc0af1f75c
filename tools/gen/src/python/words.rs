//! How Python and its ctypes prototypes spell what the table has.

use crate::model::*;

/// Words in one string over several lines: Python compiles it faster than as many strings.
pub(super) fn words(list: impl Iterator<Item = String>) -> String {
    let mut text = String::from("\"\"\"");
    let mut width = 0;
    for word in list {
        if width + word.len() > 115 {
            text.push('\n');
            width = 0;
        } else if width > 0 {
            text.push(' ');
        }
        width += word.len() + 1;
        text.push_str(&word);
    }
    text + "\"\"\""
}

/// Names that the generated module may not shadow.
pub(super) fn python_name(name: &str) -> String {
    const TAKEN: &[&str] =
        &["isinstance", "len", "type", "tuple", "list", "int", "float", "bool", "str", "is", "and", "or", "not"];
    if TAKEN.contains(&name) {
        format!("{name}_op")
    } else {
        name.to_string()
    }
}

/// Python's name of an argument: `self` is `input`, as in PyTorch's functions; keywords get a trailing underscore.
pub(super) fn arg_name(name: &str) -> String {
    match name {
        "self" => "input".into(),
        "lambda" | "from" | "in" | "is" | "and" | "or" | "not" | "if" | "pass" | "None" => format!("{name}_"),
        _ => name.into(),
    }
}

/// The ctypes letters of an argument's C parameters.
pub(super) fn c_letters(ty: Type) -> &'static [&'static str] {
    match ty {
        Type::Tensor | Type::OptTensor | Type::OptScalar | Type::OptInt | Type::OptFloat | Type::OptBool => &["V"],
        Type::Generator => &["V"],
        Type::TensorList | Type::OptTensorList | Type::IntList(_) | Type::OptIntList(_) => &["V", "N"],
        Type::Scalar => &["S"],
        Type::Int => &["I"],
        Type::Float => &["F"],
        Type::Bool => &["B"],
        Type::DType | Type::OptDType => &["C"],
        Type::Device => &["D"],
        Type::Str | Type::OptStr => &["Z"],
    }
}

/// One letter for `repaired`, which normalises arguments that the quick path refused.
pub(super) fn spec_letter(ty: Type) -> char {
    match ty {
        Type::Tensor => 'T',
        Type::OptTensor => 't',
        Type::TensorList => 'L',
        Type::OptTensorList => 'l',
        Type::Scalar => 'S',
        Type::OptScalar => 's',
        Type::Int => 'I',
        Type::OptInt => 'i',
        Type::Float => 'F',
        Type::OptFloat => 'f',
        Type::Bool | Type::OptBool => 'B',
        Type::IntList(_) => 'N',
        Type::OptIntList(_) => 'n',
        Type::DType => 'D',
        Type::OptDType => 'd',
        Type::Device => 'v',
        Type::Str => 'Z',
        Type::OptStr => 'z',
        Type::Generator => 'G',
    }
}

pub(super) fn python_default(d: &Default) -> String {
    match d {
        Default::Float(v) if v.is_infinite() => (if *v > 0.0 { "float(\"inf\")" } else { "float(\"-inf\")" }).into(),
        Default::IntList(v) => {
            let inner: Vec<String> = v.iter().map(|x| x.to_string()).collect();
            if v.len() == 1 {
                format!("({},)", inner[0])
            } else {
                format!("({})", inner.join(", "))
            }
        }
        Default::DType(code, _) => format!("from_code({code})"),
        other => other.text(),
    }
}
