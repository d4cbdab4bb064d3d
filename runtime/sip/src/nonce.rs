//! Nonces that any node of the cluster can check and that nothing is stored for, and the small memory that stops a
//! captured answer from being used twice (RFC 7616 sections 3.3, 3.4 and 5.4; DESIGN section 7; hot-path.md "Digest").
//!
//! A nonce is 30 ASCII characters: 8 hex digits of time, 8 of id, 14 of SipHash-2-4-128 over time and id, truncated to 84 bits
//! and written six bits to a letter; the realm is in the key (docs/decisions/0007: a keyed hash made for short messages, at a quarter of an HMAC's price). The key is shared by the cluster, so a phone that fails over is not challenged anew for
//! having met a stranger. The id names the [`Issuer`]; nonces have an order within one issuer and none between two, because the clocks of
//! two nodes may be any distance apart. This file reads no clock and no dice: time is a parameter.

use crate::digest::{hex_into, same, unhex};
use core::fmt;
use sha2::{Digest, Sha256};
use siphasher::sip128::SipHasher24;
use tandem_base::Time;

/// Length of a nonce in characters. With the cnonce of eight that most phones send, what is hashed for an answer just fits two blocks of
/// MD5 instead of three.
pub const NONCE_LEN: usize = STAMP_LEN + MAC_LEN;
const STAMP_LEN: usize = 16;
const MAC_LEN: usize = 14;
/// Six bits each; none of them needs an escape between quotes.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// How far ahead of this node's clock another node's may be, in seconds: its nonces are still fresh here.
pub const CLOCK_SKEW_SECS: u32 = 30;

/// How many counters behind the highest one are remembered singly: requests of one phone may overtake each other by so much.
pub const NC_WINDOW: u32 = 32;

/// The cluster's nonce key for one realm, ready for use. `Debug` does not show it.
#[derive(Clone)]
pub struct NonceKey(SipHasher24);

impl NonceKey {
    /// From the cluster's secret; any length, 32 random bytes are right.
    pub fn new(secret: &[u8], realm: &[u8]) -> Self {
        // Not the secret itself: what else it may serve for has other words in front. Its length keeps it apart from the realm.
        let length = (secret.len() as u64).to_be_bytes();
        let pieces = [b"tandem nonce key: ", &length[..], secret, realm];
        let digest = pieces.iter().fold(Sha256::new(), |sha, piece| sha.chain_update(piece)).finalize();
        let mut key = [0; 16];
        key.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Self(SipHasher24::new_with_key(&key))
    }

    /// Makes a nonce of this time and id; see [`Issuer::next_id`]. About 30 ns.
    pub fn issue(&self, unix_secs: u32, id: u32) -> [u8; NONCE_LEN] {
        let mut nonce = [0; NONCE_LEN];
        let (head, tail) = nonce.split_at_mut(STAMP_LEN);
        let stamp = u64::from(unix_secs) << 32 | u64::from(id);
        hex_into(&stamp.to_be_bytes(), head);
        tail.copy_from_slice(&self.mac(stamp));
        nonce
    }

    /// Whether a nonce is one of the cluster's for the key's realm, and of what age. About 30 ns; constant time in the MAC.
    pub fn check(&self, nonce: &[u8], now_secs: u32, lifetime_secs: u32) -> NonceState {
        let Some((head, mac)) = nonce.split_at_checked(STAMP_LEN) else { return NonceState::Forged };
        let Some(stamp) = unhex::<8>(head) else { return NonceState::Forged };
        let stamp = u64::from_be_bytes(stamp);
        if !same(&self.mac(stamp), mac) {
            return NonceState::Forged;
        }
        let (time, id) = ((stamp >> 32) as u32, stamp as u32);
        if time > now_secs.saturating_add(CLOCK_SKEW_SECS) || now_secs.saturating_sub(time) > lifetime_secs {
            return NonceState::Stale;
        }
        NonceState::Fresh { time, id }
    }

    /// The letters that prove who made the nonce: seven from each half of the hash.
    fn mac(&self, stamp: u64) -> [u8; MAC_LEN] {
        let hash = self.0.hash(&stamp.to_be_bytes());
        let letter = |n: usize| {
            let half = if n < MAC_LEN / 2 { hash.h1 } else { hash.h2 };
            LETTERS.get((half >> (6 * (n % (MAC_LEN / 2)))) as usize & 63).copied().unwrap_or_default()
        };
        core::array::from_fn(letter)
    }
}

impl fmt::Debug for NonceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NonceKey(secret)")
    }
}

