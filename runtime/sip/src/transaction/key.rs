//! Names of transactions: keyed 128-bit hashes (SipHash-1-3) of what RFC 3261 section 17.2.3 says identifies one.
//!
//! The key is secret and random per process, so nobody outside can make two requests collide; at 128 bits chance will
//! not either, which is why no text is stored and compared. A key must never cross a process.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::num::NonZeroU64;
use siphasher::sip128::{Hasher128, SipHasher13};

/// A transaction's name. Use it as a table key as it is: it is already a good hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TransactionKey([u64; 2]);

impl Hash for TransactionKey {
    /// One word is enough, for the tables that take it as the hash itself.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0[1]);
    }
}

impl TransactionKey {
    /// The 64-bit form that fits into a device's slot. Never zero, so that `Option` of it costs nothing and an empty
    /// slot equals no request. For remembering *one* transaction of a device, not for tables.
    pub const fn short(self) -> NonZeroU64 {
        match NonZeroU64::new(self.0[0]) {
            Some(short) => short,
            None => NonZeroU64::MIN,
        }
    }

    /// Both halves.
    pub const fn words(self) -> [u64; 2] {
        self.0
    }
}

impl fmt::Debug for TransactionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.0[0], self.0[1])
    }
}

/// What is needed of the topmost Via.
#[derive(Clone, Copy, Debug)]
pub struct TopVia<'a> {
    /// The `branch` parameter as sent, cookie included.
    pub branch: Option<&'a [u8]>,
    /// The host of sent-by as sent (a reference in brackets for IPv6).
    pub host: &'a [u8],
    /// The port of sent-by, if one is written.
    pub port: Option<u16>,
}

/// What identifies a request of a client that speaks RFC 2543 (section 17.2.3, second half).
#[derive(Clone, Copy, Debug)]
pub struct Legacy<'a> {
    /// The Request-URI as sent.
    pub request_uri: &'a [u8],
    /// From tag; empty when absent.
    pub from_tag: &'a [u8],
    /// To tag; empty when absent. Left out of the key of INVITE and ACK, because the ACK carries the *answer's* To tag.
    pub to_tag: &'a [u8],
    /// Call-ID.
    pub call_id: &'a [u8],
    /// The number of CSeq.
    pub cseq: u32,
    /// The whole topmost Via value as sent.
    pub via: &'a [u8],
}

/// The start of a branch that is unique by itself (section 8.1.1.7).
pub const COOKIE: &[u8] = b"z9hG4bK";

/// Makes keys.
#[derive(Clone, Copy)]
pub struct Keyer(SipHasher13);

/// First word of every hash, so that the three kinds of key never meet.
#[derive(Clone, Copy)]
enum Kind {
    Server = 1,
    Legacy = 2,
    Client = 3,
}

impl Keyer {
    /// From 16 random bytes of this process.
    pub fn new(key: [u8; 16]) -> Self {
        Self(SipHasher13::new_with_key(&key))
    }

    /// The key of a request that arrived: branch, sent-by and method, where ACK counts as the INVITE it belongs to.
    /// `None` when the branch lacks the cookie or has nothing else: then [`Keyer::legacy`] has to do. For a CANCEL this names the CANCEL's own
    /// transaction; what it cancels is found with `method` set to `INVITE` (section 9.2). About 20 ns.
    pub fn server(&self, via: &TopVia<'_>, method: &[u8]) -> Option<TransactionKey> {
        let branch = via.branch.filter(|b| has_cookie(b))?;
        Some(self.hash(
            Kind::Server,
            &[branch, via.host, answered_as(method)],
            via.port.map_or(0, |p| u64::from(p) + 1),
        ))
    }

    /// The key of a request without the cookie (section 17.2.3, RFC 2543).
    pub fn legacy(&self, request: &Legacy<'_>, method: &[u8]) -> TransactionKey {
        let method = answered_as(method);
        let to_tag = if method == b"INVITE" { b"" } else { request.to_tag };
        let pieces = [request.request_uri, request.from_tag, to_tag, request.call_id, request.via, method];
        self.hash(Kind::Legacy, &pieces, u64::from(request.cseq))
    }

    /// The key under which a client finds its transaction: the branch it made and the method in CSeq (section 17.1.3).
    pub fn client(&self, branch: &[u8], cseq_method: &[u8]) -> TransactionKey {
        self.hash(Kind::Client, &[branch, cseq_method], 0)
    }

    fn hash(&self, kind: Kind, pieces: &[&[u8]], number: u64) -> TransactionKey {
        // In one piece where it fits: a hasher that is fed bit by bit costs twice as much. Which way is taken follows from the
        // lengths, so the same pieces always take the same.
        let mut text = Text { bytes: [0; TEXT_MAX], len: 0 };
        text.put(&(kind as u64 | number << 8).to_le_bytes());
        for piece in pieces {
            text.put(&(piece.len() as u32).to_le_bytes());
            text.put(piece);
        }
        if let Some(bytes) = text.bytes.get(..text.len) {
            let hash = self.0.hash(bytes);
            return TransactionKey([hash.h1, hash.h2]);
        }
        let Self(mut hasher) = *self;
        hasher.write_u64(kind as u64);
        hasher.write_u64(number);
        for piece in pieces {
            // The length keeps "ab","c" and "a","bc" apart whatever bytes the pieces hold.
            hasher.write_u64(piece.len() as u64);
            hasher.write(piece);
        }
        let hash = hasher.finish128();
        TransactionKey([hash.h1, hash.h2])
    }
}

