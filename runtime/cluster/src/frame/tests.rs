//! Every kind of frame comes back as it was written.

use super::*;
use crate::tests::TestRow;
use proptest::collection::vec;
use proptest::prelude::*;
use tandem_base::NodeName;

const HEADER: Header = Header { cluster: 7, incarnation: Incarnation(3) };

fn life(node: &str, incarnation: u64) -> NodeLife {
    NodeLife { node: NodeName::new(node).unwrap(), incarnation: Incarnation(incarnation) }
}

#[test]
fn every_frame_comes_back() {
    let beat = Heartbeat {
        state: NodeState::Draining,
        clock: Time::from_secs(9),
        head: u64::MAX,
        digest: Digest { sum: 5, count: 6 },
        hears: vec![Hears { life: life("A", 1), has: None }, Hears { life: life("B", 2), has: Some(0) }],
        orphans: vec![OrphanSet { life: life("C", 3), rows: 4 }],
        filed: vec![life("C", 3)],
        saved: Some(vec![OrphanSet { life: life("A", 9), rows: 1 }]),
    };
    let owner = life("A", 300);
    let rows: &[u8] = &[2, 1, 1];
    let signal = |kind| Signal { to: Incarnation(1), seq: 2, floor: 1, kind, payload: Bytes::from_static(b"hello") };
    let chunk = Chunk {
        owner: owner.clone(),
        request: 1,
        transfer: 7,
        index: 2,
        at: 3,
        last: true,
        clock_ahead: -4,
        count: 1,
        rows,
    };
    let frames = [
        Frame::Heartbeat(Heartbeat { orphans: Vec::new(), ..beat.clone() }),
        Frame::Heartbeat(Heartbeat { saved: None, ..beat.clone() }),
        Frame::Heartbeat(Heartbeat { saved: Some(Vec::new()), ..beat.clone() }),
        Frame::Heartbeat(beat),
        Frame::Rows(Rows { first: 1, count: 1, proof: Some(Digest { sum: 1, count: 2 }), ops: rows }),
        Frame::Rows(Rows { first: 1, count: 1, proof: None, ops: rows }),
        Frame::Need(Need { owner: owner.clone(), request: 5, want: Want::From(6) }),
        Frame::Need(Need { owner: owner.clone(), request: 5, want: Want::Whole(0) }),
        Frame::Resent { owner: owner.clone(), request: 1, upto: 2, whole: true },
        Frame::Chunk(chunk),
        Frame::ChunkAck { transfer: 1, next: 2 },
        Frame::Signal(signal(SignalKind::Plain)),
        Frame::Signal(signal(SignalKind::Ask)),
        Frame::Signal(signal(SignalKind::Answer(9))),
        Frame::SignalAck { to: Incarnation(1), next: 2 },
        Frame::Unknown,
    ];
    for frame in frames {
        let bytes = HEADER.write(&frame);
        assert_eq!(read(&bytes, 7), Ok((Incarnation(3), frame)));
        assert_eq!(read(&bytes, 8), Err(ClusterError::ForeignCluster));
    }
}

#[test]
fn a_row_that_is_too_long_becomes_an_operation_without_effect() {
    #[derive(Clone, Debug, PartialEq)]
    struct Long;
    impl Row for Long {
        fn key(&self) -> u128 {
            1
        }
        fn hash(&self) -> u64 {
            1
        }
        fn encode(&self, out: &mut Vec<u8>) {
            out.resize(out.len() + ROW_BYTES_MAX + 1, 0);
        }
        fn decode(_: &mut &[u8]) -> Result<Self, ClusterError> {
            Ok(Self)
        }
        fn expires(&self) -> Option<u64> {
            None
        }
    }
    let mut writer = HEADER.open_rows(1, 0);
    assert!(!writer.push(&Op::Put(Long)));
    assert!(writer.push(&Op::<Long>::Remove { key: 8 }));
    let bytes = writer.finish(None);
    let Ok((_, Frame::Rows(rows))) = read(&bytes, 7) else { panic!("not a frame of rows") };
    let mut reader = Reader::new(rows.ops);
    assert_eq!(read_op::<Long>(&mut reader), Ok(Ok(None)));
    assert_eq!(read_op::<Long>(&mut reader), Ok(Ok(Some(Op::Remove { key: 8 }))));
    assert!(reader.rest().is_empty());
}

#[test]
fn a_row_that_cannot_be_read_does_not_hide_the_next_one() {
    let mut ops = vec![OP_PUT, 2, 0, 0];
    ops.extend_from_slice(&[OP_REMOVE, 16]);
    ops.extend_from_slice(&9_u128.to_le_bytes());
    let mut reader = Reader::new(&ops);
    assert_eq!(read_op::<TestRow>(&mut reader), Ok(Err(ClusterError::Truncated)));
    assert_eq!(read_op::<TestRow>(&mut reader), Ok(Ok(Some(Op::Remove { key: 9 }))));
}

fn lives() -> impl Strategy<Value = NodeLife> {
    ("[A-Za-z0-9._-]{1,64}", any::<u64>()).prop_map(|(node, incarnation)| life(&node, incarnation))
}

