//! The serving CallManager is lost, or none was found yet: which one is asked next, and when.
//!
//! A round asks each CallManager of the list once, best first, those that lately failed last. When all of them failed the
//! phone waits as RFC 5626 section 4.5 says and begins again at the top of its configured list. It never moves while busy.

use std::net::SocketAddr;
use tandem_base::Time;

use super::transaction::Kind;
use super::{Phone, Resume, Server, Status, Why};
use crate::MAX_SERVERS;

/// Doubling stops here; the cap of the settings is reached long before.
const EXPONENT_MAX: u8 = 16;

impl Phone {
    /// A phone in a call stays where it was, even when nobody is there (callmanager facts 1.5). One that was never
    /// served has nothing to stay at.
    pub(super) fn may_move(&self) -> bool {
        !(self.busy && self.was.is_some() && self.resume != Resume::Same)
    }

    /// The wait is over.
    pub(super) fn resume(&mut self, now: Time) {
        match self.resume {
            Resume::Same => self.ask(now, self.server, Why::Trying),
            Resume::Next => self.try_next(now, Why::Trying),
            Resume::Top => self.begin_round(now, Why::Trying),
        }
    }

    /// From the top of the configured list.
    pub(super) fn begin_round(&mut self, now: Time, why: Why) {
        self.tried = 0;
        self.redirects = 0;
        self.drop_adopted();
        self.try_next(now, why);
    }

    /// The serving CallManager is dead: a moment of jitter, then the next one.
    pub(super) fn lost(&mut self, now: Time, why: Why) {
        let jitter = self.part(self.settings().failover_jitter, 0);
        self.forget(|_| true);
        self.lost = true;
        self.tried = bit(self.server);
        self.redirects = 0;
        self.note(self.server, |s| {
            s.doubtful = true;
            s.up_since = Time::FAR;
        });
        self.resume = Resume::Next;
        self.wake = now + jitter;
        self.change(now, Status::Waiting, why, None);
    }

    /// Asks the next one, because of `why`.
    pub(super) fn try_next(&mut self, now: Time, why: Why) {
        match self.choose() {
            Some(server) => self.ask(now, server, why),
            None => {
                // A list that a 302 gave has failed: the configured one is worth a round before the long wait.
                if self.adopted.is_some() && self.redirects <= 1 {
                    self.redirects = u8::MAX;
                    self.tried = 0;
                    self.drop_adopted();
                    return self.try_next(now, why);
                }
                self.back_off(now, Why::AllFailed);
            }
        }
    }

    fn ask(&mut self, now: Time, server: u8, why: Why) {
        self.server = server;
        self.tried |= bit(server);
        self.change(now, Status::Registering, why, None);
        self.launch(now, Kind::Register, server);
    }

    fn choose(&self) -> Option<u8> {
        let untried = || self.positions().filter(|&s| self.tried & bit(s) == 0);
        untried().find(|&s| !self.known(s).doubtful).or_else(|| untried().next())
    }

    /// RFC 5626 section 4.5: base times two to the number of failures, capped, of which 50 to 100 % are waited.
    pub(super) fn back_off(&mut self, now: Time, why: Why) {
        let settings = self.settings();
        let whole = settings.retry_base.saturating_mul(1 << self.failures.min(EXPONENT_MAX)).min(settings.retry_cap);
        let wait = self.part(whole, 500);
        self.failures = self.failures.saturating_add(1);
        self.forget(|_| true);
        self.resume = Resume::Top;
        self.wake = now + wait;
        self.change(now, Status::Waiting, why, None);
    }

    /// Back to the configured list.
    pub(super) fn drop_adopted(&mut self) {
        if self.adopted.is_some() {
            self.use_list(None);
        }
    }

    /// Served at `server` by the list of a 302: from now on the phone also watches its configured CallManagers, best first, so that it comes
    /// home by its own means. Returns the new position of the serving one.
    ///
    /// A list that names the serving one already is enough. Otherwise the configured ones stand before the others, as far as there is room: one
    /// that would still send the phone away says so to its heartbeat.
    pub(super) fn watch_own_list(&mut self, server: u8) -> u8 {
        let (Some(adopted), Some(serving)) = (&self.adopted, self.address(server)) else { return server };
        let own = self.profile.servers();
        if own.contains(&serving) {
            self.use_list(None);
        } else {
            let room = MAX_SERVERS.saturating_sub(adopted.len());
            let others = own.iter().filter(|o| !adopted.contains(o)).take(room);
            let both: Box<[SocketAddr]> = others.chain(adopted.iter()).copied().collect();
            self.use_list(Some(both));
        }
        self.position(serving).unwrap_or(server)
    }

    /// Another list, `None` for the configured one: what was known of a CallManager that stands in both is its stream only.
    pub(super) fn use_list(&mut self, list: Option<Box<[SocketAddr]>>) {
        let mut old = [None; MAX_SERVERS];
        for (slot, (address, known)) in old.iter_mut().zip(self.list().iter().zip(self.servers)) {
            *slot = Some((*address, known.port));
        }
        let was = self.was.map(|was| self.address(was));
        self.forget(|_| true);
        self.adopted = list;
        self.servers = [Server::NEW; MAX_SERVERS];
        for server in self.positions() {
            let address = self.address(server);
            let port = old.iter().flatten().find(|(a, _)| Some(*a) == address).map(|(_, port)| *port);
            self.note(server, |s| s.port = port.unwrap_or_default());
        }
        // A place in the old list that the new one lacks is further from home than any.
        self.was = was.map(|address| address.and_then(|a| self.position(a)).unwrap_or(u8::MAX));
    }
}

pub(super) fn bit(server: u8) -> u8 {
    1u8.checked_shl(server.into()).unwrap_or_default()
}
