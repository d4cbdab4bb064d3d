//! `tandem config`: the file's schema, and the configuration database of a running cluster.

use super::rows::Change;
use crate::cli::complete;
use clap::{Args, Subcommand, ValueEnum};
use clap_complete::ArgValueCompleter;
use std::path::PathBuf;
use tandem_model::admin::config::ConfigTable;

const HELP: &str = "\
EXAMPLES
  tandem config status                                   who publishes, and where every copy stands
  tandem config get device --where pool=DP1              rows of a table
  tandem config get device SEP000000000001               one row, with its entity tag
  tandem config set group G2 members='CCM3;CCM1' --dry-run   says which devices would move
  tandem config set group G2 members='CCM3;CCM1' -m 'CCM2 is being replaced'
  tandem config history                                  who changed what
  tandem config revert 17                                undo it
  tandem config export > cluster.toml                    everything as a file
  tandem config import phones.csv --table device         many rows, all or nothing

The tables are cluster, node, group, device_pool, device, device_series, setting,
user and token. A secret is shown as \"*\"; to set one, put it into a file and
write FIELD=@FILE (or FIELD=@- for the standard input).";

/// `tandem config`.
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = HELP)]
pub enum Config {
    /// Print the JSON Schema of the configuration file, for editors
    #[command(after_help = "EXAMPLE\n  tandem config schema > tandem.schema.json")]
    Schema,
    /// Who publishes, and where every copy of the configuration stands
    #[command(after_help = "EXAMPLE\n  tandem config status")]
    Status,
    /// Rows of a table, or one row
    Get(Get),
    /// Change fields of a row, or make one
    Set(Set),
    /// Delete a row that nobody refers to
    Delete(Delete),
    /// Who refers to a row
    #[command(after_help = "EXAMPLE\n  tandem config used-by device_pool DP1")]
    UsedBy {
        /// Which table
        #[arg(value_parser = table, add = ArgValueCompleter::new(complete::tables))]
        table: ConfigTable,
        /// Which row
        key: String,
    },
    /// Make the tables of a file what the file says
    Apply(Apply),
    /// Lay a file over what is there, all or nothing
    Import(Import),
    /// Print the configuration as a file
    Export(Export),
    /// What differs between two revisions
    #[command(
        after_help = "EXAMPLES\n  tandem config diff 16         since revision 16\n  tandem config diff 16 17      what change 17 did"
    )]
    Diff {
        /// The older revision
        from: u64,
        /// The newer one [default: today's]
        to: Option<u64>,
    },
    /// Changes, newest first; or one of them with its rows
    History(History),
    /// Undo a change by a new one
    Revert(Revert),
    /// Changes of a node that never reached the publisher
    #[command(after_help = "EXAMPLE\n  tandem config unsent CCM1     after CCM1 came back from before a promotion")]
    Unsent {
        /// The node [default: one that answers]
        #[arg(add = ArgValueCompleter::new(complete::nodes))]
        node: Option<String>,
    },
}

/// `tandem config get`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "EXAMPLES
  tandem config get group
  tandem config get device --where pool=DP1 --where lines=1001
  tandem config get device --search lobby --all -o json
  tandem config get device SEP000000000001 --at 16     as it was at revision 16")]
pub struct Get {
    /// Which table
    #[arg(value_parser = table, add = ArgValueCompleter::new(complete::tables))]
    pub table: ConfigTable,
    /// Which row [default: all]
    pub key: Option<String>,
    /// The row as it was at this revision
    #[arg(long, value_name = "REVISION", requires = "key")]
    pub at: Option<u64>,
    /// Only rows with this text in key, description or a list
    #[arg(long, value_name = "TEXT", conflicts_with = "key")]
    pub search: Option<String>,
    /// Only keys that begin so
    #[arg(long, value_name = "TEXT", conflicts_with = "key")]
    pub prefix: Option<String>,
    /// Only rows whose field has this value; may be given several times
    #[arg(long = "where", value_name = "FIELD=VALUE", conflicts_with = "key", value_parser = pair)]
    pub filters: Vec<(String, String)>,
    /// At most so many rows
    #[arg(long, value_name = "N", default_value_t = 100, conflicts_with = "all", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: u64,
    /// Every row, however many
    #[arg(long)]
    pub all: bool,
    /// Go on after this row, as an earlier list said
    #[arg(long, value_name = "KEY")]
    pub cursor: Option<String>,
}

/// `tandem config set`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "EXAMPLES
  tandem config set device_pool DP1 connection_monitor=60s
  tandem config set group G1 members='CCM1;CCM2'            a list has ; between its elements
  tandem config set device SEP1 description=                takes a field away
  tandem config set setting failback_per_second value=200
  tandem config set device SEP1 pool=DP1 password=@secret.txt --create
  tandem config set device SEP1 description=desk --if-match 0123456789abcdef0123456789abcdef")]
pub struct Set {
    /// Which table
    #[arg(value_parser = table, add = ArgValueCompleter::new(complete::tables))]
    pub table: ConfigTable,
    /// Which row
    pub key: String,
    /// Fields and their values; without a value the field is taken away
    #[arg(value_name = "FIELD=VALUE", required = true, value_parser = pair)]
    pub fields: Vec<(String, String)>,
    /// Make a new row; there must be none
    #[arg(long, conflicts_with_all = ["replace", "if_match"])]
    pub create: bool,
    /// Leave no other field: the row is what is given here
    #[arg(long)]
    pub replace: bool,
    /// What every change takes.
    #[command(flatten)]
    pub change: Change,
}

