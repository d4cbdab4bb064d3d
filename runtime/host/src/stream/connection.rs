//! One stream connection: cuts what comes into messages, answers CRLF keep-alives itself (RFC 5626 section 4.4.1), writes what the peer has not
//! read yet. It holds no read buffer of its own unless a message is incomplete.

use super::{BATCH_MESSAGES, CloseReason, SendRefused, StreamEvent, StreamLimits, Table};
use crate::outbox::Peer;
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, Waker};
use tandem_base::Time;
use tandem_sip::framing::{Frame, Framer, Side};
use tokio::net::TcpStream;

/// Bytes read at a time, into a buffer that all connections share.
pub(super) const READ_BYTES: usize = 16 << 10;
/// Most keep-alives answered per read: more are a flood.
const PONGS_PER_READ: usize = 8;
/// Reads per turn before others get theirs.
const READS_PER_TURN: usize = 4;

pub(super) struct Connection {
    peer: Peer,
    stream: TcpStream,
    /// What the kernel did not take yet.
    out: RefCell<VecDeque<u8>>,
    waker: RefCell<Option<Waker>>,
    closing: Cell<Option<CloseReason>>,
    opened: Time,
    spoke: Cell<bool>,
    last_in: Cell<Time>,
    /// When the queue last got shorter, or began; `None` while it is empty.
    stalled: Cell<Option<Time>>,
}

impl Connection {
    pub(super) fn new(peer: Peer, stream: TcpStream, now: Time) -> Self {
        Self {
            peer,
            stream,
            out: RefCell::default(),
            waker: RefCell::default(),
            closing: Cell::new(None),
            opened: now,
            spoke: Cell::new(false),
            last_in: Cell::new(now),
            stalled: Cell::new(None),
        }
    }
    pub(super) const fn peer(&self) -> Peer {
        self.peer
    }
    pub(super) fn queued(&self) -> usize {
        self.out.borrow().len()
    }

    /// Ends its task; the first reason counts.
    pub(super) fn close(&self, reason: CloseReason) {
        if self.closing.get().is_none() {
            self.closing.set(Some(reason));
        }
        self.wake();
    }
    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    pub(super) fn check(&self, limits: &StreamLimits, now: Time) {
        if self.stalled.get().is_some_and(|since| now.since(since) >= limits.write_deadline) {
            self.close(CloseReason::Stalled);
        } else if !self.spoke.get() && now.since(self.opened) >= limits.first_message {
            self.close(CloseReason::Silent);
        } else if now.since(self.last_in.get()) >= limits.idle {
            self.close(CloseReason::Idle);
        }
    }

