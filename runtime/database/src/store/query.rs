//! Reading rows: one, a page of a table in the order of its keys, who names a row.

use super::sql::quoted;
use super::{Reader, StoreError};
use crate::row::{Document, Row};
use crate::table::{Kind, Spec, Table};
use rusqlite::params_from_iter;
use rusqlite::types::Value as Sql;
use std::fmt::Write as _;

/// Most rows of a page.
pub(super) const PAGE_MAX: usize = 1_000;

/// A question for a page of a table. All conditions must hold.
#[derive(Clone, Debug)]
pub struct Query {
    /// Of which table.
    pub table: Table,
    /// Only keys after this one: the cursor.
    pub after: Option<String>,
    /// At most so many rows, at most 1000.
    pub limit: usize,
    /// Fields that must hold a value; a list must hold it among its elements. Quick for `pool`, `group`, `members`, `lines`, `digest_user`, `user`.
    pub filters: Vec<Filter>,
    /// Only keys that begin so; quick.
    pub prefix: Option<String>,
    /// Only rows with this text in key, description or a list, whatever the case of its ASCII letters. Reads the table from the cursor on.
    pub search: Option<String>,
}
impl Query {
    /// The first page of a table.
    pub fn of(table: Table) -> Self {
        Self { table, after: None, limit: 100, filters: vec![], prefix: None, search: None }
    }
    /// With a field that must hold a value.
    #[must_use]
    pub fn with(mut self, field: &str, value: &str) -> Self {
        self.filters.push(Filter { field: field.to_owned(), value: value.to_owned() });
        self
    }
}

/// A field and its value, as text.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Which field. A field that the table has not matches nothing; secrets match nothing.
    pub field: String,
    /// Its value, or an element of it.
    pub value: String,
}

/// A page of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The rows, by key.
    pub rows: Vec<Row>,
    /// The cursor of the next page; `None` at the end.
    pub next: Option<String>,
}

/// A row that names another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// In which table.
    pub table: Table,
    /// Which row.
    pub key: String,
    /// In which field.
    pub field: &'static str,
}

impl Reader {
    /// A row's fields.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn get(&self, table: Table, key: &str) -> Result<Option<Document>, StoreError> {
        self.of(table)?.get(&self.db, key).map_err(|e| self.fail(e))
    }
    /// Whether there is such a row.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn exists(&self, table: Table, key: &str) -> Result<bool, StoreError> {
        let Spec { sql, key: column, .. } = table.spec();
        let sql = format!("SELECT 1 FROM {} WHERE {} = ?1", quoted(sql), quoted(column));
        let found = self.db.prepare_cached(&sql).and_then(|mut s| s.exists([key]));
        found.map_err(|e| self.fail(e))
    }
    /// A page of a table.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn list(&self, query: &Query) -> Result<Page, StoreError> {
        let limit = query.limit.clamp(1, PAGE_MAX);
        let statements = self.of(query.table)?;
        let Some((condition, mut values)) = conditions(query) else {
            return Ok(Page { rows: vec![], next: None });
        };
        let key = quoted(query.table.spec().key);
        let sql = format!("{} WHERE {condition} ORDER BY {key} LIMIT ?", statements.columns());
        // One more than asked for tells whether there is a next page.
        values.push(Sql::Integer(i64::try_from(limit + 1).unwrap_or(i64::MAX)));
        let read = || {
            let mut statement = self.db.prepare_cached(&sql)?;
            let rows = statement.query_map(params_from_iter(values), |row| statements.read(&self.db, row))?;
            rows.map(|row| row.map(|(key, document)| Row::new(query.table, key, document)))
                .collect::<rusqlite::Result<_>>()
        };
        let mut rows: Vec<Row> = read().map_err(|e| self.fail(e))?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|row| row.key.clone());
        Ok(Page { rows, next })
    }
    /// How many rows match; cursor and limit do not count.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn count(&self, query: &Query) -> Result<u64, StoreError> {
        let all = Query { after: None, ..query.clone() };
        let Some((condition, values)) = conditions(&all) else { return Ok(0) };
        let sql = format!("SELECT count(*) FROM {} WHERE {condition}", quoted(query.table.spec().sql));
        let count = self
            .db
            .prepare_cached(&sql)
            .and_then(|mut s| s.query_row(params_from_iter(values), |r| r.get::<_, i64>(0)));
        Ok(u64::try_from(count.map_err(|e| self.fail(e))?).unwrap_or(0))
    }
    /// Every row of a table in the order of its keys, for reading the whole configuration at start.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn each(&self, table: Table, mut each: impl FnMut(&str, Document)) -> Result<(), StoreError> {
        self.walk(table, "", |key, document| {
            each(key, document);
            true
        })
    }
    /// Rows after a key in order, while `each` says so.
    pub(super) fn walk(
        &self,
        table: Table,
        after: &str,
        mut each: impl FnMut(&str, Document) -> bool,
    ) -> Result<(), StoreError> {
        let statements = self.of(table)?;
        let mut read = || {
            let mut statement = self.db.prepare_cached(&statements.walk)?;
            let mut rows = statement.query([after])?;
            while let Some(row) = rows.next()? {
                let (key, document) = statements.read(&self.db, row)?;
                if !each(&key, document) {
                    break;
                }
            }
            Ok(())
        };
        read().map_err(|e| self.fail(e))
    }
    /// Who names a row, at most `limit` of them.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn used_by(&self, table: Table, key: &str, limit: usize) -> Result<Vec<Use>, StoreError> {
        let mut uses = Vec::new();
        for user in Table::ALL {
            for column in user.spec().columns.iter().filter(|c| c.references == Some(table)) {
                let spec = user.spec();
                let (from, owner, element) = match column.kind {
                    Kind::List(list) => (list.sql, list.owner, list.element),
                    _ => (spec.sql, spec.key, column.name),
                };
                let sql = format!(
                    "SELECT {owner} FROM {} WHERE {} = ?1 ORDER BY {owner} LIMIT ?2",
                    quoted(from),
                    quoted(element),
                    owner = quoted(owner)
                );
                let left = i64::try_from(limit.saturating_sub(uses.len())).unwrap_or(i64::MAX);
                let read = || {
                    let mut statement = self.db.prepare_cached(&sql)?;
                    let keys = statement.query_map((key, left), |row| row.get::<_, String>(0))?;
                    keys.map(|key| key.map(|key| Use { table: user, key, field: column.name }))
                        .collect::<rusqlite::Result<_>>()
                };
                let found: Vec<Use> = read().map_err(|e| self.fail(e))?;
                uses.extend(found);
            }
        }
        Ok(uses)
    }
    /// How many rows name a row.
    ///
    /// # Errors
    /// As the disk has them.
    pub fn use_count(&self, table: Table, key: &str) -> Result<u64, StoreError> {
        let mut count = 0;
        for user in Table::ALL {
            for column in user.spec().columns.iter().filter(|c| c.references == Some(table)) {
                count += self.count(&Query::of(user).with(column.name, key))?;
            }
        }
        Ok(count)
    }
}

