//! The machine a node drives: it takes what happens apart, hands each part to the file that knows about it, and says what is to be
//! done. Membership decides in `membership`, copies are kept in `table`, peers are served in `serve`, frames are taken in `receive`.
//!
//! Everything it keeps is bounded: per configured peer, by the settings, or by the credit of transfers.

use crate::adopt::Adoptions;
use crate::api::{Counters, Input, NodeState, Output, OwnRows, Resync};
use crate::doubt::Doubt;
use crate::error::ClusterError;
use crate::frame::{Frame, Header, Hears, Heartbeat, ORPHAN_SETS_MAX, OrphanSet, cluster_hash};
use crate::link::{Lane, LinkEvent};
use crate::log::Log;
use crate::membership::{Membership, News};
use crate::row::Row;
use crate::saved::{Cold, Saved};
use crate::settings::Settings;
use crate::signals::{Bounds, Effect, Signals};
use crate::snapshot::Transfer;
use crate::table::{Origin, Tables};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tandem_base::{Machine, NodeLife, NodeName, Time};

/// Least time between two heartbeats, however much there is to tell.
const BEAT_GAP: Duration = Duration::from_millis(10);

/// Membership, replicated tables and signals of one node.
#[derive(Debug)]
pub struct Cluster<R: Row> {
    pub(crate) me: NodeLife,
    pub(crate) settings: Settings,
    pub(crate) header: Header,
    pub(crate) state: NodeState,
    pub(crate) members: Membership,
    pub(crate) log: Log,
    pub(crate) tables: Tables<R>,
    pub(crate) transfers: Vec<Transfer>,
    pub(crate) adoptions: Adoptions,
    pub(crate) signals: Signals,
    /// Rows from a file: until this node is in sync, and those that others may still need after a cold start.
    pub(crate) saved: Vec<Saved<R>>,
    pub(crate) cold: Cold,
    pub(crate) in_sync: bool,
    pub(crate) counters: Counters,
    /// The last ticket or request number given out.
    pub(crate) serial: u64,
    /// When a peer's misfit was last said; only configured peers are in it.
    pub(crate) refused: BTreeMap<NodeName, Time>,
    /// Whether this life is over.
    pub(crate) doubt: Option<Doubt>,
    last_run: Time,
    last_beat: Option<Time>,
    out: VecDeque<Output<R>>,
}

impl<R: Row> Cluster<R> {
    /// A node's life begins at `now`. Call [`Machine::tick`] and drain [`Machine::poll`] right after.
    ///
    /// # Errors
    /// [`ClusterError::Settings`] when the settings contradict each other.
    pub fn new(me: NodeLife, settings: Settings, now: Time) -> Result<Self, ClusterError> {
        settings.check()?;
        let header = Header { cluster: cluster_hash(&settings.cluster), incarnation: me.incarnation };
        let bounds =
            Bounds { signals: settings.signals_max, bytes: settings.signal_bytes_max, retry: settings.signal_retry };
        Ok(Self {
            header,
            state: NodeState::Joining,
            members: Membership::new(me.clone(), &settings, now),
            log: Log::new(settings.log_ops, settings.log_bytes),
            tables: Tables::new(settings.rows_per_owner_max, settings.need_retry, settings.refetch_min),
            transfers: Vec::new(),
            adoptions: Adoptions::default(),
            signals: Signals::new(header, bounds),
            saved: Vec::new(),
            cold: Cold::Perhaps,
            in_sync: false,
            counters: Counters::default(),
            serial: 0,
            refused: BTreeMap::new(),
            doubt: None,
            last_run: now,
            last_beat: None,
            out: VecDeque::new(),
            me,
            settings,
        })
    }

    pub(crate) fn say(&mut self, output: Output<R>) {
        self.out.push_back(output);
    }
    pub(crate) fn send(&mut self, to: &NodeName, lane: Lane, frame: &Frame<'_>) {
        let frame = self.header.write(frame);
        self.say(Output::Send { to: to.clone(), lane, frame });
    }
    pub(crate) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// A node that stood still itself must not take the others for dead: their heartbeats wait in its mailbox.
    fn wake(&mut self, now: Time) {
        let stood_still = now.since(self.last_run);
        if stood_still >= self.settings.suspect_after {
            self.counters.own_stalls += 1;
            self.doubt = Doubt::after(now, stood_still, &self.settings, self.members.up_lives()).or(self.doubt.take());
            self.members.forgive(now);
        }
        self.last_run = self.last_run.max(now);
    }

