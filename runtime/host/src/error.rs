//! The one error enum of this crate: broken disks, sockets and threads. What was refused because a bound was reached is a value of
//! the module that refused it, not an error here.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What can go wrong at the door to the outside.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// A file or folder could not be used.
    #[error("cannot {doing} {}: {source}", path.display())]
    Disk {
        /// What was being done, as a verb ("read", "write").
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is larger than the reader takes.
    #[error("cannot read {}: it has {size} bytes, at most {bound} are taken", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size, in bytes; at least this much.
        size: u64,
        /// The bound, in bytes.
        bound: u64,
    },
    /// A socket could not be opened or set up.
    #[error("cannot {doing} {address}: {source}")]
    Socket {
        /// What was being done ("listen on UDP").
        doing: &'static str,
        /// The local address asked for.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A thread or its runtime could not be started.
    #[error("cannot start thread {name:?}: {source}")]
    Thread {
        /// Name of the thread.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The operating system gave no random bytes.
    #[error("cannot get random bytes from the operating system: {0}")]
    Random(String),
    /// The metrics recorder could not be installed.
    #[error("cannot install the metrics recorder: {0}")]
    Metrics(String),
    /// Signals of the operating system cannot be waited for.
    #[error("cannot wait for signals: {0}")]
    Signal(io::Error),
}

impl HostError {
    pub(crate) fn disk(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Disk { doing, path: path.to_owned(), source }
    }
    pub(crate) fn thread(name: &str, source: io::Error) -> Self {
        Self::Thread { name: name.to_owned(), source }
    }
    /// Whether a file was asked for that does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Disk { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}
