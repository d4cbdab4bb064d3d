//! The summary on a terminal, at the end of a run: the same figures as the page, in plain text. Colour only repeats what words say, and
//! only where the caller says that it is wanted. It must never write anything that a terminal takes for a command: names come from files.

use super::{FailoverKind, Summary, Verdict, figures, page};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use figures::{count, millis, number, optional, optional_millis};
use std::fmt::Write as _;

/// How to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextStyle {
    /// With ANSI colours.
    pub colour: bool,
    /// Columns to keep to; `None` for as many as needed.
    pub width: Option<u16>,
}

/// The run in one paragraph, without a line's end: what must not be lost when nothing else can be written.
pub fn essentials(summary: &Summary) -> String {
    let devices = &summary.devices;
    let partial = if summary.partial { " (partial)" } else { "" };
    let mut text = format!(
        "verdict {}{partial}, preset {}, seed {}; {} devices, {} registered, {} lost, {} twice",
        summary.verdict.word(),
        summary.preset,
        summary.seed,
        devices.total,
        devices.registered,
        devices.lost,
        devices.duplicate
    );
    for f in &summary.failovers {
        let d = &f.outage_ms;
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "; {} {} at {} s: {} of {} moved, {} lost, {} twice, outage p50 {} p99 {} max {}",
            kind(f.kind),
            f.node,
            number(f.at_s),
            f.moved,
            f.affected,
            f.lost,
            f.duplicate,
            millis(d.p50),
            millis(d.p99),
            millis(d.max)
        );
    }
    for l in &summary.latency {
        let _ = write!(
            text,
            "; {}: {} good, {} failed, p50 {} p99 {}",
            l.operation,
            l.count,
            l.failed,
            millis(l.ms.p50),
            millis(l.ms.p99)
        );
    }
    for why in &summary.why {
        let _ = write!(text, "; {why}");
    }
    tame(&text).replace('\u{a0}', " ")
}

const fn kind(kind: FailoverKind) -> &'static str {
    match kind {
        FailoverKind::Failover => "failover",
        FailoverKind::Failback => "failback",
    }
}

/// Without control characters, so that a name cannot move the cursor or change the title of a window.
pub(super) fn tame(text: &str) -> String {
    let odd = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if odd(c) { '\u{fffd}' } else { c }).collect()
}

/// The whole summary as text, ending with a line's end.
pub fn text(summary: &Summary, style: TextStyle) -> String {
    let mut out = String::new();
    let word = summary.verdict.word().to_uppercase();
    let colour = match summary.verdict {
        Verdict::Pass => "32",
        Verdict::Failed => "31",
        Verdict::Threshold => "33",
        Verdict::Invalid => "35",
    };
    let word = if style.colour { format!("\u{1b}[1;{colour}m{word}\u{1b}[0m") } else { word };
    let partial = if summary.partial { " (partial: ended before its time)" } else { "" };
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!("{word}{partial}  {}", page::verdict_sentence(summary.verdict)));
    summary.why.iter().for_each(|why| line(format!("  - {}", tame(why))));
    let d = &summary.devices;
    line(String::new());
    line(format!(
        "Devices     {} registered of {}, {} lost, {} registered twice{}",
        count(d.registered),
        count(d.total),
        count(d.lost),
        count(d.duplicate),
        if d.excluded > 0 { format!(", {} meant to stay away", count(d.excluded)) } else { String::new() }
    ));
    let g = &summary.generator;
    line(format!(
        "Generator   {} % of one core, sends late by {} (p99), {} datagrams dropped{}",
        optional(g.cpu_percent),
        optional_millis(g.late_p99_ms),
        figures::optional_count(g.rx_drops),
        if g.limited { "; IT WAS THE LIMIT" } else { "" }
    ));
    g.reasons.iter().for_each(|reason| line(format!("  - {}", tame(reason))));
    for (title, grid) in [
        ("Failovers", failovers(summary)),
        ("Latency, from the intended time of sending", latency(summary)),
        ("What failed", failures(summary)),
        ("Thresholds", thresholds(summary)),
        ("Reconciliation", reconciliation(summary)),
    ] {
        if let Some(grid) = grid {
            line(String::new());
            line(title.to_owned());
            line(grid.fitted(style.width));
        }
    }
    line(String::new());
    line(format!("Repeat      {}", tame(&summary.command)));
    line(format!("Seed        {}", summary.seed));
    // What holds figure and unit together in a cell is a nuisance to whoever searches or cuts the text.
    out.replace('\u{a0}', " ")
}

