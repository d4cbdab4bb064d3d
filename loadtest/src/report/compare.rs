//! Two runs beside each other: each figure of both, and the ratio. `tandem-loadtest compare OLD.json NEW.json` prints it.
//!
//! Runs that differ in what they did are still compared, with a remark for each difference. It must never call a difference real that two
//! single runs can have by chance: below [`CHANCE`] it says "about the same".

use super::terminal::{Grid, TextStyle, tame};
use super::{Distribution, Failover, Latency, Summary, Verdict, chart, figures, page};
use serde::Serialize;
use std::cmp::Ordering::{Equal, Greater, Less};
use std::fmt::Write as _;

/// Two single runs of the same program differ by as much as this.
pub const CHANCE: f64 = 0.10;

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Better {
    Lower,
    Higher,
    /// Neither: it is told, not judged.
    Neither,
}

/// Reads one figure.
type Figure = fn(&Distribution) -> f64;

/// One figure of both runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// What it is.
    pub what: String,
    /// Of the first run; `None` if it was not measured there.
    pub a: Option<f64>,
    /// Of the second run.
    pub b: Option<f64>,
    /// Unit of both: `ms`, `1/s`, `%`, or nothing for a count.
    pub unit: &'static str,
    /// The second by the first; `None` if one is missing or the first is 0.
    pub ratio: Option<f64>,
    /// `better`, `worse`, `about the same`, or nothing where there is nothing to judge.
    pub judgement: &'static str,
}

/// Two runs beside each other.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Comparison {
    /// Why the ratios may not mean what they seem to, a sentence each.
    pub remarks: Vec<String>,
    /// In the order of the summary.
    pub rows: Vec<Compared>,
}

/// Compares two runs, the first being the one to compare with.
pub fn compare(a: &Summary, b: &Summary) -> Comparison {
    let mut comparison = Comparison { remarks: remarks(a, b), rows: Vec::new() };
    comparison.add("devices lost", Some(a.devices.lost as f64), Some(b.devices.lost as f64), "", Better::Lower);
    let twice = [a, b].map(|s| Some(s.devices.duplicate as f64));
    comparison.add("devices registered twice", twice[0], twice[1], "", Better::Lower);
    comparison.add("IRA", a.registrations.ira_percent, b.registrations.ira_percent, "%", Better::Lower);
    comparison.failovers(&a.failovers, &b.failovers);
    comparison.latency(&a.latency, &b.latency);
    let (ours, theirs) = (&a.generator, &b.generator);
    comparison.add("generator CPU, of one core", ours.cpu_percent, theirs.cpu_percent, "%", Better::Neither);
    comparison.add("generator late p99", ours.late_p99_ms, theirs.late_p99_ms, "ms", Better::Neither);
    comparison
}

fn remarks(a: &Summary, b: &Summary) -> Vec<String> {
    let mut remarks = Vec::new();
    for (name, of) in [("A", a), ("B", b)] {
        if of.verdict == Verdict::Invalid {
            remarks.push(format!(
                "{name} is invalid: its generator was the limit, its figures say nothing about the server."
            ));
        }
        if of.partial {
            remarks.push(format!("{name} is partial: it was ended before its time."));
        }
    }
    let mut differ = |what: &str, a: String, b: String| {
        if a != b {
            remarks.push(format!("{what} differ: A has {a}, B has {b}."));
        }
    };
    differ("Presets", a.preset.clone(), b.preset.clone());
    differ("Seeds", a.seed.to_string(), b.seed.to_string());
    differ("Numbers of devices", a.devices.total.to_string(), b.devices.total.to_string());
    differ("Transports", a.target.transports.join(" and "), b.target.transports.join(" and "));
    let names: std::collections::BTreeSet<&String> = a.settings.keys().chain(b.settings.keys()).collect();
    for name in names {
        let of = |s: &Summary| s.settings.get(name).map_or_else(|| "nothing".to_owned(), |v| format!("{v:?}"));
        differ(&format!("Settings of {name:?}"), of(a), of(b));
    }
    remarks
}

