//! `src/optim/schedule/entries_gen.rs`: a struct of arguments per schedule; `rules_gen.rs`: which there are, and the formulas.

use super::{Argument, Entry, Kind};
use crate::layers::expr::Expr;
use std::fmt::Write;

#[derive(Clone, Copy, PartialEq)]
enum Ty {
    Int,
    Float,
    Bool,
}

/// The types of the names that an expression may hold.
struct Scope<'a>(&'a [Argument]);

impl Scope<'_> {
    fn ty(&self, name: &str) -> Ty {
        match name {
            "lr" => Ty::Float,
            "e" | "count" => Ty::Int,
            "initial" => Ty::Bool,
            _ => match self.0.iter().find(|a| a.name == name).map(|a| a.kind) {
                Some(Kind::Int) => Ty::Int,
                Some(Kind::Bool) => Ty::Bool,
                _ => Ty::Float,
            },
        }
    }

    /// As a float.
    fn float(&self, e: &Expr) -> String {
        match (e, self.code(e)) {
            (Expr::Literal(n), (_, Ty::Int)) => format!("{n}.0"),
            (_, (text, Ty::Int)) => format!("float({text})"),
            (_, (text, _)) => text,
        }
    }

    /// Where an operand of an operator stands.
    fn operand(&self, e: &Expr, float: bool) -> String {
        let text = if float { self.float(e) } else { self.code(e).0 };
        let simple = text.chars().all(|c| c.is_alphanumeric() || "_.?".contains(c)) || text.starts_with("float(");
        match e {
            Expr::Binary("/" | "//" | "%" | "^", ..) | Expr::Call(..) | Expr::Name(_) => text,
            _ if simple => text,
            _ => format!("({text})"),
        }
    }

    fn code(&self, e: &Expr) -> (String, Ty) {
        match e {
            Expr::Literal(n) if n.contains(['.', 'e']) => (n.clone(), Ty::Float),
            Expr::Literal(n) => (n.clone(), Ty::Int),
            Expr::Name(n) => match n.as_str() {
                "base" => ("at.base()?".into(), Ty::Float),
                "pi" => ("PI".into(), Ty::Float),
                _ => (n.clone(), self.ty(n)),
            },
            Expr::Not(x) => (format!("!{}", self.operand(x, false)), Ty::Bool),
            Expr::Negative(x) => (format!("-{}", self.operand(x, false)), self.code(x).1),
            Expr::Binary(sign, a, b) => {
                let both = self.code(a).1 == Ty::Int && self.code(b).1 == Ty::Int;
                match *sign {
                    "and" | "or" => {
                        let sign = if *sign == "and" { "&&" } else { "||" };
                        (format!("{} {sign} {}", self.condition(a), self.condition(b)), Ty::Bool)
                    }
                    "==" | "!=" | "<" | ">" | "<=" | ">=" => {
                        (format!("{} {sign} {}", self.operand(a, !both), self.operand(b, !both)), Ty::Bool)
                    }
                    "//" => (format!("floor_div({}, {})?", self.code(a).0, self.code(b).0), Ty::Int),
                    "%" => (format!("modulo({}, {})?", self.code(a).0, self.code(b).0), Ty::Int),
                    "/" => (format!("divide({}, {})?", self.float(a), self.float(b)), Ty::Float),
                    "^" => (format!("raised({}, {})?", self.float(a), self.float(b)), Ty::Float),
                    _ => {
                        let ty = if both { Ty::Int } else { Ty::Float };
                        (format!("{} {sign} {}", self.operand(a, !both), self.operand(b, !both)), ty)
                    }
                }
            }
            Expr::Choice(a, c, b) => {
                let both = self.code(a).1 == Ty::Int && self.code(b).1 == Ty::Int;
                let side = |x: &Expr| if both { self.code(x).0 } else { self.float(x) };
                let ty = if both { Ty::Int } else { Ty::Float };
                (format!("if {} {{ {} }} else {{ {} }}", self.code(c).0, side(a), side(b)), ty)
            }
            Expr::Call(f, plain, _) => match (f.as_str(), &plain[..]) {
                ("min" | "max", [a, b]) => {
                    let both = self.code(a).1 == Ty::Int && self.code(b).1 == Ty::Int;
                    let side = |x: &Expr| if both { self.code(x).0 } else { self.float(x) };
                    (format!("{}.{f}({})", self.operand(a, !both), side(b)), if both { Ty::Int } else { Ty::Float })
                }
                (_, [x]) => (format!("{}.{f}()", self.operand(x, true)), Ty::Float),
                _ => panic!("{f} of {} arguments", plain.len()),
            },
            other => panic!("{other:?} has no place in a schedule"),
        }
    }

    /// A side of `and` or `or`.
    fn condition(&self, e: &Expr) -> String {
        match e {
            Expr::Binary("and" | "or", ..) => format!("({})", self.code(e).0),
            _ => self.code(e).0,
        }
    }
}

