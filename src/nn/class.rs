//! What the layers of `spec/layers.txt` share: their values, how one is set up, printed, run, and waits for its input.

pub use super::layers::recurrent::Weights;
use super::layers::Place;
use super::{lazy, Attribute, Layer, Module, Outputs};
use crate::backend::{memory, Activation};
use crate::tensor::print::{py_bool, py_float, py_tuple};
use crate::{autograd, bail, ensure, ops, DType, Result, Scalar, Tensor};
use std::borrow::Cow;
use std::sync::OnceLock;

/// A default value, or a constant of a class.
#[derive(Clone, Copy, Debug)]
pub enum Const {
    /// It must be given.
    Required,
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'static str),
}
impl Const {
    fn value(self) -> Attribute {
        match self {
            Const::Required | Const::None => Attribute::None,
            Const::Bool(v) => v.into(),
            Const::Int(v) => v.into(),
            Const::Float(v) => v.into(),
            Const::Text(v) => v.into(),
        }
    }
}

/// One value of a layer, under the name of its attribute.
pub struct Field {
    pub name: &'static str,
    pub default: Const,
    /// Where it stands among the attributes; None: it is none.
    pub place: Option<u8>,
}

/// A layer or loss of the specification.
pub struct Class {
    pub name: &'static str,
    /// The constructor's arguments in order, then what a base has of its own, then further attributes.
    pub fields: &'static [Field],
    /// Constants of this class: the last values.
    pub consts: &'static [Const],
    pub inputs: &'static [&'static str],
    /// How many of them, the last ones, may be left out.
    pub optional_inputs: usize,
    /// The ranks that an input may have; empty: any.
    pub ranks: &'static [usize],
    /// Checks the values and makes parameters and buffers.
    pub setup: fn(&mut Setup) -> Result<()>,
    /// Draws the initial values.
    pub reset: fn(&Module, &Values) -> Result<()>,
    pub forward: Forward,
    pub further: Option<Further>,
    /// In place of both, of a class whose inputs may be absent anywhere.
    pub whole: Option<Whole>,
    pub repr: fn(&Module, &Values, &mut Text),
    pub activation: fn(&Values) -> Option<Activation>,
    /// The forward with an activation applied in one go.
    pub fused: Option<fn(&Module, &Values, &[&Tensor], Activation) -> Result<Tensor>>,
    pub optional_keys: &'static [&'static str],
    /// Of a class that waits for its first input.
    pub lazy: Option<Lazy>,
}
pub type Forward = fn(&Module, &Values, &[&Tensor]) -> Result<Outputs>;

/// A forward that takes arguments besides its inputs: their names, and the call with them, None where one is not given.
pub struct Further {
    pub names: &'static [&'static str],
    pub forward: fn(&Module, &Values, &[&Tensor], &Values) -> Result<Outputs>,
}

/// A forward of all inputs, which gets its own arguments in any case; each has a default.
pub struct Whole {
    pub names: &'static [&'static str],
    pub defaults: &'static [Const],
    pub forward: fn(&Module, &Values, &[Option<&Tensor>], &Values) -> Result<Outputs>,
}

/// The first value is not known before the first input.
pub struct Lazy {
    pub becomes: &'static str,
    pub known: fn(&Module, &Values, &Tensor) -> Result<i64>,
}

