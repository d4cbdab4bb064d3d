//! Request methods: the ones this cluster speaks by name, every other as [`Method::Other`] (its text is in the message).
//!
//! Methods are compared as written: RFC 3261 section 7.1 makes them case-sensitive, so `register` is another method.

use core::fmt;

/// A request method. `Other` stands for every method without a name here; two of them need not be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the variants are the methods' names")]
pub enum Method {
    Register,
    Options,
    Invite,
    Ack,
    Cancel,
    Bye,
    Notify,
    Subscribe,
    Refer,
    Info,
    Update,
    Prack,
    Message,
    Publish,
    Other,
}

impl Method {
    /// Every named method.
    pub const NAMED: [Self; 14] = [
        Self::Register,
        Self::Options,
        Self::Invite,
        Self::Ack,
        Self::Cancel,
        Self::Bye,
        Self::Notify,
        Self::Subscribe,
        Self::Refer,
        Self::Info,
        Self::Update,
        Self::Prack,
        Self::Message,
        Self::Publish,
    ];

    /// Reads a method as written on the wire.
    pub fn from_name(name: &[u8]) -> Self {
        match name {
            b"REGISTER" => Self::Register,
            b"OPTIONS" => Self::Options,
            b"INVITE" => Self::Invite,
            b"ACK" => Self::Ack,
            b"CANCEL" => Self::Cancel,
            b"BYE" => Self::Bye,
            b"NOTIFY" => Self::Notify,
            b"SUBSCRIBE" => Self::Subscribe,
            b"REFER" => Self::Refer,
            b"INFO" => Self::Info,
            b"UPDATE" => Self::Update,
            b"PRACK" => Self::Prack,
            b"MESSAGE" => Self::Message,
            b"PUBLISH" => Self::Publish,
            _ => Self::Other,
        }
    }

    /// The method's name; `OTHER` for [`Method::Other`], which is good for a metric label and never for a wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Register => "REGISTER",
            Self::Options => "OPTIONS",
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Cancel => "CANCEL",
            Self::Bye => "BYE",
            Self::Notify => "NOTIFY",
            Self::Subscribe => "SUBSCRIBE",
            Self::Refer => "REFER",
            Self::Info => "INFO",
            Self::Update => "UPDATE",
            Self::Prack => "PRACK",
            Self::Message => "MESSAGE",
            Self::Publish => "PUBLISH",
            Self::Other => "OTHER",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_method_is_read_back_from_its_name() {
        for method in Method::NAMED {
            assert_eq!(Method::from_name(method.as_str().as_bytes()), method);
        }
    }

    #[test]
    fn a_method_in_lower_case_is_another_method() {
        assert_eq!(Method::from_name(b"register"), Method::Other);
        assert_eq!(Method::from_name(b""), Method::Other);
    }
}
