//! Route, Record-Route and Path (RFC 3261 section 20.34, RFC 3327): the hops a request has to take.

use super::name_addr::NameAddr;
use crate::uri::SipUri;

/// One hop.
#[derive(Clone, Copy, Debug)]
pub struct Hop<'a> {
    /// The URI as written, without brackets.
    pub uri: &'a [u8],
    /// Taken apart.
    pub sip: SipUri<'a>,
    /// Whether the hop is a loose router (`lr`); all but museum pieces are.
    pub loose: bool,
}

impl<'a> Hop<'a> {
    /// One value of the list. `None` when it is no SIP URI.
    pub fn read(value: &'a [u8]) -> Option<Self> {
        let addr = NameAddr::read(value)?;
        let sip = addr.sip_uri()?;
        Some(Self { uri: addr.uri, sip, loose: sip.params().has("lr") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::List;

    #[test]
    fn a_list_of_hops_is_read() {
        let hops: Vec<_> = List::new(b"<sip:p1.example;lr>, <sip:u@[::1]:5070;lr=on>;x, <sip:strict.example>")
            .filter_map(Hop::read)
            .collect();
        assert_eq!(hops.iter().map(|h| h.loose).collect::<Vec<_>>(), [true, true, false]);
        assert_eq!(hops[1].sip.port, Some(5070));
        assert!(Hop::read(b"<tel:+1>").is_none());
    }
}
