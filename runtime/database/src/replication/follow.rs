//! Following: pieces of the log are taken in order only, put together, and applied with one fsync for as many as are there. What
//! does not fit is answered with the place to go on from; a copy that diverged asks for a snapshot.

use super::api::Output;
use super::frame::{Chunk, Follow};
use super::machine::Replication;
use super::settings::{ACK_BYTES, READY_BYTES};
use super::work::{EpochBase, LogPart, LogPosition, Work};
use super::{api::Role, frame::Frame};
use crate::change::{CHANGE_BYTES_MAX, Change, Epoch, Head};
use crate::error::{DatabaseError, Refused, StoreError};
use std::time::Duration;
use tandem_base::{NodeName, Time};

/// How long a node that cannot read what the publisher sends waits before it asks again.
const UNREADABLE_WAIT: Duration = Duration::from_secs(10);

/// What this node has taken of the log and not applied yet.
#[derive(Debug)]
pub(super) struct Following {
    /// The next op that is taken.
    next: LogPosition,
    /// Pieces of a change that is not whole.
    open: Vec<LogPart>,
    open_bytes: usize,
    /// Whole changes.
    ready: Vec<Vec<LogPart>>,
    ready_bytes: usize,
    history: Vec<EpochBase>,
    applying: bool,
    /// Bytes taken since the last acknowledgement.
    unacked: usize,
    /// A gap is told once for each place.
    gap_told: Option<LogPosition>,
    gap: bool,
    want_snapshot: bool,
    /// Nothing is taken before this.
    wait_until: Option<Time>,
    pub(super) fetch: Option<Fetch>,
    /// The last snapshot that was fetched whole, and its length: it is not begun again.
    fetched: Option<(u64, u64)>,
}

/// A snapshot that is being fetched.
#[derive(Debug)]
pub(super) struct Fetch {
    from: NodeName,
    target: Chunk,
    /// The next chunk that is taken.
    next: u64,
    /// Chunks that the store has.
    staged: u64,
    /// The last one was taken.
    whole: bool,
    moved: Time,
}

fn after(head: &Head) -> LogPosition {
    LogPosition { revision: head.revision.saturating_add(1), op: 0 }
}

impl Following {
    pub(super) fn at(head: &Head) -> Self {
        Self {
            next: after(head),
            open: vec![],
            open_bytes: 0,
            ready: vec![],
            ready_bytes: 0,
            history: vec![],
            applying: false,
            unacked: 0,
            gap_told: None,
            gap: false,
            want_snapshot: false,
            wait_until: None,
            fetch: None,
            fetched: None,
        }
    }
    /// Forgets what was taken and not handed to the store: it comes again.
    pub(super) fn restart(&mut self, head: &Head) {
        *self = Self {
            applying: self.applying,
            want_snapshot: self.want_snapshot,
            wait_until: self.wait_until,
            fetched: self.fetched,
            ..Self::at(head)
        };
    }
    pub(super) fn lost(&mut self, name: &NodeName, head: &Head) {
        if self.fetch.as_ref().is_some_and(|f| f.from == *name) {
            self.fetch = None;
        }
        if self.fetch.is_none() {
            self.restart(head);
        }
    }
    /// What is wanted of the source.
    pub(super) fn wanted(&self) -> Follow {
        Follow {
            next_revision: self.next.revision,
            next_op: self.next.op,
            gap: self.gap,
            snapshot: self.want_snapshot,
            fetching: self.fetch.as_ref().map(|f| f.target.ticket),
        }
    }
}

impl Replication {
    /// Whether this node follows the sender under the epoch that it names. A sender whose epoch is over is told.
    fn follows(&mut self, now: Time, from: &NodeName, epoch: &Epoch) -> bool {
        self.learn(now, epoch);
        if self.head.epoch.as_ref() != Some(epoch) {
            self.tell(now, Some(from));
            return false;
        }
        self.role(now) != Role::Publisher && self.source(now).as_ref() == Some(from)
    }
    pub(super) fn part(&mut self, now: Time, from: &NodeName, epoch: &Epoch, part: LogPart, history: Vec<EpochBase>) {
        if !self.follows(now, from, epoch) || self.following.fetch.is_some() || self.failing.is_some() {
            return;
        }
        if self.following.wait_until.is_some_and(|until| now < until) {
            return;
        }
        let following = &mut self.following;
        let here = LogPosition { revision: part.info.revision, op: part.first };
        let bytes = part.ops.0.len();
        // A change that is not whole must be able to become so, whatever else waits.
        let full = following.ready_bytes >= READY_BYTES && following.open.is_empty();
        if here < following.next || full || following.open_bytes.saturating_add(bytes) > CHANGE_BYTES_MAX {
            return;
        }
        if here > following.next || following.open.first().is_some_and(|p| p.info != part.info) {
            if following.gap_told != Some(following.next) {
                (following.gap_told, following.gap) = (Some(following.next), true);
                self.tell(now, Some(from));
                self.following.gap = false;
            }
            return;
        }
        if !history.is_empty() {
            following.history = history;
        }
        following.next = part.end();
        following.unacked += bytes;
        following.open_bytes += bytes;
        following.open.push(part);
        let whole = following.next.op == 0;
        let long = following.open.len() > 1;
        if whole {
            following.ready_bytes += std::mem::take(&mut following.open_bytes);
            following.ready.push(std::mem::take(&mut following.open));
        }
        if following.unacked >= ACK_BYTES || (whole && long) {
            following.unacked = 0;
            self.tell(now, Some(from));
        }
    }
    pub(super) fn pump_apply(&mut self) {
        let following = &mut self.following;
        if following.applying || following.ready.is_empty() || self.failing.is_some() {
            return;
        }
        following.applying = true;
        following.ready_bytes = 0;
        let changes = std::mem::take(&mut following.ready);
        let history = following.history.clone();
        self.work(Work::Apply { changes, history });
    }
    pub(super) fn applied(&mut self, now: Time, changes: Vec<Change>, stopped: Option<Refused>, head: Head) {
        self.following.applying = false;
        self.stand(head);
        if !changes.is_empty() {
            self.say(Output::Changed(changes));
        }
        let failed = match &stopped {
            Some(Refused::Store(error)) => Some(error.clone()),
            _ => None,
        };
        if stopped.is_some() || self.following.next < after(&self.head) {
            self.following.restart(&self.head);
        }
        if let Some(refused) = stopped {
            self.stopped(now, &refused);
        }
        match failed {
            Some(error) => self.store_says(now, Err(error)),
            None => self.store_worked(now),
        }
        self.following.unacked = 0;
        self.acknowledge(now);
    }
    fn stopped(&mut self, now: Time, refused: &Refused) {
        match refused {
            Refused::Diverged { .. } => self.following.want_snapshot = true,
            Refused::Problems(_) | Refused::Unreadable { .. } => {
                self.following.wait_until = Some(now + UNREADABLE_WAIT);
                let publisher = self.head.epoch.as_ref().map(|e| e.publisher.clone());
                let why = DatabaseError::Malformed { what: "a change of a newer Tandem", why: refused.to_string() };
                if let Some(publisher) = publisher {
                    self.misfit(now, &publisher, why);
                }
            }
            // It comes again from where the copy stands.
            _ => {}
        }
    }

