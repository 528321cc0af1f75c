//! A layer's forward in the core: exactly one call of an op.

use super::expr::Expr;
use super::model::*;
use super::plan::Plan;
use super::rust::At;
use crate::model::{Default as OpDefault, Op, Type as OpType};
use std::fmt::Write;

/// An argument of a forward's call as the op takes it.
pub fn pass(plan: &Plan, inputs: &[&str], e: &Expr, ty: OpType) -> Result<String, String> {
    let at = At { plan, values: "v" };
    let optional = ty.is_optional();
    Ok(match e {
        Expr::Literal(l) if l == "None" && optional => "None".into(),
        Expr::Call(f, plain, _) if f == "float" => return pass(plan, inputs, &plain[0], ty),
        Expr::Name(n) if inputs.contains(&n.as_str()) => {
            let i = inputs.iter().position(|x| x == n).unwrap_or(0);
            let left_out = plan.line.iter().find(|e| e.inputs.is_some()).map_or(0, |e| e.optional_inputs);
            let required = inputs.len() - left_out;
            if optional {
                match i < required {
                    true => format!("Some(x[{i}])"),
                    false => format!("x.get({i}).copied()"),
                }
            } else {
                format!("x[{i}]")
            }
        }
        Expr::Name(n) if n == "training" => "m.is_training()".into(),
        Expr::Name(n) if plan.tensor(n).is_some() && matches!(ty, OpType::Tensor) => format!("&m.need({n:?})?"),
        Expr::Name(n) if matches!(ty, OpType::OptTensor) => {
            format!("m.{}({n:?}).as_ref()", plan.tensor(n).unwrap_or("parameter"))
        }
        Expr::Name(n) => {
            let own = further(plan).iter().position(|a| a.name == *n);
            let (v, i) = match own {
                Some(i) => ("f", i),
                None => ("v", at.slot(n)?),
            };
            match ty {
                OpType::Scalar => format!("{v}.scalar({i})"),
                OpType::OptScalar => format!("Some({v}.scalar({i}))"),
                OpType::Int => format!("{v}.int({i})"),
                OpType::OptInt => format!("{v}.opt_int({i})"),
                OpType::Float => format!("{v}.float({i})"),
                OpType::OptFloat => format!("{v}.opt_float({i})"),
                OpType::Bool => format!("{v}.bool({i})"),
                OpType::OptBool => format!("{v}.opt_bool({i})"),
                OpType::IntList(_) => format!("{v}.ints({i})"),
                OpType::OptIntList(_) => format!("{v}.opt_ints({i})"),
                OpType::Str => format!("{v}.text({i})"),
                OpType::OptStr => format!("{v}.opt_text({i})"),
                other => return Err(format!("{n} cannot be {}", other.text())),
            }
        }
        Expr::Text(t) if optional => format!("Some({t:?})"),
        Expr::Text(t) => format!("{t:?}"),
        e => {
            let number = at.number(e, matches!(ty, OpType::Float | OpType::OptFloat))?;
            if optional {
                format!("Some({number})")
            } else {
                number
            }
        }
    })
}

fn default(d: &OpDefault, ty: OpType) -> String {
    let value = match d {
        OpDefault::None => return "None".into(),
        OpDefault::Int(v) => match ty {
            OpType::Scalar => return format!("{v}.into()"),
            OpType::Float => format!("{v}.0"),
            _ => v.to_string(),
        },
        OpDefault::Float(v) => match ty {
            OpType::Scalar => return format!("{v:?}.into()"),
            _ => format!("{v:?}"),
        },
        OpDefault::Bool(v) => v.to_string(),
        OpDefault::Str(v) => format!("{v:?}"),
        OpDefault::IntList(v) => format!("&{v:?}"),
        OpDefault::DType(..) => "None".into(),
    };
    if ty.is_optional() {
        format!("Some({value})")
    } else {
        value
    }
}

/// The whole call of an op of the table.
fn op_call(
    plan: &Plan,
    inputs: &[&str],
    ops: &[Op],
    op: &str,
    plain: &[Expr],
    named: &[(String, Expr)],
) -> Result<String, String> {
    let found = ops.iter().find(|o| o.c_name == op).ok_or(format!("{}: no op {op}", plan.entry.name))?;
    let mut texts = Vec::new();
    for (i, a) in found.args.iter().enumerate() {
        let given = plain.get(i).or_else(|| named.iter().find(|n| n.0 == a.name).map(|n| &n.1));
        texts.push(match (given, &a.default) {
            (Some(e), _) => pass(plan, inputs, e, a.ty).map_err(|e| format!("{}: {op}: {e}", plan.entry.name))?,
            (None, Some(d)) => default(d, a.ty),
            (None, None) => return Err(format!("{}: {op} needs {}", plan.entry.name, a.name)),
        });
    }
    if plain.len() > found.args.len() {
        return Err(format!("{}: {op} takes {} arguments", plan.entry.name, found.args.len()));
    }
    Ok(format!("ops::{}({})", found.rust_name, texts.join(", ")))
}

