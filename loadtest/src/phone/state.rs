//! The plain data around a phone: what it is told, what it wants done, how it is set, what it counts.
//!
//! No behaviour lives here, and nothing here names a clock or a socket.

use bytes::Bytes;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tandem_base::{Rank, Time};

use crate::{Error, MAX_SERVERS};

/// How messages travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams: the phone retransmits by timers E and F (RFC 3261 section 17.1.2).
    #[default]
    Udp,
    /// One stream per phone and CallManager: nothing is retransmitted, a closed stream is a dead CallManager at once.
    Tcp,
}

impl Transport {
    /// As written in Via.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        }
    }
    /// As written in a URI's `transport` parameter.
    pub(crate) const fn param(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
    /// Whether the transport itself repeats what is lost.
    pub(crate) const fn is_reliable(self) -> bool {
        matches!(self, Self::Tcp)
    }
}

/// How a phone behaves. The defaults are those of a Cisco SIP phone where one is published (callmanager facts 1.2, 1.4, 1.5).
#[derive(Clone, Debug, PartialEq)]
pub struct PhoneSettings {
    /// Asked for in `Expires`, in seconds. Default 120.
    pub expires: u32,
    /// A refresh REGISTER is sent to the serving CallManager at least this often; each wait is 75 to 100 % of it, so that
    /// phones started together drift apart. `None`: only before the registration expires. Default 30 s.
    pub keepalive: Option<Duration>,
    /// How often the standby and every better CallManager get the heartbeat of `Expires: 0` and `cisco-keep-alive`.
    /// `None`: never, and then the phone comes home only when it is called. Default 30 s.
    pub standby_heartbeat: Option<Duration>,
    /// A request without a final answer for so long means a dead CallManager. Default 32 s (timer F).
    pub patience: Duration,
    /// Connection monitor duration: how long a better CallManager must have answered before the phone goes back. Default 120 s.
    pub monitor: Duration,
    /// After losing its CallManager a phone waits up to this long, at random, before it turns to the next. Default 500 ms.
    pub failover_jitter: Duration,
    /// RFC 5626 section 4.5 with all CallManagers failed: first wait, doubled each time, 50 to 100 % of it taken. Default 30 s.
    pub retry_base: Duration,
    /// Upper end of that wait. Default 1,800 s.
    pub retry_cap: Duration,
    /// How many times in a row a 503 with Retry-After is obeyed at one CallManager before the next is tried. Default 3.
    pub throttle_retries: u8,
    /// A longer Retry-After than this is not waited for: the next CallManager is tried at once. Default 120 s.
    pub longest_retry_after: Duration,
    /// Whether a token is asked for before the phone goes home (REFER); otherwise it simply registers there. Default yes.
    pub asks_token: bool,
    /// Whether the phone can compute SHA-256 (RFC 8760); otherwise it skips to the MD5 challenge. Default yes.
    pub sha256: bool,
    /// How messages travel. Default UDP.
    pub transport: Transport,
    /// A rude phone: a 503 sends it back to the same CallManager after this time, whatever Retry-After says. Default `None`.
    pub ignores_retry_after: Option<Duration>,
    /// A slow phone: whoever drives it hands it every message so much later. Default zero.
    pub reaction: Duration,
    /// A phone that answers no request. Default no.
    pub deaf: bool,
    /// Goes into Call-IDs and tags and nothing else: a registrar that still holds the phones of an earlier run with the same seed would
    /// take this one's requests for old ones (RFC 3261 section 10.3 step 7). Default 0.
    pub run: u64,
}

impl Default for PhoneSettings {
    fn default() -> Self {
        Self {
            expires: 120,
            keepalive: Some(Duration::from_secs(30)),
            standby_heartbeat: Some(Duration::from_secs(30)),
            patience: tandem_sip::transaction::timer::TIMER_F,
            monitor: Duration::from_secs(120),
            failover_jitter: Duration::from_millis(500),
            retry_base: Duration::from_secs(30),
            retry_cap: Duration::from_secs(1_800),
            throttle_retries: 3,
            longest_retry_after: Duration::from_secs(120),
            asks_token: true,
            sha256: true,
            transport: Transport::Udp,
            ignores_retry_after: None,
            reaction: Duration::ZERO,
            deaf: false,
            run: 0,
        }
    }
}

impl PhoneSettings {
    /// Short intervals for a demonstration on one host: everything shows within seconds.
    pub fn quick() -> Self {
        Self {
            keepalive: Some(Duration::from_secs(2)),
            standby_heartbeat: Some(Duration::from_secs(2)),
            patience: Duration::from_secs(3),
            monitor: Duration::from_secs(10),
            failover_jitter: Duration::from_millis(200),
            retry_base: Duration::from_secs(4),
            retry_cap: Duration::from_secs(30),
            ..Self::default()
        }
    }
}

