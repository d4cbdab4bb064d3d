//! The console's questions about the configuration: reads from the copy of a node of this process, writes through its configurator.
//!
//! A node that does not publish hands a change on to the one that does, and the asker hears what that one says.

use super::ask::{Overview, Promote, SetUser, Wanted};
use super::prepare::{in_words, prepare};
use super::store::NodeStore;
use super::{access, check, words};
use crate::call_manager::AskPeer;
use crate::node::Node;
use crate::process::Process;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tandem_base::NodeName;
use tandem_cluster::AskError;
use tandem_database::{AuditEntry as Entry, Draft, Op, Query, Reader, Refused, Row, Table, UserField};
use tandem_host::random::Random;
use tandem_model::admin::config::{
    AuditEntry, ConfigChange, ConfigDraft, ConfigOverview, ConfigReply, ConfigRequest, ConfigRow, ConfigTable,
    CopyStatus, Impact, Proof, ROWS_PER_PAGE, ROWS_PER_PAGE_MAX, RowPage, RowQuery, RowUse, UnsentChange, Written,
};
use tandem_model::admin::{AdminError, ErrorKind};
use tandem_model::config::rows::RowChange;
use tandem_model::timings::ASK_REMOTE;
use tokio::sync::oneshot;

/// How long a change may take until the publisher's disk has it.
const WRITE_PATIENCE: Duration = Duration::from_secs(60);
/// How long another node is waited for.
const PEER_PATIENCE: Duration = Duration::from_secs(30);
/// How often a change of a part of a row is begun anew when somebody else was faster.
const OVERTAKEN_MAX: usize = 16;
/// How often, and how long between, it is looked whether this node's copy has what was faster.
const NEWER_LOOKS: usize = 100;
const NEWER_EVERY: Duration = Duration::from_millis(10);
/// Rows that are named as users of another.
const USES_MAX: usize = 100;

/// What travels when a node hands a change on: the words of the API, prepared and checked.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answered {
    /// It was made.
    Made(ConfigChange),
    /// It was not.
    Refused(Box<AdminError>),
}

pub(super) type Answer<T> = Result<T, AdminError>;

impl Process {
    /// The node that answers: the first of this process that runs and has a copy.
    fn configured(&self) -> Answer<(Arc<Node>, Arc<NodeStore>)> {
        let nodes = self.running();
        let found = nodes.into_iter().find_map(|n| Some((Arc::clone(&n), self.store(&n.me.node)?)));
        found.ok_or_else(crate::process::nobody_runs)
    }

    /// Answers a question about the configuration.
    pub(crate) async fn configuration(&self, request: ConfigRequest) -> Answer<ConfigReply> {
        match request {
            ConfigRequest::Overview => Ok(ConfigReply::Overview(self.config_overview().await?)),
            ConfigRequest::List { table, query } => self.config_list(table, query).await,
            ConfigRequest::Get { table, key, at } => Ok(ConfigReply::Row(self.config_get(table, key, at).await?)),
            ConfigRequest::UsedBy { table, key } => self.config_uses(table, key).await,
            ConfigRequest::Write(draft) => Ok(ConfigReply::Written(self.config_write(draft).await?)),
            ConfigRequest::History { before, limit, row } => self.config_history(before, limit, row).await,
            ConfigRequest::Diff { from, to } => self.config_diff(from, to).await,
            ConfigRequest::Revert { revision, force, dry_run, author, comment } => {
                let (_, store) = self.configured()?;
                let at = self.unix_millis();
                let draft =
                    read(&store, move |r| Ok(r.revert(revision, force))).await?.map_err(|e| words::refused(&e))?;
                let comment = if comment.is_empty() { format!("revert {revision}") } else { comment };
                let draft = Draft { author, at, comment, ..draft };
                Ok(ConfigReply::Written(self.write_draft(draft, dry_run, None).await?))
            }
            ConfigRequest::Promote { node, force, author } => self.config_promote(node, force, author).await,
            ConfigRequest::Unsent { node } => self.config_unsent(node).await,
            ConfigRequest::UserSettings { device } => self.user_settings(device).await,
            ConfigRequest::SetUser { device, field, value, author } => {
                self.set_user(&device, &field, value, author).await?;
                self.user_settings(device).await
            }
            ConfigRequest::Identify(proof) => self.identify(proof).await,
            ConfigRequest::Audit(entry) => self.audit(entry).await,
            ConfigRequest::AuditLog { before, limit } => self.audit_log(before, limit).await,
        }
    }