/// A layer's values in the order of its class's fields; those that a call reads have the type that it names.
#[derive(Clone, Debug)]
pub struct Values(Box<[Attribute]>);
impl std::ops::Index<usize> for Values {
    type Output = Attribute;
    fn index(&self, i: usize) -> &Attribute {
        &self.0[i]
    }
}
impl Values {
    pub fn opt_int(&self, i: usize) -> Option<i64> {
        match self.0[i] {
            Attribute::Int(v) => Some(v),
            Attribute::Bool(v) => Some(v.into()),
            Attribute::Float(v) => Some(v as i64),
            _ => None,
        }
    }
    pub fn int(&self, i: usize) -> i64 {
        self.opt_int(i).unwrap_or(0)
    }
    pub fn opt_float(&self, i: usize) -> Option<f64> {
        match self.0[i] {
            Attribute::Float(v) => Some(v),
            _ => self.opt_int(i).map(|v| v as f64),
        }
    }
    pub fn float(&self, i: usize) -> f64 {
        self.opt_float(i).unwrap_or(0.0)
    }
    pub fn opt_bool(&self, i: usize) -> Option<bool> {
        self.opt_int(i).map(|v| v != 0)
    }
    pub fn bool(&self, i: usize) -> bool {
        self.opt_bool(i).unwrap_or(false)
    }
    pub fn scalar(&self, i: usize) -> Scalar {
        match self.0[i] {
            Attribute::Int(v) => Scalar::Int(v),
            Attribute::Bool(v) => Scalar::Bool(v),
            _ => Scalar::Float(self.float(i)),
        }
    }
    pub fn opt_ints(&self, i: usize) -> Option<&[i64]> {
        match &self.0[i] {
            Attribute::Int(v) => Some(std::slice::from_ref(v)),
            Attribute::Ints(v) => Some(v),
            _ => None,
        }
    }
    pub fn ints(&self, i: usize) -> &[i64] {
        self.opt_ints(i).unwrap_or(&[])
    }
    pub fn opt_text(&self, i: usize) -> Option<&str> {
        match &self.0[i] {
            Attribute::Text(v) => Some(v),
            _ => None,
        }
    }
    pub fn text(&self, i: usize) -> &str {
        self.opt_text(i).unwrap_or("")
    }
    pub fn has(&self, i: usize) -> bool {
        self.0[i] != Attribute::None
    }
    /// Whether these are sizes that all equal `n`.
    pub fn all(&self, i: usize, n: i64) -> bool {
        self.opt_ints(i).is_some_and(|v| v.iter().all(|x| *x == n))
    }
}

/// A value as Python's str.
pub fn shown(a: &Attribute) -> String {
    match a {
        Attribute::None => "None".into(),
        Attribute::Bool(v) => py_bool(*v).into(),
        Attribute::Int(v) => v.to_string(),
        Attribute::Float(v) => py_float(*v),
        Attribute::Text(v) => v.clone(),
        Attribute::Ints(v) => py_tuple(v),
        Attribute::Floats(v) => {
            let texts: Vec<String> = v.iter().map(|x| py_float(*x)).collect();
            format!("({}{})", texts.join(", "), if texts.len() == 1 { "," } else { "" })
        }
    }
}

/// What stands between the brackets of a printed layer.
#[derive(Default)]
pub struct Text(String);
impl Text {
    /// `label` and a value.
    pub fn item(&mut self, label: &str, value: &Attribute) {
        self.word(label, &shown(value));
    }
    /// The same with a text in quotes.
    pub fn quoted(&mut self, label: &str, value: &Attribute) {
        match value {
            Attribute::Text(v) => self.word(label, &format!("'{v}'")),
            v => self.item(label, v),
        }
    }
    pub fn flag(&mut self, label: &str, value: bool) {
        self.word(label, py_bool(value));
    }
    pub fn word(&mut self, label: &str, text: &str) {
        if !self.0.is_empty() {
            self.0 += ", ";
        }
        self.0 += label;
        self.0 += text;
    }
}

/// What a module is being set up for.
enum Stage<'a> {
    /// Everything is known.
    Now,
    /// The first value is not: parameters have no shape.
    Waiting,
    /// It is now: parameters get theirs.
    Shaping(&'a Module),
}
#[derive(Clone, Copy, PartialEq)]
enum Made {
    Parameter,
    /// Not trained.
    Frozen,
    Buffer,
}

