//! How long datagrams wait in a node's UDP sockets before its loop takes them: what a mailbox's own clock never sees.
//!
//! Read now and then from the kernel's memory account of each socket, never per datagram: the wait is what is queued, divided by the pace
//! at which the loop has taken datagrams since the last reading. An estimate within a factor of two, which is enough to tell a node that
//! keeps up from one that does not. It must never touch what is queued.

use crate::datagram::{DatagramSocket, RX_BATCH};
use crate::udp_loop::{BATCHES_PER_TURN, UdpCounts};
use std::sync::Arc;
use std::time::Duration;
use tandem_base::Time;

/// Readings are at least so far apart; in between the last one is told again.
const READ_EVERY: Duration = Duration::from_millis(50);
/// What one datagram with a request of about 500 bytes costs the receive buffer: its bytes, rounded up by the kernel, and its head.
const DATAGRAM_BYTES: u64 = 1_280;
/// Longest wait told.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// The loop takes so many in one turn: no more than that is no queue.
const TURN: u64 = (BATCHES_PER_TURN * RX_BATCH) as u64;

/// What a reading said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpWait {
    /// How long the datagram that comes last waits for its turn.
    pub delay: Duration,
    /// Datagrams the kernel dropped since the reading before, because a socket's buffer was full.
    pub dropped: u64,
}

/// The queues of one loop's sockets.
#[derive(Debug)]
pub struct UdpQueues {
    sockets: Vec<(DatagramSocket, u32)>,
    counts: Arc<UdpCounts>,
    taken: u64,
    read: Time,
    last: UdpWait,
}

impl UdpQueues {
    /// Of these sockets, read by the loop that writes `counts`.
    pub fn new(sockets: &[DatagramSocket], counts: Arc<UdpCounts>, now: Time) -> Self {
        let sockets = sockets.iter().map(|s| (s.clone(), s.kernel_drops().unwrap_or(0))).collect();
        let taken = counts.read().received;
        Self { sockets, counts, taken, read: now, last: UdpWait::default() }
    }

    /// The wait at this moment; `None` when the last reading is too recent to be replaced.
    pub fn read(&mut self, now: Time) -> Option<UdpWait> {
        let elapsed = now.since(self.read);
        if elapsed < READ_EVERY {
            return None;
        }
        let (mut bytes, mut dropped) = (0, 0);
        for (socket, before) in &mut self.sockets {
            let Some(queue) = socket.queue() else { continue };
            bytes += u64::from(queue.bytes);
            dropped += u64::from(queue.dropped.wrapping_sub(*before));
            *before = queue.dropped;
        }
        let received = self.counts.read().received;
        let taken = received.saturating_sub(self.taken);
        self.taken = received;
        self.read = now;
        self.last = UdpWait { delay: wait(bytes / DATAGRAM_BYTES, taken, elapsed), dropped };
        Some(self.last)
    }
    /// What the last reading said.
    pub fn last(&self) -> UdpWait {
        self.last
    }
}

/// How long `queued` datagrams take a loop that took `taken` in `elapsed`.
fn wait(queued: u64, taken: u64, elapsed: Duration) -> Duration {
    let behind = queued.saturating_sub(TURN);
    if behind == 0 {
        return Duration::ZERO;
    }
    if taken == 0 {
        // It stands still: whatever is there has waited as long at least.
        return elapsed.min(WAIT_MAX);
    }
    let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX).saturating_mul(behind) / taken;
    Duration::from_micros(micros).min(WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_wait_is_what_is_queued_by_the_pace() {
        for (queued, taken, elapsed, expected) in [
            (0, 0, 100, 0),
            (TURN, 10, 100, 0), // the next turn takes it all
            (TURN + 1_000, 5_000, 100, 20),
            (TURN + 1_000, 50_000, 100, 2),
            (TURN + 1, 0, 100, 100), // nothing was taken
            (1_000_000, 1, 100, 10_000),
        ] {
            assert_eq!(wait(queued, taken, elapsed * MS), expected * MS, "{queued} queued, {taken} taken");
        }
    }

    /// Nobody reads the socket, so nothing depends on who is faster.
    #[test]
    fn a_socket_that_nobody_reads_shows_its_queue_and_its_losses_and_an_empty_one_shows_none() {
        let socket = DatagramSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let send = |count: usize| {
            for _ in 0..count {
                sender.send_to(&[b'x'; 500], socket.local_addr()).unwrap();
            }
        };
        let at = |millis: u32| Time::ZERO + millis * MS;
        let mut queues = UdpQueues::new(std::slice::from_ref(&socket), Arc::default(), Time::ZERO);
        assert_eq!(queues.read(at(100)), Some(UdpWait::default()));

        send(TURN as usize * 3);
        assert_eq!(queues.read(at(149)), None, "too soon");
        let queued = queues.read(at(200)).unwrap();
        // A machine may grant a buffer too small for so many.
        if queued.dropped == 0 {
            assert_eq!(queued.delay, 100 * MS, "nothing was taken since");
            let bytes = u64::from(socket.queue().unwrap().bytes);
            let counted = bytes / DATAGRAM_BYTES;
            assert!((TURN * 3 / 2..=TURN * 6).contains(&counted), "{counted} of {} datagrams, {bytes} bytes", TURN * 3);
        }

        while queues.read(queues.read + READ_EVERY).unwrap().dropped == 0 {
            send(1_000);
        }
        assert!(queues.last().delay > Duration::ZERO);
        let mut rx = crate::datagram::Rx::new();
        while rx.receive(&socket, 0).unwrap() > 0 {}
        assert_eq!(queues.read(queues.read + READ_EVERY), Some(UdpWait::default()), "it recovers at once");
    }
}
