//! The real actors of Tandem on one thread in virtual time: faults drawn from a seed, the invariants of DESIGN section 2 asked after
//! every step, the same seed the same run to the last event.
//!
//! `station` is a node (the tree of `tandem`, the links and clock of `tandem_host`), `phones` the machines of `tandem_loadtest`, `net`
//! the SIP network between them, `world` the one loop, `check`, `copies` and `cold` the invariants, `database` the copies of the configuration and who changes it, `history` what they remember, `thief` who listens, `faults` what goes
//! wrong, `misfortune` the drawing of it, `sim` a whole run.
//! Nothing here may read a clock, a socket or dice but through these.

pub mod check;
pub mod cold;
pub mod copies;
pub mod database;
pub mod facts;
pub mod faults;
pub mod history;
pub mod log;
pub mod misfortune;
pub mod net;
pub mod pace;
pub mod phones;
pub mod setup;
pub mod sim;
pub mod station;
pub mod thief;
pub mod world;

pub use faults::Fault;
pub use setup::{Limits, Setup};
pub use sim::{Outcome, Sim, run};
