//! Keeps the run-time tables on disk: every so often, and at an orderly stop, a walk over all rows in small steps whose bytes go to a thread.
//!
//! The walk is no snapshot of one moment: rows that change meanwhile may be in it old or new, which the next one puts right. It must never read
//! many rows at once, nor wait for the disk.

use super::CallManager;
use crate::device_host::{ChunkRead, ReadChunk};
use crate::tables::TableFile;
use actix::{Context, Handler, Message};
use std::time::Duration;
use tandem_base::{NodeLife, Time};
use tandem_cluster::{Input, TableWriter};

/// Rows per step: 100 ms apart, so 40,000 a second.
const STEP: usize = 4_096;

/// What the walk has come to.
enum At {
    /// Own rows, from this slot on; whether they were asked for.
    Own { cursor: u64, asked: bool },
    /// Copies: of this owner from there on, or of the first one.
    Copies { owner: Option<NodeLife>, cursor: u64 },
}

struct Walk {
    writer: TableWriter,
    at: At,
}

/// The file, and the walk under way.
pub(crate) struct Saving {
    file: TableFile,
    every: Duration,
    next: Time,
    walk: Option<Walk>,
    /// Of the walk begun last: rows that were asked for by an earlier one are none of its.
    number: u64,
    /// The node stops: no waiting between steps.
    last: bool,
}

impl Saving {
    pub(crate) fn new(file: TableFile, every: Duration, now: Time) -> Self {
        Self { file, every, next: now + every, walk: None, number: 0, last: false }
    }
}

impl CallManager {
    /// The node's life begins: what an earlier one left waits in the machine.
    pub(super) fn restore(&mut self) {
        if let Some(saving) = &mut self.saving {
            let found = std::mem::take(&mut saving.file.found);
            self.feed(Input::Restore(found));
        }
    }

    /// A step, if it is time. Before the node has taken up what an earlier life left nothing is written: it would replace what is there
    /// by less.
    pub(super) fn save_step(&mut self, now: Time) {
        if self.settled_at.is_none() {
            return;
        }
        let Some(saving) = &mut self.saving else { return };
        self.metrics.saves(&saving.file.saves());
        if saving.walk.is_none() {
            if now < saving.next {
                return;
            }
            saving.next = now + saving.every;
            saving.number += 1;
            let writer = TableWriter::new(&self.directory.cluster, self.clock.unix_millis().0, now);
            saving.walk = Some(Walk { writer, at: At::Own { cursor: 0, asked: false } });
        }
        let ticket = saving.number;
        match saving.walk.as_mut().map(|walk| &mut walk.at) {
            Some(At::Own { cursor, asked }) if !*asked => {
                *asked = true;
                let read = ReadChunk { peer: self.me.node.clone(), ticket, cursor: *cursor, limit: STEP };
                // One that does not take it is asked again with the next beat.
                if self.host.as_ref().is_none_or(|host| host.tell(read).is_err()) {
                    self.ask_again();
                }
            }
            Some(At::Own { .. }) | None => {}
            Some(At::Copies { .. }) => self.save_copies(),
        }
    }

    fn ask_again(&mut self) {
        if let Some(Walk { at: At::Own { asked, .. }, .. }) = self.saving.as_mut().and_then(|s| s.walk.as_mut()) {
            *asked = false;
        }
    }

    /// Own rows came.
    pub(super) fn save_own(&mut self, read: &ChunkRead) {
        let Some(saving) = &mut self.saving else { return };
        let Some(walk) = saving.walk.as_mut().filter(|_| read.ticket == saving.number) else { return };
        walk.writer.put(&self.me, 0, read.rows.iter());
        walk.at = match read.next {
            Some(cursor) => At::Own { cursor, asked: false },
            None => At::Copies { owner: None, cursor: 0 },
        };
        if saving.last {
            self.save_step(self.clock.now());
        }
    }

    /// Some rows of the owner whose turn it is.
    fn save_copies(&mut self) {
        loop {
            let Some(Saving { walk: Some(walk), last, .. }) = &mut self.saving else { return };
            let At::Copies { owner, cursor } = &mut walk.at else { return };
            let owners = self.cluster.owners();
            // The one under way, or else the first one behind it: it may have gone meanwhile.
            let found = owners.into_iter().find(|o| owner.as_ref().is_none_or(|at| o.owner >= *at));
            let Some(found) = found else { return self.save_end() };
            let from = if owner.as_ref() == Some(&found.owner) { *cursor } else { 0 };
            let page = self.cluster.page(&found.owner, from, STEP);
            // Whose clock was never heard has rows that nobody could tell the age of.
            if let Some(ahead) = found.clock_ahead_micros {
                walk.writer.put(&found.owner, ahead, page.rows.into_iter());
            }
            match page.next {
                Some(next) => walk.at = At::Copies { owner: Some(found.owner), cursor: next },
                None => {
                    let next = self.cluster.owners().into_iter().map(|o| o.owner).find(|o| *o > found.owner);
                    match next {
                        Some(next) => walk.at = At::Copies { owner: Some(next), cursor: 0 },
                        None => return self.save_end(),
                    }
                }
            }
            if !*last {
                return;
            }
        }
    }

    fn save_end(&mut self) {
        let Some(saving) = &mut self.saving else { return };
        // A disk that is still busy with two earlier ones gets the next one; the last one is made again until it is taken.
        let taken = saving.walk.take().is_some_and(|walk| saving.file.save(walk.writer.finish()));
        if saving.last {
            saving.next = if taken { Time::FAR } else { Time::ZERO };
        }
    }
}

// --- SaveLast --------------------------------------------------------------------------------------------------------

/// The node is about to end in good order: its tables are kept as they are now, however far a walk had come.
pub struct SaveLast;
impl Message for SaveLast {
    type Result = ();
}
impl Handler<SaveLast> for CallManager {
    type Result = ();
    fn handle(&mut self, _: SaveLast, _: &mut Context<Self>) {
        let now = self.clock.now();
        let next = if self.settled_at.is_some() { now } else { Time::FAR };
        if let Some(saving) = &mut self.saving {
            (saving.last, saving.walk, saving.next) = (true, None, next);
        }
        self.save_step(now);
    }
}

/// Whether that is done.
pub struct IsSaved;
impl Message for IsSaved {
    type Result = bool;
}
impl Handler<IsSaved> for CallManager {
    type Result = bool;
    fn handle(&mut self, _: IsSaved, _: &mut Context<Self>) -> bool {
        self.saving.as_ref().is_none_or(|s| s.last && s.next == Time::FAR && s.file.saves().is_idle())
    }
}
