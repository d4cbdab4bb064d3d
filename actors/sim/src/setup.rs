//! What a run is made of: configuration, phones, networks, limits. Everything else follows from the seed.

use std::fmt::Write as _;
use std::time::Duration;
use tandem_host::link::simulated::Path;
use tandem_loadtest::PhoneSettings;
use tandem_model::config::Config;
use tandem_model::timings;

/// How long a rule may be broken before that is a finding: what a row, a phone or a paced return takes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Two nodes that see each other hold one device.
    pub duplicate: Duration,
    /// A device has no node that it can reach, and one could serve it.
    pub homeless: Duration,
    /// A device is not at the best member that it can reach.
    pub misplaced: Duration,
    /// A phone believes that a node serves it which does not.
    pub estranged: Duration,
    /// After the last fault between nodes: a node is not seen as it is.
    pub settle: Duration,
    /// After the last fault between nodes: copies differ, at two looks in a row.
    pub copies: Duration,
    /// After all is healed: everybody is home.
    pub home: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            duplicate: Duration::from_millis(500),
            homeless: timings::HOMELESS_GRACE,
            misplaced: Duration::from_secs(40),
            estranged: Duration::from_secs(10),
            settle: Duration::from_secs(2),
            copies: Duration::from_secs(2),
            home: Duration::from_secs(90),
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Everything random follows from it.
    pub seed: u64,
    /// The cluster.
    pub config: Config,
    /// How phones behave.
    pub phones: PhoneSettings,
    /// Phones are switched on within this time.
    pub start_within: Duration,
    /// The network between phones and nodes.
    pub sip: Path,
    /// The links between nodes.
    pub link: Path,
    /// What counts as a finding.
    pub limits: Limits,
    /// Facts are read and checked at most this often; zero after every step.
    pub check_every: Duration,
    /// Every datagram and frame is a line of the log.
    pub traced: bool,
    /// Whether some phones are rude, slow, answer nothing or come home only when they are called.
    pub mixed: bool,
    /// How many strangers try to register as a device whose password they do not have, some of them in broken messages.
    pub strangers: u32,
    /// Whether somebody sends again as his own what he overheard.
    pub thief: bool,
    /// Whether each node has a copy of the configuration database, and people change it.
    pub database: bool,
}

/// Every so many seeds a run has a database.
const DATABASE_EVERY: u64 = 6;

impl Setup {
    /// For a configuration, with ordinary networks and limits.
    pub fn new(seed: u64, config: Config, phones: PhoneSettings) -> Self {
        let delay = |min, max| Path {
            delay_min: Duration::from_micros(min),
            delay_max: Duration::from_micros(max),
            ..Path::default()
        };
        Self {
            seed,
            config,
            phones,
            start_within: Duration::from_secs(1),
            sip: delay(300, 6_000),
            link: delay(50, 2_000),
            limits: Limits::default(),
            check_every: Duration::ZERO,
            traced: false,
            mixed: false,
            strangers: 0,
            thief: false,
            database: false,
        }
    }

    /// As [`Setup::rough`]; one seed in six has the configuration database as well.
    ///
    /// # Errors
    /// As [`Setup::small`].
    pub fn drawn(seed: u64, devices: u32) -> Result<Self, String> {
        let rough = Self::rough(seed, devices)?;
        if seed % DATABASE_EVERY == 1 { rough.with_database(devices) } else { Ok(rough) }
    }
    /// The same with a configuration database; its file names each device.
    ///
    /// # Errors
    /// As [`Setup::small`].
    pub fn with_database(self, devices: u32) -> Result<Self, String> {
        let config = Config::parse("small.toml", &one_by_one(devices)).map_err(|e| e.to_string())?;
        Ok(Self { config, database: true, ..self })
    }

    /// As [`Setup::small`], with phones of every kind, two strangers and a thief: what seeds are run on.
    ///
    /// # Errors
    /// As [`Setup::small`].
    pub fn rough(seed: u64, devices: u32) -> Result<Self, String> {
        Ok(Self { mixed: true, strangers: 2, thief: true, ..Self::small(seed, devices)? })
    }

    /// Three nodes, five groups (one with a single backup), `devices` polite phones with short intervals: what stories are told with.
    ///
    /// # Errors
    /// What is wrong with the configuration; only a number of devices below 5 can be.
    pub fn small(seed: u64, devices: u32) -> Result<Self, String> {
        let config = Config::parse("small.toml", &small(devices)).map_err(|e| e.to_string())?;
        let phones = PhoneSettings {
            expires: 60,
            patience: Duration::from_secs(2),
            monitor: Duration::from_secs(4),
            retry_base: Duration::from_secs(2),
            retry_cap: Duration::from_secs(8),
            ..PhoneSettings::quick()
        };
        Ok(Self::new(seed, config, phones))
    }
}

fn small(devices: u32) -> String {
    let series = |pool: usize, first: u32, count: u32| {
        format!(
            "\n[[device_series]]\nprefix = \"SEP\"\nfirst = {first}\ncount = {count}\ndigits = 4\n\
             pool = \"DP{pool}\"\npassword = \"secret\"\nfirst_line = \"{}\"\n",
            1_000 + first
        )
    };
    file(devices, series)
}

fn one_by_one(devices: u32) -> String {
    let device = |pool: usize, number: u32| {
        format!(
            "\n[[device]]\nname = \"SEP{number:04}\"\npool = \"DP{pool}\"\npassword = \"secret\"\nlines = [\"{}\"]\n",
            1_000 + number
        )
    };
    file(devices, |pool, first, count| (first..first + count).map(|number| device(pool, number)).collect())
}

/// Three nodes and five groups; `devices_of` writes so many devices of a pool, from a number on.
fn file(devices: u32, devices_of: impl Fn(usize, u32, u32) -> String) -> String {
    let mut text = String::from("[cluster]\nname = \"small\"\n\n[settings]\ntables_every = \"5s\"\n");
    for node in 1..=3 {
        let publisher = node == 1;
        let _ = write!(
            text,
            "\n[[node]]\nname = \"CCM{node}\"\naddress = \"127.0.0.1\"\nsip_udp = 506{node}\nsip_tcp = 506{node}\n\
             publisher = {publisher}\n"
        );
    }
    let groups = [&[1, 2, 3][..], &[1, 3, 2], &[2, 1, 3], &[2, 3, 1], &[3, 1]];
    let share = devices / 5;
    let mut first = 1;
    for (number, members) in (1..).zip(groups) {
        let members: Vec<_> = members.iter().map(|m| format!("\"CCM{m}\"")).collect();
        let count = if number == 5 { devices - 4 * share } else { share };
        let _ = write!(
            text,
            "\n[[group]]\nname = \"G{number}\"\nmembers = [{}]\n\n[[device_pool]]\nname = \"DP{number}\"\n\
             group = \"G{number}\"\nconnection_monitor = \"5s\"\n",
            members.join(", ")
        );
        text += &devices_of(number, first, count);
        first += count;
    }
    text
}
