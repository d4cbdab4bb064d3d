//! Why a measurement cannot be made or is worth nothing, in words for people.

use std::io;
use std::path::PathBuf;
use tandem_host::HostError;

/// Errors of this program.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Disk, socket, thread.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The operating system said no.
    #[error("{doing}: {source}")]
    Io {
        /// What was tried.
        doing: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A program that is needed is not there.
    #[error("{program} is not there: {remedy}")]
    Missing {
        /// Its name or path.
        program: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A server did not come up, or ended while it was measured.
    #[error("{server}: {what}; its output is in {}", log.display())]
    Server {
        /// Which.
        server: String,
        /// What happened.
        what: String,
        /// Where it wrote to.
        log: PathBuf,
    },
    /// What was measured is worth nothing.
    #[error("{0}")]
    Worthless(String),
    /// Somebody pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// For `map_err`.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}
