//! Somebody who overhears every REGISTER between phones and nodes, and sends it again as his own: another Contact, Call-ID, CSeq and branch, all
//! of which the digest does not cover. He must never be bound (docs/decisions/0007).
//!
//! He tries only what is not the price of that decision: a node has done what the original asked for, it has lived on for long enough to tell the
//! others, and the nodes have heard each other all the time since.

use bytes::Bytes;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;
use tandem_base::Time;
use tandem_host::random::Random;
use tandem_rules::invariants::Broken;

/// Where he sits: no phone is there.
const ADDRESS: ([u8; 4], u16) = ([127, 99, 9, 9], 9);
/// His contact.
const CONTACT: &str = "sip:thief@127.99.9.9:9";
/// What he remembers at a time.
const KEPT: usize = 256;
/// Between two tries.
const EVERY: Duration = Duration::from_millis(300);
/// How long the node that took a request has had to tell the others.
const TOLD: Duration = Duration::from_millis(1_500);

#[derive(Debug)]
struct Heard {
    at: Time,
    node: usize,
    /// When that node's life had begun.
    began: Time,
    bytes: Bytes,
    branch: String,
    /// That node has done what was asked.
    done: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Thief {
    dice: Random,
    heard: VecDeque<Heard>,
    next: Time,
    tries: u64,
}

impl Thief {
    /// He has heard nothing yet.
    pub fn new(dice: Random) -> Self {
        Self { dice, heard: VecDeque::new(), next: Time::ZERO, tries: 0 }
    }
    /// His address.
    pub fn address() -> SocketAddr {
        SocketAddr::from(ADDRESS)
    }
    /// How often he has tried.
    pub fn tries(&self) -> u64 {
        self.tries
    }
    /// A datagram has arrived at a node whose life began at `began`.
    pub fn hears(&mut self, now: Time, node: usize, began: Time, bytes: &Bytes) {
        if bytes.starts_with(b"REGISTER ") && bytes.windows(15).any(|w| w == b"Authorization: ") {
            if self.heard.len() >= KEPT {
                self.heard.pop_front();
            }
            let Some(branch) = branch_of(bytes) else { return };
            self.heard.push_back(Heard { at: now, node, began, bytes: bytes.clone(), branch, done: false });
        }
    }
    /// A datagram has come from a node.
    pub fn hears_answer(&mut self, bytes: &Bytes) {
        if bytes.starts_with(b"SIP/2.0 200")
            && let Some(branch) = branch_of(bytes)
            && let Some(heard) = self.heard.iter_mut().rev().find(|heard| heard.branch == branch)
        {
            heard.done = true;
        }
    }
    /// What he sends now, and to which of so many nodes. `calm_since`: since then all nodes have heard each other; `began`: when the present life
    /// of a node began.
    pub fn steals(
        &mut self,
        now: Time,
        nodes: usize,
        calm_since: Option<Time>,
        began: impl Fn(usize) -> Option<Time>,
    ) -> Option<(usize, Bytes)> {
        if now < self.next {
            return None;
        }
        self.next = now + EVERY;
        let mut draw = |bound: usize| usize::try_from(self.dice.below(u64::try_from(bound.max(1)).unwrap_or(1)));
        let (place, node) = (draw(self.heard.len()).ok()?, draw(nodes).ok()?);
        let heard = self.heard.get(place)?;
        let told = heard.done && now >= heard.at + TOLD && began(heard.node) == Some(heard.began);
        let all_along = calm_since.is_some_and(|since| since <= heard.at);
        if !(told && all_along) {
            return None;
        }
        self.tries += 1;
        Some((node, stolen(&heard.bytes, self.tries)?))
    }
    /// What he is told.
    ///
    /// # Errors
    /// He is bound.
    pub fn is_told(bytes: &[u8]) -> Result<(), Broken> {
        let text = String::from_utf8_lossy(bytes);
        if text.starts_with("SIP/2.0 200") && text.contains(CONTACT) {
            let how = format!("somebody who overheard a request is bound by it: {text}");
            return Err(Broken { rule: "what_was_overheard_binds_nobody", how });
        }
        Ok(())
    }
}

/// What stands in the first Via.
fn branch_of(bytes: &Bytes) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (_, behind) = text.split_once("branch=")?;
    behind.split([';', '\r', ',']).next().map(str::to_owned)
}

