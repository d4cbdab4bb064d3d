//! From text to tables: every row is read by itself and every wrong field of it is told, then `check` looks at the rows together.
//!
//! What fields there are comes from the same structs that read them (their JSON Schema), so names are written down once.

use super::check;
use super::report::{Report, SECRETS};
use super::{
    Cluster, Config, Device, DevicePool, DeviceSeries, FILE_BYTES_MAX, Group, Node, Problem, Problems, Settings,
};
use crate::admin::nearest;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};
use xxhash_rust::xxh3::xxh3_64;

const TABLES: [&str; 7] = ["cluster", "node", "group", "device_pool", "device", "device_series", "settings"];
/// Tables that stand once; the others are lists.
const SINGLE: [&str; 2] = ["cluster", "settings"];

type Field<'t> = Spanned<DeValue<'t>>;

/// Where something stands: a table, which of its rows, which field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) table: &'static str,
    pub(super) index: usize,
    pub(super) field: Option<&'static str>,
    /// Which element, when the field is a list.
    pub(super) element: Option<usize>,
}
impl Place {
    pub(super) const fn row(table: &'static str, index: usize) -> Self {
        Self { table, index, field: None, element: None }
    }
    pub(super) const fn field(self, field: &'static str) -> Self {
        Self { field: Some(field), ..self }
    }
    pub(super) const fn element(self, element: usize) -> Self {
        Self { element: Some(element), ..self }
    }
}

/// Where is what: in a parsed text, or in rows of which only the names are known.
pub(super) enum Document<'t> {
    Text(DeTable<'t>),
    /// The names of each table's rows, in their order.
    Rows(BTreeMap<&'static str, Vec<String>>),
}

impl<'t> Document<'t> {
    fn table(&self, table: &str) -> Option<&Field<'t>> {
        match self {
            Self::Text(text) => text.get(table),
            Self::Rows(_) => None,
        }
    }
    fn names(&self, table: &str) -> &[String] {
        match self {
            Self::Text(_) => &[],
            Self::Rows(names) => names.get(table).map_or(&[], Vec::as_slice),
        }
    }
    /// The rows of a table; a single table is one row.
    fn rows(&self, table: &str) -> &[Field<'t>] {
        match self.table(table) {
            Some(value) => match value.get_ref() {
                DeValue::Array(rows) => rows.get(..).unwrap_or_default(),
                _ => std::slice::from_ref(value),
            },
            None => &[],
        }
    }
    fn get(&self, table: &str, index: usize, field: &str) -> Option<&Field<'t>> {
        self.rows(table).get(index)?.get_ref().as_table()?.get(field)
    }
    /// The span of a place, or of what stands around it.
    pub(super) fn span(&self, place: Place) -> Option<Range<usize>> {
        let row = self.rows(place.table).get(place.index)?;
        let Some(field) = place.field.and_then(|f| self.get(place.table, place.index, f)) else {
            return Some(row.span());
        };
        let element = place.element.and_then(|e| field.get_ref().as_array()?.get(e));
        Some(element.unwrap_or(field).span())
    }
    /// What a row is called in messages: `device SEP0007`, `[settings]`.
    pub(super) fn label(&self, place: Place) -> String {
        if SINGLE.contains(&place.table) {
            return format!("[{}]", place.table);
        }
        if let Some(name) = self.names(place.table).get(place.index) {
            return format!("{} {}", place.table, name.escape_debug());
        }
        let name = |field| self.get(place.table, place.index, field).and_then(|v| v.get_ref().as_str());
        match name("name").or_else(|| name("prefix")) {
            Some(name) => format!("{} {}", place.table, name.escape_debug()),
            None => format!("[[{}]] number {}", place.table, place.index + 1),
        }
    }
    /// The `name` of a row, also when the row is wrong otherwise.
    pub(super) fn name(&self, table: &str, index: usize) -> Option<&str> {
        match self {
            Self::Text(_) => self.get(table, index, "name")?.get_ref().as_str(),
            Self::Rows(_) => self.names(table).get(index).map(String::as_str),
        }
    }
    pub(super) fn len(&self, table: &str) -> usize {
        self.rows(table).len().max(self.names(table).len())
    }
}

/// A row and its place in the file, because rows that are wrong are left out.
pub(super) type Row<T> = (usize, T);

/// All rows that could be read.
#[derive(Default)]
pub(super) struct Tables {
    pub(super) cluster: Option<Cluster>,
    pub(super) nodes: Vec<Row<Node>>,
    pub(super) groups: Vec<Row<Group>>,
    pub(super) pools: Vec<Row<DevicePool>>,
    pub(super) devices: Vec<Row<Device>>,
    pub(super) series: Vec<Row<DeviceSeries>>,
    pub(super) settings: Settings,
}

