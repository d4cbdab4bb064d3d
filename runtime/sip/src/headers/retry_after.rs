//! Retry-After (RFC 3261 section 20.33): when to come back.

use super::number::delta_seconds;
use crate::text::{Params, split_while, trim_start};

/// `18000 (in a meeting);duration=3600`.
#[derive(Clone, Copy, Debug)]
pub struct RetryAfter<'a> {
    /// Seconds to wait; saturates at 2^32-1.
    pub seconds: u32,
    /// Between the outer parentheses; escapes are left.
    pub comment: Option<&'a [u8]>,
    /// The `duration` parameter in seconds.
    pub duration: Option<u32>,
}

impl<'a> RetryAfter<'a> {
    /// `None` when it does not begin with digits or the comment is never closed.
    pub fn read(value: &'a [u8]) -> Option<Self> {
        let (digits, rest) = split_while(trim_start(value), |b| b.is_ascii_digit());
        let seconds = delta_seconds(digits)?;
        let (comment, rest) = match trim_start(rest) {
            [b'(', behind @ ..] => {
                let (comment, rest) = split_comment(behind)?;
                (Some(comment), rest)
            }
            rest => (None, rest),
        };
        if !matches!(trim_start(rest), [] | [b';', ..]) {
            return None;
        }
        let duration = Params::new(rest).get("duration").and_then(|p| delta_seconds(p.text()));
        Some(Self { seconds, comment, duration })
    }
}

/// What follows `(`: comments nest, and a backslash escapes.
fn split_comment(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut depth, mut escaped) = (1u32, false);
    for (at, &b) in text.iter().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'(' => depth += 1,
            b')' if depth == 1 => return Some((text.get(..at)?, text.get(at + 1..)?)),
            b')' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_comment_and_duration_are_read() {
        let r = RetryAfter::read(br"18000 (back (soon\) )) ; duration=3600").unwrap();
        assert_eq!((r.seconds, r.comment, r.duration), (18_000, Some(&br"back (soon\) )"[..]), Some(3_600)));
        let r = RetryAfter::read(b"5").unwrap();
        assert_eq!((r.seconds, r.comment, r.duration), (5, None, None));
        assert_eq!(RetryAfter::read(b"949302838503028349304023988").unwrap().seconds, u32::MAX);
        for bad in ["", "soon", "-1", "5 (x", "5 x"] {
            assert!(RetryAfter::read(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
