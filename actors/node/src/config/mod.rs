//! The configuration of a node: its copy of the database, the actor that keeps it equal to the publisher's, and the console's questions about it
//! (DESIGN section 2, "Database"; section 5, "A config change").
//!
//! Machine and store are in `tandem_database`; what a row means is in the model; what a change does to devices is in `rules`. It decides nothing.

mod access;
mod answer;
mod ask;
mod check;
mod configurator;
mod prepare;
mod seed;
pub mod store;
mod words;

pub use answer::Answered;
pub use ask::{Forwarded, Overview, Promote, SetUser, Wanted};
pub use configurator::{ConfigTick, Configurator, Effect, FromPeer, Parts, PeerSight, StoreDone};
pub use prepare::in_words;
pub use seed::Seed;
pub(crate) use words::row_change;
