//! Writing messages into a buffer that somebody else owns. No allocation, and no error to look at between two pieces:
//! a buffer that is too small is remembered and reported by [`Writer::finish`].
//!
//! It never writes part of a message that somebody could send: what overflowed has no length.

use crate::digest::Sink;
use crate::error::Overflow;
use crate::header::Header;
use crate::headers::date::{DAYS, MONTHS};
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use memchr::memchr2;
use tandem_base::UnixMillis;

/// Writes one message at the front of a buffer.
#[derive(Debug)]
pub struct Writer<'b> {
    buffer: &'b mut [u8],
    /// May be beyond the buffer: then it overflowed.
    at: usize,
}

impl<'b> Writer<'b> {
    /// Over a buffer, from its start.
    pub const fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, at: 0 }
    }

    /// Bytes written so far.
    pub const fn len(&self) -> usize {
        self.at
    }

    /// Whether nothing was written.
    pub const fn is_empty(&self) -> bool {
        self.at == 0
    }

    /// Whether the buffer was too small for what was written.
    pub const fn overflowed(&self) -> bool {
        self.at > self.buffer.len()
    }

    /// The length of the message.
    ///
    /// # Errors
    /// The buffer was too small.
    pub const fn finish(self) -> Result<usize, Overflow> {
        if self.overflowed() {
            return Err(Overflow { needed: self.at, capacity: self.buffer.len() });
        }
        Ok(self.at)
    }

    /// Appends bytes.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) -> &mut Self {
        let end = self.at.saturating_add(bytes.len());
        if let Some(place) = self.buffer.get_mut(self.at..end) {
            place.copy_from_slice(bytes);
        }
        self.at = end;
        self
    }

    /// Appends text.
    #[inline]
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.put(text.as_bytes())
    }

    /// Appends a decimal number.
    pub fn number(&mut self, mut n: u64) -> &mut Self {
        let mut digits = [0u8; 20];
        let mut len = 0;
        for place in digits.iter_mut().rev() {
            *place = b'0' + (n % 10) as u8;
            n /= 10;
            len += 1;
            if n == 0 {
                break;
            }
        }
        self.put(digits.get(20 - len..).unwrap_or_default())
    }

    /// Appends 16 lower-case hex digits.
    pub fn hex(&mut self, n: u64) -> &mut Self {
        let mut digits = [0u8; 16];
        crate::digest::hex_into(&n.to_be_bytes(), &mut digits);
        self.put(&digits)
    }

    /// Appends an address as it stands in a URI or sent-by: IPv6 in brackets.
    pub fn host(&mut self, ip: IpAddr) -> &mut Self {
        match ip {
            IpAddr::V4(_) => self.ip(ip),
            IpAddr::V6(_) => self.put(b"[").ip(ip).put(b"]"),
        }
    }

    /// Appends an address without brackets, as it stands in `received`.
    pub fn ip(&mut self, ip: IpAddr) -> &mut Self {
        match ip {
            IpAddr::V4(v4) => {
                let (mut text, mut len) = ([0u8; 16], 0);
                let mut put = |b: u8| {
                    if let Some(place) = text.get_mut(len) {
                        *place = b;
                        len += 1;
                    }
                };
                for (i, octet) in v4.octets().into_iter().enumerate() {
                    if i > 0 {
                        put(b'.');
                    }
                    if octet >= 100 {
                        put(b'0' + octet / 100);
                    }
                    if octet >= 10 {
                        put(b'0' + octet / 10 % 10);
                    }
                    put(b'0' + octet % 10);
                }
                self.put(text.get(..len).unwrap_or_default())
            }
            IpAddr::V6(v6) => self.display(&v6),
        }
    }

    /// Appends `host:port`, IPv6 in brackets.
    pub fn addr(&mut self, addr: SocketAddr) -> &mut Self {
        self.host(addr.ip()).put(b":").number(u64::from(addr.port()))
    }

    /// Appends whatever can display itself. Formatting machinery: not for the hot path.
    pub fn display(&mut self, value: &dyn fmt::Display) -> &mut Self {
        // `write_str` below never fails, and a `Display` that fails of its own accord has written what it could.
        let _ = fmt::Write::write_fmt(self, format_args!("{value}"));
        self
    }

    /// Appends text in quotes with `"` and `\` escaped. Control bytes become spaces: they cannot stand in a header.
    pub fn quoted(&mut self, text: &[u8]) -> &mut Self {
        self.put(b"\"");
        for &b in text {
            match b {
                b'"' | b'\\' => self.put(&[b'\\', b]),
                ..b' ' | 0x7f => self.put(b" "),
                _ => self.put(&[b]),
            };
        }
        self.put(b"\"")
    }

    /// Appends a value that a stranger wrote: each fold, and each line end where none may be (they are in the requests that
    /// get a 400), becomes one space, so that it never begins a line of ours.
    #[inline]
    pub fn copied(&mut self, value: &[u8]) -> &mut Self {
        if memchr2(b'\r', b'\n', value).is_none() {
            return self.put(value);
        }
        let pieces = value.split(|b| matches!(b, b'\r' | b'\n')).map(crate::text::trim).filter(|p| !p.is_empty());
        pieces.enumerate().fold(self, |w, (i, piece)| w.put(if i > 0 { b" " } else { b"" }).put(piece))
    }

    /// The same, for a value that is known to be plain, or not.
    #[inline]
    pub(crate) fn value(&mut self, value: &[u8], plain: bool) -> &mut Self {
        if plain { self.put(value) } else { self.copied(value) }
    }

    /// Appends a header line; the value is [`Self::copied`].
    pub fn line(&mut self, name: &str, value: &[u8]) -> &mut Self {
        self.text(name).put(b": ").copied(value).put(b"\r\n")
    }

    /// Appends a header line with a number.
    pub fn number_line(&mut self, name: &str, value: u64) -> &mut Self {
        self.text(name).put(b": ").number(value).put(b"\r\n")
    }

    /// Appends an indexed header's line.
    pub fn header(&mut self, header: Header, value: &[u8]) -> &mut Self {
        self.line(header.name(), value)
    }

    /// Appends the Date line: RFC 1123 form, GMT (RFC 3261 section 20.17).
    pub fn date(&mut self, now: UnixMillis) -> &mut Self {
        let c = now.civil();
        let day = DAYS.get(usize::from(c.weekday)).copied().unwrap_or_default();
        let month = MONTHS.get(usize::from(c.month).saturating_sub(1)).copied().unwrap_or_default();
        self.text("Date: ").text(day).put(b", ").two(c.day).put(b" ").text(month).put(b" ");
        self.number(u64::from(c.year)).put(b" ");
        self.two(c.hour).put(b":").two(c.minute).put(b":").two(c.second).put(b" GMT\r\n")
    }

    fn two(&mut self, n: u8) -> &mut Self {
        self.put(&[b'0' + n / 10 % 10, b'0' + n % 10])
    }

    /// Ends a message without a body.
    pub fn end(&mut self) -> &mut Self {
        self.put(b"Content-Length: 0\r\n\r\n")
    }

    /// Ends a message with a body.
    pub fn body(&mut self, content_type: &str, body: &[u8]) -> &mut Self {
        self.line("Content-Type", content_type.as_bytes());
        self.number_line("Content-Length", body.len() as u64).put(b"\r\n").put(body)
    }
}

