//! `tandem config ...`: the configuration database of a running cluster.
//!
//! A list of a million rows is printed page by page as it comes. What would happen is the nodes' word, never this program's guess.

use super::args::{Apply, Config, Export, FileForm, Get, History, Import};
use super::change::{self, Write, parameters, shown, written};
use super::client::{Answer, Client, Method, escaped, query};
use super::failure::{Exit, Failure};
use super::output::{Out, Table, Tone, moment, or_dash, printable};
use super::{check, processes::Processes};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::path::Path;
use tandem_model::admin::API;
use tandem_model::admin::config::{
    ChangeBody, ConfigChange, ConfigOverview, ConfigRow, ConfigTable, DiffBody, HistoryBody, ROWS_PER_PAGE_MAX,
    RowDiff, RowPage, UnsentBody, UsesBody, Written,
};

/// Does what `tandem config` was asked.
///
/// # Errors
/// When nobody answers, it is refused, or the output cannot be written.
pub fn command(
    find: &dyn Fn() -> Result<Processes, Failure>,
    command: &Config,
    out: &mut Out<'_>,
) -> Result<(), Failure> {
    if matches!(command, Config::Schema) {
        return check::schema(out);
    }
    let processes = find()?;
    let client = processes.any();
    match command {
        Config::Schema => Ok(()),
        Config::Status => status(client, out),
        Config::Get(get) => match &get.key {
            Some(key) => one(client, get.table, key, get.at, out),
            None if out.is_data() => list_data(client, get, out),
            None => list_table(client, get, out),
        },
        Config::Set(set) => {
            let fields = change::fields(set.table, &set.fields)?;
            let write = match (set.create, set.replace) {
                (true, _) => Write::Create(fields),
                (false, true) => Write::Replace(fields),
                (false, false) => Write::Merge(fields),
            };
            change::row(client, set.table, &set.key, write, &set.change, out)
        }
        Config::Delete(delete) => change::row(client, delete.table, &delete.key, Write::Delete, &delete.change, out),
        Config::UsedBy { table, key } => used_by(client, *table, key, out),
        Config::Apply(options) => apply(at_publisher(&processes), options, out),
        Config::Import(options) => import(at_publisher(&processes), options, out),
        Config::Export(options) => export(client, options, out),
        Config::Diff { from, to } => {
            let parameters = query(&[("from", Some(from.to_string())), ("to", to.map(|n| n.to_string()))]);
            let answer = client.get::<DiffBody>(&format!("/config/diff{parameters}"))?;
            if out.is_data() { out.data(&answer.raw) } else { rows(&answer.body.rows, out) }
        }
        Config::History(options) => history(client, options, out),
        Config::Revert(revert) => {
            let force = revert.force.then(|| "true".to_owned());
            let mut words = parameters(revert.dry_run, revert.comment.as_ref());
            words.push(("force", force));
            let parameters = query(&words);
            let path = format!("/config/changes/{}/revert{parameters}", revert.revision);
            written(&client.send::<Written>(Method::POST, &path, &[], None)?, out)
        }
        Config::Unsent { node } => unsent(&processes, node.as_deref(), out),
    }
}

/// Who uses a row, for `tandem config used-by` and `tandem pool show`.
///
/// # Errors
/// When nobody answers or there is no such row.
pub fn uses(client: &Client, table: ConfigTable, key: &str) -> Result<Answer<UsesBody>, Failure> {
    client.get::<UsesBody>(&format!("/config/{table}/{}/used-by", escaped(key)))
}
fn used_by(client: &Client, table: ConfigTable, key: &str, out: &mut Out<'_>) -> Result<(), Failure> {
    let answer = uses(client, table, key)?;
    if out.is_data() {
        return out.data(&answer.raw);
    }
    let UsesBody { uses, more } = answer.body;
    if uses.is_empty() {
        return out.note("nobody refers to it");
    }
    let mut table = Table::new(&["TABLE", "KEY", "FIELD"]);
    uses.iter().for_each(|u| table.line(Tone::Plain, [u.table.to_string(), u.key.clone(), u.field.clone()]));
    out.table(&table)?;
    if more > 0 { out.note(&format!("and {more} more")) } else { Ok(()) }
}