fn ty(k: Kind) -> &'static str {
    match k {
        Kind::Int => "i64",
        Kind::OptInt => "Option<i64>",
        Kind::Float => "f64",
        Kind::Bool => "bool",
        Kind::Str => "String",
        Kind::Ints => "Vec<i64>",
        Kind::Rates => "Vec<f64>",
        Kind::Callback => "Callback",
        Kind::OptCallback => "Option<Callback>",
        Kind::Schedules => "Vec<Schedule>",
    }
}

fn default(a: &Argument) -> String {
    match a.kind {
        Kind::OptInt | Kind::OptCallback => "None".into(),
        Kind::Rates => format!("vec![{}]", a.number()),
        Kind::Str => format!("{}.into()", a.number()),
        _ => a.number(),
    }
}

fn value(a: &Argument) -> String {
    let n = &a.name;
    match a.kind {
        Kind::Int => format!("Value::Int(self.{n})"),
        Kind::OptInt => format!("self.{n}.map_or(Value::None, Value::Int)"),
        Kind::Float => format!("Value::Float(self.{n})"),
        Kind::Bool => format!("Value::Bool(self.{n})"),
        Kind::Str => format!("Value::Text(self.{n})"),
        Kind::Ints => format!("Value::Ints(self.{n})"),
        _ => format!("Value::Floats(self.{n})"),
    }
}

/// Statements that read what an expression mentions, and the expression.
fn body(e: &Entry, x: &Expr) -> String {
    let mut s = String::new();
    let names = x.names();
    for n in ["lr", "e", "count", "initial"].iter().filter(|n| names.contains(n)) {
        writeln!(s, "    let {n} = at.{n};").unwrap();
    }
    for (i, a) in e.arguments.iter().enumerate().filter(|(_, a)| names.contains(&a.name.as_str())) {
        let read = if a.kind == Kind::Int { "int" } else { "float" };
        writeln!(s, "    let {} = at.{read}({i})?;", a.name).unwrap();
    }
    let code = |x: &Expr| Scope(&e.arguments).float(x);
    let condition = |x: &Expr| Scope(&e.arguments).code(x).0;
    let mut rest = x;
    while let Expr::Choice(a, c, b) = rest {
        writeln!(s, "    if {} {{\n        return Ok({});\n    }}", condition(c), code(a)).unwrap();
        rest = b;
    }
    writeln!(s, "    Ok({})", code(rest)).unwrap();
    s
}

