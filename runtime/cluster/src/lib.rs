//! Membership and owner-keyed replicated tables as machines, above the [`link::Link`] trait (DESIGN section 8).
//!
//! Sans-IO: never a socket, a clock, a thread or an actor.

pub mod link;
