//! The tables of the page. Each is made of words and figures only, so that what a picture shows can also be read.

use super::super::markup::{Element, el, words};
use super::super::{Distribution, Summary, chart, figures};
use figures::{count, millis, number, optional, optional_count, optional_millis};

/// Most rows of the table behind a picture over time.
const ROWS_MAX: usize = 120;

/// Rows of words. The first column names the row, columns of figures are set to the right.
pub(super) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
    /// Rows that spoil a verdict.
    bad: Vec<bool>,
    /// Columns of words, besides the first.
    wordy: Vec<usize>,
}

impl Table {
    fn new(head: &[&str]) -> Self {
        Self {
            head: head.iter().map(|h| (*h).to_owned()).collect(),
            rows: Vec::new(),
            bad: Vec::new(),
            wordy: Vec::new(),
        }
    }
    fn wordy(mut self, columns: &[usize]) -> Self {
        self.wordy = columns.to_vec();
        self
    }
    fn row(&mut self, cells: Vec<String>) {
        self.judged(cells, true);
    }
    fn judged(&mut self, cells: Vec<String>, ok: bool) {
        self.rows.push(cells);
        self.bad.push(!ok);
    }
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }
    pub(super) fn element(self) -> Element {
        let class = |n: usize| if n == 0 || self.wordy.contains(&n) { "w" } else { "n" };
        let head = self.head.iter().enumerate().map(|(n, h)| words("th", h).attr("scope", "col").class(class(n)));
        let rows = self.rows.iter().zip(&self.bad).map(|(cells, bad)| {
            let cells = cells.iter().enumerate().map(|(n, cell)| match n {
                0 => words("th", cell).attr("scope", "row").class("w"),
                _ => words("td", cell).class(class(n)),
            });
            let row = el("tr").children(cells);
            if *bad { row.class("bad") } else { row }
        });
        let body = el("tbody").children(rows);
        el("div")
            .class("scroll")
            .attr("tabindex", "0")
            .child(el("table").child(el("thead").child(el("tr").children(head))).child(body))
    }
}

fn verdict_word(ok: bool) -> String {
    if ok { "✓ ok" } else { "✕ no" }.to_owned()
}

pub(super) fn failovers(summary: &Summary) -> Table {
    let mut table = Table::new(&[
        "what",
        "at",
        "moved",
        "lost",
        "twice",
        "outage p50",
        "p90",
        "p99",
        "max",
        "last after",
        "per s",
        "refusals",
        "Retry-After",
    ]);
    for f in &summary.failovers {
        let moved = format!("{} of {}", count(f.moved), count(f.affected));
        let mut cells = vec![chart::failover_words(f), format!("{} s", number(f.at_s)), moved];
        cells.extend(figures::cost(f));
        table.judged(cells, f.lost == 0 && f.duplicate == 0);
    }
    table
}

/// What else is known of each movement.
pub(super) fn landings(summary: &Summary) -> Table {
    let mut table = Table::new(&[
        "what",
        "at",
        "back at",
        "most in one second",
        "Retry-After p50",
        "others' refreshes p99",
        "now served by",
    ])
    .wordy(&[6]);
    for f in &summary.failovers {
        let landed: Vec<String> = f.landed.iter().map(|(node, n)| format!("{node} {}", count(*n))).collect();
        let second = |s: Option<f64>| s.map_or_else(|| figures::NONE.to_owned(), |s| format!("{} s", number(s)));
        table.row(vec![
            chart::failover_words(f),
            second(Some(f.at_s)),
            second(f.returned_s),
            optional(f.peak_reregistrations_per_s),
            second((!f.retry_after_s.is_empty()).then_some(f.retry_after_s.p50)),
            optional_millis(f.survivors_refresh_p99_ms),
            landed.join(", "),
        ]);
    }
    table
}

/// What a table over time is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    Devices,
    Rates,
    Latency,
}

