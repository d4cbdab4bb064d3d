//! Commands that change rows by their own words: devices, groups, pools, users.

use super::config::pair;
use super::{DeviceList, NonEmptyStringValueParser};
use crate::cli::complete;
use clap::{Args, Subcommand, ValueEnum};
use clap_complete::ArgValueCompleter;
use std::path::PathBuf;
use tandem_model::admin::Scope;

/// What every change takes.
#[derive(Args, Clone, Debug, Default)]
pub struct Change {
    /// Change nothing, only say what would happen
    #[arg(long)]
    pub dry_run: bool,
    /// Only when the row still has this entity tag, as `tandem config get` shows it
    #[arg(long, value_name = "ETAG")]
    pub if_match: Option<String>,
    /// Why, for the history
    #[arg(short = 'm', long, value_name = "TEXT")]
    pub comment: Option<String>,
}

/// `tandem device`.
#[derive(Debug, Subcommand)]
pub enum Device {
    /// List devices, with filters, page by page
    List(DeviceList),
    /// Show one device
    Show {
        /// Name of the device
        #[arg(value_parser = NonEmptyStringValueParser::new(), add = ArgValueCompleter::new(complete::devices))]
        name: String,
    },
    /// Say why a device is where it is
    #[command(after_help = "EXAMPLE\n  tandem device explain SEP000000000001")]
    Explain {
        /// Name of the device
        #[arg(value_parser = NonEmptyStringValueParser::new(), add = ArgValueCompleter::new(complete::devices))]
        name: String,
    },
    /// Let a device out of quarantine
    Release {
        /// Name of the device
        #[arg(value_parser = NonEmptyStringValueParser::new(), add = ArgValueCompleter::new(complete::devices))]
        name: String,
    },
    /// Add a device
    #[command(after_help = "EXAMPLES
  tandem device add SEP001122334455 --pool DP1 --line 1001 --password-file secret.txt
  tandem device add GW1 --pool DP1 --kind gateway --dry-run")]
    Add(DeviceAdd),
    /// Change a device; what is not given stays
    #[command(after_help = "EXAMPLES
  tandem device update SEP001122334455 --pool DP2        it re-registers with the group of DP2
  tandem device update SEP001122334455 --line 1001 --line 1002
  tandem device update SEP001122334455 --set description=")]
    Update(DeviceUpdate),
    /// Delete a device; it loses its registration
    #[command(after_help = "EXAMPLE\n  tandem device delete SEP001122334455 --dry-run")]
    Delete {
        /// Name of the device
        #[arg(value_parser = NonEmptyStringValueParser::new(), add = ArgValueCompleter::new(complete::devices))]
        name: String,
        /// What every change takes.
        #[command(flatten)]
        change: Change,
    },
    /// Have a device register anew
    #[command(after_help = "EXAMPLE\n  tandem device reset SEP001122334455")]
    Reset {
        /// Name of the device
        #[arg(value_parser = NonEmptyStringValueParser::new(), add = ArgValueCompleter::new(complete::devices))]
        name: String,
    },
    /// Show or set what its users set: call_forward_all, do_not_disturb, message_waiting
    #[command(after_help = "EXAMPLES
  tandem device settings SEP1
  tandem device settings SEP1 call_forward_all=2000 do_not_disturb=true
  tandem device settings SEP1 call_forward_all=             takes it back

Taken at any node, also while the publisher is away.")]
    Settings {
        /// Name of the device
        #[arg(value_parser = NonEmptyStringValueParser::new(), add = ArgValueCompleter::new(complete::devices))]
        name: String,
        /// What to set; without a value it is taken back
        #[arg(value_name = "SETTING=VALUE", value_parser = pair)]
        set: Vec<(String, String)>,
    },
}

