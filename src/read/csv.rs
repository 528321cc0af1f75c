//! Tables of numbers as text: fields between separators, quoted where one has a separator, a quote or the end of a line inside
//! (RFC 4180). Plain or compressed by gzip.

use crate::backend::memory;
use crate::io::inflate;
use crate::io::source::Source;
use crate::{ensure, DType, Device, Error, Result, Tensor};

/// What may stand where a number is missing, besides nothing.
const MISSING: &[&[u8]] = &[b"NA", b"N/A", b"nan", b"NaN", b"NAN", b"null", b"NULL", b"None", b"?"];
/// How much of a field errors quote.
const SHOWN: usize = 40;

pub struct Options {
    /// One byte of ASCII between fields; a space stands for runs of spaces and tabs.
    pub separator: u8,
    /// Whether the first line has names; None: whether one of its fields is neither a number nor missing.
    pub header: Option<bool>,
    /// What stands in the tensor for a number that is missing.
    pub missing: f64,
}
impl Options {
    pub fn separator(text: &str) -> Result<u8> {
        match text.as_bytes() {
            [b] if b.is_ascii() && !matches!(b, b'"' | b'\n' | b'\r' | b'.' | b'-' | b'+') && !b.is_ascii_alphanumeric() => {
                Ok(*b)
            }
            _ => crate::bail!(
                Value,
                "separator must be one character of ASCII that no number has, such as \",\" \";\" or a tab, got {text:?}"
            ),
        }
    }
}

/// Reads fields one after the other.
struct Fields<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
    separator: u8,
    /// A field that was quoted, without its quotes.
    plain: Vec<u8>,
}

/// How a field ended.
#[derive(PartialEq)]
enum End {
    Field,
    Line,
}

impl Fields<'_> {
    fn blank(&self, b: u8) -> bool {
        b == b' ' || (b == b'\t' && self.separator != b'\t')
    }
    fn separates(&self, b: u8) -> bool {
        b == self.separator || (b == b'\t' && self.separator == b' ')
    }
    fn skip_blanks(&mut self) {
        while self.text.get(self.at).is_some_and(|b| self.blank(*b)) {
            self.at += 1;
        }
    }
    /// Steps over empty lines; whether anything is left.
    fn more(&mut self) -> bool {
        loop {
            let begin = self.at;
            self.skip_blanks();
            match self.text.get(self.at) {
                None => return false,
                Some(b'\r') if self.text.get(self.at + 1) == Some(&b'\n') => self.at += 1,
                Some(b'\n') => {
                    self.at += 1;
                    self.line += 1;
                }
                Some(_) => {
                    self.at = begin;
                    return true;
                }
            }
        }
    }
    /// The next field without blanks around it, and how it ended. Err is what is wrong.
    fn next(&mut self) -> std::result::Result<(&[u8], End), Wrong> {
        self.skip_blanks();
        let quoted = self.text.get(self.at) == Some(&b'"');
        let begin = self.at;
        if quoted {
            self.plain.clear();
            self.at += 1;
            let opened = self.line;
            loop {
                let rest = &self.text[self.at..];
                let Some(n) = rest.iter().position(|b| *b == b'"') else {
                    return Err(Wrong::Text(format!("a quote that begins in line {opened} does not end")));
                };
                self.line += rest[..n].iter().filter(|b| **b == b'\n').count();
                memory::reserve(&mut self.plain, n + 1)?;
                self.plain.extend_from_slice(&rest[..n]);
                self.at += n + 1;
                if self.text.get(self.at) != Some(&b'"') {
                    break;
                }
                self.plain.push(b'"');
                self.at += 1;
            }
            self.skip_blanks();
        }
        let rest = &self.text[self.at..];
        let n = rest.iter().position(|b| self.separates(*b) || *b == b'\n').unwrap_or(rest.len());
        let end = self.at + n;
        let field = rest[..n].trim_ascii();
        if quoted && !field.is_empty() {
            return Err(Wrong::Text(format!("something follows a quoted field in line {}", self.line)));
        }
        self.at = end;
        let mut how = End::Line;
        if self.text.get(end).is_some_and(|b| self.separates(*b)) {
            self.at += 1;
            how = End::Field;
            if self.separator == b' ' {
                self.skip_blanks();
                // Blanks at the end of a line separate nothing.
                let left = &self.text[self.at..];
                if left.is_empty() || left.starts_with(b"\n") || left.starts_with(b"\r\n") {
                    self.at += left.iter().position(|b| *b == b'\n').unwrap_or(left.len());
                    how = End::Line;
                }
            }
        }
        if how == End::Line && self.text.get(self.at) == Some(&b'\n') {
            self.at += 1;
            self.line += 1;
        }
        Ok((if quoted { &self.plain[..] } else { self.text[begin..end].trim_ascii() }, how))
    }
}

