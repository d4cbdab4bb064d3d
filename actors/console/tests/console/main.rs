//! The console over real loopback HTTP. One test program, so that it is linked once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod events;
mod http;
mod support;
