//! The link's own thread: it opens the session, says hello, notices silence, looks after the certificates, and closes.
//!
//! Opening and closing wait for the engine, so they happen here alone. The session is opened anew when certificates were replaced, and as the
//! last resort against a peer that only this node misses: at most once a minute, because every healthy connection starts over too.

use super::session::{Broken, Opened};
use super::way::Way;
use super::{Notice, Shared, lock};
use crate::certificates::{Credentials, Files};
use crate::link::AttachError;
use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;
use tandem_base::{NodeName, Time};
use tandem_cluster::link::Lane;

/// Between two hellos while a configured peer is missing; otherwise a fifth of `dead_after`.
const HELLO_SEARCHING: Duration = Duration::from_millis(50);
/// A peer that only this node misses for so long, although the network between them is open, is worth a new session.
const MISSED: Duration = Duration::from_secs(10);
/// Between two sessions that were opened for that; doubles while it does not help.
const REOPEN_MIN: Duration = Duration::from_secs(60);
const REOPEN_MAX: Duration = Duration::from_secs(3_600);
/// Between two attempts to open a session.
const OPEN_AGAIN: Duration = Duration::from_millis(10);
/// A session that has not been opened for so long is worth a word.
const OPEN_WITHIN: Duration = Duration::from_secs(2);
/// How long last words may take to be handed over, and to be heard.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// Starts the thread; the answer says whether it listens.
pub(super) fn start(
    shared: &Arc<Shared>,
    address: SocketAddr,
    credentials: Credentials,
    poked: Receiver<()>,
    closed: SyncSender<()>,
) -> Result<Receiver<Result<(), String>>, AttachError> {
    let (tell, answer) = sync_channel(1);
    let name = format!("{}-link", shared.me.node);
    let life = shared.me.clone();
    let shared = Arc::clone(shared);
    let body = move || {
        let mut server = Server::new(shared, address, credentials, poked);
        let opened = server.open();
        let goes_on = opened.is_ok();
        // Whoever attached has waited for this.
        let _ = tell.send(opened.map_err(|e| e.to_string()));
        if goes_on {
            server.serve();
            server.leave();
        }
        let _ = closed.send(());
        let _ = server.shared.end.try_send(());
    };
    let failed = |e: std::io::Error| AttachError::Listen { life: life.clone(), address, why: e.to_string() };
    std::thread::Builder::new().name(name).spawn(body).map_err(failed)?;
    Ok(answer)
}

/// When a session was last opened for the sake of a peer.
#[derive(Debug, Default)]
struct LastResort {
    /// Since when each missing peer is missed by this node alone.
    missed: BTreeMap<NodeName, Time>,
    last: Option<Time>,
    pause: Option<Duration>,
}

impl LastResort {
    /// Whether a new session is due, given the peers that only this node misses.
    fn is_due(&mut self, now: Time, one_sided: &[NodeName]) -> Option<NodeName> {
        self.missed.retain(|node, _| one_sided.contains(node));
        for node in one_sided {
            self.missed.entry(node.clone()).or_insert(now);
        }
        if one_sided.is_empty() {
            self.pause = None;
        }
        let long = self.missed.iter().find(|(_, since)| now.since(**since) >= MISSED).map(|(n, _)| n.clone())?;
        let pause = self.pause.unwrap_or(REOPEN_MIN);
        if self.last.is_some_and(|at| now.since(at) < pause) {
            return None;
        }
        self.pause = self.last.map(|_| (pause * 2).min(REOPEN_MAX));
        self.last = Some(now);
        self.missed.clear();
        Some(long)
    }
}

struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    credentials: Credentials,
    poked: Receiver<()>,
    next_hello: Time,
    next_look: Time,
    /// Hellos follow closely until then: a session has just been opened.
    search_until: Time,
    last_resort: LastResort,
    /// Asks for the way to peers that only this node misses, while there are any.
    way: Option<Way>,
    /// What was said last of certificates, so that nothing is said twice.
    said: Option<Notice>,
}

