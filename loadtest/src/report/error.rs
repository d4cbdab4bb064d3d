//! What can go wrong with a report after the run is over. The run itself must never be lost by it: the error carries its essentials.

use std::path::PathBuf;
use tandem_host::error::HostError;

/// Errors of this module.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A report could not be written; whatever the file held before is untouched.
    #[error(
        "the {what} was not written: {source}. A file of that name is as it was before. Free space or give another path and repeat the run; \
         what would have been lost: {essentials}"
    )]
    Lost {
        /// Which report: `JSON summary`, `HTML report`.
        what: &'static str,
        /// The run in one paragraph.
        essentials: String,
        /// Why.
        source: HostError,
    },
    /// Nothing can be written there, found before the run.
    #[error("the {what} cannot be written to {}: {why}", path.display())]
    Unwritable {
        /// Which report.
        what: &'static str,
        /// Where to.
        path: PathBuf,
        /// Why not, and what would be right.
        why: String,
    },
    /// A file could not be read.
    #[error(transparent)]
    Unreadable(#[from] HostError),
    /// A file is no summary.
    #[error("{} is no summary of tandem-loadtest: {why}", path.display())]
    NotASummary {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        why: String,
    },
    /// A file is of a later version.
    #[error(
        "{} has schema version {found}; this program knows versions up to {known}: use the tandem-loadtest that wrote it, or a newer one",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// Ours.
        known: u32,
    },
}
