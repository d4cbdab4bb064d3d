//! Our counts beside the nodes' own, at the end of a run: the sums, and every device one by one.
//!
//! Sums alone would hide a registrar that loses one registration in a thousand. A device counts as not held only when it is
//! missing twice in a row, a moment apart: phones move while we look.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tandem_base::metric;

use super::blocking;
use super::control::{Control, Metrics};
use super::run::Run;
use crate::fleet::Traffic;
use crate::report::Reconciled;

/// Difference of sums above which they do not agree, in percent.
const TOLERANCE_PERCENT: f64 = 1.0;
/// As many messages may be under way while we look.
const UNDER_WAY: f64 = 3.0;
/// Names given as examples.
const EXAMPLES: usize = 5;
/// Between two looks at devices that seem to be missing.
const SECOND_LOOK: Duration = Duration::from_millis(500);

/// What was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    /// The lines of the table.
    pub(super) rows: Vec<Reconciled>,
    /// Devices that believe to be registered and are not held by that node.
    pub(super) not_held: u64,
    /// Devices that two nodes hold.
    pub(super) duplicate: u64,
}

/// Registrations that the nodes hold beyond those of the cluster: devices held twice. Looks twice, for they may be moving.
pub(super) fn excess(control: &Control) -> Option<u64> {
    let look = || {
        let (metrics, status) = (control.metrics().ok()?, control.status().ok()?);
        let held = metrics.sum(metric::REGISTRATIONS.name, &[]);
        Some((held - status.registrations as f64).max(0.0) as u64)
    };
    let first = look()?;
    if first == 0 {
        return Some(0);
    }
    std::thread::park_timeout(SECOND_LOOK);
    Some(first.min(look()?))
}

/// A line for two sums.
fn row(what: &str, ours: f64, theirs: f64, note: Option<String>) -> Reconciled {
    let difference = if ours == 0.0 { None } else { Some((theirs - ours) / ours * 100.0) };
    let ok = difference.map_or(theirs == 0.0, |d| d.abs() <= TOLERANCE_PERCENT);
    Reconciled { what: what.to_owned(), ours, theirs: Some(theirs), difference_percent: difference, ok, note }
}

/// The same for messages, of which some are under way at any moment.
fn messages_row(what: &str, ours: f64, theirs: f64) -> Reconciled {
    let line = row(what, ours, theirs, None);
    Reconciled { ok: line.ok || (ours - theirs).abs() <= UNDER_WAY, ..line }
}

/// Where each of our devices believes to be: name to node.
fn beliefs(
    names: &[String],
    census: &[Option<SocketAddr>],
    nodes: &[(String, SocketAddr)],
) -> BTreeMap<String, String> {
    let node_at = |a: &SocketAddr| nodes.iter().find(|(_, n)| n == a).map_or_else(|| a.to_string(), |(n, _)| n.clone());
    let pair = |(name, at): (&String, &Option<SocketAddr>)| Some((name.clone(), node_at(at.as_ref()?)));
    names.iter().zip(census).filter_map(pair).collect()
}

/// Devices whose belief is not what the nodes say: name, belief, what they say.
fn strangers(ours: &BTreeMap<String, String>, theirs: &BTreeMap<String, String>) -> BTreeMap<String, (String, String)> {
    let differs = |(name, node): (&String, &String)| {
        let there = theirs.get(name);
        (there != Some(node))
            .then(|| (name.clone(), (node.clone(), there.cloned().unwrap_or_else(|| "nowhere".into()))))
    };
    ours.iter().filter_map(differs).collect()
}

/// Compares everything that can be compared.
pub(super) async fn all(run: &Run) -> Findings {
    let Some(control) = run.setup.control.clone() else {
        let note = "no control endpoint: there was nothing to reconcile with".to_owned();
        let stats = run.fleet.stats();
        let only = Reconciled {
            what: "devices registered".into(),
            ours: stats.registered.into(),
            ok: true,
            note: Some(note),
            ..Reconciled::default()
        };
        return Findings { rows: vec![only], ..Findings::default() };
    };
    let nodes: Vec<(String, SocketAddr)> =
        run.setup.cluster.nodes.iter().map(|n| n.name.clone()).zip(run.setup.addresses.iter().copied()).collect();
    let mut findings = Findings::default();
    match one_by_one(run, &control, &nodes).await {
        Ok((ours, theirs, missing)) => per_device(&mut findings, &nodes, &ours, &theirs, &missing),
        Err(why) => {
            findings.rows.push(unasked("devices registered, one by one", run.fleet.stats().registered.into(), why))
        }
    }
    let asking = control.clone();
    findings.duplicate = blocking(move || excess(&asking)).await.unwrap_or_default();
    findings.rows.push(Reconciled {
        what: "devices held by two nodes".into(),
        theirs: Some(findings.duplicate as f64),
        ok: findings.duplicate == 0,
        ..Reconciled::default()
    });
    match (blocking(move || control.metrics()).await, &run.base) {
        (Ok(now), Some(base)) => messages(&mut findings, run, &nodes, base, &now),
        (Err(why), _) => findings.rows.push(unasked("messages", 0.0, why)),
        (_, None) => {
            findings.rows.push(unasked("messages", 0.0, "the metrics could not be read before the run".into()))
        }
    }
    findings
}

fn unasked(what: &str, ours: f64, why: String) -> Reconciled {
    Reconciled { what: what.into(), ours, ok: false, note: Some(why), ..Reconciled::default() }
}

type Places = BTreeMap<String, String>;
type Strangers = BTreeMap<String, (String, String)>;

