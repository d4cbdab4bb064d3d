//! Results as one table for people or documents, or as JSON for scripts.
//!
//! It must never show a ratio without both of its figures.

use crate::aims::{Aim, aims, counting, cpu, sizes};
use crate::args::Form;
use crate::bench::Results;
use crate::kernel;
use crate::row::{Row, What};
use crate::server::Kind;
use comfy_table::{ContentArrangement, Table, presets};
use std::fmt::Write;

/// Version of the JSON form.
const SCHEMA: u32 = 1;

/// What stands above the tables.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// Bytes of a request.
    pub(crate) request_bytes: usize,
    /// Version of Kamailio, where it was measured.
    pub(crate) kamailio: Option<String>,
    /// Devices of the main rows.
    pub(crate) devices: u32,
    /// Aims that were not measured are told too.
    pub(crate) all_aims: bool,
}

/// The whole result as text.
pub(crate) fn render(form: Form, head: &Head, results: &Results) -> String {
    if form == Form::Json {
        let all = serde_json::json!({
            "schema": SCHEMA,
            "machine": kernel::description(),
            "request_bytes": head.request_bytes,
            "kamailio": head.kamailio,
            "results": results,
            "aims": aims(results, head.devices),
        });
        return format!("{all:#}\n");
    }
    let kamailio =
        head.kamailio.as_ref().map_or_else(|| "not measured".to_owned(), |v| format!("{v}, tlsf, one worker"));
    let mut text = format!(
        "{}. REGISTER of {} bytes. Kamailio: {kamailio}.\nCPU in microseconds per operation of the server's whole process \
         tree, least / middle of the runs; ratios likewise.\n",
        kernel::description(),
        head.request_bytes
    );
    if let Some(why) = &results.incomplete {
        let _ = writeln!(text, "\nNOT COMPLETE: {why}");
    }
    let mut aims = aims(results, head.devices);
    aims.retain(|a| head.all_aims || a.met.is_some());
    for table in [compared(results), runs(results), others(results), aimed(&aims)] {
        if table.row_count() > 0 {
            let _ = write!(text, "\n{}\n", styled(table, form));
        }
    }
    text
}

pub(crate) fn styled(mut table: Table, form: Form) -> Table {
    table.load_preset(if form == Form::Markdown { presets::ASCII_MARKDOWN } else { presets::NOTHING });
    table.set_content_arrangement(ContentArrangement::Disabled);
    table
}

pub(crate) fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.set_header(head);
    table
}

fn pair(figures: Option<(f64, f64)>) -> String {
    figures.map_or_else(String::new, |(least, middle)| format!("{least:.2} / {middle:.2}"))
}

fn ratio(ours: Option<(f64, f64)>, theirs: Option<(f64, f64)>) -> String {
    let (Some(ours), Some(theirs)) = (ours, theirs) else { return String::new() };
    format!("{:.2} / {:.2}", ours.0 / theirs.0, ours.1 / theirs.1)
}

/// The one table: what each costs whom.
fn compared(results: &Results) -> Table {
    let mut table =
        table(&["", "devices", "bare exchange", "Kamailio", "Tandem", "of the bare exchange", "of Kamailio"]);
    let bare = cpu(results, Kind::Bare, What::Exchange, None);
    let whats = [What::Fill, What::Refresh, What::Challenged, What::Paced, What::Tcp];
    for what in whats {
        for devices in sizes(results, what) {
            let ours = cpu(results, Kind::Tandem, what, Some(devices));
            let theirs = cpu(results, Kind::Kamailio, what, Some(devices));
            // Waking is not in the bare figure: it was saturated.
            let floor = bare.filter(|_| what != What::Paced);
            table.add_row([
                what.name().to_owned(),
                devices.to_string(),
                pair(floor),
                pair(theirs),
                pair(ours),
                ratio(ours, floor),
                ratio(ours, theirs),
            ]);
        }
    }
    table
}

/// Every run, in the order they were made.
fn runs(results: &Results) -> Table {
    let mut table = table(&[
        "",
        "server",
        "what",
        "devices",
        "CPU us",
        "per s",
        "of a core",
        "p50 us",
        "p99 us",
        "max us",
        "failed",
        "again",
        "rows",
        "others s",
        "steal s",
        "of s",
    ]);
    for row in &results.rows {
        table.add_row(cells(row));
    }
    table
}

