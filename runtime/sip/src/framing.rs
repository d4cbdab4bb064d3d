//! Cutting messages out of bytes: from a stream (RFC 3261 section 18.3, keep-alives of RFC 5626 section 3.5.1), and telling
//! keep-alives from messages in datagrams.
//!
//! A [`Framer`] holds at most one message of the longest length it was given, and one byte; it looks at each byte a constant
//! number of times however they arrive, and never goes on after an error: where a message ends is then anybody's guess.

use crate::error::FrameError;
use crate::head::{self, Head, Kind};
use crate::header::Header;
use crate::headers::content_length;
use crate::message::Message;
use crate::validate::Refusal;
use memchr::memmem;

/// Longest message, header section and body together, whatever a [`Framer`] is told to take.
pub const MAX_MESSAGE: usize = head::MAX_MESSAGE;
/// Longest header section, the empty line included.
pub const MAX_HEAD: usize = 16 * 1024;
/// A buffer that grew beyond this is given back when it runs empty: most of the many connections are idle.
const KEPT_CAPACITY: usize = 4 * 1024;

/// Which end of the connection this is. Keep-alives are not the same in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Accepted it: CRLF CRLF is a ping, a single CRLF is nothing.
    Server,
    /// Opened it: CRLF is the answer to a ping.
    Client,
}

/// What was cut out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// One whole message.
    Message(&'a [u8]),
    /// CRLF CRLF from a client: answer with CRLF.
    Ping,
    /// CRLF from a server: it is alive.
    Pong,
}

/// Cuts one stream. Push what was read, then poll until `None`.
#[derive(Debug)]
pub struct Framer {
    side: Side,
    /// Longest message that is taken, in bytes.
    most: usize,
    buffer: Vec<u8>,
    /// Where the message at hand starts.
    start: usize,
    /// How far its header section was searched for its end.
    searched: usize,
    /// Its length, once known.
    length: Option<usize>,
    error: Option<FrameError>,
}

impl Framer {
    /// For a new connection over which messages of up to [`MAX_MESSAGE`] bytes come.
    pub const fn new(side: Side) -> Self {
        Self::bounded(side, MAX_MESSAGE)
    }

    /// For a new connection over which messages of up to `most` bytes come, header section and body together. More than
    /// [`MAX_MESSAGE`] is [`MAX_MESSAGE`].
    pub const fn bounded(side: Side, most: usize) -> Self {
        let most = if most < MAX_MESSAGE { most } else { MAX_MESSAGE };
        Self { side, most, buffer: Vec::new(), start: 0, searched: 0, length: None, error: None }
    }

