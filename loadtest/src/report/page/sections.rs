//! The sections of the page, in order: failovers, pictures over time, distributions, generator, reconciliation, thresholds, how to
//! repeat. A section must never vanish because it has nothing good to say; without data it says that nothing was measured.

use super::super::markup::{Element, el, words};
use super::super::{Failover, Summary, chart, figures};
use super::tables::{self, Table, Topic};

/// Most outage histograms of a page; the table has all of them.
const HISTOGRAMS_MAX: usize = 12;

pub(super) fn all(summary: &Summary) -> Vec<Element> {
    vec![
        failovers(summary),
        over_time(summary),
        outages(summary),
        latency(summary),
        failures(summary),
        thresholds(summary),
        reconciliation(summary),
        generator(summary),
        devices(summary),
        repeat(summary),
    ]
}

fn section(title: &str, intro: &str) -> Element {
    let section = el("section").child(words("h2", title));
    if intro.is_empty() { section } else { section.child(words("p", intro).class("intro")) }
}

fn nothing(section: Element, text: &str) -> Element {
    section.child(words("p", text).class("nothing"))
}

/// A picture with its figures behind it.
fn figure(picture: Option<Element>, title: &str, table: Table) -> Element {
    let Some(picture) = picture else {
        return words("p", format!("{title}: nothing was measured.")).class("nothing");
    };
    let rows = table.len();
    el("figure")
        .child(words("h3", title))
        .child(picture)
        .child(el("details").child(words("summary", format!("the figures ({rows} rows)"))).child(table.element()))
}

fn failovers(summary: &Summary) -> Element {
    let intro = "What each kill and each return cost. Outage: from the node's death to the device's first good answer elsewhere; for a failback the \
                 time without a good answer from anybody. Per s: devices moved between the first one and the last.";
    let section = section("Failovers", intro);
    if summary.failovers.is_empty() {
        return nothing(section, "No node was killed or returned.");
    }
    section.child(tables::failovers(summary).element()).child(tables::landings(summary).element())
}

fn over_time(summary: &Summary) -> Element {
    let section = section("Over time", "");
    let table = |topic| tables::over_time(summary, topic);
    let seconds = figures::number(summary.series.interval_s);
    let marks = chart::marker_list(summary);
    let section = section
        .child(figure(chart::devices(summary), "Devices per node", table(Topic::Devices)))
        .child(figure(chart::rates(summary), "Registrations per second", table(Topic::Rates)))
        .child(figure(chart::latency(summary), "Latency, 99th percentile of each interval", table(Topic::Latency)));
    let note = format!("One point is {seconds} s in the JSON summary. {marks}");
    section.child(words("p", note).class("intro"))
}

fn outages(summary: &Summary) -> Element {
    let section = section("Outages", "How many devices were without service for how long.");
    let moved: Vec<(usize, &Failover)> =
        summary.failovers.iter().enumerate().filter(|(_, f)| !f.outage_ms.buckets.is_empty()).collect();
    if moved.is_empty() {
        return nothing(section, "No device was without service because of a node.");
    }
    let shown = moved.iter().take(HISTOGRAMS_MAX);
    let figures_of = shown.map(|(n, f)| {
        figure(
            chart::outages(*n, f),
            &format!("{}, at {} s", chart::failover_words(f), figures::number(f.at_s)),
            tables::buckets(&f.outage_ms),
        )
    });
    let section = section.child(el("div").class("pair").children(figures_of));
    match moved.len().saturating_sub(HISTOGRAMS_MAX) {
        0 => section,
        more => nothing(section, &format!("{more} more are in the table of failovers and in the JSON summary.")),
    }
}

fn latency(summary: &Summary) -> Element {
    let intro = "From the intended time of sending to the final good answer, so a late generator or a slow server cannot hide. RRD is the \
                 registration request delay of RFC 6076.";
    let section = section("Latency", intro);
    if summary.latency.is_empty() {
        return nothing(section, "No operation took place.");
    }
    let registrations = &summary.registrations;
    let ira = format!(
        "Ineffective registration attempts (IRA, RFC 6076): {} of {}, {} %. Sent again for want of an answer: {}.",
        figures::count(registrations.ineffective),
        figures::count(registrations.attempts),
        figures::optional(registrations.ira_percent),
        figures::count(registrations.retransmissions)
    );
    section.child(tables::latency(summary).element()).child(words("p", ira)).child(figure(
        chart::percentiles(&summary.latency),
        "Latency by percentile",
        tables::percentiles(summary),
    ))
}

fn failures(summary: &Summary) -> Element {
    let section = section("What failed", "");
    if summary.failures.is_empty() {
        return nothing(section, "Nothing failed.");
    }
    section.child(tables::failures(summary).element())
}

fn thresholds(summary: &Summary) -> Element {
    let section = section("Thresholds", "");
    if summary.thresholds.is_empty() {
        return nothing(section, "None was given: --threshold 'outage.p99<2s' makes a demand of it.");
    }
    section.child(tables::thresholds(summary).element())
}

fn reconciliation(summary: &Summary) -> Element {
    let section = section("Reconciliation", "Our counts beside the nodes' own.");
    if summary.reconciliation.is_empty() {
        return nothing(section, "The nodes' own counts were not asked for.");
    }
    section.child(tables::reconciliation(summary).element())
}

fn generator(summary: &Summary) -> Element {
    let intro = "Was it the server that was measured, or the generator?";
    let mut section = section("The generator", intro).child(tables::generator(summary).element());
    if summary.generator.limited || !summary.generator.reasons.is_empty() {
        let reasons = summary.generator.reasons.iter().map(|r| words("li", r));
        section = section.child(words("p", "It was limited by:")).child(el("ul").children(reasons));
    }
    section
}

fn devices(summary: &Summary) -> Element {
    let section = section("Devices", "");
    let section = section.child(tables::devices(summary).element());
    match summary.devices.excluded {
        0 => section,
        n => section.child(words(
            "p",
            format!("{} devices were meant to be turned away or silent; they do not count as lost.", figures::count(n)),
        )),
    }
}

fn repeat(summary: &Summary) -> Element {
    let intro = format!("The same seed gives the same schedule. Seed: {}", summary.seed);
    let section = section("How to repeat", &intro);
    let section = if summary.command.is_empty() {
        nothing(section, "The command is not known.")
    } else {
        section.child(el("pre").child(words("code", &summary.command)))
    };
    section.child(tables::settings(summary).element())
}
