//! Pictures of distributions: how long devices were out, and how latency grows towards the last one of many.
//!
//! Both are drawn from the buckets of the document as they are: steps, upper ends, nothing interpolated.

use super::super::figures;
use super::super::markup::{Element, el, words};
use super::super::{Distribution, Failover, Latency};
use super::COLOURS;
use super::axis::{Axis, percentile_place};
use super::frame::{Frame, line, px};

/// Bars of a histogram: wider than the document's buckets, so that no bar is empty by chance.
const BARS: usize = 36;

/// How many devices were out for how long. `None` when none moved.
pub(in super::super) fn outages(number: usize, failover: &Failover) -> Option<Element> {
    let d = &failover.outage_ms;
    let buckets: Vec<(f64, f64)> =
        d.buckets.iter().map(|b| (b.up_to.max(1e-3), b.count as f64)).filter(|b| b.0.is_finite()).collect();
    let low = buckets.first()?.0;
    let high = buckets.last()?.0;
    let x = Axis::log_millis(low, high, "time without service, logarithmic");
    let (from, to) = x.range();
    let mut bars = [0.0f64; BARS];
    for (value, count) in &buckets {
        let place = (x.place(*value) * BARS as f64).ceil() as usize;
        if let Some(bar) = bars.get_mut(place.clamp(1, BARS) - 1) {
            *bar += count;
        }
    }
    let y = Axis::from_zero(bars.iter().copied().fold(0.0, f64::max), "devices");
    let mut frame = Frame::half(&format!("outage-{number}"), 288.0, x, y);
    let end = |n: usize| from * (to / from).powf(n as f64 / BARS as f64);
    for (n, count) in bars.iter().enumerate().filter(|(_, count)| **count > 0.0) {
        let (left, right, top) = (frame.at_x(end(n)), frame.at_x(end(n + 1)), frame.at_y(*count));
        // One device among thousands must still be seen.
        let height = (frame.bottom() - top).max(1.5);
        let said = format!(
            "{} devices between {} and {}",
            figures::number(*count),
            figures::millis(end(n)),
            figures::millis(end(n + 1))
        );
        frame.draw(
            el("rect")
                .class("bar c0")
                .attr("x", px(left + 0.5))
                .attr("y", px(frame.bottom() - height))
                .attr("width", px((right - left - 1.0).max(1.0)))
                .attr("height", px(height))
                .child(words("title", said)),
        );
    }
    // A row for each, the smallest on top: words never meet, however close the figures are, and no later stroke crosses them.
    let mut names = Vec::new();
    let quantiles = [("max", d.max), ("p99", d.p99), ("p90", d.p90), ("p50", d.p50)];
    for (row, (name, value)) in quantiles.into_iter().enumerate() {
        let place = frame.at_x(value);
        let y = frame.top() - 6.0 - 14.0 * row as f64;
        frame.draw(line("quantile", place, y - 8.0, place, frame.bottom()));
        let text = format!("{name} {}", figures::millis(value));
        // Near the right end words stand to the left of their stroke.
        let flip = place + text.chars().count() as f64 * 6.8 > frame.right() + 18.0;
        let (x, anchor) = if flip { (place - 4.0, "end") } else { (place + 4.0, "start") };
        let text = words("text", text).class("tick halo").attr("text-anchor", anchor);
        names.push(text.attr("x", px(x)).attr("y", px(y)));
    }
    names.into_iter().for_each(|name| frame.draw(name));
    let title = format!("Outage of the devices of {}", failover.node);
    let description = format!(
        "Histogram of {} devices: half were out for at most {}, 99 % for at most {}, the last one for {}.",
        figures::count(d.count),
        figures::millis(d.p50),
        figures::millis(d.p99),
        figures::millis(d.max)
    );
    Some(frame.finish(&title, &description))
}

/// Latency by percentile, one line for each operation. `None` when there was none.
pub(in super::super) fn percentiles(latency: &[Latency]) -> Option<Element> {
    let shown: Vec<&Latency> = latency.iter().filter(|l| !l.ms.buckets.is_empty()).take(COLOURS).collect();
    let low = shown.iter().map(|l| l.ms.min).reduce(f64::min)?;
    let high = shown.iter().map(|l| l.ms.max).reduce(f64::max)?;
    let most = shown.iter().map(|l| l.ms.count).max()?;
    let x =
        Axis::percentiles((most as f64).log10() + 0.2, "percentile of the operations (each nine has the same room)");
    let y = Axis::log_millis(low, high, "latency, logarithmic");
    let mut frame = Frame::new("percentiles", 340.0, x, y, false);
    let mut names = Vec::new();
    for (place, of) in shown.iter().enumerate() {
        let d = steps(&frame, &of.ms);
        let class = format!("line c{place} dash{place}");
        frame.draw(el("path").class(class).attr("d", d).child(words("title", &of.operation)));
        let text = format!("{} {}", of.operation, figures::millis(of.ms.max));
        names.push((frame.at_y(of.ms.max), format!("c{place}"), text));
    }
    frame.end_labels(names);
    let said: Vec<String> = shown
        .iter()
        .map(|l| {
            format!(
                "{}: half within {}, 99 % within {}",
                l.operation,
                figures::millis(l.ms.p50),
                figures::millis(l.ms.p99)
            )
        })
        .collect();
    Some(frame.finish("Latency by percentile", &format!("{}.", said.join("; "))))
}

/// A stair: up to the share of operations that a bucket completes, its upper end holds.
fn steps(frame: &Frame, distribution: &Distribution) -> String {
    let all = distribution.buckets.iter().map(|b| u128::from(b.count)).sum::<u128>().max(1) as f64;
    let mut d = String::new();
    let mut seen = 0u128;
    let mut start = 0.0;
    for bucket in &distribution.buckets {
        seen += u128::from(bucket.count);
        // The last one of n is the best that n can say about 1 - 1/n, and a bit beyond to be seen.
        let end = percentile_place(seen as f64 / all).min(all.log10() + 0.2);
        let (x1, x2, y) = (frame.at_x(start), frame.at_x(end), frame.at_y(bucket.up_to));
        d += &format!("{}{} {}H{}", if d.is_empty() { "M" } else { "L" }, px(x1), px(y), px(x2));
        start = end;
    }
    d
}
