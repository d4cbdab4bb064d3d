//! Refer-To (RFC 3515 section 2.1): whom, or in Cisco's token registration what, a REFER is about.

use super::name_addr::NameAddr;
use crate::text::Params;

/// The target of a REFER.
#[derive(Clone, Copy, Debug)]
pub struct ReferTo<'a> {
    /// As written, without brackets: any scheme, `urn:X-cisco-remotecc:token-registration` too.
    pub uri: &'a [u8],
    /// All parameters.
    pub params: Params<'a>,
}

impl<'a> ReferTo<'a> {
    /// `None` when it is no address.
    pub fn read(value: &'a [u8]) -> Option<Self> {
        let NameAddr { uri, params, .. } = NameAddr::read(value)?;
        Some(Self { uri, params })
    }

    /// Whether a phone asks for the token that lets it come home.
    pub fn is_token_registration(&self) -> bool {
        self.uri.eq_ignore_ascii_case(TOKEN_REGISTRATION.as_bytes())
    }
}

/// The target by which a Cisco phone asks its better CallManager for leave to register.
pub const TOKEN_REGISTRATION: &str = "urn:X-cisco-remotecc:token-registration";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_registration_is_recognised_with_and_without_brackets() {
        assert!(ReferTo::read(b"<urn:X-cisco-remotecc:token-registration>").unwrap().is_token_registration());
        assert!(ReferTo::read(b"urn:x-cisco-remotecc:token-registration").unwrap().is_token_registration());
        let transfer = ReferTo::read(b"<sip:c@d?Replaces=1%3Bto-tag%3D2>;x=1").unwrap();
        assert!(!transfer.is_token_registration() && transfer.params.has("x"));
        assert!(ReferTo::read(b"sip:c@d?Replaces=1").is_none());
    }
}
