//! From documents to SQL and back: the statements of each table, made once from its shape.
//!
//! It checks nothing: what is written has been judged by `check`.

use crate::row::Document;
use crate::table::{Kind, List, Table};
use rusqlite::types::{Value as Sql, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row as SqlRow, params_from_iter};
use serde_json::Value;

/// The statements of one table.
pub(crate) struct Statements {
    table: Table,
    select: String,
    insert: String,
    update: String,
    delete: String,
    /// All rows after a key, in order.
    pub(crate) walk: String,
    lists: Vec<ListStatements>,
}
struct ListStatements {
    field: &'static str,
    select: String,
    insert: String,
    delete: String,
}

pub(crate) fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

impl Statements {
    /// Of every table, in their order.
    pub(crate) fn all() -> Vec<Self> {
        Table::ALL.into_iter().map(Self::of).collect()
    }
    fn of(table: Table) -> Self {
        let spec = table.spec();
        let (name, key) = (quoted(spec.sql), quoted(spec.key));
        let plain: Vec<_> = spec.columns.iter().filter(|c| !matches!(c.kind, Kind::List(_))).collect();
        let columns: String = plain.iter().map(|c| format!(", {}", quoted(c.name))).collect();
        let values: String = (0..plain.len()).map(|n| format!(", ?{}", n + 2)).collect();
        let sets: Vec<_> = plain.iter().enumerate().map(|(n, c)| format!("{} = ?{}", quoted(c.name), n + 2)).collect();
        let lists = spec.columns.iter().filter_map(|c| match c.kind {
            Kind::List(list) => Some(ListStatements::of(c.name, list)),
            _ => None,
        });
        Self {
            table,
            select: format!("SELECT {key}{columns} FROM {name} WHERE {key} = ?1"),
            insert: format!("INSERT INTO {name} ({key}{columns}) VALUES (?1{values})"),
            update: format!("UPDATE {name} SET {} WHERE {key} = ?1", sets.join(", ")),
            delete: format!("DELETE FROM {name} WHERE {key} = ?1"),
            walk: format!("SELECT {key}{columns} FROM {name} WHERE {key} > ?1 ORDER BY {key}"),
            lists: lists.collect(),
        }
    }
    /// The beginning of a selection that [`Statements::read`] reads.
    pub(crate) fn columns(&self) -> &str {
        self.select.split_once(" WHERE ").map_or("", |(head, _)| head)
    }
    /// A row by its key.
    pub(crate) fn get(&self, db: &Connection, key: &str) -> rusqlite::Result<Option<Document>> {
        let mut statement = db.prepare_cached(&self.select)?;
        let plain = statement.query_row([key], |row| self.plain(row)).optional()?;
        plain.map(|document| self.with_lists(db, key, document)).transpose()
    }
    /// The row that a selection of [`Statements::columns`] or [`Statements::walk`] is at.
    pub(crate) fn read(&self, db: &Connection, row: &SqlRow<'_>) -> rusqlite::Result<(String, Document)> {
        let key: String = row.get(0)?;
        let document = self.with_lists(db, &key, self.plain(row)?)?;
        Ok((key, document))
    }
    fn plain(&self, row: &SqlRow<'_>) -> rusqlite::Result<Document> {
        let mut document = Document::new();
        let plain = self.table.spec().columns.iter().filter(|c| !matches!(c.kind, Kind::List(_)));
        for (n, column) in plain.enumerate() {
            let value = match row.get_ref(n + 1)? {
                ValueRef::Null => continue,
                ValueRef::Integer(n) if matches!(column.kind, Kind::Bool) => Value::Bool(n != 0),
                ValueRef::Integer(n) => n.into(),
                ValueRef::Real(n) => n.into(),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                    let text = String::from_utf8_lossy(bytes);
                    match column.kind {
                        Kind::Json => serde_json::from_str(&text).unwrap_or_else(|_| Value::from(text.into_owned())),
                        _ => Value::from(text.into_owned()),
                    }
                }
            };
            document.set(column.name, value);
        }
        Ok(document)
    }
    fn with_lists(&self, db: &Connection, key: &str, mut document: Document) -> rusqlite::Result<Document> {
        for list in &self.lists {
            let mut statement = db.prepare_cached(&list.select)?;
            let elements = statement.query_map([key], |row| row.get::<_, String>(0))?;
            let elements: Vec<Value> = elements.map(|e| e.map(Value::from)).collect::<rusqlite::Result<_>>()?;
            if !elements.is_empty() {
                document.set(list.field, elements);
            }
        }
        Ok(document)
    }
    /// Writes a row that is not there.
    pub(crate) fn insert(&self, db: &Connection, key: &str, document: &Document) -> rusqlite::Result<()> {
        db.prepare_cached(&self.insert)?.execute(params_from_iter(self.values(key, document)))?;
        self.lists.iter().try_for_each(|list| list.insert(db, key, document))
    }
    /// Writes a row over one that is there.
    pub(crate) fn update(
        &self,
        db: &Connection,
        key: &str,
        before: &Document,
        after: &Document,
    ) -> rusqlite::Result<()> {
        db.prepare_cached(&self.update)?.execute(params_from_iter(self.values(key, after)))?;
        for list in self.lists.iter().filter(|l| before.get(l.field) != after.get(l.field)) {
            db.prepare_cached(&list.delete)?.execute([key])?;
            list.insert(db, key, after)?;
        }
        Ok(())
    }
    /// Deletes a row.
    pub(crate) fn delete(&self, db: &Connection, key: &str) -> rusqlite::Result<()> {
        for list in &self.lists {
            db.prepare_cached(&list.delete)?.execute([key])?;
        }
        db.prepare_cached(&self.delete)?.execute([key])?;
        Ok(())
    }
    fn values(&self, key: &str, document: &Document) -> impl Iterator<Item = Sql> {
        let columns = self.table.spec().columns.iter().filter(|c| !matches!(c.kind, Kind::List(_)));
        let fields = columns.map(|c| match (document.get(c.name), &c.kind) {
            (None, _) => Sql::Null,
            (Some(value), Kind::Json) => Sql::Text(value.to_string()),
            (Some(Value::Bool(value)), _) => Sql::Integer(i64::from(*value)),
            (Some(Value::Number(n)), _) => n.as_i64().map_or_else(|| Sql::Text(n.to_string()), Sql::Integer),
            (Some(Value::String(text)), _) => Sql::Text(text.clone()),
            (Some(other), _) => Sql::Text(other.to_string()),
        });
        std::iter::once(Sql::Text(key.to_owned())).chain(fields)
    }
}

impl ListStatements {
    fn of(field: &'static str, list: &List) -> Self {
        let (name, owner, element) = (quoted(list.sql), quoted(list.owner), quoted(list.element));
        Self {
            field,
            select: format!("SELECT {element} FROM {name} WHERE {owner} = ?1 ORDER BY position"),
            insert: format!("INSERT INTO {name} ({owner}, position, {element}) VALUES (?1, ?2, ?3)"),
            delete: format!("DELETE FROM {name} WHERE {owner} = ?1"),
        }
    }
    fn insert(&self, db: &Connection, key: &str, document: &Document) -> rusqlite::Result<()> {
        let mut statement = db.prepare_cached(&self.insert)?;
        for (position, element) in (1_i64..).zip(document.list(self.field)) {
            statement.execute((key, position, element))?;
        }
        Ok(())
    }
}
