//! Typed readers, one header a file: from the bytes of one value to a plain borrowed struct, or `None` when the value
//! cannot be read. They are called on demand, so a header that nobody asks for costs nothing.
//!
//! They forgive what real phones do and RFC 3261 section 25.1 does not allow where no second reading is possible; they
//! never guess.

pub mod authorization;
pub mod challenge;
pub mod contact;
pub mod cseq;
pub mod date;
pub mod event;
pub mod name_addr;
pub mod number;
pub mod refer_to;
pub mod retry_after;
pub mod route;
pub mod tokens;
pub mod via;

pub use authorization::Authorization;
pub use challenge::{Challenge, challenges};
pub use contact::{Binding, Contact};
pub use cseq::CSeq;
pub use date::date;
pub use event::Event;
pub use name_addr::NameAddr;
pub use number::{content_length, delta_seconds, max_forwards};
pub use refer_to::ReferTo;
pub use retry_after::RetryAfter;
pub use route::Hop;
pub use tokens::{has_option, tokens};
pub use via::{Transport, Via};
