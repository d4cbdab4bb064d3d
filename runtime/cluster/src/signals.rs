//! Signals between two nodes: sent at once, sequenced, acknowledged and sent again; delivered once and in order per pair of lives.
//! An ask has a deadline, and a dead peer answers every open ask with its death. Payloads are opaque.
//!
//! It never queues for a peer that is not up: the caller is told at once.

use crate::api::{AskError, AskRef, DownReason};
use crate::frame::{Frame, Header, Signal, SignalKind};
use crate::link::Lane;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tandem_base::{Incarnation, NodeLife, NodeName, Time};

/// Signals sent again at one time, per peer.
const RESEND_MAX: usize = 64;

/// What the signal machine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Send { to: NodeName, frame: Bytes },
    Deliver { from: NodeLife, payload: Bytes },
    Asked { ask: AskRef, payload: Bytes },
    Answered { token: u64, answer: Result<Bytes, AskError> },
    Failed { token: u64, to: NodeName, why: AskError },
}

/// Bounds of the signal machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) signals: usize,
    pub(crate) bytes: usize,
    pub(crate) retry: Duration,
}

#[derive(Clone, Debug)]
struct Unacked {
    seq: u64,
    /// The driver's name for a plain signal.
    token: Option<u64>,
    kind: SignalKind,
    payload: Bytes,
}

#[derive(Clone, Debug)]
struct OpenAsk {
    token: u64,
    deadline: Time,
}

/// Both directions with one life of one peer.
#[derive(Clone, Debug)]
struct Stream {
    life: Incarnation,
    next: u64,
    unacked: VecDeque<Unacked>,
    again: Time,
    expected: u64,
    asks: BTreeMap<u64, OpenAsk>,
}

impl Stream {
    fn new(life: Incarnation) -> Self {
        Self { life, next: 1, unacked: VecDeque::new(), again: Time::ZERO, expected: 1, asks: BTreeMap::new() }
    }
    fn frame(&self, header: Header, signal: &Unacked) -> Bytes {
        let floor = self.unacked.front().map_or(signal.seq, |first| first.seq);
        let (to, seq, kind, payload) = (self.life, signal.seq, signal.kind, signal.payload.clone());
        header.write(&Frame::Signal(Signal { to, seq, floor, kind, payload }))
    }
}

/// All streams.
#[derive(Clone, Debug)]
pub(crate) struct Signals {
    header: Header,
    bounds: Bounds,
    streams: BTreeMap<NodeName, Stream>,
    effects: VecDeque<Effect>,
    pub(crate) resent: u64,
}

impl Signals {
    pub(crate) const LANE: Lane = Lane::Ordinary;

    pub(crate) fn new(header: Header, bounds: Bounds) -> Self {
        Self { header, bounds, streams: BTreeMap::new(), effects: VecDeque::new(), resent: 0 }
    }
    pub(crate) fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The stream with this life of a peer; a newer life starts a new one.
    fn stream(&mut self, life: &NodeLife) -> &mut Stream {
        let fresh = Stream::new(life.incarnation);
        let stream = self.streams.entry(life.node.clone()).or_insert_with(|| fresh.clone());
        if stream.life < life.incarnation {
            *stream = fresh;
        }
        stream
    }

    /// Sends; `None` when it was refused.
    fn push(&mut self, now: Time, to: &NodeLife, kind: SignalKind, token: Option<u64>, payload: Bytes) -> Option<u64> {
        let (bounds, header) = (self.bounds, self.header);
        let stream = self.stream(to);
        if stream.unacked.len() >= bounds.signals || payload.len() > bounds.bytes {
            return None;
        }
        let seq = stream.next;
        stream.next += 1;
        if stream.unacked.is_empty() {
            stream.again = now + bounds.retry;
        }
        stream.unacked.push_back(Unacked { seq, token, kind, payload });
        let frame = stream.unacked.back().map(|signal| stream.frame(header, signal));
        self.effects.extend(frame.map(|frame| Effect::Send { to: to.node.clone(), frame }));
        Some(seq)
    }

    /// A plain signal. `life`: the peer's life if it is up.
    pub(crate) fn signal(&mut self, now: Time, to: NodeName, life: Option<NodeLife>, token: u64, payload: Bytes) {
        let why = match life {
            None => AskError::NotUp,
            Some(life) => match self.push(now, &life, SignalKind::Plain, Some(token), payload) {
                Some(_) => return,
                None => AskError::Full,
            },
        };
        self.effects.push_back(Effect::Failed { token, to, why });
    }

