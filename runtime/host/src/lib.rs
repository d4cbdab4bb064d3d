//! Skeleton; see Cargo.toml for what this crate is.
pub mod link;
