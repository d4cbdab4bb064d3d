//! The database's figures as a table, and their aims.

use super::{Boot, Changes, Held, Import};
use crate::aims::Aim;
use crate::bench::Results;
use crate::cluster::nodes::NAMES;
use comfy_table::Table;

/// The file that the aims of an import are about, and the number of devices that a node has to start with within [`BOOT_MAX`].
const DEVICES: u32 = 100_000;
/// Until the publisher's answer, and from then until all copies are equal, in ms.
const IMPORT_MAX: f64 = 10_000.0;
const EQUAL_MAX: f64 = 10_000.0;
/// A single change is in every copy: p99 in us, at [`RATE`] per second.
const VISIBLE_MAX: f64 = 50_000.0;
const RATE: u32 = 200;
/// In service, in ms.
const BOOT_MAX: f64 = 3_000.0;
/// Memory of a node with a million devices, in MiB.
const MANY: u32 = 1_000_000;
const MEMORY_MAX: f64 = 1_430.0;
/// A registration, of what it cost before.
const SPEED_MAX: f64 = 1.03;

fn list<T: std::fmt::Display>(figures: &[T]) -> String {
    figures.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
fn short(figures: &[f64]) -> String {
    figures.iter().map(|f| format!("{f:.1}")).collect::<Vec<_>>().join(", ")
}

/// Adds what was measured to a table of two columns.
pub(crate) fn rows(results: &Results, table: &mut Table) {
    let database = &results.database;
    for import in &database.imports {
        let Import { form, devices, bytes, answered_ms, equal_ms, known_ms, cpu_s, peak_mib, .. } = import;
        let name =
            format!("Tandem, three nodes: import of {devices} devices, {} of {} MB", form.name(), bytes / 1_000_000);
        let figure = format!(
            "answered after {answered_ms} ms; copies equal after {} ms, devices known after {} ms ({}); CPU {} s, at most {} MiB",
            list(equal_ms),
            list(known_ms),
            NAMES.join(", "),
            short(cpu_s),
            list(peak_mib)
        );
        table.add_row([name, figure]);
        let Import {
            before_p99_us, load_p50_us, load_p99_us, load_max_us, load_count, load_failed, load_again, ..
        } = import;
        table.add_row([
            format!("registrations at the publisher during the {} import, 500/s", form.name()),
            format!(
                "p50 {load_p50_us} p99 {load_p99_us} max {load_max_us} us of {load_count} (alone p99 {before_p99_us} us), {load_failed} failed, {load_again} sent again"
            ),
        ]);
    }
    if let Some(changes) = &database.changes {
        changed(changes, table);
    }
    for Boot { node, devices, ready_ms, cpu_s, peak_mib } in &database.boots {
        table.add_row([
            format!("Tandem: {node} starts with {devices} devices in its database"),
            format!("in service after {ready_ms} ms, {cpu_s:.2} s of CPU, at most {peak_mib} MiB"),
        ]);
    }
    for Held { devices, registered, loaded_mib, registered_mib } in &database.held {
        table.add_row([
            format!("Tandem: memory of each node, {devices} devices"),
            format!("{} MiB; with {registered} registered {} MiB", list(loaded_mib), list(registered_mib)),
        ]);
    }
    if let Some(speed) = &database.speed {
        for (name, of) in PARTS {
            let Some(([(least, middle), (least_now, middle_now)], ratio)) = speed.compared(of).zip(speed.ratio(of))
            else {
                continue;
            };
            table.add_row([
                format!("Tandem: CPU of a {name}, {} devices, before the database and now", speed.devices),
                format!(
                    "{least:.2} / {middle:.2}, {least_now:.2} / {middle_now:.2} us; middle of the runs' ratios {ratio:.3}"
                ),
            ]);
        }
    }
}

type Part = (&'static str, fn(&super::speed::Costs) -> &Vec<f64>);
const PARTS: [Part; 2] = [("refresh", |c| &c.refresh), ("challenged registration", |c| &c.challenged)];

fn changed(changes: &Changes, table: &mut Table) {
    let Changes { devices, rate, seconds, accepted, refused, never, p50_us, p99_us, max_us, .. } = changes;
    let refusals: u64 = refused.values().sum();
    let by = if refusals > 0 { format!(" {refused:?}") } else { String::new() };
    let equal = if changes.equal { "all copies equal at the end" } else { "COPIES NOT EQUAL at the end" };
    table.add_row([
        format!("Tandem, three nodes: a change is in every copy, {rate}/s over all nodes for {seconds} s, {devices} devices"),
        format!(
            "p50 {p50_us} p99 {p99_us} max {max_us} us from when it was due ({accepted} accepted, {refusals} refused{by}, {never} never; {equal})"
        ),
    ]);
    let Changes { committed_p50_us, committed_p99_us, answered_p50_us, answered_p99_us, late, cpu_ms, .. } = changes;
    table.add_row([
        "the same in the first copy, and the answer".to_owned(),
        format!(
            "p50 {committed_p50_us} p99 {committed_p99_us} us; p50 {answered_p50_us} p99 {answered_p99_us} us; {cpu_ms:.2} ms of CPU of all processes a change; {late} sent late"
        ),
    ]);
}

/// What the figures ought to be.
pub(crate) fn aims(results: &Results) -> Vec<Aim> {
    let database = &results.database;
    let mut aims = Vec::new();
    for import in database.imports.iter().filter(|i| i.devices == DEVICES) {
        let form = import.form.name();
        let equal = import.equal_ms.iter().max().copied().unwrap_or(u64::MAX);
        let after = equal.saturating_sub(import.answered_ms) as f64;
        aims.push(Aim::at_most(format!("{form} import is answered, ms"), Some(import.answered_ms as f64), IMPORT_MAX));
        aims.push(Aim::at_most(format!("{form} import is in every copy, ms after the answer"), Some(after), EQUAL_MAX));
        let failed = Some(import.load_failed as f64);
        aims.push(Aim::at_most(format!("registrations that failed during the {form} import"), failed, 0.0));
    }
    if let Some(changes) = database.changes.as_ref().filter(|c| c.rate >= RATE) {
        let refused: u64 = changes.refused.values().sum();
        aims.push(Aim::at_most("a change is in every copy, p99 in us", Some(changes.p99_us as f64), VISIBLE_MAX));
        aims.push(Aim::at_most("changes refused", Some(refused as f64), 0.0));
        aims.push(Aim::at_most("changes that never were in every copy", Some(changes.never as f64), 0.0));
    }
    let slowest = database.boots.iter().filter(|b| b.devices == DEVICES).map(|b| b.ready_ms).max();
    if let Some(slowest) = slowest {
        aims.push(Aim::at_most(
            format!("in service with {DEVICES} devices, slowest, ms"),
            Some(slowest as f64),
            BOOT_MAX,
        ));
    }
    for held in database.held.iter().filter(|h| h.devices == MANY) {
        let most = held.loaded_mib.iter().chain(&held.registered_mib).max().map(|m| *m as f64);
        aims.push(Aim::at_most(format!("memory of a node with {MANY} devices, MiB"), most, MEMORY_MAX));
    }
    for (name, of) in PARTS {
        if let Some(ratio) = database.speed.as_ref().and_then(|s| s.ratio(of)) {
            aims.push(Aim::at_most(format!("{name}, of before the database"), Some(ratio), SPEED_MAX));
        }
    }
    aims
}
