//! The server's memory of requests other than INVITE whose answer must not be made twice (RFC 3261 section 17.2.2):
//! while the answer is being made a retransmission is absorbed, afterwards it gets the same bytes again until Timer J.
//!
//! Answers lie as wire bytes one behind the other in chunks; names lie in one queue ordered by age, so expiry is a
//! `pop_front` and nothing is made or freed per message. Both have a bound: when it is reached the oldest go, are counted,
//! and a later retransmission of theirs is served as a new request. It must never grow beyond its [`Limits`].
//! REGISTER does not need it: its answer is a function of request and slot (hot-path.md).

use super::key::TransactionKey;
use super::timer::timer_j;
use core::hash::{BuildHasherDefault, Hasher};
use std::collections::VecDeque;
use tandem_base::Time;

/// Default for [`Limits::entries`]: 1,500 requests a second, each remembered for 32 s.
pub const MAX_ENTRIES: usize = 50_000;
/// Default for [`Limits::bytes`].
pub const MAX_BYTES: usize = 32 * 1024 * 1024;
/// The longest answer that is kept: what fits into one datagram. Also the size of a chunk.
pub const MAX_ANSWER: usize = 64 * 1024;

/// The bounds of one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many requests are remembered; a request counts once when it begins and once when it is answered.
    pub entries: usize,
    /// Bytes of answers, rounded to whole chunks of [`MAX_ANSWER`], at least two of them.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: MAX_ENTRIES, bytes: MAX_BYTES }
    }
}

/// What the table knows of a request that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen<'a> {
    /// Nothing: serve it.
    New,
    /// Its answer is being made: drop this copy ("Trying", 17.2.2).
    Busy,
    /// It was answered: send exactly these bytes again ("Completed").
    Answered(&'a [u8]),
}

/// What became of an answer that was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Remembered until Timer J.
    Yes,
    /// On a stream nothing is retransmitted, so nothing is remembered (Timer J = 0).
    NotNeeded,
    /// This request has its answer already; the first one stays (17.2.2: others "MUST be discarded").
    Already,
    /// Longer than [`MAX_ANSWER`]: not remembered, counted in [`ServerTransactions::refused`].
    TooLong,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: TransactionKey,
    expires: Time,
    /// The chunk that holds the answer; for a request in progress the newest chunk there was.
    chunk: u64,
    offset: u32,
    /// `None` while the answer is being made.
    len: Option<u32>,
}

/// The table. One per owner of requests (a host, a supervisor): it has no lock.
#[derive(Debug)]
pub struct ServerTransactions {
    limits: Limits,
    /// Oldest first; an entry's number is its index plus `first_entry`. A key that was entered anew leaves its old entry
    /// behind, which the index no longer points to.
    entries: VecDeque<Entry>,
    first_entry: u64,
    index: Index,
    chunks: VecDeque<Vec<u8>>,
    first_chunk: u64,
    spare: Option<Vec<u8>>,
    evicted: u64,
    refused: u64,
}

#[expect(clippy::disallowed_types, reason = "only looked up, never iterated; the key is a keyed hash already")]
type Index = std::collections::HashMap<TransactionKey, u64, BuildHasherDefault<AsIs>>;

impl Default for ServerTransactions {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl ServerTransactions {
    /// An empty table; the index is reserved to its bound, so that it never stops to grow (hot-path.md, pitfall 7).
    pub fn new(limits: Limits) -> Self {
        let limits = Limits { entries: limits.entries.max(1), bytes: limits.bytes.max(2 * MAX_ANSWER) };
        Self {
            limits,
            entries: VecDeque::new(),
            first_entry: 0,
            index: Index::with_capacity_and_hasher(limits.entries, BuildHasherDefault::default()),
            chunks: VecDeque::new(),
            first_chunk: 0,
            spare: None,
            evicted: 0,
            refused: 0,
        }
    }

