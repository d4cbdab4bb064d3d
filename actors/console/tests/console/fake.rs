//! A small configuration in memory: rows with entity tags, changes with revisions, refusals, people. It stands in for the nodes, so that
//! the console's part can be seen alone: what it asks and what it makes of answers.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use tandem_base::UnixMillis;
use tandem_model::admin::config::{
    AuditEntry, ConfigChange, ConfigDraft, ConfigOp, ConfigOverview, ConfigReply, ConfigRequest, ConfigRow,
    ConfigTable, CopyStatus, Expect, Identity, Impact, Proof, ROWS_PER_PAGE, Role, RowDiff, RowPage, RowProblem,
    RowQuery, RowUse, UnsentChange, Written,
};
use tandem_model::admin::{AdminError, ErrorKind};

type Fields = Map<String, Value>;
type Rows = BTreeMap<(ConfigTable, String), Fields>;

/// See the module.
pub(crate) struct Configuration {
    rows: Rows,
    changes: Vec<(ConfigChange, Vec<RowDiff>)>,
    settings: BTreeMap<String, Fields>,
    pub(crate) audit: Vec<AuditEntry>,
    /// Refuses every write: the publisher is away.
    pub(crate) away: bool,
}

fn map(value: Value) -> Fields {
    value.as_object().unwrap().clone()
}
fn refused(kind: ErrorKind, message: impl Into<String>) -> AdminError {
    AdminError::new(kind, message)
}
pub(crate) fn etag(fields: &Fields) -> String {
    let mut hasher = DefaultHasher::new();
    json!(fields).to_string().hash(&mut hasher);
    format!("{:032x}", hasher.finish())
}

impl Default for Configuration {
    fn default() -> Self {
        let mut new =
            Self { rows: Rows::new(), changes: Vec::new(), settings: BTreeMap::new(), audit: Vec::new(), away: false };
        let put = |table, key: &str, fields| ConfigOp {
            table,
            key: key.to_owned(),
            fields: Some(map(fields)),
            merge: false,
            expect: Expect::Any,
            line: None,
        };
        let ops = vec![
            put(ConfigTable::Cluster, "cluster", json!({"name": "lab", "secret": "0123456789abcdef"})),
            put(ConfigTable::Node, "CCM1", json!({"address": ["127.0.0.1"]})),
            put(ConfigTable::Node, "CCM2", json!({"address": ["127.0.0.2"]})),
            put(ConfigTable::Group, "G1", json!({"members": ["CCM1", "CCM2"]})),
            put(ConfigTable::DevicePool, "DP1", json!({"group": "G1"})),
            put(ConfigTable::Device, "SEP1", json!({"pool": "DP1", "password": "s3cret", "lines": ["1001"]})),
            put(ConfigTable::Device, "SEP2", json!({"pool": "DP1", "description": "lobby"})),
            put(ConfigTable::Setting, "digest", json!({"value": true})),
            put(ConfigTable::User, "olga", json!({"role": "admin", "password_hash": "h"})),
        ];
        new.write(&ConfigDraft { author: "founder".to_owned(), ops, ..ConfigDraft::default() }).unwrap();
        new
    }
}

impl Configuration {
    pub(crate) fn answer(&mut self, request: ConfigRequest) -> Result<ConfigReply, AdminError> {
        match request {
            ConfigRequest::Overview => Ok(self.overview()),
            ConfigRequest::List { table, query } => Ok(ConfigReply::Rows(self.list(table, &query))),
            ConfigRequest::Get { table, key, at } => self.get(table, &key, at).map(ConfigReply::Row),
            ConfigRequest::UsedBy { table, key } => {
                self.get(table, &key, None)?;
                Ok(ConfigReply::Uses { uses: self.uses(table, &key), more: 0 })
            }
            ConfigRequest::Write(draft) => self.write(&draft).map(ConfigReply::Written),
            ConfigRequest::History { before, limit, row } => Ok(self.history(before, limit, row.as_ref())),
            ConfigRequest::Diff { from, to } => self.diff(from, to),
            ConfigRequest::Revert { revision, force, dry_run, author, comment } => {
                self.revert(revision, force, dry_run, (author, comment))
            }
            ConfigRequest::Promote { node, force: true, .. } => Ok(ConfigReply::Promoted { publisher: node, epoch: 2 }),
            ConfigRequest::Promote { .. } => {
                Err(refused(ErrorKind::Refused, "CCM1 has revision 9, CCM2 has 7").remedy("promote CCM1, or force it"))
            }
            ConfigRequest::Unsent { .. } => {
                let aside = |(change, rows): &(ConfigChange, Vec<RowDiff>)| UnsentChange {
                    id: 1,
                    set_aside_at: UnixMillis(5),
                    change: change.clone(),
                    rows: rows.clone(),
                };
                Ok(ConfigReply::Unsent { changes: self.changes.first().map(aside).into_iter().collect() })
            }
            ConfigRequest::UserSettings { device } => self.user_settings(device),
            ConfigRequest::SetUser { device, field, value, .. } => {
                let settings = self.settings.entry(device.clone()).or_default();
                match value {
                    Some(value) => drop(settings.insert(field, value)),
                    None => drop(settings.remove(&field)),
                }
                self.user_settings(device)
            }
            ConfigRequest::Identify(proof) => identify(&proof).map(ConfigReply::Identity),
            ConfigRequest::Audit(entry) => {
                self.audit.push(AuditEntry { id: self.audit.len() as i64 + 1, ..entry });
                Ok(ConfigReply::Done {})
            }
            ConfigRequest::AuditLog { limit, .. } => {
                let entries = self.audit.iter().rev().take(limit).cloned().collect();
                Ok(ConfigReply::AuditLog { entries, next: None })
            }
        }
    }

