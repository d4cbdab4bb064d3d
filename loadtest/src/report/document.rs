//! The JSON document: written whole or not at all, read back with its version looked at first.
//!
//! A run may have taken an hour, so [`check`] tries the place before it begins, and what cannot be written at the end is said in the
//! error. It must never leave half a document behind, and never replace anything but a regular file.

use super::{ReportError, SCHEMA, Summary, terminal};
use serde::Deserialize;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tandem_host::disk::{Access, Disk};

/// Room that there has to be before a run, in bytes: the JSON document of a short run on a few nodes. Nobody knows how much the end of a
/// long one takes.
const ROOM: usize = 64 << 10;
/// Largest document that is read, in bytes: a full series of many nodes stays far below.
pub const BYTES_MAX: u64 = 64 << 20;

/// JSON Schema of the document, draft 2020-12, from the types themselves.
pub fn json_schema() -> Value {
    let mut schema = schemars::schema_for!(Summary);
    schema.insert("$id".to_owned(), format!("urn:tandem-loadtest:summary:{SCHEMA}").into());
    schema.to_value()
}

/// The document as text. A number that is none (NaN, infinite) is written as `null`, which reads as "not measured".
pub fn to_json(summary: &Summary) -> String {
    // Only maps with keys that are no strings can fail; the summary has none. An empty text would be refused by every reader.
    let mut text = serde_json::to_string_pretty(summary).unwrap_or_default();
    text.push('\n');
    text
}

/// Just the version, so that a later document gets its own error and not one about a field.
#[derive(Deserialize)]
struct Version {
    schema: u64,
}

/// The summary in `text`; `path` is for messages.
///
/// # Errors
/// [`ReportError::Newer`] for a later version, [`ReportError::NotASummary`] for anything else that is wrong.
pub fn from_json(text: &[u8], path: &Path) -> Result<Summary, ReportError> {
    let wrong = |e: serde_json::Error| ReportError::NotASummary { path: path.to_owned(), why: e.to_string() };
    let Version { schema } = serde_json::from_slice(text).map_err(wrong)?;
    if schema > u64::from(SCHEMA) {
        return Err(ReportError::Newer { path: path.to_owned(), found: schema, known: SCHEMA });
    }
    serde_json::from_slice(text).map_err(wrong)
}

/// Reads the summary at `path`.
///
/// # Errors
/// As [`from_json`]; [`ReportError::Unreadable`] when the file cannot be read or has more than [`BYTES_MAX`] bytes.
pub fn read(disk: &dyn Disk, path: &Path) -> Result<Summary, ReportError> {
    from_json(&disk.read(path, BYTES_MAX)?, path)
}

/// Can a report be written to `path`? To be asked before a run; it leaves nothing behind, and what is there stays.
///
/// # Errors
/// [`ReportError::Unwritable`].
pub fn check(disk: &dyn Disk, path: &Path, what: &'static str) -> Result<(), ReportError> {
    let path = target(path, what)?;
    // A name that nobody else's file has: the probe is removed again.
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.probe", std::process::id()));
    let probe = path.with_file_name(name);
    let no =
        |e: tandem_host::error::HostError| ReportError::Unwritable { what, path: path.clone(), why: e.to_string() };
    disk.write(&probe, &vec![b' '; ROOM], Access::Private).map_err(no)?;
    disk.remove(&probe).map_err(no)
}

/// Writes the JSON document to `path`, as a whole.
///
/// # Errors
/// [`ReportError::Lost`] with the run's essentials; [`ReportError::Unwritable`] when `path` is no place for a file.
pub fn write_json(disk: &dyn Disk, path: &Path, summary: &Summary) -> Result<(), ReportError> {
    write(disk, path, "JSON summary", to_json(summary).as_bytes(), summary)
}

/// Writes the HTML page to `path`, as a whole.
///
/// # Errors
/// As [`write_json`].
pub fn write_html(disk: &dyn Disk, path: &Path, summary: &Summary) -> Result<(), ReportError> {
    write(disk, path, "HTML report", super::html(summary).as_bytes(), summary)
}

fn write(disk: &dyn Disk, path: &Path, what: &'static str, bytes: &[u8], summary: &Summary) -> Result<(), ReportError> {
    let path = target(path, what)?;
    disk.write(&path, bytes, Access::Shared).map_err(|source| ReportError::Lost {
        what,
        essentials: terminal::essentials(summary),
        source,
    })
}

/// Where a symbolic link leads to, so that the link stays one. A rename over a device would replace the device.
fn target(path: &Path, what: &'static str) -> Result<PathBuf, ReportError> {
    let unwritable = |why: &str| ReportError::Unwritable { what, path: path.to_owned(), why: why.to_owned() };
    if path.file_name().is_none() {
        return Err(unwritable("it names no file; give one, such as run.json"));
    }
    match path.metadata() {
        Ok(found) if found.is_dir() => Err(unwritable("it is a folder; give a file in it")),
        Ok(found) if !found.is_file() => Err(unwritable("it is a device or pipe; give a regular file")),
        Ok(_) => path.canonicalize().map_err(|e| unwritable(&e.to_string())),
        Err(_) => Ok(path.to_owned()),
    }
}
