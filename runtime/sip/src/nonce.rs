//! Nonces that any node of the cluster can check and that nothing is stored for, and the small memory that stops a
//! captured answer from being used twice (RFC 7616 sections 3.3, 3.4 and 5.4; DESIGN section 7; hot-path.md "Digest").
//!
//! A nonce is 30 ASCII characters: 8 hex digits of time, 8 of salt, 14 of SipHash-2-4-128 over time and salt, truncated to 84 bits
//! and written six bits to a letter; the realm is in the key (docs/decisions/0007: a keyed hash made for short messages, at a quarter of an HMAC's price). The key is shared by the cluster, so a phone that fails over is not challenged anew for
//! having met a stranger. This file reads no clock and no dice: time and salt are parameters.

use crate::digest::{hex_into, same, unhex};
use core::fmt;
use sha2::{Digest, Sha256};
use siphasher::sip128::SipHasher24;

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

    /// Makes a nonce. `salt` is what tells two nonces of one second apart. About 30 ns.
    pub fn issue(&self, unix_secs: u32, salt: u32) -> [u8; NONCE_LEN] {
        let mut nonce = [0; NONCE_LEN];
        let (head, tail) = nonce.split_at_mut(STAMP_LEN);
        let stamp = u64::from(unix_secs) << 32 | u64::from(salt);
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
    /// Ours and young enough: `time` in seconds since 1970 and `id` (its salt) name it for [`NcWindow`].
    Fresh {
        /// When it was issued.
        time: u32,
        /// Which one of that second.
        id: u32,
    },
    /// Ours but too old, or further ahead than clocks may differ: challenge with `stale=true`, the phone repeats by itself.
    Stale,
    /// Not ours, or of another realm: challenge with `stale=false`.
    Forged,
}

/// The last nonce a device used and which of its counters: 16 bytes in the device's slot.
///
/// Ask it only *after* the answer has verified: it moves on with whatever it is told.
/// Nonces are ordered by (time, id), so of two issued in one second the second-ranking one is refused as old once the
/// other is known. It has to be an order: if either replaced the other, a listener could replay the two in turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct NcWindow {
    /// When the newest nonce was issued; 0 when none was used yet.
    pub nonce_time: u32,
    /// Which one of that second.
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
    /// A newer nonce is in use: challenge with `stale=true`. Nothing has changed.
    OldNonce,
}

impl NcWindow {
    /// From a replicated row, which carries no bits: every counter up to `nc_max` counts as used.
    pub const fn taken_over(nonce_time: u32, nonce_id: u32, nc_max: u32) -> Self {
        Self { nonce_time, nonce_id, nc_max, bits: u32::MAX }
    }

    /// Takes one verified use of a nonce.
    pub fn accept(&mut self, nonce_time: u32, nonce_id: u32, nc: u32) -> NcVerdict {
        let (known, given) = ((self.nonce_time, self.nonce_id), (nonce_time, nonce_id));
        if nc == 0 {
            return NcVerdict::Replayed;
        }
        if given < known {
            return NcVerdict::OldNonce;
        }
        if given > known {
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

    /// The time to put into the next nonce for this device: now, or just after the last nonce it used if that came from
    /// a node with a faster clock (or in this very second), because an older one would be refused as old.
    pub const fn next_nonce_time(&self, now_secs: u32) -> u32 {
        let after = self.nonce_time.saturating_add(1);
        // Never beyond what other nodes still take for fresh.
        if after > now_secs && after <= now_secs.saturating_add(CLOCK_SKEW_SECS) { after } else { now_secs }
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
        assert_eq!(window.accept(NOW, 5, 9), NcVerdict::Accepted);
        assert_eq!(window.accept(NOW + 1, 2, 1), NcVerdict::Accepted);
        assert_eq!(window.accept(NOW, 5, 10), NcVerdict::OldNonce);
        assert_eq!(window.accept(NOW + 1, 1, 1), NcVerdict::OldNonce, "same second, lower id");
        assert_eq!(window.accept(NOW + 1, 3, 1), NcVerdict::Accepted, "same second, higher id");
        assert_eq!(window.accept(NOW + 1, 2, 2), NcVerdict::OldNonce, "two of one second cannot be played in turn");
        assert_eq!(window, NcWindow { nonce_time: NOW + 1, nonce_id: 3, nc_max: 1, bits: 1 });
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
    fn the_next_nonce_is_newer_than_the_last_used_one_but_never_too_far_ahead() {
        let at = |t| NcWindow { nonce_time: t, ..NcWindow::default() }.next_nonce_time(NOW);
        assert_eq!((at(0), at(NOW - 1), at(NOW), at(NOW + 20)), (NOW, NOW, NOW + 1, NOW + 21));
        assert_eq!((at(NOW + CLOCK_SKEW_SECS), at(u32::MAX)), (NOW, NOW));
    }

    #[test]
    fn the_window_is_sixteen_bytes() {
        assert_eq!(size_of::<NcWindow>(), 16);
    }
}
