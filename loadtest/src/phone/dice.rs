//! A phone's own dice: SplitMix64 from a seed that is passed in, so that every run can be repeated.
//!
//! For jitter and for text that must differ, such as tags and branches. Never for secrets.

use std::time::Duration;

/// Eight bytes of state; every value of them is a good start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn next_u32(&mut self) -> u32 {
        u32::try_from(self.next() >> 32).unwrap_or_default()
    }

    /// Uniform from `low` per mille to 1,000 per mille of `whole`, in microseconds.
    pub(crate) fn part(&mut self, whole: Duration, low: u64) -> Duration {
        let whole = u64::try_from(whole.as_micros()).unwrap_or(u64::MAX);
        let least = u128::from(whole) * u128::from(low.min(1_000)) / 1_000;
        let least = u64::try_from(least).unwrap_or(u64::MAX);
        let span = (whole - least).saturating_add(1);
        Duration::from_micros(least + self.next() % span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_lies_within_its_bounds_and_reaches_both_halves() {
        let mut dice = Dice::new(1);
        let parts: Vec<u128> = (0..1_000).map(|_| dice.part(Duration::from_secs(4), 750).as_millis()).collect();
        assert!(parts.iter().all(|p| (3_000..=4_000).contains(p)));
        assert!(parts.iter().any(|&p| p < 3_100) && parts.iter().any(|&p| p > 3_900));
        assert_eq!(dice.part(Duration::ZERO, 0), Duration::ZERO);
    }

    #[test]
    fn the_same_seed_throws_the_same() {
        let (mut a, mut b) = (Dice::new(7), Dice::new(7));
        assert!((0..100).all(|_| a.next() == b.next()));
        assert_ne!(Dice::new(7).next(), Dice::new(8).next());
    }
}
