//! Bad input over real sockets: the messages of RFC 4475 and RFC 5118, cut-off and random bytes. The right answer or silence, and nobody
//! who is registered notices.

use crate::cluster::Cluster;
use crate::phone::{Answer, Line, Phone};
use crate::torture::{Message, Outcome, RFC4475, RFC5118};

fn all() -> impl Iterator<Item = Message> {
    RFC4475.into_iter().chain(RFC5118)
}

/// Whether these answers are right for a message that was understood or refused before anybody asked who sent it.
fn check(message: &Message, answers: &[Answer]) {
    let (name, section) = (message.name, message.section);
    let statuses: Vec<u16> = answers.iter().map(|a| a.status).collect();
    // Who is not known is asked who he is before anything else is said; OPTIONS for the server itself is answered.
    let understood = |s: u16| s == 401 || (s == 200 && message.wire.starts_with(b"OPTIONS "));
    let silent = message.wire.starts_with(b"SIP/2.0 ") || message.wire.starts_with(b"ACK ");
    let fits = match (message.outcome, statuses.as_slice()) {
        (Outcome::Dropped, found) => found.is_empty(),
        (Outcome::Accepted | Outcome::Tolerable(_), []) => silent,
        (_, []) => silent || matches!(name, "badinv01" | "insuf"),
        (Outcome::Accepted, [status]) => !silent && understood(*status),
        (Outcome::Refused(codes), [status]) => !silent && codes.contains(status),
        (Outcome::Tolerable(codes), [status]) => !silent && (codes.contains(status) || understood(*status)),
        (_, [_, _, ..]) => false,
    };
    assert!(fits, "{name} (section {section}): {statuses:?}, expected {:?}", message.outcome);
}

/// How a stream goes on behind a message.
fn stream_goes_on(name: &str) -> bool {
    // More is announced than comes, or the end of the header is missing, or the length cannot be known.
    !matches!(name, "clerr" | "baddn" | "ncl" | "mcl01" | "inv2543" | "dblreq")
}

#[test]
fn each_torture_message_as_a_datagram_gets_its_answer_or_none() {
    let cluster = Cluster::one("");
    let mut phone = Phone::udp("A001", cluster.udp(0)).registered();
    for message in all() {
        let mut line = Line::udp(cluster.udp(0));
        line.send(message.wire);
        check(&message, &line.ping());
    }
    assert!(phone.is_bound());
    assert_eq!(cluster.served(), [1]);
}

#[test]
fn each_torture_message_over_tcp_gets_the_same_whole_or_byte_by_byte() {
    let cluster = Cluster::one("");
    let mut phone = Phone::tcp("A001", cluster.tcp(0)).registered();
    for size in [usize::MAX, 1] {
        for message in all() {
            let mut line = Line::tcp(cluster.tcp(0));
            for piece in message.wire.chunks(size.min(message.wire.len())) {
                // The node may have closed the connection on what came before.
                if !line.try_send(piece) {
                    break;
                }
            }
            if stream_goes_on(message.name) {
                check(&message, &line.ping());
            }
        }
    }
    assert!(Line::tcp(cluster.tcp(0)).ping().is_empty());
    assert!(phone.is_bound());
    assert_eq!(cluster.served(), [1]);
}

#[test]
fn a_removal_that_is_cut_off_anywhere_removes_nothing() {
    let cluster = Cluster::one("");
    let mut phone = Phone::udp("A001", cluster.udp(0)).registered();
    let more = phone.binding(0);
    let whole = phone.build("REGISTER", &more);
    let mut line = Line::udp(cluster.udp(0));
    for length in 0..whole.len() {
        line.send(&whole[..length]);
        for answer in line.ping() {
            assert_eq!(answer.status, 400, "cut at {length}: {}", answer.text);
        }
    }
    for length in (0..whole.len()).step_by(7) {
        Line::tcp(cluster.tcp(0)).send(&whole[..length]);
    }
    assert_eq!(cluster.served(), [1]);
    assert!(phone.is_bound());
    assert_eq!(phone.exchange(&whole).status, 200, "no piece of it had used its count up");
    assert_eq!(cluster.served(), [0]);
}

/// A small generator of bytes that are the same in every run.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("small")
    }
    fn bytes(&mut self) -> Vec<u8> {
        let length = self.below(1_400);
        (0..length).map(|_| self.next().to_le_bytes()[3]).collect()
    }
    /// A message with a few of its bytes changed, doubled or gone.
    fn spoil(&mut self, wire: &[u8]) -> Vec<u8> {
        let mut spoilt = wire.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(spoilt.len());
            let piece = spoilt[at..].len().min(self.below(40));
            match self.below(3) {
                0 => spoilt[at] = self.next().to_le_bytes()[0],
                1 => drop(spoilt.drain(at..at + piece)),
                _ => {
                    let copy = spoilt[at..at + piece].to_vec();
                    spoilt.splice(at..at, copy);
                }
            }
            if spoilt.is_empty() {
                break;
            }
        }
        spoilt
    }
}

#[test]
fn random_and_spoilt_bytes_change_nothing() {
    let cluster = Cluster::one("");
    let mut phone = Phone::udp("A001", cluster.udp(0)).registered();
    let mut victim = Phone::udp("A002", cluster.udp(0));
    let more = victim.binding(600);
    let request = victim.build("REGISTER", &more);
    let mut dice = Dice(0x5eed_0004_475f_5118);
    let mut line = Line::udp(cluster.udp(0));
    for round in 0..1_000 {
        let noise = if round % 2 == 0 { dice.bytes() } else { dice.spoil(&request) };
        line.send(&noise);
        // What is hardly spoilt is a request of somebody unknown; its method may even be OPTIONS by then, hardly anything more.
        for answer in line.ping() {
            assert!((400..=505).contains(&answer.status), "{}", answer.text);
        }
    }
    for round in 0..100 {
        let noise = if round % 2 == 0 { dice.bytes() } else { dice.spoil(&request) };
        let mut line = Line::tcp(cluster.tcp(0));
        for piece in noise.chunks(97) {
            if !line.try_send(piece) {
                break;
            }
        }
    }
    assert!(Line::tcp(cluster.tcp(0)).ping().is_empty());
    assert!(line.ping().is_empty());
    assert!(phone.is_bound());
    assert_eq!(cluster.served(), [1]);
    assert_eq!(cluster.metric(0, "tandem_device_panics_total", &[]), 0.0);
    assert_eq!(cluster.metric(0, "tandem_actor_restarts_total", &[]), 0.0);
}
