//! Transactions without INVITE (RFC 3261 section 17): keys, the RFC's timers, the server's memory of final answers and
//! the client's retransmissions. All sans-IO: `now` comes in, bytes and verdicts go out.
//!
//! Matching works on keyed 128-bit hashes, answers are kept as wire bytes, and nothing here makes an object, a task or a
//! timer per message. REGISTER needs none of the server side (hot-path.md: its 200 is regenerated from the device's slot).

pub mod client;
pub mod key;
pub mod server;
pub mod timer;

pub use client::ClientTransactions;
pub use key::{Keyer, TransactionKey};
pub use server::ServerTransactions;