    /// A signal that wants an answer.
    pub(crate) fn ask(&mut self, now: Time, life: Option<NodeLife>, token: u64, payload: Bytes, within: Duration) {
        let Some(life) = life else {
            self.effects.push_back(Effect::Answered { token, answer: Err(AskError::NotUp) });
            return;
        };
        let signals = self.bounds.signals;
        let full = self.stream(&life).asks.len() >= signals;
        let seq = if full { None } else { self.push(now, &life, SignalKind::Ask, None, payload) };
        match seq {
            Some(seq) => {
                self.stream(&life).asks.insert(seq, OpenAsk { token, deadline: now + within });
            }
            None => self.effects.push_back(Effect::Answered { token, answer: Err(AskError::Full) }),
        }
    }

    /// Answers a question, if the life that asked is still up.
    pub(crate) fn answer(&mut self, now: Time, up: Option<NodeLife>, ask: &AskRef, payload: Bytes) {
        if up.as_ref() == Some(&ask.from) {
            self.push(now, &ask.from, SignalKind::Answer(ask.id), None, payload);
        }
    }

    /// A signal of an admitted life has arrived.
    pub(crate) fn receive(&mut self, me: Incarnation, from: &NodeLife, signal: Signal) {
        if signal.to != me {
            return;
        }
        let stream = self.stream(from);
        // What the sender gave up on while we were down for it will never come.
        stream.expected = stream.expected.max(signal.floor);
        let is_next = signal.seq == stream.expected;
        stream.expected += u64::from(is_next);
        let (next, to) = (stream.expected, stream.life);
        let answered = match signal.kind {
            SignalKind::Answer(of) if is_next => stream.asks.remove(&of),
            _ => None,
        };
        if is_next {
            let (from, payload) = (from.clone(), signal.payload);
            self.effects.extend(match signal.kind {
                SignalKind::Plain => Some(Effect::Deliver { from, payload }),
                SignalKind::Ask => Some(Effect::Asked { ask: AskRef { from, id: signal.seq }, payload }),
                SignalKind::Answer(_) => answered.map(|ask| Effect::Answered { token: ask.token, answer: Ok(payload) }),
            });
        }
        let frame = self.header.write(&Frame::SignalAck { to, next });
        self.effects.push_back(Effect::Send { to: from.node.clone(), frame });
    }

    /// Every signal before `next` has arrived there.
    pub(crate) fn acknowledged(&mut self, now: Time, me: Incarnation, from: &NodeLife, to: Incarnation, next: u64) {
        let retry = self.bounds.retry;
        if to != me {
            return;
        }
        let stream = self.stream(from);
        while stream.unacked.front().is_some_and(|signal| signal.seq < next) {
            stream.unacked.pop_front();
            stream.again = now + retry;
        }
    }

    /// A peer is down: what is open with it is answered with its death. Numbers go on, for the case that it was a flap.
    pub(crate) fn died(&mut self, node: &NodeName, why: DownReason) {
        let Some(stream) = self.streams.get_mut(node) else { return };
        let why = AskError::Died(why);
        for (_, ask) in std::mem::take(&mut stream.asks) {
            self.effects.push_back(Effect::Answered { token: ask.token, answer: Err(why) });
        }
        for signal in std::mem::take(&mut stream.unacked) {
            self.effects.extend(signal.token.map(|token| Effect::Failed { token, to: node.clone(), why }));
        }
    }

    /// A peer is no longer configured.
    pub(crate) fn remove(&mut self, node: &NodeName) {
        self.streams.remove(node);
    }

    /// Deadlines of asks, and signals to send again.
    pub(crate) fn tick(&mut self, now: Time) {
        let (header, retry) = (self.header, self.bounds.retry);
        for (node, stream) in &mut self.streams {
            while let Some((&seq, ask)) = stream.asks.iter().find(|(_, ask)| ask.deadline <= now) {
                let answer = Err(AskError::Deadline);
                self.effects.push_back(Effect::Answered { token: ask.token, answer });
                stream.asks.remove(&seq);
            }
            if !stream.unacked.is_empty() && stream.again <= now {
                stream.again = now + retry;
                for signal in stream.unacked.iter().take(RESEND_MAX) {
                    self.resent += 1;
                    let frame = stream.frame(header, signal);
                    self.effects.push_back(Effect::Send { to: node.clone(), frame });
                }
            }
        }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        let of = |stream: &Stream| {
            let again = (!stream.unacked.is_empty()).then_some(stream.again);
            stream.asks.values().map(|ask| ask.deadline).chain(again).min()
        };
        self.streams.values().filter_map(of).min()
    }
}