    pub(crate) fn revision(&self) -> u64 {
        self.changes.len() as u64
    }
    fn overview(&self) -> ConfigReply {
        let node: tandem_base::NodeName = "CCM1".parse().unwrap();
        let copy = CopyStatus { node: node.clone(), up: true, revision: Some(self.revision()), digest: None, lag: 0 };
        ConfigReply::Overview(ConfigOverview {
            node: node.clone(),
            publisher: Some(node),
            epoch: 1,
            away_since: self.away.then_some(UnixMillis(1_700_000_000_000)),
            copies: vec![copy],
            oldest: 1,
            failing: None,
            unsent: 0,
        })
    }
    fn shown(table: ConfigTable, key: &str, fields: &Fields) -> ConfigRow {
        let secret = |name: &str| table.field(name).is_some_and(|f| f.secret);
        let shown = fields.iter().map(|(k, v)| (k.clone(), if secret(k) { "*".into() } else { v.clone() })).collect();
        ConfigRow { table, key: key.to_owned(), etag: etag(fields), fields: shown }
    }
    fn list(&self, table: ConfigTable, query: &RowQuery) -> RowPage {
        let has = |value: &Value, wanted: &str| match value {
            Value::String(text) => text == wanted,
            Value::Array(list) => list.iter().any(|v| v == wanted),
            other => serde_json::from_str::<Value>(wanted).is_ok_and(|w| w == *other),
        };
        let fits = |key: &str, fields: &Fields| {
            query.cursor.as_deref().is_none_or(|c| key > c)
                && query.prefix.as_deref().is_none_or(|p| key.starts_with(p))
                && query.search.as_deref().is_none_or(|s| key.contains(s) || json!(fields).to_string().contains(s))
                && query.filters.iter().all(|(f, wanted)| fields.get(f).is_some_and(|v| has(v, wanted)))
        };
        let all: Vec<_> = self.rows.iter().filter(|((t, k), f)| *t == table && fits(k, f)).collect();
        let limit = query.limit.unwrap_or(ROWS_PER_PAGE);
        let rows: Vec<_> = all.iter().take(limit).map(|((t, k), f)| Self::shown(*t, k, f)).collect();
        let next = rows.last().filter(|_| all.len() > limit).map(|r| r.key.clone());
        RowPage { revision: self.revision(), rows, next }
    }
    fn get(&self, table: ConfigTable, key: &str, at: Option<u64>) -> Result<ConfigRow, AdminError> {
        let rows = at.map_or_else(|| self.rows.clone(), |at| self.as_of(at));
        let found = rows.get(&(table, key.to_owned())).map(|fields| Self::shown(table, key, fields));
        let known = rows.keys().filter(|(t, _)| *t == table).map(|(_, k)| k.as_str());
        found.ok_or_else(|| AdminError::unknown(table.word(), key, known))
    }
    fn as_of(&self, revision: u64) -> Rows {
        let mut rows = self.rows.clone();
        for (_, diffs) in self.changes.iter().rev().take_while(|(c, _)| c.revision > revision) {
            for diff in diffs.iter().rev() {
                match &diff.before {
                    Some(before) => drop(rows.insert((diff.table, diff.key.clone()), before.clone())),
                    None => drop(rows.remove(&(diff.table, diff.key.clone()))),
                }
            }
        }
        rows
    }
    fn uses(&self, table: ConfigTable, key: &str) -> Vec<RowUse> {
        let field = match table {
            ConfigTable::DevicePool => "pool",
            ConfigTable::Group => "group",
            ConfigTable::Node => "members",
            _ => return Vec::new(),
        };
        let names = |v: &Value| v == key || v.as_array().is_some_and(|l| l.iter().any(|e| e == key));
        let using = self.rows.iter().filter(|(_, f)| f.get(field).is_some_and(names));
        using.map(|((table, key), _)| RowUse { table: *table, key: key.clone(), field: field.to_owned() }).collect()
    }

