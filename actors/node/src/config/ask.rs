//! What others ask of a configurator: changes, user settings, promotion, where it stands. Verdicts come later, through a channel.

use super::answer::Answered;
use super::configurator::{Configurator, Verdict};
use super::prepare::from_words;
use super::words;
use crate::call_manager::AnswerPeer;
use actix::{AsyncContext, Context, Handler, Message, WrapFuture};
use bytes::Bytes;
use tandem_base::Time;
use tandem_cluster::AskRef;
use tandem_database::replication::{Input, Status};
use tandem_database::{ChangeInfo, Draft, Epoch, UserField, UserSetting};
use tandem_model::admin::{AdminError, ErrorKind};
use tokio::sync::oneshot;

/// A change is wanted.
pub struct Wanted {
    /// What.
    pub draft: Draft,
    /// Hears what came of it.
    pub verdict: Verdict<ChangeInfo>,
}
impl Message for Wanted {
    type Result = ();
}
impl Handler<Wanted> for Configurator {
    type Result = ();
    fn handle(&mut self, m: Wanted, _: &mut Context<Self>) {
        let token = self.next_token();
        self.writes.insert(token, m.verdict);
        self.feed(Input::Write { token, draft: m.draft });
    }
}

/// A peer hands a change on; it is answered through the CallManager.
pub struct Forwarded {
    /// To be repeated in the answer.
    pub ask: AskRef,
    /// The draft in the words of the API, as JSON.
    pub payload: Bytes,
}
impl Message for Forwarded {
    type Result = ();
}
impl Handler<Forwarded> for Configurator {
    type Result = ();
    fn handle(&mut self, m: Forwarded, ctx: &mut Context<Self>) {
        let unreadable = |e: serde_json::Error| AdminError::new(ErrorKind::Invalid, e.to_string());
        let draft = serde_json::from_slice(&m.payload).map_err(unreadable).and_then(|d| from_words(d, self.wall()));
        let manager = self.parts.manager.clone();
        let answer = move |answered: Answered| {
            let payload = serde_json::to_vec(&answered).unwrap_or_default().into();
            // A peer that gets no answer hears so by its deadline.
            let _ = manager.tell_vital(AnswerPeer { ask: m.ask, payload });
        };
        let draft = match draft {
            Ok(draft) => draft,
            Err(why) => return answer(Answered::Refused(Box::new(why))),
        };
        let (verdict, heard) = oneshot::channel();
        let wait = async move {
            match heard.await {
                Ok(Ok(info)) => answer(Answered::Made(words::change(&info))),
                Ok(Err(why)) => answer(Answered::Refused(Box::new(words::refused(&why)))),
                Err(_) => {}
            }
        };
        ctx.spawn(wait.into_actor(self));
        Handler::handle(self, Wanted { draft, verdict }, ctx);
    }
}

/// A user sets something.
pub struct SetUser {
    /// Of which device.
    pub device: String,
    /// Which setting.
    pub field: UserField,
    /// Its value; none takes it back.
    pub value: Option<serde_json::Value>,
    /// Who.
    pub author: String,
    /// Hears what came of it.
    pub verdict: Verdict<UserSetting>,
}
impl Message for SetUser {
    type Result = ();
}
impl Handler<SetUser> for Configurator {
    type Result = ();
    fn handle(&mut self, m: SetUser, _: &mut Context<Self>) {
        let token = self.next_token();
        self.user_writes.insert(token, m.verdict);
        let (device, field, value, author, at) = (m.device, m.field, m.value, m.author, self.wall());
        self.feed(Input::SetUser { token, device, field, value, author, at });
    }
}

/// This node is to publish.
pub struct Promote {
    /// Also when a peer has more.
    pub force: bool,
    /// Hears what came of it.
    pub verdict: Verdict<Epoch>,
}
impl Message for Promote {
    type Result = ();
}
impl Handler<Promote> for Configurator {
    type Result = ();
    fn handle(&mut self, m: Promote, _: &mut Context<Self>) {
        let token = self.next_token();
        self.promotions.insert(token, m.verdict);
        let at = self.wall();
        self.feed(Input::Promote { token, at, force: m.force });
    }
}

/// Where the copy and its peers stand, and the node's clock.
pub struct Overview;
impl Message for Overview {
    type Result = Option<(Status, Time)>;
}
impl Handler<Overview> for Configurator {
    type Result = Option<(Status, Time)>;
    fn handle(&mut self, _: Overview, _: &mut Context<Self>) -> Self::Result {
        let now = self.parts.clock.now();
        Some((self.parts.machine.status(now), now))
    }
}
