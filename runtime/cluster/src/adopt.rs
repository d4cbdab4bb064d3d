//! Adoption: a node that joins takes over what peers have kept. Rows of its own earlier life are offered to its driver, which publishes
//! them anew; orphans of owners that are down now are copied, so that a second failure finds them here too.
//!
//! Peers name the orphans they keep in their heartbeats. Each set is fetched from one holder, in chunks, while joining only. When the whole
//! cluster was off they name what stands in their files instead, and each file is asked.

use crate::api::{MemberState, Output};
use crate::cluster::Cluster;
use crate::codec::Reader;
use crate::frame::{Chunk, Frame, Heartbeat, Need, OrphanSet, Want};
use crate::link::Lane;
use crate::replica::Applied;
use crate::row::{Op, Row};
use crate::saved::Cold;
use crate::table::{Copy, Origin};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use tandem_base::{NodeLife, NodeName, Time};

/// Sets fetched in one life: two of every member.
const SETS_MAX: usize = crate::frame::ORPHAN_SETS_MAX;

#[derive(Clone, Debug)]
struct Adoption {
    from: NodeName,
    request: u64,
    /// The holder's number of the transfer, from its first chunk.
    transfer: u64,
    next: u64,
    asked: Option<Time>,
    source: Source,
}

/// Where the holder has a set from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// It heard the owner, up to its end.
    Heard,
    /// It keeps what a file told.
    Filed,
    /// It stands in its file, and is not kept.
    File,
}

/// The sets that are being fetched, and those that are done with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Adoptions {
    open: BTreeMap<NodeLife, Adoption>,
    /// The fetch that ended each set, so that its last chunk can be acknowledged again.
    done: BTreeMap<NodeLife, u64>,
    refused: BTreeSet<NodeLife>,
    /// Lives of which a peer that heard them has given all it kept.
    given: BTreeSet<NodeLife>,
    /// Sets that are to be fetched from files of peers, after all others.
    files: VecDeque<(NodeLife, NodeName)>,
    asked_files: bool,
    began: Option<Time>,
    closed: bool,
}

impl Adoption {
    fn new(from: &NodeName, request: u64, source: Source) -> Self {
        Self { from: from.clone(), request, transfer: 0, next: 0, asked: None, source }
    }
}

impl Adoptions {
    /// Whether joining need not wait for it any longer.
    pub(crate) fn settled(&self, now: Time, patience: Duration) -> bool {
        self.open.is_empty() && self.files.is_empty() || self.began.is_some_and(|began| now >= began + patience)
    }
    /// Whether a peer that heard this life has given all it kept of it: then nothing is to be learnt from a file.
    pub(crate) fn has_taken(&self, life: &NodeLife) -> bool {
        self.given.contains(life)
    }
    /// Joining is over: no new sets are begun, and what is open is left.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.open.clear();
        self.files.clear();
    }
    /// What stands in files is not wanted.
    pub(crate) fn leave_files(&mut self) {
        self.files.clear();
        self.open.retain(|_, adoption| adoption.source != Source::File);
    }
    pub(crate) fn holder_gone(&mut self, node: &NodeName) {
        self.open.retain(|_, adoption| adoption.from != *node);
        self.files.retain(|(_, holder)| holder != node);
    }
    /// When to ask again.
    pub(crate) fn deadline(&self, retry: Duration) -> Option<Time> {
        self.open.values().filter_map(|a| a.asked).map(|at| at + retry).min()
    }
    /// Until when joining waits for what is open.
    pub(crate) fn patience(&self, patience: Duration) -> Option<Time> {
        self.began.filter(|_| !self.open.is_empty()).map(|began| began + patience)
    }
}

impl<R: Row> Cluster<R> {
    /// A peer that is up names the orphans it keeps.
    pub(crate) fn consider_offers(&mut self, now: Time, holder: &NodeName, beat: &Heartbeat) {
        if self.adoptions.closed {
            return;
        }
        for OrphanSet { life, .. } in &beat.orphans {
            let known = self.adoptions.open.contains_key(life)
                || self.adoptions.done.contains_key(life)
                || self.adoptions.refused.contains(life);
            let full = self.adoptions.open.len() + self.adoptions.done.len() >= SETS_MAX;
            if known || full || !self.is_wanted(life) {
                continue;
            }
            let request = self.next_serial();
            self.adoptions.began.get_or_insert(now);
            let source = if beat.filed.contains(life) { Source::Filed } else { Source::Heard };
            self.adoptions.open.insert(life.clone(), Adoption::new(holder, request, source));
        }
    }

