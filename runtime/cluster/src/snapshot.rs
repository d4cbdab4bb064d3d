//! Sending a set of rows in chunks: with credit, acknowledged, sent again after loss. Chunks in flight are kept as frames, so the memory
//! per transfer is bounded by the credit. Where the rows come from (the driver, or orphans kept here) is the caller's business.

use crate::frame::{Chunk, Frame, Header, Need};
use crate::row::Row;
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;
use tandem_base::{Incarnation, NodeLife, NodeName, Time};

/// Times the chunks in flight are sent again before the transfer is given up; the receiver will ask anew.
const RETRIES_MAX: u32 = 50;
/// Rows asked from the driver that do not come are asked for again after so many retry times.
const DRIVER_PATIENCE: u32 = 10;

/// One set of rows on its way to one peer.
#[derive(Clone, Debug)]
pub(crate) struct Transfer {
    pub(crate) to: NodeName,
    /// Which life of the peer asked.
    pub(crate) life: Incarnation,
    pub(crate) owner: NodeLife,
    pub(crate) request: u64,
    /// Our number for this walk: chunks of two walks for one request must never be mixed.
    pub(crate) number: u64,
    /// Where the next rows start; `None` when all are read.
    cursor: Option<u64>,
    /// The driver has been asked: with this ticket, at this time.
    asked: Option<(u64, Time)>,
    next_index: u64,
    in_flight: VecDeque<(u64, Bytes)>,
    again: Time,
    retries: u32,
}

/// What a transfer wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Rows from this cursor on.
    Read { cursor: u64 },
    /// Nothing before an acknowledgement, an answer or time.
    Wait,
    /// Everything is read and acknowledged, or the peer does not answer.
    Over,
}

impl Transfer {
    pub(crate) fn new(now: Time, (to, life): (NodeName, Incarnation), need: &Need, number: u64) -> Self {
        Self {
            to,
            life,
            owner: need.owner.clone(),
            request: need.request,
            number,
            cursor: Some(0),
            asked: None,
            next_index: 0,
            in_flight: VecDeque::new(),
            again: now,
            retries: 0,
        }
    }

    /// What comes next.
    pub(crate) fn step(&self, credit: usize) -> Step {
        match self.cursor {
            _ if self.retries > RETRIES_MAX => Step::Over,
            None if self.in_flight.is_empty() => Step::Over,
            Some(cursor) if self.asked.is_none() && self.in_flight.len() < credit => Step::Read { cursor },
            _ => Step::Wait,
        }
    }

    pub(crate) fn asked(&mut self, now: Time, ticket: u64) {
        self.asked = Some((ticket, now));
    }
    pub(crate) fn is_asked(&self, ticket: u64) -> bool {
        self.asked.is_some_and(|(asked, _)| asked == ticket)
    }

    /// Rows have been read at the owner's sequence `at`; `next` is where to go on. Returns the frames to send.
    pub(crate) fn fill<'a, R: Row + 'a>(
        &mut self,
        now: Time,
        header: Header,
        rows: impl Iterator<Item = &'a R>,
        (at, clock_ahead, next): (u64, i64, Option<u64>),
        frame_bytes: usize,
    ) -> Vec<Bytes> {
        self.asked = None;
        self.cursor = next;
        let mut frames = Vec::new();
        let (mut count, mut body) = (0, Vec::new());
        let mut rows = rows.peekable();
        loop {
            let row = rows.next();
            if let Some(row) = row {
                count += 1;
                crate::codec::put_framed(&mut body, |out| row.encode(out));
            }
            let end = rows.peek().is_none();
            if end || body.len() >= frame_bytes {
                let (owner, request, transfer, index) =
                    (self.owner.clone(), self.request, self.number, self.next_index);
                let last = end && next.is_none();
                let chunk = Chunk { owner, request, transfer, index, at, last, clock_ahead, count, rows: &body };
                let frame = header.write(&Frame::Chunk(chunk));
                self.in_flight.push_back((index, frame.clone()));
                self.next_index += 1;
                frames.push(frame);
                count = 0;
                body.clear();
            }
            if end {
                break;
            }
        }
        self.again = now;
        frames
    }

    /// Every chunk before `next` has arrived.
    pub(crate) fn acknowledged(&mut self, now: Time, next: u64) {
        let before = self.in_flight.len();
        while self.in_flight.front().is_some_and(|(index, _)| *index < next) {
            self.in_flight.pop_front();
        }
        if self.in_flight.len() < before {
            (self.again, self.retries) = (now, 0);
        }
    }

    /// The chunks to send again, if it is time.
    pub(crate) fn overdue(&mut self, now: Time, retry: Duration) -> Vec<Bytes> {
        if self.asked.is_some_and(|(_, at)| now >= at + retry * DRIVER_PATIENCE) {
            self.asked = None;
        }
        if self.in_flight.is_empty() || now < self.again + retry {
            return Vec::new();
        }
        self.again = now;
        self.retries += 1;
        self.in_flight.iter().map(|(_, frame)| frame.clone()).collect()
    }

    pub(crate) fn deadline(&self, retry: Duration) -> Option<Time> {
        let flight = (!self.in_flight.is_empty()).then(|| self.again + retry);
        let driver = self.asked.map(|(_, at)| at + retry * DRIVER_PATIENCE);
        [flight, driver].into_iter().flatten().min()
    }
}
