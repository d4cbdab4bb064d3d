//! What the answers to a phone's requests mean.
//!
//! Retry-After, Min-Expires, redirects and refusals (RFC 3261 sections 10.2.7, 10.3, 20.33, 21.3, 21.4.17). What follows from a loss
//! is in `failover`, what follows from a better CallManager's answer in `failback` and `heartbeat`.

use std::time::Duration;
use tandem_base::Time;

use super::Server;
use super::reply::Reply;
use super::transaction::{Kind, Past, Transaction};
use super::{Exchange, Operation, Outcome, Phone, PhoneOutput, Resume, Status, Why};
use crate::MAX_SERVERS;

/// 423 is obeyed so many times for one request.
const RAISES_MAX: u8 = 2;
/// 302 is followed so many times in one round.
const REDIRECTS_MAX: u8 = 2;
/// Longest registration that a 423 can make the phone ask for, in seconds: a day.
const EXPIRES_MAX: u32 = 86_400;
/// The refresh is sent so long before the registration ends, or after 90 % of a short one.
const REFRESH_DELTA: u32 = 5;

impl Phone {
    pub(super) fn start(&mut self, now: Time) {
        if self.status != Status::Off {
            return;
        }
        self.begin_round(now, Why::Started);
    }

    /// A refresh that an open-loop schedule demands. While one is open the next waits for its answer, later ones are
    /// passed over and said to be: a phone sends no new REGISTER before the last is over (RFC 3261 section 10.2).
    pub(super) fn refresh_asked(&mut self, now: Time) {
        let begun = self.intended.take().unwrap_or(now).min(now);
        if self.status != Status::Registered || self.owed != Time::FAR {
            let exchange = Exchange {
                operation: Operation::Refresh,
                server: self.registered_at(),
                outcome: Outcome::Skipped,
                begun,
                late: now.since(begun),
                sent: now,
                at: now,
                retry_after: None,
            };
            return self.outbox.push_back(PhoneOutput::Over(exchange));
        }
        if self.idle(self.server) {
            self.intended = Some(begun);
            return self.launch(now, Kind::Refresh, self.server);
        }
        self.owed = begun;
    }

    /// Power fails: everything is forgotten, and nobody is told.
    pub(super) fn cut(&mut self, now: Time) {
        self.forget(|_| true);
        self.use_list(None);
        self.servers = [Server::NEW; MAX_SERVERS];
        self.proofs.clear();
        self.called = false;
        self.lost = false;
        self.busy = false;
        self.was = None;
        self.failures = 0;
        self.wake = Time::FAR;
        self.owed = Time::FAR;
        self.expires = self.settings().expires;
        self.life = self.dice.next();
        if self.status != Status::Off {
            self.change(now, Status::Off, Why::Stopped, None);
        }
    }

    pub(super) fn stop(&mut self, now: Time) {
        let served = self.status == Status::Registered;
        self.forget(|_| true);
        self.called = false;
        self.lost = false;
        self.was = None;
        if served {
            self.change(now, Status::Stopping, Why::Stopped, None);
            self.launch(now, Kind::Unregister, self.server);
        } else if self.status != Status::Off {
            self.change(now, Status::Off, Why::Stopped, None);
        }
    }

    /// A final answer to an open request.
    pub(super) fn answered(&mut self, now: Time, request: &Transaction, reply: &Reply<'_>) {
        if matches!(reply.status, 401 | 407) && self.challenged(now, request, reply) {
            return;
        }
        if reply.status == 423 && self.raise(request, reply) {
            return self.raised(now, request);
        }
        self.over(now, request, Outcome::Answered(reply.status), reply.retry_after());
        match request.kind {
            Kind::Register | Kind::Refresh => self.registrar_said(now, request, reply),
            Kind::Beat => self.beat_answered(now, request.server, reply),
            Kind::Token => self.token_answered(now, request, reply),
            Kind::Move => self.move_answered(now, request, reply),
            Kind::Unregister => self.change(now, Status::Off, Why::Stopped, None),
        }
    }

    /// No final answer, or nobody there.
    pub(super) fn unanswered(&mut self, now: Time, request: &Transaction, why: Why) {
        self.note(request.server, |s| {
            s.doubtful = true;
            s.up_since = Time::FAR;
        });
        match request.kind {
            Kind::Register => self.try_next(now, why),
            Kind::Refresh => self.lost(now, why),
            Kind::Beat => self.schedule_beat(now, request.server),
            Kind::Token | Kind::Move => {}
            Kind::Unregister => self.change(now, Status::Off, Why::Stopped, None),
        }
    }

    fn registrar_said(&mut self, now: Time, request: &Transaction, reply: &Reply<'_>) {
        match reply.status {
            200..300 => self.accepted(now, request, reply),
            302 => self.redirected(now, request.kind, reply),
            401 | 403 | 404 | 407 => self.refused(now),
            503 => self.throttled(now, request.kind, reply),
            _ if request.kind == Kind::Register => {
                self.note(request.server, |s| s.doubtful = true);
                self.try_next(now, Why::ServerError);
            }
            _ => self.lost(now, Why::ServerError),
        }
    }

