//! What the model has to say about a change before it is written: each row by itself, names and numbers that stand for two devices, and the rules
//! between nodes, groups, pools and settings. References are the database's own business; where something is wrong it is asked about them, too.
//!
//! It reads this node's copy: of two changes at two nodes in the same instant each is judged without the other; the database's own rules hold all
//! the same.

use super::store::{fields, rows_with};
use super::words::{self, config_table};
use serde_json::Value;
use std::collections::BTreeSet;
use tandem_database::{Document, Draft, DraftOp, PROBLEMS_MAX, ProblemKind, Query, Reader, Refused, StoreError, Table};
use tandem_model::admin::config::{ConfigTable, RowProblem};
use tandem_model::config::rows::{TypedRow, typed};
use tandem_model::config::{Device, DeviceSeries};

/// From so many device rows on the whole configuration is judged at once: that is cheaper than asking for each name.
const MANY: usize = 2_000;

/// Everything that is wrong with these rows.
///
/// # Errors
/// As the disk has them.
pub(super) fn check(reader: &Reader, ops: &[DraftOp]) -> Result<Vec<RowProblem>, StoreError> {
    let mut problems = Vec::new();
    let (mut devices, mut whole) = (Vec::new(), false);
    for (number, op) in ops.iter().enumerate() {
        let Some(after) = &op.after else {
            whole |= matches!(op.table, Table::Node | Table::Setting | Table::Cluster);
            continue;
        };
        let table = config_table(op.table);
        match typed(table, &op.key, &fields(after.clone())) {
            Ok(TypedRow::Device(device)) => devices.push((number, device)),
            Ok(TypedRow::Other) => {}
            Ok(_) => whole = true,
            Err(problem) => problems.push(at(number, table, &op.key, RowProblem::from(&*problem))),
        }
        if problems.len() >= PROBLEMS_MAX {
            return Ok(problems);
        }
    }
    if whole || devices.len() >= MANY {
        return whole_with(reader, ops, problems);
    }
    let digest = setting(reader, "digest")?.and_then(|v| v.as_bool()).unwrap_or(true);
    let series = all_series(reader)?;
    for (number, device) in devices {
        for mut problem in one_device(reader, ops, &device, digest, &series)? {
            problem = at(number, ConfigTable::Device, device.name.as_str(), problem);
            problems.push(problem);
        }
        if problems.len() >= PROBLEMS_MAX {
            break;
        }
    }
    Ok(problems)
}

/// What is wrong with a draft's rows, and which of the others name a row that is not there: all is told at once. `refused` is what the database says of
/// the draft without the rows that are wrong ([`without`]); who names one of those is not told, as it may be there once it is put right.
pub(super) fn with_references(mut problems: Vec<RowProblem>, refused: &Refused, places: &[usize]) -> Vec<RowProblem> {
    let Refused::Problems(more) = refused else { return problems };
    let wrong: BTreeSet<String> =
        problems.iter().filter_map(|p| Some(Value::from(p.key.as_deref()?).to_string())).collect();
    for found in more.iter().filter(|p| p.kind == ProblemKind::NoSuchReference) {
        let named = found.value.as_ref().is_some_and(|value| wrong.contains(value));
        if let Some(place) = found.op.and_then(|op| places.get(op)).filter(|_| !named) {
            problems.push(RowProblem { op: Some(*place), ..words::problem(found) });
        }
    }
    problems.sort_by_key(|p| p.op);
    problems.truncate(PROBLEMS_MAX);
    problems
}

/// A draft without the rows that are wrong, and where the others stood. `None`: none is left, or nobody knows which they are.
pub(super) fn without(draft: Draft, problems: &[RowProblem]) -> Option<(Draft, Vec<usize>)> {
    if problems.iter().any(|p| p.op.is_none()) {
        return None;
    }
    let (places, ops) = right(draft.ops.into_iter(), problems);
    (!ops.is_empty()).then_some((Draft { ops, at_revision: None, ..draft }, places))
}

/// The rows with which nothing is wrong, and where they stand.
fn right(ops: impl Iterator<Item = DraftOp>, problems: &[RowProblem]) -> (Vec<usize>, Vec<DraftOp>) {
    let wrong: BTreeSet<usize> = problems.iter().filter_map(|p| p.op).collect();
    ops.enumerate().filter(|(place, _)| !wrong.contains(place)).unzip()
}

/// The same by the whole configuration, with what is wrong already. Devices that cannot be read are left out of it: nobody names a device. Where
/// another row cannot be read, what names it cannot be judged.
fn whole_with(reader: &Reader, ops: &[DraftOp], mut problems: Vec<RowProblem>) -> Result<Vec<RowProblem>, StoreError> {
    if problems.is_empty() {
        return everything(reader, ops);
    }
    if problems.iter().any(|p| p.table != Some(ConfigTable::Device)) {
        return Ok(problems);
    }
    let (places, rest) = right(ops.iter().cloned(), &problems);
    for found in everything(reader, &rest)? {
        let op = found.op.and_then(|op| places.get(op)).copied();
        problems.push(RowProblem { op, ..found });
    }
    problems.truncate(PROBLEMS_MAX);
    Ok(problems)
}

