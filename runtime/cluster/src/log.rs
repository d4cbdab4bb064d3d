//! The owner's own changes, sequenced and kept encoded for repair: a bounded ring of the very frames that were broadcast. Sent again they are
//! joined to longer ones. It never looks into a row.

use crate::api::OwnRows;
use crate::digest::Digest;
use crate::frame::{Header, join_rows};
use crate::row::Row;
use bytes::Bytes;
use std::collections::VecDeque;

#[derive(Clone, Debug)]
struct Entry {
    first: u64,
    count: u64,
    frame: Bytes,
}

/// The bounded log.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    entries: VecDeque<Entry>,
    head: u64,
    digest: Digest,
    ops: u64,
    bytes: usize,
    ops_max: u64,
    bytes_max: usize,
}

impl Log {
    pub(crate) fn new(ops_max: usize, bytes_max: usize) -> Self {
        let ops_max = u64::try_from(ops_max).unwrap_or(u64::MAX);
        Self { entries: VecDeque::new(), head: 0, digest: Digest::default(), ops: 0, bytes: 0, ops_max, bytes_max }
    }
    /// The last change's number; 0 before the first.
    pub(crate) fn head(&self) -> u64 {
        self.head
    }
    /// Digest of the own set after the last change.
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    /// Counts changes that nobody will ask for.
    pub(crate) fn count_only<R>(&mut self, rows: &OwnRows<R>) {
        self.head += u64::try_from(rows.ops.len()).unwrap_or(0);
        self.digest = rows.digest;
        self.clear();
    }
    /// Forgets what is kept: older changes are to be had as a snapshot only.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        (self.ops, self.bytes) = (0, 0);
    }

    /// Sequences and keeps changes; returns the frames to broadcast, and how many rows were too long to be sent.
    pub(crate) fn append<R: Row>(
        &mut self,
        header: Header,
        rows: &OwnRows<R>,
        frame_bytes: usize,
    ) -> (Vec<Bytes>, u64) {
        let mut frames = Vec::new();
        let mut too_long = 0;
        let mut writer = header.open_rows(self.head + 1, rows.ops.len().min(64) * 96);
        for op in &rows.ops {
            if writer.count > 0 && writer.len() >= frame_bytes {
                let next = header.open_rows(self.head + 1, frame_bytes);
                let full = std::mem::replace(&mut writer, next);
                frames.push(self.keep(full.count, full.finish(None)));
            }
            too_long += u64::from(!writer.push(op));
            self.head += 1;
        }
        self.digest = rows.digest;
        frames.push(self.keep(writer.count, writer.finish(Some(rows.digest))));
        (frames, too_long)
    }

    fn keep(&mut self, count: u64, frame: Bytes) -> Bytes {
        self.ops += count;
        self.bytes += frame.len();
        self.entries.push_back(Entry { first: self.head + 1 - count, count, frame: frame.clone() });
        while self.ops > self.ops_max || self.bytes > self.bytes_max {
            let Some(old) = self.entries.pop_front() else { break };
            self.ops -= old.count;
            self.bytes -= old.frame.len();
        }
        frame
    }

    /// Frames of about `frame_bytes` that hold the changes from `seq` on, up to about `bytes_max`, and the last change in them. `None` when the
    /// log does not reach back so far.
    pub(crate) fn since(&self, seq: u64, bytes_max: usize, frame_bytes: usize) -> Option<(Vec<Bytes>, u64)> {
        if seq > self.head {
            return (seq == self.head + 1).then(|| (Vec::new(), self.head));
        }
        self.entries.front().filter(|e| e.first <= seq)?;
        let (mut frames, mut bytes, mut upto) = (Vec::new(), 0, seq.saturating_sub(1));
        let mut group: Vec<Bytes> = Vec::new();
        let from = self.entries.partition_point(|e| e.first + e.count <= seq);
        for entry in self.entries.range(from..) {
            if bytes > 0 && bytes + entry.frame.len() > bytes_max {
                break;
            }
            bytes += entry.frame.len();
            upto = entry.first + entry.count - 1;
            let length: usize = group.iter().map(Bytes::len).sum();
            if length > 0 && length + entry.frame.len() > frame_bytes {
                frames.extend(joined(std::mem::take(&mut group)));
            }
            group.push(entry.frame.clone());
        }
        frames.extend(joined(group));
        Some((frames, upto))
    }
}

