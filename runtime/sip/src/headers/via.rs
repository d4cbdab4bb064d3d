//! Via: the way back for a response (RFC 3261 section 20.42, RFC 3581).

use crate::text::{NotAParam, Params, decimal, is_lws, split_token, trim_start};
use crate::transaction::key::TopVia;
use crate::uri::{Host, host_port, split_host_port};
use core::fmt;

/// The transport a Via or a URI names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the variants are the transports' names")]
pub enum Transport {
    #[default]
    Udp,
    Tcp,
    Tls,
    Ws,
    Wss,
    Sctp,
    /// Any other name: legal, and not spoken here.
    Other,
}

impl Transport {
    /// Reads a name in any case.
    pub fn from_name(name: &[u8]) -> Self {
        match name {
            b"UDP" => Self::Udp,
            _ if name.eq_ignore_ascii_case(b"udp") => Self::Udp,
            _ if name.eq_ignore_ascii_case(b"tcp") => Self::Tcp,
            _ if name.eq_ignore_ascii_case(b"tls") => Self::Tls,
            _ if name.eq_ignore_ascii_case(b"ws") => Self::Ws,
            _ if name.eq_ignore_ascii_case(b"wss") => Self::Wss,
            _ if name.eq_ignore_ascii_case(b"sctp") => Self::Sctp,
            _ => Self::Other,
        }
    }

    /// As it stands in a Via.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
            Self::Sctp => "SCTP",
            Self::Other => "OTHER",
        }
    }

    /// As it stands in a URI's `transport` parameter.
    pub const fn as_uri_param(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Sctp => "sctp",
            Self::Other => "other",
        }
    }

    /// Whether the transport itself resends what is lost.
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp | Self::Other)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The `rport` parameter (RFC 3581).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rport {
    /// Not there.
    #[default]
    Absent,
    /// There without a value: the sender asks for its port.
    Asked,
    /// Filled in by the server that received the request.
    Port(u16),
}

/// One Via value.
#[derive(Clone, Copy, Debug, Default)]
pub struct Via<'a> {
    /// The value as written, up to the next comma.
    pub raw: &'a [u8],
    /// The transport.
    pub transport: Transport,
    /// The host of sent-by.
    pub host: Host<'a>,
    /// The port of sent-by, if written.
    pub port: Option<u16>,
    /// `branch`, cookie included.
    pub branch: Option<&'a [u8]>,
    /// `rport`.
    pub rport: Rport,
    /// `received`: an address, for IPv6 with or without brackets.
    pub received: Option<&'a [u8]>,
    /// `maddr`.
    pub maddr: Option<&'a [u8]>,
    /// `ttl`.
    pub ttl: Option<u8>,
    /// All parameters.
    pub params: Params<'a>,
    /// Where in `raw` an `rport` without a value ends: what `answered` puts in goes there.
    pub(crate) asked_at: usize,
}

impl<'a> Via<'a> {
    /// One value of a Via header (no list). `None` when protocol, transport, sent-by or a parameter cannot be read.
    pub fn read(value: &'a [u8]) -> Option<Self> {
        let (transport, rest) = match value {
            [b'S', b'I', b'P', b'/', b'2', b'.', b'0', b'/', b'U', b'D', b'P', b' ', rest @ ..] => {
                (Transport::Udp, rest)
            }
            _ => protocol(value)?,
        };
        let (host, port, params) = match host_port(rest) {
            Some(found @ (.., [] | [b';', ..])) => found,
            // White space around sent-by and its colon is legal.
            _ => {
                let end = rest.iter().position(|&b| b == b';').unwrap_or(rest.len());
                let (sent_by, params) = rest.split_at_checked(end)?;
                let (host, port) = split_host_port(sent_by)?;
                (host, port, params)
            }
        };
        let params = Params::new(params);
        let mut via = Self {
            raw: value,
            transport,
            host,
            port,
            branch: None,
            rport: Rport::Absent,
            received: None,
            maddr: None,
            ttl: None,
            params,
            asked_at: 0,
        };
        via.read_params()?;
        Some(via)
    }

    /// Whether protocol and sent-by of a value can be read, whatever stands behind them: the way back of a 400.
    pub fn has_sent_by(value: &[u8]) -> bool {
        let sent_by = |rest: &[u8]| split_host_port(rest.split(|&b| b == b';').next()?).map(drop);
        protocol(value).and_then(|(_, rest)| sent_by(rest)).is_some()
    }

    fn read_params(&mut self) -> Option<()> {
        let mut walk = self.params;
        loop {
            // As nearly all phones write these two.
            if let Some(behind @ ([] | [b';', ..])) = walk.rest().strip_prefix(b";rport") {
                self.asked(behind);
                walk = Params::new(behind);
                continue;
            }
            if let Some(text) = walk.rest().strip_prefix(b";branch=")
                && let Some((branch, behind @ ([] | [b';', ..]))) = Params::value(text)
            {
                self.branch = Some(branch);
                walk = Params::new(behind);
                continue;
            }
            let param = match walk.step() {
                Ok(Some(param)) => param,
                Ok(None) => return Some(()),
                Err(NotAParam) => return None,
            };
            match param.name.len() {
                3 if param.is("ttl") => self.ttl = decimal(param.text()).and_then(|n| u8::try_from(n).ok()),
                5 if param.is("rport") => match param.value {
                    None => self.asked(walk.rest()),
                    Some(b"") => self.rport = Rport::Asked,
                    Some(digits) => {
                        self.rport = Rport::Port(decimal(digits).and_then(|n| u16::try_from(n).ok())?);
                    }
                },
                5 if param.is("maddr") => self.maddr = param.value,
                6 if param.is("branch") => self.branch = param.value,
                8 if param.is("received") => self.received = param.value,
                _ => {}
            }
        }
    }

