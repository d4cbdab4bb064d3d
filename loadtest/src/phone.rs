//! One simulated phone: a small state machine without task, socket, clock or dice of its own.
//!
//! It registers with the first CallManager of its list that answers, keeps the registration alive, watches the others,
//! fails over when its own is silent and goes home when a better one is back (callmanager facts, section 1). The fleet
//! drives thousands of them over real sockets, the simulator drives the same code in virtual time.
//! It must never know how a CallManager decides: it is a stranger to the cluster.
//!
//! Who does what: `state` data, `transaction` requests on the wire and their timers, `register` what answers mean,
//! `heartbeat` keep-alives of the others, `failover` loss and the search for the next, `failback` the way home,
//! `proof` digest answers, `reply` and `wire` reading and writing, `inbound` requests to the phone.

mod dice;
mod failback;
mod failover;
mod heartbeat;
mod inbound;
mod proof;
mod register;
mod reply;
mod state;
mod transaction;
mod wire;

pub(crate) use dice::Dice;
use proof::Proof;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tandem_base::{Rank, Time};
use transaction::{Kind, Past, Transaction};

pub use reply::{Demux, demux};
pub use state::{
    Change, Counters, Exchange, Identity, Operation, Outcome, PhoneInput, PhoneOutput, PhoneSettings, Profile, Status,
    Transport, Why,
};

use crate::{Error, MAX_SERVERS};

/// What a phone remembers of one CallManager of its list.
#[derive(Clone, Copy, Debug)]
struct Server {
    /// When the next heartbeat is due, if one is wanted at all.
    next_beat: Time,
    /// Since when every heartbeat was answered with 200; [`Time::FAR`] when the last one was not.
    up_since: Time,
    /// No asking for a token before.
    not_before: Time,
    /// 503 with Retry-After in a row.
    throttled: u8,
    /// The last request went unanswered or was refused: others are tried first.
    doubtful: bool,
    /// The phone's port on the stream to it; 0 without one. UDP phones have one port for all.
    port: u16,
    /// A stream was asked for and is not there yet.
    opening: bool,
}

impl Server {
    const NEW: Self = Self {
        next_beat: Time::ZERO,
        up_since: Time::FAR,
        not_before: Time::ZERO,
        throttled: 0,
        doubtful: false,
        port: 0,
        opening: false,
    };
}

/// What happens when a waiting phone's moment comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resume {
    /// The same CallManager is asked again: it said when.
    Same,
    /// The next untried one of the round is asked.
    Next,
    /// A new round begins at the top of the configured list.
    Top,
}

/// See the module. Feed it with [`Phone::handle`] and [`Phone::tick`], then drain [`Phone::poll`], then wait for
/// [`Phone::deadline`]. Randomness comes from the seed given to [`Phone::new`] alone.
#[derive(Debug)]
pub struct Phone {
    profile: Arc<Profile>,
    /// The list of a 302, in place of the configured one until all of it failed, the phone is called home, or a configured CallManager serves.
    adopted: Option<Box<[SocketAddr]>>,
    /// User, digest user and password one after another.
    text: Box<str>,
    user_len: u8,
    digest_len: u8,
    id: u32,
    local: SocketAddr,

    status: Status,
    /// The serving CallManager, the one asked or the one to ask again: a position in the list.
    server: u8,
    /// The position of the last registration, while it means the same list.
    was: Option<u8>,
    /// CallManagers asked in this round, one bit each.
    tried: u8,
    resume: Resume,
    /// Rounds that failed, or refusals, in a row: the exponent of the back-off.
    failures: u8,
    /// Redirects followed in this round.
    redirects: u8,
    busy: bool,
    /// The serving CallManager was lost and nobody has served since.
    lost: bool,
    /// An order of `service-control` waits for the call to end.
    called: bool,
    /// End of a wait.
    wake: Time,
    /// When the next request was meant to be sent, if not now.
    intended: Option<Time>,
    /// When a refresh of an open-loop schedule was meant to be sent that waits for the answer to the one before.
    owed: Time,
    refresh_at: Time,
    last_good: Time,
    /// Since when the phone is where it is.
    since: Time,
    /// The registrar lets the binding go then.
    expires_at: Time,
    /// What is asked for; a 423 raises it.
    expires: u32,

