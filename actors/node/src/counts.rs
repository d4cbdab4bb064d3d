//! How many devices each node serves, by pool and rank: kept in step with the rows, never recounted by a walk.

use std::collections::BTreeMap;
use tandem_base::Rank;

/// Registrations by (node, pool, rank); nodes and pools as indexes into the directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    by: BTreeMap<(u16, u16, Rank), u32>,
}

impl Counts {
    /// One more.
    pub fn add(&mut self, node: u16, pool: u16, rank: Rank) {
        *self.by.entry((node, pool, rank)).or_default() += 1;
    }
    /// One less.
    pub fn remove(&mut self, node: u16, pool: u16, rank: Rank) {
        if let Some(n) = self.by.get_mut(&(node, pool, rank)) {
            *n = n.saturating_sub(1);
            if *n == 0 {
                self.by.remove(&(node, pool, rank));
            }
        }
    }
    /// How many of `pool` are at `node`, whatever the rank.
    pub fn of_pool(&self, node: u16, pool: u16) -> u64 {
        let ranks = Rank::ALL.map(|rank| self.by.get(&(node, pool, rank)).copied().unwrap_or(0));
        ranks.into_iter().map(u64::from).sum()
    }
    /// How many are at `node`.
    pub fn of_node(&self, node: u16) -> u64 {
        self.iter().filter(|(n, ..)| *n == node).map(|(.., count)| u64::from(count)).sum()
    }
    /// All counts above zero, in order of node, pool and rank.
    pub fn iter(&self) -> impl Iterator<Item = (u16, u16, Rank, u32)> + '_ {
        self.by.iter().map(|(&(node, pool, rank), &n)| (node, pool, rank, n))
    }
    /// Adds all of another table.
    pub fn merge(&mut self, other: &Self) {
        self.merge_where(other, |_| true);
    }
    /// Adds what another table has of the nodes that `which` picks.
    pub fn merge_where(&mut self, other: &Self, which: impl Fn(u16) -> bool) {
        for (&key, &n) in other.by.iter().filter(|((node, _, _), _)| which(*node)) {
            *self.by.entry(key).or_default() += n;
        }
    }
    /// Forgets a node.
    pub fn clear_node(&mut self, node: u16) {
        self.by.retain(|&(n, _, _), _| n != node);
    }
    /// All devices.
    pub fn total(&self) -> u64 {
        self.by.values().map(|n| u64::from(*n)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_and_removed_leaves_nothing() {
        let mut c = Counts::default();
        c.add(0, 1, Rank::HOME);
        c.add(0, 1, Rank::HOME);
        c.remove(0, 1, Rank::HOME);
        assert_eq!((c.of_pool(0, 1), c.of_node(0), c.total()), (1, 1, 1));
        c.remove(0, 1, Rank::HOME);
        c.remove(0, 1, Rank::HOME);
        assert_eq!(c, Counts::default());
    }
}