impl Server {
    fn new(shared: Arc<Shared>, address: SocketAddr, credentials: Credentials, poked: Receiver<()>) -> Self {
        Self {
            shared,
            address,
            credentials,
            poked,
            next_hello: Time::ZERO,
            next_look: Time::ZERO,
            search_until: Time::ZERO,
            last_resort: LastResort::default(),
            way: None,
            said: None,
        }
    }
    fn notice(&mut self, kind: &'static str, text: String) {
        let notice = Notice { kind, text };
        if self.said.as_ref() != Some(&notice) {
            (self.shared.options.notices)(&self.shared.me.node, notice.clone());
            self.said = Some(notice);
        }
    }
    fn open(&self) -> Result<(), Broken> {
        let opened = Opened::open(&self.shared, &self.credentials)?;
        self.shared.put_session(Some(opened));
        Ok(())
    }

    fn serve(&mut self) {
        let clock = self.shared.clock;
        let mut last = clock.now();
        while self.shared.is_open() {
            let now = clock.now();
            if now.since(last) >= self.shared.options.dead_after / 2 {
                lock(&self.shared.peers).forgive(now);
            }
            last = now;
            let (up, searching) = {
                let mut peers = lock(&self.shared.peers);
                self.shared.apply(&mut peers, |peers| peers.tick(now));
                (peers.all_up(), peers.misses_some())
            };
            self.shared.end_bulk(&up);
            let tick =
                if searching || now < self.search_until { HELLO_SEARCHING } else { self.shared.options.dead_after / 5 };
            if now >= self.next_hello {
                self.hello(now);
                self.next_hello = now + tick;
            }
            if now >= self.next_look {
                self.look_at_certificates();
                self.next_look = now + self.shared.options.look_every;
            }
            self.look_at_peers(now);
            let next = self.next_hello.min(self.next_look).min(now + tick);
            match self.poked.recv_timeout(next.since(clock.now())) {
                Ok(()) => self.next_hello = Time::ZERO,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
    }
    fn hello(&self, now: Time) {
        let hello = lock(&self.shared.peers).hello(now).bytes();
        self.shared.with_session(|s| s.hello(hello));
    }

    fn look_at_peers(&mut self, now: Time) {
        let one_sided: Vec<NodeName> = {
            let peers = lock(&self.shared.peers);
            peers.missed().into_iter().filter(|node| peers.is_one_sided(now, node)).collect()
        };
        let stuck = self.in_reach(now, &one_sided);
        if let Some(node) = self.last_resort.is_due(now, &stuck) {
            self.reopen();
            let text =
                format!("{} opened its link anew: {node} was in reach of others, not of it", self.shared.me.node);
            // Each time is worth a word, also when it is the same one.
            self.said = None;
            self.notice("link_reopened", text);
        }
    }

    /// Those of the peers to whom the network is open: a new session for the sake of the others would only cost the healthy ones.
    fn in_reach(&mut self, now: Time, peers: &[NodeName]) -> Vec<NodeName> {
        if peers.is_empty() {
            self.way = None;
            return Vec::new();
        }
        let members = &self.shared.options.members;
        let peers: Vec<_> = peers.iter().filter_map(|p| Some((p.clone(), (*members.get(p)?)?))).collect();
        if self.way.is_none() {
            // Without a socket nobody is known to be in reach.
            self.way = Way::open(self.address.ip()).ok();
        }
        self.way.as_mut().map(|way| way.look(now, &peers)).unwrap_or_default()
    }

    /// Expiry is shown and warned of; files that were replaced by good ones are used from now on.
    fn look_at_certificates(&mut self) {
        let now = self.shared.clock.unix_millis();
        let node = self.shared.me.node.clone();
        let files = Files::read(&self.shared.options.certificates, &node);
        let is_new = files.as_ref().is_ok_and(|files| files != self.credentials.files());
        let found =
            files.and_then(|files| if is_new { files.check(self.address.ip(), now).map(Some) } else { Ok(None) });
        match found {
            Ok(Some(found)) => {
                let text = format!("{node} uses new certificates: {}", found.summary(now));
                self.credentials = found;
                self.reopen();
                self.notice("link_certificates_replaced", text);
            }
            Ok(None) => {
                if let Some(text) = self.credentials.warning(now) {
                    self.notice("link_certificate_expiring", format!("{node}: {text}"));
                }
            }
            Err(e) => {
                let text = format!("{node} goes on with the certificates that it has: {e}");
                self.notice("link_certificates_unusable", text);
            }
        }
        let left = self.credentials.seconds_left(now);
        for (position, seconds) in left.into_iter().enumerate() {
            self.shared.expiry.set(&[0, position], seconds as f64);
        }
    }

    /// Closes the session and opens the next one. Peers that answer within their patience notice no more than lost frames.
    fn reopen(&mut self) {
        lock(&self.shared.bulk).clear();
        if let Some(old) = self.shared.put_session(None) {
            old.close();
        }
        let began = self.shared.clock.now();
        lock(&self.shared.peers).forgive(began);
        while self.shared.is_open() {
            {
                let mut peers = lock(&self.shared.peers);
                peers.next_session();
                self.shared.apply(&mut peers, |peers| peers.tick(self.shared.clock.now()));
            }
            // The engine lets go of the address a little later than it says; asking the system costs less than a session that fails.
            let opened = UdpSocket::bind(self.address).map_err(Broken::from).and_then(|free| {
                drop(free);
                self.open()
            });
            match opened {
                Ok(()) => break,
                Err(e) if self.shared.clock.now().since(began) >= OPEN_WITHIN => {
                    let text = format!(
                        "{} cannot open its link at {}: {e}; it is tried again",
                        self.shared.me.node, self.address
                    );
                    self.notice("link_failed", text);
                }
                Err(_) => {}
            }
            std::thread::sleep(OPEN_AGAIN);
        }
        self.next_hello = Time::ZERO;
        self.search_until = self.shared.clock.now() + self.shared.options.dead_after * 2;
    }

    /// Says goodbye behind everything that was sent, waits until peers have heard it, and closes.
    fn leave(&self) {
        let shared = &self.shared;
        for (_, (_, bulk)) in std::mem::take(&mut *lock(&shared.bulk)) {
            bulk.finish(LAST_WORDS);
        }
        let (me, up) = {
            let peers = lock(&shared.peers);
            (peers.id(), peers.all_up())
        };
        *lock(&shared.leaving) = up.into_iter().map(|(node, _)| node).collect();
        for lane in [Lane::Heartbeat, Lane::Ordinary, Lane::Bulk] {
            let bytes = shared.head(lane, me, None, true).before(&[]);
            shared.with_session(|s| s.last_words(lane, bytes));
        }
        let deadline = shared.clock.now() + LAST_WORDS;
        while !lock(&shared.leaving).is_empty() {
            let left = deadline.since(shared.clock.now());
            if left.is_zero() || self.poked.recv_timeout(left).is_err() {
                break;
            }
        }
        let _ = shared.end.try_send(());
        if let Some(session) = shared.put_session(None) {
            session.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_session_is_the_last_resort_and_rarer_each_time_it_does_not_help() {
        let node = NodeName::new("C").unwrap();
        let missed = [node.clone()];
        let mut last_resort = LastResort::default();
        let mut opened = Vec::new();
        for second in 0..1_000 {
            let now = Time::from_secs(second);
            if last_resort.is_due(now, &missed) == Some(node.clone()) {
                opened.push(second);
            }
        }
        assert_eq!(opened, [10, 70, 190, 430, 910]);
        // Who is back, or gone for everybody, is no reason any more; the next one begins anew, and never within a minute.
        assert_eq!(last_resort.is_due(Time::from_secs(1_000), &[]), None);
        let next = (1_001..2_000).find(|s| last_resort.is_due(Time::from_secs(*s), &missed).is_some());
        assert_eq!(next, Some(1_011));
        let mut flapping = LastResort::default();
        let due = |f: &mut LastResort, s: u64, m: &[NodeName]| f.is_due(Time::from_secs(s), m).is_some();
        assert!(!due(&mut flapping, 0, &missed) && due(&mut flapping, 10, &missed));
        assert!(!due(&mut flapping, 11, &[]) && !due(&mut flapping, 12, &missed));
        assert!(!due(&mut flapping, 30, &missed), "ten seconds, but a minute has not passed");
        assert!(due(&mut flapping, 70, &missed));
    }
}
