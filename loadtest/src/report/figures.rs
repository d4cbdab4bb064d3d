//! Figures for people: three digits that matter, a unit that fits, "-" for what was not measured.
//!
//! It must never show a figure as better than it is: nothing is rounded to zero that is not zero.

use super::Failover;

/// Shown for what was not measured.
pub(super) const NONE: &str = "-";

/// A count, with thin groups of three: `1 234 567`.
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{a0}');
        }
        text.push(digit);
    }
    text
}

/// A number with about three digits that matter: `0.0123`, `4.56`, `1 235`.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() {
        return NONE.to_owned();
    }
    let size = value.abs();
    let text = match size {
        _ if size >= 1e15 => return format!("{value:.2e}"),
        _ if size >= 99.95 => return format!("{}{}", if value < 0.0 { "-" } else { "" }, count(size.round() as u64)),
        _ if size >= 9.995 => format!("{value:.1}"),
        _ if size >= 0.995 => format!("{value:.2}"),
        _ if size == 0.0 => return "0".to_owned(),
        _ if size >= 0.001 => format!("{value:.3}"),
        _ => return format!("{value:.1e}"),
    };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A number, or "-".
pub(super) fn optional(value: Option<f64>) -> String {
    value.map_or_else(|| NONE.to_owned(), number)
}

/// A count, or "-".
pub(super) fn optional_count(value: Option<u64>) -> String {
    value.map_or_else(|| NONE.to_owned(), count)
}

/// Milliseconds in the unit that fits, kept on one line: `850 µs`, `1.23 ms`, `4.5 s`, `2 min 3 s`, `1 h 2 min`.
pub(super) fn millis(ms: f64) -> String {
    if !ms.is_finite() {
        return NONE.to_owned();
    }
    match ms.abs() {
        0.0 => "0\u{a0}ms".to_owned(),
        size if size < 0.9995 => format!("{}\u{a0}µs", number(ms * 1e3)),
        size if size < 999.5 => format!("{}\u{a0}ms", number(ms)),
        size if size < 119_950.0 => format!("{}\u{a0}s", number(ms / 1e3)),
        size if size < 7_200_000.0 => parts(ms, 60_000.0, "min", 1_000.0, "s"),
        _ => parts(ms, 3_600_000.0, "h", 60_000.0, "min"),
    }
}

/// Milliseconds, or "-".
pub(super) fn optional_millis(ms: Option<f64>) -> String {
    ms.map_or_else(|| NONE.to_owned(), millis)
}

/// What a movement of devices cost, the same on the page and on a terminal: lost, twice, outage p50, p90, p99 and max, the last one,
/// re-registrations per second, refusals, their Retry-After.
pub(super) fn cost(f: &Failover) -> [String; 10] {
    let (d, retry) = (&f.outage_ms, &f.retry_after_s);
    let shown = |value: f64| if d.is_empty() { NONE.to_owned() } else { millis(value) };
    let waits = || format!("{} to {} s", number(retry.min), number(retry.max));
    [
        count(f.lost),
        count(f.duplicate),
        shown(d.p50),
        shown(d.p90),
        shown(d.p99),
        shown(d.max),
        optional_millis(f.last_ms),
        optional(f.reregistrations_per_s),
        count(f.refusals),
        if retry.is_empty() { NONE.to_owned() } else { waits() },
    ]
}

/// Seconds as [`millis`] shows them.
pub(super) fn seconds(s: f64) -> String {
    if s == 0.0 { "0\u{a0}s".to_owned() } else { millis(s * 1e3) }
}

fn parts(ms: f64, large: f64, large_unit: &str, small: f64, small_unit: &str) -> String {
    let sign = if ms < 0.0 { "-" } else { "" };
    let units = (ms.abs() / small).round();
    let per = large / small;
    let (whole, rest) = ((units / per).floor(), units % per);
    if rest == 0.0 {
        format!("{sign}{}\u{a0}{large_unit}", number(whole))
    } else {
        format!("{sign}{}\u{a0}{large_unit} {}\u{a0}{small_unit}", number(whole), number(rest))
    }
}

/// Bytes as KiB, MiB or GiB.
pub(super) fn bytes(n: u64) -> String {
    let n = n as f64;
    match n {
        _ if n < 1024.0 => format!("{n} B"),
        _ if n < 1024f64.powi(2) => format!("{} KiB", number(n / 1024.0)),
        _ if n < 1024f64.powi(3) => format!("{} MiB", number(n / 1024f64.powi(2))),
        _ => format!("{} GiB", number(n / 1024f64.powi(3))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_has_the_unit_that_fits_and_is_never_rounded_to_nothing() {
        let shown =
            [0.0, 0.0004, 0.85, 1.234, 999.4, 1_000.0, 61_234.0, 123_000.0, 3_600_000.0, 7_260_000.0].map(millis);
        let wanted =
            ["0 ms", "0.4 µs", "850 µs", "1.23 ms", "999 ms", "1 s", "61.2 s", "2 min 3 s", "60 min", "2 h 1 min"];
        assert_eq!(shown.map(|s| s.replace('\u{a0}', " ")), wanted.map(str::to_owned));
        assert_ne!(number(1e-9), "0");
        assert_eq!([0.5, 10.0, 99.96, 1234.4, -1234.4].map(number), ["0.5", "10", "100", "1\u{a0}234", "-1\u{a0}234"]);
        assert_eq!((number(f64::NAN), millis(f64::INFINITY), optional(None)), ("-".into(), "-".into(), "-".into()));
        assert_eq!(count(1_234_567), "1\u{a0}234\u{a0}567");
        assert_eq!([0, 1_536, 5 << 30].map(bytes), ["0 B", "1.5 KiB", "5 GiB"]);
    }
}
