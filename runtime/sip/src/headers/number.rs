//! Headers that are one number: Content-Length, Max-Forwards, and everything in seconds (Expires, Min-Expires).

use crate::text::{decimal, trim};

/// Content-Length in bytes (RFC 3261 section 20.14). `None` for signs, text, nothing, and more than 2^32-1.
pub fn content_length(value: &[u8]) -> Option<u32> {
    decimal(trim(value)).and_then(|n| u32::try_from(n).ok())
}

/// Max-Forwards, 0 to 255 (section 20.22).
pub fn max_forwards(value: &[u8]) -> Option<u8> {
    decimal(trim(value)).and_then(|n| u8::try_from(n).ok())
}

/// `delta-seconds` (section 25.1), as in Expires, Min-Expires and the `expires` of a Contact. More than 2^32-1 is as good
/// as 2^32-1: the registrar caps it anyway. `None` for everything but digits.
pub fn delta_seconds(value: &[u8]) -> Option<u32> {
    decimal(trim(value)).map(|n| u32::try_from(n).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_own_range() {
        assert_eq!(content_length(b" 0150\t"), Some(150));
        assert_eq!(content_length(b"4294967296"), None);
        assert_eq!(max_forwards(b"255"), Some(255));
        assert_eq!(max_forwards(b"256"), None);
        assert_eq!(delta_seconds(b"100000000000000"), Some(u32::MAX));
    }

    #[test]
    fn what_is_not_digits_is_no_number() {
        for bad in ["", "-999", "+1", "12a", "1 2", "1,2", "0x10"] {
            assert_eq!(content_length(bad.as_bytes()), None, "{bad}");
            assert_eq!(max_forwards(bad.as_bytes()), None, "{bad}");
            assert_eq!(delta_seconds(bad.as_bytes()), None, "{bad}");
        }
    }
}
