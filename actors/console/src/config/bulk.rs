//! Files: many rows in, all or nothing, and the whole configuration out.
//!
//! A file is read on a thread of its own, so that other requests go on. An export is of one revision: when a change comes in between, it
//! begins anew. Nothing here holds more than a few files at a time, each within its bound.

use super::changes::commit;
use super::rows::comment;
use super::{csv_file, toml_file};
use crate::reply::{refusal, strange};
use crate::serve::{Call, table};
use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpResponse, web};
use std::collections::BTreeSet;
use tandem_model::admin::config::{
    ConfigDraft, ConfigOp, ConfigReply, ConfigRequest, ConfigTable, Expect, ROWS_PER_PAGE_MAX, RowPage, RowQuery,
};
use tandem_model::admin::{AdminError, ErrorKind};
use tandem_model::config::FILE_BYTES_MAX;

/// How often an export is begun anew before it is given up.
const EXPORTS_MAX: usize = 5;

/// The form of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Toml,
    Csv(ConfigTable),
}
impl Form {
    /// As the query says, else as the media type of the body does, else TOML.
    fn of(call: &Call) -> Result<Self, AdminError> {
        let kind = call.request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let csv = match call.text("format").as_deref() {
            Some(format) => format == "csv",
            None => kind.trim_start().starts_with("text/csv"),
        };
        let named = call.text("table").map(|word| table(&word)).transpose()?;
        match (csv, named) {
            (false, _) => Ok(Self::Toml),
            (true, Some(table)) => Ok(Self::Csv(table)),
            (true, None) => Err(AdminError::new(ErrorKind::Invalid, "a CSV file is of one table, and none is named")
                .remedy("say which: ?table=device")),
        }
    }
}

pub(crate) async fn import(call: &Call) -> HttpResponse {
    let _seat = match call.file_seat() {
        Ok(seat) => seat,
        Err(error) => return refusal(&error),
    };
    match draft(call).await {
        Ok(draft) => commit(call, draft).await,
        Err(error) => refusal(&error),
    }
}

async fn draft(call: &Call) -> Result<ConfigDraft, AdminError> {
    let (form, comment) = (Form::of(call)?, comment(call)?);
    let (body, merge) = (call.body.clone(), call.text("mode").is_none_or(|mode| mode == "merge"));
    let read = web::block(move || read(form, &body, merge)).await;
    let mut ops = read.map_err(|_| AdminError::new(ErrorKind::Unavailable, "the console ends"))??;
    if let (Form::Toml, Some(word)) = (form, call.text("table")) {
        let only = table(&word)?;
        ops.retain(|op| op.table == only);
    }
    ops.iter().try_for_each(|op| call.who.may_table(op.table))?;
    let mut at_revision = None;
    if call.flag("prune") {
        let (gone, revision) = missing(call, &ops).await?;
        ops.extend(gone);
        // What was not there when it was looked at must not be kept, nor what came since be overlooked.
        at_revision = Some(revision);
    }
    Ok(ConfigDraft { author: call.author(), comment, at_revision, dry_run: call.flag("dry_run"), ops })
}

fn read(form: Form, body: &Bytes, merge: bool) -> Result<Vec<ConfigOp>, AdminError> {
    match form {
        Form::Csv(table) => csv_file::read(table, body, merge).map_err(super::Faults::refusal),
        Form::Toml => {
            let text = std::str::from_utf8(body)
                .map_err(|e| AdminError::new(ErrorKind::Invalid, format!("the file is not UTF-8: {e}")))?;
            toml_file::read(text, merge).map_err(super::Faults::refusal)
        }
    }
}

/// Deletes what is in the tables of these ops and not among them. What stands once, and settings, stay.
async fn missing(call: &Call, ops: &[ConfigOp]) -> Result<(Vec<ConfigOp>, u64), AdminError> {
    let keep: BTreeSet<(ConfigTable, &str)> = ops.iter().map(|op| (op.table, op.key.as_str())).collect();
    let lists = |table: &ConfigTable| !matches!(table, ConfigTable::Cluster | ConfigTable::Setting);
    let tables: BTreeSet<ConfigTable> = ops.iter().map(|op| op.table).filter(lists).collect();
    let mut gone = Vec::new();
    let tables: Vec<ConfigTable> = tables.into_iter().collect();
    let revision = every_row(call, &tables, &mut |begin, page: RowPage| {
        if begin {
            gone.clear();
        }
        for row in page.rows.into_iter().filter(|row| !keep.contains(&(row.table, row.key.as_str()))) {
            let expect = Expect::Present;
            gone.push(ConfigOp { table: row.table, key: row.key, fields: None, merge: false, expect, line: None });
        }
        Ok(())
    })
    .await?;
    Ok((gone, revision))
}

