//! What nodes of several hosts say to each other: who they are and whom they hear, and what stands in front of every frame.
//!
//! Names of senders are in the keys; versions of the words are in the hello. Every later version goes on reading hellos, skips fields that it
//! does not know, and agrees on a version both speak.
//!
//! ```text
//! hello   "TZEN" | lowest version u8 | highest version u8 | incarnation u64 | session u64 | heard u8 | heard times (node | incarnation u64 | session u64)
//! frame   kind u8 | lane u8 | incarnation u64 | session u64 | number u64 | to: incarnation u64 | session u64 | body
//! ```
//! Texts have their length in front (one byte), integers are little-endian. It must never trust a length.

use bytes::{BufMut, BytesMut};
use std::cmp::Ordering;
use tandem_base::{Incarnation, NodeName};
use tandem_cluster::link::Lane;
use tandem_cluster::{ClusterError, Reader};

/// The version that this file speaks.
const VERSION: u8 = 1;
const MAGIC: &[u8] = b"TZEN";
/// Most peers that a hello names.
const HEARD_MAX: usize = 255;
/// A frame of the node's.
const KIND_FRAME: u8 = 1;
/// Nothing more comes in this lane.
const KIND_BYE: u8 = 2;
/// Bytes in front of a frame's body.
pub(super) const HEAD_BYTES: usize = 42;

/// One opening of a node's session: which of its lives, and how often that life has opened one. Later ones are greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) incarnation: Incarnation,
    pub(super) session: u64,
}

/// What a node says of itself, again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    versions: (u8, u8),
    pub(super) id: Id,
    /// Whom it has heard lately.
    pub(super) heard: Vec<(NodeName, Id)>,
}

impl Hello {
    pub(super) fn new(id: Id, heard: Vec<(NodeName, Id)>) -> Self {
        Self { versions: (VERSION, VERSION), id, heard }
    }
    /// Whether both speak some version.
    pub(super) fn fits(&self) -> bool {
        self.versions.0 <= VERSION && VERSION <= self.versions.1
    }
    /// Whether it names this session.
    pub(super) fn hears(&self, node: &NodeName, id: Id) -> bool {
        self.heard.iter().any(|(n, i)| n == node && *i == id)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = BytesMut::with_capacity(32 + 32 * self.heard.len());
        out.put_slice(MAGIC);
        out.put_u8(self.versions.0);
        out.put_u8(self.versions.1);
        put_id(&mut out, self.id);
        let heard = self.heard.iter().take(HEARD_MAX);
        out.put_u8(u8::try_from(heard.len()).unwrap_or(u8::MAX));
        for (node, id) in heard {
            // Names have at most 64 bytes.
            out.put_u8(u8::try_from(node.as_str().len()).unwrap_or(u8::MAX));
            out.put_slice(node.as_str().as_bytes());
            put_id(&mut out, *id);
        }
        out.to_vec()
    }

    /// # Errors
    /// [`ClusterError`]: it is none, or cut short.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, ClusterError> {
        let mut reader = Reader::new(bytes);
        if reader.take(MAGIC.len())? != MAGIC {
            return Err(ClusterError::Unknown("first bytes of a hello"));
        }
        let versions = (reader.u8()?, reader.u8()?);
        let id = read_id(&mut reader)?;
        let count = reader.u8()?;
        let mut heard = Vec::new();
        for _ in 0..count {
            let length = reader.u8()?;
            let name = std::str::from_utf8(reader.take(usize::from(length))?).ok();
            let name = name.and_then(|n| NodeName::new(n).ok()).ok_or(ClusterError::Unknown("node name"))?;
            heard.push((name, read_id(&mut reader)?));
        }
        Ok(Self { versions, id, heard })
    }
}

/// What a frame says in front of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Nothing more comes in this lane; there is no body.
    pub(super) bye: bool,
    pub(super) lane: Lane,
    pub(super) from: Id,
    /// Grows with every frame that the sender sends in this lane, to whomever.
    pub(super) number: u64,
    /// Whom it is meant for; `None`: everybody.
    pub(super) to: Option<Id>,
}

const LANES: [Lane; 3] = [Lane::Heartbeat, Lane::Ordinary, Lane::Bulk];

