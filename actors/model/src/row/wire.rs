//! The bytes of a registration row. Layout 1, little-endian:
//! layout, flags, rank, reason (1 byte each), device (16), stamp (8), since (4), expires (8), call_id (8), cseq (4), nonce (3 x 4),
//! port (2), address (4 or 16; IPv6 then has its scope, 4), contact (length 2, text), path if flagged (length 2, text), tail (length 2, bytes).
//!
//! A later version adds to the tail. What cannot be said there needs a new layout number, and a node refuses a layout it does not know.

use super::{CONTACT_MAX, EXTENSIONS_MAX, LastNonce, PATH_MAX, RegistrationRow, Transport};
use crate::error::ModelError;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::Arc;
use tandem_base::{DeviceKey, Rank, Stamp};

/// The layout that is written and read.
pub(super) const LAYOUT: u8 = 1;
/// Most bytes of everything but contact, path and tail.
pub(super) const FIXED_MAX: usize = 96;

const TCP: u8 = 1;
const V6: u8 = 2;
const PATH: u8 = 4;
const FLAGS: u8 = TCP | V6 | PATH;

/// A text no longer than `max` bytes, cut between characters.
fn cut(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    loop {
        if let Some(front) = text.get(..end) {
            return front;
        }
        end = end.saturating_sub(1);
    }
}

fn put_block(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(bytes.get(..usize::from(len)).unwrap_or(bytes));
}

/// The fields of known length, gathered before one append: every refresh of a device encodes a row.
struct Fixed {
    bytes: [u8; FIXED_MAX],
    len: usize,
}

impl Fixed {
    #[inline]
    fn put<const N: usize>(&mut self, field: [u8; N]) {
        if let Some(place) = self.bytes.get_mut(self.len..).and_then(<[u8]>::first_chunk_mut::<N>) {
            *place = field;
            self.len += N;
        }
    }
}

pub(super) fn encode(row: &RegistrationRow, out: &mut Vec<u8>) {
    let mut flags = 0;
    if row.transport == Transport::Tcp {
        flags |= TCP;
    }
    if row.source.is_ipv6() {
        flags |= V6;
    }
    if row.path.is_some() {
        flags |= PATH;
    }
    let mut fixed = Fixed { bytes: [0; FIXED_MAX], len: 0 };
    fixed.put([LAYOUT, flags, row.rank.get(), row.reason]);
    fixed.put(row.device.0.to_le_bytes());
    fixed.put(row.stamp.0.to_le_bytes());
    fixed.put(row.since.to_le_bytes());
    fixed.put(row.expires.to_le_bytes());
    fixed.put(row.call_id.to_le_bytes());
    fixed.put(row.cseq.to_le_bytes());
    for part in [row.nonce.time, row.nonce.id, row.nonce.nc] {
        fixed.put(part.to_le_bytes());
    }
    fixed.put(row.source.port().to_le_bytes());
    match row.source {
        SocketAddr::V4(v4) => fixed.put(v4.ip().octets()),
        SocketAddr::V6(v6) => {
            fixed.put(v6.ip().octets());
            fixed.put(v6.scope_id().to_le_bytes());
        }
    }
    out.extend_from_slice(fixed.bytes.get(..fixed.len).unwrap_or_default());
    put_block(out, cut(&row.contact, CONTACT_MAX).as_bytes());
    if let Some(path) = &row.path {
        put_block(out, cut(path, PATH_MAX).as_bytes());
    }
    put_block(out, row.extensions.get(..EXTENSIONS_MAX).unwrap_or(&row.extensions));
}

/// Reads fields from the front; the slice moves on.
struct Reader<'a, 'b>(&'b mut &'a [u8]);

impl<'a> Reader<'a, '_> {
    fn bytes(&mut self, count: usize, field: &'static str) -> Result<&'a [u8], ModelError> {
        let (front, rest) = self.0.split_at_checked(count).ok_or(ModelError::Short { field })?;
        *self.0 = rest;
        Ok(front)
    }
    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], ModelError> {
        let (front, rest) = self.0.split_first_chunk::<N>().ok_or(ModelError::Short { field })?;
        *self.0 = rest;
        Ok(*front)
    }
    fn u16(&mut self, field: &'static str) -> Result<u16, ModelError> {
        self.array(field).map(u16::from_le_bytes)
    }
    fn u32(&mut self, field: &'static str) -> Result<u32, ModelError> {
        self.array(field).map(u32::from_le_bytes)
    }
    fn u64(&mut self, field: &'static str) -> Result<u64, ModelError> {
        self.array(field).map(u64::from_le_bytes)
    }
    fn block(&mut self, max: usize, field: &'static str, expected: &'static str) -> Result<&'a [u8], ModelError> {
        let len = usize::from(self.u16(field)?);
        if len > max {
            return Err(ModelError::Bad { field, expected });
        }
        self.bytes(len, field)
    }
    fn text(&mut self, max: usize, field: &'static str) -> Result<Arc<str>, ModelError> {
        const EXPECTED: &str = "at most 512 bytes of UTF-8";
        let bytes = self.block(max, field, EXPECTED)?;
        std::str::from_utf8(bytes).map(Arc::from).map_err(|_| ModelError::Bad { field, expected: EXPECTED })
    }
    fn address(&mut self, v6: bool) -> Result<SocketAddr, ModelError> {
        let port = self.u16("port")?;
        Ok(if v6 {
            let ip = Ipv6Addr::from(self.array::<16>("address")?);
            SocketAddr::V6(SocketAddrV6::new(ip, port, 0, self.u32("scope")?))
        } else {
            SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::from(self.array::<4>("address")?), port))
        })
    }
}

pub(super) fn decode(input: &mut &[u8]) -> Result<RegistrationRow, ModelError> {
    let mut r = Reader(input);
    let [layout, flags, rank, reason] = r.array("head")?;
    if layout != LAYOUT {
        return Err(ModelError::Layout { found: layout, known: LAYOUT });
    }
    if flags & !FLAGS != 0 {
        return Err(ModelError::Bad { field: "flags", expected: "only the flags of layout 1" });
    }
    let row = RegistrationRow {
        rank: Rank::new(rank).ok_or(ModelError::Bad { field: "rank", expected: "1, 2 or 3" })?,
        reason,
        transport: if flags & TCP == 0 { Transport::Udp } else { Transport::Tcp },
        device: DeviceKey(u128::from_le_bytes(r.array("device")?)),
        stamp: Stamp(r.u64("stamp")?),
        since: r.u32("since")?,
        expires: r.u64("expires")?,
        call_id: r.u64("call_id")?,
        cseq: r.u32("cseq")?,
        nonce: LastNonce { time: r.u32("nonce")?, id: r.u32("nonce")?, nc: r.u32("nonce")? },
        source: r.address(flags & V6 != 0)?,
        contact: r.text(CONTACT_MAX, "contact")?,
        path: if flags & PATH == 0 { None } else { Some(r.text(PATH_MAX, "path")?) },
        extensions: r.block(EXTENSIONS_MAX, "extensions", "at most 4096 bytes")?.into(),
    };
    Ok(row)
}