/// What phones of one kind share: where they register, under which domain, how they behave.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    domain: String,
    servers: Vec<SocketAddr>,
    settings: PhoneSettings,
}

impl Profile {
    /// `servers` in order of priority, the home CallManager first.
    ///
    /// # Errors
    /// [`Error::Servers`] unless there are 1 to [`MAX_SERVERS`] distinct ones, [`Error::Domain`] when the domain cannot stand in a URI.
    pub fn new(domain: &str, servers: &[SocketAddr], settings: PhoneSettings) -> Result<Arc<Self>, Error> {
        let distinct = servers.iter().enumerate().all(|(i, s)| !servers.iter().take(i).any(|earlier| earlier == s));
        if servers.is_empty() || servers.len() > MAX_SERVERS || !distinct {
            return Err(Error::Servers { given: servers.to_vec() });
        }
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
        if domain.is_empty() || domain.len() > 255 || !domain.bytes().all(fits) {
            return Err(Error::Domain { given: domain.to_owned() });
        }
        Ok(Arc::new(Self { domain: domain.to_owned(), servers: servers.to_vec(), settings }))
    }

    /// The domain of the address-of-record.
    pub fn domain(&self) -> &str {
        &self.domain
    }
    /// The configured CallManagers, best first.
    pub fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }
    /// How the phones behave.
    pub fn settings(&self) -> &PhoneSettings {
        &self.settings
    }
}

/// Who a phone says it is. The password never shows in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// User part of the address-of-record, usually the device name: 1 to 64 characters of a SIP user part.
    pub user: String,
    /// User name for digest authentication: up to 64 characters.
    pub digest_user: String,
    /// Its password: up to 128 characters.
    pub password: String,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("user", &self.user)
            .field("digest_user", &self.digest_user)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// # Errors
    /// [`Error::Identity`] when a piece is too long or cannot be written into a message.
    pub fn check(&self) -> Result<(), Error> {
        let in_user = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&b);
        let wrong = if self.user.is_empty() || self.user.len() > 64 || !self.user.bytes().all(in_user) {
            "user"
        } else if self.digest_user.len() > 64 || self.digest_user.bytes().any(|b| b.is_ascii_control()) {
            "digest user"
        } else if self.password.len() > 128 {
            "password"
        } else {
            return Ok(());
        };
        Err(Error::Identity { user: self.user.chars().take(80).collect(), wrong })
    }
}

/// What may happen to a phone.
#[derive(Clone, Copy, Debug)]
pub enum PhoneInput<'a> {
    /// Power on: register.
    Start,
    /// Power off: unregister, then be silent.
    Stop,
    /// Power failure: everything is forgotten, nobody is told.
    Cut,
    /// An open-loop schedule demands a refresh now.
    Refresh,
    /// A call begins or ends. While busy a phone moves nowhere.
    Busy(bool),
    /// A message arrived, complete as received.
    Message {
        /// Where it came from.
        from: SocketAddr,
        /// Its bytes.
        bytes: &'a [u8],
    },
    /// The stream asked for by [`PhoneOutput::Open`] is there.
    Opened {
        /// The CallManager's address.
        to: SocketAddr,
        /// The phone's own address on that stream: it goes into Via and Contact.
        local: SocketAddr,
    },
    /// Nobody listens there: ICMP error, refused or closed stream.
    Broken {
        /// The CallManager's address.
        to: SocketAddr,
    },
}

/// What a phone wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum PhoneOutput {
    /// Send these bytes.
    Send {
        /// Where to.
        to: SocketAddr,
        /// One complete message.
        bytes: Bytes,
        /// Whether it has been sent before.
        again: bool,
    },
    /// Open a stream (TCP only); answer with [`PhoneInput::Opened`] or [`PhoneInput::Broken`].
    Open {
        /// Where to.
        to: SocketAddr,
    },
    /// The phone's state changed: for the log. Nothing has to be done.
    Changed(Change),
    /// An operation is over: for measuring. Nothing has to be done.
    Over(Exchange),
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// The first REGISTER at a CallManager, while nobody serves.
    Register,
    /// A further one at the serving CallManager.
    Refresh,
    /// The heartbeat to a CallManager that does not serve.
    Heartbeat,
    /// REFER: may the phone come home?
    Token,
    /// The first REGISTER at a better CallManager, while another serves.
    Move,
    /// The binding is taken back.
    Unregister,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Register, Self::Refresh, Self::Heartbeat, Self::Token, Self::Move, Self::Unregister];

    /// In one word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Refresh => "refresh",
            Self::Heartbeat => "heartbeat",
            Self::Token => "token",
            Self::Move => "move",
            Self::Unregister => "unregister",
        }
    }
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With this final answer. A challenge that was met is not one.
    Answered(u16),
    /// Without a final answer within the patience.
    NoAnswer,
    /// Nobody listens there.
    Unreachable,
    /// It was scheduled and never sent: the phone was not registered, or had not even got the answer before the last.
    Skipped,
}

