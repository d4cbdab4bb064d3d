//! What two nodes say to each other before the first frame: who they are, and why not.
//!
//! A frame is its length (four bytes, little-endian, of what follows), its kind (one byte) and its body. The three kinds of the beginning have
//! numbers of their own; every later version goes on reading them, skips fields that it does not know, and agrees on a version both speak.
//!
//! ```text
//! hello   "TLNK" | lowest version u8 | highest version u8 | cluster | node | incarnation u64
//! ready   nothing
//! refuse  why u8 | incarnation u64 (of the life that is attached)
//! ```
//! Texts have their length in front (one byte), integers are little-endian.

use super::Ending;
use bytes::{BufMut, Bytes, BytesMut};
use tandem_base::{Incarnation, NodeLife, NodeName};
use tandem_cluster::{ClusterError, Reader};
use tokio_util::codec::LengthDelimitedCodec;

/// The version that this file speaks.
const VERSION: u8 = 1;
/// Longest frame before both are known, in bytes.
pub(super) const HELLO_BYTES_MAX: usize = 1_024;

const MAGIC: &[u8] = b"TLNK";
const KIND_HELLO: u8 = 1;
const KIND_READY: u8 = 2;
const KIND_REFUSE: u8 = 3;
/// A frame of the node's.
pub(super) const KIND_FRAME: u8 = 4;
/// Kinds from here on are skipped by whoever does not know them.
pub(super) const KIND_LATER: u8 = 128;

/// How frames are cut, with this bound on kind and body together.
pub(super) fn codec(bytes_max: usize) -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().little_endian().length_field_length(4).max_frame_length(bytes_max).new_codec()
}

/// Who a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    versions: (u8, u8),
    pub(super) cluster: String,
    pub(super) life: NodeLife,
}

/// One word of the beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Hello(Hello),
    Ready,
    Refuse { why: Ending, attached: Incarnation },
}

impl Hello {
    pub(super) fn of(cluster: &str, life: &NodeLife) -> Self {
        Self { versions: (VERSION, VERSION), cluster: cluster.to_owned(), life: life.clone() }
    }
    /// Whether the two fit, as far as their hellos can tell.
    ///
    /// # Errors
    /// The first that does not.
    pub(super) fn fits(&self, other: &Self) -> Result<(), Ending> {
        let common = self.versions.1.min(other.versions.1);
        if common < self.versions.0 || common < other.versions.0 {
            return Err(Ending::Version);
        }
        if self.cluster != other.cluster { Err(Ending::Cluster) } else { Ok(()) }
    }
}

/// Which ending a number on the wire means; what is not known here is at least no version in common.
fn ending_of(number: u8) -> Ending {
    Ending::ALL.get(usize::from(number)).copied().unwrap_or(Ending::Version)
}

impl Word {
    /// With its length in front.
    pub(super) fn bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(256);
        out.put_u32_le(0);
        match self {
            Self::Hello(hello) => {
                out.put_u8(KIND_HELLO);
                out.put_slice(MAGIC);
                out.put_u8(hello.versions.0);
                out.put_u8(hello.versions.1);
                for text in [hello.cluster.as_str(), hello.life.node.as_str()] {
                    // Names of the configuration have at most 64 bytes; a longer one is refused by its own length at the other end.
                    out.put_u8(u8::try_from(text.len()).unwrap_or(u8::MAX));
                    out.put_slice(text.as_bytes());
                }
                out.put_u64_le(hello.life.incarnation.0);
            }
            Self::Ready => out.put_u8(KIND_READY),
            Self::Refuse { why, attached } => {
                out.put_u8(KIND_REFUSE);
                out.put_u8(*why as u8);
                out.put_u64_le(attached.0);
            }
        }
        let length = u32::try_from(out.len().saturating_sub(4)).unwrap_or(u32::MAX);
        if let Some(place) = out.get_mut(..4) {
            place.copy_from_slice(&length.to_le_bytes());
        }
        out.freeze()
    }

    /// Reads kind and body.
    ///
    /// # Errors
    /// [`ClusterError`]: it is none, or cut short.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, ClusterError> {
        let mut reader = Reader::new(bytes);
        Ok(match reader.u8()? {
            KIND_HELLO => {
                if reader.take(MAGIC.len())? != MAGIC {
                    return Err(ClusterError::Unknown("first bytes of a hello"));
                }
                let versions = (reader.u8()?, reader.u8()?);
                let cluster = text(&mut reader)?.to_owned();
                let node = NodeName::new(text(&mut reader)?).map_err(|_| ClusterError::Unknown("node name"))?;
                Self::Hello(Hello {
                    versions,
                    cluster,
                    life: NodeLife { node, incarnation: Incarnation(reader.u64()?) },
                })
            }
            KIND_READY => Self::Ready,
            KIND_REFUSE => Self::Refuse { why: ending_of(reader.u8()?), attached: Incarnation(reader.u64()?) },
            _ => return Err(ClusterError::Unknown("kind of a first frame")),
        })
    }
}

