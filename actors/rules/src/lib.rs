//! What should happen in a Tandem cluster: pure decisions from what one node knows to a verdict or a plan, each with its reason.
//!
//! `now` and dice are parameters. Nothing here waits, reads a clock, or touches a row, a socket or an actor: `tandem` (the node) carries out.

pub mod admission;
pub mod failback;
pub mod failover;
pub mod invariants;
pub mod placement;
pub mod registration;
pub mod routing;

mod dice;
#[cfg(test)]
mod scene;