impl Head {
    /// With the frame behind it.
    pub(super) fn before(&self, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_BYTES + body.len());
        out.put_u8(if self.bye { KIND_BYE } else { KIND_FRAME });
        out.put_u8(self.lane as u8);
        put_id(&mut out, self.from);
        out.put_u64_le(self.number);
        put_id(&mut out, self.to.unwrap_or_default());
        out.extend_from_slice(body);
        out
    }

    /// The head, and the body behind it. `None`: a kind of a later version, which is skipped.
    ///
    /// # Errors
    /// [`ClusterError`]: it is none, or cut short.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<(Self, &[u8])>, ClusterError> {
        let mut reader = Reader::new(bytes);
        let bye = match reader.u8()? {
            KIND_FRAME => false,
            KIND_BYE => true,
            0 => return Err(ClusterError::Unknown("kind of a frame")),
            _ => return Ok(None),
        };
        let lane = LANES.get(usize::from(reader.u8()?)).copied().ok_or(ClusterError::Unknown("lane of a frame"))?;
        let from = read_id(&mut reader)?;
        let number = reader.u64()?;
        let to = Some(read_id(&mut reader)?).filter(|id| id.cmp(&Id::default()) == Ordering::Greater);
        Ok(Some((Self { bye, lane, from, number, to }, reader.rest())))
    }
}

fn put_id(out: &mut impl BufMut, id: Id) {
    out.put_u64_le(id.incarnation.0);
    out.put_u64_le(id.session);
}
fn read_id(reader: &mut Reader<'_>) -> Result<Id, ClusterError> {
    Ok(Id { incarnation: Incarnation(reader.u64()?), session: reader.u64()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ids() -> impl Strategy<Value = Id> {
        // No life and no session has the number 0.
        (1_u64.., 1_u64..).prop_map(|(life, session)| Id { incarnation: Incarnation(life), session })
    }
    fn hellos() -> impl Strategy<Value = Hello> {
        let heard = prop::collection::vec(("[A-Z0-9._-]{1,64}", ids()), 0..20);
        (any::<(u8, u8)>(), ids(), heard).prop_map(|(versions, id, heard)| Hello {
            versions,
            id,
            heard: heard.into_iter().map(|(n, id)| (NodeName::new(&n).unwrap(), id)).collect(),
        })
    }
    fn heads() -> impl Strategy<Value = Head> {
        (any::<bool>(), 0..3_usize, ids(), any::<u64>(), prop::option::of(ids()))
            .prop_map(|(bye, lane, from, number, to)| Head { bye, lane: LANES[lane], from, number, to })
    }

    proptest! {
        #[test]
        fn hellos_come_back_also_from_a_version_that_says_more(hello in hellos(), more in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(Hello::read(&[&hello.bytes()[..], &more].concat()), Ok(hello));
        }

        #[test]
        fn heads_come_back_with_their_body(head in heads(), body in prop::collection::vec(any::<u8>(), 0..100)) {
            let bytes = head.before(&body);
            prop_assert_eq!(bytes.len(), HEAD_BYTES + body.len());
            prop_assert_eq!(Head::read(&bytes), Ok(Some((head, &body[..]))));
        }

        #[test]
        fn whatever_comes_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), hello in hellos(), cut in any::<prop::sample::Index>()) {
            let _ = (Hello::read(&bytes), Head::read(&bytes));
            let whole = hello.bytes();
            prop_assert!(Hello::read(&whole[..cut.index(whole.len())]).is_err());
        }
    }

    #[test]
    fn kinds_of_later_versions_are_skipped_and_cut_heads_refused() {
        let head = Head { bye: false, lane: Lane::Bulk, from: Id::default(), number: 1, to: None };
        let mut bytes = head.before(b"");
        assert!(Head::read(&bytes[..HEAD_BYTES - 1]).is_err());
        bytes[0] = 9;
        assert_eq!(Head::read(&bytes), Ok(None));
        bytes[0] = 0;
        assert!(Head::read(&bytes).is_err());
    }

    #[test]
    fn versions_fit_when_there_is_one_that_both_speak() {
        let speaks = |lowest, highest| Hello { versions: (lowest, highest), ..Hello::new(Id::default(), Vec::new()) };
        assert!([(1, 1), (0, 1), (1, 7)].into_iter().all(|(l, h)| speaks(l, h).fits()));
        assert!(![(2, 3), (0, 0)].into_iter().any(|(l, h)| speaks(l, h).fits()));
    }
}
