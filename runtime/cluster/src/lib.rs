//! Membership and owner-keyed replicated tables as machines, above the [`link::Link`] trait (DESIGN section 8).
//!
//! [`Cluster`] is the one machine a node drives: it knows who is up, keeps a copy of every other owner's rows, proves each copy by
//! digest, repairs gaps from the owner's log or by snapshot, and carries signals between nodes. It knows nothing of telephony.
//!
//! Sans-IO: never a socket, a clock, a thread or an actor.

mod adopt;
mod api;
mod cluster;
mod codec;
mod digest;
mod doubt;
mod error;
mod fetch;
mod frame;
mod index;
pub mod link;
mod log;
mod membership;
mod receive;
mod replica;
mod row;
mod saved;
mod serve;
mod settings;
mod signals;
mod snapshot;
mod table;
mod view;

#[cfg(test)]
mod tests;

pub use api::{
    AskError, AskRef, Change, Counters, DownReason, Found, Input, Member, MemberState, NodeState, Output, OwnRows,
    OwnerView, Page, Resync,
};
pub use cluster::Cluster;
pub use codec::Reader;
pub use digest::Digest;
pub use error::ClusterError;
pub use row::{Op, Row};
pub use saved::{Saved, TableWriter, read_tables};
pub use settings::Settings;