impl Sink for Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        Writer::put(self, bytes);
    }
}

impl fmt::Write for Writer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.text(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(f: impl FnOnce(&mut Writer<'_>)) -> String {
        let mut buffer = [0u8; 512];
        let mut w = Writer::new(&mut buffer);
        f(&mut w);
        let n = w.finish().unwrap();
        String::from_utf8(buffer[..n].to_vec()).unwrap()
    }

    #[test]
    fn numbers_of_all_lengths_are_written() {
        for n in [0, 9, 10, 4_294_967_295, u64::MAX] {
            assert_eq!(
                written(|w| {
                    w.number(n);
                }),
                n.to_string()
            );
        }
        assert_eq!(
            written(|w| {
                w.hex(0xab);
            }),
            "00000000000000ab"
        );
    }

    #[test]
    fn addresses_have_brackets_where_a_port_may_follow() {
        let v6: SocketAddr = "[2001:db8::1]:5060".parse().unwrap();
        assert_eq!(
            written(|w| {
                w.addr(v6);
            }),
            "[2001:db8::1]:5060"
        );
        assert_eq!(
            written(|w| {
                w.ip(v6.ip());
            }),
            "2001:db8::1"
        );
        let v4: SocketAddr = "192.0.2.255:1".parse().unwrap();
        assert_eq!(
            written(|w| {
                w.addr(v4);
            }),
            "192.0.2.255:1"
        );
    }

    #[test]
    fn a_written_date_is_read_back() {
        for seconds in [0u64, 951_782_399, 1_289_690_940, 4_102_444_800] {
            let line = written(|w| {
                w.date(UnixMillis(seconds * 1_000));
            });
            let value = line.strip_prefix("Date: ").and_then(|l| l.strip_suffix("\r\n")).unwrap();
            assert_eq!(crate::headers::date(value.as_bytes()), Some(UnixMillis(seconds * 1_000)), "{line}");
        }
        assert_eq!(
            written(|w| {
                w.date(UnixMillis(1_289_690_940_000));
            }),
            "Date: Sat, 13 Nov 2010 23:29:00 GMT\r\n"
        );
    }

    #[test]
    fn quoted_text_cannot_break_out() {
        assert_eq!(
            written(|w| {
                w.quoted(b"a\"b\\c\r\nd");
            }),
            r#""a\"b\\c  d""#
        );
    }

    #[test]
    fn an_overflow_is_reported_once_with_the_size_needed() {
        let mut buffer = [0u8; 20];
        let mut w = Writer::new(&mut buffer);
        w.line("Expires", b"3600");
        assert!(!w.overflowed());
        w.end();
        assert!(w.overflowed());
        assert_eq!(w.finish(), Err(Overflow { needed: 36, capacity: 20 }));
    }
}