pub(super) fn over_time(summary: &Summary, topic: Topic) -> Table {
    let series = summary.series.at_most(ROWS_MAX);
    let order = chart::node_order(&summary.target, &series);
    let every = format!("from (each row {} s)", number(series.interval_s));
    let mut head = vec![every.as_str()];
    match topic {
        Topic::Devices => {
            head.extend(order.iter().map(String::as_str));
            head.push("not registered");
        }
        Topic::Rates => head.extend(["registrations/s", "refreshes/s", "refusals/s", "errors/s"]),
        Topic::Latency => head.push("p99, the worst of the row"),
    }
    head.push("what happened");
    let last = head.len() - 1;
    let mut table = Table::new(&head).wordy(&[last]);
    for point in &series.points {
        let rate = |n: u64| number(n as f64 / series.interval_s.max(1e-3));
        let mut cells = vec![format!("{} s", number(point.at_s))];
        match topic {
            Topic::Devices => {
                cells.extend(order.iter().map(|node| count(point.devices.get(node).copied().unwrap_or(0))));
                cells.push(count(point.unregistered));
            }
            Topic::Rates => {
                cells.extend([point.registrations, point.refreshes, point.refusals, point.errors].map(rate));
            }
            Topic::Latency => cells.push(optional_millis(point.p99_ms)),
        }
        let marks = chart::marks_between(&summary.markers, point.at_s, point.at_s + series.interval_s);
        let marks: Vec<String> = marks.into_iter().map(chart::marker_words).collect();
        cells.push(marks.join("; "));
        table.row(cells);
    }
    table
}

pub(super) fn buckets(distribution: &Distribution) -> Table {
    let mut table = Table::new(&["up to", "devices", "share so far"]);
    let mut seen = 0u64;
    for bucket in &distribution.buckets {
        seen = seen.saturating_add(bucket.count);
        let share = seen as f64 * 100.0 / distribution.count.max(1) as f64;
        table.row(vec![millis(bucket.up_to), count(bucket.count), format!("{share:.2} %")]);
    }
    table
}

pub(super) fn latency(summary: &Summary) -> Table {
    let mut table = Table::new(&[
        "operation",
        "RFC 6076",
        "good",
        "failed",
        "mean",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "max",
        "p50 from send",
        "p99 from send",
    ]);
    for l in &summary.latency {
        let shown = |value: f64| if l.ms.is_empty() { figures::NONE.to_owned() } else { millis(value) };
        let from_send = l.from_send_ms.as_ref().filter(|d| !d.is_empty());
        table.judged(
            vec![
                l.operation.clone(),
                l.rfc6076.clone().unwrap_or_else(|| figures::NONE.to_owned()),
                count(l.count),
                count(l.failed),
                shown(l.ms.mean),
                shown(l.ms.p50),
                shown(l.ms.p90),
                shown(l.ms.p99),
                shown(l.ms.p999),
                shown(l.ms.max),
                optional_millis(from_send.map(|d| d.p50)),
                optional_millis(from_send.map(|d| d.p99)),
            ],
            l.failed == 0,
        );
    }
    table
}

pub(super) fn percentiles(summary: &Summary) -> Table {
    let mut table = Table::new(&["operation", "up to", "operations", "share so far"]);
    for l in &summary.latency {
        let mut seen = 0u64;
        for bucket in &l.ms.buckets {
            seen = seen.saturating_add(bucket.count);
            let share = seen as f64 * 100.0 / l.ms.count.max(1) as f64;
            table.row(vec![l.operation.clone(), millis(bucket.up_to), count(bucket.count), format!("{share:.4} %")]);
        }
    }
    table
}

pub(super) fn failures(summary: &Summary) -> Table {
    let mut table = Table::new(&["what", "how often", "first at"]);
    for f in &summary.failures {
        let first = f.first_at_s.map_or_else(|| figures::NONE.to_owned(), |s| format!("{} s", number(s)));
        table.row(vec![f.what.clone(), count(f.count), first]);
    }
    table
}