/// A layer that is being made.
pub struct Setup<'a> {
    pub class: &'static Class,
    pub v: Values,
    stage: Stage<'a>,
    place: (DType, crate::Device),
    /// The tensors that the constructor was given, under the names of its arguments.
    given: &'a [(&'static str, Tensor)],
    made: Vec<(Cow<'static, str>, Made, Option<Tensor>, bool)>,
    /// The modules that the constructor was given.
    modules: &'a [(&'static str, Module)],
    children: Vec<(&'static str, Module)>,
    /// Whether a parameter or buffer had no shape until now.
    fresh: bool,
    /// Whether a parameter came with the arguments: nothing is drawn.
    brought: bool,
}
impl Setup<'_> {
    /// Whether the first value is known.
    pub fn known(&self) -> bool {
        !matches!(self.stage, Stage::Waiting)
    }
    pub fn set(&mut self, i: usize, value: impl Into<Attribute>) {
        self.v.0[i] = value.into();
    }
    /// The value of another where none was given.
    pub fn same(&mut self, i: usize, as_: usize) {
        if !self.v.has(i) {
            self.v.0[i] = self.v.0[as_].clone();
        }
    }
    /// One number for all dimensions or one for each becomes `n` numbers.
    pub fn sizes(&mut self, i: usize, n: i64) -> Result<()> {
        let Some(given) = self.v.opt_ints(i) else { return Ok(()) };
        let n = usize::try_from(n).unwrap_or(0);
        self.v.0[i] = match given.len() {
            1 => Attribute::Ints(vec![given[0]; n]),
            m if m == n => Attribute::Ints(given.to_vec()),
            m => return Err(self.wrong_count(i, n as i64, m)),
        };
        Ok(())
    }
    /// One number for all dimensions or one for each of `n`, kept as it came.
    pub fn window(&self, i: usize, n: i64) -> Result<()> {
        match self.v.opt_ints(i) {
            Some(given) if given.len() != 1 && given.len() as i64 != n => Err(self.wrong_count(i, n, given.len())),
            _ => Ok(()),
        }
    }
    fn wrong_count(&self, i: usize, n: i64, got: usize) -> crate::Error {
        let wanted = if n == 1 { "1 number".into() } else { format!("1 or {n} numbers") };
        let text = format!("{} must be {wanted}, got {got}", self.class.fields[i].name);
        crate::Error::new(crate::base::error::ErrorKind::Value, text)
    }
    /// Refuses numbers below `least`, 0 or 1; what comes with the first input is not looked at before.
    pub fn least(&self, i: usize, least: i64) -> Result<()> {
        let waits = i == 0 && !self.known();
        if !waits && self.v.opt_ints(i).is_some_and(|v| v.iter().any(|x| *x < least)) {
            let wanted = if least > 0 { "be greater than zero" } else { "not be negative" };
            bail!(Value, "{} must {wanted}, got {}", self.class.fields[i].name, shown(&self.v[i]));
        }
        Ok(())
    }
    /// A negative one counts from the end.
    pub fn wrap(&mut self, i: usize, n: i64) {
        if let (Some(v), true) = (self.v.opt_int(i), n > 0) {
            self.v.0[i] = v.rem_euclid(n).into();
        }
    }
    /// One number or several becomes several.
    pub fn list(&mut self, i: usize) {
        if let Attribute::Int(v) = self.v.0[i] {
            self.v.0[i] = Attribute::Ints(vec![v]);
        }
    }
    /// Factors are floats, however they are written.
    pub fn factors(&mut self, i: usize) {
        match &self.v.0[i] {
            Attribute::Int(v) => self.v.0[i] = (*v as f64).into(),
            Attribute::Ints(v) => self.v.0[i] = Attribute::Floats(v.iter().map(|x| *x as f64).collect()),
            _ => {}
        }
    }
    pub fn padding(&mut self, i: usize, n: i64) -> Result<()> {
        if let Some(text) = self.v.opt_text(i) {
            ensure!(
                matches!(text, "same" | "valid"),
                Value,
                "Invalid padding string '{text}', should be one of {{'same', 'valid'}}"
            );
        }
        self.sizes(i, n)
    }
    pub fn padding_mode(&self, i: usize) -> Result<()> {
        let mode = self.v.text(i);
        ensure!(
            matches!(mode, "zeros" | "reflect" | "replicate" | "circular"),
            Value,
            "padding_mode must be one of {{'zeros', 'reflect', 'replicate', 'circular'}}, but got padding_mode='{mode}'"
        );
        Ok(())
    }
    pub fn reduction(&self, i: usize) -> Result<()> {
        // The one loss that knows another word.
        if self.class.name == "KLDivLoss" && self.v.text(i) == "batchmean" {
            return Ok(());
        }
        ops::check_reduction(self.v.text(i))
    }
    /// A parameter, or none where `when` does not hold; `shape` depends on the first value where `waits`.
    pub fn param(&mut self, name: &'static str, when: bool, shape: &[i64], init: Option<Scalar>) -> Result<()> {
        self.make(name.into(), Made::Parameter, when, true, shape, None, init)
    }
    /// A parameter that shares the memory of the tensor `argument` where there is one; `of` are the arguments that its
    /// shape consists of.
    pub fn param_from(
        &mut self,
        name: &'static str,
        argument: &str,
        shape: &[i64],
        of: &str,
        frozen: bool,
    ) -> Result<()> {
        let kind = if frozen { Made::Frozen } else { Made::Parameter };
        let Some((_, t)) = self.given.iter().find(|(n, _)| *n == argument) else {
            return self.make(name.into(), kind, true, true, shape, None, None);
        };
        ensure!(t.shape()[..] == *shape, Value, "Shape of {argument} does not match {of}");
        self.brought = true;
        memory::push(&mut self.made, (name.into(), kind, Some(ops::detach(t)?), false))
    }
    pub fn buffer(
        &mut self,
        name: &'static str,
        when: bool,
        waits: bool,
        shape: &[i64],
        dtype: Option<DType>,
        init: i64,
    ) -> Result<()> {
        self.make(name.into(), Made::Buffer, when, waits, shape, dtype, Some(Scalar::Int(init)))
    }
    #[allow(clippy::too_many_arguments)] // of two functions that name them
    fn make(
        &mut self,
        name: Cow<'static, str>,
        kind: Made,
        when: bool,
        waits: bool,
        shape: &[i64],
        dtype: Option<DType>,
        init: Option<Scalar>,
    ) -> Result<()> {
        if let Stage::Shaping(m) = self.stage {
            if when && waits && m.is_uninitialized(&name) {
                m.materialize(&name, shape)?;
                self.fresh = true;
            }
            return Ok(());
        }
        let waiting = waits && !self.known();
        let mut tensor = None;
        if when {
            let t = Tensor::empty(if waiting { &[0] } else { shape }, dtype.unwrap_or(self.place.0), self.place.1)?;
            if let Some(init) = init.filter(|_| !waiting) {
                autograd::no_grad(|| ops::fill_scalar_(&t, init))?;
            }
            tensor = Some(t);
        }
        // Recurrent layers have as many as a caller asks for.
        memory::push(&mut self.made, (name, kind, tensor, waiting))
    }
    /// The weights of recurrent layers.
    pub fn recurrent(&mut self, weights: &Weights) -> Result<()> {
        weights.check()?;
        let rows = weights.gates.saturating_mul(weights.hidden);
        let shown = weights.output();
        for layer in 0..weights.layers {
            let directions = 1 + weights.bidirectional as i64;
            let features = if layer == 0 { weights.input } else { shown.saturating_mul(directions) };
            for name in weights.names(layer) {
                let shape: &[i64] = match &name[..9] {
                    "weight_ih" => &[rows, features],
                    "weight_hh" => &[rows, shown],
                    "weight_hr" => &[weights.projection, weights.hidden],
                    _ => &[rows],
                };
                self.make(name.into(), Made::Parameter, true, true, shape, None, None)?;
            }
        }
        Ok(())
    }
    /// A child with its defaults, which a program may put another in the place of.
    pub fn child(&mut self, name: &'static str, class: &'static Class) -> Result<()> {
        let child = self.module(class, &[], &[])?;
        self.adopt(name, child);
        Ok(())
    }
    /// A module where this one has its parameters.
    pub fn module(
        &self,
        class: &'static Class,
        given: &[(&str, Attribute)],
        modules: &[(&'static str, Module)],
    ) -> Result<Module> {
        let place = Place { dtype: Some(self.place.0), device: Some(self.place.1) };
        class.build_with(class.with(given), &[], modules, place)
    }
    pub fn adopt(&mut self, name: &'static str, child: Module) {
        self.children.push((name, child));
    }
    /// A module that the constructor was given.
    pub fn given_module(&self, argument: &str) -> Option<Module> {
        self.modules.iter().find(|(n, _)| *n == argument).map(|(_, m)| m.clone())
    }
    /// A list of copies of such a module.
    pub fn clones(&mut self, name: &'static str, argument: &str, count: i64) -> Result<()> {
        let Some(first) = self.given_module(argument) else {
            bail!(Value, "{} needs the module {argument}", self.class.name)
        };
        ensure!(count <= 1 << 16, Value, "at most {} layers, got {count}", 1 << 16);
        let list = super::layers::module_list(&[])?;
        for _ in 0..count {
            list.append(first.deepcopy()?)?;
        }
        self.adopt(name, list);
        Ok(())
    }
    /// A buffer that the constructor was given.
    pub fn buffer_from(&mut self, name: &'static str, argument: &str) {
        let given = self.given.iter().find(|(n, _)| *n == argument).map(|(_, t)| t.clone());
        self.made.push((name.into(), Made::Buffer, given, false));
    }
}

/// The layer itself.
struct Instance {
    class: &'static Class,
    values: Values,
    /// Once a lazy one has seen its first input.
    known: OnceLock<Values>,
}
impl Instance {
    /// A forward of inputs of which any optional one may be absent.
    fn run_whole(&self, m: &Module, w: &Whole, inputs: &[Option<Tensor>], more: &Values) -> Result<Outputs> {
        let names = self.class.inputs;
        let least = names.len() - self.class.optional_inputs;
        let mut all: smallvec::SmallVec<[Option<&Tensor>; 8]> = inputs.iter().map(Option::as_ref).collect();
        if all.len() > names.len() || all.len() < least || all[..least].iter().any(Option::is_none) {
            return Err(self.wrong_inputs(m, inputs.len()));
        }
        all.resize(names.len(), None);
        (w.forward)(m, self.values(), &all, more)
    }
    fn values(&self) -> &Values {
        self.known.get().unwrap_or(&self.values)
    }
    /// The inputs of a call, all of them present.
    fn inputs<'a>(&self, m: &Module, inputs: &'a [Option<Tensor>]) -> Result<smallvec::SmallVec<[&'a Tensor; 3]>> {
        let names = self.class.inputs;
        let least = names.len() - self.class.optional_inputs;
        let present: smallvec::SmallVec<[&Tensor; 3]> = inputs.iter().map_while(Option::as_ref).collect();
        let absent = inputs[present.len()..].iter().all(Option::is_none);
        if present.len() < least || inputs.len() > names.len() || !absent {
            return Err(self.wrong_inputs(m, inputs.len()));
        }
        if !self.class.ranks.is_empty() {
            self.check_rank(present[0])?;
        }
        Ok(present)
    }
    #[cold]
    fn wrong_inputs(&self, m: &Module, got: usize) -> crate::Error {
        let names = self.class.inputs;
        let wanted = match names.len() {
            1 => "1 input".to_string(),
            n => format!("{n} inputs ({} and {})", names[..n - 1].join(", "), names[n - 1]),
        };
        let wanted = match self.class.optional_inputs {
            0 => wanted,
            n => format!("{wanted}, of which the last {n} may be left out"),
        };
        let got = match (got == names.len(), got) {
            (true, 1) => "None".to_string(),
            (true, _) => "None for one".to_string(),
            (false, n) => n.to_string(),
        };
        crate::Error::new(
            crate::base::error::ErrorKind::Type,
            format!("{}.forward() takes {wanted}, got {got}", m.name()),
        )
    }
    fn check_rank(&self, x: &Tensor) -> Result<()> {
        let ranks = self.class.ranks;
        ensure!(
            ranks.contains(&x.ndim()),
            Value,
            "expected {} input (got {}D input)",
            ranks.iter().map(|r| format!("{r}D")).collect::<Vec<_>>().join(" or "),
            x.ndim()
        );
        Ok(())
    }
}
impl Layer for Instance {
    fn forward(&self, m: &Module, inputs: &[Option<Tensor>]) -> Result<Outputs> {
        if let Some(w) = &self.class.whole {
            return self.run_whole(m, w, inputs, &Values(w.defaults.iter().map(|d| d.value()).collect()));
        }
        (self.class.forward)(m, self.values(), &self.inputs(m, inputs)?)
    }
    fn forward_with(&self, m: &Module, inputs: &[Option<Tensor>], more: &[Attribute]) -> Result<Outputs> {
        if let Some(w) = &self.class.whole {
            let names = w.names;
            ensure!(
                more.len() == names.len(),
                Type,
                "{}.forward() takes {} besides its inputs",
                m.name(),
                names.join(", ")
            );
            return self.run_whole(m, w, inputs, &Values(more.into()));
        }
        match &self.class.further {
            Some(f) if f.names.len() == more.len() => {
                (f.forward)(m, self.values(), &self.inputs(m, inputs)?, &Values(more.into()))
            }
            Some(f) => bail!(Type, "{}.forward() takes {} besides its inputs", m.name(), f.names.join(", ")),
            None => bail!(Type, "{}.forward() takes no arguments besides its inputs", m.name()),
        }
    }
    fn further(&self) -> &'static [&'static str] {
        match (&self.class.whole, &self.class.further) {
            (Some(w), _) => w.names,
            (_, Some(f)) => f.names,
            _ => &[],
        }
    }
    fn duplicate(&self) -> Option<Box<dyn Layer>> {
        let (values, known) = (self.values.clone(), self.known.clone());
        Some(Box::new(Instance { class: self.class, values, known }))
    }
    fn extra_repr(&self, m: &Module) -> Result<String> {
        let mut text = Text::default();
        (self.class.repr)(m, self.values(), &mut text);
        Ok(text.0)
    }
    fn activation(&self) -> Option<Activation> {
        (self.class.activation)(self.values())
    }
    fn forward_activated(&self, m: &Module, inputs: &[Option<Tensor>], then: Activation) -> Option<Result<Tensor>> {
        let fused = self.class.fused?;
        Some(self.inputs(m, inputs).and_then(|x| fused(m, self.values(), &x, then)))
    }
    fn attributes(&self, _: &Module) -> Vec<(&'static str, Attribute)> {
        let all = self.class.fields.iter().enumerate();
        let mut found: Vec<_> = all.filter_map(|(i, f)| f.place.map(|p| (p, i, f.name))).collect();
        found.sort_unstable_by_key(|f| f.0);
        found.into_iter().map(|(_, i, name)| (name, self.values()[i].clone())).collect()
    }
    fn initialize(&self, m: &Module, inputs: &[Option<Tensor>]) -> Result<()> {
        let Some(lazy) = &self.class.lazy else {
            bail!(Runtime, "'{}' object has parameters without a shape and nothing that gives them one", m.name())
        };
        let mut values = self.values.clone();
        values.0[0] = (lazy.known)(m, &values, lazy::first(m, inputs)?)?.into();
        let mut s = Setup {
            class: self.class,
            v: values,
            stage: Stage::Shaping(m),
            place: Place::default().get(),
            given: &[],
            modules: &[],
            made: Vec::new(),
            children: Vec::new(),
            fresh: false,
            brought: false,
        };
        (self.class.setup)(&mut s)?;
        let (values, fresh) = (s.v, s.fresh);
        if fresh {
            (self.class.reset)(m, &values)?;
        }
        let _ = self.known.set(values);
        m.become_type(lazy.becomes);
        Ok(())
    }
    fn optional_keys(&self) -> &'static [&'static str] {
        self.class.optional_keys
    }
}

