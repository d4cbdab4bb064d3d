//! Carries out registration: asks `rules` whether a device may register here, binds, refreshes and removes, and tells the peers.
//!
//! Knows nothing of SIP's syntax: the edge hands in a [`Wish`] that passed the gate and writes the [`Answer`] out.

use crate::device::{Device, DeviceContext, Register, Registered, Traits};
use crate::device_host::DeviceHost;
use crate::locator::{DeviceIndex, Elsewhere};
use crate::observe::Happened;
use std::num::NonZeroU64;
use tandem_base::{NodeLife, NodeName, Rank, Stamp, Time};
use tandem_host::light::contain;
use tandem_host::outbox::{Flow, Peer};
use tandem_model::row::RegisterReason;
use tandem_model::timings::RETRY_AFTER_MAX_SECS;
use tandem_rules::admission::Admit;
use tandem_rules::failback::show_home;
use tandem_rules::registration::{Grant, Kind, Request, Verdict, admit, grant};
use tandem_sip::nonce::NcVerdict;

/// What a REGISTER that passed the gate wants.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// Whose registration.
    pub device: DeviceIndex,
    /// Where the request came from.
    pub peer: Peer,
    /// Hash of its Call-ID.
    pub call_id: u64,
    /// Its CSeq.
    pub cseq: u32,
    /// Its transaction, for retransmissions.
    pub transaction: Option<NonZeroU64>,
    /// Time, id and count of its nonce, when credentials were checked.
    pub nonce: Option<(u32, u32, u32)>,
    /// Fault injection for tests.
    pub poison: bool,
    /// What it asks for.
    pub what: What<'a>,
}

/// See [`Wish`].
#[derive(Clone, Copy, Debug)]
pub enum What<'a> {
    /// No Contact: tell the binding.
    Query,
    /// Bind or refresh this contact for so many seconds (already within bounds).
    Bind {
        /// Contact URI.
        contact: &'a str,
        /// Path, as one header value.
        path: Option<&'a str>,
        /// Seconds asked for; `None` when it does not say.
        expires: Option<u32>,
        /// How it registers.
        traits: Traits,
    },
    /// Remove this contact, or whatever is bound (`*`).
    Remove {
        /// The contact; `None` is `*`.
        contact: Option<&'a str>,
    },
}

/// What the edge answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200 with the binding of this slot.
    Bound(u32),
    /// 200 without a binding.
    Unbound,
    /// The nonce is used up: challenge with `stale=true`.
    Stale,
    /// CSeq is not higher.
    OutOfOrder,
    /// This node does not serve the device's group, or is leaving: these do, in order.
    Elsewhere(Vec<NodeName>),
    /// It asked for less than the shortest time granted.
    TooBrief,
    /// Come back in so many seconds.
    Later(u32),
    /// In quarantine, or its actor panicked just now.
    Unavailable,
}

impl DeviceHost {
    /// Serves one REGISTER.
    pub(crate) fn register(&mut self, now: Time, wish: &Wish<'_>) -> Answer {
        if self.quarantine.holds(wish.device) {
            self.metrics.happened(Happened::Quarantined);
            return Answer::Unavailable;
        }
        match wish.what {
            What::Query => self.tell_binding(now, wish),
            What::Remove { contact } => self.remove_binding(now, wish, contact),
            What::Bind { .. } => match self.locator.slot(wish.device) {
                Some(slot) if self.some_must_leave => self.bind_or_leave(now, wish, slot),
                Some(slot) => match self.way_home(wish, slot) {
                    Some(members) => self.show_home(now, wish, slot, members),
                    None => self.bind_in_slot(now, wish, slot, Happened::Refreshed),
                },
                None => self.bind_new(now, wish),
            },
        }
    }

