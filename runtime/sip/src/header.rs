//! The headers that the index keeps a place for, and how their names are recognised: long, compact, any case.
//!
//! A new header gets a place here only when some path of the server reads it for most messages; the rest is found by
//! name with [`crate::Message::other`].

use core::fmt;

macro_rules! headers {
    ($($id:ident $name:literal $compact:literal $shape:ident,)+) => {
        /// A header with a place in the index.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "the variants are the headers' names")]
        pub enum Header {
            $($id,)+
        }

        impl Header {
            /// Every indexed header.
            pub const ALL: [Self; COUNT] = [$(Self::$id,)+];

            /// The name as it is written.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$id => $name,)+ }
            }

            /// The compact form (RFC 3261 section 7.3.3), empty when there is none.
            pub const fn compact(self) -> &'static str {
                match self { $(Self::$id => $compact,)+ }
            }

            pub(crate) const fn shape(self) -> Shape {
                match self { $(Self::$id => Shape::$shape,)+ }
            }
        }

        pub(crate) const COUNT: usize = [$($name,)+].len();
    };
}

/// How often a header may stand and whether commas separate its values (RFC 3261 section 7.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// At most once.
    One,
    /// Any number of lines, each with any number of values.
    List,
    /// Any number of lines, each one value, because commas mean something else in it.
    Lines,
}

headers! {
    Via "Via" "v" List,
    From "From" "f" One,
    To "To" "t" One,
    CallId "Call-ID" "i" One,
    CSeq "CSeq" "" One,
    MaxForwards "Max-Forwards" "" One,
    Contact "Contact" "m" List,
    Expires "Expires" "" One,
    ContentLength "Content-Length" "l" One,
    ContentType "Content-Type" "c" One,
    Authorization "Authorization" "" Lines,
    ProxyAuthorization "Proxy-Authorization" "" Lines,
    WwwAuthenticate "WWW-Authenticate" "" Lines,
    ProxyAuthenticate "Proxy-Authenticate" "" Lines,
    Route "Route" "" List,
    RecordRoute "Record-Route" "" List,
    Path "Path" "" List,
    Require "Require" "" List,
    ProxyRequire "Proxy-Require" "" List,
    Supported "Supported" "k" List,
    Allow "Allow" "" List,
    Event "Event" "o" One,
    ReferTo "Refer-To" "r" One,
    MinExpires "Min-Expires" "" One,
    RetryAfter "Retry-After" "" One,
    Date "Date" "" One,
    UserAgent "User-Agent" "" Lines,
}

impl Header {
    /// Reads a name without white space around it, in any case, long or compact.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|h| {
            let form = if name.len() == 1 { h.compact() } else { h.name() };
            name.eq_ignore_ascii_case(form.as_bytes())
        })
    }

    /// Whether it may stand at most once.
    pub const fn is_single(self) -> bool {
        matches!(self.shape(), Shape::One)
    }

    /// Its place in bit sets.
    pub(crate) const fn bit(self) -> u32 {
        1 << self as u8
    }

    /// The usual spellings, with their colon, at the start of a line: a fixed-length comparison or two instead of a walk
    /// to the colon. Returns the header and the length of name and colon. Whatever it does not know it leaves to
    /// [`Self::from_name`].
    #[inline]
    pub(crate) fn at_line_start(line: &[u8]) -> Option<(Self, usize)> {
        macro_rules! first {
            ($($text:literal $id:ident),+) => {{
                $(if line.starts_with($text) { return Some((Self::$id, $text.len())); })+
                None
            }};
        }
        match line.first()? {
            b'V' => first!(b"Via:" Via),
            b'F' => first!(b"From:" From),
            b'T' => first!(b"To:" To),
            b'C' => first!(b"Call-ID:" CallId, b"CSeq:" CSeq, b"Contact:" Contact, b"Content-Length:" ContentLength,
                b"Content-Type:" ContentType),
            b'M' => first!(b"Max-Forwards:" MaxForwards, b"Min-Expires:" MinExpires),
            b'E' => first!(b"Expires:" Expires, b"Event:" Event),
            b'A' => first!(b"Allow:" Allow, b"Authorization:" Authorization),
            b'S' => first!(b"Supported:" Supported),
            b'U' => first!(b"User-Agent:" UserAgent),
            b'R' => first!(b"Route:" Route, b"Record-Route:" RecordRoute, b"Require:" Require, b"Refer-To:" ReferTo,
                b"Retry-After:" RetryAfter),
            b'P' => first!(b"Path:" Path, b"Proxy-Authorization:" ProxyAuthorization),
            b'W' => first!(b"WWW-Authenticate:" WwwAuthenticate),
            b'D' => first!(b"Date:" Date),
            _ => None,
        }
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back_in_every_case_and_form() {
        for header in Header::ALL {
            let name = header.name();
            assert_eq!(Header::from_name(name.as_bytes()), Some(header));
            assert_eq!(Header::from_name(name.to_uppercase().as_bytes()), Some(header));
            if !header.compact().is_empty() {
                assert_eq!(Header::from_name(header.compact().as_bytes()), Some(header));
                assert_eq!(Header::from_name(header.compact().to_uppercase().as_bytes()), Some(header));
            }
        }
        for other in ["", "X", "Vi", "Via ", "Server"] {
            assert_eq!(Header::from_name(other.as_bytes()), None);
        }
    }

    #[test]
    fn the_short_cut_agrees_with_the_table() {
        let mut met = 0;
        for header in Header::ALL {
            let line = format!("{}: x", header.name());
            if let Some(found) = Header::at_line_start(line.as_bytes()) {
                assert_eq!(found, (header, header.name().len() + 1));
                met += 1;
            }
        }
        assert!(met > 20);
    }
}
