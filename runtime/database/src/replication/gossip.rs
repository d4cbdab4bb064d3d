//! User settings: written at once here, told to everybody who is up, and compared by digest with every peer, so that what was lost
//! or set while a node was away is found.

use super::api::Output;
use super::frame::Frame;
use super::machine::Replication;
use super::settings::{COMMIT_DRAFTS, MERGES_MAX, USER_WRITES_MAX, USERS_IN_FRAME};
use super::work::{DatabaseOrStore, UserCursor, Work};
use crate::error::{Refused, StoreError};
use crate::row::Digest;
use crate::user_setting::UserSetting;
use std::collections::VecDeque;
use std::time::Duration;
use tandem_base::{NodeName, Time};

/// Between two questions to one peer, and how long after the last news its digest may differ before it is asked.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// User settings on their way to the disk.
#[derive(Debug, Default)]
pub(super) struct UserWrites {
    waiting: VecDeque<(u64, UserSetting)>,
    writing: bool,
    merging: usize,
}

/// A comparison with one peer.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    asked: Option<Time>,
    /// Where the next question goes on.
    after: Option<UserCursor>,
    /// Since when the digests differ.
    differs_since: Option<Time>,
    /// The store is reading an answer for it: one at a time.
    answering: bool,
}

impl Replication {
    pub(super) fn set_user(&mut self, token: u64, setting: UserSetting) {
        if self.users.waiting.len() >= USER_WRITES_MAX {
            return self.say(Output::UserSet { token, result: Err(Refused::Busy) });
        }
        self.users.waiting.push_back((token, setting));
    }
    pub(super) fn pump_users(&mut self) {
        if self.users.writing || self.users.waiting.is_empty() {
            return;
        }
        let n = self.users.waiting.len().min(COMMIT_DRAFTS);
        let settings = self.users.waiting.drain(..n).collect();
        self.users.writing = true;
        self.work(Work::SetUser { settings });
    }
    pub(super) fn user_set(&mut self, now: Time, results: Vec<(u64, Result<UserSetting, Refused>)>, digest: Digest) {
        self.users.writing = false;
        self.head.settings = digest;
        let (mut written, mut failed) = (Vec::new(), None);
        for (token, result) in results {
            match &result {
                Ok(setting) => written.push(setting.clone()),
                Err(Refused::Store(error)) => failed = Some(error.clone()),
                Err(_) => {}
            }
            self.say(Output::UserSet { token, result });
        }
        self.store_says(now, failed.map_or(Ok(()), Err));
        if written.is_empty() {
            return;
        }
        let up: Vec<NodeName> = self.up().map(|(name, _)| name.clone()).collect();
        for some in written.chunks(USERS_IN_FRAME) {
            let frame = Frame::Users { settings: some.to_vec(), answer: false, next: None };
            up.iter().for_each(|name| self.send(name, false, &frame));
        }
        self.say(Output::UserChanged(written));
    }
    pub(super) fn users_arrived(
        &mut self,
        now: Time,
        from: &NodeName,
        settings: Vec<UserSetting>,
        answer: bool,
        next: Option<UserCursor>,
    ) {
        if self.users.merging < MERGES_MAX && !settings.is_empty() {
            self.users.merging += 1;
            self.work(Work::MergeUser { from: from.clone(), settings });
        }
        let Some(peer) = self.peers.get_mut(from).filter(|_| answer) else { return };
        peer.exchange.after = next;
        if peer.exchange.after.is_some() {
            peer.exchange.asked = Some(now);
            self.work(Work::SumUser { peer: from.clone() });
        }
    }
    pub(super) fn user_merged(
        &mut self,
        now: Time,
        from: &NodeName,
        result: Result<Vec<UserSetting>, StoreError>,
        digest: Digest,
    ) {
        self.users.merging = self.users.merging.saturating_sub(1);
        self.head.settings = digest;
        match result {
            Ok(newer) => {
                self.store_says(now, Ok(()));
                if !newer.is_empty() {
                    self.say(Output::UserChanged(newer));
                }
                self.compare_users(now, from);
            }
            Err(error) => self.store_says(now, Err(error)),
        }
    }
    /// A peer whose digest differs for a while is asked for what differs. It asks, too: each fetches what it lacks.
    pub(super) fn compare_users(&mut self, now: Time, from: &NodeName) {
        let ours = self.head.settings;
        let Some(peer) = self.peers.get_mut(from) else { return };
        if peer.said.as_ref().is_none_or(|s| s.users == ours) {
            peer.exchange = Exchange { answering: peer.exchange.answering, ..Exchange::default() };
            return;
        }
        let since = *peer.exchange.differs_since.get_or_insert(now);
        let asked = peer.exchange.asked.is_some_and(|at| now.since(at) < ASK_EVERY);
        // What is on its way needs no question; a peer that just came up may lack anything.
        let young = now.since(since) < self.settings.status_every / 2;
        if asked || young || self.failing.is_some() {
            return;
        }
        (peer.exchange.asked, peer.exchange.after) = (Some(now), None);
        self.work(Work::SumUser { peer: from.clone() });
    }
    pub(super) fn user_summed(&mut self, now: Time, name: &NodeName, result: Result<Vec<Digest>, StoreError>) {
        match result {
            Ok(parts) => {
                let after = self.peers.get(name).and_then(|p| p.exchange.after.clone());
                self.send(name, false, &Frame::UserAsk { parts, after });
            }
            Err(error) => self.store_says(now, Err(error)),
        }
    }
    pub(super) fn user_asked(&mut self, from: &NodeName, theirs: Vec<Digest>, after: Option<UserCursor>) {
        let Some(peer) = self.peers.get_mut(from) else { return };
        if !std::mem::replace(&mut peer.exchange.answering, true) {
            self.work(Work::ReadUser { peer: from.clone(), theirs, after });
        }
    }
    pub(super) fn user_read(
        &mut self,
        now: Time,
        name: &NodeName,
        result: Result<(Vec<UserSetting>, Option<UserCursor>), DatabaseOrStore>,
    ) {
        if let Some(peer) = self.peers.get_mut(name) {
            peer.exchange.answering = false;
        }
        match result {
            Ok((settings, next)) => self.send(name, false, &Frame::Users { settings, answer: true, next }),
            Err(DatabaseOrStore::Database(why)) => self.misfit(now, name, why),
            Err(DatabaseOrStore::Store(error)) => self.store_says(now, Err(error)),
        }
    }
}
