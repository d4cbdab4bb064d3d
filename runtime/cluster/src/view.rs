//! What may be asked of the cluster machine: members, copies, counters. Reading only, but for the expiry of orphans.

use crate::api::{Counters, Found, Member, OwnerView, Page};
use crate::cluster::Cluster;
use crate::digest::Digest;
use crate::row::Row;
use crate::settings::Settings;
use tandem_base::{NodeLife, Time};

impl<R: Row> Cluster<R> {
    /// This node and its life.
    pub fn me(&self) -> &NodeLife {
        &self.me
    }
    /// The settings as given, peers as last told.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
    /// What has happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
    /// Whether [`crate::Output::InSync`] has been said.
    pub fn is_in_sync(&self) -> bool {
        self.in_sync
    }
    /// The last own change's sequence number.
    pub fn own_head(&self) -> u64 {
        self.log.head()
    }
    /// The digest of the own set after that change: what every complete copy at that sequence has.
    pub fn own_digest(&self) -> Digest {
        self.log.digest()
    }

    /// Every configured peer as seen here, by name.
    pub fn members(&self) -> Vec<Member> {
        let view = |(node, peer): (&tandem_base::NodeName, &crate::membership::Peer)| {
            let copy = self.members.life_of(node).and_then(|life| self.tables.copies.get(&life));
            Member {
                node: node.clone(),
                incarnation: peer.incarnation,
                state: peer.state,
                since: peer.since,
                why: peer.why,
                last_heard: peer.last_heard,
                hears_us: peer.hears_us,
                node_state: peer.node_state,
                complete: copy.is_some_and(|c| c.complete),
                rows: copy.map_or(0, |c| c.rows.len()),
                lag: copy.map_or(0, |c| c.head.saturating_sub(c.applied)),
                has_of_us: peer.has_of_us,
            }
        };
        self.members.peers.iter().map(view).collect()
    }

    /// Peers that are up and whose copy here is not proven complete: `replication_divergent_peers`.
    pub fn divergent_peers(&self) -> usize {
        let up = self.members.peers.keys().filter_map(|node| self.members.up_life_of(node));
        up.filter(|life| self.tables.copies.get(life).is_none_or(|copy| !copy.complete)).count()
    }

    /// The owners whose rows are kept here, live and orphaned, by name and life.
    pub fn owners(&self) -> Vec<OwnerView> {
        let copies = self.tables.copies.iter();
        let view = copies.map(|(life, copy)| OwnerView {
            owner: life.clone(),
            orphaned: copy.orphaned.is_some(),
            orphaned_since: copy.orphaned,
            complete: copy.complete,
            digest: copy.rows.digest(),
            rows: copy.rows.len(),
            applied: copy.applied,
            clock_ahead_micros: copy.clock_ahead(),
        });
        view.collect()
    }

    /// All copies of the row with this key: one per owner's life that has it.
    pub fn get(&self, key: u128) -> impl Iterator<Item = Found<'_, R>> {
        self.tables.copies.iter().filter_map(move |(owner, copy)| {
            Some(Found { owner, orphaned: copy.orphaned.is_some(), row: copy.rows.get(key)? })
        })
    }

    /// Up to `limit` rows of one owner, from `cursor` (0 at first). Rows that change meanwhile may be missed or seen twice.
    pub fn page(&self, owner: &NodeLife, cursor: u64, limit: usize) -> Page<'_, R> {
        let page = self.tables.copies.get(owner).map(|copy| copy.rows.page(cursor, limit));
        let (rows, next) = page.unwrap_or_default();
        Page { rows, next }
    }

    /// A moment on an owner's clock, in whole seconds, on this node's clock. `None` when that owner's clock was never heard.
    pub fn owner_time_to_local(&self, owner: &NodeLife, secs: u64) -> Option<Time> {
        self.tables.copies.get(owner)?.to_local(secs)
    }

    /// Takes out orphaned rows that have expired on their owner's clock, looking at up to `limit` rows and going round from call
    /// to call. The rows are returned instead of being told as [`crate::Output::Changed`].
    pub fn expire_orphans(&mut self, now: Time, limit: usize) -> Vec<(NodeLife, R)> {
        self.tables.expire_orphans(now, limit)
    }
}