    /// Served: by a new CallManager, or still by the same one.
    pub(super) fn accepted(&mut self, now: Time, request: &Transaction, reply: &Reply<'_>) {
        let contact = self.contact_uri(request.server);
        let ours = reply.granted(&contact);
        if ours.is_none() {
            self.counters.wrong_answers = self.counters.wrong_answers.saturating_add(1);
        }
        let granted = ours.or(reply.expires()).unwrap_or(self.expires);
        if granted == 0 {
            // A 200 that grants nothing is no registration.
            return self.unanswered(now, request, Why::ServerError);
        }
        let late = granted.saturating_sub(REFRESH_DELTA).max(granted / 10 * 9 + granted % 10 * 9 / 10);
        let refresh = Duration::from_secs(late.into()).max(Duration::from_millis(500));
        let keepalive = self.settings().keepalive.map(|k| self.part(k, 750));
        let outage = (self.lost || self.expires_at < now).then(|| now.since(self.last_good));
        self.refresh_at = now + keepalive.map_or(refresh, |k| k.min(refresh));
        self.expires_at = now + Duration::from_secs(granted.into());
        self.last_good = now;
        self.note(request.server, |s| {
            s.throttled = 0;
            s.doubtful = false;
        });
        if request.kind == Kind::Refresh {
            self.counters.refreshes = self.counters.refreshes.saturating_add(1);
            return;
        }
        self.settled(now, request.server, outage.filter(|_| self.was.is_some()));
    }

    /// A registration at `server` has begun.
    fn settled(&mut self, now: Time, server: u8, outage: Option<Duration>) {
        self.counters.registrations = self.counters.registrations.saturating_add(1);
        match self.was {
            Some(was) if self.lost && was != server => {
                self.counters.failovers = self.counters.failovers.saturating_add(1);
            }
            Some(was) if server < was => self.counters.failbacks = self.counters.failbacks.saturating_add(1),
            _ => {}
        }
        let server = self.watch_own_list(server);
        self.server = server;
        self.was = Some(server);
        self.lost = false;
        // An order of a CallManager that serves no longer has no meaning.
        self.called = false;
        self.tried = 0;
        self.failures = 0;
        self.redirects = 0;
        self.wake = Time::FAR;
        self.forget(|t| t.kind != Kind::Beat || t.server == server);
        self.change(now, Status::Registered, Why::Accepted, outage);
        self.first_beats(now);
    }

    fn throttled(&mut self, now: Time, kind: Kind, reply: &Reply<'_>) {
        self.counters.throttled = self.counters.throttled.saturating_add(1);
        let server = self.server;
        if let Some(pause) = self.settings().ignores_retry_after {
            return self.come_back(now, kind, pause);
        }
        let obeyed = self.known(server).throttled < self.settings().throttle_retries;
        let wait = reply.retry_after().filter(|w| obeyed && *w <= self.settings().longest_retry_after);
        let Some(wait) = wait else {
            self.note(server, |s| {
                s.throttled = 0;
                s.doubtful = true;
                s.not_before = now + reply.retry_after().unwrap_or_default();
            });
            return if kind == Kind::Register {
                self.try_next(now, Why::Throttled)
            } else {
                self.lost(now, Why::Throttled)
            };
        };
        self.note(server, |s| s.throttled = s.throttled.saturating_add(1));
        self.come_back(now, kind, wait);
    }

    /// To the same CallManager, later.
    fn come_back(&mut self, now: Time, kind: Kind, wait: Duration) {
        if kind == Kind::Refresh {
            self.refresh_at = now + wait;
            return;
        }
        self.resume = Resume::Same;
        self.wake = now + wait;
        self.change(now, Status::Waiting, Why::Throttled, None);
    }

    /// The answer's list takes the place of the configured one.
    fn redirected(&mut self, now: Time, kind: Kind, reply: &Reply<'_>) {
        let mut list = reply.redirect_targets(self.settings().transport);
        list.truncate(MAX_SERVERS);
        if list.is_empty() || self.redirects >= REDIRECTS_MAX {
            self.note(self.server, |s| s.doubtful = true);
            return match kind {
                Kind::Register => self.try_next(now, Why::Redirected),
                _ => self.lost(now, Why::Redirected),
            };
        }
        self.counters.redirects = self.counters.redirects.saturating_add(1);
        self.redirects += 1;
        if kind == Kind::Refresh {
            self.lost = true;
        }
        self.use_list(Some(list.into_boxed_slice()));
        self.tried = 0;
        self.resume = Resume::Next;
        self.wake = now;
        self.change(now, Status::Waiting, Why::Redirected, None);
    }

    /// The cluster does not want this phone: another CallManager would say the same, so it waits, longer each time.
    fn refused(&mut self, now: Time) {
        self.counters.refusals = self.counters.refusals.saturating_add(1);
        self.lost |= self.status == Status::Registered;
        self.back_off(now, Why::Refused);
    }

    /// 423: whether asking for longer makes sense.
    fn raise(&mut self, request: &Transaction, reply: &Reply<'_>) -> bool {
        if !matches!(request.kind, Kind::Register | Kind::Refresh | Kind::Move) {
            return false;
        }
        let least = reply.min_expires().filter(|&least| least > self.expires && least <= EXPIRES_MAX);
        match least {
            Some(least) if request.past.raised < RAISES_MAX => {
                self.expires = least;
                true
            }
            _ => false,
        }
    }

    fn raised(&mut self, now: Time, request: &Transaction) {
        let past = Past { raised: request.past.raised + 1, ..request.past };
        self.launch_again(now, request.kind, request.server, past);
    }
}
