//! What the CallManager carries for the configuration: its frames to and from peers, questions to a peer and their answers.
//!
//! It looks into none of it.

use super::CallManager;
use crate::config::{Forwarded, FromPeer, PeerSight};
use actix::{Context, Handler, Message};
use bytes::Bytes;
use std::time::Duration;
use tandem_base::{NodeLife, NodeName};
use tandem_cluster::{AskError, AskRef, Input};
use tokio::sync::oneshot;

/// Questions to peers that may be open at a time.
const ASKED_MAX: usize = 256;

/// Who waits for an answer.
pub(crate) type Asker = oneshot::Sender<Result<Bytes, AskError>>;

/// A frame for a peer.
pub struct Carry {
    /// To whom.
    pub to: NodeName,
    /// Whether it may wait behind everything else.
    pub bulk: bool,
    /// As it is.
    pub payload: Bytes,
}
impl Message for Carry {
    type Result = ();
}
impl Handler<Carry> for CallManager {
    type Result = ();
    fn handle(&mut self, m: Carry, _: &mut Context<Self>) {
        self.feed(Input::Carry { to: m.to, bulk: m.bulk, payload: m.payload });
    }
}

/// A question to a peer's configurator.
pub struct AskPeer {
    /// To whom.
    pub to: NodeName,
    /// As it is.
    pub payload: Bytes,
    /// How long the answer is waited for.
    pub within: Duration,
    /// Hears the answer.
    pub verdict: Asker,
}
impl Message for AskPeer {
    type Result = ();
}
impl Handler<AskPeer> for CallManager {
    type Result = ();
    fn handle(&mut self, m: AskPeer, _: &mut Context<Self>) {
        if self.asked.len() >= ASKED_MAX {
            // Whoever asked may have gone.
            let _ = m.verdict.send(Err(AskError::Full));
            return;
        }
        let token = self.asked.last_key_value().map_or(0, |(last, _)| last + 1);
        self.asked.insert(token, m.verdict);
        self.feed(Input::Ask { to: m.to, token, payload: m.payload, within: m.within });
    }
}

/// The answer to a peer's question.
pub struct AnswerPeer {
    /// Which question.
    pub ask: AskRef,
    /// As it is.
    pub payload: Bytes,
}
impl Message for AnswerPeer {
    type Result = ();
}
impl Handler<AnswerPeer> for CallManager {
    type Result = ();
    fn handle(&mut self, m: AnswerPeer, _: &mut Context<Self>) {
        self.feed(Input::Answer { ask: m.ask, payload: m.payload });
    }
}

impl CallManager {
    pub(super) fn carried(&self, from: NodeLife, payload: Bytes) {
        if let Some(config) = &self.config {
            // Full counts as lost: the machine asks again.
            let _ = config.tell(FromPeer { from: from.node, payload });
        }
    }
    pub(super) fn asked_by_peer(&self, ask: AskRef, payload: Bytes) {
        if let Some(config) = &self.config {
            // The peer hears of it by its deadline.
            let _ = config.tell(Forwarded { ask, payload });
        }
    }
    pub(super) fn answered_by_peer(&mut self, token: u64, answer: Result<Bytes, AskError>) {
        if let Some(asker) = self.asked.remove(&token) {
            let _ = asker.send(answer);
        }
    }
    /// The configurator hears who is up.
    pub(super) fn tell_sight(&self, node: &NodeName, up: bool) {
        if let Some(config) = &self.config {
            let _ = config.tell_vital(PeerSight { node: node.clone(), up });
        }
    }
}