/// Longest text that is hashed in one piece: most requests' pieces have 60 to 120 bytes.
const TEXT_MAX: usize = 256;

/// Gathers pieces; a length beyond the room says that they did not fit.
struct Text {
    bytes: [u8; TEXT_MAX],
    len: usize,
}

impl Text {
    #[inline]
    fn put(&mut self, piece: &[u8]) {
        let end = self.len.saturating_add(piece.len());
        if let Some(place) = self.bytes.get_mut(self.len..end) {
            place.copy_from_slice(piece);
        }
        self.len = end;
    }
}

impl fmt::Debug for Keyer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyer(secret)")
    }
}

/// Whether a branch is one of RFC 3261: the cookie and something behind it. The cookie alone would make all requests of
/// its sender one transaction (RFC 4475 section 3.2.1). Tokens have no case (section 7.3.1).
pub fn has_cookie(branch: &[u8]) -> bool {
    branch
        .split_at_checked(COOKIE.len())
        .is_some_and(|(start, id)| start.eq_ignore_ascii_case(COOKIE) && !id.is_empty())
}

fn answered_as(method: &[u8]) -> &[u8] {
    if method == b"ACK" { b"INVITE" } else { method }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const VIA: TopVia<'_> = TopVia { branch: Some(b"z9hG4bK776"), host: b"pc33.atlanta.com", port: None };

    fn keyer() -> Keyer {
        Keyer::new([7; 16])
    }

    #[test]
    fn every_piece_separates_transactions_and_nothing_else_does() {
        let keys = [
            (VIA, "REGISTER"),
            (VIA, "INVITE"),
            (VIA, "CANCEL"),
            (VIA, "register"),
            (TopVia { branch: Some(b"z9hG4bK777"), ..VIA }, "REGISTER"),
            (TopVia { host: b"pc34.atlanta.com", ..VIA }, "REGISTER"),
            (TopVia { port: Some(0), ..VIA }, "REGISTER"),
            (TopVia { port: Some(5060), ..VIA }, "REGISTER"),
            (TopVia { branch: Some(b"z9hG4bK776p"), host: b"c33.atlanta.com", ..VIA }, "REGISTER"),
        ];
        let key = |(via, method): &(TopVia<'_>, &str)| keyer().server(via, method.as_bytes()).expect("has the cookie");
        assert_eq!(keys.iter().map(key).collect::<BTreeSet<_>>().len(), keys.len());
        assert_eq!(keyer().server(&VIA, b"REGISTER"), keyer().server(&VIA, b"REGISTER"));
        assert_ne!(keyer().server(&VIA, b"REGISTER"), Keyer::new([8; 16]).server(&VIA, b"REGISTER"));
    }

    #[test]
    fn an_ack_finds_the_invite_it_belongs_to_and_a_cancel_can_ask_for_it() {
        assert_eq!(keyer().server(&VIA, b"ACK"), keyer().server(&VIA, b"INVITE"));
        assert_ne!(keyer().server(&VIA, b"CANCEL"), keyer().server(&VIA, b"INVITE"));
    }

    #[test]
    fn a_branch_without_the_cookie_gives_no_key() {
        for branch in [None, Some(&b""[..]), Some(b"z9hG4b"), Some(b"z9hG4bK"), Some(b"390skdjuw")] {
            assert_eq!(keyer().server(&TopVia { branch, ..VIA }, b"REGISTER"), None);
        }
        assert!(keyer().server(&TopVia { branch: Some(b"Z9HG4BKx"), ..VIA }, b"REGISTER").is_some());
    }

    #[test]
    fn an_old_client_is_told_apart_by_all_its_fields_and_its_ack_by_all_but_the_to_tag() {
        let base = Legacy {
            request_uri: b"sip:a@b",
            from_tag: b"1",
            to_tag: b"",
            call_id: b"c",
            cseq: 9,
            via: b"SIP/2.0/UDP h;branch=1",
        };
        let changed = [
            base,
            Legacy { request_uri: b"sip:a@c", ..base },
            Legacy { from_tag: b"2", ..base },
            Legacy { to_tag: b"3", ..base },
            Legacy { call_id: b"d", ..base },
            Legacy { cseq: 10, ..base },
            Legacy { via: b"SIP/2.0/UDP h;branch=2", ..base },
        ];
        let keys = |method: &'static [u8]| changed.map(|l| keyer().legacy(&l, method));
        assert_eq!(BTreeSet::from(keys(b"OPTIONS")).len(), changed.len());
        assert_eq!(BTreeSet::from(keys(b"INVITE")).len(), changed.len() - 1);
        assert_eq!(keyer().legacy(&Legacy { to_tag: b"answer", ..base }, b"ACK"), keyer().legacy(&base, b"INVITE"));
    }

    #[test]
    fn the_short_form_is_never_zero() {
        assert_eq!(TransactionKey([0, 9]).short().get(), 1);
        assert_eq!(TransactionKey([5, 9]).short().get(), 5);
        assert_eq!(size_of::<Option<NonZeroU64>>(), 8);
    }

    #[test]
    fn a_client_key_is_branch_and_cseq_method() {
        let a = keyer().client(b"z9hG4bK1", b"NOTIFY");
        assert_eq!(a, keyer().client(b"z9hG4bK1", b"NOTIFY"));
        assert_ne!(a, keyer().client(b"z9hG4bK1", b"OPTIONS"));
        assert_ne!(a, keyer().client(b"z9hG4bK2", b"NOTIFY"));
    }
}
