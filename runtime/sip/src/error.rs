//! What can go wrong with bytes: a message that is none, a buffer that is too small, a stream that cannot be cut.
//!
//! Refusals that are answered by policy (4xx) are outcomes, not errors: see [`crate::validate`].

use crate::message::Message;
use crate::reason::RefusalReason;
use crate::status::Status;
use crate::validate::Refusal;
use thiserror::Error;

/// Bytes that are no message. What could be read is kept, so that a 400 can often be sent nevertheless.
#[derive(Clone, Copy, Debug, Error)]
#[error("malformed message: {reason}")]
pub struct Malformed<'a> {
    /// The first thing that was wrong.
    pub reason: RefusalReason,
    /// As much of the message as could be read. Its accessors work; anything may be missing.
    pub partial: Message<'a>,
}

impl Malformed<'_> {
    /// Whether a 400 may be sent, see [`Message::is_answerable`].
    pub fn is_answerable(&self) -> bool {
        self.partial.is_answerable()
    }
}

/// A message did not fit into its buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("message of {needed} bytes does not fit into a buffer of {capacity}")]
pub struct Overflow {
    /// Bytes that the whole message would have taken.
    pub needed: usize,
    /// Bytes that there were.
    pub capacity: usize,
}

/// A stream that cannot be cut into messages any more (RFC 3261 section 18.3). The connection must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The bytes at the start of a message are not SIP.
    #[error("stream holds something other than SIP")]
    Garbage,
    /// The header section is longer than [`crate::framing::MAX_HEAD`], or than a whole message may be.
    #[error("header section longer than is taken")]
    HeadTooLarge,
    /// The message would be longer than the framer takes.
    #[error("message longer than is taken")]
    MessageTooLarge,
    /// No Content-Length: on a stream nobody can know where the message ends.
    #[error("no Content-Length on a stream")]
    MissingContentLength,
    /// A Content-Length that is no number, or two of them.
    #[error("Content-Length that cannot be read, or two of them")]
    BadContentLength,
}

impl FrameError {
    /// The last response before the connection is closed (RFC 3261 sections 18.3, 21.4.11 and 21.5.7): 413 when the body is
    /// what is too long, since the sender may do with a shorter one, 513 when the header section is, 400 otherwise.
    pub const fn refusal(self) -> Refusal {
        let (status, reason) = match self {
            Self::Garbage => (Status::BAD_REQUEST, RefusalReason::StartLine),
            Self::HeadTooLarge => (Status::MESSAGE_TOO_LARGE, RefusalReason::HeadTooLarge),
            Self::MessageTooLarge => (Status::REQUEST_ENTITY_TOO_LARGE, RefusalReason::TooLarge),
            Self::MissingContentLength => (Status::BAD_REQUEST, RefusalReason::MissingContentLength),
            Self::BadContentLength => (Status::BAD_REQUEST, RefusalReason::ContentLength),
        };
        Refusal { status, reason, header: None }
    }
}