fn status(client: &Client, out: &mut Out<'_>) -> Result<(), Failure> {
    let answer = client.get::<ConfigOverview>("/config")?;
    if out.is_data() {
        return out.data(&answer.raw);
    }
    let overview = answer.body;
    let publisher = or_dash(overview.publisher.as_ref());
    out.line(&format!("publisher {publisher}, term {}, answered by {}", overview.epoch, overview.node))?;
    out.line("")?;
    let mut table = Table::new(&["NODE", "STATE", "#REVISION", "#LAG", "DIGEST"]);
    for copy in &overview.copies {
        let state = if copy.up { "up" } else { "down" };
        let tone = if !copy.up {
            Tone::Bad
        } else if copy.lag > 0 {
            Tone::Warning
        } else {
            Tone::Plain
        };
        // The head of a digest is enough to see whether two are equal.
        let digest: Option<String> = copy.digest.as_ref().map(|d| d.chars().take(12).collect());
        let name = [copy.node.to_string(), state.to_owned(), or_dash(copy.revision)];
        table.line(tone, name.into_iter().chain([copy.lag.to_string(), or_dash(digest)]));
    }
    out.table(&table)?;
    if overview.away_since.is_some() {
        let since = moment(overview.away_since);
        out.line(&format!(
            "the publisher {publisher} cannot be reached since {since}: the configuration cannot be changed"
        ))?;
        out.line("if it stays away: `tandem node promote NAME` makes another node the publisher")?;
    }
    if let Some(failing) = &overview.failing {
        out.line(&format!("the disk of {} fails: {failing}", overview.node))?;
    }
    if overview.unsent > 0 {
        out.line(&format!(
            "{} changes of {} never reached the publisher: `tandem config unsent`",
            overview.unsent, overview.node
        ))?;
    }
    Ok(())
}

fn one(client: &Client, table: ConfigTable, key: &str, at: Option<u64>, out: &mut Out<'_>) -> Result<(), Failure> {
    let parameters = query(&[("at", at.map(|n| n.to_string()))]);
    let answer = client.get::<ConfigRow>(&format!("/config/{table}/{}{parameters}", escaped(key)))?;
    if out.is_data() {
        return out.data(&answer.raw);
    }
    show(&answer.body, out)
}
/// Prints one row for people.
///
/// # Errors
/// When the output cannot be written.
pub fn show(row: &ConfigRow, out: &mut Out<'_>) -> Result<(), Failure> {
    out.line(&format!("{} {}, entity tag {}", row.table, row.key, row.etag))?;
    let mut table = Table::new(&["FIELD", "VALUE"]);
    row.fields.iter().for_each(|(f, v)| table.line(Tone::Plain, [f.clone(), shown(row.table, f, v)]));
    out.more(&table)
}

/// Pages of a table, asked for one after the other.
struct Pages<'a> {
    client: &'a Client,
    get: &'a Get,
    /// Rows still wanted; `None` is all.
    wanted: Option<u64>,
    cursor: Option<String>,
    ended: bool,
}
impl<'a> Pages<'a> {
    fn new(client: &'a Client, get: &'a Get) -> Self {
        Self { client, get, wanted: (!get.all).then_some(get.limit), cursor: get.cursor.clone(), ended: false }
    }
    fn next(&mut self) -> Result<Option<RowPage>, Failure> {
        let most = u64::try_from(ROWS_PER_PAGE_MAX).unwrap_or(u64::MAX);
        let limit = self.wanted.unwrap_or(most).min(most);
        if self.ended || limit == 0 {
            return Ok(None);
        }
        let mut parameters = vec![
            ("search", self.get.search.clone()),
            ("prefix", self.get.prefix.clone()),
            ("cursor", self.cursor.clone()),
            ("limit", Some(limit.to_string())),
        ];
        parameters.extend(self.get.filters.iter().map(|(field, value)| (field.as_str(), Some(value.clone()))));
        let page = self.client.get::<RowPage>(&format!("/config/{}{}", self.get.table, query(&parameters)))?.body;
        let seen = u64::try_from(page.rows.len()).unwrap_or(u64::MAX);
        self.wanted = self.wanted.map(|w| w.saturating_sub(seen));
        // A cursor that does not move would ask for the same page for ever.
        self.ended = page.next.is_none() || page.next == self.cursor;
        self.cursor.clone_from(&page.next);
        Ok(Some(page))
    }
}

