//! The specification's optimisers by name, and the older options of SGD and Adam.

use super::options::{OptionValue, Options};
use super::table_gen::{ADAM, ADAMW, CLASSES, SGD};
use super::{AdamOptions, SgdOptions};
use crate::{bail, Result};

impl Options {
    /// The class of a name, with its defaults.
    pub fn named(name: &str) -> Result<Options> {
        match CLASSES.iter().find(|c| c.name == name) {
            Some(c) => Ok(Options::of(c)),
            None => {
                let names: Vec<&str> = CLASSES.iter().map(|c| c.name).collect();
                bail!(Value, "there is no optimizer {name}; there are {}", names.join(", "))
            }
        }
    }
}

impl From<SgdOptions> for Options {
    fn from(s: SgdOptions) -> Options {
        use OptionValue::{Bool, Float};
        let mut o = Options::of(&SGD);
        let values = [
            ("lr", Float(s.lr)),
            ("momentum", Float(s.momentum)),
            ("dampening", Float(s.dampening)),
            ("weight_decay", Float(s.weight_decay)),
            ("nesterov", Bool(s.nesterov)),
            ("maximize", Bool(s.maximize)),
        ];
        values.into_iter().for_each(|(name, v)| o.put(name, v));
        o
    }
}
impl From<AdamOptions> for Options {
    fn from(a: AdamOptions) -> Options {
        use OptionValue::{Bool, Float};
        let mut o = Options::of(if a.decoupled { &ADAMW } else { &ADAM });
        let values = [
            ("lr", Float(a.lr)),
            ("betas", OptionValue::pair(a.betas.0, a.betas.1)),
            ("eps", Float(a.eps)),
            ("weight_decay", Float(a.weight_decay)),
            ("amsgrad", Bool(a.amsgrad)),
            ("maximize", Bool(a.maximize)),
        ];
        values.into_iter().for_each(|(name, v)| o.put(name, v));
        o
    }
}