impl Comparison {
    fn add(&mut self, what: &str, a: Option<f64>, b: Option<f64>, unit: &'static str, better: Better) {
        let ratio = a.zip(b).filter(|(a, _)| *a != 0.0).map(|(a, b)| b / a).filter(|r| r.is_finite());
        let grown = match (ratio, a.zip(b)) {
            (Some(ratio), _) if (ratio - 1.0).abs() < CHANCE => Some(Equal),
            (_, Some((a, b))) => b.partial_cmp(&a),
            _ => None,
        };
        let judgement = match (better, grown) {
            (Better::Neither, _) | (_, None) => "",
            (_, Some(Equal)) => "about the same",
            (Better::Lower, Some(Less)) | (Better::Higher, Some(Greater)) => "better",
            (Better::Lower, Some(Greater)) | (Better::Higher, Some(Less)) => "worse",
        };
        self.rows.push(Compared { what: what.to_owned(), a, b, unit, ratio, judgement });
    }

    fn distribution(&mut self, of: &str, a: Option<&Distribution>, b: Option<&Distribution>) {
        const FIGURES: [(&str, Figure); 4] =
            [("p50", |d| d.p50), ("p90", |d| d.p90), ("p99", |d| d.p99), ("max", |d| d.max)];
        let (a, b) = (a.filter(|d| !d.is_empty()), b.filter(|d| !d.is_empty()));
        for (name, figure) in FIGURES {
            self.add(&format!("{of} {name}"), a.map(figure), b.map(figure), "ms", Better::Lower);
        }
    }

    /// The n-th movement of a kind at a node is compared with the n-th of the other run.
    fn failovers(&mut self, a: &[Failover], b: &[Failover]) {
        let key = |all: &[Failover], n: usize| {
            let f = all.get(n)?;
            let before = all.iter().take(n).filter(|o| (o.kind, &o.node) == (f.kind, &f.node)).count();
            Some((chart::failover_words(f), before + 1))
        };
        let keys = |all: &[Failover]| (0..all.len()).filter_map(|n| key(all, n)).collect::<Vec<_>>();
        let (of_a, of_b) = (keys(a), keys(b));
        let mut all = of_a.clone();
        all.extend(of_b.iter().filter(|k| !of_a.contains(k)).cloned());
        for wanted in all {
            let find = |keys: &[(String, usize)]| keys.iter().position(|k| *k == wanted);
            let a = find(&of_a).and_then(|n| a.get(n));
            let b = find(&of_b).and_then(|n| b.get(n));
            let name = if wanted.1 == 1 { wanted.0.clone() } else { format!("{} ({})", wanted.0, wanted.1) };
            let lost = |f: Option<&Failover>| f.map(|f| f.lost as f64);
            self.add(&format!("{name}: lost"), lost(a), lost(b), "", Better::Lower);
            self.distribution(&format!("{name}: outage"), a.map(|f| &f.outage_ms), b.map(|f| &f.outage_ms));
            let last = |f: Option<&Failover>| f.and_then(|f| f.last_ms);
            self.add(&format!("{name}: last one after"), last(a), last(b), "ms", Better::Lower);
            let rate = |f: Option<&Failover>| f.and_then(|f| f.reregistrations_per_s);
            self.add(&format!("{name}: re-registrations"), rate(a), rate(b), "1/s", Better::Higher);
        }
    }

    fn latency(&mut self, a: &[Latency], b: &[Latency]) {
        let mut names: Vec<&String> = a.iter().map(|l| &l.operation).collect();
        b.iter().for_each(|l| {
            if !names.contains(&&l.operation) {
                names.push(&l.operation)
            }
        });
        for name in names {
            let find = |all: &'_ [Latency]| all.iter().position(|l| l.operation == *name);
            let (a, b) = (find(a).and_then(|n| a.get(n)), find(b).and_then(|n| b.get(n)));
            let failed = |l: Option<&Latency>| l.map(|l| l.failed as f64);
            self.add(&format!("{name}: failed"), failed(a), failed(b), "", Better::Lower);
            self.distribution(&format!("{name}:"), a.map(|l| &l.ms), b.map(|l| &l.ms));
        }
    }