    /// Everything that living peers keep is here. When nobody was in service before, what else is known stands in files: this node's own, and
    /// those of its peers, which may have what its own lacks. Returns whether there is something to wait for; asks once.
    pub(crate) fn ask_files(&mut self, now: Time) -> bool {
        if std::mem::replace(&mut self.adoptions.asked_files, true) || self.cold != Cold::Perhaps {
            return false;
        }
        let up = self.members.peers.iter().filter(|(_, peer)| peer.is_up());
        let sets = up.flat_map(|(node, peer)| peer.saved.iter().map(move |set| (&set.life, node)));
        let mine = |life: &NodeLife| life.node == self.me.node || self.saved.iter().all(|set| set.owner != *life);
        let wanted = sets.filter(|(life, _)| mine(life) && self.is_wanted(life)).take(SETS_MAX);
        let files: VecDeque<_> = wanted.map(|(life, node)| (life.clone(), node.clone())).collect();
        self.adoptions.files = files;
        self.adoptions.began = Some(now);
        self.adopt_due(now);
        !self.adoptions.open.is_empty()
    }

    /// Sets of one life are fetched from one file after the other.
    fn open_files(&mut self) {
        let mut wait = VecDeque::new();
        while let Some((life, holder)) = self.adoptions.files.pop_front() {
            if self.adoptions.open.contains_key(&life) {
                wait.push_back((life, holder));
            } else {
                let request = self.next_serial();
                self.adoptions.open.insert(life, Adoption::new(&holder, request, Source::File));
            }
        }
        self.adoptions.files = wait;
    }

    /// An earlier life of this node; or a life that is down and of which nothing is kept here, or only the beginning.
    pub(crate) fn is_wanted(&self, life: &NodeLife) -> bool {
        if life.node == self.me.node {
            return life.incarnation < self.me.incarnation;
        }
        let Some(peer) = self.members.peers.get(&life.node) else { return false };
        let newest = peer.incarnation.is_none_or(|known| known <= life.incarnation);
        let lacks = self.tables.copies.get(life).is_none_or(Copy::is_a_beginning);
        newest && !peer.hearing && peer.state == MemberState::Down && lacks
    }

    /// Asks for chunks that are due.
    pub(crate) fn adopt_due(&mut self, now: Time) {
        self.open_files();
        let retry = self.settings.need_retry;
        let mut questions = Vec::new();
        for (owner, adoption) in &mut self.adoptions.open {
            if adoption.asked.is_none_or(|at| now >= at + retry) {
                adoption.asked = Some(now);
                let want = Want::Whole(adoption.next);
                let need = Need { owner: owner.clone(), request: adoption.request, want };
                questions.push((adoption.from.clone(), need));
            }
        }
        for (to, need) in questions {
            self.send(&to, Lane::Ordinary, &Frame::Need(need));
        }
    }

    /// The holder does not have the set (any more), or cannot go on with it.
    pub(crate) fn adoption_refused(&mut self, owner: &NodeLife, request: u64) {
        if self.adoptions.open.get(owner).is_some_and(|a| a.request == request) {
            self.adoptions.open.remove(owner);
            if self.adoptions.refused.len() < SETS_MAX {
                self.adoptions.refused.insert(owner.clone());
            }
        }
    }

