//! What a device may do and what it may be told, without a word of SIP: another kind of phone needs another edge, not other rules.

use std::net::SocketAddr;
use std::sync::Arc;
use tandem_base::DeviceName;

use crate::row::Transport;

/// What a device did. The edge has authenticated it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PhoneEvent {
    /// It wants to be served by this node.
    Register {
        /// Who.
        device: DeviceName,
        /// Where it is reached.
        at: Place,
        /// Seconds it asked for.
        asked_secs: u32,
    },
    /// It is served here already and prolongs that.
    Refresh {
        /// Who.
        device: DeviceName,
        /// Seconds it asked for.
        asked_secs: u32,
    },
    /// It no longer wants to be served.
    Unregister {
        /// Who.
        device: DeviceName,
    },
    /// It wants to know whether this node, its standby, is alive. Changes nothing.
    KeepAlive {
        /// Who.
        device: DeviceName,
    },
    /// It asks whether it may come home to this node.
    AskToken {
        /// Who.
        device: DeviceName,
    },
    /// The connection it was reached through is gone.
    Lost {
        /// Who.
        device: DeviceName,
    },
}

/// Where a device is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Over what.
    pub transport: Transport,
    /// The address its messages come from.
    pub source: SocketAddr,
    /// The address it gave, at most [`crate::row::CONTACT_MAX`] bytes.
    pub contact: Arc<str>,
}

/// What a device is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PhoneCommand {
    /// It is served.
    Served {
        /// For so many seconds.
        granted_secs: u32,
    },
    /// Register anew from the top of your list: a better node is ready.
    GoHome,
    /// Register anew: this node is about to stop.
    Restart,
    /// Not here: try these, in order.
    GoElsewhere {
        /// Addresses of nodes, best first.
        nodes: Vec<SocketAddr>,
    },
    /// Not now.
    ComeBack {
        /// In so many seconds.
        retry_after_secs: u32,
    },
    /// You may come home now.
    TokenGranted,
}
