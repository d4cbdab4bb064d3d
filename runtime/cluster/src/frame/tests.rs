//! Every kind of frame comes back as it was written.

use super::*;
use crate::tests::TestRow;
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
