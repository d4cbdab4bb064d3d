//! The rules between fields and between rows: DESIGN section 2, "Groups and devices", and what the node relies on.
//!
//! A reference is judged against all names in the file, also of rows that are wrong otherwise: one mistake is told once.

mod devices;
mod nodes;
mod settings;

use super::identity;
use super::read::{Document, Place, Tables};
use super::report::Report;
use super::{Config, GROUPS_MAX, MEMBERS_MAX, POOLS_MAX, Problem};
use crate::admin::nearest;
use std::collections::BTreeMap;

/// What the rules found out: references as indexes.
#[derive(Default)]
pub(super) struct Found {
    pool_of_row: Vec<u16>,
    group_of_pool: Vec<u16>,
    publisher: usize,
}
impl Found {
    /// Puts everything together; `None` without a cluster table, which has been told then.
    pub(super) fn into_config(self, tables: Tables, warnings: Vec<Problem>, revision: u64) -> Option<Config> {
        fn plain<T>(rows: Vec<(usize, T)>) -> Vec<T> {
            rows.into_iter().map(|(_, row)| row).collect()
        }
        Some(Config {
            cluster: tables.cluster?,
            nodes: plain(tables.nodes),
            groups: plain(tables.groups),
            pools: plain(tables.pools),
            devices: plain(tables.devices),
            series: plain(tables.series),
            settings: tables.settings,
            warnings,
            revision,
            source: None,
            pool_of_row: self.pool_of_row,
            group_of_pool: self.group_of_pool,
            publisher: self.publisher,
        })
    }
}

/// What the checks share.
pub(super) struct Checker<'a, 'd, 't> {
    pub(super) document: &'a Document<'d>,
    pub(super) report: &'a mut Report<'t>,
}

impl Checker<'_, '_, '_> {
    /// Notes that something is wrong at a place.
    pub(super) fn wrong(&mut self, place: Place, what: String, expected: impl Into<Option<String>>) {
        let problem = self.problem(place, what, expected.into());
        self.report.error(self.document.span(place), problem);
    }
    /// Notes that something is unwise.
    fn unwise(&mut self, place: Place, what: String, expected: String) {
        let problem = self.problem(place, what, Some(expected));
        self.report.warning(self.document.span(place), problem);
    }
    fn problem(&self, place: Place, what: String, expected: Option<String>) -> Problem {
        let secret = place.field.is_some_and(|f| super::report::SECRETS.contains(&f));
        let span = self.document.span(place).filter(|_| place.field.is_some() && !secret);
        Problem {
            row: self.document.label(place),
            field: place.field.map(str::to_owned),
            value: span.and_then(|s| self.report.value(&s)),
            what,
            expected,
            ..Problem::default()
        }
    }
    /// Notes that a name stands for nothing.
    fn unknown(&mut self, place: Place, kind: &str, name: &str, known: &Names<'_>) {
        let mut problem = self.problem(place, format!("there is no {kind} {name:?}"), None);
        problem.nearest = nearest(name, known.0.keys().copied()).map(|n| format!("{n:?}"));
        let some: Vec<_> = known.0.keys().take(8).copied().collect();
        problem.expected = Some(match (some.is_empty(), known.0.len() > some.len()) {
            (true, _) => format!("a {kind} of this file; there is none"),
            (false, false) => format!("one of {}", some.join(", ")),
            (false, true) => format!("one of {}, ...", some.join(", ")),
        });
        self.report.error(self.document.span(place), problem);
    }
    /// Where a place is, for people: `line 12`, or which row when there is no text.
    pub(super) fn at(&self, place: Place) -> String {
        match self.document.span(place) {
            Some(span) => format!("line {}", self.report.line(span.start)),
            None => self.document.label(place),
        }
    }
    /// All names of a table; one that stands twice, and a table that is too long, is told.
    fn names(&mut self, table: &'static str, kind: &str, most: usize) -> Names<'_> {
        let document = self.document;
        let mut names = BTreeMap::new();
        for (index, name) in rows_with_name(document, table) {
            let first = *names.entry(name).or_insert(index);
            if first != index {
                let line = self.at(Place::row(table, first).field("name"));
                let place = Place::row(table, index).field("name");
                let expected = format!("a name that no other {kind} has; {line} has it first");
                self.wrong(place, format!("the {kind} {name:?} stands twice"), expected);
            }
        }
        if document.len(table) > most {
            let what = format!("there are {} rows of this kind", document.len(table));
            self.wrong(Place::row(table, most), what, format!("at most {most}"));
        }
        Names(names)
    }
}

