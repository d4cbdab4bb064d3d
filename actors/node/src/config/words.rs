//! Between the words of the database and those of the model: tables, documents, changes, refusals. Delegation only: neither crate knows the other.

use super::store::fields;
use serde_json::{Map, Value};
use tandem_database::{
    ChangeInfo, Document, Expect as Expected, Op, Problem, ProblemKind, Refused, Row, RowHash, StoreError, Table,
};
use tandem_model::admin::config::{ConfigChange, ConfigRow, ConfigTable, Expect, HIDDEN, RowDiff, RowProblem};
use tandem_model::admin::{AdminError, ErrorKind};
use tandem_model::config::rows::RowChange;

/// A table of the model in the database.
pub(super) fn table(table: ConfigTable) -> Table {
    match table {
        ConfigTable::Cluster => Table::Cluster,
        ConfigTable::Node => Table::Node,
        ConfigTable::Group => Table::Group,
        ConfigTable::DevicePool => Table::DevicePool,
        ConfigTable::Device => Table::Device,
        ConfigTable::DeviceSeries => Table::DeviceSeries,
        ConfigTable::Setting => Table::Setting,
        ConfigTable::User => Table::User,
        ConfigTable::Token => Table::Token,
    }
}

/// A table of the database in the model.
pub(super) fn config_table(table: Table) -> ConfigTable {
    match table {
        Table::Cluster => ConfigTable::Cluster,
        Table::Node => ConfigTable::Node,
        Table::Group => ConfigTable::Group,
        Table::DevicePool => ConfigTable::DevicePool,
        Table::Device => ConfigTable::Device,
        Table::DeviceSeries => ConfigTable::DeviceSeries,
        Table::Setting => ConfigTable::Setting,
        Table::User => ConfigTable::User,
        Table::Token => ConfigTable::Token,
    }
}

/// Fields as a document.
pub(super) fn document(fields: &Map<String, Value>) -> Document {
    Document::from(fields.clone())
}

/// A row as people may see it.
pub(super) fn shown(row: &Row) -> ConfigRow {
    ConfigRow {
        table: config_table(row.table),
        key: row.key.clone(),
        etag: row.hash().to_string(),
        fields: fields(row.document.masked()),
    }
}

/// A changed row as the node's parts want it, secrets and all.
pub(crate) fn row_change(op: Op) -> Option<RowChange> {
    Some(RowChange {
        table: config_table(op.table),
        key: op.key,
        before: op.before.map(fields),
        after: op.after.map(fields),
    })
}

/// A changed row as people may see it.
pub(super) fn diff(op: &Op) -> RowDiff {
    let masked = |document: &Option<Document>| document.as_ref().map(|d| fields(d.masked()));
    RowDiff { table: config_table(op.table), key: op.key.clone(), before: masked(&op.before), after: masked(&op.after) }
}

/// A committed change.
pub(super) fn change(info: &ChangeInfo) -> ConfigChange {
    ConfigChange {
        revision: info.revision,
        author: info.author.clone(),
        at: info.at,
        comment: info.comment.clone(),
        ops: info.ops,
        publisher: info.epoch.publisher.clone(),
    }
}

/// The entity tags of rows after a change, in its order.
pub(super) fn etags(rows: &[Op]) -> Vec<Option<String>> {
    let tag = |op: &Op| op.after.as_ref().map(|d| RowHash::of_row(op.table, &op.key, d).to_string());
    rows.iter().map(tag).collect()
}

/// What an author expects.
pub(super) fn expect(expect: &Expect) -> Result<Expected, AdminError> {
    Ok(match expect {
        Expect::Any => Expected::Any,
        Expect::Absent => Expected::Absent,
        Expect::Present => Expected::Present,
        Expect::Etag(tag) => match u128::from_str_radix(tag.trim_matches('"'), 16) {
            Ok(hash) if tag.trim_matches('"').len() == 32 => Expected::Exactly(RowHash(hash)),
            _ => {
                let text = format!("{tag:?} is not an entity tag");
                return Err(
                    AdminError::new(ErrorKind::Invalid, text).remedy("32 hexadecimal digits, as in a row's ETag")
                );
            }
        },
    })
}

