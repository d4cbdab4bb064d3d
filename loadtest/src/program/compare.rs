//! `compare`: the summaries of two runs beside each other, as a table or as JSON.
//!
//! It only reads and shows; what differs and how much is `report::compare`'s. It must never judge by an exit status: two single runs differ
//! by chance.

use serde::Serialize;
use std::path::Path;
use tandem_host::disk::RealDisk;

use super::args::{Compare, Format};
use super::failure::Failure;
use super::output;
use crate::report::{Comparison, Summary, compare, document};

/// Version of the document: grows as that of a summary does.
const SCHEMA: u32 = 1;

/// What `-o json` writes.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    /// The two files as they were named.
    a: String,
    b: String,
    #[serde(flatten)]
    comparison: &'a Comparison,
}

/// Reads both files and shows the comparison on stdout.
///
/// # Errors
/// What is wrong with which file; with both, if both are wrong.
pub(super) fn show(options: &Compare) -> Result<(), Failure> {
    let (a, b) = both(&options.old, &options.new)?;
    let comparison = compare(&a, &b);
    let [a, b] = [&options.old, &options.new].map(|p| p.display().to_string());
    let text = match options.format {
        Format::Table => comparison.text(&a, &b, output::style()),
        Format::Json => {
            let document = Document { schema: SCHEMA, a, b, comparison: &comparison };
            let text = serde_json::to_string_pretty(&document).map_err(|e| Failure::new(e.to_string()))?;
            format!("{text}\n")
        }
    };
    output::write(&text).map_err(Failure::new)
}

fn both(old: &Path, new: &Path) -> Result<(Summary, Summary), Failure> {
    let read = |path| document::read(&RealDisk, path).map_err(|e| e.to_string());
    match (read(old), read(new)) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (Err(first), Err(second)) if first != second => Err(Failure::new(first).remedy(format!("and: {second}"))),
        (Err(why), _) | (_, Err(why)) => Err(Failure::new(why)),
    }
    .map_err(|e| e.remedy("compare takes two summaries that a run wrote with --json FILE"))
}