/// What [`NonceKey::check`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonceState {
    /// Ours and young enough: `time` in seconds since 1970 and `id` name it for [`NcWindow`].
    Fresh {
        /// When it was issued, by its issuer's clock.
        time: u32,
        /// Whose it is, and which one of that second.
        id: u32,
    },
    /// Ours but too old, or further ahead than clocks may differ: challenge with `stale=true`, the phone repeats by itself.
    Stale,
    /// Not ours, or of another realm: challenge with `stale=false`.
    Forged,
}

/// The low bits of an id say whose it is.
const MARK_BITS: u32 = 12;
/// Of these the lowest say which node: a cluster has at most 64 members. The rest say which of its lives.
const NODE_BITS: u32 = 6;
/// Most nonces that bear the time of one second; a node cannot make as many.
const NUMBER_MAX: u32 = u32::MAX >> MARK_BITS;

/// Whose an id is.
pub const fn issuer_of(id: u32) -> u16 {
    (id & ((1 << MARK_BITS) - 1)) as u16
}
/// Whether two ids are of one issuer.
pub const fn same_issuer(a: u32, b: u32) -> bool {
    issuer_of(a) == issuer_of(b)
}

/// One life of one node as a maker of nonces: each is newer than the one before, whatever is done to the wall clock.
///
/// Its clock goes with the monotonic one and is set forward when the wall clock is, so that nonces of nodes whose clocks are right are near
/// each other; it is never set back.
#[derive(Clone, Copy, Debug)]
pub struct Issuer {
    mark: u16,
    /// Its clock minus the monotonic one, in milliseconds.
    offset: u64,
    /// Its clock.
    secs: u32,
    /// Time and number of the last nonce.
    last: (u32, u32),
    /// Nonces from before this second are none of this issuer's any more.
    floor: u32,
}

impl Issuer {
    /// A node's life begins: number `node` of the cluster, at `now`, when the wall clock shows `unix_millis`. Nonces of its earlier lives are
    /// another issuer's: what was used of them is not known any more.
    pub fn new(node: u16, life: u64, now: Time, unix_millis: u64) -> Self {
        let [life, ..] = life.to_le_bytes();
        let mark = issuer_of(u32::from(life) << NODE_BITS | u32::from(node) & ((1 << NODE_BITS) - 1));
        let mut made = Self { mark, offset: 0, secs: 0, last: (0, NUMBER_MAX), floor: 0 };
        made.advance(now, unix_millis);
        (made.floor, made.last.0) = (made.secs, made.secs.saturating_sub(1));
        made
    }
    /// Time goes on.
    pub fn advance(&mut self, now: Time, unix_millis: u64) {
        let monotonic = now.as_millis();
        self.offset = self.offset.max(unix_millis.saturating_sub(monotonic));
        self.secs = u32::try_from(monotonic.saturating_add(self.offset) / 1_000).unwrap_or(u32::MAX);
    }
    /// What its clock shows, in seconds since 1970: what ages of nonces are judged by. Never less than the time of its last nonce.
    pub const fn secs(&self) -> u32 {
        if self.secs < self.last.0 { self.last.0 } else { self.secs }
    }
    /// Time and id of the next nonce.
    pub fn next_id(&mut self) -> (u32, u32) {
        let (time, number) = self.last;
        self.last = if self.secs > time {
            (self.secs, 0)
        } else if number < NUMBER_MAX {
            (time, number + 1)
        } else {
            // So many in one second: the rest are dated ahead.
            (time.saturating_add(1), 0)
        };
        let (time, number) = self.last;
        (time, number << MARK_BITS | u32::from(self.mark))
    }
    /// Whether an id has this issuer's mark: no other node's has, and of the lives of one node one in 64.
    pub const fn is_marked(&self, id: u32) -> bool {
        same_issuer(id, self.mark as u32)
    }
    /// Whether this very issuer made the nonce with this time and id, and knows of every use of it.
    pub const fn made(&self, time: u32, id: u32) -> bool {
        self.is_marked(id) && self.floor <= time && time <= self.last.0
    }
    /// What was used of nonces up to and with this second is not known any more.
    pub fn forget_up_to(&mut self, secs: u32) {
        self.floor = self.floor.max(secs.saturating_add(1));
    }
}