    /// Calls the device's handler inside the panic guard and carries out what it asked for.
    fn bind_in_slot(&mut self, now: Time, wish: &Wish<'_>, slot: u32, happened: Happened) -> Answer {
        let What::Bind { contact, path, expires, traits } = wish.what else { return Answer::Unbound };
        let granted = match grant(&self.directory.settings, expires, self.random.next_u64()) {
            Grant::For(seconds) => seconds,
            Grant::TooBrief(_) => return Answer::TooBrief,
        };
        let register = Register {
            now: Self::seconds(now),
            unix: self.unix_seconds(),
            stamp: self.stamp,
            transaction: wish.transaction,
            call_id: wish.call_id,
            cseq: wish.cseq,
            peer: wish.peer,
            contact,
            path,
            granted,
            traits: Traits { stream: matches!(wish.peer.flow, Flow::Stream(_)), ..traits },
            nonce: wish.nonce,
            poison: wish.poison,
        };
        let Some(device) = self.devices.get_mut(slot) else { return Answer::Unbound };
        let before = device.peer.flow;
        let mut context = DeviceContext::default();
        let outcome = contain(|| actix::Handler::handle(device, register, &mut context));
        let Ok(outcome) = outcome else {
            self.panicked(now, wish.device, slot);
            return Answer::Unavailable;
        };
        match outcome {
            Registered::Granted => {}
            Registered::Stale => return Answer::Stale,
            Registered::OutOfOrder => {
                self.metrics.happened(Happened::OutOfOrder);
                return Answer::OutOfOrder;
            }
        }
        if let Some(second) = context.arm {
            device.armed = self.wheel.arm(slot, second);
        }
        if context.row {
            self.rows.put(now, device, happened != Happened::Refreshed);
            self.metrics.rows.increment();
        }
        if before != wish.peer.flow {
            self.note_flow(slot, Some(before), wish.peer.flow);
        }
        self.metrics.happened(happened);
        Answer::Bound(slot)
    }
}

impl DeviceHost {
    /// A device that is not registered here asks to be: the only place where group, rank, pace and newer registrations are judged.
    fn bind_new(&mut self, now: Time, wish: &Wish<'_>) -> Answer {
        let elsewhere = self.locator.elsewhere(wish.device);
        if let Some(known) = elsewhere {
            // A request that another node has accepted already is out of order here too: a replay gains nothing by changing nodes.
            if known.call_id == wish.call_id && wish.cseq <= known.cseq {
                self.metrics.happened(Happened::OutOfOrder);
                return Answer::OutOfOrder;
            }
            // Whatever was seen counts as past.
            self.stamp = self.stamp.max(Stamp::next(known.stamp, self.unix_millis));
        }
        let used = |nonce| {
            let (time, id, nc) = nonce;
            self.nonces_of(wish.device, nonce).accept(time, id, nc) != NcVerdict::Accepted
        };
        if wish.nonce.is_some_and(used) {
            return Answer::Stale;
        }
        let verdict = self.judge(wish.device, elsewhere);
        let Verdict::Accept { rank, kind, reason } = verdict else {
            self.refused(wish);
            return self.not_here(verdict);
        };
        if let Admit::Later(seconds) = self.admission.take(now, self.random.next_u64()) {
            self.metrics.happened(if self.overload.is_on() { Happened::Overloaded } else { Happened::Paced });
            self.metrics.delayed.increment(1);
            self.refused(wish);
            return Answer::Later(seconds);
        }
        let Some(newcomer) = self.newcomer(now, wish, rank, reason) else { return Answer::Unavailable };
        let Ok(key) = self.devices.insert(newcomer) else {
            self.metrics.happened(Happened::Paced);
            return Answer::Later(RETRY_AFTER_MAX_SECS);
        };
        self.locator.set_slot(wish.device, Some(key.slot));
        let happened = happened_of(&kind);
        let answer = self.bind_in_slot(now, wish, key.slot, happened);
        if let Answer::Bound(slot) = answer {
            self.settled(now, wish.device, slot, happened, elsewhere);
        } else if self.devices.remove(key.slot).is_some() {
            self.locator.set_slot(wish.device, None);
        }
        answer
    }

    /// A wish that passed the gate is not fulfilled.
    fn refused(&mut self, wish: &Wish<'_>) {
        if let Some(nonce) = wish.nonce {
            self.spend(wish.device, nonce);
        }
    }

