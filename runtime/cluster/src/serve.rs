//! What peers ask of this node: changes from its log, its whole set, the orphans it keeps, what stands in its file. Own rows live with the driver, so a
//! snapshot asks the driver chunk by chunk; orphans are read from the tables.

use crate::api::Output;
use crate::cluster::Cluster;
use crate::frame::{Frame, Need, Want};
use crate::link::Lane;
use crate::row::Row;
use crate::snapshot::{Step, Transfer};
use bytes::Bytes;
use tandem_base::{NodeLife, NodeName, Time};

/// Bytes of the log sent in answer to one question; the asker comes back for more.
const RESEND_BYTES: usize = 1 << 20;
/// Transfers to one peer at a time: the own set, and orphans of others.
const TRANSFERS_PER_PEER: usize = 4;

impl<R: Row> Cluster<R> {
    /// A peer lacks rows.
    pub(crate) fn serve(&mut self, now: Time, from: &NodeLife, need: &Need) {
        let own = need.owner == self.me;
        match need.want {
            Want::From(seq) if own => match self.log.since(seq, RESEND_BYTES, self.settings.frame_bytes) {
                Some((frames, upto)) => {
                    for frame in frames {
                        self.say(Output::Send { to: from.node.clone(), lane: Lane::Ordinary, frame });
                    }
                    self.answer_need(from, need, upto, false);
                }
                None => self.answer_need(from, need, 0, true),
            },
            Want::From(_) => self.answer_need(from, need, 0, true),
            Want::Whole(next) => {
                let orphaned = || self.tables.copies.get(&need.owner).is_some_and(|copy| copy.orphaned.is_some());
                let kept = own || orphaned() || self.saved.iter().any(|set| set.owner == need.owner);
                if !kept || !self.begin_transfer(now, from, need, next) {
                    self.answer_need(from, need, 0, true);
                }
            }
        }
    }

    fn answer_need(&mut self, from: &NodeLife, need: &Need, upto: u64, whole: bool) {
        let (owner, request) = (need.owner.clone(), need.request);
        self.send(&from.node, Lane::Ordinary, &Frame::Resent { owner, request, upto, whole });
    }

    /// Starts a transfer or goes on with it. `false`: what the peer wants to go on with is not known here, it must start anew.
    fn begin_transfer(&mut self, now: Time, from: &NodeLife, need: &Need, next: u64) -> bool {
        let same = |t: &Transfer| t.to == from.node && t.owner == need.owner;
        let goes_on = |t: &Transfer| same(t) && t.request == need.request && t.life == from.incarnation;
        if self.transfers.iter().any(goes_on) {
            // Its own retry sends again what was lost.
            return true;
        }
        self.transfers.retain(|t| !same(t));
        let busy = self.transfers.iter().filter(|t| t.to == from.node).count();
        if next != 0 || busy >= TRANSFERS_PER_PEER {
            return false;
        }
        self.counters.snapshots_sent += 1;
        let number = self.next_serial();
        self.transfers.push(Transfer::new(now, (from.node.clone(), from.incarnation), need, number));
        true
    }

    pub(crate) fn chunk_acknowledged(&mut self, now: Time, from: &NodeLife, number: u64, next: u64) {
        let theirs = |t: &&mut Transfer| t.to == from.node && t.life == from.incarnation && t.number == number;
        if let Some(transfer) = self.transfers.iter_mut().find(theirs) {
            transfer.acknowledged(now, next);
        }
    }

    /// The driver has read own rows.
    pub(crate) fn chunk_read(&mut self, now: Time, peer: &NodeName, ticket: u64, rows: &[R], next: Option<u64>) {
        let (at, header, frame_bytes) = (self.log.head(), self.header, self.settings.frame_bytes);
        let asked = |t: &&mut Transfer| t.to == *peer && t.is_asked(ticket);
        if let Some(transfer) = self.transfers.iter_mut().find(asked) {
            let frames = transfer.fill(now, header, rows.iter(), (at, 0, next), frame_bytes);
            self.send_chunks(peer, frames);
        }
    }

    fn send_chunks(&mut self, to: &NodeName, frames: Vec<Bytes>) {
        for frame in frames {
            self.say(Output::Send { to: to.clone(), lane: Lane::Bulk, frame });
        }
    }

    /// Keeps all transfers going.
    pub(crate) fn pump(&mut self, now: Time) {
        let mut transfers = std::mem::take(&mut self.transfers);
        transfers.retain_mut(|transfer| self.drive(now, transfer));
        self.transfers = transfers;
    }

    /// One transfer's next steps; `false` when it is over.
    fn drive(&mut self, now: Time, transfer: &mut Transfer) -> bool {
        let overdue = transfer.overdue(now, self.settings.chunk_retry);
        self.counters.chunks_resent += u64::try_from(overdue.len()).unwrap_or(0);
        self.send_chunks(&transfer.to, overdue);
        loop {
            let cursor = match transfer.step(self.settings.chunk_credit) {
                Step::Over => return false,
                Step::Wait => return true,
                Step::Read { cursor } => cursor,
            };
            let limit = self.settings.chunk_rows;
            if transfer.owner == self.me {
                let ticket = self.next_serial();
                transfer.asked(now, ticket);
                self.say(Output::NeedChunk { peer: transfer.to.clone(), ticket, cursor, limit });
                return true;
            }
            let (rows, facts) = match self.tables.copies.get(&transfer.owner) {
                Some(copy) => {
                    let (rows, next) = copy.rows.page(cursor, limit);
                    (rows, (copy.applied, copy.clock_ahead().unwrap_or(0), next))
                }
                None => {
                    let Some(set) = self.saved.iter().find(|set| set.owner == transfer.owner) else { return false };
                    let (rows, next) = set.page(cursor, limit);
                    (rows, (0, set.clock_ahead_micros, next))
                }
            };
            let frames = transfer.fill(now, self.header, rows.into_iter(), facts, self.settings.frame_bytes);
            self.send_chunks(&transfer.to.clone(), frames);
        }
    }
}