/// The call of a class's forward, and whether it gives several outputs; `with`: its own arguments are values `f`.
fn call(plan: &Plan, name: &str, ops: &[Op], with: bool) -> Result<(String, bool), String> {
    let inputs = plan.layers.inputs(plan.entry);
    let at = At { plan, values: "v" };
    let f = plan.line.iter().find_map(|e| e.forward.as_ref()).ok_or(format!("{name}: no forward"))?;
    let (op, mut plain, mut named) = match &f.call {
        Expr::Call(op, plain, named) => (op.as_str(), plain.clone(), named.clone()),
        Expr::Member(x, op, Some(arguments)) => {
            (op.as_str(), [vec![(**x).clone()], arguments.clone()].concat(), Vec::new())
        }
        Expr::Name(_) => return Ok(("Ok(x[0].clone())".into(), false)),
        _ => return Err(format!("{name}: no call")),
    };
    if !with {
        for e in plain.iter_mut().chain(named.iter_mut().map(|n| &mut n.1)) {
            let of = f.arguments.iter().find(|a| matches!(e, Expr::Name(n) if a.name == *n));
            if let Some(default) = of.and_then(|a| a.default.clone()) {
                *e = default;
            }
        }
    }
    let is_inplace = |e: &Expr| matches!(e, Expr::Name(n) if n == "inplace");
    let inplace = plain.iter().any(is_inplace) || named.iter().any(|n| is_inplace(&n.1));
    plain.retain(|e| !is_inplace(e));
    named.retain(|n| !is_inplace(&n.1));
    let is_optional = |e: &Expr| match e {
        Expr::Name(n) => plan.slot(n).is_some_and(|i| plan.slots[i].kind.optional),
        _ => false,
    };
    let typed = |path: &str, types: &[OpType], plain: &[Expr]| -> Result<String, String> {
        let texts: Result<Vec<_>, _> = plain.iter().zip(types).map(|(e, t)| pass(plan, &inputs, e, *t)).collect();
        Ok(format!("calls::{path}({})", texts?.join(", ")))
    };
    use OpType::*;
    let list = IntList(None);
    let held = |e: &Expr| match e {
        Expr::Name(n) => at.slot(n),
        _ => Err("a name".to_string()),
    };
    let mut many = false;
    let call = match op {
        "conv_padded" | "conv_transpose_sized" => {
            let (path, types) = match op.contains("transpose") {
                true => {
                    ("conv_transposed", vec![Tensor, Tensor, OptTensor, list, list, list, Int, list, OptIntList(None)])
                }
                false => ("conv_padded", vec![Tensor, Tensor, OptTensor, list, list, list, Int, Str]),
            };
            let mut texts = Vec::new();
            for (i, (e, t)) in plain.iter().zip(types).enumerate() {
                texts.push(if i == 4 { format!("(v, {})", held(e)?) } else { pass(plan, &inputs, e, t)? });
            }
            format!("calls::{path}({})", texts.join(", "))
        }
        "max_pool1d"
        | "max_pool2d"
        | "max_pool3d"
        | "adaptive_max_pool1d"
        | "adaptive_max_pool2d"
        | "adaptive_max_pool3d" => {
            many = true;
            let wanted = at.condition(&plain.pop().ok_or("return_indices")?)?;
            let alone = op_call(plan, &inputs, ops, op, &plain, &named)?;
            let both = op_call(plan, &inputs, ops, &format!("{op}_with_indices"), &plain, &named)?;
            format!("calls::indexed({wanted}, || {alone}, || {both})")
        }
        "softmax" | "softmin" | "log_softmax" if is_optional(&plain[1]) => typed(op, &[Tensor, OptInt], &plain)?,
        "interpolate" => {
            let mut texts = Vec::new();
            for (i, (e, t)) in plain.iter().zip([Tensor, OptIntList(None), Str, Str, OptBool, OptBool]).enumerate() {
                texts.push(if i == 2 { format!("&v[{}]", held(e)?) } else { pass(plan, &inputs, e, t)? });
            }
            format!("calls::interpolate({})", texts.join(", "))
        }
        "triplet_margin_with_distance_loss" => {
            let all: Vec<Expr> = plain.iter().cloned().chain(named.iter().skip(1).map(|n| n.1.clone())).collect();
            typed(op, &[Tensor, Tensor, Tensor, Float, Bool, Str], &all)?.replace("loss(", "loss(m, ")
        }
        // All that a recurrent layer knows: its arguments by name.
        "lstm" | "gru" | "rnn" => {
            many = true;
            let nonlinearity = at.slot("nonlinearity").map_or("\"\"".into(), |i| format!("v.text({i})"));
            format!(
                "recurrent::sequence(m, x, &recurrent::Call {{\n        op: {op:?},\n        weights: {},\n        \
                 batch_first: v.bool({}),\n        dropout: v.float({}),\n        nonlinearity: {nonlinearity},\n    }})",
                at.weights("        ")?,
                at.slot("batch_first")?,
                at.slot("dropout")?,
            )
        }
        "lstm_cell" | "gru_cell" | "rnn_cell" => {
            many = true;
            let nonlinearity = at.slot("nonlinearity").map_or("\"\"".into(), |i| format!("v.text({i})"));
            format!("recurrent::cell(m, x, {op:?}, v.int({}), {nonlinearity})", at.slot("hidden_size")?)
        }
        "unfold" => op_call(plan, &inputs, ops, "im2col", &plain, &named)?,
        "fold" => op_call(plan, &inputs, ops, "col2im", &plain, &named)?,
        _ => op_call(plan, &inputs, ops, op, &plain, &named)?,
    };
    let call = if inplace {
        let wanted = at.slot("inplace")?;
        let own = format!("{op}_");
        if ops.iter().any(|o| o.c_name == own) {
            let written = op_call(plan, &inputs, ops, &own, &plain, &named)?;
            format!("calls::written(v.bool({wanted}), x[0], || {written}, || {call})")
        } else {
            let old = call.replacen("x[0]", "old", 1);
            let op = old.strip_suffix("(old)").map_or(format!("|old| {old}"), String::from);
            format!("calls::in_place(v.bool({wanted}), x[0], {op})")
        }
    } else {
        call
    };
    Ok((call, many))
}

