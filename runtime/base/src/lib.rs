//! What every crate of Tandem shares: names and ids, metric names, time as a value, the `Machine` trait.
//!
//! Uses std and serde only. It must never read a clock, a file, a socket or dice: those come through `host`.

pub mod id;
pub mod machine;
pub mod metric;
pub mod name;
pub mod time;

pub use id::{DeviceKey, Incarnation, NodeLife, Rank, Stamp};
pub use machine::Machine;
pub use name::{DeviceName, DevicePoolName, DigestUser, DirectoryNumber, GroupName, InvalidName, NodeName};
pub use time::{Time, UnixMillis};
