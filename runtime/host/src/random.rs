//! A small seeded generator (xoshiro256++ seeded through splitmix64, Blackman and Vigna 2019): the dice of a node. Not for secrets that
//! outlive a process: keys come from [`Random::from_os`], which seeds all 256 bits of state from the operating system.

use crate::error::HostError;

/// The generator. Equal seeds give equal numbers on every machine.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// Seeded by the operating system.
    ///
    /// # Errors
    /// [`HostError::Random`] when it gives no bytes.
    pub fn from_os() -> Result<Self, HostError> {
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes).map_err(|e| HostError::Random(e.to_string()))?;
        let mut state = [0_u64; 4];
        for (word, chunk) in state.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = chunk.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        }
        // All zero is the one state it never leaves.
        if state == [0; 4] { Ok(Self::seeded(0)) } else { Ok(Self { state }) }
    }

    /// Everything follows from `seed`.
    pub fn seeded(seed: u64) -> Self {
        let mut x = seed;
        let mut splitmix = || {
            x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        Self { state: [splitmix(), splitmix(), splitmix(), splitmix()] }
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let t = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= t;
        *d = d.rotate_left(45);
        result
    }

    /// A number below `bound`, without modulo bias; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // Lemire's multiplication: the upper half is uniform once the lower half is not in the short, biased part.
        let threshold = bound.wrapping_neg().checked_rem(bound).unwrap_or(0);
        loop {
            let wide = u128::from(self.next_u64()) * u128::from(bound);
            let (high, low) = ((wide >> 64) as u64, wide as u64);
            if low >= threshold {
                return high;
            }
        }
    }

    /// Sixteen random bytes: the key of a hash.
    pub fn key(&mut self) -> [u8; 16] {
        ((u128::from(self.next_u64()) << 64) | u128::from(self.next_u64())).to_be_bytes()
    }

    /// A generator of its own for a part of the node: what one part draws does not shift what another gets.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self::seeded(self.next_u64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_reference_implementation() {
        // From prng.di.unimi.it: state 1, 2, 3, 4.
        let mut random = Random { state: [1, 2, 3, 4] };
        let expected = [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386];
        assert_eq!(expected.map(|_| random.next_u64()), expected);
    }

    #[test]
    fn below_reaches_every_value_and_never_the_bound() {
        let mut random = Random::seeded(7);
        let mut seen = [0_u32; 10];
        for _ in 0..10_000 {
            seen[usize::try_from(random.below(10)).unwrap()] += 1;
        }
        assert!(seen.iter().all(|n| (850..1_150).contains(n)), "{seen:?}");
        assert_eq!(random.below(0), 0);
        assert_eq!(random.below(1), 0);
    }

    #[test]
    fn keys_of_the_operating_system_differ_and_seeded_ones_repeat() {
        assert_ne!(Random::from_os().unwrap().key(), Random::from_os().unwrap().key());
        assert_eq!(Random::seeded(1).key(), Random::seeded(1).key());
        assert_ne!(Random::seeded(1).fork().key(), Random::seeded(1).key());
    }
}
