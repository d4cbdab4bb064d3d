//! Whether the way to a peer is open in both directions, asked beside the engine, so that a network that is cut is told from an engine that is
//! stuck: only against the latter a new session helps, and it costs every healthy connection.
//!
//! A QUIC server answers a datagram of a version that nobody speaks with those that it does, without connection or certificate (RFC 9000
//! sections 6.1 and 17.2.1). Who answers is not known by it: it must never decide who is up.

use crate::random::Random;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;
use tandem_base::{NodeName, Time};

/// Between two questions.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// An answer counts for so long: two may be lost.
const COUNTS_FOR: Duration = Duration::from_secs(3);
/// A shorter datagram is not answered.
const QUESTION_BYTES: usize = 1_200;
/// Answers that are read at once.
const READS_MAX: usize = 64;
/// Long header, fixed bit.
const LONG_HEADER: u8 = 0xc0;
/// Of the versions that are reserved so that nobody speaks them (RFC 9000 section 15).
const NO_VERSION: [u8; 4] = [0x1a, 0x2a, 0x3a, 0x4a];
const TOKEN_BYTES: u8 = 8;
type Token = [u8; TOKEN_BYTES as usize];

/// See the module.
#[derive(Debug)]
pub(super) struct Way {
    socket: UdpSocket,
    /// The connection id of the questions: an answer repeats it.
    token: Token,
    asked: Option<Time>,
    answered: BTreeMap<NodeName, Time>,
}

impl Way {
    /// A socket at this node's own address.
    ///
    /// # Errors
    /// The system gives none.
    pub(super) fn open(own: IpAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind((own, 0))?;
        socket.set_nonblocking(true)?;
        let mut random = Random::from_os().map_err(io::Error::other)?;
        Ok(Self { socket, token: random.next_u64().to_le_bytes(), asked: None, answered: BTreeMap::new() })
    }

    /// Asks these peers now and then; returns those whose answers came lately.
    pub(super) fn look(&mut self, now: Time, peers: &[(NodeName, SocketAddr)]) -> Vec<NodeName> {
        let mut buffer = [0; 256];
        for _ in 0..READS_MAX {
            // An error is one of an earlier question, such as a port at which nobody listens.
            let (length, from) = match self.socket.recv_from(&mut buffer) {
                Ok(read) => read,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => continue,
            };
            let Some((node, _)) = peers.iter().find(|(_, address)| *address == from) else { continue };
            if is_answer(buffer.get(..length).unwrap_or_default(), self.token) {
                self.answered.insert(node.clone(), now);
            }
        }
        if self.asked.is_none_or(|at| now.since(at) >= ASK_EVERY) {
            self.asked = Some(now);
            let question = question(self.token);
            for (_, address) in peers {
                // What does not get out is not answered.
                let _ = self.socket.send_to(&question, address);
            }
        }
        self.answered.retain(|_, at| now.since(*at) < COUNTS_FOR);
        self.answered.keys().filter(|node| peers.iter().any(|(peer, _)| peer == *node)).cloned().collect()
    }
}

fn question(token: Token) -> Vec<u8> {
    let mut bytes = vec![LONG_HEADER];
    bytes.extend(NO_VERSION);
    for _ in ["destination", "source"] {
        bytes.push(TOKEN_BYTES);
        bytes.extend(token);
    }
    bytes.resize(QUESTION_BYTES, 0);
    bytes
}

/// Version 0 is said by such answers only; both connection ids are those of the question.
fn is_answer(bytes: &[u8], token: Token) -> bool {
    let mut expected = vec![0; 4];
    for _ in ["destination", "source"] {
        expected.push(TOKEN_BYTES);
        expected.extend(token);
    }
    bytes.split_first().is_some_and(|(first, rest)| first & 0x80 != 0 && rest.starts_with(&expected))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_comes_is_an_answer_only_to_the_own_question(bytes in prop::collection::vec(any::<u8>(), 0..64), token in any::<Token>()) {
            prop_assume!(bytes.get(6..14).is_none_or(|t| t != token));
            prop_assert!(!is_answer(&bytes, token));
        }
    }

    #[test]
    fn a_question_sent_back_is_no_answer() {
        let question = question([7; 8]);
        assert_eq!(question.len(), QUESTION_BYTES);
        assert!(!is_answer(&question, [7; 8]));
        let mut answer = question;
        answer[1..5].fill(0);
        assert!(is_answer(&answer, [7; 8]) && !is_answer(&answer, [8; 8]) && !is_answer(&answer[..20], [7; 8]));
    }
}
