//! A pickle machine without any power, for the pickles of PyTorch's files: names are looked up in a fixed list, a call makes
//! one of a few values, nothing else happens. What a pickle costs is bounded by its length.
//!
//! Values are numbers into lists that the machine keeps, so that a pickle whose containers hold each other, or are nested
//! without end, is freed like any other.

use crate::backend::memory;
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind};
use crate::base::layout::MAX_DIMS;
use crate::Result;
use rustc_hash::FxHashMap;

/// Bytes of the pickle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub usize, pub usize);

#[derive(Clone, Copy, Debug)]
pub enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Span),
    /// A tuple or list, by its number.
    List(usize),
    Dict(usize),
    Name(Name),
    Storage(usize),
    Tensor(usize),
    /// What has no place among tensors: bytes, sets, sizes that are no list, large integers.
    Other,
}

/// What the names of a file may mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    Dict,
    Rebuild,
    Parameter,
    OfType,
    /// Makes a list of its argument.
    Size,
    /// Makes a value that is left out.
    Opaque,
    Storage(DType),
}

/// A part of a storage, as a persistent id names it.
pub struct StorageRef {
    pub key: Span,
    pub dtype: DType,
    /// First element and their number.
    pub offset: i64,
    pub count: i64,
    /// Elements of the whole storage.
    pub total: i64,
}
pub struct TensorRef {
    pub storage: usize,
    pub offset: i64,
    pub size: Vec<i64>,
    pub stride: Vec<i64>,
}

/// What a pickle said.
pub struct Read<'a> {
    pub data: &'a [u8],
    pub value: Value,
    pub lists: Vec<Vec<Value>>,
    pub dicts: Vec<Vec<(Value, Value)>>,
    pub storages: Vec<StorageRef>,
    pub tensors: Vec<TensorRef>,
    /// Where it ended.
    pub end: usize,
}
impl<'a> Read<'a> {
    pub fn text(&self, s: Span) -> std::borrow::Cow<'a, str> {
        match self.data.get(s.0..s.1) {
            Some(b) => String::from_utf8_lossy(b),
            None => "".into(),
        }
    }
}

#[cold]
fn bad(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Io, what.to_string())
}
#[cold]
fn truncated() -> Error {
    bad(TRUNCATED)
}
pub const TRUNCATED: &str = "pickle data was truncated";
/// A number of a kind that a file cannot have more of than bytes.
const MAX_NAME: usize = 200;

const STORAGES: [(&str, DType); 12] = [
    ("ComplexDoubleStorage", DType::C128),
    ("ComplexFloatStorage", DType::C64),
    ("DoubleStorage", DType::F64),
    ("FloatStorage", DType::F32),
    ("HalfStorage", DType::F16),
    ("BFloat16Storage", DType::BF16),
    ("LongStorage", DType::I64),
    ("IntStorage", DType::I32),
    ("ShortStorage", DType::I16),
    ("CharStorage", DType::I8),
    ("ByteStorage", DType::U8),
    ("BoolStorage", DType::Bool),
];
/// What PyTorch calls a storage of this type.
pub fn storage_name(dtype: DType) -> &'static str {
    STORAGES.iter().find(|(_, d)| *d == dtype).map_or("FloatStorage", |(name, _)| name)
}

