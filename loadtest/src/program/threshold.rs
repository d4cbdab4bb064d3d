//! `--threshold 'outage.p99<2s'`: what a user demands, read from text and held against the summary of a run.
//!
//! A demand on something that was not measured does not hold: no data proves nothing.

use std::fmt;

use crate::report::{Distribution, FailoverKind, Summary, Threshold as Judged};

/// What kind of figure a name stands for, and so which units fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// Milliseconds.
    Time,
    /// A plain number.
    Count,
    /// Per second.
    Rate,
    /// Percent.
    Percent,
}

/// Figures of a distribution of times.
const STATISTICS: [&str; 7] = ["min", "mean", "p50", "p90", "p99", "p999", "max"];
/// Distributions of times.
const TIMES: [(&str, &str); 7] = [
    ("outage", "from a node's death to a device's registration elsewhere; the worst of all failovers"),
    ("gap", "how long a device going home was not served; the worst of all returns"),
    ("register", "registration request delay (RRD, RFC 6076 section 4.1)"),
    ("refresh", "refresh of a registration"),
    ("move", "registration at a better CallManager while another serves"),
    ("heartbeat", "heartbeat to a CallManager that does not serve"),
    ("served", "from power-on to the first registration, refusals and waits included"),
];
/// Single figures.
const SINGLE: [(&str, Unit, &str); 13] = [
    ("last", Unit::Time, "from a death until the last device had moved; the worst"),
    ("survivors.p99", Unit::Time, "refreshes of devices that were not affected by a death; the worst"),
    ("late.p99", Unit::Time, "how late the generator itself sent"),
    ("reregistrations", Unit::Rate, "registrations per second after a death; the lowest"),
    ("lost", Unit::Count, "devices that should be registered at the end and are not"),
    ("duplicate", Unit::Count, "devices registered twice"),
    ("registered", Unit::Count, "devices registered at the end"),
    ("failed", Unit::Count, "operations that failed, 503 not counted"),
    ("refused", Unit::Count, "503 and 302 answers to devices on the move"),
    ("ira", Unit::Percent, "ineffective registration attempts (RFC 6076 section 4.2)"),
    ("reconciliation", Unit::Percent, "the largest difference to the nodes' own counts"),
    ("generator.cpu", Unit::Percent, "processor time of the generator, of one core"),
    ("generator.memory", Unit::Count, "most bytes the generator held"),
];

/// How the figure has to stand to the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Less,
    AtMost,
    More,
    AtLeast,
}

/// One demand.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Threshold {
    text: String,
    name: String,
    relation: Relation,
    bound: f64,
    unit: Unit,
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The names, a line each, for `--help` and for messages.
pub(super) fn names() -> String {
    use fmt::Write as _;
    let mut text = String::new();
    for (name, meaning) in TIMES {
        let _ = writeln!(text, "  {:<22} {meaning}", format!("{name}.STAT"));
    }
    for (name, _, meaning) in SINGLE {
        let _ = writeln!(text, "  {name:<22} {meaning}");
    }
    let _ = write!(text, "  STAT is one of {}", STATISTICS.join(", "));
    text
}

fn unit_of(name: &str) -> Option<Unit> {
    if let Some((_, unit, _)) = SINGLE.iter().find(|(n, ..)| *n == name) {
        return Some(*unit);
    }
    let (which, statistic) = name.rsplit_once('.')?;
    (TIMES.iter().any(|(n, _)| *n == which) && STATISTICS.contains(&statistic)).then_some(Unit::Time)
}

/// The known name that is most like a wrong one.
fn nearest(name: &str) -> Option<String> {
    let times = TIMES.iter().flat_map(|(n, _)| STATISTICS.iter().map(move |s| format!("{n}.{s}")));
    let all = times.chain(SINGLE.iter().map(|(n, ..)| (*n).to_owned()));
    all.map(|n| (strsim::damerau_levenshtein(&n, name), n)).min().filter(|(d, _)| *d <= 3).map(|(_, n)| n)
}

