//! The configuration file against the database: the file founds it, and goes on being its source for as long as nobody else has changed it.

use super::access::first_token;
use super::words::document;
use std::collections::BTreeMap;
use tandem_base::UnixMillis;
use tandem_database::{Document, Draft, DraftOp, Reader, StoreError, Table};
use tandem_host::random::Random;
use tandem_model::config::rows::{ConfigRowData, rows_of};

/// Author of what comes from the configuration file.
pub(super) const FILE_AUTHOR: &str = "configuration file";
/// Changes that are looked at to find out whether somebody else has changed the database.
const LOOKED_AT: usize = 1_000;

/// What the configuration file says.
#[derive(Clone, Debug)]
pub struct Seed {
    file: String,
    rows: Vec<ConfigRowData>,
    first_token: Option<DraftOp>,
}

impl Seed {
    /// From the file's text, which was found good before.
    pub fn new(file: &str, text: &str) -> Self {
        Self { file: file.to_owned(), rows: rows_of(text).unwrap_or_default(), first_token: None }
    }
    /// Its rows.
    pub fn rows(&self) -> &[ConfigRowData] {
        &self.rows
    }
    /// With a token that is good once, for whoever founds the database; returns it.
    pub fn with_first_token(&mut self, random: &mut Random, now: UnixMillis) -> String {
        let (token, row) = first_token(random, now);
        self.first_token = Some(row);
        token
    }
    /// What would bring the database in step with the file; none when it is, or when somebody else has changed it: then the database holds.
    pub fn against(&self, store: &Reader, at: UnixMillis) -> Option<Draft> {
        // Before the rows are looked at: there may be a million that somebody else has made.
        if !is_ours(store).ok()? {
            return None;
        }
        let mut ops = self.differs(store).ok()?;
        if store.head().ok()?.revision == 0 {
            ops.extend(self.first_token.clone());
        }
        if ops.is_empty() {
            return None;
        }
        Some(Draft {
            author: FILE_AUTHOR.to_owned(),
            at,
            comment: format!("from {}", self.file),
            ops,
            ..Draft::default()
        })
    }
    /// What differs.
    fn differs(&self, store: &Reader) -> Result<Vec<DraftOp>, StoreError> {
        let (mut ops, mut gone) = (Vec::new(), Vec::new());
        for table in Table::ALL.into_iter().filter(|t| !matches!(t, Table::User | Table::Token)) {
            let ours = self.rows.iter().filter(|row| row.table.word() == table.word());
            let mut wanted: BTreeMap<&str, Document> =
                ours.map(|row| (row.key.as_str(), document(&row.fields))).collect();
            store.each(table, |key, found| match wanted.get(key) {
                Some(document) if *document == found => drop(wanted.remove(key)),
                Some(_) => {}
                None => gone.push(DraftOp::delete(table, key)),
            })?;
            ops.extend(wanted.into_iter().map(|(key, document)| DraftOp::put(table, key, document)));
        }
        // What refers goes before what is referred to.
        ops.extend(gone.into_iter().rev());
        Ok(ops)
    }
}

/// Whether nobody but the file has changed the database.
fn is_ours(store: &Reader) -> Result<bool, StoreError> {
    let history = store.history(None, LOOKED_AT, None)?;
    Ok(history.changes.iter().all(|c| c.author == FILE_AUTHOR) && history.next.is_none())
}