fn find(module: &[u8], name: &[u8]) -> Result<Name> {
    let text = |b: &[u8]| String::from_utf8_lossy(&b[..b.len().min(MAX_NAME)]).into_owned();
    let (m, n) = (text(module), text(name));
    Ok(match (m.as_str(), n.as_str()) {
        ("collections", "OrderedDict" | "Counter") => Name::Dict,
        ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Name::Rebuild,
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Name::Parameter,
        ("torch.nn.parameter", "Parameter") => Name::Parameter,
        ("torch._tensor", "_rebuild_from_type_v2") => Name::OfType,
        ("torch", "Size") => Name::Size,
        ("torch", "device" | "Tensor" | "strided" | "contiguous_format" | "channels_last" | "preserve_format") => {
            Name::Opaque
        }
        ("torch.serialization", "_get_layout") | ("_codecs", "encode") => Name::Opaque,
        ("builtins" | "__builtin__", "set" | "complex" | "bytearray" | "bytes") => Name::Opaque,
        ("torch", n) => match STORAGES.iter().find(|(s, _)| *s == n) {
            Some((_, dtype)) => Name::Storage(*dtype),
            None if DTYPES.contains(&n) => Name::Opaque,
            None => return Err(unknown(&m, n)),
        },
        _ => return Err(unknown(&m, &n)),
    })
}
const DTYPES: [&str; 22] = [
    "float64",
    "float32",
    "float16",
    "bfloat16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "bool",
    "double",
    "float",
    "half",
    "long",
    "int",
    "short",
    "complex64",
    "complex128",
    "uint16",
    "uint32",
    "uint64",
    "complex32",
];
#[cold]
fn unknown(m: &str, n: &str) -> Error {
    bad(format_args!(
        "Weights only load failed. Unsupported global: GLOBAL {m}.{n} was not an allowed global by default: only state dicts \
         (tensors, numbers, texts, dicts, lists) are read; load the file in Python and save model.state_dict()"
    ))
}

struct Machine<'a> {
    read: Read<'a>,
    at: usize,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: FxHashMap<usize, Value>,
    /// Items that calls may copy.
    budget: usize,
}

/// Runs the pickle at `begin`.
pub fn run(data: &[u8], begin: usize) -> Result<Read<'_>> {
    let read = Read {
        data,
        value: Value::None,
        lists: Vec::new(),
        dicts: Vec::new(),
        storages: Vec::new(),
        tensors: Vec::new(),
        end: begin,
    };
    let budget = 4 * (data.len() - begin.min(data.len())) + 65536;
    let mut m = Machine { read, at: begin, stack: Vec::new(), marks: Vec::new(), memo: FxHashMap::default(), budget };
    m.run()?;
    m.read.end = m.at;
    Ok(m.read)
}

