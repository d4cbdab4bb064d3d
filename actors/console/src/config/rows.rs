//! Rows: overview, lists, one row with its entity tag, and writing one.
//!
//! Conditions are those of RFC 9110 section 13: `If-Match` names the row that the author has seen, `If-None-Match: *` wants none there.

use crate::reply::{answer, quoted, refusal, strange, written};
use crate::routes::ROWS;
use crate::serve::Call;
use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use serde_json::{Map, Value};
use tandem_model::admin::config::{
    ConfigDraft, ConfigOp, ConfigReply, ConfigRequest, ConfigTable, Expect, ROWS_PER_PAGE_MAX, RowQuery,
};
use tandem_model::admin::{AdminError, ErrorKind, nearest};

/// Longest comment of a change, in bytes.
const COMMENT_MAX: usize = 1_024;

pub(crate) async fn overview(call: &Call) -> HttpResponse {
    said(call.config(ConfigRequest::Overview).await)
}
/// 200 with the reply, or its refusal.
pub(super) fn said(reply: Result<ConfigReply, AdminError>) -> HttpResponse {
    match reply {
        Ok(reply) => answer(reply),
        Err(error) => refusal(&error),
    }
}

pub(crate) async fn list(call: &Call) -> HttpResponse {
    let asked = call.table().and_then(|table| Ok((table, row_query(call, table)?)));
    match asked {
        Ok((table, query)) => said(call.config(ConfigRequest::List { table, query }).await),
        Err(error) => refusal(&error),
    }
}
fn row_query(call: &Call, table: ConfigTable) -> Result<RowQuery, AdminError> {
    let filters = call.others(ROWS);
    if let Some(unknown) = filters.keys().find(|f| table.field(f).is_none_or(|f| f.secret)) {
        let known = || table.fields().iter().filter(|f| !f.secret).map(|f| f.name).chain(ROWS.iter().map(|p| p.name));
        let error = AdminError::new(ErrorKind::Invalid, format!("{table} has no field {unknown:?} to look for"));
        let error = AdminError { nearest: nearest(unknown, known()).map(str::to_owned), ..error };
        return Err(error.remedy(format!("known: {}", known().collect::<Vec<_>>().join(", "))));
    }
    let limit = call.number("limit").map(|n| usize::try_from(n).unwrap_or(usize::MAX).clamp(1, ROWS_PER_PAGE_MAX));
    Ok(RowQuery {
        cursor: call.text("cursor"),
        limit,
        filters,
        prefix: call.text("prefix"),
        search: call.text("search"),
    })
}

pub(crate) async fn get(call: &Call) -> HttpResponse {
    let table = match call.table() {
        Ok(table) => table,
        Err(error) => return refusal(&error),
    };
    let request = ConfigRequest::Get { table, key: call.place("key").to_owned(), at: call.number("at") };
    match call.config(request).await {
        Ok(ConfigReply::Row(row)) => {
            let etag = quoted(&row.etag);
            let known = call.request.headers().get(header::IF_NONE_MATCH).and_then(|v| v.to_str().ok());
            if known.is_some_and(|known| known.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag)) {
                return HttpResponse::NotModified().insert_header((header::ETAG, etag)).finish();
            }
            let mut response = answer(ConfigReply::Row(row));
            if let Ok(value) = header::HeaderValue::from_str(&etag) {
                response.headers_mut().insert(header::ETAG, value);
            }
            response
        }
        Ok(reply) => refusal(&strange(&reply)),
        Err(error) => refusal(&error),
    }
}

pub(crate) async fn used_by(call: &Call) -> HttpResponse {
    match call.table() {
        Ok(table) => said(call.config(ConfigRequest::UsedBy { table, key: call.place("key").to_owned() }).await),
        Err(error) => refusal(&error),
    }
}

pub(crate) async fn put(call: &Call) -> HttpResponse {
    let expect = expect(call, Expect::Any);
    // Who wants no row there makes one.
    let status = if matches!(expect, Ok(Expect::Absent)) { StatusCode::CREATED } else { StatusCode::OK };
    let op = expect.and_then(|expect| op(call, Some(call.json()?), false, expect));
    write(call, op, status).await
}
pub(crate) async fn patch(call: &Call) -> HttpResponse {
    let op = expect(call, Expect::Present).and_then(|expect| op(call, Some(call.json()?), true, expect));
    write(call, op, StatusCode::OK).await
}
pub(crate) async fn delete(call: &Call) -> HttpResponse {
    let op = expect(call, Expect::Present).and_then(|expect| op(call, None, false, expect));
    write(call, op, StatusCode::OK).await
}

/// What the conditions of a request want to be there.
fn expect(call: &Call, otherwise: Expect) -> Result<Expect, AdminError> {
    let invalid = |what: &str| AdminError::new(ErrorKind::Invalid, what);
    let header = |name: header::HeaderName| match call.request.headers().get(&name).map(|v| v.to_str()) {
        Some(Err(_)) => Err(invalid(&format!("{name} cannot be read"))),
        Some(Ok(value)) => Ok(Some(value.trim().to_owned())),
        None => Ok(None),
    };
    match (header(header::IF_MATCH)?.as_deref(), header(header::IF_NONE_MATCH)?.as_deref()) {
        (None, None) => Ok(otherwise),
        (Some("*"), None) => Ok(Expect::Present),
        (None, Some("*")) => Ok(Expect::Absent),
        (Some(tag), None) => {
            let plain = tag.strip_prefix('"').and_then(|t| t.strip_suffix('"')).filter(|t| !t.contains('"'));
            plain.map(|tag| Expect::Etag(tag.to_owned())).ok_or_else(|| {
                invalid("If-Match is not one entity tag").remedy("send the ETag of the row as it came, in quotes")
            })
        }
        (None, Some(_)) => Err(invalid("If-None-Match is not *").remedy("`If-None-Match: *` writes only a new row")),
        (Some(_), Some(_)) => Err(invalid("If-Match and If-None-Match together")),
    }
}

fn op(call: &Call, fields: Option<Map<String, Value>>, merge: bool, expect: Expect) -> Result<ConfigOp, AdminError> {
    let table = call.table()?;
    Ok(ConfigOp { table, key: call.place("key").to_owned(), fields, merge, expect, line: None })
}

/// Why, as the author says.
///
/// # Errors
/// It is too long.
pub(super) fn comment(call: &Call) -> Result<String, AdminError> {
    let comment = call.text("comment").unwrap_or_default();
    if comment.len() > COMMENT_MAX {
        return Err(AdminError::new(ErrorKind::Invalid, format!("the comment is longer than {COMMENT_MAX} bytes")));
    }
    Ok(comment)
}

async fn write(call: &Call, op: Result<ConfigOp, AdminError>, status: StatusCode) -> HttpResponse {
    let draft = op.and_then(|op| {
        let (author, comment, dry_run) = (call.author(), comment(call)?, call.flag("dry_run"));
        Ok(ConfigDraft { author, comment, dry_run, at_revision: None, ops: vec![op] })
    });
    let draft = match draft {
        Ok(draft) => draft,
        Err(error) => return refusal(&error),
    };
    match call.config(ConfigRequest::Write(draft)).await {
        Ok(ConfigReply::Written(done)) => {
            let status = if done.change.is_some() { status } else { StatusCode::OK };
            written(&done, status)
        }
        Ok(reply) => refusal(&strange(&reply)),
        Err(error) => refusal(&error),
    }
}