impl Threshold {
    /// Reads `NAME<VALUE`, with `<`, `<=`, `>` or `>=`. Clap's value parser.
    ///
    /// # Errors
    /// What is wrong and what would be right.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let Some(at) = text.find(['<', '>']) else {
            return Err(format!("{text:?} has no '<' or '>'; write it like 'outage.p99<2s' or 'lost<=0'"));
        };
        let (name, rest) = text.split_at_checked(at).unwrap_or((text, ""));
        let name = name.trim();
        let (relation, value) = if let Some(value) = rest.strip_prefix("<=") {
            (Relation::AtMost, value)
        } else if let Some(value) = rest.strip_prefix(">=") {
            (Relation::AtLeast, value)
        } else if let Some(value) = rest.strip_prefix('<') {
            (Relation::Less, value)
        } else {
            (Relation::More, rest.strip_prefix('>').unwrap_or(rest))
        };
        let Some(unit) = unit_of(name) else {
            let like = nearest(name).map(|n| format!("; did you mean {n}?")).unwrap_or_default();
            return Err(format!("there is no figure {name:?}{like}\nFigures:\n{}", names()));
        };
        let bound = bound(value.trim(), unit).map_err(|what| format!("{text:?}: {what}"))?;
        Ok(Self { text: text.trim().to_owned(), name: name.to_owned(), relation, bound, unit })
    }

    /// Whether a run of a preset that kills nobody could ever measure it.
    pub(super) fn needs_failover(&self) -> bool {
        let which = self.name.split('.').next().unwrap_or_default();
        ["outage", "gap", "last", "survivors", "reregistrations"].contains(&which)
    }

    /// Held against what was measured.
    pub(super) fn judge(&self, summary: &Summary, served: &Distribution) -> Judged {
        let value = self.value(summary, served).filter(|v| v.is_finite());
        let ok = value.is_some_and(|v| match self.relation {
            Relation::Less => v < self.bound,
            Relation::AtMost => v <= self.bound,
            Relation::More => v > self.bound,
            Relation::AtLeast => v >= self.bound,
        });
        let unit = match self.unit {
            Unit::Time => "ms",
            Unit::Count => "",
            Unit::Rate => "1/s",
            Unit::Percent => "%",
        };
        Judged { text: self.text.clone(), value, unit: unit.to_owned(), ok }
    }

    /// Whether a demand that does not hold might, had the generator been on time: then it says nothing about the server. `late` is how late
    /// the generator itself sent. Gives the reason.
    pub(super) fn spoiled(&self, judged: &Judged, late: &Distribution) -> Option<String> {
        let at_most = matches!(self.relation, Relation::Less | Relation::AtMost);
        // These count from a moment that was planned; the others do not contain the generator's lateness.
        let (which, statistic) = self.name.rsplit_once('.')?;
        let planned = ["register", "refresh", "served", "survivors"].contains(&which);
        if judged.ok || !at_most || !planned || late.is_empty() {
            return None;
        }
        let late = self::statistic(late, statistic)?;
        let value = judged.value?;
        (value - late <= self.bound).then(|| {
            format!(
                "{} does not hold with {value:.3} ms, and the generator itself was late by {late:.3} ms ({statistic}): without that it might",
                self.text
            )
        })
    }

    fn value(&self, summary: &Summary, served: &Distribution) -> Option<f64> {
        let worst = |figures: Vec<f64>| figures.into_iter().reduce(f64::max);
        let of_kind = |kind| summary.failovers.iter().filter(move |f| f.kind == kind);
        match self.name.as_str() {
            "last" => worst(of_kind(FailoverKind::Failover).filter_map(|f| f.last_ms).collect()),
            "survivors.p99" => worst(summary.failovers.iter().filter_map(|f| f.survivors_refresh_p99_ms).collect()),
            "late.p99" => summary.generator.late_p99_ms,
            "reregistrations" => {
                of_kind(FailoverKind::Failover).filter_map(|f| f.reregistrations_per_s).reduce(f64::min)
            }
            "lost" => Some(summary.devices.lost as f64),
            "duplicate" => Some(summary.devices.duplicate as f64),
            "registered" => Some(summary.devices.registered as f64),
            "failed" => Some(summary.failures.iter().map(|f| f.count).sum::<u64>() as f64),
            "refused" => Some(summary.failovers.iter().map(|f| f.refusals).sum::<u64>() as f64),
            "ira" => summary.registrations.ira_percent,
            "reconciliation" => {
                worst(summary.reconciliation.iter().filter_map(|r| r.difference_percent.map(f64::abs)).collect())
            }
            "generator.cpu" => summary.generator.cpu_percent,
            "generator.memory" => summary.generator.peak_memory_bytes.map(|b| b as f64),
            name => {
                let (which, statistic) = name.rsplit_once('.')?;
                let of = |d: &Distribution| (!d.is_empty()).then(|| self::statistic(d, statistic)).flatten();
                match which {
                    "outage" => worst(of_kind(FailoverKind::Failover).filter_map(|f| of(&f.outage_ms)).collect()),
                    "gap" => worst(of_kind(FailoverKind::Failback).filter_map(|f| of(&f.outage_ms)).collect()),
                    "served" => of(served),
                    _ => of(&summary.latency.iter().find(|l| l.operation == which)?.ms),
                }
            }
        }
    }
}

fn statistic(of: &Distribution, name: &str) -> Option<f64> {
    Some(match name {
        "min" => of.min,
        "mean" => of.mean,
        "p50" => of.p50,
        "p90" => of.p90,
        "p99" => of.p99,
        "p999" => of.p999,
        "max" => of.max,
        _ => return None,
    })
}

