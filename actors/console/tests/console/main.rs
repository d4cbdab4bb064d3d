//! The console over real loopback HTTP. One test program, so that it is linked once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod config;
mod events;
mod fake;
mod files;
mod http;
mod openapi;
mod people;
mod support;
