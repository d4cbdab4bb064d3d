//! Pictures of a run, as SVG drawn here: no script, no font, no address. Each comes from the summary alone and says in its description
//! what it shows. A picture must never have more points than [`DRAWN_MAX`]: a page of a day is as light as one of a minute.

mod axis;
mod frame;
mod spread;
mod time;

pub(super) use spread::{outages, percentiles};
pub(super) use time::{devices, latency, marks_between, node_order, rates};

use super::{Failover, FailoverKind, Marker, MarkerKind, Summary, figures};

/// Most points of one line.
pub(super) const DRAWN_MAX: usize = 600;
/// Colours that there are; further nodes are summed up.
pub(super) const COLOURS: usize = 7;

/// What happened, in words: `CCM1 killed`.
pub(super) fn marker_words(marker: &Marker) -> String {
    let node = marker.node.as_deref().unwrap_or("");
    let what = match marker.kind {
        MarkerKind::Kill => "killed",
        MarkerKind::Stop => "asked to stop",
        MarkerKind::Hang => "hung",
        MarkerKind::Resume => "answers again",
        MarkerKind::Return => "returned",
        MarkerKind::Note => "",
    };
    let text = marker
        .text
        .as_deref()
        .map(|t| if node.is_empty() && what.is_empty() { t.to_owned() } else { format!("({t})") });
    let words = [node.to_owned(), what.to_owned(), text.unwrap_or_default()];
    let words: Vec<String> = words.into_iter().filter(|w| !w.is_empty()).collect();
    words.join(" ")
}

/// A movement in words: `failover of CCM1`.
pub(super) fn failover_words(failover: &Failover) -> String {
    match failover.kind {
        FailoverKind::Failover => format!("failover of {}", failover.node),
        FailoverKind::Failback => format!("failback to {}", failover.node),
    }
}

/// What happened when, as one sentence.
pub(super) fn marker_list(summary: &Summary) -> String {
    const LISTED: usize = 24;
    let said =
        summary.markers.iter().take(LISTED).map(|m| format!("{} s {}", figures::number(m.at_s), marker_words(m)));
    let said: Vec<String> = said.collect();
    let more = match summary.markers.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!("; and {more} more, in the JSON summary"),
    };
    if said.is_empty() {
        "Nothing happened to a node.".to_owned()
    } else {
        format!("Markers: {}{more}.", said.join("; "))
    }
}
