//! Serving a follower: the log in pieces with a window of bytes that are not acknowledged, or a snapshot in chunks when the log does
//! not lead there. Everything is sent again until it is acknowledged, from where the acknowledgement says.

use super::api::{Packet, Role};
use super::frame::{Chunk, Follow, Frame};
use super::machine::Replication;
use super::settings::{CHUNKS_IN_FLIGHT, WINDOW_BYTES};
use super::work::{EpochBase, LogPosition, LogRead, Work};
use crate::change::{Epoch, Head};
use crate::error::StoreError;
use std::collections::VecDeque;
use tandem_base::{NodeName, Time};

/// What a peer is being sent.
#[derive(Debug, Default)]
pub(super) struct Serving {
    log: Option<LogService>,
    snapshot: Option<Transfer>,
}
impl Serving {
    pub(super) fn deadline(&self) -> Option<Time> {
        let log = self.log.iter().filter(|l| !l.in_flight.is_empty()).map(|l| l.retry_at);
        log.chain(self.snapshot.iter().map(|t| t.retry_at)).min()
    }
}

#[derive(Debug)]
struct LogService {
    /// What is sent next.
    at: LogPosition,
    /// Pieces on their way: where each ends, and its bytes.
    in_flight: VecDeque<(LogPosition, usize)>,
    reading: Option<u64>,
    retry_at: Time,
    retries: u32,
}

#[derive(Debug)]
struct Transfer {
    ticket: u64,
    /// What it is of; `None` until the store has opened it.
    of: Option<(Head, Epoch, Vec<EpochBase>)>,
    /// Index of the first chunk in `chunks`.
    first: u64,
    chunks: VecDeque<(Packet, bool)>,
    reading: bool,
    complete: bool,
    retry_at: Time,
    moved: Time,
}

