//! From one random number that the caller drew to a number within bounds. Draws nothing itself.

/// A number from 0 to `most`, both possible, that `random` picks evenly.
pub(crate) fn up_to(most: u64, random: u64) -> u64 {
    // The upper half of the product: even, without a division (Lemire); `most + 1` cannot overflow in 128 bits.
    let scaled = (u128::from(random) * (u128::from(most) + 1)) >> 64;
    u64::try_from(scaled).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_possible_and_nothing_beyond() {
        assert_eq!((up_to(9, 0), up_to(9, u64::MAX)), (0, 9));
        assert_eq!((up_to(0, u64::MAX), up_to(u64::MAX, u64::MAX)), (0, u64::MAX));
        assert_eq!(up_to(9, u64::MAX / 2), 4);
    }
}
