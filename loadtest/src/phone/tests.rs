//! Stories of one phone in virtual time, against scripted registrars: no socket, no sleep, no clock.
//!
//! This file is the stage: a [`World`] of one phone and up to three registrars that answer at once, are silent, or refuse as
//! a closed port does. Digest answers are checked with the cluster's own verifier.

mod challenge;
mod failback;
mod failover;
mod inbound;
mod register;
mod stream;

use super::*;
use std::collections::BTreeMap;
use tandem_sip::digest::{Algorithm, Asker, Challenges, Stored, Verdict, verify};
use tandem_sip::{Header, Message, Method};

/// How a registrar is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Up,
    Silent,
    Closed,
}

/// What a scripted answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ask {
    Register,
    Beat,
    Token,
    Unregister,
}

/// A registrar that says 200 to everything unless its script says otherwise.
pub(super) struct Registrar {
    pub(super) address: SocketAddr,
    pub(super) life: Life,
    /// Answers to the next requests: status line and further lines, each ended by CR LF.
    pub(super) script: BTreeMap<Ask, VecDeque<String>>,
    /// Said instead of 200 when the script is empty.
    pub(super) always: BTreeMap<Ask, String>,
    /// Seconds granted; what was asked for when `None`.
    pub(super) grants: Option<u32>,
    /// Challenge with these algorithms and this nonce until it is answered.
    pub(super) guard: Option<(Vec<Algorithm>, String)>,
    pub(super) asker: Asker,
    pub(super) stale: bool,
    last_cseq: BTreeMap<String, u32>,
}

pub(super) const PASSWORD: &str = "open sesame";
pub(super) const REALM: &str = "tandem.test";

impl Registrar {
    fn new(address: SocketAddr) -> Self {
        Self {
            address,
            life: Life::Up,
            script: BTreeMap::new(),
            always: BTreeMap::new(),
            grants: None,
            guard: None,
            asker: Asker::Server,
            stale: false,
            last_cseq: BTreeMap::new(),
        }
    }

    pub(super) fn say(&mut self, to: Ask, lines: &str) -> &mut Self {
        self.script.entry(to).or_default().push_back(lines.to_owned());
        self
    }

    /// The whole answer. Panics when the request breaks a rule every request must keep.
    fn answer(&mut self, bytes: &[u8]) -> String {
        let message = Message::parse(bytes).expect("a request is a message");
        tandem_sip::validate_request(&message).expect("a request is a good one");
        let line = |header| text_of(message.header(header).unwrap_or_else(|| panic!("no {header:?} in {message:?}")));
        let last = self.last_cseq.entry(line(Header::CallId).into()).or_default();
        let cseq = message.cseq().expect("a CSeq").number;
        assert!(cseq > *last, "CSeq must grow within a Call-ID: {cseq} after {last}");
        *last = cseq;
        let ask = ask(&message);
        let said = match self.script.entry(ask).or_default().pop_front() {
            Some(lines) => lines,
            None => match self.challenge(&message) {
                Some(challenge) => challenge,
                None => self.always.get(&ask).cloned().unwrap_or_else(|| self.accept(&message, ask)),
            },
        };
        let (via, from, to) = (line(Header::Via), line(Header::From), line(Header::To));
        let (call_id, cseq) = (line(Header::CallId), line(Header::CSeq));
        let (status, rest) = said.split_once("\r\n").unwrap_or((&said, ""));
        format!(
            "SIP/2.0 {status}\r\nVia: {via}\r\nFrom: {from}\r\nTo: {to};tag=r\r\nCall-ID: {call_id}\r\nCSeq: {cseq}\r\n{rest}\
             Content-Length: 0\r\n\r\n"
        )
    }

    fn accept(&self, request: &Message<'_>, ask: Ask) -> String {
        let contact = request.contacts().next().and_then(|c| c.binding().copied()).expect("a contact");
        let contact = text_of(contact.uri());
        match ask {
            Ask::Register => {
                let seconds = self.grants.or(request.expires()).expect("a duration");
                format!("200 OK\r\nContact: <{contact}>;expires={seconds}\r\n")
            }
            Ask::Beat | Ask::Unregister => "200 OK\r\nDate: Mon, 24 Nov 2026 01:00:00 GMT\r\n".into(),
            Ask::Token => "202 Accepted\r\n".into(),
        }
    }