fn text<'a>(reader: &mut Reader<'a>) -> Result<&'a str, ClusterError> {
    let length = reader.u8()?;
    std::str::from_utf8(reader.take(usize::from(length))?).map_err(|_| ClusterError::Unknown("text of a hello"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hello(cluster: &str, node: &str, incarnation: u64) -> Hello {
        let node = NodeName::new(node).unwrap();
        Hello::of(cluster, &NodeLife { node, incarnation: Incarnation(incarnation) })
    }

    fn words() -> impl Strategy<Value = Word> {
        let hellos = ("[a-z0-9.-]{1,64}", "[A-Z0-9._-]{1,64}", any::<u64>(), any::<(u8, u8)>()).prop_map(
            |(cluster, node, incarnation, versions)| {
                Word::Hello(Hello { versions, ..hello(&cluster, &node, incarnation) })
            },
        );
        let refusals = (0..Ending::ALL.len(), any::<u64>())
            .prop_map(|(why, life)| Word::Refuse { why: Ending::ALL[why], attached: Incarnation(life) });
        prop_oneof![hellos, Just(Word::Ready), refusals]
    }

    proptest! {
        #[test]
        fn words_come_back_also_from_a_version_that_says_more(word in words(), more in prop::collection::vec(any::<u8>(), 0..40)) {
            let bytes = word.bytes();
            let length = u32::from_le_bytes(bytes[..4].try_into().unwrap());
            prop_assert_eq!(length as usize, bytes.len() - 4);
            prop_assert!(bytes.len() <= HELLO_BYTES_MAX);
            let longer = [&bytes[4..], &more].concat();
            prop_assert_eq!(Word::read(&longer), Ok(word));
        }

        #[test]
        fn whatever_comes_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), word in words(), cut in 0_usize..200) {
            let _ = Word::read(&bytes);
            let whole = word.bytes();
            let end = 4 + cut % (whole.len() - 4);
            prop_assert!(Word::read(&whole[4..end]).is_err());
        }
    }

    #[test]
    fn hellos_fit_when_cluster_and_some_version_are_the_same() {
        let ours = hello("one", "A", 1);
        let speaks = |lowest, highest| Hello { versions: (lowest, highest), ..hello("one", "B", 1) };
        for (lowest, highest) in [(1, 1), (1, 2), (0, 1), (0, 9)] {
            assert_eq!(ours.fits(&speaks(lowest, highest)), Ok(()), "{lowest} {highest}");
            assert_eq!(speaks(lowest, highest).fits(&ours), Ok(()), "{lowest} {highest}");
        }
        assert_eq!(ours.fits(&speaks(2, 3)), Err(Ending::Version));
        assert_eq!(ours.fits(&speaks(0, 0)), Err(Ending::Version));
        assert_eq!(ours.fits(&hello("two", "B", 1)), Err(Ending::Cluster));
    }
}