    pub(super) fn send(&self, table: &Table, bytes: &[u8]) -> Result<(), SendRefused> {
        if self.closing.get().is_some() {
            return Err(SendRefused::Closed);
        }
        let mut out = self.out.borrow_mut();
        // Nothing waits: the kernel most often takes it all, without waking the task.
        let taken = if out.is_empty() { self.write(bytes)? } else { 0 };
        let rest = bytes.get(taken..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        let total = table.queued.get() + rest.len();
        if out.len() + rest.len() > table.limits.queue_bytes || total > table.limits.queue_bytes_total {
            drop(out);
            self.close(CloseReason::QueueFull);
            return Err(SendRefused::Full);
        }
        if out.is_empty() {
            self.stalled.set(Some(table.clock.now()));
        }
        out.extend(rest);
        table.queued.set(total);
        drop(out);
        self.wake();
        Ok(())
    }

    /// What the kernel takes at once, in bytes.
    fn write(&self, bytes: &[u8]) -> Result<usize, SendRefused> {
        match self.stream.try_write(bytes) {
            Ok(taken) => Ok(taken),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(_) => {
                self.close(CloseReason::Broken);
                Err(SendRefused::Closed)
            }
        }
    }

    /// The task: until the connection ends, and why.
    pub(super) async fn serve(&self, table: &Table) -> CloseReason {
        let mut framer = Framer::bounded(Side::Server, table.limits.message_bytes);
        poll_fn(|task| {
            let mut waker = self.waker.borrow_mut();
            if !waker.as_ref().is_some_and(|waker| waker.will_wake(task.waker())) {
                *waker = Some(task.waker().clone());
            }
            drop(waker);
            if let Some(reason) = self.closing.get() {
                return Poll::Ready(reason);
            }
            if let Err(reason) = self.write_on(table, task) {
                return Poll::Ready(reason);
            }
            match self.read_on(table, &mut framer, task) {
                Ok(()) => Poll::Pending,
                Err(reason) => Poll::Ready(reason),
            }
        })
        .await
    }

    /// Writes as much of the queue as the kernel takes.
    fn write_on(&self, table: &Table, task: &mut Context<'_>) -> Result<(), CloseReason> {
        let mut out = self.out.borrow_mut();
        while !out.is_empty() {
            match self.stream.poll_write_ready(task) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(_)) => return Err(CloseReason::Broken),
                Poll::Ready(Ok(())) => {}
            }
            match self.stream.try_write(out.as_slices().0) {
                Ok(taken) => {
                    out.drain(..taken);
                    table.queued.set(table.queued.get().saturating_sub(taken));
                    self.stalled.set((!out.is_empty()).then(|| table.clock.now()));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Err(CloseReason::Broken),
            }
        }
        // A burst's memory is not kept for a quiet phone.
        if out.capacity() > 0 {
            *out = VecDeque::new();
        }
        Ok(())
    }

    /// Reads what is there, a few reads a turn, and hands on what is whole.
    fn read_on(&self, table: &Table, framer: &mut Framer, task: &mut Context<'_>) -> Result<(), CloseReason> {
        for _ in 0..READS_PER_TURN {
            match self.stream.poll_read_ready(task) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(_)) => return Err(CloseReason::Broken),
                Poll::Ready(Ok(())) => {}
            }
            let mut scratch = table.scratch.borrow_mut();
            let read = match self.stream.try_read(&mut scratch) {
                Ok(0) => return Err(CloseReason::Peer),
                Ok(read) => read,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => continue,
                Err(_) => return Err(CloseReason::Broken),
            };
            self.last_in.set(table.clock.now());
            let whole = cut(framer, scratch.get(..read).unwrap_or_default());
            drop(scratch);
            self.hand_on(table, whole)?;
        }
        task.waker().wake_by_ref();
        Ok(())
    }

    fn hand_on(&self, table: &Table, Cut { messages, pings, broken }: Cut) -> Result<(), CloseReason> {
        for _ in 0..pings {
            // A pong that is refused closes the connection by itself.
            let _ = self.send(table, b"\r\n");
        }
        let mut messages = messages.into_iter().peekable();
        while messages.peek().is_some() {
            self.spoke.set(true);
            let messages = messages.by_ref().take(BATCH_MESSAGES).collect();
            if !(table.deliver)(StreamEvent::Messages { peer: self.peer, messages }) {
                return Err(CloseReason::Overloaded);
            }
        }
        if broken { Err(CloseReason::Malformed) } else { Ok(()) }
    }
}

struct Cut {
    messages: Vec<Bytes>,
    pings: usize,
    broken: bool,
}

/// Cuts what was read into whole messages and keep-alives; the framer keeps what is incomplete.
fn cut(framer: &mut Framer, mut bytes: &[u8]) -> Cut {
    let mut cut = Cut { messages: Vec::new(), pings: 0, broken: false };
    while !bytes.is_empty() {
        let taken = framer.push(bytes);
        bytes = bytes.get(taken..).unwrap_or_default();
        loop {
            match framer.poll() {
                Ok(Some(Frame::Message(message))) => cut.messages.push(Bytes::copy_from_slice(message)),
                Ok(Some(Frame::Ping)) => cut.pings = (cut.pings + 1).min(PONGS_PER_READ),
                Ok(Some(Frame::Pong)) => {}
                Ok(None) => break,
                Err(_) => {
                    cut.broken = true;
                    return cut;
                }
            }
        }
    }
    cut
}
