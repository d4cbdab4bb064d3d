//! Pictures over time: where the devices are, what was done each second, how long it took.
//!
//! Rates are drawn as steps, because they are counts of an interval; readings are joined by lines. They must never be smoothed.

use super::super::markup::{Element, el, words};
use super::super::{Marker, Point, Series, Summary, Target};
use super::axis::Axis;
use super::frame::{Frame, line, px};
use super::{COLOURS, DRAWN_MAX};
use std::collections::BTreeSet;

const OTHERS: &str = "other nodes";

/// Names of the nodes that ever had devices or are in the target's list: the list's order first. Those beyond the colours are one.
pub(in super::super) fn node_order(target: &Target, series: &Series) -> Vec<String> {
    let mut order: Vec<String> = Vec::new();
    let seen: BTreeSet<&String> = series.points.iter().flat_map(|p| p.devices.keys()).collect();
    for name in target.nodes.iter().map(|n| &n.name).chain(seen) {
        if !order.contains(name) {
            order.push(name.clone());
        }
    }
    order
}

fn span(series: &Series) -> Option<(f64, f64)> {
    let (first, last) = (series.points.first()?, series.points.last()?);
    Some((first.at_s, last.at_s + series.interval_s))
}

/// The nodes to draw, each with the devices it has at a point.
fn layers(order: &[String]) -> Vec<(String, Vec<String>)> {
    let own = if order.len() > COLOURS { COLOURS - 1 } else { order.len() };
    let (own, rest) = order.split_at_checked(own).unwrap_or((order, &[]));
    let mut layers: Vec<(String, Vec<String>)> = own.iter().map(|n| (n.clone(), vec![n.clone()])).collect();
    if !rest.is_empty() {
        layers.push((OTHERS.to_owned(), rest.to_vec()));
    }
    layers
}

fn held(point: &Point, nodes: &[String]) -> u64 {
    nodes.iter().filter_map(|n| point.devices.get(n)).fold(0, |sum, n| sum.saturating_add(*n))
}

/// Devices per node over time, stacked: the height is the number of all devices. `None` when nothing was measured.
pub(in super::super) fn devices(summary: &Summary) -> Option<Element> {
    let series = summary.series.at_most(DRAWN_MAX);
    let (from, to) = span(&series)?;
    let order = node_order(&summary.target, &series);
    let mut layers = layers(&order);
    layers.push(("not registered".to_owned(), Vec::new()));
    let value = |point: &Point, nodes: &[String]| {
        if nodes.is_empty() { point.unregistered } else { held(point, nodes) }
    };
    let sum = |p: &Point| layers.iter().map(|(_, nodes)| value(p, nodes) as f64).sum::<f64>();
    let most = series.points.iter().map(sum).fold(0.0, f64::max);
    let y = Axis::from_zero(most, "devices");
    let mut frame = Frame::new("devices", 340.0, Axis::time(from, to), y, true);
    let hatch = format!("{}-hatch", frame.id());
    frame.draw(
        el("defs").child(
            el("pattern")
                .attr("id", &hatch)
                .attr("patternUnits", "userSpaceOnUse")
                .attr("width", 6)
                .attr("height", 6)
                .child(el("path").class("hatch").attr("d", "M0 6L6 0")),
        ),
    );
    let mut below = vec![0.0; series.points.len()];
    let mut names = Vec::new();
    for (place, (name, nodes)) in layers.iter().enumerate() {
        let above: Vec<f64> = below.iter().zip(&series.points).map(|(b, p)| b + value(p, nodes) as f64).collect();
        if above != below {
            let outline = band(&frame, &series, &below, &above);
            let absent = nodes.is_empty();
            let class = if absent { "gap".to_owned() } else { format!("area c{place}") };
            let mut area = el("path").class(class).attr("d", outline).child(words("title", name));
            if absent {
                area = area.attr("fill", format!("url(#{hatch})"));
            }
            frame.draw(area);
            let ends = (below.last().copied().unwrap_or(0.0), above.last().copied().unwrap_or(0.0));
            if ends.0 < ends.1 {
                let class = if absent { "absent".to_owned() } else { format!("c{place}") };
                let text = format!("{name} {}", super::super::figures::number(ends.1 - ends.0));
                names.push((frame.at_y(f64::midpoint(ends.0, ends.1)), class, text));
            } else {
                within(&mut frame, &series, (&below, &above), name);
            }
        }
        below = above;
    }
    frame.end_labels(names);
    frame.mark(&summary.markers);
    let description = format!(
        "Stacked areas over {} s: devices registered at each of {} nodes, and on top those that are registered nowhere. {} markers.",
        super::super::figures::number(to - from),
        order.len(),
        summary.markers.len()
    );
    Some(frame.finish("Devices per node over time", &description))
}

/// Writes the name of a layer that has no end to stand beside where it is thickest.
fn within(frame: &mut Frame, series: &Series, (below, above): (&[f64], &[f64]), name: &str) {
    let thick =
        below.iter().zip(above).zip(&series.points).max_by(|(a, _), (b, _)| (a.1 - a.0).total_cmp(&(b.1 - b.0)));
    if let Some(((low, high), point)) = thick {
        let (x, y) = (frame.at_x(point.at_s + series.interval_s), frame.at_y(f64::midpoint(*low, *high)));
        let name: String = name.chars().take(17).collect();
        // Not over the edges.
        let half = name.chars().count() as f64 * 4.0;
        let x = x.clamp(frame.left() + half, (frame.right() - half).max(frame.left() + half));
        let text = words("text", name).class("inside").attr("text-anchor", "middle");
        frame.draw(text.attr("x", px(x)).attr("y", px(y + 4.0)));
    }
}