pub(super) fn parse(file: &str, text: &str) -> Result<Config, Problems> {
    let mut report = Report::new(file, text);
    if text.len() > FILE_BYTES_MAX {
        let what = format!("the file has {} bytes", text.len());
        let expected =
            Some(format!("at most {FILE_BYTES_MAX}; use [[device_series]] for devices that differ only in a number"));
        report.error(None, Problem { what, expected, ..Problem::default() });
        return Err(report.finish().err().unwrap_or_default());
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        report.error(error.span().or(Some(0..0)), syntax(error.message()));
    }
    if !report.is_clean() {
        return Err(report.finish().err().unwrap_or_default());
    }
    let document = document.into_inner();
    unknown_tables(&document, &mut report);
    let document = Document::Text(document);
    let tables = Tables {
        cluster: rows::<Cluster>(&document, "cluster", &mut report).pop().map(|(_, row)| row),
        nodes: rows(&document, "node", &mut report),
        groups: rows(&document, "group", &mut report),
        pools: rows(&document, "device_pool", &mut report),
        devices: rows(&document, "device", &mut report),
        series: rows(&document, "device_series", &mut report),
        settings: rows(&document, "settings", &mut report).pop().map(|(_, row)| row).unwrap_or_default(),
    };
    let found = check::check(&document, &tables, &mut report);
    let revision = xxh3_64(text.as_bytes());
    let warnings = report.finish()?;
    found.into_config(tables, warnings, revision).ok_or_else(Problems::default)
}

fn syntax(message: &str) -> Problem {
    let (what, expected) = halves(message);
    Problem { what: format!("this is not TOML: {what}"), expected, ..Problem::default() }
}

/// A message in two: what is wrong, and what was expected.
pub(super) fn halves(message: &str) -> (String, Option<String>) {
    let message = message.trim().replace('\n', ", ");
    let halves = [", expected ", ": expected "].iter().find_map(|by| message.split_once(by));
    match halves {
        None if message == "invalid socket address syntax" => {
            ("not an address".to_owned(), Some(human("socket address")))
        }
        Some((what, expected)) => (what.to_owned(), Some(human(expected))),
        None => (message, None),
    }
}

/// What programmers call a kind of value, as people call it.
fn human(expected: &str) -> String {
    match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" => "a whole number, 0 or more",
        "f64" => "a number",
        "a boolean" => "true or false",
        "a string" | "path string" => "a text in quotes",
        "a sequence" => "a list in brackets",
        "socket address" => "an address with a port, such as \"127.0.0.1:7060\"",
        other => other,
    }
    .to_owned()
}

fn unknown_tables(document: &DeTable<'_>, report: &mut Report<'_>) {
    for (key, value) in document {
        let name: &str = key.get_ref();
        let header = |name: &str| if SINGLE.contains(&name) { format!("[{name}]") } else { format!("[[{name}]]") };
        if !TABLES.contains(&name) {
            let problem = Problem {
                what: format!("there is no table or field {name:?}"),
                nearest: nearest(name, TABLES).map(header),
                expected: Some(format!("one of {}", TABLES.map(header).join(", "))),
                ..Problem::default()
            };
            report.error(Some(key.span()), problem);
            continue;
        }
        let right = match value.get_ref() {
            DeValue::Table(_) => SINGLE.contains(&name),
            DeValue::Array(rows) => !SINGLE.contains(&name) && rows.iter().all(|r| r.get_ref().is_table()),
            _ => false,
        };
        if !right {
            let what = format!("{name:?} is not written as it should be");
            report.error(Some(key.span()), Problem { what, expected: Some(header(name)), ..Problem::default() });
        }
    }
}

/// The names of a struct's fields, and those that must be there.
struct Fields {
    all: BTreeSet<String>,
    required: Vec<String>,
}

fn fields<T: JsonSchema>() -> Fields {
    let schema = schemars::schema_for!(T).to_value();
    let all = schema.get("properties").and_then(|p| p.as_object()).map(|p| p.keys().cloned().collect());
    let required = schema.get("required").and_then(|r| r.as_array());
    let required = required.map(|r| r.iter().filter_map(|f| f.as_str().map(str::to_owned)).collect());
    Fields { all: all.unwrap_or_default(), required: required.unwrap_or_default() }
}