    servers: [Server; MAX_SERVERS],
    open: Vec<Transaction>,
    outbox: VecDeque<PhoneOutput>,
    /// The last challenge of each CallManager, the newest last.
    proofs: Vec<Proof>,
    dice: Dice,
    /// Names this life of the phone in Call-IDs and tags.
    life: u64,
    cseq: u32,
    sent: u32,
    /// The last request to the phone that had an effect, so that a repetition has none.
    last_inbound: u64,
    counters: Counters,
}

impl Phone {
    /// A phone that is switched off. `id` stands in every branch so that a driver finds the phone of an answer
    /// ([`demux`]); `local` is what Via and Contact say (on TCP its port is replaced by the stream's).
    ///
    /// # Errors
    /// [`Error::Identity`], see [`Identity`].
    pub fn new(id: u32, profile: Arc<Profile>, who: &Identity, local: SocketAddr, seed: u64) -> Result<Self, Error> {
        who.check()?;
        let mut dice = Dice::new(seed);
        let life = dice.next();
        let expires = profile.settings().expires;
        Ok(Self {
            profile,
            adopted: None,
            text: [who.user.as_str(), &who.digest_user, &who.password].concat().into_boxed_str(),
            user_len: u8::try_from(who.user.len()).unwrap_or(u8::MAX),
            digest_len: u8::try_from(who.digest_user.len()).unwrap_or(u8::MAX),
            id,
            local,
            status: Status::Off,
            server: 0,
            was: None,
            tried: 0,
            resume: Resume::Top,
            failures: 0,
            redirects: 0,
            busy: false,
            lost: false,
            called: false,
            wake: Time::FAR,
            intended: None,
            owed: Time::FAR,
            refresh_at: Time::FAR,
            last_good: Time::ZERO,
            since: Time::ZERO,
            expires_at: Time::FAR,
            expires,
            servers: [Server::NEW; MAX_SERVERS],
            open: Vec::new(),
            outbox: VecDeque::new(),
            proofs: Vec::new(),
            dice,
            life,
            cseq: 0,
            sent: 0,
            last_inbound: 0,
            counters: Counters::default(),
        })
    }

    /// Takes one input. What follows from it stands in [`Phone::poll`] at once.
    pub fn handle(&mut self, now: Time, input: PhoneInput<'_>) {
        match input {
            PhoneInput::Start => self.start(now),
            PhoneInput::Stop => self.stop(now),
            PhoneInput::Cut => self.cut(now),
            PhoneInput::Refresh => self.refresh_asked(now),
            PhoneInput::Busy(busy) => self.busy = busy,
            PhoneInput::Message { from, bytes } => self.received(now, from, bytes),
            PhoneInput::Opened { to, local } => self.opened(to, local),
            PhoneInput::Broken { to } => self.broken(now, to),
        }
        self.tick(now);
    }

    /// As [`Phone::handle`], for an input that a schedule meant for the moment `due`: latency counts from there.
    pub fn handle_due(&mut self, now: Time, due: Time, input: PhoneInput<'_>) {
        self.intended = Some(due);
        self.handle(now, input);
        self.intended = None;
    }

    /// Lets timers fire that are due. Early or repeated calls are harmless.
    pub fn tick(&mut self, now: Time) {
        self.run_transactions(now);
        match self.status {
            Status::Waiting if self.may_move() && self.wake <= now => {
                self.intended = Some(self.wake);
                self.resume(now);
                self.intended = None;
            }
            Status::Registered => {
                if self.called && !self.busy {
                    return self.restart(now);
                }
                if self.owed <= now && self.idle(self.server) {
                    // It waited for an answer: that is latency, but not the generator's lateness.
                    let begun = std::mem::replace(&mut self.owed, Time::FAR);
                    let past = Past { begun, sent: now, ..Past::default() };
                    self.launch_again(now, Kind::Refresh, self.server, past);
                } else if self.refresh_at <= now && self.idle(self.server) {
                    self.intended = Some(self.refresh_at);
                    self.launch(now, Kind::Refresh, self.server);
                }
                self.beat(now);
                self.intended = None;
                self.go_home(now);
            }
            _ => {}
        }
    }

    /// The next thing to be done, in order.
    pub fn poll(&mut self) -> Option<PhoneOutput> {
        let next = self.outbox.pop_front();
        if next.is_none() {
            // An idle phone keeps no buffers: there may be a million of them.
            self.outbox = VecDeque::new();
            if self.open.is_empty() {
                self.open = Vec::new();
            }
        }
        next
    }

