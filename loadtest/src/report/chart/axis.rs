//! Axes: from values to places between 0 and 1, and the ticks people read. It must never loop longer for a larger value: ticks are
//! counted out beforehand.

use super::super::figures;

/// Most ticks of an axis.
const TICKS_MAX: usize = 14;

/// A place on an axis with its words.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Tick {
    /// Value.
    pub(in super::super) at: f64,
    /// Words; empty for a line without words.
    pub(in super::super) text: String,
}

/// One axis.
#[derive(Clone, Debug)]
pub(in super::super) struct Axis {
    log: bool,
    low: f64,
    high: f64,
    /// What is shown, with its unit.
    pub(in super::super) label: String,
    /// Ascending.
    pub(in super::super) ticks: Vec<Tick>,
}

/// A value that pictures can bear.
fn tame(value: f64) -> f64 {
    if value.is_finite() { value.clamp(-1e15, 1e15) } else { 0.0 }
}

/// The smallest of 1, 2, 5 times a power of ten that is at least `raw`.
fn nice(raw: f64) -> f64 {
    let power = 10f64.powf(raw.max(1e-12).log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|m| m * power).find(|step| *step >= raw * 0.999_999).unwrap_or(power * 10.0)
}

impl Axis {
    /// From 0 to a round number at or above `high`.
    pub(in super::super) fn from_zero(high: f64, label: &str) -> Self {
        let high = tame(high).max(1.0);
        let step = nice(high / 5.0).max(if high <= 5.0 { 1.0 } else { 0.0 });
        let steps = ((high / step) - 1e-6).ceil().clamp(1.0, TICKS_MAX as f64);
        let ticks = (0..=steps as u32).map(|n| step * f64::from(n));
        let ticks = ticks.map(|at| Tick { at, text: figures::number(at) }).collect();
        Self { log: false, low: 0.0, high: step * steps, label: label.to_owned(), ticks }
    }

    /// Time in seconds since measuring began.
    pub(in super::super) fn time(from: f64, to: f64) -> Self {
        const STEPS: [f64; 18] = [
            0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 7_200.0,
            21_600.0, 86_400.0,
        ];
        let (low, to) = (tame(from), tame(to));
        let high = to.max(low + 0.1);
        let span = high - low;
        let step = STEPS.into_iter().find(|s| span / s <= 9.0).unwrap_or_else(|| nice(span / 8.0));
        let first = (low / step).ceil();
        let ticks = (0..TICKS_MAX).map(|n| (first + n as f64) * step).take_while(|at| *at <= high + step * 1e-6);
        let ticks = ticks.map(|at| Tick { at, text: clock(at, span) }).collect();
        let unit = match span {
            _ if span <= 180.0 => "s",
            _ if span <= 10_800.0 => "min:s",
            _ => "h:min",
        };
        Self { log: false, low, high, label: format!("time since measuring began, {unit}"), ticks }
    }