    fn write(&mut self, draft: &ConfigDraft) -> Result<Written, AdminError> {
        if self.away {
            return Err(refused(ErrorKind::Unavailable, "the publisher CCM1 cannot be reached since 10:00")
                .remedy("promote another node: `tandem node promote CCM2`"));
        }
        if draft.at_revision.is_some_and(|r| r != self.revision()) {
            return Err(refused(ErrorKind::Precondition, format!("the database is at revision {}", self.revision())));
        }
        let mut rows = self.rows.clone();
        let (mut diffs, mut etags, mut problems, mut secret) = (Vec::new(), Vec::new(), Vec::new(), None);
        for (n, op) in draft.ops.iter().enumerate() {
            let before = rows.get(&(op.table, op.key.clone())).cloned();
            self.expected(op, before.as_ref())?;
            let mut after = op.fields.as_ref().map(|fields| laid(before.as_ref(), fields, op.merge));
            if let Some(fields) = &mut after {
                secret = secret.or(kept(op.table, fields)?);
            }
            if let Some(problem) = after.as_ref().and_then(|f| wrong(op, f)) {
                problems.push(RowProblem { op: Some(n), ..problem });
            }
            etags.push(after.as_ref().map(etag));
            match &after {
                Some(fields) => drop(rows.insert((op.table, op.key.clone()), fields.clone())),
                None => drop(rows.remove(&(op.table, op.key.clone()))),
            }
            if before != after {
                diffs.push(RowDiff { table: op.table, key: op.key.clone(), before, after });
            }
        }
        for (n, op) in draft.ops.iter().enumerate() {
            let pool = op.fields.as_ref().and_then(|f| f.get("pool")).and_then(Value::as_str);
            if let Some(pool) = pool.filter(|p| !rows.contains_key(&(ConfigTable::DevicePool, (*p).to_owned()))) {
                let (table, key) = (Some(op.table), Some(op.key.clone()));
                let what = format!("there is no device pool {pool:?}");
                problems.push(RowProblem {
                    op: Some(n),
                    table,
                    key,
                    field: Some("pool".to_owned()),
                    what,
                    ..RowProblem::default()
                });
            }
        }
        if !problems.is_empty() {
            let error = refused(ErrorKind::Refused, format!("{} rows are not right", problems.len()));
            return Err(AdminError { problems, ..error });
        }
        let impact = Impact {
            reregister: diffs.len() as u64,
            sentence: format!("{} devices re-register", diffs.len()),
            ..Impact::default()
        };
        let unchanged = diffs.is_empty();
        let change = (!draft.dry_run && !unchanged).then(|| ConfigChange {
            revision: self.revision() + 1,
            author: draft.author.clone(),
            at: UnixMillis(1_700_000_000_000),
            comment: draft.comment.clone(),
            ops: diffs.len() as u64,
            publisher: "CCM1".parse().unwrap(),
        });
        if let Some(change) = &change {
            self.rows = rows;
            self.changes.push((change.clone(), diffs));
        }
        Ok(Written { change, revision: self.revision(), unchanged, impact, etags, secret })
    }
    fn expected(&self, op: &ConfigOp, before: Option<&Fields>) -> Result<(), AdminError> {
        let is = before.map(etag);
        let good = match &op.expect {
            Expect::Any => op.fields.is_some() || before.is_some(),
            Expect::Absent => before.is_none(),
            Expect::Present => before.is_some(),
            Expect::Etag(wanted) => is.as_ref() == Some(wanted),
        };
        match (good, before) {
            (true, _) => Ok(()),
            (false, None) if op.expect != Expect::Absent => self.get(op.table, &op.key, None).map(|_| ()),
            (false, _) => {
                let error = refused(ErrorKind::Precondition, format!("{} {} is not as expected", op.table, op.key));
                Err(AdminError { etag: is, ..error })
            }
        }
    }
    fn history(&self, before: Option<u64>, limit: usize, row: Option<&(ConfigTable, String)>) -> ConfigReply {
        let touches = |diffs: &[RowDiff]| row.is_none_or(|(t, k)| diffs.iter().any(|d| d.table == *t && d.key == *k));
        let all = self.changes.iter().rev().filter(|(c, d)| before.is_none_or(|b| c.revision < b) && touches(d));
        let changes: Vec<_> = all.clone().take(limit).map(|(c, _)| c.clone()).collect();
        let next = changes.last().filter(|_| all.count() > limit).map(|c| c.revision);
        ConfigReply::History { changes, next }
    }
    fn diff(&self, from: u64, to: Option<u64>) -> Result<ConfigReply, AdminError> {
        let to = to.unwrap_or_else(|| self.revision());
        if from > to || to > self.revision() {
            return Err(refused(ErrorKind::NotFound, format!("there is no revision {}", from.max(to))));
        }
        let between = self.changes.iter().filter(|(c, _)| c.revision > from && c.revision <= to);
        Ok(ConfigReply::Diff { rows: between.flat_map(|(_, d)| d.clone()).collect() })
    }
    fn revert(
        &mut self,
        revision: u64,
        force: bool,
        dry_run: bool,
        (author, comment): (String, String),
    ) -> Result<ConfigReply, AdminError> {
        let ConfigReply::Diff { rows } = self.diff(revision.saturating_sub(1), Some(revision))? else { unreachable!() };
        if !force && revision < self.revision() {
            return Err(refused(ErrorKind::Refused, "later changes touched the same rows").remedy("force it"));
        }
        let undo = |d: RowDiff| ConfigOp {
            table: d.table,
            key: d.key,
            fields: d.before,
            merge: false,
            expect: Expect::Any,
            line: None,
        };
        let ops = rows.into_iter().map(undo).collect();
        let draft = ConfigDraft { author, comment, dry_run, ops, ..ConfigDraft::default() };
        self.write(&draft).map(ConfigReply::Written)
    }
    fn user_settings(&self, device: String) -> Result<ConfigReply, AdminError> {
        self.get(ConfigTable::Device, &device, None)?;
        let settings = self.settings.get(&device).cloned().unwrap_or_default();
        Ok(ConfigReply::UserSettings { device, settings })
    }
}