    pub(super) fn chunk(&mut self, now: Time, from: &NodeName, chunk: Chunk) {
        if !self.follows(now, from, &chunk.epoch) || self.failing.is_some() {
            return;
        }
        if self.following.wait_until.is_some_and(|until| now < until) {
            return;
        }
        let ticket = chunk.ticket;
        if let Some((_, next)) = self.following.fetched.filter(|(last, _)| *last == ticket) {
            return self.send(from, false, &Frame::ChunkAck { ticket, next });
        }
        if self.following.fetch.as_ref().is_none_or(|f| f.target.ticket != ticket) {
            if chunk.index != 0 || self.following.applying {
                return;
            }
            let mut target = chunk.clone();
            target.items = super::api::Packet(bytes::Bytes::new());
            self.following.restart(&self.head);
            let from = from.clone();
            self.following.fetch = Some(Fetch { from, target, next: 0, staged: 0, whole: false, moved: now });
        }
        let Some(fetch) = self.following.fetch.as_mut() else { return };
        if chunk.index == fetch.next && !fetch.whole {
            (fetch.next, fetch.whole, fetch.moved) = (fetch.next.saturating_add(1), chunk.last, now);
            self.work(Work::StageChunk { ticket, index: chunk.index, items: chunk.items });
        } else if chunk.index < fetch.staged {
            // The acknowledgement was lost.
            let next = fetch.staged;
            self.send(from, false, &Frame::ChunkAck { ticket, next });
        }
    }
    pub(super) fn staged(&mut self, now: Time, ticket: u64, index: u64, result: Result<(), StoreError>) {
        let Some(fetch) = self.following.fetch.as_mut().filter(|f| f.target.ticket == ticket) else { return };
        if let Err(error) = result {
            self.following.fetch = None;
            return self.store_says(now, Err(error));
        }
        fetch.staged = index.saturating_add(1);
        fetch.moved = now;
        let (to, next) = (fetch.from.clone(), fetch.staged);
        let restore = (fetch.whole && fetch.staged == fetch.next).then(|| Work::Restore {
            ticket,
            revision: fetch.target.revision,
            digest: fetch.target.digest,
            epoch: fetch.target.epoch.clone(),
            history: fetch.target.history.clone(),
        });
        self.send(&to, false, &Frame::ChunkAck { ticket, next });
        if let Some(restore) = restore {
            self.work(restore);
        }
    }
    pub(super) fn restored(&mut self, now: Time, ticket: u64, result: Result<u64, Refused>, head: Head) {
        let fetched = self.following.fetch.take_if(|f| f.target.ticket == ticket);
        let fetched = fetched.map(|f| self.following.fetched = Some((ticket, f.next))).is_some();
        self.stand(head);
        match result {
            Ok(unsent) => {
                self.following.want_snapshot = false;
                self.following.restart(&self.head);
                let revision = self.head.revision;
                self.say(Output::Replaced { revision, unsent });
                self.store_worked(now);
            }
            Err(refused) => {
                if fetched {
                    self.stopped(now, &refused);
                }
                if let Refused::Store(error) = refused {
                    self.store_says(now, Err(error));
                }
            }
        }
        self.tell(now, None);
    }
    /// A snapshot that does not move is given up; the source begins another.
    pub(super) fn tick_following(&mut self, now: Time) {
        let stalled = self.settings.stalled_after;
        let restoring = |f: &Fetch| f.whole && f.staged == f.next;
        let dead = |f: &Fetch| !restoring(f) && now.since(f.moved) >= stalled;
        if self.following.fetch.as_ref().is_some_and(dead) {
            self.following.fetch = None;
            self.following.restart(&self.head);
        }
        if self.following.wait_until.is_some_and(|until| now >= until) {
            self.following.wait_until = None;
        }
    }
}