    async fn config_overview(&self) -> Answer<ConfigOverview> {
        let (node, store) = self.configured()?;
        let asked =
            node.handles.config.as_ref().ok_or_else(crate::process::nobody_runs)?.ask(Overview, ASK_REMOTE).await;
        let Ok(Some((status, now))) = asked else {
            return Err(AdminError::new(ErrorKind::Unavailable, format!("{} does not answer", node.me.node)));
        };
        let unsent = read(&store, |r| r.unsent()).await?.len() as u64;
        let mut copies: Vec<CopyStatus> = status
            .peers
            .iter()
            .map(|p| CopyStatus {
                node: p.node.clone(),
                up: p.up,
                revision: p.revision,
                digest: p.digest.map(|d| d.to_string()),
                lag: p.lag,
            })
            .collect();
        copies.push(CopyStatus {
            node: node.me.node.clone(),
            up: true,
            revision: Some(status.head.revision),
            digest: Some(status.head.digest.to_string()),
            lag: status.lag,
        });
        copies.sort_by(|a, b| a.node.cmp(&b.node));
        Ok(ConfigOverview {
            node: node.me.node.clone(),
            publisher: status.epoch.as_ref().map(|e| e.publisher.clone()),
            epoch: status.epoch.as_ref().map_or(0, |e| e.number),
            away_since: self.away_since(&status, now),
            copies,
            oldest: status.head.oldest,
            failing: status.failing.as_ref().map(ToString::to_string),
            unsent,
        })
    }

    async fn config_list(&self, table: ConfigTable, query: RowQuery) -> Answer<ConfigReply> {
        let (_, store) = self.configured()?;
        let mut wanted = Query::of(words::table(table));
        for (field, value) in &query.filters {
            if words::table(table).spec().column(field).is_none() {
                let known = words::table(table).spec().columns.iter().map(|c| c.name);
                return Err(AdminError { kind: ErrorKind::Invalid, ..AdminError::unknown("field", field, known) });
            }
            wanted = wanted.with(field, value);
        }
        wanted.after = query.cursor;
        wanted.prefix = query.prefix;
        wanted.search = query.search;
        wanted.limit = query.limit.unwrap_or(ROWS_PER_PAGE).clamp(1, ROWS_PER_PAGE_MAX);
        let (page, head) = read(&store, move |r| Ok((r.list(&wanted)?, r.head()?))).await?;
        let rows = page.rows.iter().map(words::shown).collect();
        Ok(ConfigReply::Rows(RowPage { revision: head.revision, rows, next: page.next }))
    }

    async fn config_get(&self, table: ConfigTable, key: String, at: Option<u64>) -> Answer<ConfigRow> {
        let (_, store) = self.configured()?;
        let (wanted, name) = (words::table(table), key.clone());
        let found = read(&store, move |r| {
            Ok(match at {
                None => Ok(r.get(wanted, &key)?.map(|d| Row::new(wanted, key, d))),
                Some(revision) => r.row_at(wanted, &key, revision).map(|d| d.map(|d| Row::new(wanted, key, d))),
            })
        });
        let row = found.await?.map_err(|e| words::refused(&e))?;
        row.as_ref().map(words::shown).ok_or_else(|| missing(table, &name))
    }