    /// What is known of a request.
    pub fn look_up(&self, key: TransactionKey) -> Seen<'_> {
        let Some(entry) = self.index.get(&key).and_then(|n| self.entry(*n)) else { return Seen::New };
        let Some(len) = entry.len else { return Seen::Busy };
        let bytes = usize::try_from(entry.chunk - self.first_chunk).ok().and_then(|i| self.chunks.get(i));
        let from = entry.offset as usize;
        bytes.and_then(|b| b.get(from..from + len as usize)).map_or(Seen::New, Seen::Answered)
    }

    /// Notes that a request is being served by somebody who will answer later. It is forgotten after Timer J's time if
    /// no answer comes. `false` when it is known already: then look it up.
    pub fn begin(&mut self, now: Time, key: TransactionKey) -> bool {
        if self.look_up(key) != Seen::New {
            return false;
        }
        self.make_room();
        let chunk = self.newest_chunk();
        self.enter(Entry { key, expires: now + timer_j(false), chunk, offset: 0, len: None });
        true
    }

    /// Remembers the final answer to a request, begun or not. `reliable`: it came over a stream.
    pub fn answer(&mut self, now: Time, key: TransactionKey, reliable: bool, wire: &[u8]) -> Kept {
        if matches!(self.look_up(key), Seen::Answered(_)) {
            return Kept::Already;
        }
        if reliable {
            self.index.remove(&key);
            return Kept::NotNeeded;
        }
        if wire.len() > MAX_ANSWER {
            self.index.remove(&key);
            self.refused += 1;
            return Kept::TooLong;
        }
        self.make_room();
        let offset = self.append(wire);
        let (chunk, len) = (self.newest_chunk(), Some(wire.len() as u32));
        self.enter(Entry { key, expires: now + timer_j(false), chunk, offset, len });
        Kept::Yes
    }

    /// Forgets what is due.
    pub fn tick(&mut self, now: Time) {
        while self.entries.front().is_some_and(|e| e.expires <= now) {
            self.drop_oldest();
        }
    }

    /// When the oldest entry is due; nothing is wrong if [`ServerTransactions::tick`] comes later.
    pub fn deadline(&self) -> Option<Time> {
        self.entries.front().map(|e| e.expires)
    }

    /// How many requests are remembered.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Bytes of the chunks in use.
    pub fn bytes(&self) -> usize {
        self.chunks.len() * MAX_ANSWER
    }

    /// How many requests were forgotten before their time because a bound was reached. Ever growing: a metric.
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// How many answers were too long to be remembered. Ever growing: a metric.
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    fn entry(&self, number: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(number.checked_sub(self.first_entry)?).ok()?)
    }

    fn newest_chunk(&self) -> u64 {
        self.first_chunk + (self.chunks.len() as u64).saturating_sub(1)
    }

    /// Before bytes are appended: dropping the last entry frees every chunk.
    fn make_room(&mut self) {
        while self.entries.len() >= self.limits.entries {
            self.evict_oldest();
        }
    }

    fn enter(&mut self, entry: Entry) {
        self.index.insert(entry.key, self.first_entry + self.entries.len() as u64);
        self.entries.push_back(entry);
    }

    /// Puts bytes behind the newest answer, in a fresh chunk if they do not fit; the offset within the chunk.
    fn append(&mut self, wire: &[u8]) -> u32 {
        if self.chunks.back().is_none_or(|c| c.len() + wire.len() > MAX_ANSWER) {
            while self.chunks.len() >= self.limits.bytes / MAX_ANSWER && !self.entries.is_empty() {
                self.evict_oldest();
            }
            self.chunks.push_back(self.spare.take().unwrap_or_else(|| Vec::with_capacity(MAX_ANSWER)));
        }
        let Some(chunk) = self.chunks.back_mut() else { return 0 };
        let offset = chunk.len() as u32;
        chunk.extend_from_slice(wire);
        offset
    }

    fn evict_oldest(&mut self) {
        self.evicted += u64::from(self.drop_oldest());
    }

    /// Forgets the oldest entry; whether it was still in force.
    fn drop_oldest(&mut self) -> bool {
        let Some(entry) = self.entries.pop_front() else { return false };
        let in_force = self.index.get(&entry.key) == Some(&self.first_entry);
        if in_force {
            self.index.remove(&entry.key);
        }
        self.first_entry += 1;
        let oldest = self.entries.front().map_or(u64::MAX, |e| e.chunk);
        while self.first_chunk < oldest {
            let Some(mut chunk) = self.chunks.pop_front() else { break };
            self.first_chunk += 1;
            chunk.clear();
            self.spare = Some(chunk);
        }
        in_force
    }
}

