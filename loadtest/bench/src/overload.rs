//! Twice the load that the server can carry: what still gets through, who is turned away, and how soon all is well again.
//!
//! Arrivals are scheduled and never waited for. Nobody asks twice: a phone that was turned away or not heard comes again as another
//! arrival. It must never blame the server for what the generator could not send: then the result says so.

use crate::error::Error;
use crate::generator::{Generator, Load, OTHER_STRIDE, Pattern, micros, stride};
use crate::kernel;
use crate::request::Request;
use crate::server::Server;
use crate::stopped;
use serde::Serialize;
use tandem_host::datagram::RX_BATCH;

/// An answer counts when it comes before the phone would have asked again (T1).
const IN_TIME_MICROS: u64 = 500_000;
/// After the load all is well again when answers come within this.
const WELL_MICROS: u64 = 100_000;
/// Width of the bins that recovery is judged by.
const BIN_MICROS: u64 = 100_000;
/// Share of a bin's requests that are answered when all is well.
const WELL_SHARE: f64 = 0.99;
/// Requests that may be on their way; a power of two.
const RING: usize = 1 << 19;
/// How long the load afterwards lasts, and what share of the peak it is.
const AFTER_MICROS: u64 = 10_000_000;
const AFTER_SHARE: f64 = 0.5;
/// Refreshes that a peak is measured with.
const PEAK_COUNT: u64 = 300_000;
/// Of what was due the generator must have sent this share.
const SENT_MIN: f64 = 0.97;

/// Who is there and what is offered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    /// Registered phones, from number 0; as many newcomers have the numbers after them.
    pub(crate) registered: u32,
    /// Newcomers among a hundred arrivals.
    pub(crate) newcomers_percent: u64,
    /// How long, in seconds.
    pub(crate) seconds: u64,
}

/// What came of it. Rates are per second.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Overload {
    /// Refreshes that the server carries when it is asked as fast as it answers, before the load and after it.
    pub(crate) peaks: [f64; 2],
    /// Arrivals sent, of which newcomers.
    pub(crate) offered: f64,
    pub(crate) offered_newcomers: f64,
    /// Answered with 200 in time.
    pub(crate) refreshed: f64,
    pub(crate) registered: f64,
    /// Told to come back later (503).
    pub(crate) refused: f64,
    /// Answered too late, or not at all.
    pub(crate) late: f64,
    pub(crate) unanswered: f64,
    /// Refreshes and registrations in time, of the peaks' mean.
    pub(crate) goodput: f64,
    /// Milliseconds after the load until 99 of 100 requests were answered within 100 ms, and from then on.
    pub(crate) recovery_ms: Option<u64>,
    pub(crate) rss_kib_before: u64,
    pub(crate) rss_kib_after: u64,
    /// Why the result does not count.
    pub(crate) invalid: Option<String>,
}

#[derive(Clone, Copy, Default)]
struct Shot {
    ticket: u64,
    sent: u64,
    device: u32,
    cseq: u32,
    newcomer: bool,
}

#[derive(Clone, Copy, Default)]
struct Bin {
    sent: u64,
    well: u64,
}

#[derive(Default)]
struct Tally {
    sent: u64,
    newcomers: u64,
    refreshed: u64,
    registered: u64,
    refused: u64,
    late: u64,
    answered: u64,
    due: u64,
    bins: Vec<Bin>,
}

