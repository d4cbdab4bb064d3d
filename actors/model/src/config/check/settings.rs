//! Checks of `[settings]`: values within bounds, and their relations.

use super::Checker;
use crate::config::Settings;
use crate::config::read::Place;
use std::time::Duration;

/// Longest registration that may be granted: a day, in seconds.
const EXPIRES_MAX: u32 = 86_400;

pub(super) fn settings(checker: &mut Checker<'_, '_, '_>, s: &Settings) {
    let place = Place::row("settings", 0);
    let mut must = |holds: bool, field: &'static str, what: &str, expected: &str| {
        if !holds {
            checker.wrong(place.field(field), what.to_owned(), expected.to_owned());
        }
    };
    let twice = s.algorithms.iter().enumerate().any(|(n, a)| s.algorithms.iter().take(n).any(|b| a == b));
    must(
        !s.algorithms.is_empty() && !twice,
        "algorithms",
        "not a good list of algorithms",
        "\"MD5\", \"SHA-256\" or both, each once",
    );
    let low = "the shortest registration is out of bounds";
    must(s.min_expires >= 1 && s.min_expires <= s.max_expires, "min_expires", low, "1 second to max_expires");
    let high = "the longest registration is out of bounds";
    must((1..=EXPIRES_MAX).contains(&s.max_expires), "max_expires", high, "1 second to a day (86400)");
    let usual = (s.min_expires..=s.max_expires.max(s.min_expires)).contains(&s.default_expires);
    must(usual, "default_expires", "the usual registration is out of bounds", "between min_expires and max_expires");
    let spread = "the spread of granted expiry is out of bounds";
    must(
        (0.5..=1.0).contains(&s.expires_spread),
        "expires_spread",
        spread,
        "0.5 to 1.0; 0.8 grants 80 to 100 percent of what was asked",
    );
    let pace = "nobody could ever register";
    must(s.registrations_per_second > 0, "registrations_per_second", pace, "at least 1");
    must(s.registrations_burst > 0, "registrations_burst", pace, "at least 1");
    must(s.failback_per_second > 0, "failback_per_second", "nobody would ever go home", "at least 1");
    let nonce = s.nonce_lifetime.get();
    let within = (Duration::from_secs(1)..=Duration::from_secs(86_400)).contains(&nonce);
    must(within, "nonce_lifetime", "nonces would be good for too short or too long", "\"1s\" to \"1d\"");
    must(s.tcp_connections > 0, "tcp_connections", "nobody could connect over TCP", "at least 1");
    must(!s.tcp_idle.get().is_zero(), "tcp_idle", "connections would close at once", "more than 0");
    must(!s.tcp_write_timeout.get().is_zero(), "tcp_write_timeout", "connections would close at once", "more than 0");
    let small = "messages would not fit";
    must((1_024..=65_535).contains(&s.tcp_message_bytes), "tcp_message_bytes", small, "1024 to 65535");
    must(s.tcp_queue_bytes >= s.tcp_message_bytes, "tcp_queue_bytes", small, "at least tcp_message_bytes");
    let (beat, suspect, dead) = (s.heartbeat.get(), s.suspect_after.get(), s.dead_after.get());
    must(beat >= Duration::from_millis(10), "heartbeat", "heartbeats would follow too closely", "\"10ms\" or more");
    let early = "a node would be suspect after one or two lost heartbeats";
    must(beat.saturating_mul(3) <= suspect, "suspect_after", early, "at least three times heartbeat");
    must(suspect < dead, "dead_after", "a node would be dead before it is suspect", "longer than suspect_after");
    let open = "the process could be controlled from other hosts";
    must(s.control.ip().is_loopback(), "control", open, "a loopback address, such as \"127.0.0.1:7060\"");
    warn(checker, place, s);
}

fn warn(checker: &mut Checker<'_, '_, '_>, place: Place, s: &Settings) {
    if !s.digest {
        let what = "digest authentication is off: anybody can register as any device".to_owned();
        checker.unwise(place.field("digest"), what, "true, except in a closed network".to_owned());
    }
    if s.fault_injection {
        let what = "fault injection is on: anybody can make actors panic".to_owned();
        checker.unwise(place.field("fault_injection"), what, "false, except in tests".to_owned());
    }
}