    async fn config_uses(&self, table: ConfigTable, key: String) -> Answer<ConfigReply> {
        let (_, store) = self.configured()?;
        let (wanted, name) = (words::table(table), key.clone());
        let found = read(&store, move |r| {
            Ok((r.exists(wanted, &key)?, r.used_by(wanted, &key, USES_MAX)?, r.use_count(wanted, &key)?))
        });
        let (exists, uses, count) = found.await?;
        if !exists {
            return Err(missing(table, &name));
        }
        let more = count.saturating_sub(uses.len() as u64);
        let uses = uses
            .into_iter()
            .map(|u| RowUse { table: words::config_table(u.table), key: u.key, field: u.field.to_owned() })
            .collect();
        Ok(ConfigReply::Uses { uses, more })
    }

    /// A change in the words of the API: what is hidden is looked up, passwords and tokens become hashes.
    async fn config_write(&self, draft: ConfigDraft) -> Answer<Written> {
        let lines: Vec<Option<u32>> = draft.ops.iter().map(|op| op.line).collect();
        for tries_left in (0..OVERTAKEN_MAX).rev() {
            let (_, store) = self.configured()?;
            let (at, draft) = (self.unix_millis(), draft.clone());
            // Tokens are made of it: never from anything smaller.
            let mut random = Random::from_os().map_err(|e| AdminError::new(ErrorKind::Internal, e.to_string()))?;
            let prepared = read(&store, move |reader| Ok(prepare(reader, draft, &mut random, at))).await?;
            let mut prepared = prepared.map_err(|e| with_lines(e, &lines))?;
            let (draft, secret) = (std::mem::take(&mut prepared.draft), prepared.secret.take());
            match self.write_draft(draft, prepared.dry_run, secret).await {
                // Somebody was faster with a row of which this changes a part: once more, on what is there now.
                Err(error) if tries_left > 0 && prepared.was_overtaken(&error) => {
                    self.newer_than(&store, prepared.revision).await?;
                }
                written => return written.map_err(|e| with_lines(e, &lines)),
            }
        }
        Err(AdminError::new(ErrorKind::Unavailable, "others change the same rows at this moment").remedy("try again"))
    }

    /// Waits until the copy has more than `revision`, for a short time.
    async fn newer_than(&self, store: &Arc<NodeStore>, revision: u64) -> Answer<()> {
        for _ in 0..NEWER_LOOKS {
            if read(store, |r| r.head()).await?.revision > revision {
                return Ok(());
            }
            tokio::time::sleep(NEWER_EVERY).await;
        }
        Ok(())
    }

    /// Checks a change, says what it would do, and has the publisher make it.
    async fn write_draft(&self, draft: Draft, dry_run: bool, secret: Option<String>) -> Answer<Written> {
        let (node, store) = self.configured()?;
        let judged = read(&store, move |reader| {
            let problems = check::check(reader, &draft.ops)?;
            // What is made is judged by its commit; nobody else's has to wait for a trial of it.
            let rows = (problems.is_empty() && !dry_run).then(|| reader.preview(&draft));
            Ok((draft, problems, rows))
        });
        let (draft, problems, rows) = judged.await?;
        if !problems.is_empty() {
            let problems = match check::without(draft, &problems) {
                Some((rest, places)) => {
                    let tried = store.ask(move |worker| worker.store().check(&rest)).await?;
                    match tried {
                        Ok(_) => problems,
                        Err(why) => check::with_references(problems, &why, &places),
                    }
                }
                None => problems,
            };
            let text = match problems.as_slice() {
                [one] => format!("{}: {}", one.key.as_deref().unwrap_or("a row"), one.what),
                many => format!("{} rows are not right", many.len()),
            };
            return Err(AdminError { problems, ..AdminError::new(ErrorKind::Invalid, text) });
        }
        let Some(rows) = rows else {
            let tried = store.ask(move |worker| (worker.head().revision, worker.store().check(&draft))).await?;
            let (revision, would) = (tried.0, tried.1.map_err(|e| words::refused(&e))?);
            let (etags, unchanged) = (words::etags(&would.rows), would.rows.is_empty());
            let impact = self.impact(&store, would.rows).await?;
            return Ok(Written { change: None, revision, unchanged, impact, etags, secret: None });
        };
        let rows = rows.map_err(|e| words::refused(&e))?;
        let (etags, unchanged) = (words::etags(&rows), rows.is_empty());
        let impact = self.impact(&store, rows).await?;
        let change = self.make(&node, draft).await?;
        let revision = change.revision;
        Ok(Written { change: Some(change).filter(|_| !unchanged), revision, unchanged, impact, etags, secret })
    }
    async fn impact(&self, store: &Arc<NodeStore>, rows: Vec<Op>) -> Answer<Impact> {
        let rows: Vec<RowChange> = rows.into_iter().filter_map(words::row_change).collect();
        self.live.impact(store, rows).await.map_err(|e| words::broken(&e))
    }

