//! The digest of an owner's set: wrapping sum of row hashes, and the count. Order does not matter, one change costs two additions.
//!
//! It finds loss and bugs, not malice: peers of a cluster are authenticated by the link.

use std::fmt;

/// Sum of row hashes (wrapping) and number of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// Wrapping sum of [`crate::Row::hash`] over the set.
    pub sum: u64,
    /// Number of rows in the set.
    pub count: u64,
}

impl Digest {
    /// A row with this hash comes in.
    pub fn add(&mut self, hash: u64) {
        self.sum = self.sum.wrapping_add(hash);
        self.count = self.count.saturating_add(1);
    }
    /// A row with this hash goes.
    pub fn remove(&mut self, hash: u64) {
        self.sum = self.sum.wrapping_sub(hash);
        self.count = self.count.saturating_sub(1);
    }
}
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}/{}", self.sum, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_changes_does_not_matter_and_removal_undoes() {
        let mut a = Digest::default();
        let mut b = Digest::default();
        [1, u64::MAX, 7].into_iter().for_each(|h| a.add(h));
        [7, 1, 9, u64::MAX].into_iter().for_each(|h| b.add(h));
        assert_ne!(a, b);
        b.remove(9);
        assert_eq!(a, b);
    }
}