fn list_data(client: &Client, get: &Get, out: &mut Out<'_>) -> Result<(), Failure> {
    let mut pages = Pages::new(client, get);
    // The first page is asked for before anything is printed, so that a refusal leaves no half of an answer.
    let mut page = pages.next()?;
    let revision = page.as_ref().map_or(0, |p| p.revision);
    out.list(&[("api", API.into()), ("revision", revision.into())], "rows")?;
    while let Some(found) = page {
        found.rows.iter().try_for_each(|row| out.element(row))?;
        page = pages.next()?;
    }
    out.list_end(&[("next", pages.cursor.into())])
}

fn list_table(client: &Client, get: &Get, out: &mut Out<'_>) -> Result<(), Failure> {
    let mut pages = Pages::new(client, get);
    let mut columns: Option<Vec<&'static str>> = None;
    while let Some(page) = pages.next()? {
        let first = columns.is_none();
        // Fields that nobody on the first page has are no columns.
        let named: BTreeSet<&str> = page.rows.iter().flat_map(|r| r.fields.keys().map(String::as_str)).collect();
        let of_table = || get.table.fields().iter().map(|f| f.name).filter(|f| named.contains(f)).collect();
        let columns: &Vec<&'static str> = columns.get_or_insert_with(of_table);
        let header: Vec<&'static str> = std::iter::once("KEY").chain(columns.iter().copied()).collect();
        let mut table = Table::new(&header);
        for row in &page.rows {
            let cell = |field: &&'static str| or_dash(row.fields.get(*field).map(|v| shown(row.table, field, v)));
            table.line(Tone::Plain, std::iter::once(row.key.clone()).chain(columns.iter().map(cell)));
        }
        match (first, table.is_empty()) {
            (true, true) => out.note("no row matches")?,
            (true, false) => out.table(&table)?,
            (false, _) => out.more(&table)?,
        }
    }
    match pages.cursor {
        Some(cursor) => {
            out.note(&format!("there are more: --all shows every row, --cursor {cursor} goes on from here"))
        }
        None => Ok(()),
    }
}

/// Where a whole file goes: what is too large to be handed on between nodes is written where it is kept.
fn at_publisher(processes: &Processes) -> &Client {
    let any = processes.any();
    if processes.is_single() {
        return any;
    }
    let overview = any.get::<ConfigOverview>("/config").ok();
    overview.and_then(|o| o.body.publisher).map_or(any, |publisher| processes.of(publisher.as_str()))
}

