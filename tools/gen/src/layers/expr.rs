//! The expressions of `spec/layers.txt`: read into a tree, printed as Python.
//!
//! Numbers, names, strings, tuples, `+ - * / // % ^`, comparisons, `and or not`, `x if c else y`, `has p`, `*x` in a list,
//! calls with keywords, and `x.method(..)`.

#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// A number, True, False or None, as it is spelt.
    Literal(String),
    Text(String),
    Name(String),
    Tuple(Vec<Expr>),
    Star(Box<Expr>),
    /// `has p`: whether an optional parameter, buffer or argument is there.
    Has(String),
    Not(Box<Expr>),
    Negative(Box<Expr>),
    Binary(&'static str, Box<Expr>, Box<Expr>),
    /// value, condition, otherwise.
    Choice(Box<Expr>, Box<Expr>, Box<Expr>),
    Call(String, Vec<Expr>, Vec<(String, Expr)>),
    /// object, attribute, arguments where it is a method.
    Member(Box<Expr>, String, Option<Vec<Expr>>),
}

/// How names are spelt where an expression stands.
pub type Names<'a> = &'a dyn Fn(&str) -> String;

const OPERATORS: &[(&str, u8)] = &[
    ("or", 1),
    ("and", 2),
    ("==", 4),
    ("!=", 4),
    ("<=", 4),
    (">=", 4),
    ("<", 4),
    (">", 4),
    ("+", 5),
    ("-", 5),
    ("*", 6),
    ("//", 6),
    ("/", 6),
    ("%", 6),
    ("^", 8),
];

/// Splits text into names, numbers, quoted strings and signs.
pub fn tokens(text: &str) -> Result<Vec<String>, String> {
    let mut out = Vec::new();
    let c: Vec<char> = text.chars().collect();
    let mut i = 0;
    while i < c.len() {
        let start = i;
        if c[i].is_whitespace() {
            i += 1;
            continue;
        } else if c[i].is_ascii_digit() {
            while i < c.len()
                && (c[i].is_ascii_alphanumeric() || c[i] == '.' || (c[i] == '-' && matches!(c[i - 1], 'e' | 'E')))
            {
                i += 1;
            }
        } else if c[i].is_alphabetic() || c[i] == '_' {
            while i < c.len() && (c[i].is_alphanumeric() || c[i] == '_') {
                i += 1;
            }
        } else if c[i] == '\'' || c[i] == '"' {
            i += 1;
            while i < c.len() && c[i] != c[start] {
                i += if c[i] == '\\' { 2 } else { 1 };
            }
            if i >= c.len() {
                return Err(format!("a string does not end: {text}"));
            }
            i += 1;
        } else {
            let two: String = c[i..c.len().min(i + 2)].iter().collect();
            i += if matches!(two.as_str(), "==" | "!=" | "<=" | ">=" | "//") { 2 } else { 1 };
        }
        out.push(c[start..i].iter().collect());
    }
    Ok(out)
}

/// A reader of tokens.
pub struct Reader {
    pub tokens: Vec<String>,
    pub at: usize,
}

impl Reader {
    pub fn new(text: &str) -> Result<Reader, String> {
        Ok(Reader { tokens: tokens(text)?, at: 0 })
    }

    pub fn peek(&self) -> &str {
        self.tokens.get(self.at).map_or("", |t| t)
    }

    pub fn next(&mut self) -> Result<String, String> {
        let t = self.tokens.get(self.at).cloned().ok_or("the text ends too early")?;
        self.at += 1;
        Ok(t)
    }

    pub fn take(&mut self, sign: &str) -> bool {
        let found = self.peek() == sign;
        self.at += usize::from(found);
        found
    }