    /// An `rport` without a value, with this behind it.
    fn asked(&mut self, behind: &[u8]) {
        self.asked_at = self.raw.len().saturating_sub(behind.len());
        self.rport = Rport::Asked;
    }

    /// What names a transaction.
    pub const fn top(&self) -> TopVia<'a> {
        TopVia { branch: self.branch, host: self.host.text(), port: self.port }
    }
}

/// `SIP/2.0/UDP` and the white space behind it, which must be there. White space around the slashes is legal.
fn protocol(value: &[u8]) -> Option<(Transport, &[u8])> {
    let (transport, rest) = match trim_start(value) {
        [b'S', b'I', b'P', b'/', b'2', b'.', b'0', b'/', rest @ ..] => split_token(rest),
        value => {
            let (name, rest) = split_token(value);
            let [b'/', rest @ ..] = trim_start(rest) else { return None };
            let (version, rest) = split_token(trim_start(rest));
            let [b'/', rest @ ..] = trim_start(rest) else { return None };
            // Any version: a request of another one is to be answered 505, along this Via (RFC 4475 section 3.1.2.16).
            if !name.eq_ignore_ascii_case(b"SIP") || version.is_empty() {
                return None;
            }
            split_token(trim_start(rest))
        }
    };
    let spaced = rest.first().is_some_and(|&b| is_lws(b));
    (!transport.is_empty() && spaced).then(|| (Transport::from_name(transport), trim_start(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn via(text: &str) -> Via<'_> {
        Via::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_way_back_is_known_although_the_parameters_are_none() {
        for value in ["SIP/2.0/UDP 192.0.2.15;;,;,,", "SIP/2.0/UDP a:5061;rport=no", "SIP/7.0/TCP [2001:db8::1] ;x=\""]
        {
            assert!(Via::has_sent_by(value.as_bytes()), "{value}");
        }
        for value in ["", "SIP/2.0/UDP", "SIP/2.0/UDP ;branch=z9hG4bKx", "192.0.2.15", "SIP/2.0/UDP a:b;x"] {
            assert!(!Via::has_sent_by(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn a_phones_via_is_read() {
        let v = via("SIP/2.0/UDP 192.0.2.1:5061;rport;branch=z9hG4bKx;received=10.0.0.1;ttl=3;maddr=224.0.1.75");
        assert_eq!((v.transport, v.host.text(), v.port), (Transport::Udp, &b"192.0.2.1"[..], Some(5061)));
        assert_eq!((v.branch, v.rport, v.ttl), (Some(&b"z9hG4bKx"[..]), Rport::Asked, Some(3)));
        assert_eq!((v.received, v.maddr), (Some(&b"10.0.0.1"[..]), Some(&b"224.0.1.75"[..])));
    }

    #[test]
    fn white_space_is_legal_where_the_grammar_has_it() {
        let v = via("SIP  / 2.0\r\n /UDP\r\n    192.0.2.2 : 5070 ; branch = 390skdjuw");
        assert_eq!((v.host.text(), v.port, v.branch), (&b"192.0.2.2"[..], Some(5070), Some(&b"390skdjuw"[..])));
        assert_eq!(via("sip/2.0/tls h").transport, Transport::Tls);
        assert_eq!(via("SIP/2.0/UNKNOWN t.example").transport, Transport::Other);
    }

    #[test]
    fn another_version_is_read_so_that_it_can_be_answered_505() {
        let v = via("SIP/7.0/UDP c.example.com;branch=z9hG4bKkdjuw");
        assert_eq!((v.transport, v.branch), (Transport::Udp, Some(&b"z9hG4bKkdjuw"[..])));
    }

    #[test]
    fn ipv6_addresses_stand_in_brackets() {
        let v = via("SIP/2.0/TCP [2001:db8::9:1]:5060;received=[2001:db8::9:255];rport=5061");
        assert_eq!((v.host.text(), v.port), (&b"[2001:db8::9:1]"[..], Some(5060)));
        assert_eq!((v.received, v.rport), (Some(&b"[2001:db8::9:255]"[..]), Rport::Port(5061)));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for bad in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP ",
            "SIP/2.0 h",
            "SIP//UDP h",
            "HTTP/2.0/UDP h",
            "SIP/2.0/UDP h:99999",
            "SIP/2.0/UDP h:",
            "SIP/2.0/UDP 192.0.2.15;;,;,,",
            "SIP/2.0/UDP h;rport=x",
            "SIP/2.0/UDP h h",
            "SIP/2.0/UDP 2001:db8::1",
        ] {
            assert!(Via::read(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