    /// Takes bytes that were read, as many as there is room for, and returns how many. After [`Self::poll`] has returned
    /// `None` there is always room for at least one.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        if self.error.is_some() {
            return 0;
        }
        if self.start > 0 {
            // What is left of the messages before is at most one message; it moves once per push, not once per message.
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        // One byte more than a message may have: a header section that is too long has to show.
        let taken = bytes.len().min((self.most + 1).saturating_sub(self.buffer.len()));
        self.buffer.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        taken
    }

    /// The next frame, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// The stream cannot be cut any more; every further call returns the same. [`Self::head`] has the header section, as far
    /// as it was read, for [`last_answer`].
    pub fn poll(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        match self.step() {
            Ok(Some(Step::Ping)) => Ok(Some(Frame::Ping)),
            Ok(Some(Step::Pong)) => Ok(Some(Frame::Pong)),
            Ok(Some(Step::Message(from, to))) => Ok(self.buffer.get(from..to).map(Frame::Message)),
            Ok(None) => {
                self.settle();
                Ok(None)
            }
            Err(error) => {
                self.error = Some(error);
                Err(error)
            }
        }
    }

    /// The header section of the message at hand with the empty line behind it, or as much of it as has come, at most
    /// [`MAX_HEAD`] bytes.
    pub fn head(&self) -> &[u8] {
        let waiting = self.waiting();
        let end = memmem::find(waiting, b"\r\n\r\n").map_or(waiting.len(), |at| at + 4);
        waiting.get(..end.min(MAX_HEAD)).unwrap_or(waiting)
    }

    fn waiting(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Bytes of memory that it holds.
    pub const fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    fn step(&mut self) -> Result<Option<Step>, FrameError> {
        loop {
            if let Some(length) = self.length {
                let end = self.start + length;
                if self.buffer.len() < end {
                    return Ok(None);
                }
                let from = core::mem::replace(&mut self.start, end);
                self.length = None;
                self.searched = 0;
                return Ok(Some(Step::Message(from, end)));
            }
            if self.searched == 0
                && let Some(step) = self.line_ends()
            {
                return Ok(step);
            }
            if !self.read_head()? {
                return Ok(None);
            }
        }
    }

    /// Line ends between messages. `None`: a message begins here.
    fn line_ends(&mut self) -> Option<Option<Step>> {
        loop {
            match (self.side, self.waiting()) {
                (_, [] | [b'\r']) => return Some(None),
                (Side::Server, [b'\r', b'\n', b'\r', b'\n', ..]) => {
                    self.start += 4;
                    return Some(Some(Step::Ping));
                }
                (Side::Server, [b'\r', b'\n'] | [b'\r', b'\n', b'\r']) => return Some(None),
                (Side::Client, [b'\r', b'\n', ..]) => {
                    self.start += 2;
                    return Some(Some(Step::Pong));
                }
                (Side::Server, [b'\r', b'\n', ..]) => self.start += 2,
                _ => return None,
            }
        }
    }

    /// Looks for the end of the header section and reads the length; `false` when more bytes are needed.
    fn read_head(&mut self) -> Result<bool, FrameError> {
        let waiting = self.buffer.get(self.start..).unwrap_or_default();
        if !waiting.first().is_some_and(|&b| crate::text::is_token(b)) {
            return Err(FrameError::Garbage);
        }
        let longest = MAX_HEAD.min(self.most);
        let from = self.searched.saturating_sub(3);
        let Some(found) = waiting.get(from..).and_then(|rest| memmem::find(rest, b"\r\n\r\n")) else {
            self.searched = waiting.len();
            return if waiting.len() > longest { Err(FrameError::HeadTooLarge) } else { Ok(false) };
        };
        let head = from + found + 4;
        if head > longest {
            return Err(FrameError::HeadTooLarge);
        }
        let length = head + body_length(waiting.get(..head).unwrap_or_default())?;
        if length > self.most {
            return Err(FrameError::MessageTooLarge);
        }
        self.length = Some(length);
        Ok(true)
    }

    fn settle(&mut self) {
        if self.start == self.buffer.len() {
            self.start = 0;
            if self.buffer.capacity() > KEPT_CAPACITY {
                self.buffer = Vec::new();
            } else {
                self.buffer.clear();
            }
        }
    }
}

enum Step {
    Message(usize, usize),
    Ping,
    Pong,
}

fn body_length(head: &[u8]) -> Result<usize, FrameError> {
    let mut index = Head::EMPTY;
    // What is wrong with it is said when the whole of it is here.
    let _ = head::scan(&mut index, head);
    if index.kind == Kind::Neither {
        return Err(FrameError::Garbage);
    }
    if index.repeated & Header::ContentLength.bit() != 0 {
        return Err(FrameError::BadContentLength);
    }
    let value = index.first(Header::ContentLength).ok_or(FrameError::MissingContentLength)?;
    content_length(value.of(head)).map(|n| n as usize).ok_or(FrameError::BadContentLength)
}

/// The message at which a stream could not be cut and what is to be answered to it before the connection ends. `None` when
/// silence is right: it is no request, an ACK, or not so much of its header section came that its sender would know the answer.
pub fn last_answer(head: &[u8], error: FrameError) -> Option<(Message<'_>, Refusal)> {
    let message = match Message::parse(head) {
        Ok(message) => message,
        Err(malformed) => malformed.partial,
    };
    (message.is_answerable() && message.is_identified()).then(|| (message, error.refusal()))
}

/// What a datagram is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// Line ends or zero bytes only, or nothing: keeps a NAT binding open, wants no answer.
    KeepAlive,
    /// Begins as a SIP message does: parse it.
    Message(&'a [u8]),
    /// Anything else (STUN, RTP, noise): drop it unanswered.
    Foreign,
}

/// Sorts a datagram without parsing it.
pub fn datagram(bytes: &[u8]) -> Datagram<'_> {
    let is_end = |b: &u8| matches!(b, b'\r' | b'\n');
    match bytes {
        [0, 0, 0, 0] => Datagram::KeepAlive,
        [first, ..] if crate::text::is_token(*first) => Datagram::Message(bytes),
        _ => match bytes.iter().position(|b| !is_end(b)) {
            None => Datagram::KeepAlive,
            Some(at) if bytes.get(at).is_some_and(|b| crate::text::is_token(*b)) => Datagram::Message(bytes),
            Some(_) => Datagram::Foreign,
        },
    }
}

#[cfg(test)]
mod tests;