    pub fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.take(sign) {
            return Ok(());
        }
        Err(format!("expected '{sign}', found '{}' in: {}", self.peek(), self.tokens.join(" ")))
    }

    /// Everything was read.
    pub fn end(&self) -> Result<(), String> {
        if self.at == self.tokens.len() {
            return Ok(());
        }
        Err(format!("'{}' is too much in: {}", self.peek(), self.tokens.join(" ")))
    }

    pub fn expr(&mut self) -> Result<Expr, String> {
        let value = self.operand(1)?;
        // A condition without `else` belongs to what stands around: the caller reads it.
        let back = self.at;
        if self.take("if") {
            let condition = self.operand(1)?;
            if self.take("else") {
                let otherwise = self.expr()?;
                return Ok(Expr::Choice(Box::new(value), Box::new(condition), Box::new(otherwise)));
            }
            self.at = back;
        }
        Ok(value)
    }

    /// An expression without a choice of its own.
    pub fn condition(&mut self) -> Result<Expr, String> {
        self.operand(1)
    }

    fn operand(&mut self, least: u8) -> Result<Expr, String> {
        let mut left = self.unary()?;
        while let Some(&(sign, strength)) = OPERATORS.iter().find(|o| o.0 == self.peek() && o.1 >= least) {
            self.at += 1;
            let right = self.operand(strength + 1)?;
            left = Expr::Binary(sign, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expr, String> {
        if self.take("not") {
            return Ok(Expr::Not(Box::new(self.operand(4)?)));
        }
        if self.take("-") {
            return Ok(Expr::Negative(Box::new(self.operand(7)?)));
        }
        if self.take("*") {
            return Ok(Expr::Star(Box::new(self.operand(7)?)));
        }
        if self.take("has") {
            return Ok(Expr::Has(self.next()?));
        }
        let mut value = self.atom()?;
        while self.take(".") {
            let name = self.next()?;
            let arguments = if self.take("(") { Some(self.list(")")?) } else { None };
            value = Expr::Member(Box::new(value), name, arguments);
        }
        Ok(value)
    }

    fn atom(&mut self) -> Result<Expr, String> {
        let t = self.next()?;
        match t.as_str() {
            "[" => return Ok(Expr::Tuple(self.list("]")?)),
            "(" => {
                if self.take(")") {
                    return Ok(Expr::Tuple(Vec::new()));
                }
                let first = self.expr()?;
                if self.take(")") {
                    return Ok(first);
                }
                self.expect(",")?;
                let mut items = vec![first];
                items.extend(self.list(")")?);
                return Ok(Expr::Tuple(items));
            }
            "True" | "False" | "None" => return Ok(Expr::Literal(t)),
            _ => {}
        }
        let first = t.chars().next().unwrap_or(' ');
        if first.is_ascii_digit() {
            return Ok(Expr::Literal(t));
        }
        if first == '\'' || first == '"' {
            return Ok(Expr::Text(unquote(&t)));
        }
        if !(first.is_alphabetic() || first == '_') {
            return Err(format!("'{t}' is no expression in: {}", self.tokens.join(" ")));
        }
        if self.take("(") {
            let (mut plain, mut named) = (Vec::new(), Vec::new());
            while !self.take(")") {
                if self.tokens.get(self.at + 1).is_some_and(|s| s == "=") {
                    let key = self.next()?;
                    self.at += 1;
                    named.push((key, self.expr()?));
                } else {
                    plain.push(self.expr()?);
                }
                if self.peek() != ")" {
                    self.expect(",")?;
                }
            }
            return Ok(Expr::Call(t, plain, named));
        }
        Ok(Expr::Name(t))
    }

    /// Expressions up to a closing sign.
    fn list(&mut self, close: &str) -> Result<Vec<Expr>, String> {
        let mut items = Vec::new();
        while !self.take(close) {
            items.push(self.expr()?);
            if self.peek() != close {
                self.expect(",")?;
            }
        }
        Ok(items)
    }
}

/// Reads a whole text.
pub fn parse(text: &str) -> Result<Expr, String> {
    let mut r = Reader::new(text)?;
    let e = r.expr()?;
    r.end()?;
    Ok(e)
}

/// A quoted token's text.
pub fn unquote(token: &str) -> String {
    token[1..token.len() - 1].replace("\\\"", "\"").replace("\\'", "'")
}

impl Expr {
    /// Whether a name occurs.
    pub fn mentions(&self, name: &str) -> bool {
        self.names().contains(&name)
    }

    /// Every name that occurs, but for those of functions and methods.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Expr::Literal(_) | Expr::Text(_) => Vec::new(),
            Expr::Name(n) | Expr::Has(n) => vec![n],
            Expr::Tuple(items) => items.iter().flat_map(Expr::names).collect(),
            Expr::Star(e) | Expr::Not(e) | Expr::Negative(e) => e.names(),
            Expr::Binary(_, a, b) => [a.names(), b.names()].concat(),
            Expr::Choice(a, b, c) => [a.names(), b.names(), c.names()].concat(),
            Expr::Call(_, plain, named) => {
                plain.iter().chain(named.iter().map(|n| &n.1)).flat_map(Expr::names).collect()
            }
            Expr::Member(e, _, arguments) => {
                let mut names = e.names();
                names.extend(arguments.iter().flatten().flat_map(Expr::names));
                names
            }
        }
    }

    /// The text in Python; `names` says how a name is reached.
    pub fn python(&self, names: Names) -> String {
        self.python_in(names, 0)
    }

    fn python_in(&self, names: Names, around: u8) -> String {
        let (text, strength) = match self {
            Expr::Literal(t) => (t.clone(), 9),
            Expr::Text(t) => (quoted(t), 9),
            Expr::Name(n) if n == "class" => ("type(self).__name__".into(), 9),
            Expr::Name(n) => (names(n), 9),
            Expr::Tuple(items) => {
                let texts: Vec<_> = items.iter().map(|e| e.python(names)).collect();
                (format!("({}{})", texts.join(", "), if texts.len() == 1 { "," } else { "" }), 9)
            }
            Expr::Star(e) => (format!("*{}", e.python_in(names, 7)), 9),
            Expr::Has(n) => (format!("{} is not None", names(n)), 4),
            Expr::Not(e) => match &**e {
                Expr::Has(n) => (format!("{} is None", names(n)), 4),
                e => (format!("not {}", e.python_in(names, 3)), 3),
            },
            Expr::Negative(e) => (format!("-{}", e.python_in(names, 7)), 7),
            Expr::Binary(sign, a, b) => {
                let strength = OPERATORS.iter().find(|o| o.0 == *sign).map_or(0, |o| o.1);
                let (a, b) = (a.python_in(names, strength), b.python_in(names, strength + 1));
                let simple = |t: &str| t.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.');
                match *sign {
                    // As ruff prints it.
                    "^" if simple(&a) && simple(&b) => (format!("{a}**{b}"), strength),
                    "^" => (format!("{a} ** {b}"), strength),
                    sign => (format!("{a} {sign} {b}"), strength),
                }
            }
            Expr::Choice(a, c, b) => {
                (format!("{} if {} else {}", a.python_in(names, 1), c.python_in(names, 1), b.python_in(names, 0)), 0)
            }
            Expr::Call(f, plain, named) if f == "any" && named.is_empty() => match &plain[..] {
                [Expr::Binary(sign, a, b)] => {
                    (format!("any(s {sign} {} for s in {})", b.python(names), a.python(names)), 9)
                }
                _ => (format!("any({})", join(plain, named, names)), 9),
            },
            Expr::Call(f, plain, named) => {
                let module = if matches!(f.as_str(), "sqrt" | "cos") { "math." } else { "" };
                (format!("{module}{f}({})", join(plain, named, names)), 9)
            }
            Expr::Member(e, name, None) => (format!("{}.{name}", e.python_in(names, 9)), 9),
            Expr::Member(e, name, Some(arguments)) => {
                (format!("{}.{name}({})", e.python_in(names, 9), join(arguments, &[], names)), 9)
            }
        };
        if strength < around {
            format!("({text})")
        } else {
            text
        }
    }
}