    /// Has a change made: here, or at the publisher.
    async fn make(&self, node: &Arc<Node>, draft: Draft) -> Answer<ConfigChange> {
        let handle = node.handles.config.as_ref().ok_or_else(crate::process::nobody_runs)?;
        let (verdict, heard) = oneshot::channel();
        let silent = || AdminError::new(ErrorKind::Unavailable, format!("{} does not answer", node.me.node));
        handle.tell_vital(Wanted { draft: draft.clone(), verdict }).map_err(|_| silent())?;
        // From here on it may be made although nobody hears of it.
        let silent = || unheard(&node.me.node);
        match tokio::time::timeout(WRITE_PATIENCE, heard).await {
            Ok(Ok(Ok(info))) => Ok(words::change(&info)),
            Ok(Ok(Err(Refused::NotPublisher { publisher, reachable: true }))) => {
                self.hand_on(node, &publisher, draft).await
            }
            Ok(Ok(Err(why @ Refused::NotPublisher { .. }))) => {
                let mut refused = words::refused(&why);
                let asked = handle.ask(Overview, ASK_REMOTE).await.ok().flatten();
                if let Some(since) = asked.and_then(|(status, now)| self.away_since(&status, now)) {
                    refused.message += &format!(" since {}", since.civil());
                }
                Err(refused)
            }
            Ok(Ok(Err(why))) => Err(words::refused(&why)),
            _ => Err(silent()),
        }
    }

    /// Since when this node does not reach the publisher.
    fn away_since(
        &self,
        status: &tandem_database::replication::Status,
        now: tandem_base::Time,
    ) -> Option<tandem_base::UnixMillis> {
        let ago = u64::try_from(now.since(status.publisher_away_since?).as_millis()).unwrap_or(u64::MAX);
        Some(tandem_base::UnixMillis(self.unix_millis().0.saturating_sub(ago)))
    }

