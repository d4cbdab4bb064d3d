//! The words of Tandem: the configuration file, the registration row, the cluster as one node sees it, signals, events, admin words.
//!
//! Data only. It decides nothing (that is `tandem-rules`) and must never read a clock, a file, a socket or dice.

pub mod admin;
pub mod config;
pub mod error;
pub mod event;
pub mod phone;
pub mod row;
pub mod signal;
pub mod timings;
pub mod view;

pub use error::ModelError;