impl Replication {
    pub(super) fn stop_serving(&mut self, name: &NodeName) {
        let serving = self.peers.get_mut(name).map(|p| std::mem::take(&mut p.serving));
        if let Some(transfer) = serving.and_then(|s| s.snapshot) {
            self.work(Work::CloseSnapshot { ticket: transfer.ticket });
        }
    }
    pub(super) fn not_followed(&mut self, name: &NodeName) {
        let serving = self.peers.get(name).is_some_and(|p| p.serving.log.is_some() || p.serving.snapshot.is_some());
        if serving {
            self.stop_serving(name);
        }
    }
    /// The publisher serves everybody; another node only who has less than it.
    fn may_serve(&self, now: Time, name: &NodeName) -> bool {
        let said = self.peers.get(name).and_then(|p| p.said.as_ref());
        let less =
            said.is_some_and(|s| (&s.committed_under, s.revision) < (&self.head.committed_under, self.head.revision));
        less || self.role(now) == Role::Publisher
    }
    /// A follower says what it has and wants.
    pub(super) fn followed(&mut self, now: Time, name: &NodeName, follow: &Follow) {
        let retry_at = now + self.settings.retry;
        if !self.may_serve(now, name) {
            return self.not_followed(name);
        }
        let Some(peer) = self.peers.get_mut(name) else { return };
        if let Some(transfer) = &peer.serving.snapshot {
            let begun = transfer.first > 0;
            if follow.fetching == Some(transfer.ticket) || !begun {
                return;
            }
            // It began and the follower does not know of it any more: it was restarted, or has it whole.
            self.stop_serving(name);
        }
        let Some(peer) = self.peers.get_mut(name) else { return };
        if follow.snapshot {
            return self.begin_snapshot(now, name);
        }
        let wanted = follow.position();
        let log = peer.serving.log.get_or_insert(LogService {
            at: wanted,
            in_flight: VecDeque::new(),
            reading: None,
            retry_at,
            retries: 0,
        });
        let before = log.in_flight.len();
        while log.in_flight.front().is_some_and(|(end, _)| *end <= wanted) {
            log.in_flight.pop_front();
        }
        if log.in_flight.len() < before {
            (log.retry_at, log.retries) = (retry_at, 0);
        }
        if follow.gap || wanted > log.at || (log.in_flight.is_empty() && wanted != log.at) {
            log.at = wanted;
            log.in_flight.clear();
            log.reading = None;
        }
        self.read_on(name);
    }
    /// There is something new for everybody who follows.
    pub(super) fn serve_all(&mut self, now: Time) {
        let names: Vec<NodeName> = self.up().map(|(name, _)| name.clone()).collect();
        names.iter().for_each(|name| self.read_on(name));
        self.tell_idle(now);
    }
    /// Followers hear of new changes by the changes themselves; the others by a word.
    fn tell_idle(&mut self, now: Time) {
        let idle: Vec<_> = self.up().filter(|(_, p)| p.serving.log.is_none()).map(|(name, _)| name.clone()).collect();
        idle.iter().for_each(|name| self.tell(now, Some(name)));
    }
    fn read_on(&mut self, name: &NodeName) {
        let ticket = self.next_serial();
        let head = self.head.revision;
        let Some(peer) = self.peers.get_mut(name) else { return };
        let (Some(said), Some(log)) = (&peer.said, &mut peer.serving.log) else { return };
        let on_their_way: usize = log.in_flight.iter().map(|(_, bytes)| bytes).sum();
        let same = said.revision == head
            && said.digest == self.head.digest
            && said.committed_under == self.head.committed_under;
        // A follower that is level and equal, or whose rest is on its way, wants nothing.
        let nothing = if log.at.revision > head { same || said.revision < head } else { on_their_way >= WINDOW_BYTES };
        if log.reading.is_some() || nothing {
            return;
        }
        log.reading = Some(ticket);
        let last = said.committed_under.clone().map(|epoch| (said.digest, epoch));
        let (after, from) = ((said.revision, last), log.at);
        let bytes = WINDOW_BYTES.saturating_sub(on_their_way);
        self.work(Work::ReadLog { peer: name.clone(), ticket, after, from, bytes });
    }
    pub(super) fn log_read(&mut self, now: Time, name: &NodeName, ticket: u64, result: Result<LogRead, StoreError>) {
        let retry_at = now + self.settings.retry;
        let Some(epoch) = self.head.epoch.clone() else { return };
        let Some(log) = self.peers.get_mut(name).and_then(|p| p.serving.log.as_mut()) else { return };
        if log.reading != Some(ticket) {
            return;
        }
        log.reading = None;
        match result {
            Err(error) => self.store_says(now, Err(error)),
            Ok(LogRead::NeedsSnapshot) => self.begin_snapshot(now, name),
            Ok(LogRead::Parts { parts, history }) => {
                if log.in_flight.is_empty() {
                    (log.retry_at, log.retries) = (retry_at, 0);
                }
                for part in &parts {
                    log.at = part.end();
                    log.in_flight.push_back((part.end(), part.ops.0.len()));
                }
                let more = !parts.is_empty();
                for part in parts {
                    let history = if part.first == 0 { history.clone() } else { vec![] };
                    self.send(name, false, &Frame::Part { epoch: epoch.clone(), part, history });
                }
                if more {
                    // Changes may have been committed meanwhile.
                    self.read_on(name);
                }
            }
        }
    }

