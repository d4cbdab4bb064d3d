//! A distribution as the document keeps it: the figures people quote, and bounded buckets for the pictures.
//!
//! Figures are computed before buckets are merged, so that a coarse picture never makes a coarse figure. It must never interpolate:
//! each figure is the upper end of what was recorded.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most buckets of one distribution in the document.
pub const BUCKETS_MAX: usize = 200;

/// How values are spread. All figures are 0 when `count` is 0: there is nothing to be read from them then.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Distribution {
    /// How many values.
    pub count: u64,
    /// The smallest.
    pub min: f64,
    /// Their mean.
    pub mean: f64,
    /// Half of them are at most this.
    pub p50: f64,
    /// 90 %.
    pub p90: f64,
    /// 99 %.
    pub p99: f64,
    /// 99.9 %.
    #[serde(default)]
    pub p999: f64,
    /// The largest.
    pub max: f64,
    /// Where they lie: ascending, without empty buckets.
    #[serde(default)]
    pub buckets: Vec<Bucket>,
}

/// Values between the bucket before (exclusive) and `up_to` (inclusive).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Bucket {
    /// Upper end.
    pub up_to: f64,
    /// Values in it.
    pub count: u64,
}

impl Distribution {
    /// From values and how often each was recorded, such as what an HDR histogram has recorded, in its unit. Order does not matter;
    /// values that are no numbers, and those recorded zero times, are left out.
    pub fn from_counts(counts: impl IntoIterator<Item = (f64, u64)>) -> Self {
        let mut counts: Vec<Bucket> = counts
            .into_iter()
            .filter(|(value, count)| value.is_finite() && *count > 0)
            .map(|(up_to, count)| Bucket { up_to, count })
            .collect();
        counts.sort_by(|a, b| a.up_to.total_cmp(&b.up_to));
        let (Some(first), Some(last)) = (counts.first(), counts.last()) else { return Self::default() };
        let count = counts.iter().map(|b| b.count).sum::<u64>();
        let sum: f64 = counts.iter().map(|b| b.up_to * b.count as f64).sum();
        Self {
            count,
            min: first.up_to,
            mean: sum / count as f64,
            p50: at(&counts, count, 500),
            p90: at(&counts, count, 900),
            p99: at(&counts, count, 990),
            p999: at(&counts, count, 999),
            max: last.up_to,
            buckets: merged(counts),
        }
    }

    /// From single values.
    pub fn from_values(values: impl IntoIterator<Item = f64>) -> Self {
        Self::from_counts(values.into_iter().map(|v| (v, 1)))
    }

    /// Nothing was recorded.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// The value that `per_mille` of all values do not exceed.
fn at(counts: &[Bucket], all: u64, per_mille: u64) -> f64 {
    let wanted = (u128::from(all) * u128::from(per_mille)).div_ceil(1000).max(1);
    let mut seen = 0u128;
    for bucket in counts {
        seen += u128::from(bucket.count);
        if seen >= wanted {
            return bucket.up_to;
        }
    }
    counts.last().map_or(0.0, |b| b.up_to)
}

/// At most [`BUCKETS_MAX`] buckets: neighbours are joined as finely as the bound allows, each keeping its upper end.
fn merged(counts: Vec<Bucket>) -> Vec<Bucket> {
    let smallest = counts.iter().map(|b| b.up_to).find(|v| *v > 0.0).unwrap_or(1.0);
    let mut ratio = 1.0;
    loop {
        let mut buckets: Vec<Bucket> = Vec::new();
        let mut start = f64::NEG_INFINITY;
        for bucket in &counts {
            match buckets.last_mut() {
                Some(last) if bucket.up_to <= start.max(smallest * 1e-3) * ratio => {
                    *last = Bucket { up_to: bucket.up_to, count: last.count + bucket.count };
                }
                _ => {
                    buckets.push(*bucket);
                    start = bucket.up_to;
                }
            }
        }
        if buckets.len() <= BUCKETS_MAX {
            return buckets;
        }
        // Finer steps than the eye can see in a picture; the loop ends because the ratio soon spans all values.
        ratio = if ratio < 1.01 { 1.01 } else { ratio * ratio.min(2.0).sqrt() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_exact_and_do_not_depend_on_order() {
        let up = Distribution::from_values((1..=1_000).map(f64::from));
        let down = Distribution::from_values((1..=1_000).rev().map(f64::from));
        assert_eq!(up, down);
        assert_eq!((up.count, up.min, up.max, up.mean), (1_000, 1.0, 1_000.0, 500.5));
        assert_eq!((up.p50, up.p90, up.p99, up.p999), (500.0, 900.0, 990.0, 999.0));
    }

    #[test]
    fn buckets_are_bounded_ascending_and_lose_nobody() {
        for values in [1u32, 150, 200, 201, 5_000, 200_000] {
            let d = Distribution::from_values((1..=values).map(|v| f64::from(v).powi(2) / 1e3));
            assert!(d.buckets.len() <= BUCKETS_MAX, "{values}: {}", d.buckets.len());
            assert!(values < 201 || d.buckets.len() > BUCKETS_MAX / 4, "{values}: too coarse, {}", d.buckets.len());
            assert!(d.buckets.windows(2).all(|w| w[0].up_to < w[1].up_to));
            assert_eq!(d.buckets.iter().map(|b| b.count).sum::<u64>(), u64::from(values));
            assert_eq!(d.buckets.last().map(|b| b.up_to), Some(d.max));
        }
    }

    #[test]
    fn nothing_and_nonsense_are_no_values() {
        assert_eq!(Distribution::from_values([]), Distribution::default());
        let d = Distribution::from_counts([(f64::NAN, 3), (f64::INFINITY, 1), (2.0, 0), (0.0, 2), (0.0, 1), (-1.0, 1)]);
        assert_eq!((d.count, d.min, d.max, d.p50), (4, -1.0, 0.0, 0.0));
    }
}
