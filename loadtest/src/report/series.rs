//! The run over time: one point per interval, never more than a bound, and the markers of what happened when.
//!
//! A long run doubles its interval instead of growing: counts add up, gauges keep the later reading, p99 keeps the worse one. It
//! must never average: an average hides the second that matters.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most points of a series: one hour of seconds and some; beyond, the interval doubles.
pub const POINTS_MAX: usize = 4_096;

/// The run over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Series {
    /// Seconds per point.
    pub interval_s: f64,
    /// In order of time.
    pub points: Vec<Point>,
}

impl Default for Series {
    fn default() -> Self {
        Self { interval_s: 1.0, points: Vec::new() }
    }
}

/// What happened within one interval.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// Start of the interval, in seconds since measuring began.
    pub at_s: f64,
    /// Devices that registered: their first time, and again after a loss.
    pub registrations: u64,
    /// Registrations that were refreshed where they were.
    pub refreshes: u64,
    /// Answers that told a device to come back later or to go elsewhere.
    pub refusals: u64,
    /// Operations that failed otherwise.
    pub errors: u64,
    /// 99th percentile of all operations that ended well in the interval, from the intended time of sending; `None` without any.
    pub p99_ms: Option<f64>,
    /// Devices registered at the end of the interval, by name of the node.
    pub devices: BTreeMap<String, u64>,
    /// Devices that should be registered then and are not.
    #[serde(default)]
    pub unregistered: u64,
}

impl Series {
    /// The next point. `at_s` is later than that of the point before.
    pub fn push(&mut self, point: Point) {
        match self.points.last_mut() {
            // After a doubling several of the caller's seconds belong to one point.
            Some(last) if point.at_s < last.at_s + self.interval_s * (1.0 - 1e-6) => last.absorb(point),
            _ => self.points.push(point),
        }
        if self.points.len() > POINTS_MAX {
            *self = self.coarser();
        }
    }

    /// The same with at most `most` points (at least 2).
    pub fn at_most(&self, most: usize) -> Self {
        let mut series = self.clone();
        while series.points.len() > most.max(2) {
            series = series.coarser();
        }
        series
    }

    /// Pairs of points become one.
    fn coarser(&self) -> Self {
        let points = self.points.chunks(2).filter_map(|pair| {
            let (first, rest) = pair.split_first()?;
            let mut point = first.clone();
            rest.iter().for_each(|p| point.absorb(p.clone()));
            Some(point)
        });
        Self { interval_s: self.interval_s * 2.0, points: points.collect() }
    }
}

impl Point {
    /// Takes a later point of the same interval in.
    fn absorb(&mut self, later: Self) {
        self.registrations = self.registrations.saturating_add(later.registrations);
        self.refreshes = self.refreshes.saturating_add(later.refreshes);
        self.refusals = self.refusals.saturating_add(later.refusals);
        self.errors = self.errors.saturating_add(later.errors);
        self.p99_ms = match (self.p99_ms, later.p99_ms) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
        self.devices = later.devices;
        self.unregistered = later.unregistered;
    }
}

/// What happened to a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MarkerKind {
    /// Killed without warning.
    Kill,
    /// Asked to stop politely.
    Stop,
    /// Stopped answering without dying.
    Hang,
    /// Answers again after a hang.
    Resume,
    /// Started again and serving.
    Return,
    /// Anything else worth a line; see the text.
    #[default]
    Note,
}

impl MarkerKind {
    /// The word of the document.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Hang => "hang",
            Self::Resume => "resume",
            Self::Return => "return",
            Self::Note => "note",
        }
    }
}

/// A moment to be seen in every picture over time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Marker {
    /// Seconds since measuring began.
    pub at_s: f64,
    /// What happened.
    pub kind: MarkerKind,
    /// To which node; `None` when to none.
    pub node: Option<String>,
    /// More, for people: the command that was run, or the sentence of a note.
    #[serde(default)]
    pub text: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at_s: f64) -> Point {
        Point {
            at_s,
            registrations: 1,
            errors: 2,
            p99_ms: (at_s != 7.0).then_some(at_s),
            devices: BTreeMap::from([("CCM1".to_owned(), at_s as u64)]),
            ..Point::default()
        }
    }

    #[test]
    fn a_long_run_stays_within_the_bound_and_loses_no_count() {
        let mut series = Series::default();
        let seconds = POINTS_MAX * 5 + 3;
        for second in 0..seconds {
            series.push(point(second as f64));
        }
        assert!(series.points.len() <= POINTS_MAX && series.points.len() > POINTS_MAX / 3, "{}", series.points.len());
        assert_eq!(series.interval_s, 8.0);
        assert_eq!(series.points.iter().map(|p| p.registrations).sum::<u64>(), seconds as u64);
        assert!(series.points.windows(2).all(|w| w[1].at_s - w[0].at_s == 8.0), "an even grid");
        assert_eq!(series.points.last().unwrap().devices["CCM1"], seconds as u64 - 1, "the last reading");
    }

    #[test]
    fn coarser_keeps_the_worse_p99_and_the_later_gauge() {
        let mut series = Series::default();
        (0..9).for_each(|s| series.push(point(f64::from(s))));
        let coarse = series.at_most(5);
        assert_eq!((coarse.points.len(), coarse.interval_s), (5, 2.0));
        assert_eq!(coarse.points[1].p99_ms, Some(3.0));
        assert_eq!(coarse.points[3].p99_ms, Some(6.0), "one of the two had no operations");
        assert_eq!(coarse.points[1].devices["CCM1"], 3);
        assert_eq!(series.at_most(0).points.len(), 2, "never less than a start and an end");
    }
}