    fn judge(&mut self, device: DeviceIndex, elsewhere: Option<Elsewhere>) -> Verdict {
        let members = self.directory.group_of(device).map(|g| self.directory.members(g)).unwrap_or_default();
        let known = elsewhere
            .and_then(|e| Some(NodeLife { node: self.directory.node(e.owner)?.clone(), incarnation: e.incarnation }));
        let random = self.random.next_u64();
        admit(&Request { members: &members, view: &self.view, known: known.as_ref(), random })
    }

    fn not_here(&mut self, verdict: Verdict) -> Answer {
        let (happened, answer) = match verdict {
            Verdict::NotInGroup { members } => (Happened::NotInGroup, Answer::Elsewhere(members)),
            Verdict::Draining { others } => (Happened::Draining, Answer::Elsewhere(others)),
            Verdict::Joining { retry_after } => (Happened::Joining, Answer::Later(retry_after)),
            Verdict::Later { retry_after } => (Happened::Draining, Answer::Later(retry_after)),
            Verdict::Accept { .. } => return Answer::Unavailable,
        };
        self.metrics.happened(happened);
        answer
    }

    /// Why a heartbeat is not answered with 200: a node that would not take the device must not look alive to it.
    pub(crate) fn refuses_heartbeat(&mut self, _now: Time, device: DeviceIndex) -> Option<Answer> {
        let verdict = self.judge(device, self.locator.elsewhere(device));
        if matches!(verdict, Verdict::Accept { .. }) { None } else { Some(self.not_here(verdict)) }
    }

    /// The actor of a device before its first REGISTER here.
    fn newcomer(&self, now: Time, wish: &Wish<'_>, rank: Rank, reason: RegisterReason) -> Option<Device> {
        let index = wish.device;
        let (group, pool) = (self.directory.group_of(index)?, self.directory.pool_of(index)?);
        Some(Device {
            key: self.directory.key(index),
            stamp: self.stamp,
            expires_at: Self::seconds(now),
            reason: reason.code(),
            nonces: wish.nonce.map(|nonce| self.nonces_of(index, nonce)).unwrap_or_default(),
            since: self.unix_seconds(),
            ..Device::unregistered(index, rank, group, pool, wish.peer)
        })
    }

    /// A device is registered here that was not before: counts, journal, and what it cost it if its node had died.
    fn settled(&mut self, now: Time, index: DeviceIndex, slot: u32, happened: Happened, elsewhere: Option<Elsewhere>) {
        let Some((pool, group, rank, flow)) = self.devices.get(slot).map(|d| (d.pool, d.group, d.rank, d.peer.flow))
        else {
            return;
        };
        self.count((group, pool), rank, true);
        self.note_flow(slot, None, flow);
        self.note(index, happened, rank);
        let by_group = match happened {
            Happened::FailedOver => self.metrics.failovers.get(usize::from(group)),
            Happened::FailedBack => self.metrics.failbacks.get(usize::from(group)),
            _ => None,
        };
        if let Some(counter) = by_group {
            counter.increment(1);
        }
        if happened == Happened::FailedOver
            && let Some(heard) = elsewhere.and_then(|e| self.last_heard.get(&e.owner))
        {
            self.metrics.outage.record(now.since(*heard).as_secs_f64());
        }
    }

    /// Tells what is bound. The digest does not cover the Contact, so a question's credentials would be good for a binding too: their count
    /// is used up here, and the peers are told.
    fn tell_binding(&mut self, now: Time, wish: &Wish<'_>) -> Answer {
        let Some(slot) = self.locator.slot(wish.device) else { return self.nothing_bound(now, wish) };
        self.use_once(now, wish, slot).err().unwrap_or(Answer::Bound(slot))
    }
    /// It asks for or removes what is not here. A node that joins may take it up in a moment, and must not say before that it is gone.
    fn nothing_bound(&mut self, now: Time, wish: &Wish<'_>) -> Answer {
        let verdict = self.judge(wish.device, self.locator.elsewhere(wish.device));
        if matches!(verdict, Verdict::Joining { .. }) {
            self.refused(wish);
            return self.not_here(verdict);
        }
        if let Some(nonce) = wish.nonce {
            self.use_up(now, wish.device, nonce);
        }
        Answer::Unbound
    }
    /// The credentials' count is used up although nothing is bound by them, and the peers are told.
    fn use_once(&mut self, now: Time, wish: &Wish<'_>, slot: u32) -> Result<(), Answer> {
        let device = self.devices.get_mut(slot).ok_or(Answer::Unbound)?;
        if let Some((time, id, nc)) = wish.nonce {
            if device.nonces.accept(time, id, nc) != NcVerdict::Accepted {
                return Err(Answer::Stale);
            }
            self.rows.put(now, device, false);
            self.metrics.rows.increment();
        }
        Ok(())
    }

