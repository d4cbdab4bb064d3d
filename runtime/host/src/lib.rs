//! The only door to the outside (DESIGN section 3): clock, sockets, disk, randomness, links between nodes, threads, supervision, metrics.
//! Each part has its simulated twin, or runs unchanged in virtual time.
//!
//! It knows no telephony policy: it carries bytes and keeps actors alive.

pub mod arbiter;
#[cfg(feature = "zenoh")]
pub mod certificates;
pub mod child;
pub mod clock;
pub mod datagram;
pub mod disk;
pub mod error;
pub mod exporter;
pub mod hold;
pub mod labour;
pub mod light;
pub mod link;
pub mod memory;
pub mod outbox;
pub mod random;
pub mod saver;
pub mod stream;
pub mod supervise;
pub mod ticker;
pub mod udp_loop;
pub mod udp_queue;

pub use error::HostError;
