//! The machine a node drives.

use crate::api::{Counters, Found, Input, Member, Output, OwnerView, Page};
use crate::error::ClusterError;
use crate::row::Row;
use crate::settings::Settings;
use std::collections::VecDeque;
use tandem_base::{Machine, NodeLife, Time};

/// Membership, replicated tables and signals of one node.
#[derive(Debug)]
pub struct Cluster<R: Row> {
    me: NodeLife,
    settings: Settings,
    counters: Counters,
    out: VecDeque<Output<R>>,
}

impl<R: Row> Cluster<R> {
    /// A node's life begins at `now`.
    ///
    /// # Errors
    /// [`ClusterError::Settings`] when the settings contradict each other.
    pub fn new(me: NodeLife, settings: Settings, _now: Time) -> Result<Self, ClusterError> {
        settings.check()?;
        Ok(Self {
            me,
            settings,
            counters: Counters::default(),
            out: VecDeque::new(),
        })
    }
    /// This node and its life.
    pub fn me(&self) -> &NodeLife {
        &self.me
    }
    /// The settings as given.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
    /// What has happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
    /// Every configured peer as seen here, by name.
    pub fn members(&self) -> Vec<Member> {
        Vec::new()
    }
    /// Whether [`Output::InSync`] has been said.
    pub fn is_in_sync(&self) -> bool {
        false
    }
    /// Peers that are up and whose copy here is not proven complete: `replication_divergent_peers`.
    pub fn divergent_peers(&self) -> usize {
        0
    }
    /// The owners whose rows are kept here, live and orphaned.
    pub fn owners(&self) -> Vec<OwnerView> {
        Vec::new()
    }
    /// All copies of the row with this key: one per owner's life that has it.
    pub fn get(&self, _key: u128) -> impl Iterator<Item = Found<'_, R>> {
        std::iter::empty()
    }
    /// Up to `limit` rows of one owner, from `cursor` (0 at first). Rows that change meanwhile may be missed or seen twice.
    pub fn page(&self, _owner: &NodeLife, _cursor: u64, _limit: usize) -> Page<'_, R> {
        Page {
            rows: Vec::new(),
            next: None,
        }
    }
    /// A moment on an owner's clock, in whole seconds, on this node's clock. `None` when that owner's clock was never heard.
    pub fn owner_time_to_local(&self, _owner: &NodeLife, _secs: u64) -> Option<Time> {
        None
    }
    /// Takes out orphaned rows that have expired on their owner's clock, looking at up to `limit` rows and going round from call
    /// to call. The rows are returned instead of being told as [`Output::Changed`].
    pub fn expire_orphans(&mut self, _now: Time, _limit: usize) -> Vec<(NodeLife, R)> {
        Vec::new()
    }
}

impl<R: Row> Machine for Cluster<R> {
    type Input = Input<R>;
    type Output = Output<R>;

    fn handle(&mut self, _now: Time, _input: Input<R>) {}
    fn tick(&mut self, _now: Time) {}
    fn poll(&mut self) -> Option<Output<R>> {
        self.out.pop_front()
    }
    fn deadline(&self) -> Option<Time> {
        None
    }
}