    fn begin_snapshot(&mut self, now: Time, name: &NodeName) {
        self.stop_serving(name);
        let ticket = self.next_serial();
        let retry_at = now + self.settings.retry;
        // Numbers of lives of this machine differ in their serials only; the follower must not take an old transfer for this one.
        let ticket = ticket.wrapping_add(now.as_micros() << 16) & (u64::MAX >> 1);
        let Some(peer) = self.peers.get_mut(name) else { return };
        peer.serving.snapshot = Some(Transfer {
            ticket,
            of: None,
            first: 0,
            chunks: VecDeque::new(),
            reading: false,
            complete: false,
            retry_at,
            moved: now,
        });
        self.work(Work::OpenSnapshot { peer: name.clone(), ticket });
    }
    fn transfer(&mut self, name: &NodeName, ticket: u64) -> Option<&mut Transfer> {
        self.peers.get_mut(name)?.serving.snapshot.as_mut().filter(|t| t.ticket == ticket)
    }
    pub(super) fn snapshot_opened(
        &mut self,
        now: Time,
        name: &NodeName,
        ticket: u64,
        result: Result<(Head, Vec<EpochBase>), StoreError>,
    ) {
        let Some(transfer) = self.transfer(name, ticket) else {
            return self.work(Work::CloseSnapshot { ticket });
        };
        match result {
            Ok((head, history)) => {
                let Some(epoch) = head.epoch.clone() else { return self.stop_serving(name) };
                transfer.of = Some((head, epoch, history));
                self.read_chunks(name);
            }
            Err(error) => {
                self.stop_serving(name);
                self.store_says(now, Err(error));
            }
        }
    }
    fn read_chunks(&mut self, name: &NodeName) {
        let Some(transfer) = self.peers.get_mut(name).and_then(|p| p.serving.snapshot.as_mut()) else { return };
        if transfer.reading || transfer.complete || transfer.chunks.len() >= CHUNKS_IN_FLIGHT {
            return;
        }
        transfer.reading = true;
        let ticket = transfer.ticket;
        self.work(Work::ReadChunk { peer: name.clone(), ticket });
    }
    pub(super) fn chunk_read(
        &mut self,
        now: Time,
        name: &NodeName,
        ticket: u64,
        result: Result<(Packet, bool), StoreError>,
    ) {
        let retry_at = now + self.settings.retry;
        let Some(transfer) = self.transfer(name, ticket) else { return };
        match result {
            Ok((items, last)) => {
                if transfer.chunks.is_empty() {
                    transfer.retry_at = retry_at;
                }
                transfer.reading = false;
                transfer.complete = last;
                transfer.chunks.push_back((items, last));
                let newest = transfer.chunks.len() - 1;
                self.send_chunk(name, newest);
                self.read_chunks(name);
            }
            Err(error) => {
                self.stop_serving(name);
                self.store_says(now, Err(error));
            }
        }
    }
    fn send_chunk(&mut self, name: &NodeName, n: usize) {
        let Some(transfer) = self.peers.get(name).and_then(|p| p.serving.snapshot.as_ref()) else { return };
        let (Some((head, epoch, history)), Some((items, last))) = (&transfer.of, transfer.chunks.get(n)) else {
            return;
        };
        let chunk = Chunk {
            ticket: transfer.ticket,
            index: transfer.first.saturating_add(u64::try_from(n).unwrap_or(0)),
            last: *last,
            revision: head.revision,
            digest: head.digest,
            epoch: epoch.clone(),
            history: history.clone(),
            items: items.clone(),
        };
        self.send(name, true, &Frame::Chunk(chunk));
    }
    pub(super) fn chunk_ack(&mut self, now: Time, name: &NodeName, ticket: u64, next: u64) {
        let retry_at = now + self.settings.retry;
        let Some(transfer) = self.transfer(name, ticket) else { return };
        if next <= transfer.first {
            return;
        }
        while transfer.first < next && transfer.chunks.pop_front().is_some() {
            transfer.first += 1;
        }
        (transfer.retry_at, transfer.moved) = (retry_at, now);
        if transfer.complete && transfer.chunks.is_empty() {
            return self.stop_serving(name);
        }
        self.read_chunks(name);
    }

    /// What was not acknowledged is sent again; what does not move is given up.
    pub(super) fn tick_serving(&mut self, now: Time) {
        let (retry, stalled) = (self.settings.retry, self.settings.stalled_after);
        let names: Vec<NodeName> = self.up().map(|(name, _)| name.clone()).collect();
        for name in names {
            let Some(peer) = self.peers.get_mut(&name) else { continue };
            if let Some(log) = peer.serving.log.as_mut().filter(|l| !l.in_flight.is_empty() && now >= l.retry_at) {
                log.retries = (log.retries + 1).min(4);
                log.retry_at = now + retry * (1 << log.retries).min(10);
                // From the last word of the follower on.
                if let Some(follow) = peer.said.as_ref().and_then(|s| s.follow.as_ref()) {
                    log.at = follow.position();
                }
                log.in_flight.clear();
                log.reading = None;
                self.read_on(&name);
                continue;
            }
            let Some(transfer) = peer.serving.snapshot.as_mut() else { continue };
            if now.since(transfer.moved) >= stalled {
                self.stop_serving(&name);
            } else if now >= transfer.retry_at {
                transfer.retry_at = now + retry;
                for n in 0..transfer.chunks.len() {
                    self.send_chunk(&name, n);
                }
            }
        }
    }
}