/// Finds the peak, offers twice as much, then half, and tells what happened.
pub(crate) fn overload(
    server: &Server,
    generator: &mut Generator,
    crowd: &Crowd,
    tell: &mut dyn FnMut(u64),
) -> Result<Overload, Error> {
    let before = peak(generator, crowd)?;
    let rss_kib_before = kernel::memory(server.process()).rss_kib;
    let mut range = Range::new(generator, crowd);
    let during = range.offer((before * 2.0) as u64, crowd.newcomers_percent, crowd.seconds * 1_000_000, tell)?;
    let after = range.offer((before * AFTER_SHARE) as u64, 0, AFTER_MICROS, &mut |_| {})?;
    let rss_kib_after = kernel::memory(server.process()).rss_kib;
    // The machine's own pace moves within a minute: what it carries is measured on both sides of the load.
    let peaks = [before, peak(generator, crowd)?];
    let seconds = crowd.seconds as f64;
    let rate = |n: u64| n as f64 / seconds;
    let sent_share = during.sent as f64 / during.due.max(1) as f64;
    let limited = format!(
        "the generator was the limit: it sent {:.0} of 100 requests that were due; give it a faster core or the server a slower one",
        sent_share * 100.0
    );
    Ok(Overload {
        peaks,
        offered: rate(during.sent),
        offered_newcomers: rate(during.newcomers),
        refreshed: rate(during.refreshed),
        registered: rate(during.registered),
        refused: rate(during.refused),
        late: rate(during.late),
        unanswered: rate(during.sent - during.answered),
        goodput: rate(during.refreshed + during.registered) / (peaks.iter().sum::<f64>() / 2.0),
        recovery_ms: recovery(&after.bins),
        rss_kib_before,
        rss_kib_after,
        invalid: (sent_share < SENT_MIN).then_some(limited),
    })
}

/// Refreshes per second that it carries.
fn peak(generator: &mut Generator, crowd: &Crowd) -> Result<f64, Error> {
    let load = Load { devices: crowd.registered, count: PEAK_COUNT, ..Load::new(Pattern::Plain) };
    let begun = generator.clock.now();
    let outcome = generator.run(&load, &mut |_| {})?;
    Ok(outcome.ok as f64 / generator.clock.now().since(begun).as_secs_f64())
}

/// When all was well again, from the first bin of the time after; `None` when it never was.
fn recovery(bins: &[Bin]) -> Option<u64> {
    let ill = |b: &Bin| b.sent > 0 && (b.well as f64) < WELL_SHARE * b.sent as f64;
    let first_well = bins.iter().rposition(ill).map_or(0, |last_ill| last_ill + 1);
    (first_well < bins.len()).then_some(first_well as u64 * BIN_MICROS / 1_000)
}

struct Range<'g> {
    generator: &'g mut Generator,
    shots: Vec<Shot>,
    crowd: Crowd,
    step: u64,
    /// Arrivals so far: of registered phones, of newcomers, of all.
    refreshes: u64,
    arrivals: u64,
    serial: u64,
    cseq: u32,
    /// Newcomers that have got in.
    inside: Vec<bool>,
    next_newcomer: usize,
}

impl<'g> Range<'g> {
    fn new(generator: &'g mut Generator, crowd: &Crowd) -> Self {
        let cseq = generator.next_cseq();
        Self {
            generator,
            shots: vec![Shot::default(); RING],
            crowd: *crowd,
            step: stride(OTHER_STRIDE, crowd.registered.into()),
            refreshes: 0,
            arrivals: 0,
            serial: 1 << 47,
            cseq,
            inside: vec![false; crowd.registered as usize],
            next_newcomer: 0,
        }
    }

    fn offer(
        &mut self,
        rate: u64,
        newcomers_percent: u64,
        length: u64,
        tell: &mut dyn FnMut(u64),
    ) -> Result<Tally, Error> {
        let bins = usize::try_from(length / BIN_MICROS).unwrap_or(0);
        let mut tally = Tally { due: rate * length / 1_000_000, bins: vec![Bin::default(); bins], ..Tally::default() };
        let begun = self.generator.clock.now();
        let mut told = 0;
        loop {
            let now = micros(begun, self.generator.clock.now());
            if stopped() {
                return Err(Error::Interrupted);
            }
            if now < length {
                self.send(&mut tally, rate, newcomers_percent, now);
            } else if now > length + IN_TIME_MICROS {
                return Ok(tally);
            }
            self.take(&mut tally, micros(begun, self.generator.clock.now()));
            if now > told + 250_000 {
                told = now;
                tell(now.min(length));
            }
        }
    }