fn heartbeats() -> impl Strategy<Value = Frame<'static>> {
    let states = prop_oneof![Just(NodeState::Joining), Just(NodeState::InService), Just(NodeState::Draining)];
    // The largest sequence stands for "none", one less is the largest there is.
    let hears = (lives(), prop::option::of(0..u64::MAX - 1)).prop_map(|(life, has)| Hears { life, has });
    let set = || (lives(), any::<u64>()).prop_map(|(life, rows)| OrphanSet { life, rows });
    let digests = any::<(u64, u64)>().prop_map(|(sum, count)| Digest { sum, count });
    let saved = prop::option::of(vec(set(), 0..ORPHAN_SETS_MAX));
    let orphans = (vec(set(), 0..ORPHAN_SETS_MAX), vec(lives(), 0..ORPHAN_SETS_MAX));
    (states, any::<u64>(), any::<u64>(), digests, vec(hears, 0..MEMBERS_MAX), orphans, saved).prop_map(
        |(state, clock, head, digest, hears, (orphans, filed), saved)| {
            let clock = Time::from_micros(clock);
            Frame::Heartbeat(Heartbeat { state, clock, head, digest, hears, orphans, filed, saved })
        },
    )
}

fn signals() -> impl Strategy<Value = Frame<'static>> {
    let kinds = prop_oneof![Just(SignalKind::Plain), Just(SignalKind::Ask), any::<u64>().prop_map(SignalKind::Answer)];
    (any::<u64>(), any::<u64>(), any::<u64>(), kinds, vec(any::<u8>(), 0..300)).prop_map(
        |(to, seq, floor, kind, payload)| {
            Frame::Signal(Signal { to: Incarnation(to), seq, floor, kind, payload: Bytes::from(payload) })
        },
    )
}

fn others() -> impl Strategy<Value = Frame<'static>> {
    let wants = prop_oneof![any::<u64>().prop_map(Want::From), any::<u64>().prop_map(Want::Whole)];
    prop_oneof![
        (lives(), any::<u64>(), wants).prop_map(|(owner, request, want)| Frame::Need(Need { owner, request, want })),
        (lives(), any::<u64>(), any::<u64>(), any::<bool>()).prop_map(|(owner, request, upto, whole)| Frame::Resent {
            owner,
            request,
            upto,
            whole
        }),
        (any::<u64>(), any::<u64>()).prop_map(|(transfer, next)| Frame::ChunkAck { transfer, next }),
        (any::<u64>(), any::<u64>()).prop_map(|(to, next)| Frame::SignalAck { to: Incarnation(to), next }),
    ]
}

fn frames() -> impl Strategy<Value = Frame<'static>> {
    prop_oneof![heartbeats(), signals(), others()]
}

/// A field of a later version: type, length, value.
fn later_field() -> impl Strategy<Value = Vec<u8>> {
    (u8::try_from(TLV_FILED).unwrap() + 1..=127, vec(any::<u8>(), 0..60))
        .prop_map(|(tag, value)| [&[tag, value.len() as u8][..], &value].concat())
}

proptest! {
    #[test]
    fn any_frame_comes_back_also_from_a_later_version(frame in frames(), later in vec(later_field(), 0..4)) {
        let bytes = HEADER.write(&frame);
        prop_assert_eq!(read(&bytes, 7), Ok((Incarnation(3), frame.clone())));
        let longer = [&bytes[..], &later.concat()].concat();
        prop_assert_eq!(read(&longer, 7), Ok((Incarnation(3), frame)));
    }

    #[test]
    fn a_frame_that_is_cut_short_is_refused(frame in frames(), cut in any::<prop::sample::Index>()) {
        let bytes = HEADER.write(&frame);
        let end = cut.index(bytes.len());
        match (read(&bytes[..end], 7), &frame) {
            (Err(_), _) => {}
            // Without its last fields a heartbeat is one of an earlier version.
            (Ok((_, Frame::Heartbeat(beat))), Frame::Heartbeat(whole)) => {
                prop_assert!(beat != *whole);
                prop_assert!(beat.orphans.is_empty() || beat.orphans == whole.orphans);
                prop_assert!(beat.saved.is_none() || beat.saved == whole.saved);
            }
            (Ok(other), _) => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn a_batch_of_changes_comes_back(ops in vec((any::<bool>(), any::<u128>(), any::<u64>()), 0..200), first in 1..u64::MAX) {
        let ops: Vec<Op<TestRow>> = ops
            .into_iter()
            .map(|(put, key, value)| if put { Op::Put(TestRow::new(key, value)) } else { Op::Remove { key } })
            .collect();
        let mut writer = HEADER.open_rows(first, 0);
        prop_assert!(ops.iter().all(|op| writer.push(op)));
        let bytes = writer.finish(Some(Digest { sum: 1, count: 2 }));
        let Ok((_, Frame::Rows(rows))) = read(&bytes, 7) else { panic!("not a frame of rows") };
        prop_assert_eq!((rows.first, rows.count), (first, ops.len() as u64));
        let mut reader = Reader::new(rows.ops);
        let read: Vec<_> = (0..rows.count).map(|_| read_op::<TestRow>(&mut reader).unwrap().unwrap().unwrap()).collect();
        prop_assert_eq!(read, ops);
        prop_assert!(reader.rest().is_empty());
    }

    #[test]
    fn whatever_comes_behind_a_right_header_is_read_or_refused(kind in 0_u8..12, body in vec(any::<u8>(), 0..400)) {
        let bytes = [&HEADER.start(kind, 0)[..], &body].concat();
        if let Ok((_, Frame::Rows(rows))) = read(&bytes, 7) {
            let mut reader = Reader::new(rows.ops);
            // What can be read of it ends by itself.
            (0..rows.count).take_while(|_| read_op::<TestRow>(&mut reader).is_ok()).for_each(drop);
        }
        let _ = read(&body, 7);
    }
}
