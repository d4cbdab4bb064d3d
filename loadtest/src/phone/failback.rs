//! The way home: a better CallManager has answered long enough, or the serving one calls the phone home.
//!
//! A Cisco-style phone asks for a token first, so that the returned CallManager paces its guests (callmanager facts 1.5). The old
//! registration is not taken back: the newest one wins in the cluster. Nothing here happens while the phone is busy.

use std::time::Duration;
use tandem_base::Time;

use super::reply::Reply;
use super::transaction::{Kind, Transaction};
use super::{Phone, Resume, Status, Why};

/// A refusal without Retry-After counts as this one (the default back-off of token rejects).
const TOKEN_WAIT: Duration = Duration::from_secs(60);

impl Phone {
    /// When `server` may be asked for a token.
    fn ripe_at(&self, server: u8) -> Time {
        let known = self.known(server);
        if known.up_since == Time::FAR {
            Time::FAR
        } else {
            (known.up_since + self.settings().monitor).max(known.not_before)
        }
    }

    fn moving(&self) -> bool {
        self.open.iter().any(|t| matches!(t.kind, Kind::Token | Kind::Move))
    }

    /// Which better CallManager is asked next, and when. One that stands behind another which answers too is left alone until that one has
    /// had a monitor duration of its own to take the phone: it would move twice when both are back together.
    fn way_home(&self) -> Option<(u8, Time)> {
        let mut after = Time::ZERO;
        let mut next: Option<(u8, Time)> = None;
        for server in 0..self.server {
            let at = self.ripe_at(server).max(after);
            let up_since = self.known(server).up_since;
            if up_since != Time::FAR {
                after = after.max(up_since + self.settings().monitor * 2);
            }
            if self.idle(server) && next.is_none_or(|(_, soonest)| at < soonest) {
                next = Some((server, at));
            }
        }
        next
    }

    /// When the next step home is due.
    pub(super) fn home_at(&self) -> Time {
        if self.busy || self.moving() {
            return Time::FAR;
        }
        self.way_home().map_or(Time::FAR, |(_, at)| at)
    }

    /// Takes that step when it is due.
    pub(super) fn go_home(&mut self, now: Time) {
        if self.busy || self.moving() {
            return;
        }
        let Some((server, _)) = self.way_home().filter(|(_, at)| *at <= now) else { return };
        if self.settings().asks_token {
            self.counters.tokens_asked = self.counters.tokens_asked.saturating_add(1);
            self.launch(now, Kind::Token, server);
        } else {
            self.launch(now, Kind::Move, server);
        }
    }

    pub(super) fn token_answered(&mut self, now: Time, request: &Transaction, reply: &Reply<'_>) {
        match reply.status {
            200..300 => {
                self.counters.tokens_granted = self.counters.tokens_granted.saturating_add(1);
                self.come(now, request.server);
            }
            503 => self.not_yet(now, request.server, reply),
            // A registrar that knows no tokens: a plain phone just registers at home, and is always welcome.
            _ => self.come(now, request.server),
        }
    }

    /// Registers at the better CallManager, unless a call has begun since it was asked.
    fn come(&mut self, now: Time, server: u8) {
        if self.busy {
            return;
        }
        self.launch(now, Kind::Move, server);
    }

    fn not_yet(&mut self, now: Time, server: u8, reply: &Reply<'_>) {
        self.counters.throttled = self.counters.throttled.saturating_add(1);
        let wait = self.settings().ignores_retry_after.or(reply.retry_after()).unwrap_or(TOKEN_WAIT);
        self.note(server, |s| s.not_before = now + wait);
    }

    pub(super) fn move_answered(&mut self, now: Time, request: &Transaction, reply: &Reply<'_>) {
        match reply.status {
            200..300 => self.accepted(now, request, reply),
            503 => self.not_yet(now, request.server, reply),
            _ => self.note(request.server, |s| s.up_since = Time::FAR),
        }
    }

    /// `service-control` (restart, reset): from the top of the configured list, once no call is in the way.
    pub(super) fn restart(&mut self, now: Time) {
        self.called = false;
        self.counters.called_home = self.counters.called_home.saturating_add(1);
        self.forget(|_| true);
        self.drop_adopted();
        for server in self.positions() {
            self.note(server, |s| {
                s.doubtful = false;
                s.throttled = 0;
                s.up_since = Time::FAR;
            });
        }
        self.tried = 0;
        self.redirects = 0;
        self.resume = Resume::Next;
        self.change(now, Status::Waiting, Why::Called, None);
        self.wake = now;
        self.resume(now);
    }
}