/// `tandem config delete`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "EXAMPLE\n  tandem config delete device_pool DP9")]
pub struct Delete {
    /// Which table
    #[arg(value_parser = table, add = ArgValueCompleter::new(complete::tables))]
    pub table: ConfigTable,
    /// Which row
    pub key: String,
    /// What every change takes.
    #[command(flatten)]
    pub change: Change,
}

/// How a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FileForm {
    /// That of the configuration file
    Toml,
    /// One table with a header row
    Csv,
}
impl FileForm {
    /// The word of the API.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Toml => "toml",
            Self::Csv => "csv",
        }
    }
}

/// `tandem config apply`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "EXAMPLES
  tandem config apply cluster.toml --dry-run     what would change, and who would move
  tandem config apply cluster.toml               each row of the file becomes what the file says
  tandem config apply cluster.toml --prune       and rows that the file has not are deleted, of the tables that it has")]
pub struct Apply {
    /// File, in the form of the configuration file; - for the standard input
    pub file: PathBuf,
    /// Delete rows that are not in the file, of every table that is in it
    #[arg(long)]
    pub prune: bool,
    /// Change nothing, only say what would happen
    #[arg(long)]
    pub dry_run: bool,
    /// Why, for the history
    #[arg(short = 'm', long, value_name = "TEXT")]
    pub comment: Option<String>,
}

/// `tandem config import`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "EXAMPLES
  tandem config import phones.csv --table device --dry-run
  tandem config import phones.csv --table device       fields without a column stay as they are
  tandem config import more.toml
  sort phones.csv | tandem config import - --format csv --table device

The header row of a CSV file has `name` and fields of the table; a list has ; between its elements. When one row is
wrong nothing is changed, and every wrong row is told with its line.")]
pub struct Import {
    /// File; - for the standard input
    pub file: PathBuf,
    /// Form of the file [default: as its name ends, else toml]
    #[arg(long, value_enum)]
    pub format: Option<FileForm>,
    /// Only this table; a CSV file has exactly one
    #[arg(long, value_parser = table, add = ArgValueCompleter::new(complete::tables))]
    pub table: Option<ConfigTable>,
    /// Change nothing, only say what would happen
    #[arg(long)]
    pub dry_run: bool,
    /// Why, for the history
    #[arg(short = 'm', long, value_name = "TEXT")]
    pub comment: Option<String>,
}

/// `tandem config export`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "EXAMPLES
  tandem config export > cluster.toml
  tandem config export --format csv --table device > phones.csv

Secrets stand there as \"*\"; read back, such a field stays as it is.")]
pub struct Export {
    /// Form of the file
    #[arg(long, value_enum, default_value_t = FileForm::Toml)]
    pub format: FileForm,
    /// Only this table; a CSV file has exactly one
    #[arg(long, value_parser = table, add = ArgValueCompleter::new(complete::tables))]
    pub table: Option<ConfigTable>,
}

/// `tandem config history`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "EXAMPLES
  tandem config history
  tandem config history 17                        one change with its rows
  tandem config history --row device/SEP1         changes of one row")]
pub struct History {
    /// One change, with its rows
    pub revision: Option<u64>,
    /// Only changes of this row
    #[arg(long, value_name = "TABLE/KEY", value_parser = row, conflicts_with = "revision")]
    pub row: Option<(ConfigTable, String)>,
    /// Only changes before this revision
    #[arg(long, value_name = "REVISION", conflicts_with = "revision")]
    pub before: Option<u64>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: u32,
}

/// `tandem config revert`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "EXAMPLES
  tandem config revert 17 --dry-run
  tandem config revert 17
  tandem config revert 17 -m 'the old gateway is back'
  tandem config revert 17 --force     also when later changes touched the same rows")]
pub struct Revert {
    /// Which change
    pub revision: u64,
    /// Also when later changes touched the same rows
    #[arg(long)]
    pub force: bool,
    /// Change nothing, only say what would happen
    #[arg(long)]
    pub dry_run: bool,
    /// Why, for the history; "revert" and the revision unless given
    #[arg(short = 'm', long, value_name = "TEXT")]
    pub comment: Option<String>,
}

/// A table by its word.
pub(super) fn table(word: &str) -> Result<ConfigTable, String> {
    let words = || ConfigTable::ALL.map(ConfigTable::word);
    ConfigTable::from_word(word).ok_or_else(|| {
        let near = tandem_model::admin::nearest(word, words());
        near.map_or_else(|| format!("expected one of {}", words().join(", ")), |near| format!("did you mean {near}?"))
    })
}
/// `FIELD=VALUE`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(field, _)| !field.is_empty());
    pair.map(|(f, v)| (f.to_owned(), v.to_owned())).ok_or_else(|| "expected FIELD=VALUE".to_owned())
}
fn row(text: &str) -> Result<(ConfigTable, String), String> {
    let (word, key) = text.split_once('/').ok_or_else(|| "expected TABLE/KEY, such as device/SEP1".to_owned())?;
    Ok((table(word)?, key.to_owned()))
}
