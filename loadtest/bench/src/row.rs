//! One measured run as a row: CPU per operation of the server's process tree, and everything that says whether the figure is worth something.
//!
//! It must never turn a run with failures, or one whose work was not done, into a figure that counts.

use crate::error::Error;
use crate::generator::Outcome;
use crate::kernel::{self, Machine};
use crate::server::{Kind, Server};
use hdrhistogram::Histogram;
use serde::Serialize;
use tandem_base::Time;
use tandem_host::clock::Clock;

/// Share of the run's time that others may have run (one core is 1) before the row is marked.
const OTHERS_MAX: f64 = 0.05;
/// Likewise for time that the host of a virtual machine took.
const STEAL_MAX: f64 = 0.02;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum What {
    /// A datagram of a REGISTER's size in, one of a 200's size out.
    Exchange,
    /// First registration of every device.
    Fill,
    /// Each further one, in another order.
    Refresh,
    /// Challenged, then with credentials: two exchanges.
    Challenged,
    /// Refreshes at a given rate: the server sleeps in between.
    Paced,
    /// One REGISTER over each of many connections per round.
    Tcp,
}
impl What {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Exchange => "bare exchange",
            Self::Fill => "first registration",
            Self::Refresh => "refresh",
            Self::Challenged => "challenged registration",
            Self::Paced => "refresh, paced",
            Self::Tcp => "REGISTER over TCP, a connection each",
        }
    }
}

/// See the module.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) server: Kind,
    pub(crate) what: What,
    pub(crate) devices: u32,
    /// Operations that ended well.
    pub(crate) operations: u64,
    pub(crate) failed: u64,
    pub(crate) retransmitted: u64,
    /// Answers that fitted no request.
    pub(crate) stray: u64,
    /// Rows the server wrote for its peers meanwhile, where it tells.
    pub(crate) rows: Option<u64>,
    /// CPU of the server's process tree per operation.
    pub(crate) cpu_us: f64,
    pub(crate) per_second: f64,
    pub(crate) wall_s: f64,
    /// Share of one core that the server used: below 0.9 it was not saturated.
    pub(crate) server_share: f64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) max_us: u64,
    /// CPU that others used meanwhile, and what the host of a virtual machine took.
    pub(crate) other_s: f64,
    pub(crate) steal_s: f64,
    /// More of it than a comparison bears.
    pub(crate) noisy: bool,
    /// Why the row does not count.
    pub(crate) invalid: Option<String>,
}

/// Accounts as they stood when a run began.
pub(crate) struct Meter {
    clock: Clock,
    begun: Time,
    server: u64,
    own: u64,
    machine: Machine,
    rows: Option<u64>,
}

impl Meter {
    /// Reads them.
    pub(crate) fn start(server: &Server) -> Result<Self, Error> {
        Self::start_all(&[server])
    }
    /// Of several servers together; rows are those of the first, which is asked.
    pub(crate) fn start_all(servers: &[&Server]) -> Result<Self, Error> {
        let clock = Clock::system();
        let rows = rows(servers)?;
        let own = kernel::cpu_nanos(std::process::id());
        let machine = kernel::machine();
        Ok(Self { clock, rows, own, machine, server: used(servers), begun: clock.now() })
    }
    /// Reads them again and makes the row.
    pub(crate) fn finish(self, server: &Server, what: What, devices: u32, outcome: &Outcome) -> Result<Row, Error> {
        self.finish_all(server.kind, &[server], what, devices, outcome)
    }
    /// The same of all that it was started for.
    pub(crate) fn finish_all(
        self,
        kind: Kind,
        servers: &[&Server],
        what: What,
        devices: u32,
        outcome: &Outcome,
    ) -> Result<Row, Error> {
        let wall_s = self.clock.now().since(self.begun).as_secs_f64();
        let used = used(servers).saturating_sub(self.server) as f64 / 1e9;
        let machine = kernel::machine();
        let own = kernel::cpu_nanos(std::process::id()).saturating_sub(self.own) as f64 / 1e9;
        let rows = rows(servers)?.zip(self.rows).map(|(now, then)| now.saturating_sub(then));
        let other_s = (machine.busy - self.machine.busy - used - own).max(0.0);
        let steal_s = machine.steal - self.machine.steal;
        let at = |q: f64| quantile(&outcome.latency, q);
        Ok(Row {
            server: kind,
            what,
            devices,
            operations: outcome.ok,
            failed: outcome.failed,
            retransmitted: outcome.retransmitted,
            stray: outcome.stray,
            rows,
            cpu_us: used * 1e6 / outcome.ok.max(1) as f64,
            per_second: outcome.ok as f64 / wall_s,
            wall_s,
            server_share: used / wall_s,
            p50_us: at(0.5),
            p99_us: at(0.99),
            max_us: outcome.latency.max(),
            other_s,
            steal_s,
            noisy: other_s > OTHERS_MAX * wall_s || steal_s > STEAL_MAX * wall_s,
            invalid: worthless(outcome, rows),
        })
    }
}

fn used(servers: &[&Server]) -> u64 {
    servers.iter().map(|s| kernel::cpu_nanos(s.process())).sum()
}

fn rows(servers: &[&Server]) -> Result<Option<u64>, Error> {
    servers.first().map_or(Ok(None), |s| s.rows())
}

/// A quantile in microseconds; 0 when nothing was recorded.
pub(crate) fn quantile(latency: &Histogram<u64>, q: f64) -> u64 {
    if latency.is_empty() { 0 } else { latency.value_at_quantile(q) }
}

/// Why a run does not count.
fn worthless(outcome: &Outcome, rows: Option<u64>) -> Option<String> {
    if outcome.ok == 0 {
        return Some("nothing was answered with 200".to_owned());
    }
    if outcome.failed > 0 {
        return Some(format!("{} operations failed; answers by status: {:?}", outcome.failed, outcome.statuses));
    }
    match rows {
        Some(rows) if rows != outcome.ok => Some(format!(
            "{} answers with 200, but {rows} rows written: something was answered and not done",
            outcome.ok
        )),
        _ => None,
    }
}

/// Least and middle of the figures of rows that count; `None` without any.
pub(crate) fn least_and_middle(mut figures: Vec<f64>) -> Option<(f64, f64)> {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len().checked_sub(1)? / 2;
    Some((*figures.first()?, *figures.get(middle)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::histogram;
    use std::collections::BTreeMap;

    fn outcome(ok: u64, failed: u64) -> Outcome {
        let latency = histogram();
        Outcome {
            ok,
            failed,
            retransmitted: 0,
            stray: 0,
            statuses: BTreeMap::from([(200, ok), (503, failed)]),
            latency,
        }
    }

    #[test]
    fn a_run_counts_when_all_was_answered_and_done() {
        assert_eq!(worthless(&outcome(10, 0), Some(10)), None);
        assert_eq!(worthless(&outcome(10, 0), None), None);
        assert!(worthless(&outcome(10, 0), Some(9)).unwrap().contains("9 rows"));
        assert!(worthless(&outcome(10, 1), Some(10)).unwrap().contains("503: 1"));
        assert!(worthless(&outcome(0, 0), None).is_some());
    }

    #[test]
    fn the_middle_of_an_even_number_is_the_lower_one() {
        assert_eq!(least_and_middle(vec![3.0, 1.0, 2.0]), Some((1.0, 2.0)));
        assert_eq!(least_and_middle(vec![4.0, 1.0, 2.0, 3.0]), Some((1.0, 2.0)));
        assert_eq!(least_and_middle(Vec::new()), None);
    }
}
