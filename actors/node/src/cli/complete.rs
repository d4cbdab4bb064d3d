//! Tab completion that asks: names of devices, groups, pools and nodes from the running cluster.
//!
//! A shell waits for it, so it is quick or says nothing: no name is a reason to print an error into somebody's command line.

use super::args::Global;
use super::client::query;
use super::processes::Processes;
use clap_complete::CompletionCandidate;
use std::ffi::OsStr;
use std::time::Duration;
use tandem_model::admin::config::{ConfigTable, RowPage};

/// Longest wait for the names.
const PATIENCE: Duration = Duration::from_secs(1);
/// Names that are offered.
const NAMES_MAX: usize = 200;

/// Keys of a table that begin as the word that is being typed.
pub fn keys(table: ConfigTable, typed: &OsStr) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else { return Vec::new() };
    // The command line is not there yet: the Tandem is the one that $TANDEM_STATE names, or the only one that runs.
    let Ok(processes) = Processes::find(&Global::default()) else { return Vec::new() };
    let parameters = query(&[("prefix", Some(typed.to_owned())), ("limit", Some(NAMES_MAX.to_string()))]);
    let asked = processes.any().get_within::<RowPage>(&format!("/config/{table}{parameters}"), PATIENCE);
    asked
        .map(|page| page.body.rows.into_iter().map(|row| CompletionCandidate::new(row.key)).collect())
        .unwrap_or_default()
}
/// Devices.
pub fn devices(typed: &OsStr) -> Vec<CompletionCandidate> {
    keys(ConfigTable::Device, typed)
}
/// CallManager groups.
pub fn groups(typed: &OsStr) -> Vec<CompletionCandidate> {
    keys(ConfigTable::Group, typed)
}
/// Device pools.
pub fn pools(typed: &OsStr) -> Vec<CompletionCandidate> {
    keys(ConfigTable::DevicePool, typed)
}
/// Nodes.
pub fn nodes(typed: &OsStr) -> Vec<CompletionCandidate> {
    keys(ConfigTable::Node, typed)
}
/// Users.
pub fn users(typed: &OsStr) -> Vec<CompletionCandidate> {
    keys(ConfigTable::User, typed)
}
/// Words of tables.
pub fn tables(typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    let words = ConfigTable::ALL.map(ConfigTable::word);
    words.into_iter().filter(|w| w.starts_with(&*typed)).map(CompletionCandidate::new).collect()
}
