//! Every tunable duration and pace that is not in the configuration file, with their relations asserted below.
//!
//! Durations of the wire protocols stay in their crates (SIP timers in `tandem-sip`, repair of copies in `tandem-cluster`).

use std::time::Duration;

/// Between two heartbeats of a node to its peers.
pub const HEARTBEAT: Duration = Duration::from_millis(100);
/// Silence after which a peer is suspect.
pub const SUSPECT_AFTER: Duration = Duration::from_millis(500);
/// Silence after which a peer is dead.
pub const DEAD_AFTER: Duration = Duration::from_secs(1);
/// An arbiter that makes no progress for this long is dead: its node kills itself (DESIGN section 6).
pub const STUCK_AFTER: Duration = Duration::from_secs(2);
/// Between two times that the run-time tables are written to disk.
pub const TABLES_EVERY: Duration = Duration::from_secs(30);
/// Changed rows wait at most this long for company.
pub const FLUSH_AFTER: Duration = Duration::from_millis(5);
/// So many changed rows wait for nobody. Decision 15 says why so many.
pub const FLUSH_ROWS: usize = 256;

/// Patience for an answer of another actor of the same node.
pub const ASK_LOCAL: Duration = Duration::from_millis(50);
/// Patience for an answer of another node.
pub const ASK_REMOTE: Duration = Duration::from_millis(500);

/// How long a returned node must be up and in sync before devices are called home, unless their pool says otherwise.
pub const CONNECTION_MONITOR: Duration = Duration::from_secs(120);
/// A device that did not follow a call home is called again after this many seconds, not sooner.
pub const CALL_HOME_AGAIN_SECS: u32 = 30;
/// What a Cisco-style phone is told to wait, in seconds, when its token is refused and nothing better is known.
pub const TOKEN_RETRY_SECS: u32 = 60;

/// How long a node that stops in good order waits for its devices to leave.
pub const DRAIN: Duration = Duration::from_secs(10);
/// A device that a draining node told to go, and that is still there, is told again after this many seconds.
pub const DRAIN_AGAIN_SECS: u32 = 2;
/// What a joining node tells a device to wait, in seconds.
pub const JOINING_RETRY_SECS: u32 = 2;
/// How long a device may be without a node, while one of its group is in service, before that is a finding.
pub const HOMELESS_GRACE: Duration = Duration::from_secs(30);

/// Queue delay from which on a node is overloaded.
pub const OVERLOAD_ENTER: Duration = Duration::from_millis(20);
/// Queue delay below which it no longer is.
pub const OVERLOAD_LEAVE: Duration = Duration::from_millis(8);
/// The delay must stay beyond a threshold this long before it counts.
pub const OVERLOAD_STEADY: Duration = Duration::from_millis(100);

/// A datagram that did not fit into a socket's buffer waits until its sender repeats it: T1 of RFC 3261.
pub const LOST_DATAGRAM_WAITS: Duration = Duration::from_millis(500);

/// Longest Retry-After ever given, in seconds: a phone that is told more is as good as sent away.
pub const RETRY_AFTER_MAX_SECS: u32 = 600;

const fn shorter(a: Duration, b: Duration) -> bool {
    a.as_nanos() < b.as_nanos()
}
// The relations, checked when this crate is compiled.
const _: () = {
    assert!(
        !HEARTBEAT.is_zero() && HEARTBEAT.as_nanos() * 3 <= SUSPECT_AFTER.as_nanos(),
        "two lost heartbeats are no suspicion"
    );
    assert!(shorter(SUSPECT_AFTER, DEAD_AFTER), "suspect comes before dead");
    assert!(shorter(DEAD_AFTER, STUCK_AFTER), "peers give a stuck node up before it gives itself up");
    assert!(shorter(FLUSH_AFTER, HEARTBEAT), "a heartbeat's digest never waits for rows");
    assert!(shorter(FLUSH_AFTER, ASK_LOCAL) && shorter(ASK_LOCAL, ASK_REMOTE), "near answers come before far ones");
    assert!(shorter(ASK_REMOTE, DEAD_AFTER), "an ask ends before its peer is given up");
    assert!(shorter(DEAD_AFTER, CONNECTION_MONITOR), "nobody goes home to a node that may be dead");
    assert!((CALL_HOME_AGAIN_SECS as u64) < CONNECTION_MONITOR.as_secs(), "a lost call home is repeated soon");
    assert!((DRAIN_AGAIN_SECS as u64) < DRAIN.as_secs(), "a draining node repeats itself in time");
    assert!(shorter(OVERLOAD_LEAVE, OVERLOAD_ENTER), "overload has a hysteresis");
    assert!(shorter(OVERLOAD_ENTER, LOST_DATAGRAM_WAITS), "a socket that overflows is overload");
    assert!(
        TOKEN_RETRY_SECS <= RETRY_AFTER_MAX_SECS && JOINING_RETRY_SECS <= RETRY_AFTER_MAX_SECS,
        "no answer exceeds the limit"
    );
    assert!(FLUSH_ROWS > 0, "rows are flushed");
};