    /// A device of a node that is about to stop asks again: it is sent to the others of its group. So is one that this node has nothing to do
    /// with any more, once it was its turn to be called away. One that has nobody else stays.
    fn bind_or_leave(&mut self, now: Time, wish: &Wish<'_>, slot: u32) -> Answer {
        let verdict = self.judge(wish.device, self.locator.elsewhere(wish.device));
        let called = self.devices.get(slot).is_some_and(|d| d.called_home != 0);
        let leaves = match &verdict {
            Verdict::Draining { .. } => true,
            Verdict::NotInGroup { members } => called && members.iter().any(|m| self.view.serves(m)),
            _ => false,
        };
        if !leaves {
            return self.bind_in_slot(now, wish, slot, Happened::Refreshed);
        }
        match self.remove_binding(now, wish, None) {
            Answer::Unbound => self.not_here(verdict),
            refused => refused,
        }
    }

    /// Where a device belongs that was called home and begins anew here instead: its own list does not lead there.
    fn way_home(&self, wish: &Wish<'_>, slot: u32) -> Option<Vec<NodeName>> {
        let device = self.devices.get(slot).filter(|d| d.called_home != 0 && d.call_id != wish.call_id)?;
        show_home(&self.directory.members(device.group), &self.view, device.rank, device.shown_home)
    }
    /// It is told the way, once for each call. Its binding stays: one that cannot get there comes back, and is served.
    fn show_home(&mut self, now: Time, wish: &Wish<'_>, slot: u32, members: Vec<NodeName>) -> Answer {
        if let Err(refused) = self.use_once(now, wish, slot) {
            return refused;
        }
        self.devices.get_mut(slot).into_iter().for_each(|device| device.shown_home = true);
        self.metrics.happened(Happened::ShownHome);
        Answer::Elsewhere(members)
    }

    /// Removes what is bound, if it is this contact or any.
    fn remove_binding(&mut self, now: Time, wish: &Wish<'_>, contact: Option<&str>) -> Answer {
        let Some(slot) = self.locator.slot(wish.device) else { return self.nothing_bound(now, wish) };
        let Some(device) = self.devices.get_mut(slot) else { return Answer::Unbound };
        if wish.call_id == device.call_id && wish.cseq <= device.cseq {
            self.metrics.happened(Happened::OutOfOrder);
            return Answer::OutOfOrder;
        }
        if let Some((time, id, nc)) = wish.nonce
            && device.nonces.accept(time, id, nc) != NcVerdict::Accepted
        {
            return Answer::Stale;
        }
        if contact.is_some_and(|c| *c != *device.contact) {
            // Another contact than the one bound: nothing to remove, and the answer tells what is bound. The count that was used is told.
            if wish.nonce.is_some() {
                self.rows.put(now, device, false);
                self.metrics.rows.increment();
            }
            return Answer::Bound(slot);
        }
        let why = if matches!(wish.what, What::Bind { .. }) { Happened::Drained } else { Happened::Removed };
        self.remove_device(now, slot, why);
        Answer::Unbound
    }
}

fn happened_of(kind: &Kind) -> Happened {
    match kind {
        Kind::Register | Kind::Refresh => Happened::Registered,
        Kind::Failover { .. } => Happened::FailedOver,
        Kind::Failback { .. } => Happened::FailedBack,
        Kind::Move { .. } => Happened::Moved,
    }
}
