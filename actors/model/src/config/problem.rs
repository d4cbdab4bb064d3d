//! What is wrong with a configuration file, for people: what, where, what would be right, and the nearest name that exists.
//!
//! It must never show the value of a secret.

use std::fmt;

/// Problems reported in full; of more only the number is told.
pub const PROBLEMS_MAX: usize = 100;

/// One thing that is wrong, or in a warning unwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problem {
    /// The file as it was named.
    pub file: String,
    /// Line, from 1; 0 when it is about the file as a whole.
    pub line: usize,
    /// Column in characters, from 1; 0 with line 0.
    pub column: usize,
    /// The table or row, such as `[settings]` or `device SEP0007`.
    pub row: String,
    /// The field, when it is about one.
    pub field: Option<String>,
    /// The value that is wrong, when there is one that may be shown.
    pub value: Option<String>,
    /// What is wrong, in lower case, without a full stop.
    pub what: String,
    /// What would be right.
    pub expected: Option<String>,
    /// The nearest name that exists.
    pub nearest: Option<String>,
    /// The text of that line.
    pub source: String,
}

impl fmt::Display for Problem {
    /// A block of lines: where, what, the offending line with a mark below, what would be right.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        f.write_str(": ")?;
        if !self.row.is_empty() {
            write!(f, "{}: ", self.row)?;
        }
        f.write_str(&self.what)?;
        if let Some(nearest) = &self.nearest {
            write!(f, "; did you mean {nearest}?")?;
        }
        if self.line > 0 {
            let gutter = self.line.to_string().len();
            write!(f, "\n{:gutter$} |\n{} | {}", "", self.line, self.source)?;
            write!(f, "\n{:gutter$} | {:>column$}", "", "^", column = self.column.max(1))?;
        }
        if let Some(expected) = &self.expected {
            write!(f, "\n  expected {expected}")?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a file, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// At most [`PROBLEMS_MAX`], by line.
    pub list: Vec<Problem>,
    /// How many there are altogether.
    pub total: usize,
}
impl Problems {
    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }
}
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.list {
            write!(f, "{problem}\n\n")?;
        }
        if self.total > self.list.len() {
            writeln!(f, "... and {} more", self.total - self.list.len())?;
        }
        let s = if self.total == 1 { "" } else { "s" };
        write!(f, "{} problem{s}", self.total)
    }
}
impl std::error::Error for Problems {}