    fn own_rows(&mut self, rows: &OwnRows<R>) {
        self.counters.own_ops += u64::try_from(rows.ops.len()).unwrap_or(0);
        if rows.ops.is_empty() {
            return;
        }
        if self.members.peers.is_empty() {
            self.log.count_only(rows);
            return;
        }
        let (frames, too_long) = self.log.append(self.header, rows, self.settings.frame_bytes);
        self.counters.bound_hits += too_long;
        for frame in frames {
            self.say(Output::Broadcast { lane: Lane::Ordinary, frame });
        }
    }

    fn set_peers(&mut self, now: Time, mut names: Vec<NodeName>) {
        names.truncate(crate::settings::MEMBERS_MAX.saturating_sub(1));
        let gone = self.members.set_peers(now, &names);
        self.settings.peers = names;
        self.news(now);
        for node in gone {
            let lives: Vec<NodeLife> = self.tables.lives(&node).map(|(life, _)| life.clone()).collect();
            lives.iter().for_each(|life| self.forget(life));
            self.signals.remove(&node);
            self.refused.remove(&node);
        }
        if self.members.peers.is_empty() {
            self.log.clear();
        }
    }

    pub(crate) fn forget(&mut self, life: &NodeLife) {
        if let Some(rows) = self.tables.forget(life) {
            self.say(Output::Forgotten { owner: life.clone(), rows });
        }
    }

    /// Carries out what membership has found.
    pub(crate) fn news(&mut self, now: Time) {
        while let Some(news) = self.members.next_news() {
            match news {
                News::Born(life) => {
                    self.drop_dealings(&life.node);
                    let earlier: Vec<NodeLife> = self.tables.lives(&life.node).map(|(l, _)| l.clone()).collect();
                    earlier.iter().filter(|l| **l != life).for_each(|l| self.orphan(now, l));
                    self.tables.begin(&life).iter().for_each(|old| self.forget(old));
                }
                News::Up { life, flap, state } => {
                    if let Some(copy) = self.tables.get_mut(&life) {
                        copy.revive();
                    }
                    let (node, incarnation) = (life.node.clone(), life.incarnation);
                    if let Some(down_for) = flap {
                        self.say(Output::Flap { node: node.clone(), incarnation, down_for });
                    }
                    self.say(Output::Up { node: node.clone(), incarnation });
                    self.say(Output::StateChanged { node, incarnation, state });
                }
                News::Suspect(NodeLife { node, incarnation }) => self.say(Output::Suspect { node, incarnation }),
                News::Trusted(NodeLife { node, incarnation }) => self.say(Output::Trusted { node, incarnation }),
                News::Down { life, why, last_heard } => {
                    self.drop_dealings(&life.node);
                    self.signals.died(&life.node, why);
                    let (node, incarnation) = (life.node.clone(), life.incarnation);
                    self.say(Output::Down { node, incarnation, why, last_heard });
                    self.orphan(now, &life);
                    self.keep_what_it_needed(now, &life.node);
                }
                News::Lost(life) => {
                    self.drop_dealings(&life.node);
                    self.orphan(now, &life);
                    self.keep_what_it_needed(now, &life.node);
                }
                News::State(life, state) => {
                    let (node, incarnation) = (life.node.clone(), life.incarnation);
                    self.say(Output::StateChanged { node, incarnation, state });
                    self.retire_earlier(&life.node);
                }
            }
        }
    }

    /// Transfers to and adoptions from a peer end with it.
    fn drop_dealings(&mut self, node: &NodeName) {
        self.transfers.retain(|transfer| transfer.to != *node);
        self.adoptions.holder_gone(node);
    }

    pub(crate) fn orphan(&mut self, now: Time, life: &NodeLife) {
        if let Some(rows) = self.tables.orphan(now, life) {
            self.say(Output::Orphaned { owner: life.clone(), rows });
        }
    }

