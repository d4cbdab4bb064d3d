//! Event (RFC 6665 section 8.2.1): the package of a SUBSCRIBE or NOTIFY, such as `service-control`.

use crate::text::{Params, split_token, trim_start};

/// A package with its parameters.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// With templates: `presence.winfo`. Compared as written (section 8.2.1).
    pub package: &'a [u8],
    /// Value of the `id` parameter.
    pub id: Option<&'a [u8]>,
    /// All parameters.
    pub params: Params<'a>,
}

impl<'a> Event<'a> {
    /// `None` when it does not begin with a token.
    pub fn read(value: &'a [u8]) -> Option<Self> {
        let (package, rest) = split_token(trim_start(value));
        let params = Params::new(rest);
        if package.is_empty() || !matches!(trim_start(rest), [] | [b';', ..]) {
            return None;
        }
        Some(Self { package, id: params.get("id").and_then(|p| p.value), params })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_and_id_are_read() {
        let event = Event::read(b" service-control ;id=7").unwrap();
        assert_eq!((event.package, event.id), (&b"service-control"[..], Some(&b"7"[..])));
        assert_eq!(Event::read(b"dialog").unwrap().id, None);
        assert!(Event::read(b"").is_none());
        assert!(Event::read(b"a b").is_none());
    }
}