    fn challenge(&mut self, request: &Message<'_>) -> Option<String> {
        let (algorithms, nonce) = self.guard.as_ref()?;
        let header = if self.asker == Asker::Proxy { Header::ProxyAuthorization } else { Header::Authorization };
        if let Some(given) = request.credentials(header, REALM.as_bytes()) {
            assert_eq!(given.uri, request.request_uri());
            let stored = Stored::from_password(given.username, REALM.as_bytes(), PASSWORD.as_bytes());
            let right = verify(&stored, &given.credentials(), request.method_name());
            if matches!(right, Verdict::Right { nc: Some(_) }) && given.nonce == nonce.as_bytes() {
                return None;
            }
        }
        let mut lines = b"401 Unauthorized\r\n".to_vec();
        if self.asker == Asker::Proxy {
            lines = b"407 Proxy Authentication Required\r\n".to_vec();
        }
        Challenges::new(self.asker, algorithms, REALM.as_bytes()).write(&mut lines, nonce.as_bytes(), self.stale);
        Some(String::from_utf8(lines).expect("text"))
    }
}

pub(super) fn text_of(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

pub(super) fn ask(request: &Message<'_>) -> Ask {
    let heartbeat = request.contacts().next().and_then(|c| c.binding().map(|b| b.keep_alive)).expect("a contact");
    match (request.method(), request.expires()) {
        (Method::Refer, _) => Ask::Token,
        (Method::Register, Some(0)) if heartbeat => Ask::Beat,
        (Method::Register, Some(0)) => Ask::Unregister,
        (Method::Register, Some(_)) => Ask::Register,
        other => panic!("a phone never sends {other:?}"),
    }
}

/// One request that left the phone.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sent {
    pub(super) at: Time,
    /// Place of the registrar in the world, from 0.
    pub(super) to: usize,
    pub(super) ask: Ask,
    pub(super) again: bool,
    pub(super) text: String,
}

/// One phone, its registrars and the time.
pub(super) struct World {
    pub(super) now: Time,
    pub(super) phone: Phone,
    pub(super) registrars: Vec<Registrar>,
    pub(super) sent: Vec<Sent>,
    pub(super) log: Vec<Change>,
    /// Operations that are over.
    pub(super) over: Vec<Exchange>,
    /// Answers of the phone to requests.
    pub(super) answers: Vec<String>,
    /// Streams are opened at once; ports count up from here.
    pub(super) next_port: u16,
}

pub(super) fn address(place: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, u8::try_from(place + 1).expect("few")], 5060))
}

pub(super) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Settings without the randomness and traffic that a story is not about.
pub(super) fn plain() -> PhoneSettings {
    let quiet = Duration::ZERO;
    PhoneSettings { keepalive: None, standby_heartbeat: None, failover_jitter: quiet, ..PhoneSettings::default() }
}

impl World {
    /// The phone's list has `configured` registrars; the world has three.
    pub(super) fn new(configured: usize, settings: PhoneSettings, seed: u64) -> Self {
        let list: Vec<SocketAddr> = (0..configured).map(address).collect();
        let profile = Profile::new("tandem.test", &list, settings).expect("a good profile");
        let who = Identity { user: "SEP0001".into(), digest_user: "alice".into(), password: PASSWORD.into() };
        let phone =
            Phone::new(7, profile, &who, "127.0.0.9:40000".parse().expect("address"), seed).expect("a good phone");
        Self {
            now: Time::from_secs(1_000),
            phone,
            registrars: (0..3).map(|place| Registrar::new(address(place))).collect(),
            sent: Vec::new(),
            log: Vec::new(),
            over: Vec::new(),
            answers: Vec::new(),
            next_port: 50_000,
        }
    }

    /// The same, switched on and registered at its first registrar.
    pub(super) fn registered(configured: usize, settings: PhoneSettings, seed: u64) -> Self {
        let mut world = Self::new(configured, settings, seed);
        world.give(PhoneInput::Start);
        assert_eq!(world.phone.registered_at(), Some(address(0)));
        world
    }

    pub(super) fn give(&mut self, input: PhoneInput<'_>) {
        self.phone.handle(self.now, input);
        self.settle();
    }

