//! Rows as they travel: a document of JSON fields under a table and a key, its canonical bytes, its hash, and the digest of a set.
//!
//! `Debug` never shows a secret field. The key is not part of the document.

use crate::table::{Table, is_secret};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use xxhash_rust::xxh3::Xxh3Default;

/// The fields of a row, without its key. A field that is null is not there.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Document(BTreeMap<String, Value>);

impl Document {
    /// No fields.
    pub fn new() -> Self {
        Self::default()
    }
    /// From anything that serialises as a JSON object; nulls are left out.
    ///
    /// # Errors
    /// When it is no object or cannot be serialised.
    pub fn from_fields<T: Serialize>(fields: &T) -> Result<Self, serde_json::Error> {
        match serde_json::to_value(fields)? {
            Value::Object(map) => Ok(Self::from(map)),
            _ => Err(serde::ser::Error::custom("a row is a JSON object")),
        }
    }
    /// As a typed value; unknown fields are the type's business.
    ///
    /// # Errors
    /// When the fields do not fit the type.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_value(self.to_json())
    }
    /// As a JSON object.
    pub fn to_json(&self) -> Value {
        Value::Object(self.0.iter().map(|(k, v)| (k.clone(), v.clone())).collect())
    }
    /// The same, used up.
    pub fn into_json(self) -> Map<String, Value> {
        self.0.into_iter().collect()
    }
    /// A field.
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field)
    }
    /// A field that is text.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field).and_then(Value::as_str)
    }
    /// The elements of a list of texts; none when it is not there.
    pub fn list(&self, field: &str) -> impl Iterator<Item = &str> {
        self.0.get(field).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }
    /// Sets a field; null takes it away.
    pub fn set(&mut self, field: &str, value: impl Into<Value>) {
        match value.into() {
            Value::Null => drop(self.0.remove(field)),
            value => drop(self.0.insert(field.to_owned(), value)),
        }
    }
    /// The same with a field set, for writing documents down.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.set(field, value);
        self
    }
    /// All fields, in the order of their names.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v))
    }
    /// The same with secrets as `"*"`, for people.
    #[must_use]
    pub fn masked(&self) -> Self {
        Self(self.0.iter().map(|(k, v)| (k.clone(), if is_secret(k) { "*".into() } else { v.clone() })).collect())
    }
    /// Canonical JSON: fields in the order of their names, no white space.
    pub fn canonical(&self) -> String {
        // A map with text keys and JSON values has nothing that could fail.
        serde_json::to_string(&self.0).unwrap_or_default()
    }
    /// Reads canonical JSON, from a log or a peer.
    ///
    /// # Errors
    /// When it is no JSON object.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
    pub(crate) fn retain(&mut self, keep: impl Fn(&str, &Value) -> bool) {
        self.0.retain(|k, v| keep(k, v));
    }
}
impl From<Map<String, Value>> for Document {
    fn from(map: Map<String, Value>) -> Self {
        Self(map.into_iter().filter(|(_, v)| !v.is_null()).collect())
    }
}
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.0.iter().map(|(k, v)| (k, if is_secret(k) { "secret".into() } else { v.to_string() })))
            .finish()
    }
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// In which table.
    pub table: Table,
    /// Its key.
    pub key: String,
    /// Its fields.
    pub document: Document,
}
impl Row {
    /// A row from its parts.
    pub fn new(table: Table, key: impl Into<String>, document: Document) -> Self {
        Self { table, key: key.into(), document }
    }
    /// Its hash: equal rows have equal hashes on every node. Good as an entity tag.
    pub fn hash(&self) -> RowHash {
        RowHash::of(self.table.word(), &self.key, &self.document.canonical())
    }
}