/// Lays fields over a row (RFC 7396); `"*"` for a secret leaves it as it is.
pub(super) fn merged(before: Option<&Document>, given: &Map<String, Value>, merge: bool) -> Document {
    let old = before.cloned().map(fields).unwrap_or_default();
    let mut new = if merge { old.clone() } else { Map::new() };
    for (field, value) in given {
        let kept = tandem_database::is_secret(field) && value.as_str() == Some(HIDDEN);
        match (kept, old.get(field)) {
            (true, Some(secret)) => drop(new.insert(field.clone(), secret.clone())),
            (true, None) => {}
            (false, _) if value.is_null() => drop(new.remove(field)),
            (false, _) => drop(new.insert(field.clone(), value.clone())),
        }
    }
    Document::from(new)
}

/// One problem of a row.
pub(super) fn problem(problem: &Problem) -> RowProblem {
    // The field is told on its own.
    let what = problem.field.and_then(|field| problem.what.strip_prefix(field)?.strip_prefix(": "));
    RowProblem {
        op: problem.op,
        line: None,
        table: Some(config_table(problem.table)),
        key: Some(problem.key.clone()),
        field: problem.field.map(str::to_owned),
        value: problem.value.clone(),
        what: what.unwrap_or(&problem.what).to_owned(),
        expected: Some(problem.expected.clone()),
    }
}

/// A refusal of the database as the API says it.
pub(super) fn refused(why: &Refused) -> AdminError {
    let plain = |kind| AdminError::new(kind, why.to_string());
    match why {
        Refused::Problems(problems) => {
            let only = |kind| problems.iter().all(|p| p.kind == kind);
            let kind = if only(ProblemKind::Changed) {
                ErrorKind::Precondition
            } else if only(ProblemKind::Absent) {
                ErrorKind::NotFound
            } else if problems.iter().all(|p| matches!(p.kind, ProblemKind::InUse | ProblemKind::Exists)) {
                ErrorKind::Refused
            } else {
                ErrorKind::Invalid
            };
            AdminError { problems: problems.iter().map(problem).collect(), ..plain(kind) }
        }
        Refused::Stale { .. } => {
            plain(ErrorKind::Precondition).remedy("look at what has changed: `tandem config history`")
        }
        Refused::TooMuch { .. } => plain(ErrorKind::TooLarge),
        Refused::NotPublisher { reachable: false, .. } => plain(ErrorKind::Unavailable)
            .remedy("wait for it, or make another node the publisher: `tandem node promote NAME`"),
        Refused::NotPublisher { .. } => plain(ErrorKind::Refused).remedy("send it to that node"),
        Refused::NotReady { .. } | Refused::Busy => plain(ErrorKind::Unavailable).remedy("try again in a moment"),
        Refused::Behind { .. } | Refused::TouchedSince(_) | Refused::OldEpoch { .. } => plain(ErrorKind::Refused),
        Refused::NotInLog { .. } => plain(ErrorKind::NotFound),
        Refused::Store(why) => broken(why),
        Refused::OutOfOrder { .. } | Refused::Diverged { .. } | Refused::Unreadable { .. } => {
            plain(ErrorKind::Internal)
        }
    }
}

/// A disk that fails, as the API says it.
pub(super) fn broken(why: &StoreError) -> AdminError {
    let remedy = match why {
        StoreError::DiskFull(_) => "make room; nothing was changed, and the node goes on serving from its copy",
        StoreError::ReadOnly(_) => {
            "make the disk writable again; nothing was changed, and the node goes on serving from its copy"
        }
        _ => "see the node's events; nothing was changed",
    };
    AdminError::new(ErrorKind::Unavailable, format!("the configuration database: {why}")).remedy(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_the_same_words_on_both_sides() {
        for one in ConfigTable::ALL {
            assert_eq!(table(one).word(), one.word());
            assert_eq!(config_table(table(one)), one);
        }
    }

    #[test]
    fn a_hidden_secret_stays_and_null_takes_away() {
        let before = Document::new().with("password", "hunter2").with("description", "old").with("pool", "DP1");
        let given = serde_json::json!({"password": "*", "description": null, "pool": "DP2"});
        let given = given.as_object().unwrap();
        let wanted = Document::new().with("password", "hunter2").with("pool", "DP2");
        assert_eq!(merged(Some(&before), given, true), wanted);
        assert_eq!(merged(Some(&before), given, false), wanted);
        let short = serde_json::json!({"pool": "DP3"});
        assert_eq!(merged(Some(&before), short.as_object().unwrap(), false), Document::new().with("pool", "DP3"));
        assert_eq!(merged(None, given, false).get("password"), None, "nothing was hidden there");
    }
}
