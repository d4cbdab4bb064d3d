//! Skeleton.
pub mod cli;