/// Hash of a row (xxh3, 128 bits) over table, key and canonical fields. Against loss and bugs, not against malice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowHash(pub u128);
impl RowHash {
    /// Of a row by its parts, see [`Row::hash`].
    pub fn of_row(table: Table, key: &str, document: &Document) -> Self {
        Self::of(table.word(), key, &document.canonical())
    }
    pub(crate) fn of(table: &str, key: &str, canonical: &str) -> Self {
        let mut hasher = Xxh3Default::new();
        for part in [table, "\0", key, "\0", canonical] {
            hasher.update(part.as_bytes());
        }
        Self(hasher.digest128())
    }
}
impl fmt::Display for RowHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Digest of a set of rows: wrapping sum of their hashes, and how many. Order does not matter; a change costs two additions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// Wrapping sum.
    pub sum: u128,
    /// Rows.
    pub count: u64,
}
impl Digest {
    /// A row comes in.
    pub fn add(&mut self, hash: RowHash) {
        self.sum = self.sum.wrapping_add(hash.0);
        self.count = self.count.wrapping_add(1);
    }
    /// A row goes.
    pub fn remove(&mut self, hash: RowHash) {
        self.sum = self.sum.wrapping_sub(hash.0);
        self.count = self.count.wrapping_sub(1);
    }
    /// Its 24 bytes.
    pub fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        let (sum, count) = bytes.split_at_mut(16);
        sum.copy_from_slice(&self.sum.to_be_bytes());
        count.copy_from_slice(&self.count.to_be_bytes());
        bytes
    }
    /// From its 24 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (sum, count) = bytes.split_first_chunk::<16>()?;
        Some(Self { sum: u128::from_be_bytes(*sum), count: u64::from_be_bytes(count.try_into().ok()?) })
    }
}
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}/{}", self.sum, self.count)
    }
}
impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let parts = text.split_once('/');
        let read = parts.and_then(|(sum, count)| Some((u128::from_str_radix(sum, 16).ok()?, count.parse().ok()?)));
        let (sum, count) = read.ok_or_else(|| serde::de::Error::custom("a digest is 32 hex digits, '/', a count"))?;
        Ok(Self { sum, count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown_and_the_rest_is() {
        let document = Document::new().with("password", "hunter2").with("pool", "DP1").with("secret", "hunter3");
        let row = Row::new(Table::Device, "SEP1", document);
        let shown = format!("{row:?} {:?}", row.document.masked());
        assert!(!shown.contains("hunter") && shown.contains("DP1"), "{shown}");
    }

    #[test]
    fn canonical_bytes_do_not_depend_on_the_order_of_fields_and_keep_numbers() {
        let one = Document::new().with("b", 0.1 + 0.2).with("a", 1).with("c", Value::Null);
        let other = Document::new().with("a", 1).with("b", 0.1 + 0.2);
        assert_eq!(one.canonical(), r#"{"a":1,"b":0.30000000000000004}"#);
        assert_eq!(one.canonical(), other.canonical());
        assert_eq!(Document::parse(&one.canonical()).unwrap().canonical(), one.canonical());
    }

    #[test]
    fn a_hash_tells_table_key_and_fields_apart() {
        let hashes = [("a", "b", "c"), ("ab", "", "c"), ("a", "bc", ""), ("a", "b", "d")];
        let mut all: Vec<_> = hashes.map(|(t, k, c)| RowHash::of(t, k, c)).into();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 4);
    }

    #[test]
    fn a_digest_does_not_depend_on_order_and_comes_back_from_bytes_and_text() {
        let mut a = Digest::default();
        [1, u128::MAX, 7].map(RowHash).into_iter().for_each(|h| a.add(h));
        let mut b = Digest::default();
        [7, 9, 1, u128::MAX].map(RowHash).into_iter().for_each(|h| b.add(h));
        assert_ne!(a, b);
        b.remove(RowHash(9));
        assert_eq!(a, b);
        assert_eq!(Digest::from_bytes(&a.to_bytes()), Some(a));
        assert_eq!(serde_json::from_str::<Digest>(&serde_json::to_string(&a).unwrap()).unwrap(), a);
    }
}