fn cells(row: &Row) -> Vec<String> {
    let mark = if row.invalid.is_some() {
        "!"
    } else if row.noisy {
        "~"
    } else {
        ""
    };
    vec![
        mark.to_owned(),
        row.server.name().to_owned(),
        row.what.name().to_owned(),
        row.devices.to_string(),
        format!("{:.2}", row.cpu_us),
        format!("{:.0}", row.per_second),
        format!("{:.2}", row.server_share),
        row.p50_us.to_string(),
        row.p99_us.to_string(),
        row.max_us.to_string(),
        row.failed.to_string(),
        row.retransmitted.to_string(),
        row.rows.map_or_else(String::new, |r| format!("{r} of {}", row.operations)),
        format!("{:.2}", row.other_s),
        format!("{:.2}", row.steal_s),
        format!("{:.2}", row.wall_s),
    ]
}

/// What is no CPU per operation.
fn others(results: &Results) -> Table {
    let mut table = table(&["", "figure"]);
    crate::cluster::report::rows(results, &mut table);
    crate::database::report::rows(results, &mut table);
    for row in &results.memory {
        let name = format!("{}: bytes per registered device, {} devices", row.server.name(), row.devices);
        let figure =
            format!("{:.0} ({} KiB, {} KiB with one)", row.bytes_per_device, row.full.pss_kib, row.empty.pss_kib);
        table.add_row([name, figure]);
    }
    if let Some(g) = &results.growth {
        let name = format!("Tandem: RSS over {:.0} s of refreshes ({} of them)", g.seconds, g.refreshes);
        table.add_row([name, format!("{} KiB after a tenth, {} KiB at the end", g.rss_kib_first, g.rss_kib_last)]);
    }
    if let Some(o) = &results.overload {
        let mut add = |name: &str, figure: String| {
            table.add_row([format!("Tandem, overload: {name}"), figure]);
        };
        let [before, after] = o.peaks;
        add("peak before and after, on a third of a core", format!("{before:.0}/s, {after:.0}/s"));
        add("offered", format!("{:.0}/s, {:.0} of them newcomers", o.offered, o.offered_newcomers));
        add("answered with 200 in 0.5 s", format!("{:.0}/s refreshes, {:.0}/s newcomers", o.refreshed, o.registered));
        add(
            "the rest",
            format!("{:.0}/s told to come later, {:.0}/s late, {:.0}/s not answered", o.refused, o.late, o.unanswered),
        );
        add("goodput of the peak", format!("{:.2}", o.goodput));
        let recovery = o.recovery_ms.map_or_else(|| "never within 10 s".to_owned(), |ms| format!("{ms} ms"));
        add("all is well again after", recovery);
        add("RSS", format!("{} KiB before, {} KiB after", o.rss_kib_before, o.rss_kib_after));
        if let Some(why) = &o.invalid {
            add("DOES NOT COUNT", why.clone());
        }
    }
    table
}

fn aimed(aims: &[Aim]) -> Table {
    let mut table = table(&["aim", "limit", "figure", ""]);
    for aim in aims {
        let limit = format!("at {} {}", if aim.at_least { "least" } else { "most" }, aim.limit);
        let figure = aim.figure.map_or_else(String::new, |f| format!("{f:.2}"));
        let verdict = match aim.met {
            Some(true) => "met",
            Some(false) => "NOT MET",
            None => "not measured",
        };
        table.add_row([aim.name.clone(), limit, figure, verdict.to_owned()]);
    }
    table
}

/// Whether every row counts and nothing is missing.
pub(crate) fn complete(results: &Results) -> bool {
    let all_count = results.rows.iter().all(|r| r.invalid.is_none());
    let overload_counts = results.overload.as_ref().is_none_or(|o| o.invalid.is_none());
    all_count && overload_counts && results.incomplete.is_none() && has_any(results)
}

fn has_any(results: &Results) -> bool {
    let servers = [Kind::Bare, Kind::Kamailio, Kind::Tandem];
    let whats = [What::Exchange, What::Fill, What::Refresh, What::Challenged, What::Paced, What::Tcp];
    let rows = servers.iter().any(|s| whats.iter().any(|w| !counting(results, *s, *w, None).is_empty()));
    let cluster = &results.cluster;
    let cluster = cluster.visible.is_some() || !cluster.joins.is_empty() || cluster.death.is_some();
    rows || cluster
        || results.database.any()
        || !results.memory.is_empty()
        || results.growth.is_some()
        || results.overload.is_some()
}
