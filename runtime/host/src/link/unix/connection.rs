//! One connection that is up, as its senders see it: a frame is written at once when nothing waits, and otherwise waits in the bounded
//! queue of its lane until the link's thread writes it, many in one write.
//!
//! It must never wait for the peer: the socket does not block, and what a full queue does not take is refused.

use super::hello::KIND_FRAME;
use super::{FRAME_BYTES_MAX, lock};
use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use tandem_base::NodeLife;
use tandem_cluster::link::{Lane, Refused};
use tokio::sync::Notify;

/// Most frames of one write; Linux takes 1,024 pieces, and each frame is two.
const WRITE_FRAMES: usize = 256;
/// Heartbeats that wait: an older one says nothing that a newer one does not.
const HEARTBEATS_MAX: usize = 2;
/// Bytes that wait in the lanes of rows and signals, and of snapshots.
pub(super) const ORDINARY_BYTES_MAX: usize = 8 << 20;
const BULK_BYTES_MAX: usize = 4 << 20;

/// Length and kind in front of a frame.
type Head = [u8; 5];

fn head(frame: &Bytes) -> Head {
    let [a, b, c, d] = u32::try_from(frame.len() + 1).unwrap_or(u32::MAX).to_le_bytes();
    [a, b, c, d, KIND_FRAME]
}

/// Frames that wait.
#[derive(Default)]
struct Waiting {
    /// The rest of a frame that was written in part: nothing may come before it.
    begun: Option<(Bytes, Bytes)>,
    lanes: [VecDeque<Bytes>; 3],
    bytes: [usize; 3],
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.begun.is_none() && self.lanes.iter().all(VecDeque::is_empty)
    }

    fn add(&mut self, lane: Lane, frame: Bytes) -> Result<(), Refused> {
        let index = lane as usize;
        let (Some(queue), Some(bytes)) = (self.lanes.get_mut(index), self.bytes.get_mut(index)) else {
            return Err(Refused::Full);
        };
        match lane {
            Lane::Heartbeat if queue.len() >= HEARTBEATS_MAX => {
                *bytes -= queue.pop_front().map_or(0, |old| old.len());
            }
            Lane::Ordinary if *bytes + frame.len() > ORDINARY_BYTES_MAX => return Err(Refused::Full),
            Lane::Bulk if *bytes + frame.len() > BULK_BYTES_MAX => return Err(Refused::Full),
            _ => {}
        }
        *bytes += frame.len();
        queue.push_back(frame);
        Ok(())
    }

    /// What is to be written next, in order.
    fn next(&self) -> Vec<(Head, Bytes)> {
        self.lanes.iter().flatten().take(WRITE_FRAMES).map(|frame| (head(frame), frame.clone())).collect()
    }

    /// So many bytes of what stood first are gone.
    fn written(&mut self, mut count: usize) {
        if let Some((first, rest)) = &mut self.begun {
            for part in [first, rest] {
                let gone = count.min(part.len());
                part.advance(gone);
                count -= gone;
            }
        }
        self.begun = self.begun.take().filter(|(_, rest)| !rest.is_empty());
        while count > 0 {
            let Some((queue, bytes)) = self.lanes.iter_mut().zip(&mut self.bytes).find(|(q, _)| !q.is_empty()) else {
                return;
            };
            let Some(frame) = queue.pop_front() else { return };
            *bytes -= frame.len();
            let (mut first, mut rest) = (Bytes::copy_from_slice(&head(&frame)), frame);
            let whole = first.len() + rest.len();
            if count < whole {
                first.advance(count.min(first.len()));
                rest.advance(count.saturating_sub(5));
                self.begun = Some((first, rest));
                return;
            }
            count -= whole;
        }
    }
}

/// See the module.
pub(super) struct Connection {
    /// The peer.
    pub(super) life: NodeLife,
    /// The same socket as the link's thread reads from; it does not block.
    socket: UnixStream,
    open: AtomicBool,
    waiting: Mutex<Waiting>,
    /// Something waits for the link's thread.
    pub(super) to_write: Notify,
    /// It has ended: the link's thread lets go of it.
    pub(super) over: Notify,
}

impl Connection {
    pub(super) fn new(life: NodeLife, socket: UnixStream) -> Self {
        Self {
            life,
            socket,
            open: AtomicBool::new(true),
            waiting: Mutex::default(),
            to_write: Notify::new(),
            over: Notify::new(),
        }
    }