    /// At most one outbox, so that answers are looked at in between.
    fn send(&mut self, tally: &mut Tally, rate: u64, newcomers_percent: u64, now: u64) {
        let due = now * rate / 1_000_000;
        // What could not be sent in time is not sent in a burst later: it is missing, and that is told.
        while tally.sent < due && !self.generator.out.full() {
            self.arrivals += 1;
            let newcomer = self.arrivals % 100 < newcomers_percent;
            let device = if newcomer { self.newcomer() } else { None };
            let (device, newcomer) = device.map_or_else(|| (self.refresher(), false), |d| (d, true));
            self.serial += 1;
            // Rises with every arrival of a phone, and never wraps within a run.
            let cseq = self.cseq + u32::try_from(self.arrivals / u64::from(self.crowd.registered)).unwrap_or(0);
            let shot = Shot { ticket: self.serial, sent: now, device, cseq, newcomer };
            if let Some(place) = self.shots.get_mut(self.serial as usize % RING) {
                *place = shot;
            }
            self.generator.queue(&Request { device, ticket: shot.ticket, cseq, credentials: b"" });
            tally.sent += 1;
            tally.newcomers += u64::from(newcomer);
            if let Some(bin) = tally.bins.get_mut((now / BIN_MICROS) as usize) {
                bin.sent += 1;
            }
        }
        self.generator.flush();
    }

    fn refresher(&mut self) -> u32 {
        let count = u64::from(self.crowd.registered);
        self.refreshes += 1;
        u32::try_from(self.refreshes % count * self.step % count).unwrap_or(0)
    }

    /// The next newcomer that has not got in; `None` when all have.
    fn newcomer(&mut self) -> Option<u32> {
        let count = self.inside.len();
        for _ in 0..count {
            self.next_newcomer = (self.next_newcomer + 1) % count;
            if self.inside.get(self.next_newcomer) == Some(&false) {
                return Some(self.crowd.registered + u32::try_from(self.next_newcomer).ok()?);
            }
        }
        None
    }

    fn take(&mut self, tally: &mut Tally, now: u64) {
        loop {
            let count = self.generator.batches.receive(&self.generator.socket).unwrap_or(0);
            for (bytes, _) in self.generator.batches.received().iter() {
                let Some((status, ticket, reply)) = self.generator.read(bytes) else { continue };
                let Some(shot) = self.shots.get_mut(ticket as usize % RING).filter(|s| s.ticket == ticket) else {
                    continue;
                };
                if reply.is_some_and(|r| !r.answers(shot.device, shot.cseq)) {
                    continue;
                }
                // Answered once.
                shot.ticket = 0;
                tally.answered += 1;
                let took = now.saturating_sub(shot.sent);
                let in_time = took <= IN_TIME_MICROS;
                match status {
                    200 if in_time && shot.newcomer => tally.registered += 1,
                    200 if in_time => tally.refreshed += 1,
                    503 if in_time => tally.refused += 1,
                    _ => tally.late += 1,
                }
                if status == 200 && shot.newcomer {
                    let index = shot.device.saturating_sub(self.crowd.registered) as usize;
                    if let Some(inside) = self.inside.get_mut(index) {
                        *inside = true;
                    }
                }
                if status == 200
                    && took <= WELL_MICROS
                    && let Some(bin) = tally.bins.get_mut((shot.sent / BIN_MICROS) as usize)
                {
                    bin.well += 1;
                }
            }
            if count < RX_BATCH {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovery_counts_to_the_last_bin_that_was_ill() {
        let well = Bin { sent: 100, well: 99 };
        let ill = Bin { sent: 100, well: 98 };
        assert_eq!(recovery(&[well, well]), Some(0));
        assert_eq!(recovery(&[ill, well, ill, well]), Some(300));
        assert_eq!(recovery(&[well, ill]), None);
    }
}