/// A bound with its unit: times in milliseconds, shares in percent.
fn bound(text: &str, unit: Unit) -> Result<f64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(digits).unwrap_or((text, ""));
    let number: f64 = number.parse().map_err(|_| format!("{text:?} does not begin with a number"))?;
    let factor = match (unit, suffix.trim()) {
        (Unit::Time, "us") => 1e-3,
        (Unit::Time, "ms") => 1.0,
        (Unit::Time, "s") => 1e3,
        (Unit::Time, "m" | "min") => 60e3,
        (Unit::Time, _) => return Err(format!("{text:?} is no time; use us, ms, s or m, such as 250ms")),
        (Unit::Count, "") | (Unit::Rate, "" | "/s") | (Unit::Percent, "" | "%") => 1.0,
        (Unit::Count, _) => return Err(format!("{text:?} is no count; use a number without a unit")),
        (Unit::Rate, _) => return Err(format!("{text:?} is no rate; use a number per second, such as 30000/s")),
        (Unit::Percent, _) => return Err(format!("{text:?} is no share; use percent, such as 1%")),
    };
    Ok(number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Failover, Latency};

    fn judged(text: &str, summary: &Summary) -> Judged {
        Threshold::read(text).unwrap().judge(summary, &Distribution::default())
    }

    #[test]
    fn a_demand_is_held_against_the_worst_failover() {
        let failover = |outage: f64| Failover { outage_ms: Distribution::from_values([outage]), ..Failover::default() };
        let summary = Summary { failovers: vec![failover(900.0), failover(2_500.0)], ..Summary::default() };
        assert!(judged("outage.p99 < 3s", &summary).ok);
        let broken = judged("outage.p99<2s", &summary);
        assert_eq!((broken.ok, broken.value, broken.unit.as_str()), (false, Some(2_500.0), "ms"));
        assert!(judged("outage.max>=2500ms", &summary).ok && !judged("outage.max>2500ms", &summary).ok);
    }

    #[test]
    fn a_demand_that_the_generator_s_own_lateness_broke_says_nothing_about_the_server() {
        let of = |ms: f64| Latency {
            operation: "refresh".into(),
            ms: Distribution::from_values([ms]),
            ..Latency::default()
        };
        let spoiled = |text: &str, ms: f64, late: &[f64]| {
            let (threshold, summary) =
                (Threshold::read(text).unwrap(), Summary { latency: vec![of(ms)], ..Summary::default() });
            let judged = threshold.judge(&summary, &Distribution::default());
            threshold.spoiled(&judged, &Distribution::from_values(late.iter().copied()))
        };
        let reason = spoiled("refresh.p99<5ms", 9.0, &[7.0]).unwrap();
        assert!(reason.contains("9.000 ms") && reason.contains("late by 7.000 ms (p99)"), "{reason}");
        assert_eq!(spoiled("refresh.p99<5ms", 100.0, &[7.0]), None, "slow without it, too");
        assert_eq!(spoiled("refresh.p99<5ms", 4.0, &[7.0]), None, "it holds");
        assert_eq!(spoiled("refresh.p99>50ms", 9.0, &[7.0]), None, "lateness only adds");
        assert_eq!(spoiled("refresh.p99<5ms", 9.0, &[]), None, "nothing is known");
        assert_eq!(spoiled("lost<=0", 9.0, &[7.0]), None);
    }

    #[test]
    fn what_was_not_measured_does_not_hold() {
        let none = judged("register.p99<1h".replace("1h", "60m").as_str(), &Summary::default());
        assert_eq!((none.ok, none.value), (false, None));
        let latency =
            Latency { operation: "register".into(), ms: Distribution::from_values([4.0]), ..Latency::default() };
        let summary = Summary { latency: vec![latency], ..Summary::default() };
        assert!(judged("register.p99<=4ms", &summary).ok && judged("lost<=0", &summary).ok);
        assert!(!judged("lost>0", &summary).ok);
    }

    #[test]
    fn every_name_can_be_read_and_evaluated() {
        for line in names().lines().filter(|l| !l.contains("one of")) {
            let name = line.split_whitespace().next().unwrap().replace("STAT", "p99");
            let unit = unit_of(&name).unwrap_or_else(|| panic!("{name}"));
            let value = if unit == Unit::Time { "1ms" } else { "1" };
            let threshold = Threshold::read(&format!("{name}<{value}")).unwrap();
            threshold.judge(&Summary::default(), &Distribution::default());
        }
    }

    #[test]
    fn mistakes_are_told_with_what_would_be_right() {
        let error = |text: &str| Threshold::read(text).unwrap_err();
        assert!(error("outage.p99").contains("'<'"));
        assert!(error("outage.p98<2s").contains("did you mean outage.p9"), "{}", error("outage.p98<2s"));
        assert!(error("nonsense<2s").contains("Figures:") && error("nonsense<2s").contains("outage.STAT"));
        assert!(error("outage.p99<2").contains("is no time"));
        assert!(error("lost<2s").contains("is no count"));
        assert!(error("ira<2s").contains("percent") && error("reregistrations>3ms").contains("per second"));
        assert!(error("lost<").contains("number"));
    }
}