/// The condition with `?` for its values; `None` when nothing can match.
fn conditions(query: &Query) -> Option<(String, Vec<Sql>)> {
    let spec = query.table.spec();
    let key = quoted(spec.key);
    let (mut sql, mut values) = ("1".to_owned(), Vec::new());
    let mut and = |condition: &str, value: &str| {
        let _ = write!(sql, " AND {condition}");
        values.extend((0..condition.matches('?').count()).map(|_| Sql::Text(value.to_owned())));
    };
    if let Some(after) = &query.after {
        and(&format!("{key} > ?"), after);
    }
    if let Some(prefix) = query.prefix.as_deref().filter(|p| !p.is_empty()) {
        and(&format!("{key} >= ?"), prefix);
        // Nothing sorts after the last code point.
        and(&format!("{key} < ?"), &format!("{prefix}\u{10ffff}"));
    }
    for filter in &query.filters {
        if filter.field == spec.key {
            and(&format!("{key} = ?"), &filter.value);
            continue;
        }
        let column = spec.column(&filter.field).filter(|c| !c.secret)?;
        match (&column.kind, filter.value.as_str()) {
            (Kind::List(list), value) => {
                let (child, owner, element) = (quoted(list.sql), quoted(list.owner), quoted(list.element));
                and(&format!("{key} IN (SELECT {owner} FROM {child} WHERE {element} = ?)"), value);
            }
            (Kind::Bool, "true") => and(&format!("{} = 1", quoted(column.name)), ""),
            (Kind::Bool, "false") => and(&format!("coalesce({}, 0) = 0", quoted(column.name)), ""),
            (Kind::Bool, _) => return None,
            (Kind::Integer(..), value) => and(&format!("{} = CAST(? AS INTEGER)", quoted(column.name)), value),
            (_, value) => and(&format!("{} = ?", quoted(column.name)), value),
        }
    }
    if let Some(text) = query.search.as_deref().filter(|t| !t.is_empty()) {
        and(&format!("({})", search(spec)), &pattern(text));
    }
    Some((sql, values))
}

fn search(spec: &Spec) -> String {
    let like = "LIKE ? ESCAPE '\\'";
    let mut any = format!("{} {like}", quoted(spec.key));
    for column in spec.columns.iter().filter(|c| !c.secret) {
        let _ = match column.kind {
            Kind::List(list) => write!(
                any,
                " OR EXISTS (SELECT 1 FROM {child} WHERE {child}.{owner} = {table}.{key} AND {element} {like})",
                child = quoted(list.sql),
                owner = quoted(list.owner),
                table = quoted(spec.sql),
                key = quoted(spec.key),
                element = quoted(list.element)
            ),
            Kind::Text(_) if column.name == "description" || column.unique => {
                write!(any, " OR {} {like}", quoted(column.name))
            }
            _ => Ok(()),
        };
    }
    any
}
/// A text as a pattern of `LIKE` that matches it anywhere.
fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}