    /// An owner that is back, has been in service and is proven needs the rows of its earlier lives no longer. One that is stopped while it
    /// still joins has not taken them up.
    pub(crate) fn retire_earlier(&mut self, node: &NodeName) {
        let Some(life) = self.members.up_life_of(node) else { return };
        let serves = self.members.peers.get(node).is_some_and(|peer| peer.served);
        if !serves || !self.tables.get_mut(&life).is_some_and(|copy| copy.complete) {
            return;
        }
        let lives = self.tables.lives(node).map(|(l, _)| l.clone());
        let earlier: Vec<NodeLife> = lives.filter(|l| l.incarnation < life.incarnation).collect();
        earlier.iter().for_each(|old| self.forget(old));
        self.saved.retain(|set| !self.in_sync || set.owner.node != *node);
    }

    pub(crate) fn diverged(&mut self, life: &NodeLife, why: Resync) {
        let count = match why {
            Resync::Gap => &mut self.counters.resyncs_gap,
            Resync::Digest => &mut self.counters.resyncs_digest,
            Resync::Join => &mut self.counters.resyncs_join,
        };
        *count += 1;
        if why != Resync::Join {
            self.say(Output::Diverged { peer: life.clone(), why });
        }
    }

    /// Is this node in sync? Said once.
    fn check_sync(&mut self, now: Time) {
        if self.in_sync {
            return;
        }
        let grace = self.settings.join_grace;
        let ready = self.members.peers.iter().all(|(node, peer)| {
            let complete = || self.members.life_of(node).and_then(|life| self.tables.copies.get(&life));
            if peer.is_up() { complete().is_some_and(|copy| copy.complete) } else { now >= peer.since + grace }
        });
        if ready && self.adoptions.settled(now, self.settings.adopt_patience) && !self.ask_files(now) {
            self.in_sync = true;
            self.restore(now);
            self.adoptions.close();
            self.say(Output::InSync);
        }
    }

    /// When the next heartbeat is due.
    fn next_beat(&self) -> Time {
        let due = match self.last_beat {
            None => self.last_run,
            Some(last) => last + if self.members.beat_soon { BEAT_GAP } else { self.settings.heartbeat },
        };
        self.doubt.as_ref().map_or(due, |doubt| due.max(doubt.quiet_until))
    }

    /// Does this heartbeat of a peer prove that our life is over?
    pub(crate) fn consider_end(&mut self, now: Time, from: &NodeLife, beat: &Heartbeat) {
        let Some(doubt) = self.doubt.as_mut().filter(|d| d.is_proven(now, &self.me, from, beat)) else { return };
        // Whoever drives this life has time to end it before it is heard again.
        doubt.quiet_until = now + self.settings.dead_after;
        let stood_still = doubt.stood_still;
        self.say(Output::Over { stood_still, by: from.clone() });
    }

    fn beat(&mut self, now: Time) {
        if self.members.peers.is_empty() {
            return;
        }
        if now < self.next_beat() {
            return;
        }
        self.last_beat = Some(now);
        self.members.beat_soon = false;
        let has = |life: &NodeLife| self.tables.copies.get(life).filter(|copy| copy.complete).map(|copy| copy.applied);
        let hears = self.members.heard().map(|life| Hears { has: has(&life), life }).collect();
        let orphaned = || {
            let kept = self.tables.copies.iter().filter(|(_, c)| c.orphaned.is_some() && c.rows.len() > 0);
            kept.take(ORPHAN_SETS_MAX)
        };
        let filed = orphaned().filter(|(_, copy)| copy.origin == Origin::File).map(|(life, _)| life.clone()).collect();
        let sets = orphaned().map(|(life, copy)| OrphanSet { life: life.clone(), rows: copy.rows.len() });
        let beat = Heartbeat {
            state: self.state,
            clock: now,
            head: self.log.head(),
            digest: self.log.digest(),
            hears,
            orphans: sets.collect(),
            filed,
            saved: self.saved_sets(now),
        };
        let frame = self.header.write(&Frame::Heartbeat(beat));
        self.say(Output::Broadcast { lane: Lane::Heartbeat, frame });
    }

    fn signal_effects(&mut self) {
        while let Some(effect) = self.signals.poll() {
            self.out.push_back(match effect {
                Effect::Send { to, frame } => Output::Send { to, lane: Signals::LANE, frame },
                Effect::Deliver { from, payload } => Output::Signal { from, payload },
                Effect::Asked { ask, payload } => Output::Asked { ask, payload },
                Effect::Answered { token, answer } => Output::Answered { token, answer },
                Effect::Failed { token, to, why } => Output::SignalFailed { token, to, why },
            });
        }
        self.counters.signals_resent = self.signals.resent;
    }