/// The last nonce a device used and which of its counters: 16 bytes in the device's slot.
///
/// Ask it only *after* the answer has verified: it moves on with whatever it is told.
/// Nonces of one issuer are ordered by (time, id): once the newer of two is known the older is refused. It has to be an order: if either
/// replaced the other, a listener could replay the two in turn. Between two issuers there is none, so whoever asks must know which nonce of
/// another issuer may follow (docs/decisions/0007).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct NcWindow {
    /// When the newest nonce was issued, by its issuer's clock; 0 when none was used yet.
    pub nonce_time: u32,
    /// Whose it is, and which one of that second.
    pub nonce_id: u32,
    /// The highest counter seen with it.
    pub nc_max: u32,
    /// Which counters were seen: bit *i* is `nc_max - i`.
    pub bits: u32,
}

/// What [`NcWindow::accept`] decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NcVerdict {
    /// First use of this counter; the window has moved.
    Accepted,
    /// Seen before, or too far behind the highest to know, or zero: challenge with `stale=true`. Nothing has changed.
    Replayed,
    /// A newer nonce of the same issuer is in use: challenge with `stale=true`. Nothing has changed.
    OldNonce,
}

impl NcWindow {
    /// From a replicated row, which carries no bits: every counter up to `nc_max` counts as used.
    pub const fn taken_over(nonce_time: u32, nonce_id: u32, nc_max: u32) -> Self {
        Self { nonce_time, nonce_id, nc_max, bits: u32::MAX }
    }
    /// Of a nonce that is good for nothing any more.
    #[must_use]
    pub const fn burnt(self) -> Self {
        Self::taken_over(self.nonce_time, self.nonce_id, u32::MAX)
    }
    /// Whether every counter of its nonce is used.
    pub const fn is_burnt(&self) -> bool {
        self.nc_max == u32::MAX && self.bits == u32::MAX
    }
    /// Whether it is of this nonce.
    pub const fn names(&self, nonce_time: u32, nonce_id: u32) -> bool {
        self.nonce_time == nonce_time && self.nonce_id == nonce_id
    }

