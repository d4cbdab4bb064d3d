//! What a run reports: one document, [`Summary`], that every form is made of.
//!
//! A run fills a [`Summary`]; what people and programs read is drawn from it and from nothing else, so the JSON document, the page
//! and the terminal can never disagree. It must never measure, judge or soften: a verdict comes in as it is and goes out as it is,
//! what was not measured is shown as not measured.

mod chart;
mod compare;
pub mod distribution;
pub mod document;
mod error;
mod figures;
pub mod instant;
mod markup;
mod page;
pub mod series;
pub mod summary;
mod terminal;
#[cfg(test)]
mod tests;

pub use compare::{CHANCE, Compared, Comparison, compare};
pub use distribution::{Bucket, Distribution};
pub use error::ReportError;
pub use instant::Instant;
pub use page::html;
pub use series::{Marker, MarkerKind, Point, Series};
pub use summary::{
    Behaviour, Devices, Failover, FailoverKind, Failure, Generator, Latency, Reconciled, Registrations, Summary,
    Target, TargetNode, Threshold, Verdict,
};
pub use terminal::{TextStyle, essentials, text};

/// Version of the document: grows when a field changes its meaning or goes away, not when one is added.
pub const SCHEMA: u32 = 1;