    /// Asks the publisher to make it: directly when it is a node of this process.
    async fn hand_on(&self, node: &Arc<Node>, publisher: &NodeName, draft: Draft) -> Answer<ConfigChange> {
        if let Some(here) = self.running().into_iter().find(|n| n.me.node == *publisher && n.me.node != node.me.node) {
            return Box::pin(self.make(&here, draft)).await;
        }
        let payload = serde_json::to_vec(&in_words(draft)).unwrap_or_default();
        let (verdict, heard) = oneshot::channel();
        let ask = AskPeer { to: publisher.clone(), payload: payload.into(), within: PEER_PATIENCE, verdict };
        node.handles
            .manager
            .tell_vital(ask)
            .map_err(|_| AdminError::new(ErrorKind::Unavailable, format!("{} does not answer", node.me.node)))?;
        let silent = || unheard(publisher);
        let answer = match heard.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(AskError::Died(_) | AskError::Deadline)) => return Err(silent()),
            Ok(Err(why)) => {
                let text = format!("the change could not be handed on to the publisher {publisher}: {why}");
                return Err(AdminError::new(ErrorKind::Unavailable, text).remedy(format!(
                    "send it to {publisher} itself; a change of more than 200 KiB is made there only"
                )));
            }
            Err(_) => return Err(silent()),
        };
        match serde_json::from_slice(&answer) {
            Ok(Answered::Made(change)) => Ok(change),
            Ok(Answered::Refused(why)) => Err(*why),
            Err(_) => Err(silent()),
        }
    }

    async fn config_history(
        &self,
        before: Option<u64>,
        limit: usize,
        row: Option<(ConfigTable, String)>,
    ) -> Answer<ConfigReply> {
        let (_, store) = self.configured()?;
        let page = read(&store, move |r| {
            let row = row.as_ref().map(|(table, key)| (words::table(*table), key.as_str()));
            r.history(before, limit, row)
        });
        let page = page.await?;
        Ok(ConfigReply::History { changes: page.changes.iter().map(words::change).collect(), next: page.next })
    }

    async fn config_diff(&self, from: u64, to: Option<u64>) -> Answer<ConfigReply> {
        let (_, store) = self.configured()?;
        let found = read(&store, move |r| {
            let to = match to {
                Some(to) => to,
                None => r.head()?.revision,
            };
            Ok(r.diff(from, to))
        });
        let ops = found.await?.map_err(|e| words::refused(&e))?;
        Ok(ConfigReply::Diff { rows: ops.iter().map(words::diff).collect() })
    }

    async fn config_promote(&self, name: NodeName, force: bool, author: String) -> Answer<ConfigReply> {
        let Some(node) = self.running().into_iter().find(|n| n.me.node == name) else {
            let text = format!("{name} does not run in this process");
            return Err(AdminError::new(ErrorKind::Refused, text).remedy("ask the process that runs it"));
        };
        let handle = node.handles.config.as_ref().ok_or_else(crate::process::nobody_runs)?;
        let (verdict, heard) = oneshot::channel();
        let silent = || AdminError::new(ErrorKind::Unavailable, format!("{name} does not answer"));
        handle.tell_vital(Promote { force, verdict }).map_err(|_| silent())?;
        let epoch = tokio::time::timeout(WRITE_PATIENCE, heard).await.ok().and_then(Result::ok).ok_or_else(silent)?;
        let epoch = epoch.map_err(|e| words::refused(&e))?;
        self.note(&name, "config_promoted", "operator", format!("{name} was made the publisher by {author}"));
        Ok(ConfigReply::Promoted { publisher: epoch.publisher, epoch: epoch.number })
    }

    async fn config_unsent(&self, node: Option<NodeName>) -> Answer<ConfigReply> {
        let store = match &node {
            Some(name) => self.store(name).ok_or_else(|| {
                AdminError::new(ErrorKind::NotFound, format!("{name} is not a node of this process"))
                    .remedy("ask the process that runs it")
            })?,
            None => self.configured()?.1,
        };
        let found = read(&store, |r| {
            r.unsent()?.into_iter().map(|u| r.unsent_rows(u.id).map(|rows| (u, rows))).collect::<Result<Vec<_>, _>>()
        });
        let changes = found.await?;
        let changes = changes.iter().map(|(unsent, rows)| UnsentChange {
            id: unsent.id,
            set_aside_at: unsent.set_aside_at,
            change: words::change(&unsent.info),
            rows: rows.iter().map(words::diff).collect(),
        });
        Ok(ConfigReply::Unsent { changes: changes.collect() })
    }

    async fn user_settings(&self, device: String) -> Answer<ConfigReply> {
        let (_, store) = self.configured()?;
        let name = device.clone();
        let found = read(&store, move |r| {
            let known = device_exists(r, &name)?;
            let all = UserField::ALL.into_iter().map(|f| Ok((f, r.user_setting(&name, f)?)));
            Ok((known, all.collect::<Result<Vec<_>, tandem_database::StoreError>>()?))
        });
        let (known, all) = found.await?;
        if !known {
            return Err(missing(ConfigTable::Device, &device));
        }
        let settings = all.into_iter().filter_map(|(f, s)| Some((f.word().to_owned(), s?.value?))).collect();
        Ok(ConfigReply::UserSettings { device, settings })
    }

    async fn set_user(
        &self,
        device: &str,
        field: &str,
        value: Option<serde_json::Value>,
        author: String,
    ) -> Answer<()> {
        let (node, store) = self.configured()?;
        let known = UserField::ALL.map(UserField::word);
        let field = UserField::from_word(field).ok_or_else(|| AdminError {
            kind: ErrorKind::Invalid,
            ..AdminError::unknown("user setting", field, known)
        })?;
        let name = device.to_owned();
        if !read(&store, move |r| device_exists(r, &name)).await? {
            return Err(missing(ConfigTable::Device, device));
        }
        let handle = node.handles.config.as_ref().ok_or_else(crate::process::nobody_runs)?;
        let (verdict, heard) = oneshot::channel();
        let silent = || AdminError::new(ErrorKind::Unavailable, format!("{} does not answer", node.me.node));
        let ask = SetUser { device: device.to_owned(), field, value, author, verdict };
        handle.tell_vital(ask).map_err(|_| silent())?;
        let set = tokio::time::timeout(WRITE_PATIENCE, heard).await.ok().and_then(Result::ok).ok_or_else(silent)?;
        set.map(drop).map_err(|e| words::refused(&e))
    }

    async fn identify(&self, proof: Proof) -> Answer<ConfigReply> {
        let (node, store) = self.configured()?;
        let now = self.unix_millis();
        let found = read(&store, move |r| access::identify(r, &proof, now)).await?;
        let Some((identity, once)) = found else {
            return Err(AdminError::new(ErrorKind::Unauthorized, "nobody has these credentials"));
        };
        if let Some(delete) = once {
            // It is used up before anything is done with it.
            let author = identity.name.clone();
            let draft = Draft { author, at: now, comment: "used".to_owned(), ops: vec![delete], ..Draft::default() };
            self.make(&node, draft).await?;
        }
        Ok(ConfigReply::Identity(identity))
    }

    async fn audit(&self, entry: AuditEntry) -> Answer<ConfigReply> {
        let (_, store) = self.configured()?;
        let row = Entry {
            id: 0,
            at: self.unix_millis(),
            author: entry.who,
            action: entry.action,
            subject: entry.revision.map(|r| r.to_string()).unwrap_or_default(),
            outcome: entry.status.to_string(),
            detail: entry.from,
        };
        store.ask(move |worker| worker.store().audit(&row)).await?.map_err(|e| words::broken(&e))?;
        Ok(ConfigReply::Done {})
    }

    async fn audit_log(&self, before: Option<i64>, limit: usize) -> Answer<ConfigReply> {
        let (_, store) = self.configured()?;
        let entries = read(&store, move |r| r.audit_entries(before, limit)).await?;
        let next = entries.last().map(|e| e.id).filter(|_| entries.len() >= limit);
        let entries = entries
            .into_iter()
            .map(|e| AuditEntry {
                id: e.id,
                at: e.at,
                who: e.author,
                from: e.detail,
                action: e.action,
                status: e.outcome.parse().unwrap_or_default(),
                revision: e.subject.parse().ok(),
            })
            .collect();
        Ok(ConfigReply::AuditLog { entries, next })
    }
}

