//! What a frame from a peer does here. Nothing is believed before the sender's life is admitted; nothing that cannot be read panics,
//! it is counted; what is missing is asked for.

use crate::api::{Change, Output, Resync};
use crate::cluster::Cluster;
use crate::error::ClusterError;
use crate::frame::{self, Chunk, Frame, Heartbeat, Need, Rows, Want};
use crate::link::Lane;
use crate::membership::Admit;
use crate::row::Row;
use crate::table::{Batch, Proof};
use std::time::Duration;
use tandem_base::{Incarnation, NodeLife, NodeName, Time};

/// A peer that does not fit is named no more often than this.
const REFUSED_EVERY: Duration = Duration::from_secs(10);
/// Removals told in one [`Output::Changed`] at the end of a snapshot.
const CHANGES_MAX: usize = 1_024;

impl<R: Row> Cluster<R> {
    /// A frame from the link.
    pub(crate) fn receive(&mut self, now: Time, from: &NodeName, bytes: &[u8]) {
        if !self.members.peers.contains_key(from) {
            self.counters.stranger_frames += 1;
            return;
        }
        match frame::read(bytes, self.header.cluster) {
            Ok((incarnation, frame)) => match (self.members.admit(now, from, incarnation), &frame) {
                (Admit::Known, _) | (Admit::Newer, Frame::Heartbeat(_)) => self.take(now, from, incarnation, frame),
                // The heartbeat that begins a new life is on its way; what came before it will be asked for.
                (Admit::Newer, _) => {}
                (Admit::Stale, _) => self.counters.stale_frames += 1,
                (Admit::Stranger, _) => self.counters.stranger_frames += 1,
            },
            Err(why @ (ClusterError::Version { .. } | ClusterError::ForeignCluster)) => {
                self.counters.foreign_frames += 1;
                self.refuse(now, from, why);
            }
            Err(_) => self.counters.decode_errors += 1,
        }
    }

    fn refuse(&mut self, now: Time, from: &NodeName, why: ClusterError) {
        if self.refused.get(from).is_none_or(|last| now >= *last + REFUSED_EVERY) {
            self.refused.insert(from.clone(), now);
            self.say(Output::Refused { from: from.clone(), why });
        }
    }

    fn take(&mut self, now: Time, from: &NodeName, incarnation: Incarnation, frame: Frame<'_>) {
        let life = NodeLife { node: from.clone(), incarnation };
        match frame {
            Frame::Heartbeat(beat) => self.heartbeat(now, &life, &beat),
            Frame::Rows(rows) => self.rows(now, &life, &rows),
            Frame::Need(need) => self.serve(now, &life, &need),
            Frame::Resent { owner, request, upto, whole } => self.resent(now, &life, &owner, (request, upto, whole)),
            Frame::Chunk(chunk) if chunk.owner == life => self.chunk(now, &life, &chunk),
            Frame::Chunk(chunk) => self.adopted_chunk(now, &life, &chunk),
            Frame::ChunkAck { transfer, next } => self.chunk_acknowledged(now, &life, transfer, next),
            Frame::Signal(signal) => self.signals.receive(self.me.incarnation, &life, signal),
            Frame::SignalAck { to, next } => self.signals.acknowledged(now, self.me.incarnation, &life, to, next),
            Frame::Carried(payload) => {
                self.say(Output::Carried { from: life, payload: bytes::Bytes::copy_from_slice(payload) });
            }
            Frame::Unknown => {}
        }
    }

    fn heartbeat(&mut self, now: Time, life: &NodeLife, beat: &Heartbeat) {
        self.consider_end(now, life, beat);
        self.members.heartbeat(now, &life.node, life.incarnation, beat);
        self.news(now);
        self.consider_cold(beat);
        let Some(copy) = self.tables.get_mut(life) else { return };
        copy.hear_clock(now, beat.clock);
        let lacking = copy.claim(now, beat.clock, beat.head, beat.digest);
        // Rows may still be on their way behind the heartbeat; what an earlier heartbeat had claimed is not.
        let joining = !copy.was_complete && copy.applied < beat.head;
        if copy.groundless {
            let why = copy.gap_reason();
            if copy.fetch.start_whole(now, why, self.settings.refetch_max) {
                self.diverged(life, why);
            }
        } else if lacking || joining {
            self.need_log(now, life);
        }
        self.prove(now, life);
        if self.members.peers.get(&life.node).is_some_and(|peer| peer.is_up()) {
            self.consider_offers(now, &life.node, beat);
        }
    }

