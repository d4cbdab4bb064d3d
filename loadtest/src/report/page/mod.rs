//! The HTML page of a run: one file that needs nothing else, no network and no script, in light, dark and print.
//!
//! First the verdict and why, then what it cost, then the pictures, each with its figures behind it, then how to repeat it. Everything
//! shown is in the [`Summary`]; the page must never show a figure that the document does not have, nor hide one that spoils the verdict.

mod sections;
mod tables;

pub(super) use tables::measured;

use super::markup::{Element, el, words};
use super::{Summary, Verdict, figures};

const STYLE: &str = include_str!("style.css");

/// The whole page.
pub fn html(summary: &Summary) -> String {
    let title = format!("{} ({}): {}", title(summary), summary.target.name, summary.verdict.word());
    let head = el("head")
        .child(el("meta").attr("charset", "utf-8"))
        .child(el("meta").attr("name", "viewport").attr("content", "width=device-width, initial-scale=1"))
        .child(el("meta").attr("name", "color-scheme").attr("content", "light dark"))
        // A page that asks for nothing must also be unable to.
        .child(
            el("meta")
                .attr("http-equiv", "Content-Security-Policy")
                .attr("content", "default-src 'none'; style-src 'unsafe-inline'; img-src data:"),
        )
        .child(el("meta").attr("name", "generator").attr("content", format!("tandem-loadtest {}", summary.version)))
        .child(words("title", title))
        .child(el("style").style(STYLE));
    let main = el("main")
        .child(header(summary))
        .child(verdict(summary))
        .child(tiles(summary))
        .children(sections::all(summary))
        .child(footer(summary));
    format!("<!DOCTYPE html>\n{}\n", el("html").attr("lang", "en").child(head).child(el("body").child(main)))
}

fn title(summary: &Summary) -> String {
    if summary.preset.is_empty() { "load test".to_owned() } else { format!("load test: {}", summary.preset) }
}

fn header(summary: &Summary) -> Element {
    let length = figures::seconds(summary.measured_s);
    let target = if summary.target.name.is_empty() { "an unnamed target" } else { &summary.target.name };
    let transports = summary.target.transports.join(", ").to_uppercase();
    let line = format!(
        "{target}{}{transports} · {} to {} · {length} measured{}",
        if transports.is_empty() { "" } else { " · " },
        short(&summary.started.to_string()),
        short(&summary.ended.to_string()),
        if summary.warm_up_s > 0.0 {
            format!(", {} warm-up", figures::seconds(summary.warm_up_s))
        } else {
            String::new()
        },
    );
    el("header").child(words("h1", upper_first(&title(summary)))).child(words("p", line).class("facts"))
}

/// `2026-05-04T10:00:00.000Z` as people read it.
fn short(moment: &str) -> String {
    let seconds = moment.split('.').next().unwrap_or(moment);
    format!("{} UTC", seconds.replace('T', " "))
}

fn upper_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// One sentence for each verdict.
pub(super) const fn verdict_sentence(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "Everything that was asked was answered, and the counts agree.",
        Verdict::Failed => "Operations failed, or counts do not agree.",
        Verdict::Threshold => "A threshold was broken.",
        Verdict::Invalid => "The generator was the limit: these figures say nothing about the server.",
    }
}

const fn sign(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✓",
        Verdict::Failed => "✕",
        Verdict::Threshold => "!",
        Verdict::Invalid => "?",
    }
}

fn verdict(summary: &Summary) -> Element {
    let word = summary.verdict.word();
    let mut text = el("div").child(
        el("p")
            .class("word")
            .child(words("strong", word.to_uppercase()))
            .text(format!("  exit status {}", summary.verdict.exit_status())),
    );
    if summary.partial {
        let partial = "This run was ended before its time. The figures cover what was done until then.";
        text = text.child(words("p", partial).class("partial"));
    }
    text = text.child(words("p", verdict_sentence(summary.verdict)));
    if !summary.why.is_empty() {
        text = text.child(el("ul").children(summary.why.iter().map(|why| words("li", why))));
    }
    el("section")
        .class(format!("verdict {word}"))
        .attr("aria-label", "verdict")
        .child(words("div", sign(summary.verdict)).class("sign").attr("aria-hidden", "true"))
        .child(text)
}

/// The figures people look for first. A figure that is bad says so in words, not by colour alone.
fn tiles(summary: &Summary) -> Element {
    let tile = |name: &str, value: String, note: String, bad: bool| {
        el("div")
            .class(if bad { "tile bad" } else { "tile" })
            .child(words("div", name).class("label"))
            .child(words("div", value).class("value"))
            .child(words("div", note).class("note"))
    };
    let devices = &summary.devices;
    let worst = summary
        .failovers
        .iter()
        .filter(|f| !f.outage_ms.is_empty())
        .max_by(|a, b| a.outage_ms.p99.total_cmp(&b.outage_ms.p99));
    let mut tiles = vec![
        tile(
            "registered",
            figures::count(devices.registered),
            format!("of {} devices, at the end", figures::count(devices.total)),
            false,
        ),
        tile("lost", figures::count(devices.lost), lost_note(devices.lost), devices.lost > 0),
        tile(
            "registered twice",
            figures::count(devices.duplicate),
            lost_note(devices.duplicate),
            devices.duplicate > 0,
        ),
    ];
    if let Some(failover) = worst {
        let note = format!("the worst, {}; the longest {}", failover.node, figures::millis(failover.outage_ms.max));
        tiles.push(tile("outage p99", figures::millis(failover.outage_ms.p99), note, false));
    }
    if let Some(first) = summary.latency.iter().find(|l| l.rfc6076.is_some()).or(summary.latency.first()) {
        let name = first.rfc6076.as_deref().unwrap_or(&first.operation);
        let note = format!("{}; half within {}", first.operation, figures::millis(first.ms.p50));
        tiles.push(tile(&format!("{name} p99"), figures::millis(first.ms.p99), note, false));
    }
    let generator = &summary.generator;
    tiles.push(tile(
        "generator",
        generator.cpu_percent.map_or_else(|| figures::NONE.to_owned(), |p| format!("{} %", figures::number(p))),
        format!(
            "of one core{}; sends late by {} (p99)",
            if generator.limited { ", it was the limit" } else { "" },
            figures::optional_millis(generator.late_p99_ms)
        ),
        generator.limited,
    ));
    el("div").class("tiles").children(tiles)
}

fn lost_note(n: u64) -> String {
    if n == 0 { "none, as it must be".to_owned() } else { "must be none".to_owned() }
}

fn footer(summary: &Summary) -> Element {
    let text = format!(
        "tandem-loadtest {}, summary schema {}. Figures are upper ends of what was recorded; \"{}\" was not measured.",
        summary.version,
        summary.schema,
        figures::NONE
    );
    el("footer").child(words("p", text))
}
