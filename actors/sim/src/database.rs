//! The configuration database of a run: a copy per node on its own simulated disk, an administrator who changes it, and what must hold.
//!
//! Configurator, replication machine and SQLite store are those of production. `disk` is what a node's copy stands on and what a crash leaves of
//! it, `running` what tells the node of changes, `wish` what the administrator may want, `administrator` how he asks and what he was told, `judge` what must hold of the copies.

pub mod administrator;
pub mod disk;
pub mod judge;
pub mod running;
pub mod wish;

pub use administrator::Administrator;
pub use disk::{ConfigDisk, Folder};
pub use judge::Judge;
pub use running::Running;