impl Class {
    /// The values of a constructor's call before any is given.
    pub fn defaults(&self) -> Values {
        let fields = self.fields.iter().map(|f| f.default);
        let mut values: Box<[Attribute]> = fields.chain(self.consts.iter().copied()).map(Const::value).collect();
        if self.lazy.is_some() {
            values[0] = 0i64.into();
        }
        Values(values)
    }
    /// Which values must be given, in order; the first of a lazy class comes with the input.
    pub fn required(&self) -> impl Iterator<Item = usize> + '_ {
        let skip = usize::from(self.lazy.is_some());
        let all = self.fields.iter().enumerate().skip(skip);
        all.filter(|(_, f)| matches!(f.default, Const::Required)).map(|(i, _)| i)
    }
    /// The defaults and what is given by name.
    pub fn with(&self, given: &[(&str, Attribute)]) -> Values {
        let mut values = self.defaults();
        for (name, value) in given {
            if let Some(i) = self.fields.iter().position(|f| f.name == *name) {
                values.0[i] = value.clone();
            }
        }
        values
    }
    /// A module of a class that has nothing to check and no parameters.
    pub fn plain(&'static self, given: &[(&str, Attribute)]) -> Module {
        Module::new(self.name, Instance { class: self, values: self.with(given), known: OnceLock::new() })
    }
    /// A module of this class. `given`: the tensors among the arguments.
    pub fn build(&'static self, values: Values, given: &[(&'static str, Tensor)], place: Place) -> Result<Module> {
        self.build_with(values, given, &[], place)
    }
    /// The same with the modules among the arguments.
    pub fn build_with(
        &'static self,
        values: Values,
        given: &[(&'static str, Tensor)],
        modules: &[(&'static str, Module)],
        place: Place,
    ) -> Result<Module> {
        let stage = if self.lazy.is_some() { Stage::Waiting } else { Stage::Now };
        let mut s = Setup {
            class: self,
            v: values,
            stage,
            place: place.get(),
            given,
            modules,
            made: Vec::new(),
            children: Vec::new(),
            fresh: false,
            brought: false,
        };
        (self.setup)(&mut s)?;
        let brought = s.brought;
        let made = s.made;
        let m = Module::new(self.name, Instance { class: self, values: s.v.clone(), known: OnceLock::new() });
        for (name, kind, tensor, waiting) in made {
            match (kind, tensor, waiting) {
                (Made::Parameter | Made::Frozen, Some(t), true) => {
                    m.register_uninitialized_parameter(&name, t.dtype(), t.device())?
                }
                (Made::Buffer, Some(t), true) => m.register_uninitialized_buffer(&name, t.dtype(), t.device())?,
                (Made::Parameter, t, _) => m.register_parameter(&name, t)?,
                (Made::Frozen, t, _) => {
                    m.register_parameter(&name, t.clone())?;
                    t.iter().try_for_each(|t| autograd::set_requires_grad(t, false))?;
                }
                (Made::Buffer, t, _) => m.register_buffer(&name, t, true)?,
            }
        }
        for (name, child) in s.children {
            m.register_module(name, Some(child))?;
        }
        if self.lazy.is_none() && !brought {
            (self.reset)(&m, &s.v)?;
        }
        Ok(m)
    }
}
impl Values {
    /// Sets one before the layer is built.
    pub fn set(&mut self, i: usize, value: impl Into<Attribute>) {
        self.0[i] = value.into();
    }
}

/// The size of a lazy layer's first input along a dimension.
pub fn size(m: &Module, x: &Tensor, dim: i64) -> Result<i64> {
    let (shape, n) = (x.shape(), x.ndim() as i64);
    let at = if dim < 0 { dim + n } else { dim };
    ensure!((0..n).contains(&at), Runtime, "{} needs an input of more dimensions, got {n}", m.name());
    Ok(shape[at as usize])
}

/// Initial values: the initialisers of a `reset`. What is absent is skipped.
pub mod draw {
    use super::*;

    fn named(m: &Module, name: &str, f: impl FnOnce(&Tensor) -> Result<()>) -> Result<()> {
        match m.parameter(name).or_else(|| m.buffer(name)) {
            Some(t) => f(&t),
            None => Ok(()),
        }
    }
    pub fn kaiming_uniform_(m: &Module, name: &str, a: f64) -> Result<()> {
        named(m, name, |t| ops::init_kaiming_uniform_(t, a, "fan_in", "leaky_relu", None))
    }
    /// Uniform within 1 / sqrt(fan in of `of`); with no fan in it draws zeros, or nothing.
    pub fn uniform_fan_in_(m: &Module, name: &str, of: &str, zero: bool) -> Result<()> {
        named(m, name, |t| {
            let (fan_in, _) = ops::init::fan_in_and_fan_out(&m.need(of)?)?;
            if fan_in <= 0 && !zero {
                return Ok(());
            }
            let bound = if fan_in > 0 { 1.0 / (fan_in as f64).sqrt() } else { 0.0 };
            ops::init_uniform_(t, -bound, bound, None)
        })
    }
    pub fn uniform_(m: &Module, name: &str, from: f64, to: f64) -> Result<()> {
        named(m, name, |t| ops::init_uniform_(t, from, to, None))
    }
    /// Every parameter in its order, uniform within 1 / sqrt(hidden).
    pub fn uniform_all_(m: &Module, hidden: i64) -> Result<()> {
        let bound = if hidden > 0 { 1.0 / (hidden as f64).sqrt() } else { 0.0 };
        m.own_parameters()?
            .iter()
            .filter_map(|(_, t)| t.as_ref())
            .try_for_each(|t| ops::init_uniform_(t, -bound, bound, None))
    }
    pub fn xavier_uniform_(m: &Module, name: &str) -> Result<()> {
        named(m, name, |t| ops::init_xavier_uniform_(t, 1.0, None))
    }
    pub fn xavier_normal_(m: &Module, name: &str) -> Result<()> {
        named(m, name, |t| ops::init_xavier_normal_(t, 1.0, None))
    }
    /// Every matrix of the tree.
    pub fn xavier_uniform_all_(m: &Module) -> Result<()> {
        m.parameters()?.iter().filter(|t| t.ndim() > 1).try_for_each(|t| ops::init_xavier_uniform_(t, 1.0, None))
    }
    /// Zeros for a child's bias, where it has one.
    pub fn zero_bias_(m: &Module, child: &str) -> Result<()> {
        fill_(&m.get_submodule(child)?, "bias", 0)
    }
    pub fn normal_(m: &Module, name: &str) -> Result<()> {
        named(m, name, |t| ops::init_normal_(t, 0.0, 1.0, None))
    }
    /// Zeros for one row of a table, where there is one that stands for nothing.
    pub fn zero_row_(m: &Module, name: &str, row: Option<i64>) -> Result<()> {
        let Some(row) = row else { return Ok(()) };
        named(m, name, |t| autograd::no_grad(|| ops::zero_(&ops::select(t, 0, row)?)))
    }
    pub fn fill_(m: &Module, name: &str, value: i64) -> Result<()> {
        named(m, name, |t| autograd::no_grad(|| ops::fill_scalar_(t, Scalar::Int(value))))
    }
}

/// What a class without them has.
pub fn no_setup(_: &mut Setup) -> Result<()> {
    Ok(())
}
/// The forward of a class that has one of all inputs.
pub fn by_whole(m: &Module, _: &Values, _: &[&Tensor]) -> Result<Outputs> {
    bail!(Internal, "{} has one forward", m.name())
}
pub fn no_reset(_: &Module, _: &Values) -> Result<()> {
    Ok(())
}
pub fn no_repr(_: &Module, _: &Values, _: &mut Text) {}
pub fn no_activation(_: &Values) -> Option<Activation> {
    None
}

/// a // b of what may be zero: then it is 0.
pub fn div(a: i64, b: i64) -> i64 {
    a.checked_div(b).unwrap_or(0)
}
/// a % b of what may be zero: then it is 1, so that nothing is divisible by zero.
pub fn rem(a: i64, b: i64) -> i64 {
    a.checked_rem(b).unwrap_or(1)
}
/// An input's shape in a message.
pub fn shape_text(x: &Tensor) -> String {
    py_tuple(&x.shape())
}