    /// As a table for a terminal; `a` and `b` are the names of the two files.
    pub fn text(&self, a: &str, b: &str, style: TextStyle) -> String {
        let mut grid = Grid::new(&["", "A", "B", "B / A", "B is"], 1);
        for row in &self.rows {
            let shown = |value: Option<f64>| {
                value.map_or_else(|| figures::NONE.to_owned(), |v| page::measured(Some(v), row.unit))
            };
            let ratio = row.ratio.map_or_else(|| figures::NONE.to_owned(), |r| format!("{r:.2}"));
            grid.row(&[row.what.clone(), shown(row.a), shown(row.b), ratio, row.judgement.to_owned()]);
        }
        let mut out = format!("A  {}\nB  {}\n", tame(a), tame(b));
        for remark in &self.remarks {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "!  {}", tame(remark));
        }
        let percent = CHANCE * 100.0;
        let _ = writeln!(
            out,
            "\n{}\n\nOne run each: differences below {percent} % may be chance, larger ones, too; repeat before you believe.",
            grid.fitted(style.width)
        );
        out.replace('\u{a0}', " ")
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::fixture;
    use super::*;

    fn row<'a>(comparison: &'a Comparison, what: &str) -> &'a Compared {
        comparison.rows.iter().find(|r| r.what == what).unwrap_or_else(|| panic!("{what}: {:?}", comparison.rows))
    }

    #[test]
    fn a_run_is_like_itself() {
        let run = fixture::three_failovers();
        let same = compare(&run, &run);
        assert_eq!(same.remarks, Vec::<String>::new());
        assert!(same.rows.len() > 30, "{}", same.rows.len());
        assert!(same.rows.iter().all(|r| r.a == r.b && ["", "about the same"].contains(&r.judgement)));
        assert!(same.rows.iter().any(|r| r.ratio == Some(1.0)));
    }

    #[test]
    fn worse_and_better_are_named_and_chance_is_not() {
        let a = fixture::three_failovers();
        let mut b = a.clone();
        b.devices.lost = 0;
        b.failovers[0].outage_ms.p99 *= 2.0;
        b.failovers[0].reregistrations_per_s = b.failovers[0].reregistrations_per_s.map(|r| r * 2.0);
        b.failovers[2].lost = 9;
        b.latency[0].ms.p50 *= 1.05;
        b.generator.cpu_percent = Some(90.0);
        let both = compare(&a, &b);
        let judged = |what| (row(&both, what).ratio, row(&both, what).judgement);
        assert_eq!(judged("devices lost"), (Some(0.0), "better"));
        assert_eq!(judged("failover of CCM1: outage p99"), (Some(2.0), "worse"));
        assert_eq!(judged("failover of CCM1: re-registrations"), (Some(2.0), "better"));
        assert_eq!(judged("failover of CCM2: lost"), (Some(3.0), "worse"));
        assert_eq!(judged("register: p50").1, "about the same");
        assert_eq!(judged("generator CPU, of one core").1, "");
        let back = compare(&b, &a);
        assert_eq!(
            (row(&back, "devices lost").ratio, row(&back, "devices lost").judgement),
            (None, "worse"),
            "from none to some"
        );
    }

    #[test]
    fn what_only_one_run_has_is_there_and_differences_are_remarked() {
        let (a, mut b) = (fixture::one_second(), fixture::three_failovers());
        b.partial = true;
        b.verdict = Verdict::Invalid;
        let second = b.failovers[0].clone();
        b.failovers.push(second);
        let both = compare(&a, &b);
        assert_eq!((row(&both, "failover of CCM1: outage p50").a, row(&both, "refresh: p50").ratio), (None, None));
        assert!(row(&both, "failover of CCM1 (2): outage p50").b.is_some(), "the second of its kind");
        let text = both.text("old\u{1b}.json", "new.json", TextStyle::default());
        for part in [
            "A  old\u{fffd}.json",
            "B is invalid",
            "B is partial",
            "Presets differ",
            "Numbers of devices differ",
            "\"expires\"",
            "B / A",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