/// One operation from its intended beginning to its end, challenges included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// What it was for.
    pub operation: Operation,
    /// The CallManager.
    pub server: Option<SocketAddr>,
    /// How it ended.
    pub outcome: Outcome,
    /// When it was meant to begin.
    pub begun: Time,
    /// How much later its first request was written, by the generator's own fault.
    pub late: Duration,
    /// When its first request was written, or put into the queue of a stream; of one that was never sent, when that was given up.
    pub sent: Time,
    /// When it was over.
    pub at: Time,
    /// The answer's Retry-After.
    pub retry_after: Option<Duration>,
}

/// Where a phone stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Not started, or stopped.
    #[default]
    Off,
    /// Asking a CallManager for a registration.
    Registering,
    /// Served.
    Registered,
    /// Not served, and waiting for a moment: jitter, Retry-After or back-off.
    Waiting,
    /// Taking its registration back.
    Stopping,
}

/// Why a state changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// Power on.
    Started,
    /// Power off.
    Stopped,
    /// The next CallManager of the list is asked.
    Trying,
    /// A CallManager accepted the registration.
    Accepted,
    /// No final answer within the patience.
    NoAnswer,
    /// ICMP error or closed stream.
    Unreachable,
    /// 503.
    Throttled,
    /// 302: the list was replaced by the answer's.
    Redirected,
    /// 401, 403, 404 or 407 that cannot be answered.
    Refused,
    /// Another final answer that is no success.
    ServerError,
    /// Every CallManager of the list failed: back-off.
    AllFailed,
    /// NOTIFY `service-control`.
    Called,
    /// A better CallManager is back.
    BetterOne,
}

/// One line of a phone's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub at: Time,
    /// Before.
    pub from: Status,
    /// After.
    pub to: Status,
    /// The CallManager meant: the serving one, the one asked, the one lost.
    pub server: Option<SocketAddr>,
    /// Its place in the phone's list.
    pub rank: Option<Rank>,
    /// Why.
    pub why: Why,
    /// For a registration after a loss: from the last good answer to this one.
    pub outage: Option<Duration>,
}

/// What a phone has done and met since it was made. Saturating.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Registrations accepted, refreshes not counted.
    pub registrations: u32,
    /// Refreshes and keep-alives accepted by the serving CallManager.
    pub refreshes: u32,
    /// Heartbeats that another CallManager answered with 200.
    pub heartbeats: u32,
    /// Registrations at another CallManager after the serving one was lost.
    pub failovers: u32,
    /// Moves to a better CallManager while the other one still served.
    pub failbacks: u32,
    /// Requests sent once more by timer E.
    pub retransmissions: u32,
    /// Requests without a final answer.
    pub timeouts: u32,
    /// Challenges answered.
    pub challenges: u32,
    /// 503.
    pub throttled: u32,
    /// 302 followed.
    pub redirects: u32,
    /// 401, 403, 404 and 407 that ended an attempt.
    pub refusals: u32,
    /// Tokens asked for.
    pub tokens_asked: u32,
    /// Tokens granted.
    pub tokens_granted: u32,
    /// `service-control` orders obeyed.
    pub called_home: u32,
    /// Answers that break the protocol: unreadable, to nothing we asked, or a 200 without our Contact.
    pub wrong_answers: u32,
}

impl Counters {
    /// Adds what happened between two readings of one phone.
    pub fn add_difference(&mut self, before: &Self, after: &Self) {
        // Destructured so that a new counter cannot be forgotten here.
        let Self {
            registrations,
            refreshes,
            heartbeats,
            failovers,
            failbacks,
            retransmissions,
            timeouts,
            challenges,
            throttled,
            redirects,
            refusals,
            tokens_asked,
            tokens_granted,
            called_home,
            wrong_answers,
        } = self;
        let pairs = [
            (registrations, before.registrations, after.registrations),
            (refreshes, before.refreshes, after.refreshes),
            (heartbeats, before.heartbeats, after.heartbeats),
            (failovers, before.failovers, after.failovers),
            (failbacks, before.failbacks, after.failbacks),
            (retransmissions, before.retransmissions, after.retransmissions),
            (timeouts, before.timeouts, after.timeouts),
            (challenges, before.challenges, after.challenges),
            (throttled, before.throttled, after.throttled),
            (redirects, before.redirects, after.redirects),
            (refusals, before.refusals, after.refusals),
            (tokens_asked, before.tokens_asked, after.tokens_asked),
            (tokens_granted, before.tokens_granted, after.tokens_granted),
            (called_home, before.called_home, after.called_home),
            (wrong_answers, before.wrong_answers, after.wrong_answers),
        ];
        for (sum, old, new) in pairs {
            *sum = sum.saturating_add(new.saturating_sub(old));
        }
    }
}