/// Reads all rows of `tables` at one revision, page by page; `take` is told when it begins, perhaps anew.
async fn every_row(
    call: &Call,
    tables: &[ConfigTable],
    take: &mut dyn FnMut(bool, RowPage) -> Result<(), AdminError>,
) -> Result<u64, AdminError> {
    for _ in 0..EXPORTS_MAX {
        if let Some(revision) = once(call, tables, take).await? {
            return Ok(revision);
        }
    }
    Err(AdminError::new(ErrorKind::Unavailable, "the configuration changes while it is read").remedy("try again"))
}

/// As [`every_row`]; `None` when a change came in between.
async fn once(
    call: &Call,
    tables: &[ConfigTable],
    take: &mut dyn FnMut(bool, RowPage) -> Result<(), AdminError>,
) -> Result<Option<u64>, AdminError> {
    let mut revision = None;
    for table in tables {
        let mut cursor = None;
        loop {
            let query = RowQuery { cursor: cursor.clone(), limit: Some(ROWS_PER_PAGE_MAX), ..RowQuery::default() };
            let page = match call.config(ConfigRequest::List { table: *table, query }).await? {
                ConfigReply::Rows(page) => page,
                reply => return Err(strange(&reply)),
            };
            let begins = revision.is_none();
            if *revision.get_or_insert(page.revision) != page.revision {
                return Ok(None);
            }
            let next = page.next.clone();
            take(begins, page)?;
            // A cursor that does not move would ask for the same page for ever.
            if next.is_none() || next == cursor {
                break;
            }
            cursor = next;
        }
    }
    Ok(Some(revision.unwrap_or_default()))
}

pub(crate) async fn export(call: &Call) -> HttpResponse {
    match exported(call).await {
        Ok((kind, text)) => HttpResponse::Ok().insert_header((header::CONTENT_TYPE, kind)).body(text),
        Err(error) => refusal(&error),
    }
}

/// A file that grows.
enum Growing {
    Toml(toml_file::Writer),
    Csv(Box<csv_file::Writer>),
}

async fn exported(call: &Call) -> Result<(&'static str, String), AdminError> {
    let _seat = call.file_seat()?;
    let form = Form::of(call)?;
    let named = call.text("table").map(|word| table(&word)).transpose()?;
    let all = || ConfigTable::ALL.into_iter().filter(|t| !t.is_about_people()).collect();
    let tables: Vec<ConfigTable> = named.map_or_else(all, |table| vec![table]);
    tables.iter().try_for_each(|table| call.who.may_table(*table))?;
    let mut file = None;
    every_row(call, &tables, &mut |begins, page: RowPage| {
        if begins {
            file = Some(match form {
                Form::Toml => Growing::Toml(toml_file::Writer::begin(page.revision)),
                Form::Csv(table) => Growing::Csv(Box::new(csv_file::Writer::begin(table)?)),
            });
        }
        let bytes = match &mut file {
            Some(Growing::Toml(writer)) => {
                page.rows.iter().for_each(|row| writer.row(row));
                writer.len()
            }
            Some(Growing::Csv(writer)) => {
                page.rows.iter().try_for_each(|row| writer.row(row))?;
                writer.len()
            }
            None => 0,
        };
        if bytes > FILE_BYTES_MAX {
            let what = format!("the file would be larger than {FILE_BYTES_MAX} bytes");
            return Err(AdminError::new(ErrorKind::TooLarge, what).remedy("export one table at a time: ?table=device"));
        }
        Ok(())
    })
    .await?;
    match file {
        Some(Growing::Csv(writer)) => Ok(("text/csv; charset=utf-8", writer.finish()?)),
        Some(Growing::Toml(writer)) => Ok(("application/toml", writer.finish())),
        None => Err(AdminError::new(ErrorKind::Internal, "no table was read")),
    }
}
