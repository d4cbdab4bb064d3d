//! The machine of one node: takes what happens apart and hands each part to the file that knows about it. Writing is in `publish`,
//! serving followers in `serve`, following in `follow`, user settings in `gossip`.
//!
//! Everything it keeps is bounded: per configured peer, or by the names in `settings`.

use super::api::{Input, Output, PeerStatus, Role, Status};
use super::follow::Following;
use super::frame::{Follow, Frame, StatusFrame};
use super::gossip::{Exchange, UserWrites};
use super::publish::Writes;
use super::serve::Serving;
use super::settings::{PEERS_MAX, Settings};
use super::work::{Done, Work};
use crate::change::{Epoch, Head, Revision};
use crate::error::{DatabaseError, StoreError};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tandem_base::{Machine, NodeName, Time};

/// Between two words about frames of one peer that cannot be read.
const MISFIT_EVERY: Duration = Duration::from_secs(10);
/// Longest time until a failing store is tried again.
const STORE_WAIT_MAX: Duration = Duration::from_secs(10);
/// How often the log is trimmed.
const TRIM_EVERY: Duration = Duration::from_secs(3_600);

/// What is known of a peer.
#[derive(Debug, Default)]
pub(super) struct Peer {
    pub(super) up: bool,
    /// What it said last, since it is up.
    pub(super) said: Option<StatusFrame>,
    pub(super) heard: Option<Time>,
    pub(super) serving: Serving,
    pub(super) exchange: Exchange,
    misfit: Option<Time>,
}

/// Replication of the configuration database at one node.
#[derive(Debug)]
pub struct Replication {
    pub(super) settings: Settings,
    pub(super) head: Head,
    pub(super) peers: BTreeMap<NodeName, Peer>,
    pub(super) writes: Writes,
    pub(super) users: UserWrites,
    pub(super) following: Following,
    /// The publisher of the known epoch has lost changes (a disk that was lost or rolled back) and fetches them: its next commit begins an epoch.
    pub(super) renew: bool,
    pub(super) failing: Option<(StoreError, Time)>,
    /// How long until a failing store is tried again; longer each time, until it has done real work.
    store_wait: Duration,
    serial: u64,
    began: Time,
    publisher_away_since: Option<Time>,
    next_status: Time,
    next_trim: Time,
    out: VecDeque<Output>,
}

impl Replication {
    /// A node's machine begins at `now` over a copy that stands at `head`. Call [`Machine::tick`] and drain [`Machine::poll`] right after.
    pub fn new(mut settings: Settings, head: Head, now: Time) -> Self {
        settings.peers.truncate(PEERS_MAX);
        let peers = settings.peers.iter().map(|name| (name.clone(), Peer::default())).collect();
        let mut this = Self {
            following: Following::at(&head),
            settings,
            head,
            peers,
            writes: Writes::default(),
            users: UserWrites::default(),
            renew: false,
            failing: None,
            store_wait: Duration::ZERO,
            serial: 0,
            began: now,
            publisher_away_since: Some(now),
            next_status: now,
            next_trim: now + TRIM_EVERY,
            out: VecDeque::new(),
        };
        if let Some(epoch) = this.head.epoch.clone() {
            this.say(Output::Publisher(epoch));
        }
        this
    }

