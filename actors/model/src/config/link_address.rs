//! Where a node is reached by its peers on other hosts: `"quic/192.0.2.1:7447"`, one transport, one address, one port.
//!
//! Only QUIC: the other encrypted transport of the engine is not sound. A name is not taken, because a certificate is made for the address.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkAddress(pub SocketAddr);

const TRANSPORT: &str = "quic/";
const EXPECTED: &str = "\"quic/ADDRESS:PORT\", such as \"quic/192.0.2.1:7447\"";

impl fmt::Display for LinkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{TRANSPORT}{}", self.0)
    }
}

impl<'de> Deserialize<'de> for LinkAddress {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(d)?;
        let address = text.strip_prefix(TRANSPORT).and_then(|at| at.parse().ok());
        address.map(Self).ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &EXPECTED))
    }
}
impl JsonSchema for LinkAddress {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "LinkAddress".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^quic/.+:[0-9]+$", "examples": ["quic/192.0.2.1:7447", "quic/192.0.2.2:7447"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error, StrDeserializer};

    #[test]
    fn only_quic_with_an_address_and_a_port_is_taken() {
        let read = |text: &'static str| {
            let d: StrDeserializer<'_, Error> = text.into_deserializer();
            LinkAddress::deserialize(d).map(|a| a.to_string()).map_err(|e| e.to_string())
        };
        for good in ["quic/192.0.2.1:7447", "quic/[2001:db8::1]:7447"] {
            assert_eq!(read(good), Ok(good.to_owned()));
        }
        for bad in
            ["192.0.2.1:7447", "tls/192.0.2.1:7447", "quic/192.0.2.1", "quic/host:7447", "quic/192.0.2.1:70000", ""]
        {
            let told = read(bad).unwrap_err();
            assert!(told.contains("quic/192.0.2.1:7447"), "{told}");
        }
    }
}
