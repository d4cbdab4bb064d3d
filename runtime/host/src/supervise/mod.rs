//! Supervision of full actix actors (DESIGN section 6), because actix's own restarts nothing after a panic and bounds nothing.
//!
//! [`mailbox`] makes a [`Handle`] (what others send through) and a [`Mailbox`] (what the actor is started with); [`Keep`] starts the actor
//! and starts it again after a panic, the mailbox survives; [`Tree`] stops children in reverse order. [`StuckWatch`] reports
//! an arbiter that stands still, [`install_panic_hook`] keeps panics short and readable.
//!
//! actix's `Addr` must not leave an actor's own file: everything else sends through a [`Handle`].

mod handle;
mod keep;
mod panics;
mod stuck;
mod tree;

pub use handle::{AskError, Handle, Mailbox, MailboxStats, RESERVE_SHARE, Refused, TURN_MESSAGES, mailbox};
pub use keep::{Child, End, GaveUp, Keep, Renew, Restarts};
pub use panics::{
    PANICS_KEPT, PanicRecord, Panicked, contain, install_panic_hook, panic_count, panic_message, recent_panics,
};
pub use stuck::{Pulse, STUCK_AFTER, Stuck, StuckWatch};
pub use tree::Tree;

#[cfg(test)]
mod tests;