fn rows_with_name<'d>(document: &'d Document<'_>, table: &'static str) -> impl Iterator<Item = (usize, &'d str)> {
    (0..document.len(table)).filter_map(move |index| Some((index, document.name(table, index)?)))
}

/// Names of a table, each with its row in the file.
struct Names<'a>(BTreeMap<&'a str, usize>);

/// Checks everything.
pub(super) fn check(document: &Document<'_>, tables: &Tables, report: &mut Report<'_>) -> Found {
    let mut checker = Checker { document, report };
    let mut found = Found::default();
    nodes::cluster(&mut checker, tables);
    settings::settings(&mut checker, &tables.settings);
    found.publisher = nodes::nodes(&mut checker, tables);
    groups(&mut checker, tables);
    found.group_of_pool = pools(&mut checker, tables);
    found.pool_of_row = devices::devices(&mut checker, tables);
    identity::unique(&mut checker, tables);
    found
}

fn groups(checker: &mut Checker<'_, '_, '_>, tables: &Tables) {
    let document = checker.document;
    let nodes = Names(rows_with_name(document, "node").map(|(i, n)| (n, i)).collect());
    Checker { document, report: checker.report }.names("group", "group", GROUPS_MAX);
    for (index, group) in &tables.groups {
        let place = Place::row("group", *index).field("members");
        if !(1..=MEMBERS_MAX).contains(&group.members.len()) {
            let what = format!("{} has {} members", group.name, group.members.len());
            checker.wrong(place, what, "1 to 3 nodes: primary, first backup, second backup".to_owned());
        }
        for (n, member) in group.members.iter().enumerate() {
            if !nodes.0.contains_key(member.as_str()) {
                checker.unknown(place.element(n), "node", member.as_str(), &nodes);
            } else if group.members.iter().take(n).any(|m| m == member) {
                let what = format!("{member} stands twice in {}", group.name);
                checker.wrong(
                    place.element(n),
                    what,
                    "different nodes: a backup for a node is another node".to_owned(),
                );
            }
        }
        if group.members.len() == 1 {
            let what =
                format!("{} has no backup: when {} dies its devices are homeless", group.name, first(&group.members));
            checker.unwise(place, what, "a second and perhaps a third node".to_owned());
        }
    }
}

fn first<T: ToString>(list: &[T]) -> String {
    list.first().map(ToString::to_string).unwrap_or_default()
}

/// The group of each pool that could be read.
fn pools(checker: &mut Checker<'_, '_, '_>, tables: &Tables) -> Vec<u16> {
    let document = checker.document;
    let groups = Names(rows_with_name(document, "group").map(|(i, n)| (n, i)).collect());
    Checker { document, report: checker.report }.names("device_pool", "device pool", POOLS_MAX);
    let mut group_of_pool = Vec::with_capacity(tables.pools.len());
    for (index, pool) in &tables.pools {
        let group = groups.0.get(pool.group.as_str());
        if group.is_none() {
            let place = Place::row("device_pool", *index).field("group");
            checker.unknown(place, "group", pool.group.as_str(), &groups);
        }
        group_of_pool.push(group.and_then(|g| u16::try_from(*g).ok()).unwrap_or(u16::MAX));
    }
    group_of_pool
}

/// Whether a text is a name like those of nodes and groups.
fn is_plain(text: &str) -> bool {
    tandem_base::NodeName::new(text).is_ok()
}