    /// Changes are missing: ask for them.
    fn need_log(&mut self, now: Time, life: &NodeLife) {
        let Some(copy) = self.tables.get_mut(life) else { return };
        if !copy.fetch.start_log(now) {
            return;
        }
        let why = copy.gap_reason();
        let first = std::mem::replace(&mut copy.complete, false) || (why == Resync::Join && copy.applied == 0);
        if first {
            self.diverged(life, why);
        }
    }

    fn rows(&mut self, now: Time, life: &NodeLife, rows: &Rows<'_>) {
        let Some(copy) = self.tables.get_mut(life) else { return };
        let batch = copy.apply(rows);
        let gap = batch.gap;
        if !gap && copy.applied >= copy.head {
            copy.fetch.end_log();
        }
        self.counters.applied_ops += batch.ops;
        self.applied(life, batch);
        if gap {
            self.need_log(now, life);
        }
        self.prove(now, life);
    }

    fn applied(&mut self, life: &NodeLife, batch: Batch<R>) {
        self.counters.decode_errors += batch.errors;
        self.counters.bound_hits += batch.refused;
        self.changed(life, batch.changes);
    }

    pub(crate) fn changed(&mut self, life: &NodeLife, mut changes: Vec<Change<R>>) {
        while !changes.is_empty() {
            let rest = changes.split_off(changes.len().min(CHANGES_MAX));
            self.say(Output::Changed { owner: life.clone(), changes });
            changes = rest;
        }
    }

    /// The owner's answer to a question is over.
    fn resent(&mut self, now: Time, from: &NodeLife, owner: &NodeLife, (request, upto, whole): (u64, u64, bool)) {
        if from != owner {
            self.adoption_refused(owner, request);
            return;
        }
        let backoff_max = self.settings.refetch_max;
        let Some(copy) = self.tables.get_mut(owner) else { return };
        if whole && request == 0 {
            copy.fetch.end_log();
            copy.fetch.start_whole(now, copy.gap_reason(), backoff_max);
        } else if whole {
            copy.fetch.restart_whole(now, request);
        } else if copy.applied >= upto {
            copy.fetch.end_log();
            if copy.applied < copy.head && copy.fetch.progressed(copy.applied) {
                self.need_log(now, owner);
            }
        }
    }

    fn chunk(&mut self, now: Time, life: &NodeLife, chunk: &Chunk<'_>) {
        let Some(copy) = self.tables.get_mut(life) else { return };
        let taken = copy.fetch.take_chunk(now, chunk);
        let next = copy.fetch.acknowledge(chunk);
        if taken {
            if chunk.index == 0 {
                copy.begin_snapshot(chunk.at);
            }
            let mut batch = copy.apply_chunk(chunk.count, chunk.rows, chunk.at);
            if chunk.last {
                copy.fetch.end_whole();
                batch.changes.extend(copy.settle(chunk.at));
                self.counters.snapshots_received += 1;
            }
            let lacking = copy.applied < copy.head;
            self.applied(life, batch);
            if lacking && chunk.last {
                self.need_log(now, life);
            }
        }
        if let Some(next) = next {
            let ack = Frame::ChunkAck { transfer: chunk.transfer, next };
            self.send(&life.node, Lane::Ordinary, &ack);
        }
        self.prove(now, life);
    }

    /// Compares digests where they can be compared, and says what follows.
    fn prove(&mut self, now: Time, life: &NodeLife) {
        if self.members.up_life_of(&life.node).as_ref() != Some(life) {
            return;
        }
        let backoff_max = self.settings.refetch_max;
        let Some(copy) = self.tables.get_mut(life) else { return };
        match copy.prove() {
            Proof::Open => {}
            Proof::Complete => {
                let rows = copy.rows.len();
                self.say(Output::Complete { peer: life.clone(), rows });
                self.members.beat_soon = true;
                self.retire_earlier(&life.node);
            }
            Proof::Differs => {
                copy.complete = false;
                if copy.fetch.start_whole(now, Resync::Digest, backoff_max) {
                    self.diverged(life, Resync::Digest);
                }
            }
        }
    }

    /// Sends the questions that are due.
    pub(crate) fn ask_due(&mut self, now: Time) {
        let mut questions = Vec::new();
        for (life, copy) in &mut self.tables.copies {
            if copy.fetch.log_due(now, copy.applied) {
                questions.push((life.clone(), 0, Want::From(copy.applied.saturating_add(1))));
            }
            if let Some(next) = copy.fetch.whole_due(now) {
                questions.push((life.clone(), copy.fetch.request(), Want::Whole(next)));
            }
        }
        for (owner, request, want) in questions {
            let node = owner.node.clone();
            self.send(&node, Lane::Ordinary, &Frame::Need(Need { owner, request, want }));
        }
    }
}