    /// Takes one verified use of a nonce.
    pub fn accept(&mut self, nonce_time: u32, nonce_id: u32, nc: u32) -> NcVerdict {
        let (known, given) = ((self.nonce_time, self.nonce_id), (nonce_time, nonce_id));
        if nc == 0 {
            return NcVerdict::Replayed;
        }
        if given != known {
            let nothing_known = self.nonce_time == 0;
            if nothing_known || !same_issuer(nonce_id, self.nonce_id) {
                // What else was used of it is not known here: every lower counter counts as used.
                let bits = if nothing_known { 1 } else { u32::MAX };
                *self = Self { nonce_time, nonce_id, nc_max: nc, bits };
                return NcVerdict::Accepted;
            }
            if given < known {
                return NcVerdict::OldNonce;
            }
            *self = Self { nonce_time, nonce_id, nc_max: nc, bits: 1 };
            return NcVerdict::Accepted;
        }
        if let Some(ahead @ 1..) = nc.checked_sub(self.nc_max) {
            self.bits = self.bits.checked_shl(ahead).unwrap_or(0) | 1;
            self.nc_max = nc;
            return NcVerdict::Accepted;
        }
        match 1u32.checked_shl(self.nc_max.saturating_sub(nc)) {
            Some(bit) if self.bits & bit == 0 => {
                self.bits |= bit;
                NcVerdict::Accepted
            }
            _ => NcVerdict::Replayed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u32 = 1_700_000_000;
    const LIFE: u32 = 300;

    fn key() -> NonceKey {
        NonceKey::new(b"the secret of the cluster", b"tandem")
    }

    #[test]
    fn a_nonce_is_fresh_on_every_node_with_the_key_and_names_itself() {
        let nonce = key().issue(NOW, 0xdead_beef);
        assert!(nonce.starts_with(b"6553f100deadbeef") && nonce[STAMP_LEN..].iter().all(|b| LETTERS.contains(b)));
        let fresh = NonceState::Fresh { time: NOW, id: 0xdead_beef };
        assert_eq!(key().check(&nonce, NOW, LIFE), fresh);
        assert_eq!(key().check(&nonce, NOW + LIFE, LIFE), fresh);
        assert_eq!(key().check(&nonce, NOW - CLOCK_SKEW_SECS, LIFE), fresh, "clocks differ");
        assert_ne!(nonce, key().issue(NOW, 0xdead_bee0));
    }

    #[test]
    fn an_old_nonce_and_one_from_the_far_future_are_stale() {
        let nonce = key().issue(NOW, 1);
        assert_eq!(key().check(&nonce, NOW + LIFE + 1, LIFE), NonceState::Stale);
        assert_eq!(key().check(&nonce, NOW - CLOCK_SKEW_SECS - 1, LIFE), NonceState::Stale);
        assert_eq!(key().check(&nonce, u32::MAX, LIFE), NonceState::Stale);
        let last = key().issue(u32::MAX, 1);
        assert!(matches!(key().check(&last, u32::MAX, LIFE), NonceState::Fresh { .. }));
    }

    #[test]
    fn every_other_text_is_forged() {
        let nonce = key().issue(NOW, 7);
        let forged = |n: &[u8]| key().check(n, NOW, LIFE) == NonceState::Forged;
        for (secret, realm) in
            [(&b"the secret of the cluster"[..], &b"other realm"[..]), (b"other", b"tandem"), (b"", b"")]
        {
            assert_eq!(NonceKey::new(secret, realm).check(&nonce, NOW, LIFE), NonceState::Forged);
        }
        for at in 0..NONCE_LEN {
            for put in [b'0', b'1', b'x', 0xff] {
                let mut changed = nonce;
                changed[at] = put;
                assert!(changed == nonce || forged(&changed), "position {at}");
            }
            assert!(forged(&nonce[..at]));
        }
        assert!(forged(&[&nonce[..], b"0"].concat()));
    }

    #[test]
    fn a_key_may_have_any_length_and_is_not_printed() {
        for len in [0, 1, 32, 64, 65, 1000] {
            let key = NonceKey::new(&vec![7; len], b"");
            let nonce = key.issue(NOW, 1);
            assert!(matches!(key.check(&nonce, NOW, LIFE), NonceState::Fresh { .. }));
            assert_eq!(format!("{key:?}"), "NonceKey(secret)");
        }
    }

    #[test]
    fn the_mac_is_siphash_2_4_as_its_authors_publish_it() {
        // The reference vector for key 00 01 .. 0f and message 00 01 .. 07, as bytes 3b62a9ba6258f561 0f83e264f31497b4.
        let key: [u8; 16] = core::array::from_fn(|i| i as u8);
        let key = NonceKey(SipHasher24::new_with_key(&key));
        let published = [0x61f5_5862_baa9_623b_u64, 0xb497_14f3_64e2_830f];
        let letters: Vec<u8> =
            published.iter().flat_map(|half| (0..7).map(move |n| LETTERS[(half >> (6 * n)) as usize & 63])).collect();
        assert_eq!(key.mac(0x0001_0203_0405_0607).to_vec(), letters);
    }

    #[test]
    fn each_counter_is_accepted_once_in_any_order_within_the_window() {
        let mut window = NcWindow::default();
        for nc in [1, 2, 5, 3, 4, 40, 9, 39] {
            assert_eq!(window.accept(NOW, 1, nc), NcVerdict::Accepted, "{nc}");
            assert_eq!(window.accept(NOW, 1, nc), NcVerdict::Replayed, "{nc} again");
        }
        assert_eq!(window.accept(NOW, 1, 8), NcVerdict::Replayed, "32 behind the highest is unknown");
        assert_eq!(window.accept(NOW, 1, 0), NcVerdict::Replayed, "counting starts at one");
    }

    #[test]
    fn the_window_agrees_with_a_plain_list_of_what_was_seen() {
        let (mut window, mut seen, mut dice) = (NcWindow::default(), Vec::new(), 12_345u32);
        for _ in 0..20_000 {
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let nc = (seen.iter().max().copied().unwrap_or(1u32) + (dice >> 16) % 80).saturating_sub(40);
            let high = seen.iter().max().copied().unwrap_or(0);
            let new = nc > 0 && !seen.contains(&nc) && nc + NC_WINDOW > high;
            assert_eq!(window.accept(NOW, 1, nc) == NcVerdict::Accepted, new, "{nc} after {high}");
            if new {
                seen.push(nc);
                if seen.len() > 200 {
                    seen.remove(0);
                }
            }
        }
    }

    #[test]
    fn the_highest_counters_neither_wrap_nor_reopen_the_window() {
        let mut window = NcWindow::default();
        for nc in [1, u32::MAX - 1, u32::MAX] {
            assert_eq!(window.accept(NOW, 1, nc), NcVerdict::Accepted);
        }
        for nc in [1, 2, u32::MAX - 1, u32::MAX] {
            assert_eq!(window.accept(NOW, 1, nc), NcVerdict::Replayed);
        }
    }

    #[test]
    fn a_newer_nonce_starts_anew_and_an_older_one_is_never_taken_again() {
        let mut window = NcWindow::default();
        let id = |number: u32| number << MARK_BITS | 7;
        assert_eq!(window.accept(NOW, id(5), 9), NcVerdict::Accepted);
        assert_eq!(window.accept(NOW + 1, id(2), 1), NcVerdict::Accepted);
        assert_eq!(window.accept(NOW, id(5), 10), NcVerdict::OldNonce);
        assert_eq!(window.accept(NOW + 1, id(1), 1), NcVerdict::OldNonce, "same second, lower id");
        assert_eq!(window.accept(NOW + 1, id(3), 1), NcVerdict::Accepted, "same second, higher id");
        assert_eq!(window.accept(NOW + 1, id(2), 2), NcVerdict::OldNonce, "two of one second cannot be played in turn");
        assert_eq!(window, NcWindow { nonce_time: NOW + 1, nonce_id: id(3), nc_max: 1, bits: 1 });
    }

    #[test]
    fn a_nonce_of_another_issuer_follows_whatever_its_time_and_its_lower_counts_are_used() {
        let mut window = NcWindow::default();
        assert_eq!(window.accept(NOW + 1_000, 1, 9), NcVerdict::Accepted);
        assert_eq!(window.accept(NOW, 2, 4), NcVerdict::Accepted, "that clock is a quarter of an hour behind");
        assert_eq!(window.accept(NOW, 2, 3), NcVerdict::Replayed);
        assert_eq!(window.accept(NOW, 2, 5), NcVerdict::Accepted);
        assert!(same_issuer(1 << MARK_BITS | 9, 9) && !same_issuer(9, 10) && !same_issuer(0x100, 0));
    }

    #[test]
    fn each_nonce_of_an_issuer_is_newer_than_the_one_before_whatever_the_wall_clock_does() {
        let unix = u64::from(NOW) * 1_000;
        let at = |secs: u64| Time::from_secs(secs);
        let mut issuer = Issuer::new(3, 0x1_02, at(50), unix);
        assert_eq!(issuer.next_id(), (NOW, 0x83), "node 3, life 2 of 64");
        assert_eq!(issuer.next_id(), (NOW, 1 << MARK_BITS | 0x83));
        let mut before = issuer.next_id();
        // Set back by an hour, forward by ten minutes, back again.
        for (now, wall) in [(51, unix - 3_600_000), (52, unix + 600_000), (53, unix), (54, unix)] {
            issuer.advance(at(now), wall);
            let next = issuer.next_id();
            assert!(next > before, "{next:?} after {before:?}");
            before = next;
        }
        assert_eq!(issuer.secs(), NOW + 602, "the furthest it was ever shown, and what has passed since");
        for _ in 0..3 << 20 {
            let next = issuer.next_id();
            assert!(next > before && same_issuer(next.1, 0x83));
            before = next;
        }
        // More than a node can make in a second are dated ahead, and young enough for itself all the same.
        assert_eq!((before.0, issuer.secs()), (NOW + 605, NOW + 605));
    }

    #[test]
    fn an_issuer_knows_its_own_nonces_and_no_others() {
        let unix = u64::from(NOW) * 1_000;
        let mut issuer = Issuer::new(3, 1, Time::ZERO, unix);
        let (time, id) = issuer.next_id();
        assert!(issuer.made(time, id));
        assert!(!issuer.made(time - 1, id), "before it began");
        assert!(!issuer.made(time + 1, id), "after the last one that it made");
        assert!(!Issuer::new(4, 1, Time::ZERO, unix).made(time, id), "another node's");
        assert!(!Issuer::new(3, 2, Time::ZERO, unix).made(time, id), "another life's");
        issuer.forget_up_to(time);
        assert!(!issuer.made(time, id), "what was used of it is not known any more");
        issuer.advance(Time::from_secs(1), unix + 1_000);
        let (time, id) = issuer.next_id();
        assert!(issuer.made(time, id));
    }

    #[test]
    fn after_a_takeover_everything_up_to_the_replicated_counter_is_used() {
        let mut window = NcWindow::taken_over(NOW, 1, 7);
        for nc in 1..=7 {
            assert_eq!(window.accept(NOW, 1, nc), NcVerdict::Replayed);
        }
        assert_eq!(window.accept(NOW, 1, 9), NcVerdict::Accepted);
        assert_eq!(window.accept(NOW, 1, 8), NcVerdict::Accepted);
        assert_eq!(window.accept(NOW, 1, 7), NcVerdict::Replayed);
    }

    #[test]
    fn the_window_is_sixteen_bytes() {
        assert_eq!(size_of::<NcWindow>(), 16);
    }
}
