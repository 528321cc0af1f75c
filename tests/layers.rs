//! Every layer of the specification, with options, beside PyTorch: what it tells of itself and what one forward gives
//! (`tests/fixtures/layers_run.txt`, which `make_layers.py` records).

use taper::nn::class::{shown, Class};
use taper::nn::layers::Place;
use taper::nn::layers_gen::CLASSES;
use taper::nn::{Attribute, Module};
use taper::{rng, Result, Tensor};

/// One argument of a recorded call.
enum Value {
    Attribute(Attribute),
    Tensor(Tensor),
    Module(Module),
}

/// Parts between commas that stand in no bracket and no quotes.
fn parts(text: &str, sign: char) -> Vec<&str> {
    let (mut out, mut depth, mut start, mut quoted) = (Vec::new(), 0, 0, false);
    for (i, c) in text.char_indices() {
        quoted ^= c == '\'';
        depth += (c == '(') as i32 - (c == ')') as i32;
        if c == sign && depth == 0 && !quoted {
            out.push(text[start..i].trim());
            start = i + 1;
        }
    }
    out.push(text[start..].trim());
    out.retain(|p| !p.is_empty());
    out
}

/// `name(inside)`
fn call(text: &str) -> (&str, &str) {
    let (name, rest) = text.split_once('(').unwrap();
    (name, rest.strip_suffix(')').unwrap())
}

/// f: numbers between -1 and 1, p: between 0 and 1, s: 1 or -1, i(n, ..): integers below n, b: bools; as in `make_layers.py`.
fn tensor(text: &str) -> Tensor {
    let (word, inside) = call(text);
    let mut sizes: Vec<i64> = parts(inside, ',').iter().map(|s| s.parse().unwrap()).collect();
    let below = if word == "i" { sizes.remove(0) } else { 0 };
    let spread = (0..sizes.iter().product()).map(|k: i64| (k * 37 + 11) % 101);
    let floats = |f: &dyn Fn(f64) -> f64| {
        let values: Vec<f32> = spread.clone().map(|v| f(v as f64) as f32).collect();
        Tensor::from_slice(&values, &sizes).unwrap()
    };
    match word {
        "f" => floats(&|v| v / 50.0 - 1.0),
        "p" => floats(&|v| v / 101.0),
        "s" => floats(&|v| if v % 3.0 != 0.0 { 1.0 } else { -1.0 }),
        "b" => taper::ops::gt_scalar(&floats(&|v| v / 50.0 - 1.0), 0.5.into()).unwrap(),
        "i" => Tensor::from_slice(&spread.map(|v| v % below).collect::<Vec<i64>>(), &sizes).unwrap(),
        other => panic!("no tensors are called {other}"),
    }
}

fn value(text: &str) -> Value {
    Value::Attribute(match text {
        "None" => Attribute::None,
        "True" => true.into(),
        "False" => false.into(),
        t if t.starts_with('\'') => t.trim_matches('\'').into(),
        t if t.starts_with('(') => {
            let inside = parts(&t[1..t.len() - 1], ',');
            let ints: std::result::Result<Vec<i64>, _> = inside.iter().map(|p| p.parse()).collect();
            match ints {
                Ok(v) => v.as_slice().into(),
                Err(_) => inside.iter().map(|p| p.parse().unwrap()).collect::<Vec<f64>>().as_slice().into(),
            }
        }
        t if t.ends_with(')') && t.starts_with(char::is_uppercase) => return Value::Module(made(t).unwrap()),
        t if t.ends_with(')') => return Value::Tensor(tensor(t)),
        t => match t.parse::<i64>() {
            Ok(v) => v.into(),
            Err(_) => t.parse::<f64>().unwrap().into(),
        },
    })
}

/// What Python's constructor takes, in order; arguments that are its alone, too.
fn arguments(class: &Class) -> Vec<&'static str> {
    let old = ["size_average", "reduce", "reduction"];
    let loss = |before: &[&'static str], after: &[&'static str]| [before, &old, after].concat();
    let of_fields = || class.fields.iter().map(|f| f.name).collect::<Vec<_>>();
    match class.name {
        "CrossEntropyLoss" => vec!["weight", "size_average", "ignore_index", "reduce", "reduction", "label_smoothing"],
        "NLLLoss" | "NLLLoss2d" => vec!["weight", "size_average", "ignore_index", "reduce", "reduction"],
        "BCELoss" | "MultiLabelSoftMarginLoss" => loss(&["weight"], &[]),
        "BCEWithLogitsLoss" => loss(&["weight"], &["pos_weight"]),
        "TransformerEncoder" => [&["encoder_layer"], &of_fields()[..1], &["norm"], &of_fields()[1..]].concat(),
        "TransformerDecoder" => vec!["decoder_layer", "num_layers", "norm"],
        "MultiMarginLoss" => loss(&["p", "margin", "weight"], &[]),
        _ => of_fields().into_iter().skip(class.lazy.is_some() as usize).collect(),
    }
}