    /// Logarithmic, from at most `low` to at least `high`, both milliseconds.
    pub(in super::super) fn log_millis(low: f64, high: f64, label: &str) -> Self {
        let low = tame(low).max(1e-3);
        let high = tame(high).max(low * 1.000_001);
        let marks: Vec<f64> = (-3i32..16).flat_map(|power| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(power))).collect();
        let first = marks.iter().rposition(|m| *m <= low * 1.000_001).unwrap_or(0);
        let last = marks.iter().position(|m| *m >= high * 0.999_999).unwrap_or(marks.len() - 1).max(first + 1);
        let within = marks.get(first..=last.min(marks.len() - 1)).unwrap_or_default();
        let wordy = within.len() <= 10;
        let decade = |m: f64| (m.log10() - m.log10().round()).abs() < 1e-6;
        let text = |m: f64| if wordy || decade(m) { figures::millis(m) } else { String::new() };
        let ticks = within.iter().map(|m| Tick { at: *m, text: text(*m) }).collect();
        let (low, high) = (within.first().copied().unwrap_or(low), within.last().copied().unwrap_or(high));
        Self { log: true, low, high, label: label.to_owned(), ticks }
    }

    /// Percentiles, each nine as wide as the one before: places are powers of a tenth that are left, see [`percentile_place`].
    pub(in super::super) fn percentiles(high: f64, label: &str) -> Self {
        const MARKS: [(f64, &str); 9] = [
            (0.0, "0 %"),
            (0.5, "50 %"),
            (0.75, "75 %"),
            (0.9, "90 %"),
            (0.99, "99 %"),
            (0.999, "99.9 %"),
            (0.999_9, "99.99 %"),
            (0.999_99, "99.999 %"),
            (0.999_999, "99.9999 %"),
        ];
        let high = tame(high).clamp(1.0, 6.3);
        let ticks = MARKS.iter().map(|(p, text)| Tick { at: percentile_place(*p), text: (*text).to_owned() });
        let ticks = ticks.filter(|t| t.at <= high + 1e-6).collect();
        Self { log: false, low: 0.0, high, label: label.to_owned(), ticks }
    }

    /// Between 0 and 1.
    pub(in super::super) fn place(&self, value: f64) -> f64 {
        let value = tame(value);
        let place = if self.log {
            (value.max(1e-12) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        if place.is_finite() { place.clamp(0.0, 1.0) } else { 0.0 }
    }

    /// The range that is drawn.
    pub(in super::super) const fn range(&self) -> (f64, f64) {
        (self.low, self.high)
    }
}

/// 0.9 is at 1, 0.99 at 2, 0.999 at 3.
pub(in super::super) fn percentile_place(fraction: f64) -> f64 {
    -(1.0 - fraction).max(1e-9).log10()
}

/// Words of a time tick, in the unit of the axis.
fn clock(at: f64, span: f64) -> String {
    let (sign, size) = if at < 0.0 { ("-", -at) } else { ("", at) };
    if span <= 180.0 {
        return figures::number((at * 10.0).round() / 10.0);
    }
    let per = if span <= 10_800.0 { 60.0 } else { 3_600.0 };
    let units = (size / (per / 60.0)).round();
    format!("{sign}{}:{:02}", (units / 60.0).floor(), units % 60.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|t| t.text.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_few_and_cover_the_values() {
        assert_eq!(texts(&Axis::from_zero(800.0, "")), ["0", "200", "400", "600", "800"]);
        assert_eq!(texts(&Axis::from_zero(0.0, "")), ["0", "1"], "an empty chart has an axis, too");
        assert_eq!(texts(&Axis::time(0.0, 1.0)), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
        assert_eq!(texts(&Axis::time(-10.0, 60.0)), ["-10", "0", "10", "20", "30", "40", "50", "60"]);
        assert_eq!(texts(&Axis::time(0.0, 3_600.0)), ["0:00", "10:00", "20:00", "30:00", "40:00", "50:00", "60:00"]);
        let millis = ["500\u{a0}µs", "1\u{a0}ms", "2\u{a0}ms", "5\u{a0}ms", "10\u{a0}ms"];
        assert_eq!(texts(&Axis::log_millis(0.7, 9.0, "")), millis);
        for value in [f64::NAN, f64::INFINITY, -5.0, 1e300, 1e-300, 7.3, 123_456.0] {
            for axis in [Axis::from_zero(value, ""), Axis::time(0.0, value), Axis::log_millis(value, value, "")] {
                assert!((1..=60).contains(&axis.ticks.len()), "{value}: {:?}", axis.ticks);
                assert!(axis.ticks.iter().all(|t| (0.0..=1.0).contains(&axis.place(t.at))), "{value}");
                assert!((0.0..=1.0).contains(&axis.place(value)), "{value}");
            }
        }
    }

    #[test]
    fn a_log_axis_gives_each_decade_the_same_room() {
        let axis = Axis::log_millis(1.0, 1_000.0, "");
        assert!((axis.place(10.0) - 1.0 / 3.0).abs() < 1e-9 && (axis.place(100.0) - 2.0 / 3.0).abs() < 1e-9);
        assert_eq!((axis.place(0.0), axis.place(1e9)), (0.0, 1.0));
    }

    #[test]
    fn each_nine_has_the_same_room() {
        let axis = Axis::percentiles(3.0, "");
        assert_eq!(texts(&axis), ["0 %", "50 %", "75 %", "90 %", "99 %", "99.9 %"]);
        assert!((axis.place(percentile_place(0.99)) - 2.0 / 3.0).abs() < 1e-6);
    }
}