fn apply(client: &Client, apply: &Apply, out: &mut Out<'_>) -> Result<(), Failure> {
    let mut asked = parameters(apply.dry_run, apply.comment.as_ref());
    asked.push(("mode", Some("replace".to_owned())));
    asked.push(("prune", apply.prune.then(|| "true".to_owned())));
    send(client, &apply.file, FileForm::Toml, asked, out)
}
fn import(client: &Client, import: &Import, out: &mut Out<'_>) -> Result<(), Failure> {
    let csv = import.file.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv"));
    let form = import.format.unwrap_or(if csv { FileForm::Csv } else { FileForm::Toml });
    if form == FileForm::Csv && import.table.is_none() {
        let failure = Failure::new(Exit::Usage, "a CSV file is of one table, and none is named");
        return Err(failure.remedy("say which: --table device"));
    }
    let mut asked = parameters(import.dry_run, import.comment.as_ref());
    asked.push(("table", import.table.map(|t| t.to_string())));
    send(client, &import.file, form, asked, out)
}
fn send(
    client: &Client,
    file: &Path,
    form: FileForm,
    mut asked: Vec<(&'static str, Option<String>)>,
    out: &mut Out<'_>,
) -> Result<(), Failure> {
    let text = change::file(file)?;
    asked.push(("format", Some(form.word().to_owned())));
    let kind = [("Content-Type", if form == FileForm::Csv { "text/csv" } else { "application/toml" }.to_owned())];
    let path = format!("/config/import{}", query(&asked));
    let answer = client.send_file::<Written>(Method::POST, &path, &kind, text.into_bytes());
    let answer =
        answer.map_err(|failure| Failure { message: format!("{}: {}", file.display(), failure.message), ..failure })?;
    written(&answer, out)
}

fn export(client: &Client, export: &Export, out: &mut Out<'_>) -> Result<(), Failure> {
    if export.format == FileForm::Csv && export.table.is_none() {
        let failure = Failure::new(Exit::Usage, "a CSV file is of one table, and none is named");
        return Err(failure.remedy("say which: --table device"));
    }
    let table = export.table.map(|t| t.to_string());
    let parameters = query(&[("format", Some(export.format.word().to_owned())), ("table", table)]);
    out.text(&client.text(&format!("/config/export{parameters}"))?)
}

fn history(client: &Client, history: &History, out: &mut Out<'_>) -> Result<(), Failure> {
    if let Some(revision) = history.revision {
        let answer = client.get::<ChangeBody>(&format!("/config/changes/{revision}"))?;
        if out.is_data() {
            return out.data(&answer.raw);
        }
        out.table(&changes(std::slice::from_ref(&answer.body.change)))?;
        out.line("")?;
        return rows(&answer.body.rows, out);
    }
    let parameters = query(&[
        ("before", history.before.map(|n| n.to_string())),
        ("limit", Some(history.limit.to_string())),
        ("table", history.row.as_ref().map(|(table, _)| table.to_string())),
        ("key", history.row.as_ref().map(|(_, key)| key.clone())),
    ]);
    let answer = client.get::<HistoryBody>(&format!("/config/changes{parameters}"))?;
    if out.is_data() {
        return out.data(&answer.raw);
    }
    out.table(&changes(&answer.body.changes))?;
    match answer.body.next {
        Some(next) => out.note(&format!("there are more: --before {next} goes on from here")),
        None => Ok(()),
    }
}
fn changes(changes: &[ConfigChange]) -> Table {
    let mut table = Table::new(&["#REVISION", "WHEN", "WHO", "#ROWS", "AT", "WHY"]);
    for change in changes {
        let who = [change.revision.to_string(), moment(Some(change.at)), change.author.clone(), change.ops.to_string()];
        table.line(Tone::Plain, who.into_iter().chain([change.publisher.to_string(), change.comment.clone()]));
    }
    table
}

/// Rows before and after: `+` new, `-` gone, `~` changed.
fn rows(rows: &[RowDiff], out: &mut Out<'_>) -> Result<(), Failure> {
    if rows.is_empty() {
        return out.note("nothing differs");
    }
    for row in rows {
        let sign = match (&row.before, &row.after) {
            (None, _) => '+',
            (_, None) => '-',
            _ => '~',
        };
        out.line(&format!("{sign} {} {}", row.table, row.key))?;
        let none = Map::new();
        let (before, after) = (row.before.as_ref().unwrap_or(&none), row.after.as_ref().unwrap_or(&none));
        let fields: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for field in fields.into_iter().filter(|f| before.get(*f) != after.get(*f)) {
            let word = |value: Option<&Value>| or_dash(value.map(|v| shown(row.table, field, v)));
            let (old, new) = (word(before.get(field)), word(after.get(field)));
            let line = if row.before.is_none() {
                new
            } else if row.after.is_none() {
                old
            } else {
                format!("{old} -> {new}")
            };
            out.text(&printable(&format!("    {field}: {line}")))?;
            out.line("")?;
        }
    }
    Ok(())
}

fn unsent(processes: &Processes, node: Option<&str>, out: &mut Out<'_>) -> Result<(), Failure> {
    let client = node.map_or_else(|| processes.any(), |node| processes.of(node));
    let parameters = query(&[("node", node.map(str::to_owned))]);
    let answer = client.get::<UnsentBody>(&format!("/config/unsent{parameters}"))?;
    if out.is_data() {
        return out.data(&answer.raw);
    }
    if answer.body.changes.is_empty() {
        return out.note("no change was set aside");
    }
    for unsent in &answer.body.changes {
        out.line(&format!("set aside at {}: number {}", moment(Some(unsent.set_aside_at)), unsent.id))?;
        out.table(&changes(std::slice::from_ref(&unsent.change)))?;
        rows(&unsent.rows, out)?;
        out.line("")?;
    }
    out.note("nothing of this is in force; make what is still wanted anew with `tandem config set`")
}