/// Fields of a device.
#[derive(Args, Clone, Debug, Default)]
pub struct DeviceFields {
    /// phone, gateway, cti-port, cti-route-point or media-resource
    #[arg(long, value_name = "KIND")]
    pub kind: Option<String>,
    /// Directory number; may be given several times
    #[arg(long = "line", value_name = "NUMBER")]
    pub lines: Vec<String>,
    /// For people
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// User name in digest authentication [default: its own name]
    #[arg(long, value_name = "NAME")]
    pub digest_user: Option<String>,
    /// File with its password, on one line; - for the standard input
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Any other field; may be given several times
    #[arg(long = "set", value_name = "FIELD=VALUE", value_parser = pair)]
    pub set: Vec<(String, String)>,
}
/// `tandem device add`.
#[derive(Args, Clone, Debug)]
pub struct DeviceAdd {
    /// Name of the device
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub name: String,
    /// Its device pool
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(complete::pools))]
    pub pool: String,
    /// Its fields.
    #[command(flatten)]
    pub fields: DeviceFields,
    /// What every change takes.
    #[command(flatten)]
    pub change: Change,
}
/// `tandem device update`.
#[derive(Args, Clone, Debug)]
pub struct DeviceUpdate {
    /// Name of the device
    #[arg(value_parser = NonEmptyStringValueParser::new(), add = ArgValueCompleter::new(complete::devices))]
    pub name: String,
    /// Its device pool
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(complete::pools))]
    pub pool: Option<String>,
    /// Its fields.
    #[command(flatten)]
    pub fields: DeviceFields,
    /// What every change takes.
    #[command(flatten)]
    pub change: Change,
}

/// `tandem group`.
#[derive(Clone, Debug, Subcommand)]
pub enum Group {
    /// List CallManager groups
    List,
    /// Show one group, and who would serve its devices if a member died
    #[command(after_help = "EXAMPLE\n  tandem group show G1")]
    Show {
        /// Name of the group
        #[arg(value_parser = NonEmptyStringValueParser::new(), add = ArgValueCompleter::new(complete::groups))]
        name: String,
    },
    /// Add a group of one to three CallManagers, primary first
    #[command(after_help = "EXAMPLE\n  tandem group add G5 --members CCM2,CCM1,CCM3 --failback manual")]
    Add(GroupFields),
    /// Change a group; its devices follow, calmly
    #[command(after_help = "EXAMPLES
  tandem group update G1 --members CCM2,CCM1,CCM3 --dry-run    who would move
  tandem group update G1 --failback at-idle")]
    Update(GroupFields),
    /// Delete a group that no device pool uses
    #[command(after_help = "EXAMPLE\n  tandem group delete G5")]
    Delete {
        /// Name of the group
        #[arg(value_parser = NonEmptyStringValueParser::new(), add = ArgValueCompleter::new(complete::groups))]
        name: String,
        /// What every change takes.
        #[command(flatten)]
        change: Change,
    },
}
/// `tandem group add|update`.
#[derive(Args, Clone, Debug)]
pub struct GroupFields {
    /// Name of the group
    #[arg(value_parser = NonEmptyStringValueParser::new(), add = ArgValueCompleter::new(complete::groups))]
    pub name: String,
    /// Its CallManagers in order: primary, first backup, second backup
    #[arg(long, value_name = "NODE,...", value_delimiter = ',', add = ArgValueCompleter::new(complete::nodes))]
    pub members: Vec<String>,
    /// When its devices go home: automatic, at-idle or manual
    #[arg(long, value_name = "WHEN")]
    pub failback: Option<String>,
    /// For people
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// What every change takes.
    #[command(flatten)]
    pub change: Change,
}

/// `tandem pool`.
#[derive(Clone, Debug, Subcommand)]
pub enum Pool {
    /// List device pools
    List,
    /// Show one pool, and who uses it
    #[command(after_help = "EXAMPLE\n  tandem pool show DP1")]
    Show {
        /// Name of the pool
        #[arg(value_parser = NonEmptyStringValueParser::new(), add = ArgValueCompleter::new(complete::pools))]
        name: String,
    },
    /// Add a device pool
    #[command(after_help = "EXAMPLE\n  tandem pool add DP5 --group G1")]
    Add(PoolFields),
    /// Change a device pool; its devices follow its group
    #[command(after_help = "EXAMPLE\n  tandem pool update DP5 --group G2 --dry-run")]
    Update(PoolFields),
    /// Delete a pool that has no devices
    #[command(after_help = "EXAMPLE\n  tandem pool delete DP5")]
    Delete {
        /// Name of the pool
        #[arg(value_parser = NonEmptyStringValueParser::new(), add = ArgValueCompleter::new(complete::pools))]
        name: String,
        /// What every change takes.
        #[command(flatten)]
        change: Change,
    },
}
/// `tandem pool add|update`.
#[derive(Args, Clone, Debug)]
pub struct PoolFields {
    /// Name of the pool
    #[arg(value_parser = NonEmptyStringValueParser::new(), add = ArgValueCompleter::new(complete::pools))]
    pub name: String,
    /// Its CallManager group
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(complete::groups))]
    pub group: Option<String>,
    /// How long a returned node must be up before devices of this pool go home, such as 120s
    #[arg(long, value_name = "TIME")]
    pub connection_monitor: Option<String>,
    /// For people
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// Any other field; may be given several times
    #[arg(long = "set", value_name = "FIELD=VALUE", value_parser = pair)]
    pub set: Vec<(String, String)>,
    /// What every change takes.
    #[command(flatten)]
    pub change: Change,
}

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleName {
    /// Everything
    Admin,
    /// Look, and run the cluster
    Operator,
    /// Look
    ReadOnly,
}
impl RoleName {
    /// The word of the API.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::ReadOnly => "read-only",
        }
    }
}

