//! Changes: drafts of many rows, history, differences, undoing, and who publishes.
//!
//! Rows about people (users, tokens) are left out of what is shown to who may not see them.

use super::rows::{comment, said};
use crate::access::PEOPLE;
use crate::cluster::node;
use crate::reply::{BULK_TIMEOUT, answer, refusal, strange, written};
use crate::serve::{Call, table};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use tandem_model::admin::config::{
    ChangeBody, ConfigDraft, ConfigReply, ConfigRequest, HISTORY_PER_PAGE, HISTORY_PER_PAGE_MAX, RowDiff,
};
use tandem_model::admin::{AdminError, ErrorKind};

pub(super) fn limit(call: &Call) -> usize {
    let asked = call.number("limit").and_then(|n| usize::try_from(n).ok());
    asked.unwrap_or(HISTORY_PER_PAGE).clamp(1, HISTORY_PER_PAGE_MAX)
}

pub(crate) async fn write(call: &Call) -> HttpResponse {
    match draft(call) {
        Ok(draft) => commit(call, draft).await,
        Err(error) => refusal(&error),
    }
}
fn draft(call: &Call) -> Result<ConfigDraft, AdminError> {
    let mut draft: ConfigDraft = call.json()?;
    draft.ops.iter().try_for_each(|op| call.who.may_table(op.table))?;
    draft.author = call.author();
    draft.dry_run |= call.flag("dry_run");
    let said = comment(call)?;
    if !said.is_empty() {
        draft.comment = said;
    }
    Ok(draft)
}

/// Writes a draft; what is wrong with its ops is told with their lines.
pub(super) async fn commit(call: &Call, draft: ConfigDraft) -> HttpResponse {
    let lines: Vec<Option<u32>> = draft.ops.iter().map(|op| op.line).collect();
    match call.config_within(ConfigRequest::Write(draft), BULK_TIMEOUT).await {
        Ok(ConfigReply::Written(done)) => written(&done, StatusCode::OK),
        Ok(reply) => refusal(&strange(&reply)),
        Err(mut error) => {
            for problem in error.problems.iter_mut().filter(|p| p.line.is_none()) {
                problem.line = problem.op.and_then(|op| lines.get(op).copied().flatten());
            }
            refusal(&error)
        }
    }
}

pub(crate) async fn history(call: &Call) -> HttpResponse {
    let row = match (call.text("table"), call.text("key")) {
        (None, None) => Ok(None),
        (Some(word), Some(key)) => table(&word).and_then(|t| call.who.may_table(t).map(|()| Some((t, key)))),
        _ => Err(AdminError::new(ErrorKind::Invalid, "a row is named by table and key together")),
    };
    match row {
        Ok(row) => {
            said(call.config(ConfigRequest::History { before: call.number("before"), limit: limit(call), row }).await)
        }
        Err(error) => refusal(&error),
    }
}

/// What of these rows the asker may see.
fn seen(call: &Call, rows: Vec<RowDiff>) -> Vec<RowDiff> {
    let people = call.who.may(PEOPLE).is_ok();
    rows.into_iter().filter(|row| people || !row.table.is_about_people()).collect()
}

pub(crate) async fn diff(call: &Call) -> HttpResponse {
    let (from, to) = (call.number("from").unwrap_or_default(), call.number("to"));
    match call.config(ConfigRequest::Diff { from, to }).await {
        Ok(ConfigReply::Diff { rows }) => answer(ConfigReply::Diff { rows: seen(call, rows) }),
        other => said(other),
    }
}

fn revision(call: &Call) -> Result<u64, AdminError> {
    let word = call.place("revision");
    word.parse()
        .map_err(|_| AdminError::new(ErrorKind::Invalid, format!("{word:?} is no revision: it is a whole number")))
}

/// The rows of one change, all of them.
async fn rows(call: &Call, revision: u64) -> Result<Vec<RowDiff>, AdminError> {
    let request = ConfigRequest::Diff { from: revision.saturating_sub(1), to: Some(revision) };
    match call.config(request).await? {
        ConfigReply::Diff { rows } => Ok(rows),
        reply => Err(strange(&reply)),
    }
}

async fn one(call: &Call) -> Result<ChangeBody, AdminError> {
    let number = revision(call)?;
    let request = ConfigRequest::History { before: Some(number.saturating_add(1)), limit: 1, row: None };
    let change = match call.config(request).await? {
        ConfigReply::History { changes, .. } => changes.into_iter().next().filter(|c| c.revision == number),
        reply => return Err(strange(&reply)),
    };
    let change = change.ok_or_else(|| {
        AdminError::new(ErrorKind::NotFound, format!("there is no change {number} in the history"))
            .remedy("`tandem config history` lists those that there are")
    })?;
    Ok(ChangeBody { rows: seen(call, rows(call, number).await?), change })
}
pub(crate) async fn show(call: &Call) -> HttpResponse {
    match one(call).await {
        Ok(body) => answer(body),
        Err(error) => refusal(&error),
    }
}

async fn undo(call: &Call) -> Result<ConfigReply, AdminError> {
    let revision = revision(call)?;
    // Who may not touch people may not bring an earlier one back either.
    if call.who.may(PEOPLE).is_err() && rows(call, revision).await?.iter().any(|row| row.table.is_about_people()) {
        call.who.may(PEOPLE)?;
    }
    let (force, dry_run, author, comment) = (call.flag("force"), call.flag("dry_run"), call.author(), comment(call)?);
    call.config_within(ConfigRequest::Revert { revision, force, dry_run, author, comment }, BULK_TIMEOUT).await
}
pub(crate) async fn revert(call: &Call) -> HttpResponse {
    match undo(call).await {
        Ok(ConfigReply::Written(done)) => written(&done, StatusCode::OK),
        other => said(other),
    }
}

pub(crate) async fn unsent(call: &Call) -> HttpResponse {
    let node = match call.text("node").map(|name| node(&name)).transpose() {
        Ok(node) => node,
        Err(error) => return refusal(&error),
    };
    match call.config(ConfigRequest::Unsent { node }).await {
        Ok(ConfigReply::Unsent { mut changes }) => {
            for change in &mut changes {
                change.rows = seen(call, std::mem::take(&mut change.rows));
            }
            answer(ConfigReply::Unsent { changes })
        }
        other => said(other),
    }
}

pub(crate) async fn promote(call: &Call) -> HttpResponse {
    match node(call.place("name")) {
        Ok(node) => {
            let request = ConfigRequest::Promote { node, force: call.flag("force"), author: call.author() };
            said(call.config(request).await)
        }
        Err(error) => refusal(&error),
    }
}