/// The outline of one layer: along its upper side, back along its lower side.
fn band(frame: &Frame, series: &Series, below: &[f64], above: &[f64]) -> String {
    let side = |values: &[f64]| -> Vec<(f64, f64)> {
        let ends =
            series.points.iter().zip(values).map(|(p, v)| (frame.at_x(p.at_s + series.interval_s), frame.at_y(*v)));
        let start = series.points.iter().zip(values).take(1).map(|(p, v)| (frame.at_x(p.at_s), frame.at_y(*v)));
        start.chain(ends).collect()
    };
    let mut outline = side(above);
    outline.extend(side(below).into_iter().rev());
    let mut d = String::new();
    for (n, (x, y)) in outline.iter().enumerate() {
        d += &format!("{}{} {}", if n == 0 { "M" } else { "L" }, px(*x), px(*y));
    }
    d + "Z"
}

/// A line over time: class, name, value at a point.
type Line<'a> = (&'static str, &'static str, &'a dyn Fn(&Point) -> Option<f64>);

fn draw_lines(frame: &mut Frame, series: &Series, lines: &[Line<'_>]) {
    let mut names = Vec::new();
    for (class, name, value) in lines {
        let mut d = String::new();
        let mut last = None;
        for point in &series.points {
            let Some(v) = value(point) else {
                last = None;
                continue;
            };
            let (x1, x2, y) = (frame.at_x(point.at_s), frame.at_x(point.at_s + series.interval_s), frame.at_y(v));
            // A gap stays a gap.
            d += &format!("{}{} {}H{}", if last.is_some() { "L" } else { "M" }, px(x1), px(y), px(x2));
            last = Some(y);
        }
        if !d.is_empty() {
            frame.draw(el("path").class(format!("line {class}")).attr("d", d).child(words("title", name)));
            names.push((last.unwrap_or_else(|| frame.bottom()), (*class).to_owned(), (*name).to_owned()));
        }
    }
    frame.end_labels(names);
}

/// Registrations, refreshes, refusals and errors per second. `None` when nothing was measured.
pub(in super::super) fn rates(summary: &Summary) -> Option<Element> {
    let series = summary.series.at_most(DRAWN_MAX);
    let (from, to) = span(&series)?;
    let per = series.interval_s.max(1e-3);
    let rate = |n: u64| Some(n as f64 / per);
    let all: [Line<'_>; 4] = [
        ("c1", "refreshes", &|p| rate(p.refreshes)),
        ("c0", "registrations", &|p| rate(p.registrations)),
        ("c3", "refusals", &|p| rate(p.refusals)),
        ("bad", "errors", &|p| rate(p.errors)),
    ];
    let most = |line: &Line<'_>| series.points.iter().filter_map(line.2).fold(0.0, f64::max);
    // What never happened would only hide the axis.
    let lines: Vec<Line<'_>> = all.into_iter().filter(|line| most(line) > 0.0 || line.1 == "registrations").collect();
    let y = Axis::from_zero(lines.iter().map(most).fold(0.0, f64::max), "per second");
    let mut frame = Frame::new("rates", 320.0, Axis::time(from, to), y, true);
    draw_lines(&mut frame, &series, &lines);
    frame.mark(&summary.markers);
    let words: Vec<String> =
        lines.iter().map(|l| format!("{} up to {} a second", l.1, super::super::figures::number(most(l)))).collect();
    Some(frame.finish("Registrations per second", &format!("Steps over time: {}.", words.join(", "))))
}

/// The 99th percentile over time, on a logarithmic axis. `None` when nothing was measured.
pub(in super::super) fn latency(summary: &Summary) -> Option<Element> {
    let series = summary.series.at_most(DRAWN_MAX);
    let (from, to) = span(&series)?;
    let values: Vec<f64> = series.points.iter().filter_map(|p| p.p99_ms).filter(|v| v.is_finite()).collect();
    let low = values.iter().copied().reduce(f64::min)?;
    let high = values.iter().copied().reduce(f64::max)?;
    let y = Axis::log_millis(low, high, "p99, logarithmic");
    let mut frame = Frame::new("latency", 260.0, Axis::time(from, to), y, true);
    draw_lines(&mut frame, &series, &[("c2", "p99", &|p| p.p99_ms)]);
    if let Some(worst) = series.points.iter().filter(|p| p.p99_ms == Some(high)).map(|p| p.at_s).next() {
        let (x, y) = (frame.at_x(worst + series.interval_s / 2.0), frame.at_y(high));
        frame.draw(line("peak", x, y - 5.0, x, y + 5.0).child(words("title", super::super::figures::millis(high))));
    }
    frame.mark(&summary.markers);
    let shown = super::super::figures::millis;
    let description = format!(
        "99th percentile of every interval, between {} and {}. Gaps had no operation.",
        shown(low),
        shown(high)
    );
    Some(frame.finish("Latency over time, 99th percentile", &description))
}

/// What happened from `from` on and before `to`.
pub(in super::super) fn marks_between(markers: &[Marker], from: f64, to: f64) -> Vec<&Marker> {
    markers.iter().filter(|m| m.at_s >= from && m.at_s < to).collect()
}