    /// When [`Phone::tick`] is due next; `None` when only an input can change anything.
    pub fn deadline(&self) -> Option<Time> {
        let own = match self.status {
            Status::Waiting if self.may_move() => self.wake,
            Status::Registered => {
                let refresh = if self.idle(self.server) { self.refresh_at.min(self.owed) } else { Time::FAR };
                refresh.min(self.next_beat()).min(self.home_at())
            }
            _ => Time::FAR,
        };
        Some(own.min(self.next_timer())).filter(|&at| at != Time::FAR)
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        self.status
    }
    /// The CallManager that serves it, if one does.
    pub fn registered_at(&self) -> Option<SocketAddr> {
        (self.status == Status::Registered).then(|| self.address(self.server)).flatten()
    }
    /// The place of that CallManager in the phone's list.
    pub fn rank(&self) -> Option<Rank> {
        if self.status == Status::Registered { Rank::from_position(self.server.into()) } else { None }
    }
    /// Since when the status is what it is.
    pub fn since(&self) -> Time {
        self.since
    }
    /// Whether a call holds it where it is.
    pub fn is_busy(&self) -> bool {
        self.busy
    }
    /// What it has done and met.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
    /// User part of its address-of-record.
    pub fn user(&self) -> &str {
        self.piece(0, self.user_len.into())
    }
    /// The number given to [`Phone::new`].
    pub fn id(&self) -> u32 {
        self.id
    }
    /// What Via and Contact say; on TCP the port is the stream's instead.
    pub fn local(&self) -> SocketAddr {
        self.local
    }
    /// Whether a request to that CallManager is still without its answer.
    pub fn waits_for(&self, server: SocketAddr) -> bool {
        self.open.iter().any(|t| self.address(t.server) == Some(server))
    }
    /// The list in use: the configured one, or that of the last 302.
    pub fn list(&self) -> &[SocketAddr] {
        self.adopted.as_deref().unwrap_or(self.profile.servers())
    }
    /// What its profile says.
    pub fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }
    /// Bytes it holds, itself included; what it shares with others is not counted.
    pub fn memory(&self) -> usize {
        size_of::<Self>()
            + self.text.len()
            + self.adopted.as_deref().map_or(0, size_of_val)
            + self.proofs.capacity() * size_of::<Proof>()
            + self.proofs.iter().map(Proof::memory).sum::<usize>()
            + self.open.capacity() * size_of::<Transaction>()
            + self.open.iter().map(|t| t.wire.len()).sum::<usize>()
            + self.outbox.capacity() * size_of::<PhoneOutput>()
    }

    fn piece(&self, start: usize, len: usize) -> &str {
        self.text.get(start..start + len).unwrap_or_default()
    }
    fn digest_user(&self) -> &str {
        self.piece(self.user_len.into(), self.digest_len.into())
    }
    fn password(&self) -> &str {
        self.text.get(usize::from(self.user_len) + usize::from(self.digest_len)..).unwrap_or_default()
    }
    fn settings(&self) -> &PhoneSettings {
        self.profile.settings()
    }
    fn address(&self, server: u8) -> Option<SocketAddr> {
        self.list().get(usize::from(server)).copied()
    }
    fn position(&self, address: SocketAddr) -> Option<u8> {
        self.list().iter().position(|&s| s == address).and_then(|p| u8::try_from(p).ok())
    }
    /// Positions of the list, best first.
    fn positions(&self) -> impl Iterator<Item = u8> + use<> {
        0..u8::try_from(self.list().len().min(MAX_SERVERS)).unwrap_or_default()
    }
    fn known(&self, server: u8) -> Server {
        self.servers.get(usize::from(server)).copied().unwrap_or(Server::NEW)
    }
    fn note(&mut self, server: u8, change: impl FnOnce(&mut Server)) {
        if let Some(known) = self.servers.get_mut(usize::from(server)) {
            change(known);
        }
    }
    fn part(&mut self, whole: Duration, low_per_mille: u64) -> Duration {
        self.dice.part(whole, low_per_mille)
    }

    fn change(&mut self, now: Time, to: Status, why: Why, outage: Option<Duration>) {
        let change = Change {
            at: now,
            from: self.status,
            to,
            server: self.address(self.server),
            rank: Rank::from_position(self.server.into()),
            why,
            outage,
        };
        self.status = to;
        self.since = now;
        self.outbox.push_back(PhoneOutput::Changed(change));
    }
}

#[cfg(test)]
mod tests;
