//! SIP messages, transactions and digest authentication, sans-IO: bytes in, bytes and verdicts out.
//!
//! A [`Message`] borrows the bytes of a datagram or a stream's frame and knows where its headers lie; [`headers`] reads
//! them when asked; [`validate`] says which response a bad request gets; [`write`](crate::write::Writer), [`mod@response`] and
//! [`mod@request`] write messages into buffers that the caller owns. Nothing on this path allocates, waits or panics, and
//! every pass is linear in the bytes: they come from anybody.
//!
//! It knows no socket, no clock, no task, and nothing about devices or who may register.

mod blocks;
pub mod digest;
pub mod error;
pub mod framing;
mod head;
mod header;
pub mod headers;
mod message;
mod method;
pub mod nonce;
mod reason;
pub mod request;
pub mod response;
mod status;
pub mod text;
pub mod transaction;
pub mod uri;
pub mod validate;
pub mod write;

pub use error::{FrameError, Malformed, Overflow};
pub use framing::{Datagram, Frame, Framer, Side, datagram, last_answer};
pub use head::MAX_MESSAGE;
pub use header::Header;
pub use headers::{Authorization, Binding, CSeq, Contact, NameAddr, Transport, Via};
pub use message::{AllLines, Lines, Message, Values};
pub use method::Method;
pub use reason::RefusalReason;
pub use request::{RequestHead, ack, request};
pub use response::{refuse, response, response_to};
pub use status::Status;
pub use uri::{Host, SipUri};
pub use validate::{
    Contacts, Facts, Party, Policy, Refusal, read_contacts, read_request, validate_request, validate_request_with,
    validate_response,
};
pub use write::Writer;