/// Our belief, their list, and what differs in both of two looks.
async fn one_by_one(
    run: &Run,
    control: &Control,
    nodes: &[(String, SocketAddr)],
) -> Result<(Places, Places, Strangers), String> {
    let mut before: Option<Strangers> = None;
    loop {
        let census = run.fleet.census().ok_or("the phones' thread does not answer")?;
        let ours = beliefs(&run.setup.plan.names, &census, nodes);
        let asking = control.clone();
        let mut theirs = blocking(move || asking.registered()).await?;
        let mine: std::collections::BTreeSet<&String> = run.setup.plan.names.iter().collect();
        theirs.retain(|name, _| mine.contains(name));
        let found = strangers(&ours, &theirs);
        match before {
            None if !found.is_empty() => before = Some(found),
            None => return Ok((ours, theirs, found)),
            Some(first) => {
                let both = found.into_iter().filter(|(name, _)| first.contains_key(name)).collect();
                return Ok((ours, theirs, both));
            }
        }
        tokio::time::sleep(SECOND_LOOK).await;
    }
}

fn per_device(
    findings: &mut Findings,
    nodes: &[(String, SocketAddr)],
    ours: &Places,
    theirs: &Places,
    missing: &Strangers,
) {
    findings.rows.push(row("devices registered", ours.len() as f64, theirs.len() as f64, None));
    for (node, _) in nodes {
        let count = |places: &Places| places.values().filter(|n| *n == node).count() as f64;
        if count(ours) + count(theirs) > 0.0 {
            findings.rows.push(row(&format!("devices at {node}"), count(ours), count(theirs), None));
        }
    }
    findings.not_held = missing.len() as u64;
    let example = |(name, (node, there)): (&String, &(String, String))| format!("{name} believes {node}, is {there}");
    let examples: Vec<String> = missing.iter().take(EXAMPLES).map(example).collect();
    findings.rows.push(Reconciled {
        what: "devices that the nodes hold where they believe to be, one by one".into(),
        ours: ours.len() as f64,
        theirs: Some((ours.len() - missing.len().min(ours.len())) as f64),
        difference_percent: (!ours.is_empty()).then(|| missing.len() as f64 / ours.len() as f64 * -100.0),
        ok: missing.is_empty(),
        note: (!examples.is_empty()).then(|| examples.join("; ")),
    });
}

/// Requests and answers of nodes that were alive all the time.
fn messages(findings: &mut Findings, run: &Run, nodes: &[(String, SocketAddr)], base: &Metrics, now: &Metrics) {
    let traffic = run.fleet.with_record(|r| r.traffic.clone());
    for (place, (node, address)) in nodes.iter().enumerate() {
        let ours = traffic.get(address).copied().unwrap_or_default();
        let grown = |name: &str, labels: &[(&str, &str)]| now.sum(name, labels) - base.sum(name, labels);
        let of_node = [("node", node.as_str()), ("method", "REGISTER")];
        let requests = grown(metric::SIP_REQUESTS.name, &of_node);
        if ours == Traffic::default() && requests == 0.0 {
            continue;
        }
        let mut rows = vec![messages_row(&format!("REGISTER to {node}"), ours.registers as f64, requests)];
        for (class, count) in ["1xx", "2xx", "3xx", "4xx", "5xx", "6xx"].iter().zip(ours.answers) {
            let theirs = grown(metric::SIP_RESPONSES.name, &[("node", node), ("class", class)]);
            if count as f64 + theirs > 0.0 {
                rows.push(messages_row(&format!("{class} from {node}"), count as f64, theirs));
            }
        }
        if run.touched.contains(&place) {
            // What was sent to a dead node nobody counted.
            for row in &mut rows {
                row.ok = true;
                row.note = Some("it died during the run: not compared".into());
            }
        }
        findings.rows.append(&mut rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(pairs: &[(&str, &str)]) -> Places {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn one_percent_is_what_sums_may_differ() {
        assert!(row("x", 1_000.0, 990.0, None).ok && !row("x", 1_000.0, 989.0, None).ok);
        assert!(row("x", 0.0, 0.0, None).ok && !row("x", 0.0, 1.0, None).ok);
        assert!(messages_row("x", 50.0, 49.0).ok && !messages_row("x", 50.0, 46.0).ok);
        assert_eq!(row("x", 200.0, 100.0, None).difference_percent, Some(-50.0));
    }

    #[test]
    fn one_device_in_a_thousand_that_is_not_held_is_found_and_named() {
        let mut ours = Places::new();
        for n in 0..1_000 {
            ours.insert(format!("SEP{n:04}"), "CCM1".into());
        }
        let mut theirs = ours.clone();
        theirs.remove("SEP0500");
        theirs.insert("SEP0501".into(), "CCM2".into());
        let missing = strangers(&ours, &theirs);
        let mut findings = Findings::default();
        let nodes = [("CCM1".to_owned(), "127.0.0.1:5061".parse().unwrap())];
        per_device(&mut findings, &nodes, &ours, &theirs, &missing);
        assert_eq!(findings.not_held, 2);
        let last = findings.rows.last().unwrap();
        let note = last.note.as_deref().unwrap();
        assert!(
            !last.ok
                && note.contains("SEP0500 believes CCM1, is nowhere")
                && note.contains("SEP0501 believes CCM1, is CCM2")
        );
        assert!(findings.rows[0].ok, "the sums alone do not see it");
    }

    #[test]
    fn a_belief_is_a_node_or_else_an_address() {
        let address: SocketAddr = "127.0.0.1:5061".parse().unwrap();
        let other: SocketAddr = "127.0.0.1:9".parse().unwrap();
        let names: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
        let found = beliefs(&names, &[Some(address), None, Some(other)], &[("CCM1".into(), address)]);
        assert_eq!(found, places(&[("a", "CCM1"), ("c", "127.0.0.1:9")]));
    }
}
