//! The terminal: the same figures in plain text, with and without colour, within a width, and harmless.

use super::super::{Summary, TextStyle, Verdict, essentials, text};
use super::fixture;

fn plain(summary: &Summary) -> String {
    text(summary, TextStyle::default())
}

#[test]
fn the_text_has_verdict_reasons_and_every_failover() {
    let shown = plain(&fixture::three_failovers());
    for part in [
        "FAILED",
        "3 of 20,000 devices were lost",
        "19 997 registered of 20 050, 3 lost, 0 registered twice, 50 meant to stay away",
        "10 000/10 000",
        "7 497/7 500",
        "failback",
        "RRD",
        "outage.p99<10s",
        "503 Service Unavailable",
        "REGISTER requests, CCM2",
        "Seed        7",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    assert!(!shown.contains('\u{1b}'), "no colour unless asked for");
    assert!(shown.lines().all(|l| l == l.trim_end()) && shown.ends_with('\n'));
}

#[test]
fn colour_repeats_what_words_say() {
    for verdict in [Verdict::Pass, Verdict::Failed, Verdict::Threshold, Verdict::Invalid] {
        let summary = Summary { verdict, ..Summary::default() };
        let coloured = text(&summary, TextStyle { colour: true, width: None });
        assert!(coloured.contains("\u{1b}[1;"));
        let mut bare = String::new();
        let mut inside = false;
        for c in coloured.chars() {
            match c {
                '\u{1b}' => inside = true,
                'm' if inside => inside = false,
                _ if inside => {}
                _ => bare.push(c),
            }
        }
        assert_eq!(bare, text(&summary, TextStyle::default()));
    }
}

#[test]
fn a_narrow_terminal_breaks_cells_and_not_lines() {
    let shown = text(&fixture::three_failovers(), TextStyle { colour: false, width: Some(100) });
    let tables = shown.split("Failovers").nth(1).unwrap().split("Repeat").next().unwrap();
    assert!(tables.lines().all(|l| l.chars().count() <= 100), "{shown}");
}

#[test]
fn nothing_measured_is_no_table_and_no_zero() {
    let shown = plain(&Summary::default());
    assert!(shown.contains("PASS") && shown.contains("- % of one core"), "{shown}");
    assert!(!shown.contains("Failovers") && !shown.contains("Thresholds"));
}

#[test]
fn a_name_cannot_command_the_terminal() {
    let mut summary = fixture::three_failovers();
    let hostile = "CCM1\u{1b}]0;owned\u{7}\r\nPASS";
    summary.failovers.iter_mut().for_each(|f| f.node = hostile.to_owned());
    summary.why = vec![hostile.to_owned()];
    summary.command = hostile.to_owned();
    summary.failures.iter_mut().for_each(|f| f.what = hostile.to_owned());
    for shown in [plain(&summary), essentials(&summary)] {
        assert!(!shown.contains(['\u{1b}', '\u{7}', '\r']), "{shown:?}");
        assert!(!shown.lines().any(|l| l.starts_with("PASS")), "{shown}");
    }
    assert!(!essentials(&summary).contains('\n'));
}
