//! Nodes in the test's process and phones of a few lines over real UDP and TCP on loopback: what a phone sees of the registrar, of groups,
//! of nonces, of bad input and of devices that make their actor panic.
//!
//! Nothing sleeps but to look again at a condition with a deadline; no port is fixed. Silence is proved by the answer to a later request,
//! not by waiting.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "all of this file and its modules is test code"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "a phone has its own sockets, and a deadline is looked at on the real clock"
)]

#[path = "wire/calls.rs"]
mod calls;
#[path = "wire/cluster.rs"]
mod cluster;
#[path = "wire/garbage.rs"]
mod garbage;
#[path = "wire/gate.rs"]
mod gate;
#[path = "wire/groups.rs"]
mod groups;
#[path = "wire/last_words.rs"]
mod last_words;
#[path = "wire/nonces.rs"]
mod nonces;
#[path = "wire/overload.rs"]
mod overload;
#[path = "wire/phone.rs"]
mod phone;
#[path = "wire/poison.rs"]
mod poison;
#[path = "wire/registrar.rs"]
mod registrar;
#[path = "wire/retransmissions.rs"]
mod retransmissions;
#[path = "../../../runtime/sip/tests/torture/set.rs"]
mod torture;