    pub(super) fn say(&mut self, output: Output) {
        self.out.push_back(output);
    }
    pub(super) fn work(&mut self, work: Work) {
        self.say(Output::Work(work));
    }
    pub(super) fn send(&mut self, to: &NodeName, bulk: bool, frame: &Frame) {
        let packet = frame.encode();
        self.say(Output::Send { to: to.clone(), bulk, packet });
    }
    pub(super) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }
    pub(super) fn up(&self) -> impl Iterator<Item = (&NodeName, &Peer)> {
        self.peers.iter().filter(|(_, p)| p.up)
    }

    /// What this node is, as far as is known now.
    pub fn role(&self, now: Time) -> Role {
        match &self.head.epoch {
            None if self.may_found(now) => Role::Publisher,
            None => Role::Waiting,
            Some(epoch) if epoch.publisher != self.settings.me => Role::Subscriber,
            Some(epoch) if self.lacks_own(epoch) => Role::Waiting,
            Some(_) => Role::Publisher,
        }
    }
    /// Whether nobody has a database and this node may begin one.
    fn may_found(&self, now: Time) -> bool {
        let heard = |p: &Peer| p.up && p.said.is_some();
        let all = self.peers.values().all(heard) || now.since(self.began) >= self.settings.found_after;
        self.settings.founder.as_ref() == Some(&self.settings.me) && all
    }
    /// Whether this node is the publisher of the epoch and does not have what it has published.
    fn lacks_own(&self, epoch: &Epoch) -> bool {
        let more = |s: &StatusFrame| s.committed_under.as_ref() == Some(epoch) && s.revision > self.head.revision;
        let ahead = self.up().any(|(_, p)| p.said.as_ref().is_some_and(more));
        // An epoch is begun by its publisher with its first change, or by promotion of a copy: an empty copy knows it from others.
        ahead || (self.head.revision == 0 && !self.all_say_empty())
    }
    fn all_say_empty(&self) -> bool {
        self.peers.values().all(|p| p.up && p.said.as_ref().is_some_and(|s| s.revision == 0))
    }
    /// From whom changes come: the publisher; while it is away, a peer that has more of what it published; for a publisher that lost its copy, whoever
    /// has the most.
    pub(super) fn source(&self, now: Time) -> Option<NodeName> {
        if self.role(now) == Role::Publisher {
            return None;
        }
        let epoch = self.head.epoch.as_ref()?;
        let publisher = self.peers.get(&epoch.publisher).filter(|p| p.up);
        if publisher.is_some() {
            return Some(epoch.publisher.clone());
        }
        let has = |s: &StatusFrame| s.epoch.as_ref() == Some(epoch) && s.revision > self.head.revision;
        let published = |s: &StatusFrame| s.committed_under.as_ref() == Some(epoch);
        let own = epoch.publisher == self.settings.me;
        let fit = self.up().filter_map(|(name, p)| Some((name, p.said.as_ref()?)));
        let fit = fit.filter(|(_, s)| has(s) && (own || published(s)));
        fit.max_by_key(|(_, s)| (s.committed_under.clone(), s.revision)).map(|(name, _)| name.clone())
    }
    /// The newest revision anybody claims to have under the known epoch.
    fn newest(&self) -> Revision {
        let fits = |s: &&StatusFrame| s.committed_under == self.head.epoch;
        self.up().filter_map(|(_, p)| p.said.as_ref()).filter(fits).map(|s| s.revision).max().unwrap_or(0)
    }

    /// How everything stands.
    pub fn status(&self, now: Time) -> Status {
        let newest = self.newest().max(self.head.revision);
        let peers = self.peers.iter().map(|(node, peer)| PeerStatus {
            node: node.clone(),
            up: peer.up,
            revision: peer.said.as_ref().map(|s| s.revision),
            digest: peer.said.as_ref().map(|s| s.digest),
            lag: peer.said.as_ref().map_or(0, |s| newest.saturating_sub(s.revision)),
            heard: peer.heard,
        });
        let own = self.head.epoch.as_ref().is_some_and(|e| e.publisher == self.settings.me);
        Status {
            role: self.role(now),
            epoch: self.head.epoch.clone(),
            publisher_away_since: self.publisher_away_since.filter(|_| !own),
            head: self.head.clone(),
            lag: newest.saturating_sub(self.head.revision),
            fetching: self.following.fetch.is_some(),
            failing: self.failing.as_ref().map(|(error, _)| error.clone()),
            peers: peers.collect(),
        }
    }

    /// Takes over what the store says of the copy.
    pub(super) fn stand(&mut self, mut head: Head) {
        // An epoch that was heard of meanwhile may not be on the disk yet.
        head.epoch = head.epoch.max(self.head.epoch.take());
        self.head = head;
    }
    /// The store says how it is. An epoch that was heard of while it failed is not on the disk: without it this node would take an older publisher, or itself,
    /// for the one after a restart.
    fn looked(&mut self, head: Head) {
        let on_disk = head.epoch.clone();
        self.stand(head);
        if let Some(epoch) = self.head.epoch.clone().filter(|epoch| on_disk.as_ref() < Some(epoch)) {
            self.work(Work::Remember(epoch));
        }
    }
    /// An epoch was heard of.
    pub(super) fn learn(&mut self, now: Time, epoch: &Epoch) {
        if self.head.epoch.as_ref().is_some_and(|known| known >= epoch) {
            return;
        }
        self.head.epoch = Some(epoch.clone());
        self.work(Work::Remember(epoch.clone()));
        self.epoch_began(now, epoch);
    }
    pub(super) fn epoch_began(&mut self, now: Time, epoch: &Epoch) {
        let reachable = self.peers.get(&epoch.publisher).is_some_and(|p| p.up);
        self.publisher_away_since = (!reachable).then_some(now);
        self.following.restart(&self.head);
        self.refuse_writes(now);
        self.say(Output::Publisher(epoch.clone()));
    }

    /// Says where this node stands to whom it follows, or to everybody when it follows nobody.
    pub(super) fn acknowledge(&mut self, now: Time) {
        let source = self.source(now);
        self.tell(now, source.as_ref());
    }
    /// Says where this node stands: to everybody, or to one.
    pub(super) fn tell(&mut self, now: Time, only: Option<&NodeName>) {
        let source = self.source(now);
        let names: Vec<NodeName> = match only {
            Some(name) => vec![name.clone()],
            None => self.up().map(|(name, _)| name.clone()).collect(),
        };
        for name in names {
            let follow = (source.as_ref() == Some(&name)).then(|| self.following.wanted());
            let frame = Frame::Status(StatusFrame {
                revision: self.head.revision,
                digest: self.head.digest,
                committed_under: self.head.committed_under.clone(),
                epoch: self.head.epoch.clone(),
                users: self.head.settings,
                follow,
            });
            self.send(&name, false, &frame);
        }
    }

    fn frame(&mut self, now: Time, from: &NodeName, frame: Frame) {
        let Some(peer) = self.peers.get_mut(from) else { return };
        peer.heard = Some(now);
        match frame {
            Frame::Status(status) => self.peer_status(now, from, status),
            Frame::Part { epoch, part, history } => self.part(now, from, &epoch, part, history),
            Frame::Chunk(chunk) => self.chunk(now, from, chunk),
            Frame::ChunkAck { ticket, next } => self.chunk_ack(now, from, ticket, next),
            Frame::Users { settings, answer, next } => self.users_arrived(now, from, settings, answer, next),
            Frame::UserAsk { parts, after } => self.user_asked(from, parts, after),
        }
    }
    fn peer_status(&mut self, now: Time, from: &NodeName, status: StatusFrame) {
        let follow: Option<Follow> = status.follow.clone();
        let behind = status.epoch < self.head.epoch;
        if let Some(epoch) = &status.epoch {
            self.learn(now, epoch);
        }
        let first = self.peers.get_mut(from).is_some_and(|p| p.said.replace(status).is_none());
        if self.head.epoch.as_ref().is_some_and(|e| e.publisher == self.settings.me && self.lacks_own(e)) {
            self.renew = true;
        }
        if first || behind {
            // It may not know yet what this node has, or that its epoch is over.
            self.tell(now, Some(from));
        }
        match follow {
            Some(follow) => self.followed(now, from, &follow),
            None => self.not_followed(from),
        }
        self.compare_users(now, from);
    }

    pub(super) fn misfit(&mut self, now: Time, from: &NodeName, why: DatabaseError) {
        let Some(peer) = self.peers.get_mut(from) else { return };
        if peer.misfit.is_some_and(|said| now.since(said) < MISFIT_EVERY) {
            return;
        }
        peer.misfit = Some(now);
        self.say(Output::Misfit { from: from.clone(), why });
    }

    fn set_peers(&mut self, mut names: Vec<NodeName>) {
        names.truncate(PEERS_MAX);
        let gone: Vec<_> = self.peers.keys().filter(|n| !names.contains(n)).cloned().collect();
        for name in gone {
            self.stop_serving(&name);
            self.peers.remove(&name);
        }
        for name in &names {
            self.peers.entry(name.clone()).or_default();
        }
        self.settings.peers = names;
    }
    fn peer_up(&mut self, now: Time, name: &NodeName) {
        let Some(peer) = self.peers.get_mut(name) else { return };
        // Up again without a down: a new life, which knows nothing of what was on its way.
        (peer.up, peer.said) = (true, None);
        self.stop_serving(name);
        if self.head.epoch.as_ref().is_some_and(|e| e.publisher == *name) {
            self.publisher_away_since = None;
            self.following.restart(&self.head);
        }
        self.tell(now, Some(name));
    }
    fn peer_down(&mut self, now: Time, name: &NodeName) {
        let Some(peer) = self.peers.get_mut(name) else { return };
        (peer.up, peer.said) = (false, None);
        self.stop_serving(name);
        if self.head.epoch.as_ref().is_some_and(|e| e.publisher == *name) {
            self.publisher_away_since = Some(now);
        }
        self.following.lost(name, &self.head);
    }

    /// The store has done real work.
    pub(super) fn store_worked(&mut self, now: Time) {
        self.store_wait = Duration::ZERO;
        self.store_says(now, Ok(()));
    }
    /// The store failed, or works again.
    pub(super) fn store_says(&mut self, now: Time, result: Result<(), StoreError>) {
        match (result, &self.failing) {
            (Ok(()), Some(_)) => {
                self.failing = None;
                self.say(Output::StoreWell);
                self.following.restart(&self.head);
                self.tell(now, None);
            }
            (Ok(()), None) => {}
            (Err(error), known) => {
                let news = known.as_ref().is_none_or(|(old, _)| *old != error);
                self.store_wait = (self.store_wait * 2).clamp(self.settings.store_retry, STORE_WAIT_MAX);
                self.failing = Some((error.clone(), now + self.store_wait));
                if news {
                    self.say(Output::StoreFailing(error));
                }
            }
        }
    }
    fn done(&mut self, now: Time, done: Done) {
        match done {
            Done::Committed { results, changes, head } => self.committed(now, results, changes, head),
            Done::Applied { changes, stopped, head } => self.applied(now, changes, stopped, head),
            Done::LogRead { peer, ticket, result } => self.log_read(now, &peer, ticket, result),
            Done::SnapshotOpened { peer, ticket, result } => self.snapshot_opened(now, &peer, ticket, result),
            Done::ChunkRead { peer, ticket, result } => self.chunk_read(now, &peer, ticket, result),
            Done::SnapshotClosed => {}
            Done::Staged { ticket, index, result } => self.staged(now, ticket, index, result),
            Done::Restored { ticket, result, head } => self.restored(now, ticket, result, head),
            Done::Promoted { token, result, head } => self.promoted(now, token, result, head),
            Done::Looked { result } => {
                let result = result.map(|head| self.looked(head));
                self.store_says(now, result);
            }
            Done::UserSet { results, digest } => self.user_set(now, results, digest),
            Done::UserMerged { from, result, digest } => self.user_merged(now, &from, result, digest),
            Done::UserSummed { peer, result } => self.user_summed(now, &peer, result),
            Done::UserRead { peer, result } => self.user_read(now, &peer, result),
        }
    }
}