fn join(plain: &[Expr], named: &[(String, Expr)], names: Names) -> String {
    python_arguments(plain, named, names).join(", ")
}

/// The arguments of a call, one text each.
pub fn python_arguments(plain: &[Expr], named: &[(String, Expr)], names: Names) -> Vec<String> {
    let plain = plain.iter().map(|e| e.python(names));
    plain.chain(named.iter().map(|(k, e)| format!("{k}={}", e.python(names)))).collect()
}

/// A string as Python's formatter quotes it.
pub fn quoted(text: &str) -> String {
    let quote = if text.contains('"') { '\'' } else { '"' };
    format!("{quote}{text}{quote}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_keeps_the_meaning() {
        let own = |n: &str| format!("self.{n}");
        for (text, wanted) in [
            ("1 + 2 * a", "1 + 2 * self.a"),
            ("(1 + 2) * a", "(1 + 2) * self.a"),
            ("a - (b - c)", "self.a - (self.b - self.c)"),
            ("a ^ 2 // b", "self.a**2 // self.b"),
            ("x if has w and not y else -z", "self.x if self.w is not None and not self.y else -self.z"),
            ("not has bias", "self.bias is None"),
            ("not (a and b)", "not (self.a and self.b)"),
            ("(0,) * n", "(0,) * self.n"),
            ("[a, *k]", "(self.a, *self.k)"),
            ("any(stride != 1)", "any(s != 1 for s in self.stride)"),
            ("1 / sqrt(weight.size(-1))", "1 / math.sqrt(self.weight.size(-1))"),
            ("f(x, k='none')", "f(self.x, k=\"none\")"),
        ] {
            assert_eq!(parse(text).unwrap().python(&own), wanted, "{text}");
        }
        for text in ["1 +", "(a", "a b", "'x", ")"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