/// The request as his own.
fn stolen(bytes: &Bytes, number: u64) -> Option<Bytes> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut out = String::with_capacity(text.len() + 80);
    for line in text.split("\r\n") {
        let name = line.split_once(':').map_or("", |(name, _)| name);
        match name {
            "Contact" | "Expires" => continue,
            "Via" => out.push_str(&line.replace("branch=z9hG4bK", &format!("branch=z9hG4bKthief{number}"))),
            "CSeq" => out.push_str("CSeq: 9999 REGISTER"),
            "Call-ID" => out.push_str(&format!("Call-ID: thief-{number}")),
            "Max-Forwards" => out.push_str(&format!("Contact: <{CONTACT}>;expires=60\r\n{line}")),
            "" if line.is_empty() => {
                out.push_str("\r\n");
                return Some(Bytes::from(out));
            }
            _ => out.push_str(line),
        }
        out.push_str("\r\n");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &[u8] = b"REGISTER sip:x SIP/2.0\r\nVia: SIP/2.0/UDP 127.1.0.1:5060;branch=z9hG4bKa\r\nMax-Forwards: 70\r\n\
        CSeq: 7 REGISTER\r\nCall-ID: a\r\nContact: <sip:a@127.1.0.1>;expires=0\r\nAuthorization: Digest response=\"1\"\r\n\r\n";

    #[test]
    fn what_he_sends_is_the_proof_with_his_own_contact() {
        let mine = stolen(&Bytes::from_static(REQUEST), 1).unwrap();
        let text = std::str::from_utf8(&mine).unwrap();
        assert!(text.contains(CONTACT) && text.contains("response=\"1\"") && text.ends_with("\"\r\n\r\n"), "{text}");
        assert!(!text.contains("sip:a@") && text.contains("z9hG4bKthief1a") && text.contains("CSeq: 9999"), "{text}");
    }

    #[test]
    fn he_waits_until_all_nodes_have_been_told_and_gives_up_what_a_dead_one_took_along() {
        let mut thief = Thief::new(Random::seeded(1));
        let at = Time::from_millis;
        thief.hears(at(1_000), 0, at(0), &Bytes::from_static(REQUEST));
        thief.hears(at(1_000), 0, at(0), &Bytes::from_static(b"REGISTER without credentials"));
        let tries = |thief: &mut Thief, now, calm, began| {
            thief.next = Time::ZERO;
            thief.steals(at(now), 3, calm, |_| began).is_some()
        };
        assert!(!tries(&mut thief, 9_000, Some(at(0)), Some(at(0))), "it was refused, for all he knows");
        thief.hears_answer(&Bytes::from_static(
            b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.1.0.1:5060;branch=z9hG4bKa\r\n\r\n",
        ));
        assert!(!tries(&mut thief, 2_000, Some(at(0)), Some(at(0))), "too early");
        assert!(!tries(&mut thief, 3_000, Some(at(2_000)), Some(at(0))), "they were apart");
        assert!(!tries(&mut thief, 3_000, None, Some(at(0))), "they are apart");
        assert!(!tries(&mut thief, 3_000, Some(at(0)), Some(at(2_500))), "another life took it");
        assert!(tries(&mut thief, 3_000, Some(at(0)), Some(at(0))));
        assert!(Thief::is_told(b"SIP/2.0 401 Unauthorized").is_ok());
        let bound = format!("SIP/2.0 200 OK\r\nContact: <{CONTACT}>;expires=60\r\n\r\n");
        assert!(Thief::is_told(bound.as_bytes()).is_err());
    }
}
