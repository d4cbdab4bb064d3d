//! What can be wrong with bytes that came from another node or a disk. Problems of the configuration file are `config::Problem`.

use thiserror::Error;

/// Why bytes were not understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The bytes end before the field does.
    #[error("a row ends inside its field {field}")]
    Short {
        /// Which field.
        field: &'static str,
    },
    /// A field has a value that it cannot have.
    #[error("a row has a bad {field}: expected {expected}")]
    Bad {
        /// Which field.
        field: &'static str,
        /// What would be right.
        expected: &'static str,
    },
    /// The row's layout is of a later version that this one cannot read.
    #[error("a registration row has layout {found}, this node reads layout {known}")]
    Layout {
        /// As sent.
        found: u8,
        /// As known here.
        known: u8,
    },
    /// A signal is not what it should be.
    #[error("a signal was not understood: {0}")]
    Signal(String),
}