/// A class's forward, and the one with arguments of its own where it has some.
pub fn forward(plan: &Plan, name: &str, ops: &[Op]) -> Result<String, String> {
    let mut s = String::new();
    let own = further(plan);
    for with in [false, true].into_iter().filter(|with| !with || !own.is_empty()) {
        let (call, many) = call(plan, name, ops, with)?;
        let uses = |what: &str| call.contains(what);
        let m = if uses("m.") || uses("(m, ") { "m" } else { "_" };
        let v = if uses("v.") || uses("v[") || uses("(v,") { "v" } else { "_" };
        let tail = if many { "" } else { ".map(one)" };
        let (end, more) = if with { ("_with", ", f: &Values") } else { ("", "") };
        let body = if call == "Ok(x[0].clone())" { "Ok(one(x[0].clone()))".into() } else { format!("{call}{tail}") };
        write!(
            s,
            "fn {name}{end}({m}: &Module, {v}: &Values, x: &[&Tensor]{more}) -> Result<Outputs> {{\n    {body}\n}}\n"
        )
        .unwrap();
    }
    Ok(s)
}

/// The forwards of `src/nn/layers/attention.rs`, which get all inputs, also the absent ones.
const WHOLE: &[&str] = &["heads", "encoder_layer", "decoder_layer", "encoder", "decoder", "transformer"];

pub fn is_whole(plan: &Plan) -> bool {
    let f = plan.line.iter().find_map(|e| e.forward.as_ref());
    matches!(f.map(|f| &f.call), Some(Expr::Call(op, _, _)) if WHOLE.contains(&op.as_str()))
}

/// Such a forward: the inputs go as they are, the values by their types.
pub fn whole(plan: &Plan, name: &str) -> Result<String, String> {
    let f = plan.line.iter().find_map(|e| e.forward.as_ref()).ok_or(format!("{name}: no forward"))?;
    let Expr::Call(op, plain, named) = &f.call else { return Err(format!("{name}: no call")) };
    let at = At { plan, values: "v" };
    let typed = |e: &Expr| -> Result<String, String> {
        let Expr::Name(n) = e else { return Err(format!("{name}: {e:?} is no name")) };
        let own = f.arguments.iter().position(|a| a.name == *n);
        let (values, i, kind) = match own {
            Some(i) => ("f", i, &f.arguments[i].kind),
            None => ("v", at.slot(n)?, &plan.slots[at.slot(n)?].kind),
        };
        let read = match (kind.name.as_str(), kind.optional) {
            ("bool", false) => "bool",
            ("bool", true) => "opt_bool",
            ("int", _) => "int",
            ("float", _) => "float",
            _ => "text",
        };
        Ok(format!("{values}.{read}({i})"))
    };
    let mut values = Vec::new();
    for e in plain {
        values.push(typed(e)?);
    }
    let call = match named.is_empty() {
        true => format!("attention::{op}(m, x, {})", values.join(", ")),
        false => {
            let rows: Result<Vec<_>, String> =
                named.iter().map(|(n, e)| Ok(format!("        {n}: {},\n", typed(e)?))).collect();
            format!("attention::{op}(m, x, &attention::Heads {{\n{}    }})", rows?.concat())
        }
    };
    let v = if call.contains("v.") { "v" } else { "_" };
    Ok(format!(
        "fn {name}(m: &Module, {v}: &Values, x: &[Option<&Tensor>], f: &Values) -> Result<Outputs> {{\n    {call}\n}}\n"
    ))
}

/// The arguments that a forward takes besides its inputs.
pub fn further<'a>(plan: &Plan<'a>) -> &'a [Argument] {
    plan.line.iter().find_map(|e| e.forward.as_ref()).map_or(&[], |f| &f.arguments)
}