/// A grid without frames that copies well.
pub(super) struct Grid(Table);

impl Grid {
    pub(super) fn new(head: &[&str], words: usize) -> Self {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(head.iter().map(|h| tame(h)));
        for column in table.column_iter_mut().skip(words) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        Self(table)
    }
    pub(super) fn row(&mut self, cells: &[String]) {
        self.0.add_row(cells.iter().map(|c| tame(c)));
    }
    pub(super) fn fitted(mut self, width: Option<u16>) -> String {
        if let Some(width) = width {
            self.0.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        let lines: Vec<String> = self.0.lines().map(|l| l.trim_end().to_owned()).collect();
        lines.join("\n")
    }
}

fn failovers(summary: &Summary) -> Option<Grid> {
    summary.failovers.first()?;
    let head = [
        "what",
        "node",
        "at",
        "moved",
        "lost",
        "twice",
        "p50",
        "p90",
        "p99",
        "max",
        "last",
        "per s",
        "refused",
        "Retry-After",
    ];
    let mut grid = Grid::new(&head, 2);
    for f in &summary.failovers {
        let moved = format!("{}/{}", count(f.moved), count(f.affected));
        let mut cells = vec![kind(f.kind).to_owned(), f.node.clone(), format!("{} s", number(f.at_s)), moved];
        cells.extend(figures::cost(f));
        grid.row(&cells);
    }
    Some(grid)
}

fn latency(summary: &Summary) -> Option<Grid> {
    summary.latency.first()?;
    let head = [
        "operation",
        "RFC 6076",
        "good",
        "failed",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "max",
        "p50 from send",
        "p99 from send",
    ];
    let mut grid = Grid::new(&head, 2);
    for l in &summary.latency {
        let shown = |value: f64| if l.ms.is_empty() { figures::NONE.to_owned() } else { millis(value) };
        let from_send = l.from_send_ms.as_ref().filter(|d| !d.is_empty());
        grid.row(&[
            l.operation.clone(),
            l.rfc6076.clone().unwrap_or_else(|| figures::NONE.to_owned()),
            count(l.count),
            count(l.failed),
            shown(l.ms.p50),
            shown(l.ms.p90),
            shown(l.ms.p99),
            shown(l.ms.p999),
            shown(l.ms.max),
            optional_millis(from_send.map(|d| d.p50)),
            optional_millis(from_send.map(|d| d.p99)),
        ]);
    }
    Some(grid)
}

fn failures(summary: &Summary) -> Option<Grid> {
    summary.failures.first()?;
    let mut grid = Grid::new(&["what", "how often"], 1);
    summary.failures.iter().for_each(|f| grid.row(&[f.what.clone(), count(f.count)]));
    Some(grid)
}

fn holds(ok: bool) -> String {
    if ok { "ok" } else { "NO" }.to_owned()
}

fn thresholds(summary: &Summary) -> Option<Grid> {
    summary.thresholds.first()?;
    let mut grid = Grid::new(&["demanded", "measured", "holds"], 1);
    summary.thresholds.iter().for_each(|t| grid.row(&[t.text.clone(), page::measured(t.value, &t.unit), holds(t.ok)]));
    Some(grid)
}

fn reconciliation(summary: &Summary) -> Option<Grid> {
    summary.reconciliation.first()?;
    let mut grid = Grid::new(&["what", "ours", "theirs", "difference", "agrees"], 1);
    for r in &summary.reconciliation {
        let difference = r.difference_percent.map_or_else(|| figures::NONE.to_owned(), |d| format!("{} %", number(d)));
        grid.row(&[r.what.clone(), number(r.ours), optional(r.theirs), difference, holds(r.ok)]);
    }
    Some(grid)
}