fn made(text: &str) -> Result<Module> {
    let (name, inside) = call(text);
    let class = CLASSES.iter().find(|c| c.name == name).unwrap_or_else(|| panic!("no class {name}"));
    let order = arguments(class);
    let (mut given, mut tensors, mut modules) = (Vec::new(), Vec::new(), Vec::new());
    for (i, part) in parts(inside, ',').into_iter().enumerate() {
        let (key, v) = match part.split_once('=').filter(|(k, _)| !k.contains('(') && !part.starts_with('\'')) {
            Some((key, v)) => (*order.iter().find(|n| **n == key).unwrap_or(&order[0]), v),
            None => (order[i], part),
        };
        // Stored under another name.
        match value(v) {
            Value::Attribute(a) => given.push((key, a)),
            Value::Tensor(t) => tensors.push((key, t)),
            Value::Module(m) => modules.push((key, m)),
        }
    }
    class.build_with(class.with(&given), &tensors, &modules, Place::default())
}

/// Python's repr.
fn quoted(a: &Attribute) -> String {
    match a {
        Attribute::Text(t) => format!("'{t}'"),
        other => shown(other),
    }
}

fn check(line: &str) -> std::result::Result<(), String> {
    let f: Vec<&str> = line.split('|').collect();
    let [text, inputs, attributes, printed, keys, outputs] = f[..] else { panic!("{line}") };
    rng::manual_seed(0);
    let m = made(text.trim_end_matches('!')).map_err(|e| e.to_string())?;
    if text.ends_with('!') {
        m.eval().unwrap();
    }
    let given: Vec<Option<Tensor>> = parts(inputs, ';').into_iter().map(|i| (i != "n()").then(|| tensor(i))).collect();
    let out = m.forward_list(&given).map_err(|e| e.to_string())?;
    let mut told: Vec<String> = m.attributes().iter().map(|(n, a)| format!("{n}={}", quoted(a))).collect();
    told.sort();
    let state = m.state_dict().unwrap();
    let names: Vec<&str> = state.keys().map(String::as_str).collect();
    for (what, got, wanted) in [
        ("attributes", told.join(" "), attributes),
        ("text", m.to_string().replace('\n', "\\n"), printed),
        ("keys", names.join(" "), keys),
        ("outputs", out.len().to_string(), &parts(outputs, ';').len().to_string()),
    ] {
        if got != wanted {
            return Err(format!("{what}: got {got}, expected {wanted}"));
        }
    }
    for (o, wanted) in out.iter().zip(parts(outputs, ';')) {
        let o = o.as_ref().ok_or("an output is missing")?;
        let (sizes, values) = wanted.split_once(':').unwrap();
        let got: Vec<String> = o.shape().iter().map(|s| s.to_string()).collect();
        if got.join(",") != sizes {
            return Err(format!("sizes: got {}, expected {sizes}", got.join(",")));
        }
        let all = taper::ops::cast(o, taper::DType::F64).unwrap().to_vec::<f64>().unwrap();
        let step = all.len().div_ceil(24).max(1);
        for (got, wanted) in all.iter().step_by(step).zip(values.split_whitespace()) {
            let w: f64 = wanted.parse().unwrap();
            let near = (got - w).abs() <= 1e-5 + 1e-5 * w.abs() || (got.is_nan() && w.is_nan()) || *got == w;
            if !near {
                return Err(format!("value: got {got}, expected {wanted}"));
            }
        }
    }
    Ok(())
}

#[test]
fn layers_are_pytorchs() {
    let text = include_str!("fixtures/layers_run.txt");
    let faults: Vec<String> = text
        .lines()
        .filter_map(|l| check(l).err().map(|e| format!("{}: {e}", l.split('|').next().unwrap_or_default())))
        .collect();
    assert!(faults.is_empty(), "{} of {} layers differ:\n{}", faults.len(), text.lines().count(), faults.join("\n"));
    for c in CLASSES {
        assert!(text.lines().any(|l| l.starts_with(&format!("{}(", c.name))), "{} is not tried", c.name);
    }
}