/// Takes the word it is given as the hash.
#[derive(Debug, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        // Not reached by `TransactionKey`; any sum of the bytes is correct, only slower.
        self.0 = bytes.iter().fold(self.0, |sum, b| sum.rotate_left(8) ^ u64::from(*b));
    }
    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::key::Keyer;

    fn key(n: u32) -> TransactionKey {
        Keyer::new([1; 16]).client(&n.to_be_bytes(), b"OPTIONS")
    }
    fn at(secs: u64) -> Time {
        Time::from_secs(secs)
    }
    fn small(entries: usize) -> ServerTransactions {
        ServerTransactions::new(Limits { entries, bytes: 0 })
    }

    #[test]
    fn a_retransmission_is_absorbed_then_answered_with_the_same_bytes_until_timer_j() {
        let mut table = ServerTransactions::default();
        assert_eq!(table.look_up(key(1)), Seen::New);
        assert!(table.begin(at(0), key(1)));
        assert!(!table.begin(at(0), key(1)));
        assert_eq!(table.look_up(key(1)), Seen::Busy);
        assert_eq!(table.answer(at(10), key(1), false, b"SIP/2.0 200 OK"), Kept::Yes);
        assert_eq!(table.answer(at(11), key(1), false, b"SIP/2.0 500 No"), Kept::Already);
        assert!(!table.begin(at(11), key(1)));
        table.tick(at(41));
        assert_eq!(
            table.look_up(key(1)),
            Seen::Answered(b"SIP/2.0 200 OK"),
            "the begun entry ended, the answer did not"
        );
        assert_eq!(table.deadline(), Some(at(42)));
        table.tick(at(42));
        assert_eq!((table.look_up(key(1)), table.len(), table.bytes()), (Seen::New, 0, 0));
        assert_eq!((table.evicted(), table.deadline()), (0, None));
    }

    #[test]
    fn on_a_stream_nothing_is_remembered() {
        let mut table = ServerTransactions::default();
        assert!(table.begin(at(0), key(1)));
        assert_eq!(table.answer(at(0), key(1), true, b"200"), Kept::NotNeeded);
        assert_eq!(table.look_up(key(1)), Seen::New);
        assert!(table.is_empty());
    }

    #[test]
    fn a_request_that_is_never_answered_is_forgotten_in_time() {
        let mut table = ServerTransactions::default();
        assert!(table.begin(at(0), key(1)));
        table.tick(at(31));
        assert_eq!(table.look_up(key(1)), Seen::Busy);
        table.tick(at(32));
        assert_eq!(table.look_up(key(1)), Seen::New);
    }

    #[test]
    fn at_the_bound_of_entries_the_oldest_go_and_are_counted() {
        let mut table = small(3);
        for n in 0..5 {
            assert_eq!(table.answer(at(0), key(n), false, &n.to_be_bytes()), Kept::Yes);
        }
        assert_eq!((table.len(), table.evicted()), (3, 2));
        for n in 0..5u32 {
            let bytes = n.to_be_bytes();
            let expected = if n < 2 { Seen::New } else { Seen::Answered(&bytes) };
            assert_eq!(table.look_up(key(n)), expected, "{n}");
        }
    }

    #[test]
    fn a_table_of_one_keeps_the_newest() {
        let mut table = small(1);
        for n in 0..3u32 {
            assert_eq!(table.answer(at(0), key(n), false, &n.to_be_bytes()), Kept::Yes);
            assert_eq!(table.look_up(key(n)), Seen::Answered(&n.to_be_bytes()));
        }
        assert!(table.begin(at(0), key(9)));
        assert_eq!((table.look_up(key(9)), table.len(), table.evicted()), (Seen::Busy, 1, 3));
    }

    #[test]
    fn an_entry_that_was_replaced_by_its_answer_is_no_loss_when_it_goes() {
        let mut table = small(2);
        assert!(table.begin(at(0), key(1)));
        assert_eq!(table.answer(at(0), key(1), false, b"a"), Kept::Yes);
        assert_eq!(table.answer(at(0), key(2), false, b"b"), Kept::Yes);
        assert_eq!((table.evicted(), table.look_up(key(1))), (0, Seen::Answered(b"a")));
    }

    #[test]
    fn at_the_bound_of_bytes_the_oldest_go_whatever_their_number() {
        let mut table = small(1_000);
        let answer = vec![b'x'; 30_000];
        for n in 0..20 {
            assert_eq!(table.answer(at(0), key(n), false, &answer), Kept::Yes);
            assert!(table.bytes() <= 2 * MAX_ANSWER, "{n}");
        }
        assert_eq!(table.look_up(key(19)), Seen::Answered(&answer));
        assert_eq!(table.look_up(key(0)), Seen::New);
        assert_eq!(table.len() as u64 + table.evicted(), 20);
        assert!(table.len() >= 2);
    }

    #[test]
    fn an_answer_that_fits_no_datagram_is_not_remembered_and_one_that_just_fits_is() {
        let mut table = small(10);
        let long = vec![0; MAX_ANSWER + 1];
        assert!(table.begin(at(0), key(1)));
        assert_eq!(table.answer(at(0), key(1), false, &long), Kept::TooLong);
        assert_eq!((table.look_up(key(1)), table.refused()), (Seen::New, 1));
        let just = &long[1..];
        for n in 2..9 {
            assert_eq!(table.answer(at(0), key(n), false, just), Kept::Yes);
            assert_eq!(table.look_up(key(n)), Seen::Answered(just));
        }
        assert_eq!(table.answer(at(0), key(9), false, b""), Kept::Yes);
        assert_eq!(table.look_up(key(9)), Seen::Answered(b""));
    }

    #[test]
    fn after_any_history_it_agrees_with_a_plain_list() {
        let (mut table, mut list, mut dice) = (small(64), Vec::<(u32, u64, Option<Vec<u8>>)>::new(), 99u32);
        for step in 0..5_000u64 {
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (n, what, now) = ((dice >> 8) % 24, dice >> 30, step / 8);
            table.tick(at(now));
            list.retain(|(_, due, _)| *due > now);
            let known = list.iter().find(|(k, ..)| *k == n).map(|(.., a)| a.clone());
            let expected = match &known {
                None => Seen::New,
                Some(None) => Seen::Busy,
                Some(Some(answer)) => Seen::Answered(answer),
            };
            assert_eq!(table.look_up(key(n)), expected, "step {step}");
            let bytes = step.to_be_bytes();
            if what == 0 {
                assert_eq!(table.begin(at(now), key(n)), known.is_none());
                if known.is_none() {
                    list.push((n, now + 32, None));
                }
            } else if what == 1 {
                let kept = table.answer(at(now), key(n), false, &bytes);
                assert_eq!(kept == Kept::Yes, !matches!(known, Some(Some(_))));
                if kept == Kept::Yes {
                    list.retain(|(k, ..)| *k != n);
                    list.push((n, now + 32, Some(bytes.to_vec())));
                }
            }
            assert_eq!(table.len(), list.len());
        }
        assert_eq!(table.evicted(), 0, "64 entries are enough for 24 requests, each twice");
    }
}
