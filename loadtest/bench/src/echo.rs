//! The floor: a server that reads nothing. A datagram comes, its first bytes go back; received and sent in batches, as a node does it.
//!
//! It must never do less than a server has to (both ways of the kernel's UDP path), or more.

use crate::error::Error;
use crate::stopped;
use std::net::SocketAddr;
use std::time::Duration;
use tandem_host::datagram::{Batches, DatagramSocket};
use tandem_host::outbox::Outbox;

/// Bytes of an answer: what the 200 to the benchmark's REGISTER has.
const ANSWER_BYTES: usize = 400;
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Serves until it is killed, or its parent is gone.
pub(crate) fn serve(listen: SocketAddr) -> Result<(), Error> {
    let socket = DatagramSocket::bind(listen)?;
    let (mut batches, mut out) = (Batches::new(), Outbox::new());
    let parent = std::os::unix::process::parent_id();
    loop {
        match batches.receive(&socket) {
            Ok(0) => {
                // Whoever measures may be killed without a word: nobody is served then.
                if !socket.wait(LOOK_EVERY) && (stopped() || std::os::unix::process::parent_id() != parent) {
                    return Ok(());
                }
                continue;
            }
            Ok(_) => {}
            // Somebody who has closed its socket: the next datagram is another's.
            Err(_) => continue,
        }
        for (bytes, peer) in batches.received().iter() {
            out.send(bytes.get(..ANSWER_BYTES).unwrap_or(bytes), peer);
        }
        batches.send(&socket, &out);
        out.clear();
    }
}

/// Burns a core until it is killed, or its parent is gone.
pub(crate) fn spin() {
    let parent = std::os::unix::process::parent_id();
    let mut n = 0_u64;
    while std::os::unix::process::parent_id() == parent {
        for _ in 0..50_000_000 {
            n = std::hint::black_box(n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::{Generator, Load, Pattern};

    #[test]
    fn every_datagram_comes_back_to_its_request() {
        let free = DatagramSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap().local_addr();
        // Ends with the test's process.
        std::thread::spawn(move || serve(free));
        let mut generator = Generator::new(free, true).unwrap();
        while generator.ask(Duration::from_millis(20)).unwrap().is_none() {}
        let load = Load { devices: 100, count: 2_000, ..Load::new(Pattern::Plain) };
        let outcome = generator.run(&load, &mut |_| {}).unwrap();
        assert_eq!((outcome.ok, outcome.failed), (2_000, 0));
        assert_eq!(outcome.latency.len(), 2_000);
    }
}