    /// What follows from everything that has just happened.
    fn follow_up(&mut self, now: Time) {
        self.news(now);
        self.ask_due(now);
        self.adopt_due(now);
        self.pump(now);
        self.signal_effects();
        self.check_sync(now);
        self.beat(now);
    }

    fn link(&mut self, now: Time, event: LinkEvent) {
        match event {
            LinkEvent::PeerUp { node, incarnation } => self.members.link_up(now, &node, incarnation),
            LinkEvent::PeerDown { node, incarnation, why } => self.members.link_down(now, &node, incarnation, why),
            LinkEvent::Message { from, bytes } => self.receive(now, &from, &bytes),
        }
    }
}

impl<R: Row> Machine for Cluster<R> {
    type Input = Input<R>;
    type Output = Output<R>;

    fn handle(&mut self, now: Time, input: Input<R>) {
        self.wake(now);
        match input {
            Input::Link(event) => self.link(now, event),
            Input::Peers(names) => self.set_peers(now, names),
            Input::State(state) => {
                self.state = state;
                self.members.beat_soon = true;
            }
            Input::OwnRows(rows) => self.own_rows(&rows),
            Input::Chunk { peer, ticket, rows, next } => self.chunk_read(now, &peer, ticket, &rows, next),
            Input::Restore(saved) if !self.in_sync => self.saved = saved,
            Input::Restore(_) => {}
            Input::Drop { key, but } => {
                for (owner, change) in self.tables.drop_orphans(key, but.as_ref()) {
                    self.say(Output::Changed { owner, changes: vec![change] });
                }
            }
            Input::Carry { to, bulk, payload } => {
                if self.members.up_life_of(&to).is_some() && payload.len() < crate::frame::FRAME_BYTES_MAX {
                    let lane = if bulk { Lane::Bulk } else { Lane::Ordinary };
                    self.send(&to, lane, &Frame::Carried(&payload));
                }
            }
            Input::Signal { to, token, payload } => {
                let life = self.members.up_life_of(&to);
                self.signals.signal(now, to, life, token, payload);
            }
            Input::Ask { to, token, payload, within } => {
                let life = self.members.up_life_of(&to);
                self.signals.ask(now, life, token, payload, within);
            }
            Input::Answer { ask, payload } => {
                let up = self.members.up_life_of(&ask.from.node);
                self.signals.answer(now, up, &ask, payload);
            }
        }
        self.follow_up(now);
    }

    fn tick(&mut self, now: Time) {
        self.wake(now);
        self.members.tick(now);
        self.signals.tick(now);
        if let Some((owner, changes)) = self.tables.forget_step() {
            self.say(Output::Changed { owner, changes });
        }
        self.follow_up(now);
    }

    fn poll(&mut self) -> Option<Output<R>> {
        self.out.pop_front()
    }

    fn deadline(&self) -> Option<Time> {
        let beat = (!self.members.peers.is_empty()).then(|| self.next_beat());
        let grace = |since: Time| since + self.settings.join_grace;
        let waiting = self.members.peers.values().filter(|p| !self.in_sync && !p.is_up()).map(|p| grace(p.since));
        let alone = (!self.in_sync && self.members.peers.is_empty()).then_some(self.last_run);
        let forgetting = self.tables.is_forgetting().then_some(self.last_run);
        let fetches = self.tables.copies.values().filter_map(|copy| copy.fetch.deadline());
        let transfers = self.transfers.iter().filter_map(|t| t.deadline(self.settings.chunk_retry));
        let rest = [self.members.deadline(), self.signals.deadline(), beat, alone, forgetting];
        let adopt = self.adoptions.deadline(self.settings.need_retry);
        let patience = self.adoptions.patience(self.settings.adopt_patience);
        // Patience that has run out is no reason to wake again: something else is still missing.
        let waiting = waiting.chain(patience).filter(|at| *at > self.last_run);
        rest.into_iter().flatten().chain(fetches).chain(transfers).chain(adopt).chain(waiting).min()
    }
}