/// A question to the copy, with its errors in the API's words.
async fn read<T: Send + 'static>(
    store: &Arc<NodeStore>,
    question: impl FnOnce(&Reader) -> Result<T, tandem_database::StoreError> + Send + 'static,
) -> Answer<T> {
    store.read(question).await.map_err(|e| words::broken(&e))
}

fn device_exists(reader: &Reader, device: &str) -> Result<bool, tandem_database::StoreError> {
    if reader.exists(Table::Device, device)? {
        return Ok(true);
    }
    Ok(check::all_series(reader)?.iter().any(|series| series.has(device)))
}

pub(super) fn missing(table: ConfigTable, key: &str) -> AdminError {
    AdminError::new(ErrorKind::NotFound, format!("there is no {table} {key:?}"))
}

/// A change was given to a node that did not say in time what became of it.
fn unheard(node: &NodeName) -> AdminError {
    let text = format!("{node} does not answer: whether the change was made is not known");
    AdminError::new(ErrorKind::Unavailable, text).remedy("look before you send it again: `tandem config history`")
}

fn with_lines(mut error: AdminError, lines: &[Option<u32>]) -> AdminError {
    for problem in &mut error.problems {
        problem.line = problem.op.and_then(|op| lines.get(op).copied().flatten()).or(problem.line);
    }
    error
}
