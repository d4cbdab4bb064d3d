//! The configuration database over HTTP: rows, changes and their history, files, people.
//!
//! Turns paths, headers, queries and bodies into words of `tandem_model::admin::config` and its answers into HTTP. Whether a change is
//! right, and who publishes, is judged behind `Admin`.

pub(crate) mod bulk;
pub(crate) mod changes;
mod csv_file;
pub(crate) mod people;
pub(crate) mod rows;
mod toml_file;

use std::ops::Range;
use tandem_model::admin::config::RowProblem;
use tandem_model::admin::{AdminError, ErrorKind};

/// Problems of a file that are told; of more only the number.
const PROBLEMS_MAX: usize = 100;

/// Everything that is wrong with a file.
#[derive(Debug, Default)]
struct Faults {
    told: Vec<RowProblem>,
    total: usize,
}
impl Faults {
    fn add(&mut self, problem: RowProblem) {
        self.total += 1;
        if self.told.len() < PROBLEMS_MAX {
            self.told.push(problem);
        }
    }
    fn refusal(self) -> AdminError {
        let s = if self.total == 1 { "" } else { "s" };
        let error =
            AdminError::new(ErrorKind::Invalid, format!("the file has {} problem{s}; nothing was changed", self.total));
        AdminError { problems: self.told, ..error }
    }
}

/// Where lines begin, to tell the line of a byte.
struct Lines(Vec<usize>);
impl Lines {
    fn of(text: &[u8]) -> Self {
        Self(text.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at).collect())
    }
    /// The line in which a span begins, from 1.
    fn line(&self, at: &Range<usize>) -> Option<u32> {
        u32::try_from(self.0.partition_point(|end| *end < at.start) + 1).ok()
    }
}
