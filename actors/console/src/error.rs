//! Why the console could not start. What it answers to clients is `tandem_model::admin::AdminError`.

use std::io;
use std::net::SocketAddr;

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// The address can be reached from other hosts and nobody allowed that.
    #[error(
        "the control address {0} can be reached from other hosts: use a loopback address such as 127.0.0.1, or allow it"
    )]
    NotLoopback(SocketAddr),
    /// Too short to be a secret.
    #[error(
        "the control token is shorter than {TOKEN_LENGTH_MIN} characters or has a character other than printable ASCII"
    )]
    WeakToken,
    /// The address is taken or not ours.
    #[error("cannot listen for control on {address}: {source}")]
    Listen {
        /// The address as asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The console's thread did not start.
    #[error("cannot start the control server: {0}")]
    Start(io::Error),
}

/// Shortest bearer token taken: 16 characters.
pub const TOKEN_LENGTH_MIN: usize = 16;