/// One frame where that can be made of them.
fn joined(group: Vec<Bytes>) -> Vec<Bytes> {
    if group.len() < 2 {
        return group;
    }
    match join_rows(&group) {
        Some(frame) => vec![frame],
        None => group,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Reader;
    use crate::frame::{Frame, read, read_op};
    use crate::row::Op;
    use crate::tests::TestRow;
    use tandem_base::Incarnation;

    fn rows(n: u64) -> OwnRows<TestRow> {
        OwnRows { ops: (0..n).map(|k| Op::Put(TestRow::new(k.into(), k))).collect(), digest: Digest::default() }
    }
    const HEADER: Header = Header { cluster: 1, incarnation: Incarnation(1) };

    #[test]
    fn the_log_gives_back_what_it_still_has_and_says_when_it_has_not() {
        let mut log = Log::new(100, 1 << 20);
        (0..10).for_each(|_| assert_eq!(log.append(HEADER, &rows(20), 60_000).0.len(), 1));
        assert_eq!(log.head(), 200);
        assert!(log.since(100, 1 << 20, 1).is_none());
        assert_eq!(log.since(101, 1 << 20, 1).map(|(f, upto)| (f.len(), upto)), Some((5, 200)));
        assert_eq!(log.since(130, 1 << 20, 1).map(|(f, upto)| (f.len(), upto)), Some((4, 200)));
        assert_eq!(log.since(130, 1, 1).map(|(f, upto)| (f.len(), upto)), Some((1, 140)));
        assert_eq!(log.since(201, 1, 1), Some((Vec::new(), 200)));
        assert_eq!(log.since(202, 1, 1), None);
    }

    #[test]
    fn a_batch_is_split_below_the_frame_bound_and_the_bytes_are_bounded() {
        let mut log = Log::new(1_000_000, 10_000);
        let (frames, too_long) = log.append(HEADER, &rows(1_000), 1_000);
        assert_eq!(too_long, 0);
        assert!(frames.len() > 10 && frames.iter().all(|f| f.len() < 1_100));
        assert!(log.bytes <= 10_000 && log.since(1, 1 << 20, 1).is_none());
    }

    #[test]
    fn frames_that_are_sent_again_are_joined_and_say_the_same() {
        let mut log = Log::new(1_000, 1 << 20);
        let ops = |k: u128| vec![Op::Put(TestRow::new(k, 7)), Op::Remove { key: k + 1_000 }];
        for k in 0..20 {
            log.append(HEADER, &OwnRows { ops: ops(k), digest: Digest { sum: k as u64, count: 1 } }, 60_000);
        }
        let (frames, upto) = log.since(5, 1 << 20, 60_000).unwrap();
        assert_eq!((frames.len(), upto), (1, 40));
        let Ok((_, Frame::Rows(rows))) = read(&frames[0], 1) else { panic!("not a frame of rows") };
        assert_eq!((rows.first, rows.count, rows.proof), (5, 36, Some(Digest { sum: 19, count: 1 })));
        let mut reader = Reader::new(rows.ops);
        for k in 2..20 {
            for op in ops(k) {
                assert_eq!(read_op::<TestRow>(&mut reader), Ok(Ok(Some(op))));
            }
        }
        assert!(reader.rest().is_empty());
        let (frames, _) = log.since(5, 1 << 20, frames[0].len() / 3).unwrap();
        assert!((3..=6).contains(&frames.len()), "{}", frames.len());
    }
}