pub(super) fn thresholds(summary: &Summary) -> Table {
    let mut table = Table::new(&["demanded", "measured", "holds"]);
    for t in &summary.thresholds {
        table.judged(vec![t.text.clone(), measured(t.value, &t.unit), verdict_word(t.ok)], t.ok);
    }
    table
}

/// A value with its unit.
pub(in super::super) fn measured(value: Option<f64>, unit: &str) -> String {
    match (value, unit) {
        (None, _) => "nothing was measured".to_owned(),
        (Some(value), "ms") => millis(value),
        (Some(value), "") => number(value),
        (Some(value), unit) => format!("{} {unit}", number(value)),
    }
}

pub(super) fn reconciliation(summary: &Summary) -> Table {
    let mut table = Table::new(&["what", "ours", "theirs", "difference", "agrees", "note"]).wordy(&[5]);
    for r in &summary.reconciliation {
        let difference = r.difference_percent.map_or_else(|| figures::NONE.to_owned(), |d| format!("{} %", number(d)));
        let note = r.note.clone().unwrap_or_default();
        table.judged(
            vec![r.what.clone(), number(r.ours), optional(r.theirs), difference, verdict_word(r.ok), note],
            r.ok,
        );
    }
    table
}

pub(super) fn generator(summary: &Summary) -> Table {
    let g = &summary.generator;
    let percent =
        |value: Option<f64>| value.map_or_else(|| figures::NONE.to_owned(), |v| format!("{} % of one core", number(v)));
    let share =
        |value: Option<f64>| value.map_or_else(|| figures::NONE.to_owned(), |v| format!("{} % of the time", number(v)));
    let mut table = Table::new(&["of itself", "measured"]);
    let rows = [
        ("was the limit", if g.limited { "yes: the run is invalid" } else { "no" }.to_owned(), !g.limited),
        ("CPU", percent(g.cpu_percent), true),
        ("its phones' thread on a core", share(g.busy_percent), true),
        ("its phones' thread waiting for a core", share(g.waiting_percent), true),
        ("cores it may use", optional_count(g.cores.map(u64::from)), true),
        ("sends later than scheduled, p99", optional_millis(g.late_p99_ms), true),
        ("the latest send", optional_millis(g.late_max_ms), true),
        ("requests sent", count(g.sent), true),
        ("messages received", count(g.received), true),
        ("datagrams dropped for want of receive buffer", optional_count(g.rx_drops), g.rx_drops.unwrap_or(0) == 0),
        ("messages that sockets did not take", optional_count(g.tx_drops), g.tx_drops.unwrap_or(0) == 0),
        ("most memory", g.peak_memory_bytes.map_or_else(|| figures::NONE.to_owned(), figures::bytes), true),
        ("most sockets", optional_count(g.sockets), true),
    ];
    for (what, value, ok) in rows {
        table.judged(vec![what.to_owned(), value], ok);
    }
    for (name, growth) in &g.kernel {
        table.row(vec![format!("kernel counter {name}, whole host"), count(*growth)]);
    }
    table
}

pub(super) fn devices(summary: &Summary) -> Table {
    let d = &summary.devices;
    let mut table = Table::new(&["behaviour", "devices", "registered at the end", "lost"]);
    for b in &d.behaviours {
        table.judged(vec![b.name.clone(), count(b.total), count(b.registered), count(b.lost)], b.lost == 0);
    }
    table.judged(vec!["all".to_owned(), count(d.total), count(d.registered), count(d.lost)], d.lost == 0);
    table
}

pub(super) fn settings(summary: &Summary) -> Table {
    let mut table = Table::new(&["setting", "value"]).wordy(&[1]);
    for (name, value) in &summary.settings {
        table.row(vec![name.clone(), value.clone()]);
    }
    for node in &summary.target.nodes {
        table.row(vec![format!("node {}", node.name), node.address.clone()]);
    }
    if let Some(software) = &summary.target.software {
        table.row(vec!["the target calls itself".to_owned(), software.clone()]);
    }
    table
}