    /// A chunk of orphans from their holder.
    pub(crate) fn adopted_chunk(&mut self, now: Time, holder: &NodeLife, chunk: &Chunk<'_>) {
        let open = self.adoptions.open.get_mut(&chunk.owner).filter(|a| a.request == chunk.request);
        let next = match open {
            Some(adoption) => {
                let origin = if adoption.source == Source::Heard { Origin::Handed } else { Origin::File };
                if adoption.next == 0 && chunk.index == 0 {
                    adoption.transfer = chunk.transfer;
                }
                if adoption.transfer != chunk.transfer {
                    // The holder has begun again: so do we, at its next offer.
                    if adoption.transfer < chunk.transfer && adoption.next > 0 {
                        let again =
                            (adoption.source == Source::File).then(|| (chunk.owner.clone(), adoption.from.clone()));
                        self.adoptions.open.remove(&chunk.owner);
                        self.adoptions.files.extend(again);
                    }
                    return;
                }
                let is_next = adoption.next == chunk.index;
                adoption.next += u64::from(is_next);
                let next = adoption.next;
                if is_next {
                    adoption.asked = Some(now);
                    self.adopt_rows(now, holder, chunk, origin);
                }
                next
            }
            None if self.adoptions.done.get(&chunk.owner) == Some(&chunk.request) => chunk.index.saturating_add(1),
            None => return,
        };
        if chunk.last
            && next > chunk.index
            && let Some(ended) = self.adoptions.open.remove(&chunk.owner)
        {
            self.adoptions.done.insert(chunk.owner.clone(), chunk.request);
            if ended.source == Source::Heard {
                self.adoptions.given.insert(chunk.owner.clone());
            }
        }
        self.send(&holder.node, Lane::Ordinary, &Frame::ChunkAck { transfer: chunk.transfer, next });
    }

    fn adopt_rows(&mut self, now: Time, holder: &NodeLife, chunk: &Chunk<'_>, origin: Origin) {
        let mut reader = Reader::new(chunk.rows);
        let mut rows = Vec::new();
        for _ in 0..chunk.count {
            let Ok(mut body) = reader.bytes() else {
                self.counters.decode_errors += 1;
                break;
            };
            match R::decode(&mut body) {
                Ok(row) => rows.push(row),
                Err(_) => self.counters.decode_errors += 1,
            }
        }
        let holder_ahead = self.tables.copies.get(holder).and_then(|copy| copy.clock_ahead()).unwrap_or(0);
        let ahead = holder_ahead.saturating_add(chunk.clock_ahead);
        if chunk.owner.node == self.me.node {
            if !rows.is_empty() {
                let earlier = chunk.owner.clone();
                self.say(Output::Adoptable { earlier, clock_ahead_micros: ahead, rows });
            }
            return;
        }
        // Its owner may have been heard meanwhile.
        let peer = self.members.peers.get(&chunk.owner.node);
        let newer = peer.and_then(|p| p.incarnation).is_some_and(|known| known > chunk.owner.incarnation);
        if !newer && peer.is_some_and(|p| !p.hearing && !p.is_up()) {
            self.keep_handed(now, chunk, ahead, rows, origin);
        }
    }

    /// A set that somebody had from its owner replaces the beginning that is here; one from a file is laid beside others.
    fn keep_handed(&mut self, now: Time, chunk: &Chunk<'_>, ahead: i64, rows: Vec<R>, origin: Origin) {
        let whole = origin == Origin::Handed;
        if let Some(copy) = self.tables.get_mut(&chunk.owner).filter(|_| whole && chunk.index == 0) {
            copy.rows.begin_generation();
        }
        self.keep_orphans(now, &chunk.owner, ahead, rows, origin);
        if let Some(copy) = self.tables.get_mut(&chunk.owner).filter(|_| whole && chunk.last) {
            let gone = copy.rows.sweep();
            self.changed(&chunk.owner, gone);
        }
    }

    /// Orphans of a third node are kept here too.
    pub(crate) fn keep_orphans(&mut self, now: Time, owner: &NodeLife, ahead: i64, rows: Vec<R>, origin: Origin) {
        self.tables.begin(owner).iter().for_each(|old| self.forget(old));
        self.orphan(now, owner);
        let Some(copy) = self.tables.get_mut(owner) else { return };
        // Of two files the one with the longer time left: the wall clock of the other's node may have been set forward meanwhile.
        let both = copy.clock_ahead().filter(|_| copy.origin == Origin::File && origin == Origin::File);
        copy.groundless = true;
        copy.origin = origin;
        copy.set_clock(now, both.map_or(ahead, |known| known.min(ahead)));
        let mut changes = Vec::with_capacity(rows.len());
        for row in rows {
            match copy.rows.apply(Op::Put(row)) {
                Applied::Done(change) => changes.push(change),
                Applied::Nothing => {}
                Applied::Full => self.counters.bound_hits += 1,
            }
        }
        self.changed(owner, changes);
    }
}
