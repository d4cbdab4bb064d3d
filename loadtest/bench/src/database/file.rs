//! The files that are imported: devices as an administrator would write them down, named like the generator's phones.

use crate::request::{NAME_DIGITS, PASSWORD};
use clap::ValueEnum;
use serde::Serialize;
use std::fmt::Write;
use std::ops::Range;

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    /// One table with a header row
    Csv,
    /// As the configuration file
    Toml,
}
impl Form {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::Toml => "TOML",
        }
    }
    /// Query and media type of the import.
    pub(super) const fn request(self) -> (&'static str, &'static str) {
        match self {
            Self::Csv => ("table=device&mode=replace", "text/csv"),
            Self::Toml => ("mode=replace", "application/toml"),
        }
    }
}

/// Name of the phone with this number.
pub(super) fn name(number: u32) -> String {
    format!("u{number:0NAME_DIGITS$}")
}

/// Devices with these numbers; `round` makes rows of another file differ.
pub(super) fn devices(form: Form, numbers: Range<u32>, round: u32) -> String {
    let mut text = String::new();
    if form == Form::Csv {
        text.push_str("name,kind,pool,description,password,lines\n");
    }
    for n in numbers {
        let (name, pool, line) = (name(n), pool(n), 2_000_000_000 + u64::from(n));
        // Writing to a text does not fail.
        let _ = match form {
            Form::Csv => {
                writeln!(text, "{name},phone,{pool},\"Desk {n}, floor {}, {round}\",{PASSWORD},{line}", n % 40)
            }
            Form::Toml => write!(
                text,
                "[[device]]\nname = \"{name}\"\nkind = \"phone\"\npool = \"{pool}\"\ndescription = \"Desk {n}, floor {}, {round}\"\n\
                 password = \"{PASSWORD}\"\nlines = [\"{line}\"]\n\n",
                n % 40
            ),
        };
    }
    text
}

/// The pool of a device: four of them.
fn pool(number: u32) -> String {
    format!("DP{}", number % 4 + 1)
}
