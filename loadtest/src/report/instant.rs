//! A moment for people: RFC 3339 text in the document, milliseconds in the program. It must never be used to measure: it jumps.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, UNIX_EPOCH};
use tandem_base::UnixMillis;

/// The last moment that has four digits for its year: 9999-12-31T23:59:59.999Z.
const LAST: u64 = 253_402_300_799_999;

/// Wall-clock time, UTC, in milliseconds. Written as `2026-05-04T10:00:00.000Z`; later than the year 9999 is written as its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub UnixMillis);

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = Duration::from_millis(self.0.0.min(LAST));
        humantime::format_rfc3339_millis(UNIX_EPOCH + since).fmt(f)
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || serde::de::Error::custom(format!("{text:?} is no time such as 2026-05-04T10:00:00.000Z"));
        let time = humantime::parse_rfc3339(&text).map_err(|_| wrong())?;
        let since = time.duration_since(UNIX_EPOCH).map_err(|_| wrong())?;
        Ok(Self(UnixMillis(u64::try_from(since.as_millis()).map_err(|_| wrong())?)))
    }
}

impl JsonSchema for Instant {
    fn schema_name() -> Cow<'static, str> {
        "Instant".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time", "description": "Wall-clock time, RFC 3339, UTC." })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_text_and_comes_back() {
        let moment = Instant(UnixMillis(1_777_888_999_123));
        assert_eq!(moment.to_string(), "2026-05-04T10:03:19.123Z");
        let text = serde_json::to_string(&moment).unwrap();
        assert_eq!(serde_json::from_str::<Instant>(&text).unwrap(), moment);
        assert_eq!(Instant(UnixMillis(u64::MAX)).to_string(), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn what_is_no_moment_is_refused_with_an_example() {
        for bad in ["\"yesterday\"", "\"1969-12-31T23:59:59Z\"", "7"] {
            assert!(serde_json::from_str::<Instant>(bad).is_err(), "{bad}");
        }
        let error = serde_json::from_str::<Instant>("\"yesterday\"").unwrap_err().to_string();
        assert!(error.contains("yesterday") && error.contains("2026-05-04"), "{error}");
    }
}
