//! A distribution of durations, as an HDR histogram: microseconds to an hour with three digits, whatever the number of values.
//!
//! Nothing is averaged away. It never forgets and never grows.

use hdrhistogram::Histogram;
use std::fmt;
use std::time::Duration;

/// The longest duration told apart: an hour. Longer ones count as it.
const LONGEST_MICROS: u64 = 3_600_000_000;
/// Digits that are right.
const DIGITS: u8 = 3;

/// See the module.
#[derive(Clone)]
pub struct Spread(Histogram<u64>);

impl Default for Spread {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (p50, p99) = (self.quantile(0.5), self.quantile(0.99));
        f.debug_struct("Spread").field("count", &self.count()).field("p50", &p50).field("p99", &p99).finish()
    }
}

impl Spread {
    /// Without a value.
    #[expect(
        clippy::expect_used,
        reason = "constants: from 1 up, the upper bound more than twice the lower, up to 5 digits"
    )]
    pub fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST_MICROS, DIGITS).expect("the bounds are those the crate asks for"))
    }

    /// Adds one value.
    pub fn add(&mut self, value: Duration) {
        self.0.saturating_record(u64::try_from(value.as_micros()).unwrap_or(u64::MAX).max(1));
    }

    /// Adds all values of another.
    pub fn merge(&mut self, other: &Self) {
        // Both have the same bounds, so that nothing can be out of them.
        let _ = self.0.add(&other.0);
    }

    /// Takes all values out.
    pub fn clear(&mut self) {
        self.0.reset();
    }

    /// How many values.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The value below which this share (0 to 1) of all lies; zero when there is none.
    pub fn quantile(&self, share: f64) -> Duration {
        if self.count() == 0 { Duration::ZERO } else { Duration::from_micros(self.0.value_at_quantile(share)) }
    }

    /// The largest value, with three digits.
    pub fn max(&self) -> Duration {
        if self.count() == 0 { Duration::ZERO } else { Duration::from_micros(self.0.max()) }
    }

    /// The smallest value.
    pub fn min(&self) -> Duration {
        if self.count() == 0 { Duration::ZERO } else { Duration::from_micros(self.0.min()) }
    }

    /// Every value that was recorded, in milliseconds, and how often.
    pub fn counts_ms(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        self.0.iter_recorded().map(|v| (v.value_iterated_to() as f64 / 1e3, v.count_at_value()))
    }

    /// The mean.
    pub fn mean(&self) -> Duration {
        Duration::from_secs_f64((self.0.mean() / 1e6).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_three_digits() {
        let mut spread = Spread::new();
        for millis in 1..=1_000 {
            spread.add(Duration::from_millis(millis));
        }
        let near = |d: Duration, millis: f64| (d.as_secs_f64() * 1e3 / millis - 1.0).abs() < 0.002;
        assert!(near(spread.quantile(0.5), 500.0) && near(spread.quantile(0.99), 990.0) && near(spread.max(), 1_000.0));
        assert!(near(spread.mean(), 500.5) && near(spread.min(), 1.0));
        assert_eq!(spread.count(), 1_000);
    }

    #[test]
    fn nothing_and_extremes_have_figures_too() {
        let mut spread = Spread::new();
        assert_eq!(
            (spread.quantile(0.99), spread.max(), spread.min()),
            (Duration::ZERO, Duration::ZERO, Duration::ZERO)
        );
        spread.add(Duration::ZERO);
        spread.add(Duration::from_secs(1_000_000));
        assert_eq!(spread.count(), 2);
        assert!(spread.max() >= Duration::from_secs(3_599));
        let mut other = Spread::new();
        other.merge(&spread);
        assert_eq!((other.count(), other.max()), (2, spread.max()));
        other.clear();
        assert_eq!(other.count(), 0);
    }
}
