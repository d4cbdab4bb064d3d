//! Heartbeats to the CallManagers that do not serve: a REGISTER of no duration that changes no binding.
//!
//! While served, the phone asks every better CallManager (may I go home?) and, below the serving one, every one down to
//! the first that answers (where would I go?). It must never touch the registration itself.

use tandem_base::Time;

use super::reply::Reply;
use super::transaction::Kind;
use super::{Phone, Status};

impl Phone {
    /// Whether `server` is asked at all.
    fn beats(&self, server: u8) -> bool {
        let below_is_fine = |s: u8| !self.known(s).doubtful;
        server < self.server || (server > self.server && !(self.server + 1..server).any(below_is_fine))
    }

    /// Spreads the first ones over one interval.
    pub(super) fn first_beats(&mut self, now: Time) {
        let Some(interval) = self.settings().standby_heartbeat else { return };
        for server in self.positions() {
            let at = now + self.part(interval, 0);
            self.note(server, |s| {
                s.next_beat = at;
                s.up_since = Time::FAR;
            });
        }
    }

    pub(super) fn schedule_beat(&mut self, now: Time, server: u8) {
        let Some(interval) = self.settings().standby_heartbeat else { return };
        let at = now + self.part(interval, 750);
        self.note(server, |s| s.next_beat = at);
    }

    /// Sends the heartbeats that are due.
    pub(super) fn beat(&mut self, now: Time) {
        if self.settings().standby_heartbeat.is_none() {
            return;
        }
        for server in self.positions() {
            if self.known(server).next_beat <= now && self.beats(server) && self.idle(server) {
                self.launch(now, Kind::Beat, server);
            }
        }
    }

    /// When the next one is due.
    pub(super) fn next_beat(&self) -> Time {
        if self.settings().standby_heartbeat.is_none() {
            return Time::FAR;
        }
        let due = self.positions().filter(|&s| self.beats(s) && self.idle(s)).map(|s| self.known(s).next_beat);
        due.min().unwrap_or(Time::FAR)
    }

    pub(super) fn beat_answered(&mut self, now: Time, server: u8, reply: &Reply<'_>) {
        let good = (200..300).contains(&reply.status);
        if good {
            self.counters.heartbeats = self.counters.heartbeats.saturating_add(1);
        }
        self.note(server, |s| {
            s.doubtful = !good;
            s.up_since = if good { s.up_since.min(now) } else { Time::FAR };
        });
        if self.status == Status::Registered {
            self.schedule_beat(now, server);
        }
    }
}
