//! Skeleton; see Cargo.toml for what this crate is.

pub mod digest;
pub mod nonce;
pub mod transaction;
