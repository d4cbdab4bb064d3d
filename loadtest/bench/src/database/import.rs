//! A file of devices through the admin API of the publisher, while phones register with it: until it answers, until both subscribers' copies
//! are equal to its own, and until every node takes the last device for one of its own.

use super::api::{Api, Copy};
use super::file::{self, Form};
use super::{Cluster, PHONES, millis};
use crate::bench::Bench;
use crate::cluster::nodes::NAMES;
use crate::error::Error;
use crate::generator::{Load, Pattern};
use crate::kernel;
use crate::pause;
use crate::row::quantile;
use serde::Serialize;
use std::sync::mpsc;
use std::time::Duration;
use tandem_base::Time;
use tandem_host::clock::Clock;

/// Registrations per second meanwhile: a challenge and an answer each.
const RATE: u64 = 500;
/// The same without an import, to compare with.
const BEFORE: Duration = Duration::from_secs(5);
/// How often a copy is looked at: what every time is coarse by.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_secs(300);

/// What came of it; milliseconds from when the file was sent.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Import {
    pub(crate) form: Form,
    pub(crate) devices: u32,
    pub(crate) bytes: usize,
    /// The answer.
    pub(crate) answered_ms: u64,
    /// Each copy equal to the publisher's, in the order of the nodes.
    pub(crate) equal_ms: Vec<u64>,
    /// The last device known to each node's phones' side.
    pub(crate) known_ms: Vec<u64>,
    /// CPU seconds of each process.
    pub(crate) cpu_s: Vec<f64>,
    /// Most memory that each process had, in MiB.
    pub(crate) peak_mib: Vec<u64>,
    /// Registrations at the publisher: before, and meanwhile.
    pub(crate) before_p99_us: u64,
    pub(crate) load_p50_us: u64,
    pub(crate) load_p99_us: u64,
    pub(crate) load_max_us: u64,
    pub(crate) load_count: u64,
    pub(crate) load_failed: u64,
    pub(crate) load_again: u64,
}

/// What the thread that imports has seen.
struct Seen {
    answered: u64,
    equal: Vec<u64>,
    known: Vec<u64>,
}

fn watch(apis: &[Api], form: Form, text: &str, last: u32) -> Result<Seen, Error> {
    let clock = Clock::system();
    let (query, kind) = form.request();
    let publisher = apis.first().ok_or_else(|| Error::Worthless("no node".to_owned()))?;
    let begun = clock.now();
    publisher.import(query, kind, text)?.good("the import")?;
    let answered = millis(begun, clock.now());
    let none = || Error::Worthless("the publisher does not say where its copy stands".to_owned());
    let wanted = publisher.copy()?.ok_or_else(none)?;
    let passed = || millis(begun, clock.now());
    let equal = each(apis, &clock, begun, |api| Ok((api.copy()?.as_ref() == Some(&wanted)).then(passed)))?;
    let path = format!("/devices/{}", file::name(last));
    let known = each(apis, &clock, begun, |api| Ok((api.get(&path)?.status == 200).then(passed)))?;
    same(apis, &wanted)?;
    Ok(Seen { answered, equal, known })
}

/// When each of them first had an answer.
fn each(
    apis: &[Api],
    clock: &Clock,
    begun: Time,
    mut ask: impl FnMut(&Api) -> Result<Option<u64>, Error>,
) -> Result<Vec<u64>, Error> {
    let mut found: Vec<Option<u64>> = vec![None; apis.len()];
    while found.iter().any(Option::is_none) {
        if clock.now().since(begun) > LIMIT {
            return Err(Error::Worthless(format!("not everywhere within {} s: {found:?}", LIMIT.as_secs())));
        }
        for (api, place) in apis.iter().zip(&mut found).filter(|(_, place)| place.is_none()) {
            *place = ask(api)?;
        }
        pause(LOOK_EVERY);
    }
    Ok(found.into_iter().flatten().collect())
}

/// Nothing came in between.
fn same(apis: &[Api], wanted: &Copy) -> Result<(), Error> {
    for api in apis {
        let copy = api.copy()?;
        if copy.as_ref() != Some(wanted) {
            return Err(Error::Worthless(format!("a copy moved on while it was looked at: {copy:?}, not {wanted:?}")));
        }
    }
    Ok(())
}

impl Bench {
    pub(super) fn import(&mut self, form: Form, devices: u32) -> Result<(), Error> {
        let cluster = Cluster::start(self)?;
        let mut generator = cluster.register_phones(self)?;
        let load = Load {
            devices: PHONES,
            count: RATE * LIMIT.as_secs(),
            rate: Some(RATE),
            window: 4_000,
            limit: LIMIT,
            ..Load::new(Pattern::Challenged)
        };
        let mut tell = self.progress.begin("Tandem: registrations alone", RATE * BEFORE.as_secs());
        let before = generator.run(&Load { count: RATE * BEFORE.as_secs(), ..load }, &mut tell)?;

        let text = file::devices(form, PHONES..PHONES + devices, 0);
        let label = format!("Tandem: import of {devices} devices as {}", form.name());
        let mut tell = self.progress.begin(&label, load.count);
        let used =
            |c: &Cluster| -> Vec<f64> { c.nodes.all().iter().map(|s| kernel::cpu_seconds(s.process())).collect() };
        let (apis, bytes, first_used) = (cluster.apis.clone(), text.len(), used(&cluster));
        let (done, heard) = mpsc::channel();
        let importer = move || {
            // Who waits for it is there until it comes.
            let _ = done.send(watch(&apis, form, &text, PHONES + devices - 1));
        };
        std::thread::Builder::new().name("import".to_owned()).spawn(importer).map_err(Error::io("no thread"))?;
        let mut seen = None;
        let outcome = generator.run_while(&load, &mut tell, &mut |_| {
            seen = seen.take().or_else(|| heard.try_recv().ok());
            Ok(seen.is_none())
        })?;
        let Seen { answered, equal, known } =
            seen.ok_or_else(|| Error::Worthless("the import never ended".to_owned()))??;
        let cpu_s = used(&cluster).iter().zip(&first_used).map(|(now, then)| now - then).collect();
        let peak_mib = cluster.nodes.all().iter().map(|s| kernel::peak_kib(s.process()) / 1_024).collect();
        self.progress
            .say(&format!("  {label}: {answered} ms; equal {equal:?} ms; known {known:?} ms ({})", NAMES.join(", ")));
        self.results.database.imports.push(Import {
            form,
            devices,
            bytes,
            answered_ms: answered,
            equal_ms: equal,
            known_ms: known,
            cpu_s,
            peak_mib,
            before_p99_us: quantile(&before.latency, 0.99),
            load_p50_us: quantile(&outcome.latency, 0.5),
            load_p99_us: quantile(&outcome.latency, 0.99),
            load_max_us: outcome.latency.max(),
            load_count: outcome.ok,
            load_failed: before.failed + outcome.failed,
            load_again: outcome.retransmitted,
        });
        Ok(())
    }
}