/// Passwords and tokens as they are kept; a new token is told.
fn kept(table: ConfigTable, fields: &mut Fields) -> Result<Option<String>, AdminError> {
    match (table, fields.remove("password")) {
        (ConfigTable::User, Some(password)) if password.as_str().is_none_or(|p| p.len() < 10) => {
            Err(refused(ErrorKind::Invalid, "the password is too short"))
        }
        (ConfigTable::User, Some(_)) => {
            fields.insert("password_hash".to_owned(), "hash".into());
            Ok(None)
        }
        (ConfigTable::Token, _) if !fields.contains_key("token_hash") => {
            fields.insert("token_hash".to_owned(), "hash".into());
            Ok(Some("told-this-once".to_owned()))
        }
        (_, Some(password)) => {
            fields.insert("password".to_owned(), password);
            Ok(None)
        }
        _ => Ok(None),
    }
}

/// Fields laid over those that are there; a secret that is `*` stays.
fn laid(before: Option<&Fields>, fields: &Fields, merge: bool) -> Fields {
    let mut after = if merge { before.cloned().unwrap_or_default() } else { Fields::new() };
    for (name, value) in fields {
        match value {
            Value::Null => drop(after.remove(name)),
            Value::String(hidden) if hidden == "*" => {
                if let Some(kept) = before.and_then(|b| b.get(name)) {
                    after.insert(name.clone(), kept.clone());
                }
            }
            value => drop(after.insert(name.clone(), value.clone())),
        }
    }
    after
}
fn wrong(op: &ConfigOp, fields: &Fields) -> Option<RowProblem> {
    let unknown = fields.keys().find(|f| op.table.field(f).is_none())?;
    let (table, key) = (Some(op.table), Some(op.key.clone()));
    let what = format!("{} has no field {unknown:?}", op.table);
    Some(RowProblem { table, key, field: Some(unknown.clone()), what, ..RowProblem::default() })
}

/// Everybody's password is `password of NAME`; a token is `ROLE/SCOPE,SCOPE`, or `ROLE` for one without scopes.
fn identify(proof: &Proof) -> Result<Identity, AdminError> {
    let role = |word: &str| serde_json::from_value::<Role>(word.into()).ok();
    let nobody = || refused(ErrorKind::Unauthorized, "nobody");
    let (name, role, scopes) = match proof {
        Proof::Password { user, password } if *password == format!("password of {user}") => {
            let role = match user.as_str() {
                "olga" => Role::Admin,
                "otto" => Role::Operator,
                "rita" => Role::ReadOnly,
                _ => return Err(nobody()),
            };
            (user.clone(), role, None)
        }
        Proof::Token(token) => {
            let (word, scopes) = token.split_once('/').map_or((token.as_str(), None), |(w, s)| (w, Some(s)));
            let scopes = scopes.map(|s| s.split(',').filter(|s| !s.is_empty()).map(str::to_owned).collect());
            ("t".to_owned(), role(word).ok_or_else(nobody)?, scopes)
        }
        Proof::Password { .. } => return Err(nobody()),
    };
    Ok(Identity { name, role, scopes, expires: None })
}
