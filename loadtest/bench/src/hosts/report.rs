//! Outcomes for people, for documents, or for scripts.
//!
//! Every figure stands beside its limit; what failed is never left out.

use super::outcome::{Counts, Outcome};
use crate::args::Form;
use crate::kernel;
use crate::table::{styled, table};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Version of the JSON form.
const SCHEMA: u32 = 1;
/// From here on it is said that the machine had no core to spare.
const WAITING_WORTH_A_WORD_MS: u64 = 200;

/// All of them.
pub(super) fn render(form: Form, devices: u32, outcomes: &[Outcome]) -> String {
    if form == Form::Json {
        let passed = outcomes.iter().filter(|o| o.pass()).count();
        let of = |o: &Outcome| serde_json::json!({"pass": o.pass(), "outcome": o});
        let all = serde_json::json!({
            "schema": SCHEMA,
            "machine": kernel::description(),
            "devices": devices,
            "passed": passed,
            "scenarios": outcomes.iter().map(of).collect::<Vec<_>>(),
        });
        return format!("{all:#}\n");
    }
    let mut text = format!("{}. Three hosts as network namespaces, {devices} phones.\n", kernel::description());
    for outcome in outcomes {
        one(&mut text, form, outcome);
    }
    let passed = outcomes.iter().filter(|o| o.pass()).count();
    let _ = write!(text, "\n{}\n", styled(summary(outcomes), form));
    let _ = writeln!(text, "\nhosts: {} ({passed} of {})", word(passed == outcomes.len()), outcomes.len());
    text
}

const fn word(pass: bool) -> &'static str {
    if pass { "PASS" } else { "FAIL" }
}

fn one(text: &mut String, form: Form, o: &Outcome) {
    let mark = if form == Form::Markdown { "### " } else { "=== " };
    // Writing to a string does not fail.
    let _ = writeln!(text, "\n{mark}{}: {} ({:.0} s): {}\n", o.scenario, word(o.pass()), o.seconds, o.about);
    let ms = |figure: Option<u64>| figure.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
    let mut sights = table(&["node", "sees", "suspect", "dead", "up again", "times dead"]);
    for s in o.sights.iter().filter(|s| s.deaths > 0 || s.suspect_ms.is_some()) {
        sights.add_row([
            s.by.clone(),
            s.whom.clone(),
            ms(s.suspect_ms),
            ms(s.dead_ms),
            ms(s.up_ms),
            s.deaths.to_string(),
        ]);
    }
    if sights.row_count() > 0 {
        let _ = writeln!(text, "{}\n", styled(sights, form));
    }
    let mut counts = table(&["devices by", "before", "at the end of it", "afterwards"]);
    let all: BTreeMap<&String, ()> = o.before.status.keys().map(|by| (by, ())).collect();
    for by in all.into_keys() {
        let said = |look: &super::outcome::Look| look.status.get(by).map_or_else(|| "no answer".to_owned(), counted);
        counts.add_row([format!("status at {by}"), said(&o.before), said(&o.during), said(&o.after)]);
    }
    counts.add_row([
        "the phones".to_owned(),
        counted(&o.before.phones),
        counted(&o.during.phones),
        counted(&o.after.phones),
    ]);
    let _ = writeln!(text, "{}\n", styled(counts, form));
    let _ = writeln!(
        text,
        "phones by moves: {} meanwhile, {} in all; {} registrations that were no refreshes; equal after {}, at home after {}",
        moves(&o.moves_during),
        moves(&o.moves_in_all),
        o.registrations,
        ms(o.equal_ms),
        ms(o.home_ms)
    );
    if o.kept_waiting_ms >= WAITING_WORTH_A_WORD_MS {
        let _ = writeln!(
            text,
            "note: the machine kept this very program waiting for up to {} ms: other work is in these figures",
            o.kept_waiting_ms
        );
    }
    if o.false_suspicions > 0 {
        let _ = writeln!(text, "suspicions without need: {}", o.false_suspicions);
    }
    for line in o.false_alarms.iter().chain(&o.restless).chain(&o.link_notes).take(20) {
        let _ = writeln!(text, "note: {line}");
    }
    let mut checks = table(&["", "what", "limit", "figure"]);
    for c in &o.checks {
        checks.add_row([word(c.pass), &c.what, &c.limit, &c.figure]);
    }
    let _ = writeln!(text, "\n{}", styled(checks, form));
}

fn counted(counts: &Counts) -> String {
    counts.values().map(u64::to_string).collect::<Vec<_>>().join(" / ")
}

fn moves(moves: &BTreeMap<u32, u32>) -> String {
    moves.iter().map(|(times, phones)| format!("{phones} x {times}")).collect::<Vec<_>>().join(", ")
}

fn summary(outcomes: &[Outcome]) -> comfy_table::Table {
    let mut table = table(&[
        "scenario",
        "",
        "dead after",
        "up again after",
        "equal after",
        "at home after",
        "moved meanwhile",
        "most moves",
    ]);
    for o in outcomes {
        let range = |of: fn(&super::outcome::Sight) -> Option<u64>| {
            // Of a node that stood still itself it says nothing when it finds others dead.
            let any = o.sights.iter().any(|s| s.expected);
            let all = || o.sights.iter().filter(|s| s.deaths > 0 && (s.expected || !any)).filter_map(of);
            match (all().min(), all().max()) {
                (Some(least), Some(most)) => format!("{:.2} to {:.2} s", least as f64 / 1e3, most as f64 / 1e3),
                _ => "-".to_owned(),
            }
        };
        let seconds = |ms: Option<u64>| ms.map_or_else(|| "never".to_owned(), |ms| format!("{:.1} s", ms as f64 / 1e3));
        let moved = super::outcome::beyond(&o.moves_during, 0);
        let most = o.moves_in_all.keys().max().copied().unwrap_or_default();
        table.add_row([
            o.scenario.clone(),
            word(o.pass()).to_owned(),
            range(|s| s.dead_ms),
            range(|s| s.up_ms),
            seconds(o.equal_ms),
            seconds(o.home_ms),
            moved.to_string(),
            most.to_string(),
        ]);
    }
    table
}