enum Wrong {
    Text(String),
    Other(Error),
}
impl From<Error> for Wrong {
    fn from(e: Error) -> Wrong {
        Wrong::Other(e)
    }
}

fn number(field: &[u8], missing: f64) -> Option<f64> {
    if field.is_empty() || MISSING.contains(&field) {
        return Some(missing);
    }
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn shown(field: &[u8]) -> String {
    let cut = if field.len() > SHOWN { ".." } else { "" };
    format!("\"{}{cut}\"", String::from_utf8_lossy(&field[..field.len().min(SHOWN)]))
}

/// The numbers of a table, [rows, columns], and its columns' names, one for each (none without a header).
pub fn read(source: &Source, options: &Options, dtype: DType) -> Result<(Tensor, Vec<String>)> {
    ensure!(dtype.is_real_float(), Type, "dtype must be a floating-point one, got {dtype}");
    let bytes = inflate::plain_or_gzip(source)?;
    let (values, names, columns) = match table(&bytes, options) {
        Ok(t) => t,
        Err(Wrong::Text(what)) => return Err(source.bad("CSV", what)),
        Err(Wrong::Other(e)) => return Err(e),
    };
    let rows = values.len().checked_div(columns).unwrap_or(0);
    drop(bytes);
    let t = Tensor::from_slice(&values, &[rows as i64, columns as i64])?;
    Ok((crate::nn::convert(&t, dtype, Device::CPU)?, names))
}

type Table = (Vec<f64>, Vec<String>, usize);

fn table(bytes: &[u8], options: &Options) -> std::result::Result<Table, Wrong> {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut fields = Fields { text, at: 0, line: 1, separator: options.separator, plain: Vec::new() };
    let mut names = Vec::new();
    let mut columns = None;
    if header(text, options, &fields)? && fields.more() {
        loop {
            let (field, end) = fields.next()?;
            let Ok(name) = std::str::from_utf8(field) else {
                return Err(Wrong::Text(format!("name {} of its header is no UTF-8", names.len() + 1)));
            };
            let name = memory::text(name)?;
            memory::push(&mut names, name)?;
            if end == End::Line {
                break;
            }
        }
        columns = Some(names.len());
    }
    let mut values = Vec::new();
    while fields.more() {
        let (line, mut n) = (fields.line, 0);
        loop {
            n += 1;
            let (field, end) = fields.next()?;
            let Some(v) = number(field, options.missing) else {
                let what = format!("field {n} of line {line} is no number: {}", shown(field));
                return Err(Wrong::Text(what));
            };
            memory::push(&mut values, v)?;
            if end == End::Line {
                break;
            }
        }
        let wanted = *columns.get_or_insert(n);
        if n != wanted {
            return Err(Wrong::Text(format!("line {line} has {n} fields where the lines before have {wanted}")));
        }
    }
    Ok((values, names, columns.unwrap_or(0)))
}

/// Whether the first line has names.
fn header(text: &[u8], options: &Options, fields: &Fields) -> std::result::Result<bool, Wrong> {
    if let Some(yes) = options.header {
        return Ok(yes);
    }
    let mut first = Fields { text, at: fields.at, line: 1, separator: options.separator, plain: Vec::new() };
    if !first.more() {
        return Ok(false);
    }
    loop {
        let (field, end) = first.next()?;
        if number(field, options.missing).is_none() {
            return Ok(true);
        }
        if end == End::Line {
            return Ok(false);
        }
    }
}
