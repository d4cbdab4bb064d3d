//! One stream connection: cuts what comes into messages, answers CRLF keep-alives itself (RFC 5626 section 4.4.1), writes what the peer has not
//! read yet. It holds no read buffer of its own unless a message is incomplete.

use super::{BATCH_MESSAGES, CloseReason, LINGER, SendRefused, StreamEvent, StreamLimits, Table};
use crate::outbox::Peer;
use bytes::Bytes;
use socket2::SockRef;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::task::{Context, Poll, Waker};
use tandem_base::Time;
use tandem_sip::FrameError;
use tandem_sip::framing::{Frame, Framer, Side, last_answer};
use tokio::net::TcpStream;

/// Bytes read at a time, into a buffer that all connections share.
pub(super) const READ_BYTES: usize = 16 << 10;
/// Most keep-alives answered per read: more are a flood.
const PONGS_PER_READ: usize = 8;
/// Bytes of a connection that is to end which are read and forgotten, so that the peer sees the last answer and not a reset.
const FORGOTTEN_MAX: usize = 1 << 20;
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
    /// It is to end: since when, and why. What comes is forgotten.
    ending: Cell<Option<(Time, CloseReason)>>,
    /// How many bytes were forgotten.
    forgotten: Cell<usize>,
    farewell: Cell<Farewell>,
}

/// How far a connection that is to end has come with what it has to say.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Farewell {
    /// More may be sent.
    Unsaid,
    /// Nothing more will be sent than what waits.
    Said,
    /// The peer was told that nothing more comes.
    Told,
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
            ending: Cell::new(None),
            forgotten: Cell::new(0),
            farewell: Cell::new(Farewell::Unsaid),
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
        if let Some((since, reason)) = self.ending.get() {
            if now.since(since) >= LINGER {
                self.close(reason);
            }
        } else if self.stalled.get().is_some_and(|since| now.since(since) >= limits.write_deadline) {
            self.close(CloseReason::Stalled);
        } else if !self.spoke.get() && now.since(self.opened) >= limits.first_message {
            self.close(CloseReason::Silent);
        } else if now.since(self.last_in.get()) >= limits.idle {
            self.close(CloseReason::Idle);
        }
    }

    pub(super) fn send(&self, table: &Table, bytes: &[u8]) -> Result<(), SendRefused> {
        if self.closing.get().is_some() || self.farewell.get() != Farewell::Unsaid {
            return Err(SendRefused::Closed);
        }
        if bytes.is_empty() {
            self.end(table.clock.now(), CloseReason::Local);
            self.farewell.set(Farewell::Said);
            self.wake();
            return Ok(());
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

    /// From now on what comes is forgotten; the first reason counts.
    fn end(&self, now: Time, reason: CloseReason) {
        if self.ending.get().is_none() {
            self.ending.set(Some((now, reason)));
        }
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
            self.say_farewell();
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

    /// Everything is written that will be: the peer is told so. It may still have bytes on their way; a close at once would reset the
    /// connection and take the last answer with it.
    fn say_farewell(&self) {
        if self.farewell.get() == Farewell::Said && self.out.borrow().is_empty() {
            self.farewell.set(Farewell::Told);
            // What is broken shows at the next read.
            let _ = SockRef::from(&self.stream).shutdown(Shutdown::Write);
        }
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
                Ok(0) => return Err(self.ending.get().map_or(CloseReason::Peer, |(_, reason)| reason)),
                Ok(read) => read,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => continue,
                Err(_) => return Err(CloseReason::Broken),
            };
            if let Some((_, reason)) = self.ending.get() {
                self.forgotten.set(self.forgotten.get() + read);
                if self.forgotten.get() > FORGOTTEN_MAX {
                    return Err(reason);
                }
                continue;
            }
            self.last_in.set(table.clock.now());
            let whole = cut(framer, scratch.get(..read).unwrap_or_default());
            drop(scratch);
            let broken = whole.broken;
            self.hand_on(table, whole)?;
            if let Some(error) = broken {
                self.unreadable(table, framer.head(), error)?;
            }
        }
        task.waker().wake_by_ref();
        Ok(())
    }

    fn hand_on(&self, table: &Table, Cut { messages, pings, .. }: Cut) -> Result<(), CloseReason> {
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
        Ok(())
    }

    /// The actor answers what can be answered, behind the answers to what came before. Who has said nothing that anybody could answer
    /// is left without a word.
    fn unreadable(&self, table: &Table, head: &[u8], error: FrameError) -> Result<(), CloseReason> {
        if !self.spoke.get() && last_answer(head, error).is_none() {
            return Err(CloseReason::Malformed);
        }
        self.end(table.clock.now(), CloseReason::Malformed);
        let event = StreamEvent::Unreadable { peer: self.peer, head: Bytes::copy_from_slice(head), error };
        if (table.deliver)(event) { Ok(()) } else { Err(CloseReason::Overloaded) }
    }
}

struct Cut {
    messages: Vec<Bytes>,
    pings: usize,
    broken: Option<FrameError>,
}

/// Cuts what was read into whole messages and keep-alives; the framer keeps what is incomplete.
fn cut(framer: &mut Framer, mut bytes: &[u8]) -> Cut {
    let mut cut = Cut { messages: Vec::new(), pings: 0, broken: None };
    while !bytes.is_empty() {
        let taken = framer.push(bytes);
        bytes = bytes.get(taken..).unwrap_or_default();
        loop {
            match framer.poll() {
                Ok(Some(Frame::Message(message))) => cut.messages.push(Bytes::copy_from_slice(message)),
                Ok(Some(Frame::Ping)) => cut.pings = (cut.pings + 1).min(PONGS_PER_READ),
                Ok(Some(Frame::Pong)) => {}
                Ok(None) => break,
                Err(error) => {
                    cut.broken = Some(error);
                    return cut;
                }
            }
        }
    }
    cut
}