/// The struct of arguments of each schedule.
pub fn emit(entries: &[Entry]) -> String {
    let mut s = String::from(
        "// Generated by taper-gen from spec/schedules.txt; do not edit. Mend with: cargo run -p taper-gen\n\
         //! Every schedule's arguments.\n\
         // The names of arguments are PyTorch's.\n\
         #![allow(non_snake_case, clippy::manual_range_contains, clippy::new_without_default, clippy::nonminimal_bool)]\n\n\
         use super::rules_gen::Rule;\n\
         use super::schedule::{Given, Schedule};\n\
         use super::values::{Callback, Target, Value};\n\
         use crate::{ensure, Result};\n\n",
    );
    for e in entries {
        let field = |a: &Argument| format!("    pub {}: {},\n", a.name, ty(a.kind));
        let required: Vec<&Argument> = e.arguments.iter().filter(|a| a.default.is_none()).collect();
        let mut fields: String = e.arguments.iter().map(field).collect();
        if e.last_epoch {
            fields += "    /// -1: from the start.\n    pub last_epoch: i64,\n";
        }
        let name = &e.name;
        writeln!(s, "/// {}\n#[derive(Clone)]\npub struct {name} {{\n{fields}}}\nimpl {name} {{", e.doc).unwrap();
        let parameters: Vec<_> = required.iter().map(|a| format!("{}: {}", a.name, ty(a.kind))).collect();
        let mut set: Vec<_> = e
            .arguments
            .iter()
            .map(|a| if a.default.is_none() { a.name.clone() } else { format!("{}: {}", a.name, default(a)) })
            .collect();
        if e.last_epoch {
            set.push("last_epoch: -1".into());
        }
        writeln!(s, "    /// With PyTorch's defaults.\n    pub fn new({}) -> {name} {{", parameters.join(", "))
            .unwrap();
        writeln!(s, "        {name} {{ {} }}\n    }}", set.join(", ")).unwrap();
        let target = if e.optimizer { "o: &Target" } else { "" };
        writeln!(
            s,
            "    /// The schedule{}; its first step is made.",
            if e.optimizer { " of an optimiser" } else { "" }
        )
        .unwrap();
        writeln!(s, "    pub fn make(self{}{target}) -> Result<Schedule> {{", if e.optimizer { ", " } else { "" })
            .unwrap();
        for (when, message) in &e.refuse {
            let scope = Scope(&e.arguments);
            let when = scope.code(when).0;
            for a in when.split(|c: char| !c.is_alphanumeric() && c != '_').collect::<std::collections::BTreeSet<_>>() {
                if let Some(a) = e.arguments.iter().find(|x| x.name == a) {
                    writeln!(s, "        let {0} = self.{0};", a.name).unwrap();
                }
            }
            writeln!(s, "        ensure!(!({when}), Value, \"{message}\");").unwrap();
        }
        let plain = |a: &&Argument| !matches!(a.kind, Kind::Callback | Kind::OptCallback | Kind::Schedules);
        let values: Vec<_> =
            e.arguments.iter().filter(plain).map(|a| format!("(\"{}\", {})", a.name, value(a))).collect();
        let callback = match e.arguments.iter().find(|a| matches!(a.kind, Kind::Callback | Kind::OptCallback)) {
            Some(a) if a.kind == Kind::Callback => format!("Some(self.{})", a.name),
            Some(a) => format!("self.{}", a.name),
            None => "None".into(),
        };
        let schedules = match e.arguments.iter().find(|a| a.kind == Kind::Schedules) {
            Some(a) => format!("self.{}", a.name),
            None => "Vec::new()".into(),
        };
        let last_epoch = if e.last_epoch { "self.last_epoch" } else { "-1" };
        writeln!(
            s,
            "        let given = Given {{\n            rule: Rule::{name},\n            name: \"{name}\".into(),\n            \
             arguments: vec![{}],\n            callback: {callback},\n            schedules: {schedules},\n            \
             last_epoch: {last_epoch},\n        }};\n        Schedule::new({}, given)\n    }}\n}}\n",
            values.join(", "),
            if e.optimizer { "Some(o)" } else { "None" },
        )
        .unwrap();
    }
    s.truncate(s.trim_end().len());
    s.push('\n');
    s
}

/// Which schedules there are, and the formulas of those that have some.
pub fn rules(entries: &[Entry]) -> String {
    let mut s = String::from(
        "// Generated by taper-gen from spec/schedules.txt; do not edit. Mend with: cargo run -p taper-gen\n\
         //! Which schedules there are, and the formulas of those that have some.\n\
         // The names of arguments are PyTorch's.\n\
         #![allow(non_snake_case)]\n\n\
         use super::formula::{divide, float, floor_div, modulo, raised, At};\n\
         use crate::Result;\n\
         use std::f64::consts::PI;\n\n\
         /// Which schedule it is.\n\
         #[derive(Clone, Copy, Debug, PartialEq, Eq)]\n\
         pub enum Rule {\n",
    );
    for e in entries {
        writeln!(s, "    {},", e.name).unwrap();
    }
    s += "    /// A caller's own function.\n    Own,\n}\n\n";
    for e in entries {
        for (form, x) in [("next", &e.next), ("closed", &e.closed)] {
            if let Some(x) = x {
                let name = e.snake();
                writeln!(s, "fn {name}_{form}(at: &At) -> Result<f64> {{\n{}}}", body(e, x)).unwrap();
            }
        }
    }
    s += "\nimpl Rule {\n    /// The recursive form and the closed one.\n    \
          pub(super) fn formulas(self) -> Option<[fn(&At) -> Result<f64>; 2]> {\n        match self {\n";
    for e in entries.iter().filter(|e| e.next.is_some()) {
        let n = e.snake();
        let closed = if e.closed.is_some() { "closed" } else { "next" };
        writeln!(s, "            Rule::{} => Some([{n}_next, {n}_{closed}]),", e.name).unwrap();
    }
    s += "            _ => None,\n        }\n    }\n}\n";
    s
}
