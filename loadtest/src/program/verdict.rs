//! The verdict: what a run was worth, and why, in sentences.
//!
//! The generator's own limit comes first: figures of a run that it limited say nothing. It only reads the summary.

use crate::report::{Summary, Verdict};

/// Sets verdict, reasons and whether the summary is partial. `complaints`: waits that were given up and the like; `stopped`: why the
/// run ended before its time.
pub(super) fn judge(summary: &mut Summary, complaints: &[String], stopped: Option<String>) {
    let mut why: Vec<(Verdict, String)> = summary
        .generator
        .reasons
        .iter()
        .map(|r| (Verdict::Invalid, format!("the generator was the limit: {r}")))
        .collect();
    for threshold in summary.thresholds.iter().filter(|t| !t.ok) {
        let found =
            threshold.value.map_or_else(|| "nothing was measured".to_owned(), |v| format!("{v:.3} {}", threshold.unit));
        why.push((Verdict::Threshold, format!("{} does not hold: {}", threshold.text, found.trim())));
    }
    why.extend(failed(summary).into_iter().chain(complaints.iter().cloned()).map(|r| (Verdict::Failed, r)));
    summary.partial = stopped.is_some();
    if let Some(stopped) = stopped {
        why.push((Verdict::Failed, stopped));
    }
    summary.verdict = why.iter().map(|(verdict, _)| *verdict).max().unwrap_or(Verdict::Pass);
    why.sort_by_key(|(verdict, _)| std::cmp::Reverse(*verdict));
    summary.why = why.into_iter().map(|(_, reason)| reason).collect();
}

/// What went wrong at the server.
fn failed(summary: &Summary) -> Vec<String> {
    let mut why = Vec::new();
    let devices = &summary.devices;
    if devices.lost > 0 {
        why.push(format!("{} of {} devices are lost", devices.lost, devices.total));
    }
    if devices.duplicate > 0 {
        why.push(format!("{} devices are registered twice", devices.duplicate));
    }
    for failover in summary.failovers.iter().filter(|f| f.duplicate > 0) {
        why.push(format!(
            "{} devices were registered twice after {} {}",
            failover.duplicate, failover.node, "died or returned"
        ));
    }
    for row in summary.reconciliation.iter().filter(|r| !r.ok) {
        let by = row.difference_percent.map(|d| format!(" ({d:+.2} %)")).unwrap_or_default();
        let theirs = row.theirs.map_or_else(|| "nothing".to_owned(), |t| t.to_string());
        let note = row.note.as_deref().map(|n| format!(": {n}")).unwrap_or_default();
        why.push(format!("counts do not agree: {}: here {}, there {theirs}{by}{note}", row.what, row.ours));
    }
    for failure in &summary.failures {
        why.push(format!("{} x {}", failure.count, failure.what));
    }
    why
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Devices, Failure, Generator, Reconciled, Threshold};

    fn judged(mut summary: Summary, stopped: Option<&str>) -> Summary {
        judge(&mut summary, &[], stopped.map(str::to_owned));
        summary
    }

    #[test]
    fn nothing_wrong_is_a_pass() {
        let summary = judged(Summary::default(), None);
        assert_eq!((summary.verdict, summary.why.len(), summary.partial), (Verdict::Pass, 0, false));
    }

    #[test]
    fn the_generator_s_limit_outweighs_all_else_and_all_is_told() {
        let summary = Summary {
            generator: Generator { limited: true, reasons: vec!["late".into()], ..Generator::default() },
            devices: Devices { total: 10, lost: 1, ..Devices::default() },
            thresholds: vec![Threshold { text: "lost<=0".into(), value: Some(1.0), ok: false, ..Threshold::default() }],
            ..Summary::default()
        };
        let summary = judged(summary, None);
        assert_eq!((summary.verdict, summary.verdict.exit_status()), (Verdict::Invalid, 3));
        assert_eq!(summary.why.len(), 3);
        assert!(
            summary.why[0].contains("late") && summary.why[1].contains("lost<=0") && summary.why[2].contains("1 of 10")
        );
    }

    #[test]
    fn a_broken_threshold_is_99_and_a_failure_1() {
        let threshold = Threshold { text: "x<1".into(), ok: false, ..Threshold::default() };
        let summary = judged(Summary { thresholds: vec![threshold], ..Summary::default() }, None);
        assert_eq!(summary.verdict.exit_status(), 99);
        assert!(summary.why[0].contains("nothing was measured"));
        for summary in [
            Summary { devices: Devices { duplicate: 1, ..Devices::default() }, ..Summary::default() },
            Summary {
                failures: vec![Failure { what: "500".into(), count: 2, ..Failure::default() }],
                ..Summary::default()
            },
            Summary {
                reconciliation: vec![Reconciled { what: "x".into(), ..Reconciled::default() }],
                ..Summary::default()
            },
        ] {
            let summary = judged(summary, None);
            assert_eq!((summary.verdict.exit_status(), summary.why.len()), (1, 1), "{:?}", summary.why);
        }
    }

    #[test]
    fn a_run_that_was_stopped_says_so() {
        let summary = judged(Summary::default(), Some("interrupted"));
        assert_eq!((summary.verdict, summary.partial, summary.why[0].as_str()), (Verdict::Failed, true, "interrupted"));
    }
}
