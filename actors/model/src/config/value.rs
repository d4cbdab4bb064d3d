//! Kinds of values that stand in several tables: durations for people, addresses, secrets.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// Longest duration accepted: a year.
const DURATION_MAX_SECS: f64 = 31_536_000.0;

/// A duration as people write it: `"120s"`, `"2m"`, `"500ms"`, `"1h30m"`, or a number of seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HumanDuration(pub Duration);

impl HumanDuration {
    /// The duration.
    pub const fn get(self) -> Duration {
        self.0
    }
    /// Reads the text form.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim();
        let mut total = 0.0;
        let mut parts = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let (number, after) = rest.split_at_checked(digits)?;
            let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
            let (unit, after) = after.split_at_checked(letters)?;
            let scale = match unit {
                "ms" => 0.001,
                "s" => 1.0,
                "m" | "min" => 60.0,
                "h" => 3_600.0,
                "d" => 86_400.0,
                _ => return None,
            };
            total += number.parse::<f64>().ok()? * scale;
            rest = after.trim_start();
            parts += 1;
        }
        if parts == 0 { None } else { Self::from_secs(total) }
    }
    fn from_secs(secs: f64) -> Option<Self> {
        if !(0.0..=DURATION_MAX_SECS).contains(&secs) {
            return None;
        }
        // Whole microseconds: what Time counts in, and 0.1 s is then what it says.
        Duration::try_from_secs_f64((secs * 1e6).round() / 1e6).ok().map(Self)
    }
}
impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        match (millis % 1_000, millis / 1_000) {
            (0, secs) if secs >= 60 && secs % 60 == 0 => write!(f, "{}m", secs / 60),
            (0, secs) => write!(f, "{secs}s"),
            _ => write!(f, "{millis}ms"),
        }
    }
}

const DURATION_EXPECTED: &str =
    "a duration such as \"120s\", \"2m\" or \"500ms\", or a number of seconds, at most a year";

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = HumanDuration;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(DURATION_EXPECTED)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<HumanDuration, E> {
                HumanDuration::parse(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
            fn visit_u64<E: Error>(self, secs: u64) -> Result<HumanDuration, E> {
                HumanDuration::from_secs(secs as f64).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(secs), &self))
            }
            fn visit_i64<E: Error>(self, secs: i64) -> Result<HumanDuration, E> {
                HumanDuration::from_secs(secs as f64).ok_or_else(|| E::invalid_value(Unexpected::Signed(secs), &self))
            }
            fn visit_f64<E: Error>(self, secs: f64) -> Result<HumanDuration, E> {
                HumanDuration::from_secs(secs).ok_or_else(|| E::invalid_value(Unexpected::Float(secs), &self))
            }
        }
        d.deserialize_any(Reader)
    }
}
impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl JsonSchema for HumanDuration {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number"], "minimum": 0, "examples": ["120s", "2m", "500ms", 90] })
    }
}

/// One address or a list of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses(pub Vec<IpAddr>);

const ADDRESS_EXPECTED: &str = "an IPv4 or IPv6 address such as \"192.0.2.1\", or a list of them";

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Reader;
        fn address<E: Error>(text: &str) -> Result<IpAddr, E> {
            text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &Reader))
        }
        impl<'de> Visitor<'de> for Reader {
            type Value = Addresses;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(ADDRESS_EXPECTED)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Addresses, E> {
                address(text).map(|a| Addresses(vec![a]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Addresses, A::Error> {
                let mut all = Vec::new();
                while let Some(text) = seq.next_element::<String>()? {
                    all.push(address(&text)?);
                }
                Ok(Addresses(all))
            }
        }
        d.deserialize_any(Reader)
    }
}
impl JsonSchema for Addresses {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Addresses".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = json_schema!({ "type": "string", "examples": ["192.0.2.1", "2001:db8::1"] });
        json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1, "maxItems": 4 }] })
    }
}

/// A text that must not be shown: `Debug` hides it, and it has no `Display`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
    /// The text; do not print it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        let millis = |text: &str| HumanDuration::parse(text).map(|d| d.0.as_millis());
        for (text, expected) in
            [("120s", 120_000), ("2m", 120_000), ("2min", 120_000), ("500ms", 500), ("1h30m", 5_400_000), ("0.1s", 100)]
        {
            assert_eq!(millis(text), Some(expected), "{text}");
        }
        assert_eq!(millis("1 h"), None, "no space between number and unit");
        for bad in ["", "s", "12", "12 parsecs", "-1s", "1.2.3s", "400d", "infs", "NaNs"] {
            assert_eq!(millis(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn durations_are_shown_as_they_may_be_written() {
        for text in ["2m", "90s", "500ms", "0s", "1500ms"] {
            assert_eq!(HumanDuration::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret");
    }
}
