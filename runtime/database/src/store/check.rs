//! Whether a row has the shape of its table: fields, types, bounds. What is wrong is said with the field, the value and what would
//! be right; values of secret fields are not said.

use crate::error::{Problem, ProblemKind};
use crate::row::Document;
use crate::table::{Column, DOCUMENT_BYTES_MAX, KEY_BYTES_MAX, Kind, List, Table};
use serde_json::Value;

/// Longest value that is repeated in a message, in bytes.
const SHOWN_MAX: usize = 128;

/// A row that is being judged.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) op: Option<usize>,
    pub(crate) table: Table,
    pub(crate) key: &'a str,
}
impl Place<'_> {
    pub(crate) fn problem(
        &self,
        kind: ProblemKind,
        field: Option<(&'static Column, Option<&Value>)>,
        what: impl Into<String>,
        expected: impl Into<String>,
    ) -> Box<Problem> {
        let value = field.and_then(|(c, v)| v.filter(|_| !c.secret)).map(shown);
        Box::new(Problem {
            kind,
            op: self.op,
            table: self.table,
            key: cut(self.key),
            field: field.map(|(c, _)| c.name),
            value,
            what: what.into(),
            expected: expected.into(),
        })
    }
}

fn cut(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut short: String = text.chars().take(SHOWN_MAX).map(clean).collect();
    if short.len() < text.len() && text.chars().nth(SHOWN_MAX).is_some() {
        short.push_str("...");
    }
    short
}
fn shown(value: &Value) -> String {
    cut(&value.to_string())
}

/// Judges a key and its fields, and brings the fields into canonical form: no nulls, no empty lists, objects sorted.
pub(crate) fn shape(place: Place<'_>, document: &mut Document) -> Result<(), Box<Problem>> {
    key(place)?;
    document.retain(|_, value| !value.is_null() && !value.as_array().is_some_and(Vec::is_empty));
    let spec = place.table.spec();
    for (name, value) in document.fields() {
        let Some(column) = spec.column(name) else {
            let known: Vec<_> = spec.columns.iter().map(|c| c.name).collect();
            let what = format!("there is no field {:?}", cut(name));
            return Err(place.problem(ProblemKind::Malformed, None, what, format!("one of {}", known.join(", "))));
        };
        if let Err(expected) = fits(&column.kind, value) {
            let what = if column.secret { "has another form".to_owned() } else { format!("is {}", shown(value)) };
            let what = format!("{} {what}", column.name);
            return Err(place.problem(ProblemKind::Malformed, Some((column, Some(value))), what, expected));
        }
    }
    if let Some(column) = spec.columns.iter().find(|c| c.required && document.get(c.name).is_none()) {
        let expected = fits(&column.kind, &Value::Null).err().unwrap_or_default();
        let what = format!("{} is missing", column.name);
        return Err(place.problem(ProblemKind::Malformed, Some((column, None)), what, expected));
    }
    for column in spec.columns.iter().filter(|c| matches!(c.kind, Kind::Json)) {
        if let Some(value) = document.get(column.name).map(sorted) {
            document.set(column.name, value);
        }
    }
    let bytes = document.canonical().len();
    if bytes > DOCUMENT_BYTES_MAX {
        let expected = format!("at most {DOCUMENT_BYTES_MAX} bytes");
        return Err(place.problem(ProblemKind::Malformed, None, format!("the row has {bytes} bytes"), expected));
    }
    Ok(())
}

/// Judges a key alone.
pub(crate) fn key(place: Place<'_>) -> Result<(), Box<Problem>> {
    let key = place.key;
    let wrong = |what: &str, expected: String| Err(place.problem(ProblemKind::Malformed, None, what, expected));
    if key.is_empty() || key.len() > KEY_BYTES_MAX || key.chars().any(char::is_control) {
        return wrong("the key cannot be used", format!("1 to {KEY_BYTES_MAX} bytes without control characters"));
    }
    match place.table.spec().only_key {
        Some(only) if only != key => wrong("the table has one row only", format!("the key {only:?}")),
        _ => Ok(()),
    }
}

/// Whether a value fits; otherwise what would.
fn fits(kind: &Kind, value: &Value) -> Result<(), String> {
    let (good, expected) = match kind {
        Kind::Text(longest) => {
            let good = value.as_str().is_some_and(|t| t.is_empty() || is_text(t, *longest));
            (good, format!("a text of at most {longest} bytes"))
        }
        Kind::Word(words) => {
            (value.as_str().is_some_and(|t| words.contains(&t)), format!("one of {}", words.join(", ")))
        }
        Kind::Integer(least, most) => {
            let good = value.as_i64().is_some_and(|n| (*least..=*most).contains(&n));
            (
                good,
                if *most == i64::MAX { format!("a whole number from {least}") } else { format!("{least} to {most}") },
            )
        }
        Kind::Bool => (value.is_boolean(), "true or false".to_owned()),
        Kind::Json => (!value.is_null(), "any JSON value but null".to_owned()),
        Kind::List(list) => (fits_list(list, value), expected_list(list)),
    };
    if good { Ok(()) } else { Err(expected) }
}
fn is_text(text: &str, longest: usize) -> bool {
    !text.is_empty() && text.len() <= longest && !text.contains('\0')
}
fn fits_list(list: &List, value: &Value) -> bool {
    let Some(elements) = value.as_array() else { return false };
    let texts: Option<Vec<&str>> = elements.iter().map(Value::as_str).collect();
    let Some(mut texts) = texts.filter(|t| t.iter().all(|t| is_text(t, list.longest))) else { return false };
    let count = texts.len();
    texts.sort_unstable();
    texts.dedup();
    (list.least..=list.most).contains(&count) && (!list.distinct || texts.len() == count)
}
fn expected_list(list: &List) -> String {
    let distinct = if list.distinct { "different " } else { "" };
    format!("a list of {} to {} {distinct}texts of 1 to {} bytes", list.least, list.most, list.longest)
}

/// JSON with the fields of objects in order, whatever the map keeps.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut fields: Vec<_> = map.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            Value::Object(fields.into_iter().map(|(k, v)| (k.clone(), sorted(v))).collect())
        }
        Value::Array(list) => list.iter().map(sorted).collect(),
        other => other.clone(),
    }
}
