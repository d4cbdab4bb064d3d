//! Protocols of phones: each turns its messages into wishes of the registrar and answers back into messages.

pub mod sip;
