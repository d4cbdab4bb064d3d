//! Contact: where a device can be reached and for how long (RFC 3261 section 20.10, RFC 5626 section 4.1).

use super::name_addr::NameAddr;
use super::number::delta_seconds;
use crate::text::{Params, decimal, trim};
use crate::uri::SipUri;

/// One value of a Contact header.
#[derive(Clone, Copy, Debug)]
pub enum Contact<'a> {
    /// `*`: all bindings, only to remove them.
    Star,
    /// An address.
    Binding(Binding<'a>),
}

/// An address with what the registrar has to know about it.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// Display name, URI and all parameters.
    pub addr: NameAddr<'a>,
    /// The `expires` parameter in seconds; `None` when absent or unreadable (section 20.10: then the default counts).
    pub expires: Option<u32>,
    /// The `q` parameter in thousandths, 0 to 1000; `None` when absent or unreadable.
    pub q: Option<u16>,
    /// `+sip.instance` without quotes and angle brackets: `urn:uuid:...`.
    pub instance: Option<&'a [u8]>,
    /// `reg-id`, 1 and up.
    pub reg_id: Option<u32>,
    /// The flag `cisco-keep-alive`: a heartbeat to a standby, which binds nothing.
    pub keep_alive: bool,
    /// `+u.sip!devicename.ccm.cisco.com`: the device's configured name.
    pub device_name: Option<&'a [u8]>,
}

impl<'a> Contact<'a> {
    /// `None` when it is neither `*` nor an address with readable parameters.
    pub fn read(value: &'a [u8]) -> Option<Self> {
        if trim(value) == b"*" {
            return Some(Self::Star);
        }
        Binding::read(value).map(Self::Binding)
    }

    /// The address, unless it is `*`.
    pub const fn binding(&self) -> Option<&Binding<'a>> {
        match self {
            Self::Star => None,
            Self::Binding(binding) => Some(binding),
        }
    }
}

impl<'a> Binding<'a> {
    /// `None` when it is no address with readable parameters.
    pub fn read(value: &'a [u8]) -> Option<Self> {
        let (mut expires, mut q, mut instance, mut reg_id) = (None, None, None, None);
        let (mut keep_alive, mut device_name) = (false, None);
        let addr = NameAddr::read_each(value, |param| match param.name.len() {
            1 if param.is("q") => q = q_value(param.text()),
            6 if param.is("reg-id") => {
                reg_id = decimal(param.text()).and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
            }
            7 if param.is("expires") => expires = delta_seconds(param.text()),
            13 if param.is("+sip.instance") => instance = param.value.map(without_brackets),
            16 if param.is("cisco-keep-alive") => keep_alive = true,
            31 if param.is("+u.sip!devicename.ccm.cisco.com") => device_name = param.value,
            _ => {}
        })?;
        Some(Self { addr, expires, q, instance, reg_id, keep_alive, device_name })
    }

    /// The URI as written.
    pub const fn uri(&self) -> &'a [u8] {
        self.addr.uri
    }

    /// The URI taken apart; `None` when it is no SIP URI.
    pub fn sip_uri(&self) -> Option<SipUri<'a>> {
        self.addr.sip_uri()
    }

    /// All parameters behind the URI.
    pub const fn params(&self) -> Params<'a> {
        self.addr.params
    }
}

fn without_brackets(text: &[u8]) -> &[u8] {
    match text {
        [b'<', inner @ .., b'>'] => inner,
        bare => bare,
    }
}

/// `qvalue`: 0 to 1 with at most three decimals (section 25.1).
fn q_value(text: &[u8]) -> Option<u16> {
    let (whole, decimals) = match text {
        [whole] => (whole, &[][..]),
        [whole, b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return None,
    };
    let thousandths = match decimals {
        [] => 0,
        digits => decimal(digits)? * [1000, 100, 10, 1].get(digits.len()).copied()?,
    };
    match whole {
        b'0' => u16::try_from(thousandths).ok(),
        b'1' if thousandths == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(text: &str) -> Binding<'_> {
        Binding::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_parameters_of_outbound_and_of_cisco_phones_are_read() {
        let b = binding(
            "<sip:5f7@10.0.0.7:5060;transport=tcp>;+sip.instance=\"<urn:uuid:0-1>\";reg-id=2;expires=3600;q=0.7;\
             +u.sip!devicename.ccm.cisco.com=\"SEP001122334455\";cisco-keep-alive;+u.sip!model.ccm.cisco.com=\"30016\"",
        );
        assert_eq!(b.uri(), b"sip:5f7@10.0.0.7:5060;transport=tcp");
        assert_eq!(b.instance, Some(&b"urn:uuid:0-1"[..]));
        assert_eq!((b.reg_id, b.expires, b.q, b.keep_alive), (Some(2), Some(3600), Some(700), true));
        assert_eq!(b.device_name, Some(&b"SEP001122334455"[..]));
        assert_eq!(b.params().get("+u.sip!model.ccm.cisco.com").map(|p| p.text()), Some(&b"30016"[..]));
    }

    #[test]
    fn parameters_inside_the_brackets_are_the_uris() {
        assert_eq!(binding("<sip:a@b;expires=5>").expires, None);
        assert_eq!(binding("sip:a@b;expires=5").expires, Some(5));
    }

    #[test]
    fn a_star_is_only_a_star() {
        assert!(matches!(Contact::read(b" * "), Some(Contact::Star)));
        assert!(Contact::read(b"*;expires=0").is_none());
        assert!(Contact::read(b"\"Joe\" <sip:joe@example.org>;;;;").is_none());
    }

    #[test]
    fn preference_is_read_in_thousandths() {
        for (text, q) in
            [("0", 0), ("1", 1000), ("1.000", 1000), ("0.5", 500), ("0.25", 250), ("0.125", 125), ("0.", 0)]
        {
            assert_eq!(q_value(text.as_bytes()), Some(q), "{text}");
        }
        for bad in ["", "2", "1.1", "0.1234", ".5", "-1", "0,5"] {
            assert_eq!(q_value(bad.as_bytes()), None, "{bad}");
        }
    }
}