impl Machine for Replication {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Peers(names) => self.set_peers(names),
            Input::PeerUp(name) => self.peer_up(now, &name),
            Input::PeerDown(name) => self.peer_down(now, &name),
            Input::Frame { from, packet } => match Frame::decode(&packet) {
                Ok(frame) => self.frame(now, &from, frame),
                Err(why) => self.misfit(now, &from, why),
            },
            Input::Write { token, draft } => self.write(now, token, draft),
            Input::SetUser { token, device, field, value, author, at } => {
                let node = self.settings.me.clone();
                let setting = crate::UserSetting { device, field, value, at, author, node };
                self.set_user(token, setting);
            }
            Input::Promote { token, at, force } => self.promote(token, at, force),
            Input::Done(done) => self.done(now, done),
        }
        self.pump(now);
    }
    fn tick(&mut self, now: Time) {
        if now >= self.next_status {
            self.next_status = now + self.settings.status_every;
            self.tell(now, None);
        }
        if now >= self.next_trim {
            self.next_trim = now + TRIM_EVERY;
            self.work(Work::Trim);
        }
        let retry = self.store_wait;
        if let Some((_, at)) = self.failing.as_mut().filter(|(_, at)| now >= *at) {
            *at = now + retry;
            self.work(Work::Look);
        }
        self.tick_serving(now);
        self.tick_following(now);
        self.pump(now);
    }
    fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }
    fn deadline(&self) -> Option<Time> {
        let serving = self.peers.values().filter_map(|p| p.serving.deadline());
        let failing = self.failing.iter().map(|(_, at)| *at);
        [self.next_status, self.next_trim].into_iter().chain(serving).chain(failing).min()
    }
}
impl Replication {
    /// Whatever can go on, goes on.
    fn pump(&mut self, now: Time) {
        self.pump_writes(now);
        self.pump_users();
        self.pump_apply();
    }
}