/// `tandem user`.
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = "EXAMPLES
  tandem user add olga --role admin --password-file secret.txt
  tandem user token monitoring --role read-only --scope status --days 90
  tandem user list")]
pub enum User {
    /// List users and tokens
    List,
    /// Add a user
    #[command(
        after_help = "EXAMPLE\n  pwgen 20 1 | tee /dev/stderr | tandem user add olga --role admin --password-file -"
    )]
    Add(UserFields),
    /// Change a user
    #[command(
        after_help = "EXAMPLES\n  tandem user update olga --role operator\n  tandem user update olga --disabled true"
    )]
    Update(UserFields),
    /// Delete a user, and tokens that go with him must be deleted before
    Delete {
        /// Name of the user
        #[arg(value_parser = NonEmptyStringValueParser::new(), add = ArgValueCompleter::new(complete::users))]
        name: String,
        /// What every change takes.
        #[command(flatten)]
        change: Change,
    },
    /// Give a user a password
    #[command(after_help = "EXAMPLE\n  tandem user password olga --password-file secret.txt")]
    Password {
        /// Name of the user
        #[arg(value_parser = NonEmptyStringValueParser::new(), add = ArgValueCompleter::new(complete::users))]
        name: String,
        /// File with the password, on one line; - for the standard input
        #[arg(long, value_name = "FILE", default_value = "-")]
        password_file: PathBuf,
    },
    /// Make a token for a program; it is printed this once
    Token(Token),
    /// Delete a token: it is worth nothing from now on
    #[command(after_help = "EXAMPLE\n  tandem user revoke monitoring")]
    Revoke {
        /// Name of the token
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
    },
    /// Who asked this node for what: writes, refusals, sign-ins
    #[command(after_help = "EXAMPLE\n  tandem user audit --limit 20")]
    Audit {
        /// At most so many entries
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
        /// Only entries before this number
        #[arg(long, value_name = "NUMBER")]
        before: Option<u64>,
    },
}
/// `tandem user add|update`.
#[derive(Args, Clone, Debug)]
pub struct UserFields {
    /// Name of the user
    #[arg(value_parser = NonEmptyStringValueParser::new(), add = ArgValueCompleter::new(complete::users))]
    pub name: String,
    /// What he may do
    #[arg(long, value_enum)]
    pub role: Option<RoleName>,
    /// File with his password, on one line; - for the standard input
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// For people
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// Whether he is kept out
    #[arg(long, value_name = "true|false")]
    pub disabled: Option<bool>,
    /// What every change takes.
    #[command(flatten)]
    pub change: Change,
}
/// `tandem user token`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "EXAMPLES
  tandem user token monitoring --role read-only --scope status --days 90
  tandem user token provisioning --role admin --scope config:read --scope config:write

Scopes: status, operate, config:read, config:write, settings, users, audit.")]
pub struct Token {
    /// Name of the token
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub name: String,
    /// What it may do
    #[arg(long, value_enum)]
    pub role: RoleName,
    /// What it is good for; may be given several times [default: everything that its role may]
    #[arg(long = "scope", value_name = "SCOPE", value_parser = scope)]
    pub scopes: Vec<Scope>,
    /// For how many days it is good [default: for ever]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3_650))]
    pub days: Option<u32>,
    /// The user that it goes with: without him it is worth nothing
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(complete::users))]
    pub user: Option<String>,
    /// For people
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
}
fn scope(word: &str) -> Result<Scope, String> {
    Scope::from_word(word).ok_or_else(|| format!("expected one of {}", Scope::ALL.map(Scope::word).join(", ")))
}