impl<'a> Machine<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(n).ok_or_else(truncated)?;
        let part = self.read.data.get(self.at..end).ok_or_else(truncated)?;
        self.at = end;
        Ok(part)
    }
    fn number(&mut self, n: usize) -> Result<usize> {
        let part = self.take(n)?;
        let v = part.iter().rev().fold(0u64, |v, b| v << 8 | *b as u64);
        usize::try_from(v).map_err(|_| truncated())
    }
    fn line(&mut self) -> Result<&'a [u8]> {
        let rest = self.read.data.get(self.at..).ok_or_else(truncated)?;
        let n = rest.iter().position(|b| *b == b'\n').ok_or_else(truncated)?;
        self.at += n + 1;
        Ok(&rest[..n])
    }
    fn span(&mut self, n: usize) -> Result<Span> {
        let from = self.at;
        self.take(n)?;
        Ok(Span(from, self.at))
    }
    fn push(&mut self, v: Value) -> Result<()> {
        memory::push(&mut self.stack, v)
    }
    /// Where the items above the last mark begin: below that nothing is taken off.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }
    fn pop(&mut self) -> Result<Value> {
        if self.stack.len() <= self.floor() {
            return Err(bad("pickle stack underflow"));
        }
        self.stack.pop().ok_or_else(|| bad("pickle stack underflow"))
    }
    fn top(&self) -> Result<Value> {
        match self.stack.last() {
            Some(v) if self.stack.len() > self.floor() => Ok(*v),
            _ => Err(bad("pickle stack underflow")),
        }
    }
    /// What stands above the last mark, which goes.
    fn items(&mut self) -> Result<Vec<Value>> {
        let from = self.marks.pop().ok_or_else(|| bad("no mark on the stack"))?;
        let items = memory::copied(self.stack.get(from..).unwrap_or_default())?;
        self.stack.truncate(from);
        Ok(items)
    }
    fn charge(&mut self, n: usize) -> Result<()> {
        self.budget = self.budget.checked_sub(n).ok_or_else(|| bad("its calls copy more than the file holds"))?;
        Ok(())
    }
    fn list(&mut self, items: Vec<Value>) -> Result<()> {
        memory::push(&mut self.read.lists, items)?;
        self.push(Value::List(self.read.lists.len() - 1))
    }
    fn dict(&mut self) -> Result<usize> {
        memory::push(&mut self.read.dicts, Vec::new())?;
        Ok(self.read.dicts.len() - 1)
    }
    fn set_items(&mut self, target: Value, items: &[Value]) -> Result<()> {
        if !items.len().is_multiple_of(2) {
            return Err(bad("a key without a value"));
        }
        match target {
            Value::Dict(d) => {
                let dict = &mut self.read.dicts[d];
                memory::reserve(dict, items.len() / 2)?;
                dict.extend(items.chunks_exact(2).map(|p| (p[0], p[1])));
                Ok(())
            }
            _ => Err(bad("items are set on something that is no dict")),
        }
    }
    fn append(&mut self, target: Value, items: &[Value]) -> Result<()> {
        match target {
            Value::List(l) => {
                let list = &mut self.read.lists[l];
                memory::reserve(list, items.len())?;
                list.extend_from_slice(items);
                Ok(())
            }
            Value::Other => Ok(()), // a set
            _ => Err(bad("items are appended to something that is no list")),
        }
    }
    fn arguments(&mut self, v: Value) -> Result<Vec<Value>> {
        match v {
            Value::List(l) => {
                self.charge(self.read.lists[l].len())?;
                memory::copied(&self.read.lists[l])
            }
            _ => Err(bad("arguments of a call are no tuple")),
        }
    }
    fn sizes(&mut self, v: Value) -> Result<Vec<i64>> {
        let Value::List(l) = v else { return Err(bad("sizes of a tensor are no tuple")) };
        let items = &self.read.lists[l];
        if items.len() > MAX_DIMS {
            return Err(bad(format_args!("a tensor of {} dimensions", items.len())));
        }
        items
            .iter()
            .map(|v| match v {
                Value::Int(n) if *n >= 0 => Ok(*n),
                _ => Err(bad("sizes, strides and offset of a tensor must be integers, none negative")),
            })
            .collect()
    }
    fn call(&mut self, name: Name, args: &[Value]) -> Result<Value> {
        match (name, args) {
            (Name::Dict, []) => Ok(Value::Dict(self.dict()?)),
            (Name::Dict, [Value::Dict(from)]) => {
                let from = *from;
                self.charge(self.read.dicts[from].len())?;
                let items = memory::copied(&self.read.dicts[from])?;
                let d = self.dict()?;
                self.read.dicts[d] = items;
                Ok(Value::Dict(d))
            }
            (Name::Dict, [Value::List(pairs)]) => {
                let pairs = memory::copied(&self.read.lists[*pairs])?;
                self.charge(pairs.len())?;
                let d = self.dict()?;
                for p in pairs {
                    match p {
                        Value::List(p) if self.read.lists[p].len() == 2 => {
                            let pair = [self.read.lists[p][0], self.read.lists[p][1]];
                            self.set_items(Value::Dict(d), &pair)?;
                        }
                        _ => return Err(bad("an item of an OrderedDict is no pair")),
                    }
                }
                Ok(Value::Dict(d))
            }
            (Name::Rebuild, [Value::Storage(s), Value::Int(offset), size, stride, ..]) => {
                let (storage, offset) = (*s, *offset);
                let (size, stride) = (self.sizes(*size)?, self.sizes(*stride)?);
                memory::push(&mut self.read.tensors, TensorRef { storage, offset, size, stride })?;
                Ok(Value::Tensor(self.read.tensors.len() - 1))
            }
            (Name::Parameter, [t @ Value::Tensor(_), ..]) => Ok(*t),
            (Name::OfType, [Value::Name(f), _, Value::List(args), ..]) if *f != Name::OfType => {
                let args = self.arguments(Value::List(*args))?;
                self.call(*f, &args)
            }
            (Name::Size, [l @ Value::List(_)]) => Ok(*l),
            (Name::Size, []) => Ok(Value::Other),
            (Name::Opaque, _) => Ok(Value::Other),
            (name, _) => Err(bad(format_args!("unexpected call of {name:?} with {} arguments", args.len()))),
        }
    }
    fn persistent(&mut self, id: Value) -> Result<Value> {
        let odd = || bad("unknown persistent id");
        let Value::List(l) = id else { return Err(odd()) };
        let items = memory::copied(self.read.lists[l].get(..6).unwrap_or(&self.read.lists[l]))?;
        let [Value::Text(what), Value::Name(Name::Storage(dtype)), Value::Text(key), Value::Text(_), Value::Int(total), view @ ..] =
            items.as_slice()
        else {
            return Err(odd());
        };
        if self.read.data.get(what.0..what.1) != Some(b"storage") || *total < 0 {
            return Err(odd());
        }
        // The format before 1.6 has views of storages.
        let (offset, count) = match view {
            [] | [Value::None] => (0, *total),
            [Value::List(v)] => match self.read.lists[*v].as_slice() {
                [Value::Text(_), Value::Int(from), Value::Int(n)] if *from >= 0 && *n >= 0 => (*from, *n),
                _ => return Err(odd()),
            },
            _ => return Err(odd()),
        };
        if offset.checked_add(count).is_none_or(|end| end > *total) {
            return Err(bad("a view reaches beyond its storage"));
        }
        let s = StorageRef { key: *key, dtype: *dtype, offset, count, total: *total };
        memory::push(&mut self.read.storages, s)?;
        Ok(Value::Storage(self.read.storages.len() - 1))
    }
    fn remember(&mut self, key: usize) -> Result<()> {
        let v = self.top()?;
        memory::reserve_hash_map(&mut self.memo)?;
        self.memo.insert(key, v);
        Ok(())
    }
    fn recall(&mut self, key: usize) -> Result<()> {
        match self.memo.get(&key) {
            Some(v) => self.push(*v),
            None => Err(bad(format_args!("memo {key} was never set"))),
        }
    }
    fn integer(&mut self, n: usize) -> Result<()> {
        let part = self.take(n)?;
        let v = match part {
            [] => Value::Int(0),
            p if p.len() <= 8 => {
                let fill = if p[p.len() - 1] & 0x80 != 0 { 0xff } else { 0 };
                let mut all = [fill; 8];
                all[..p.len()].copy_from_slice(p);
                Value::Int(i64::from_le_bytes(all))
            }
            _ => Value::Other,
        };
        self.push(v)
    }
    fn tuple(&mut self, n: usize) -> Result<()> {
        if self.stack.len() - self.floor() < n {
            return Err(bad("pickle stack underflow"));
        }
        let items = memory::copied(&self.stack[self.stack.len() - n..])?;
        self.stack.truncate(self.stack.len() - n);
        self.list(items)
    }

    fn run(&mut self) -> Result<()> {
        loop {
            if memory::is_low() {
                memory::check()?;
            }
            let code = self.take(1)?[0];
            match code {
                b'.' => {
                    self.read.value = self.pop()?;
                    return Ok(());
                }
                0x80 => {
                    let v = self.number(1)?;
                    if v > 5 {
                        return Err(bad(format_args!("unsupported pickle protocol {v}")));
                    }
                }
                0x95 => drop(self.take(8)?),
                b'(' => memory::push(&mut self.marks, self.stack.len())?,
                b'0' if self.stack.len() == self.floor() && !self.marks.is_empty() => drop(self.marks.pop()),
                b'0' => drop(self.pop()?),
                b'1' => drop(self.items()?),
                b'2' => {
                    let v = self.top()?;
                    self.push(v)?;
                }
                b'N' => self.push(Value::None)?,
                0x88 => self.push(Value::Bool(true))?,
                0x89 => self.push(Value::Bool(false))?,
                b'K' | b'M' => {
                    let v = self.number(if code == b'K' { 1 } else { 2 })?;
                    self.push(Value::Int(v as i64))?;
                }
                b'J' => {
                    let v = self.number(4)? as u32 as i32;
                    self.push(Value::Int(v as i64))?;
                }
                0x8a | 0x8b => {
                    let n = self.number(if code == 0x8a { 1 } else { 4 })?;
                    self.integer(n)?;
                }
                b'G' => {
                    let v = self.take(8)?.iter().fold(0u64, |v, b| v << 8 | *b as u64);
                    self.push(Value::Float(f64::from_bits(v)))?;
                }
                b'X' | 0x8c | 0x8d | b'U' | b'T' => {
                    let n = self.number(match code {
                        0x8c | b'U' => 1,
                        0x8d => 8,
                        _ => 4,
                    })?;
                    let s = self.span(n)?;
                    self.push(Value::Text(s))?;
                }
                b'C' | b'B' | 0x8e | 0x96 => {
                    let n = self.number(match code {
                        b'C' => 1,
                        b'B' => 4,
                        _ => 8,
                    })?;
                    self.take(n)?;
                    self.push(Value::Other)?;
                }
                b']' | b')' => self.list(Vec::new())?,
                b'}' => {
                    let d = self.dict()?;
                    self.push(Value::Dict(d))?;
                }
                0x8f => self.push(Value::Other)?,
                b't' | b'l' => {
                    let items = self.items()?;
                    self.list(items)?;
                }
                0x85 => self.tuple(1)?,
                0x86 => self.tuple(2)?,
                0x87 => self.tuple(3)?,
                b'd' => {
                    let items = self.items()?;
                    let d = self.dict()?;
                    self.set_items(Value::Dict(d), &items)?;
                    self.push(Value::Dict(d))?;
                }
                b'a' => {
                    let item = self.pop()?;
                    let target = self.top()?;
                    self.append(target, &[item])?;
                }
                b'e' | 0x90 => {
                    let items = self.items()?;
                    let target = self.top()?;
                    self.append(target, &items)?;
                }
                b's' => {
                    let (v, k) = (self.pop()?, self.pop()?);
                    let target = self.top()?;
                    self.set_items(target, &[k, v])?;
                }
                b'u' => {
                    let items = self.items()?;
                    let target = self.top()?;
                    self.set_items(target, &items)?;
                }
                b'q' | b'r' => {
                    let key = self.number(if code == b'q' { 1 } else { 4 })?;
                    self.remember(key)?;
                }
                0x94 => self.remember(self.memo.len())?,
                b'h' | b'j' => {
                    let key = self.number(if code == b'h' { 1 } else { 4 })?;
                    self.recall(key)?;
                }
                b'c' => {
                    let (m, n) = (self.line()?, self.line()?);
                    let name = find(m, n)?;
                    self.push(Value::Name(name))?;
                }
                0x93 => {
                    let (n, m) = (self.pop()?, self.pop()?);
                    let (Value::Text(m), Value::Text(n)) = (m, n) else {
                        return Err(bad("a name of the file is no text"));
                    };
                    let name = find(&self.read.data[m.0..m.1], &self.read.data[n.0..n.1])?;
                    self.push(Value::Name(name))?;
                }
                b'R' | 0x81 => {
                    let (args, function) = (self.pop()?, self.pop()?);
                    let Value::Name(name) = function else {
                        return Err(bad("a call of something that is no function"));
                    };
                    let args = self.arguments(args)?;
                    let made = self.call(name, &args)?;
                    self.push(made)?;
                }
                // State: attributes of a dict or tensor, such as the versions of modules.
                b'b' => {
                    self.pop()?;
                    match self.top()? {
                        Value::Dict(_) | Value::Tensor(_) | Value::Other => {}
                        _ => return Err(bad("state of a value that has none")),
                    }
                }
                b'Q' => {
                    let id = self.pop()?;
                    let s = self.persistent(id)?;
                    self.push(s)?;
                }
                other => return Err(bad(format_args!("pickle opcode {other:#04x} is not allowed"))),
            }
        }
    }
}
