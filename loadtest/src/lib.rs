//! Simulated phones over real sockets: a stranger to the cluster, who sees what a phone sees and nothing else.
//!
//! [`Phone`] is one phone as a machine without I/O, [`Fleet`] drives thousands of them on one thread, [`FleetConfig`] says
//! which. It must never import a crate that knows the cluster's configuration or decisions, and never reach beyond the host: every
//! address that is neither loopback nor of the network for benchmarks, which nobody routes, is refused.

mod error;
pub mod fleet;
pub mod phone;
pub mod plan;
pub mod program;
pub mod report;

pub use error::Error;
pub use fleet::{Fleet, FleetHandle, FleetStats};
pub use phone::{
    Change, Counters, Exchange, Identity, Operation, Outcome, Phone, PhoneInput, PhoneOutput, PhoneSettings, Profile,
    Status, Transport, Why,
};
pub use plan::{FleetConfig, PhoneGroup, Source};

/// A CallManager group has at most three members, so a phone's list has, too (DESIGN section 1).
pub const MAX_SERVERS: usize = 3;