fn at(op: usize, table: ConfigTable, key: &str, problem: RowProblem) -> RowProblem {
    RowProblem { op: Some(op), table: Some(table), key: Some(key.to_owned()), ..problem }
}

fn setting(reader: &Reader, name: &str) -> Result<Option<Value>, StoreError> {
    Ok(reader.get(Table::Setting, name)?.and_then(|d| d.get("value").cloned()))
}

pub(super) fn all_series(reader: &Reader) -> Result<Vec<DeviceSeries>, StoreError> {
    let mut all = Vec::new();
    reader.each(Table::DeviceSeries, |key, document| {
        if let Ok(TypedRow::Series(series)) = typed(ConfigTable::DeviceSeries, key, &fields(document)) {
            all.push(series);
        }
    })?;
    Ok(all)
}

/// The whole configuration as it would be, judged like a file.
fn everything(reader: &Reader, ops: &[DraftOp]) -> Result<Vec<RowProblem>, StoreError> {
    let last = ops.iter().map(|op| ((op.table, op.key.as_str()), op.after.as_ref())).collect();
    let rows = rows_with(reader, &last, |after: &Document| fields(after.clone()))?;
    let problems = rows.finish(None).err().map(|p| p.list).unwrap_or_default();
    let place = |problem: &tandem_model::config::Problem| {
        let found = RowProblem::from(problem);
        let named = found.key.as_ref().and_then(|name| name.split_once(' '));
        let number = named.and_then(|(table, key)| ops.iter().position(|o| o.key == key && o.table.word() == table));
        let op = number.and_then(|number| ops.get(number));
        RowProblem {
            op: number,
            table: op.map(|o| config_table(o.table)),
            key: op.map(|o| o.key.clone()).or(found.key.clone()),
            ..found
        }
    };
    Ok(problems.iter().map(place).collect())
}

/// Rules that one device meets among all others.
fn one_device(
    reader: &Reader,
    ops: &[DraftOp],
    device: &Device,
    digest: bool,
    series: &[DeviceSeries],
) -> Result<Vec<RowProblem>, StoreError> {
    let mut problems = Vec::new();
    let mut wrong = |field: &str, what: String, expected: &str| {
        let (field, expected) = (Some(field.to_owned()), Some(expected.to_owned()));
        problems.push(RowProblem { field, what, expected, ..RowProblem::default() });
    };
    if digest && device.password.is_none() && device.ha1_md5.is_none() && device.ha1_sha256.is_none() {
        let expected = "a `password`, hashes, or the setting `digest` = false";
        wrong("password", "it has no password, and devices must prove who they are".to_owned(), expected);
    }
    let alone = "a name and a digest user that no other device has, neither as its name nor as its user or number";
    let name = device.name.as_str();
    let mut texts = vec![("name", name)];
    if device.user() != name {
        texts.push(("digest_user", device.user()));
    }
    for (field, text) in &texts {
        if let Some(other) = taken(reader, ops, series, name, text, true)? {
            wrong(field, format!("{text:?} is also {other}"), alone);
        }
    }
    for line in &device.lines {
        if let Some(other) = taken(reader, ops, series, name, line.as_str(), false)? {
            wrong("lines", format!("{:?} is also {other}", line.as_str()), alone);
        }
    }
    Ok(problems)
}

/// What else this text stands for, apart from the device itself; `lines` too when it is to stand for one device alone.
fn taken(
    reader: &Reader,
    ops: &[DraftOp],
    series: &[DeviceSeries],
    own: &str,
    text: &str,
    lines: bool,
) -> Result<Option<String>, StoreError> {
    let gone =
        |key: &str| ops.iter().rev().find(|op| op.table == Table::Device && op.key == key).map(|op| op.after.as_ref());
    let holds = |document: &Document, field: &str| match field {
        "lines" => document.list("lines").any(|l| l == text),
        _ => document.text(field) == Some(text),
    };
    if text != own && gone(text).map_or(reader.exists(Table::Device, text)?, |after| after.is_some()) {
        return Ok(Some(format!("the name of {text}")));
    }
    for (field, what) in [("digest_user", "the digest user of"), ("lines", "a line of")] {
        if field == "lines" && !lines {
            continue;
        }
        let mut query = Query::of(Table::Device).with(field, text);
        query.limit = 2;
        let found = reader.list(&query)?.rows;
        let found = found.iter().map(|row| row.key.as_str()).filter(|key| *key != own);
        // A row of this very change counts as it will be.
        let mut found = found.filter(|key| gone(key).is_none_or(|after| after.is_some_and(|d| holds(d, field))));
        let new = ops.iter().filter(|op| op.table == Table::Device && op.key != own);
        let mut new = new.filter(|op| op.after.as_ref().is_some_and(|d| holds(d, field))).map(|op| op.key.as_str());
        if let Some(other) = found.next().or_else(|| new.next()) {
            return Ok(Some(format!("{what} {other}")));
        }
    }
    Ok(series.iter().find_map(|s| s.calls(text, lines)))
}