    /// A frame for the peer.
    pub(super) fn send(&self, lane: Lane, frame: Bytes) -> Result<(), Refused> {
        if !self.open.load(Ordering::Acquire) {
            return Err(Refused::NotConnected);
        }
        if frame.len() >= FRAME_BYTES_MAX {
            return Err(Refused::Full);
        }
        let mut waiting = lock(&self.waiting);
        if !waiting.is_empty() {
            return waiting.add(lane, frame);
        }
        let head = head(&frame);
        match self.write(&[IoSlice::new(&head), IoSlice::new(&frame)]) {
            Ok(count) if count == head.len() + frame.len() => return Ok(()),
            Ok(count) => {
                waiting.add(lane, frame)?;
                waiting.written(count);
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => waiting.add(lane, frame)?,
            // Whoever reads will see its end.
            Err(_) => return Err(Refused::NotConnected),
        }
        self.to_write.notify_one();
        Ok(())
    }

    fn write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        loop {
            match (&self.socket).write_vectored(pieces) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    /// Writes what waits, highest lane first.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when the kernel takes no more; others when the connection is broken.
    pub(super) fn flush(&self) -> io::Result<()> {
        loop {
            let mut waiting = lock(&self.waiting);
            if waiting.is_empty() {
                return Ok(());
            }
            let next = waiting.next();
            let begun = waiting.begun.clone().unwrap_or_default();
            let begun = [IoSlice::new(&begun.0), IoSlice::new(&begun.1)];
            let pieces = next.iter().flat_map(|(head, frame)| [IoSlice::new(head), IoSlice::new(frame)]);
            let pieces: Vec<IoSlice<'_>> = begun.into_iter().chain(pieces).collect();
            let count = self.write(&pieces)?;
            waiting.written(count);
        }
    }

    /// Ends it; `false` when it has been ended before.
    pub(super) fn close(&self) -> bool {
        let first = self.open.swap(false, Ordering::AcqRel);
        if first {
            // A peer that is gone already needs no word.
            let _ = self.socket.shutdown(Shutdown::Both);
            *lock(&self.waiting) = Waiting::default();
            self.over.notify_one();
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    #[test]
    fn what_waits_leaves_by_lane_and_a_frame_that_was_begun_is_ended_first_wherever_it_was_cut() {
        let wanted: Vec<u8> = ["beat", "row one", "row two", "chunk"]
            .iter()
            .flat_map(|text| head(&frame(text)).into_iter().chain(text.bytes()))
            .collect();
        for step in 1..wanted.len() {
            let mut waiting = Waiting::default();
            for (lane, text) in [
                (Lane::Bulk, "chunk"),
                (Lane::Ordinary, "row one"),
                (Lane::Ordinary, "row two"),
                (Lane::Heartbeat, "beat"),
            ] {
                waiting.add(lane, frame(text)).unwrap();
            }
            let mut out = Vec::new();
            while !waiting.is_empty() {
                let (first, rest) = waiting.begun.clone().unwrap_or_default();
                let mut all = [&first[..], &rest[..]].concat();
                waiting.next().iter().for_each(|(head, frame)| all.extend(head.iter().chain(frame.iter())));
                let count = step.min(all.len());
                out.extend_from_slice(&all[..count]);
                waiting.written(count);
            }
            assert_eq!(out, wanted, "{step} bytes at a time");
            assert_eq!(waiting.bytes, [0; 3]);
        }
    }

    #[test]
    fn a_full_lane_refuses_and_only_the_newest_heartbeats_wait() {
        let mut waiting = Waiting::default();
        let large = Bytes::from(vec![0; 1 << 20]);
        for lane in [Lane::Ordinary, Lane::Bulk] {
            let taken = (0..20).filter(|_| waiting.add(lane, large.clone()).is_ok()).count();
            assert_eq!(taken, if lane == Lane::Bulk { BULK_BYTES_MAX >> 20 } else { ORDINARY_BYTES_MAX >> 20 });
        }
        for n in 0..10 {
            assert_eq!(waiting.add(Lane::Heartbeat, frame(&n.to_string())), Ok(()));
        }
        let next: Vec<Bytes> = waiting.next().into_iter().take(2).map(|(_, f)| f).collect();
        assert_eq!(next, [frame("8"), frame("9")]);
    }
}
