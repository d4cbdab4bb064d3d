//! Thin actors around the machines and rules of Tandem, the tree that starts them, and the program `tandem`.
//!
//! The path of a registration: `edge::sip` reads and answers, `edge::sip::gate` says who it is, `registrar` asks the rules and binds,
//! `device` is the actor, `device_host::rows` tells the peers through `call_manager`. `tree` shows who starts whom.

pub mod call_manager;
pub mod cli;
pub mod config;
pub mod counts;
pub mod device;
pub mod device_host;
pub mod directory;
pub mod edge;
mod effects;
pub mod error;
pub mod group_supervisor;
pub mod journal;
pub mod locator;
pub mod node;
pub mod observe;
pub mod process;
pub mod quickstart;
pub mod registrar;
pub mod registration;
pub mod run;
pub mod state;
pub mod tables;
pub mod tree;
pub mod up;
