//! The machines that keep the copies of the configuration database equal: one node publishes, the others follow; user settings go
//! from everybody to everybody.
//!
//! Sans-IO: never a clock, a file, a thread. The store's work is asked for by [`Output::Work`].

mod api;
mod follow;
mod frame;
mod gossip;
mod machine;
mod publish;
mod serve;
mod settings;
mod work;

pub use api::{Input, Output, Packet, PeerStatus, Role, Status};
pub use machine::Replication;
pub use settings::Settings;
pub use work::{DatabaseOrStore, Done, EpochBase, LogPart, LogPosition, LogRead, UserCursor, Work};