fn rows<T: DeserializeOwned + JsonSchema>(
    document: &Document<'_>,
    table: &'static str,
    report: &mut Report<'_>,
) -> Vec<Row<T>> {
    let fields = fields::<T>();
    let mut found = Vec::with_capacity(document.len(table));
    for (index, row) in document.rows(table).iter().enumerate() {
        if !row.get_ref().is_table() {
            continue;
        }
        let mut reader = RowReader { document, report, place: Place::row(table, index), fields: &fields };
        if let Some(row) = reader.read(row) {
            found.push((index, row));
        }
    }
    found
}

struct RowReader<'a, 'd, 't> {
    document: &'a Document<'d>,
    report: &'a mut Report<'t>,
    place: Place,
    fields: &'a Fields,
}

impl RowReader<'_, '_, '_> {
    /// Reads a row. Every unknown, missing and wrong field is told; then there is no row.
    fn read<T: DeserializeOwned>(&mut self, row: &Field<'_>) -> Option<T> {
        let known = self.unknown_and_missing(row);
        let mut left = row.clone();
        if !known {
            self.keep_known(&mut left);
        }
        // A wrong field is told, taken out, and the rest read again, so that the next wrong one is found too.
        for round in 0..=self.fields.all.len() {
            match T::deserialize(ValueDeserializer::from(left.clone())) {
                Ok(read) => return (known && round == 0).then_some(read),
                Err(error) => {
                    let key = error.span().and_then(|span| key_of(&left, &span))?;
                    self.wrong(&key, error.message(), error.span());
                    take_out(&mut left, &key);
                }
            }
        }
        None
    }

    fn unknown_and_missing(&mut self, row: &Field<'_>) -> bool {
        let Some(table) = row.get_ref().as_table() else { return false };
        let label = self.document.label(self.place);
        let mut good = true;
        for key in table.keys().filter(|k| !self.fields.all.contains::<str>(k.get_ref())) {
            good = false;
            let name: &str = key.get_ref();
            let all: Vec<&str> = self.fields.all.iter().map(String::as_str).collect();
            let problem = Problem {
                row: label.clone(),
                field: Some(name.to_owned()),
                what: format!("there is no field {name:?}"),
                nearest: nearest(name, all.iter().copied()).map(str::to_owned),
                expected: Some(format!("one of {}", all.join(", "))),
                ..Problem::default()
            };
            self.report.error(Some(key.span()), problem);
        }
        for name in self.fields.required.iter().filter(|f| table.get(f.as_str()).is_none()) {
            good = false;
            let problem = Problem {
                row: label.clone(),
                field: Some(name.clone()),
                what: format!("the field {name:?} is missing"),
                expected: Some(format!("a line `{name} = ...`")),
                ..Problem::default()
            };
            self.report.error(Some(row.span()), problem);
        }
        good
    }

    fn keep_known(&self, row: &mut Field<'_>) {
        if let DeValue::Table(table) = row.get_mut() {
            let kept =
                std::mem::take(table).into_iter().filter(|(key, _)| self.fields.all.contains::<str>(key.get_ref()));
            *table = kept.collect();
        }
    }

    fn wrong(&mut self, field: &str, message: &str, span: Option<Range<usize>>) {
        let (what, expected) = halves(message);
        let secret = SECRETS.contains(&field);
        let value = span.as_ref().filter(|_| !secret).and_then(|s| self.report.value(s));
        let options: Vec<&str> = message.split('`').skip(3).step_by(2).collect();
        let near = value.as_deref().filter(|_| what.starts_with("unknown variant"));
        let nearest = near.and_then(|v| nearest(v.trim_matches('"'), options)).map(|n| format!("{n:?}"));
        let problem = Problem {
            row: self.document.label(self.place),
            field: Some(field.to_owned()),
            what: if secret { format!("{field} is not a text") } else { format!("{field}: {}", plain(&what)) },
            expected: if secret { Some("a text in quotes".to_owned()) } else { expected.map(|e| e.replace('`', "\"")) },
            value,
            nearest,
            ..Problem::default()
        };
        self.report.error(span, problem);
    }
}

/// serde's opening words, as people would say them.
pub(super) fn plain(what: &str) -> String {
    let said = what
        .replace("invalid type: ", "not the right kind of value: ")
        .replace("invalid value: ", "not a good value: ");
    said.replace("unknown variant ", "there is no ").replace('`', "\"")
}

/// The field of a row that a span lies in.
fn key_of(row: &Field<'_>, span: &Range<usize>) -> Option<String> {
    let table = row.get_ref().as_table()?;
    let holds = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    let found = table.iter().find(|(key, value)| holds(value.span()) || holds(key.span()))?;
    let name: &str = found.0.get_ref();
    Some(name.to_owned())
}

fn take_out(row: &mut Field<'_>, key: &str) {
    if let DeValue::Table(table) = row.get_mut() {
        table.remove(key);
    }
}