    /// A request to the phone, from the registrar at `place`.
    pub(super) fn ask_phone(&mut self, from: SocketAddr, text: &str) -> String {
        let before = self.answers.len();
        self.give(PhoneInput::Message { from, bytes: text.as_bytes() });
        self.answers.get(before).cloned().unwrap_or_default()
    }

    /// Carries messages to and fro until nobody has anything to say.
    fn settle(&mut self) {
        let mut steps = 0;
        while let Some(output) = self.phone.poll() {
            steps += 1;
            assert!(steps < 200, "a phone talks without end: {:?}", self.sent.last());
            match output {
                PhoneOutput::Changed(change) => self.log.push(change),
                PhoneOutput::Over(exchange) => self.over.push(exchange),
                PhoneOutput::Open { to } => {
                    let input = match self.registrars.iter().find(|r| r.address == to).map(|r| r.life) {
                        Some(Life::Up | Life::Silent) => {
                            self.next_port += 1;
                            let local = SocketAddr::from(([127, 0, 0, 9], self.next_port));
                            PhoneInput::Opened { to, local }
                        }
                        _ => PhoneInput::Broken { to },
                    };
                    self.phone.handle(self.now, input);
                }
                PhoneOutput::Send { to, bytes, again } => self.deliver(to, &bytes, again),
            }
        }
    }

    fn deliver(&mut self, to: SocketAddr, bytes: &[u8], again: bool) {
        let message = Message::parse(bytes).expect("a phone sends messages");
        if message.is_response() {
            tandem_sip::validate_response(&message).expect("a response is a good one");
            self.answers.push(text_of(bytes).to_owned());
            return;
        }
        let place = self.registrars.iter().position(|r| r.address == to).expect("a known registrar");
        self.sent.push(Sent { at: self.now, to: place, ask: ask(&message), again, text: text_of(bytes).to_owned() });
        let registrar = &mut self.registrars[place];
        match registrar.life {
            Life::Up => {
                let answer = registrar.answer(bytes);
                self.phone.handle(self.now, PhoneInput::Message { from: to, bytes: answer.as_bytes() });
            }
            Life::Silent => {}
            Life::Closed => self.phone.handle(self.now, PhoneInput::Broken { to }),
        }
    }

    /// Lets time pass, from deadline to deadline.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        let mut steps = 0;
        while let Some(next) = self.phone.deadline().filter(|&at| at <= end) {
            steps += 1;
            assert!(steps < 100_000, "a phone never rests: deadline {next} at {}", self.now);
            self.now = self.now.max(next);
            self.phone.tick(self.now);
            self.settle();
        }
        self.now = end;
    }

    pub(super) fn last(&self) -> &Sent {
        self.sent.last().expect("something was sent")
    }
    /// Places and kinds of what was sent, repetitions left out.
    pub(super) fn asked(&self) -> Vec<(usize, Ask)> {
        self.sent.iter().filter(|s| !s.again).map(|s| (s.to, s.ask)).collect()
    }
    /// How many of a kind went to a registrar.
    pub(super) fn count(&self, to: usize, ask: Ask) -> usize {
        self.asked().iter().filter(|a| **a == (to, ask)).count()
    }
    /// Why the state changed, in order.
    pub(super) fn whys(&self) -> Vec<Why> {
        self.log.iter().map(|c| c.why).collect()
    }
}

#[test]
fn an_idle_registered_phone_holds_less_than_600_bytes() {
    let mut world = World::new(3, PhoneSettings::default(), 1);
    world.registrars[0].guard = Some((vec![Algorithm::Sha256, Algorithm::Md5], "n".repeat(40)));
    world.give(PhoneInput::Start);
    world.run(secs(300));
    assert_eq!(world.phone.status(), Status::Registered);
    let (whole, itself) = (world.phone.memory(), size_of::<Phone>());
    assert!(whole < 600, "{whole} bytes, {itself} of them the struct");
}

#[test]
fn the_same_seed_gives_the_same_life_to_the_byte() {
    let life = |seed| {
        let mut world = World::registered(3, PhoneSettings::default(), seed);
        world.run(secs(200));
        world.registrars[0].life = Life::Silent;
        world.run(secs(200));
        world.registrars[0].life = Life::Up;
        world.run(secs(300));
        (world.sent, world.log)
    };
    assert_eq!(life(5), life(5));
    assert_ne!(life(5), life(6));
}
