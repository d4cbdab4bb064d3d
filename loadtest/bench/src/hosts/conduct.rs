//! One scenario from beginning to end: look, strike, look, heal, wait, look, and compare with the limits.

use super::ear::{self, Ear};
use super::network::HOSTS;
use super::nodes::{Event, name};
use super::outcome::{Counts, Outcome, Sight, beyond};
use super::scenario::{Fault, Lengths, Notice, Scenario, VICTIM};
use super::stage::{Stage, now};
use crate::error::Error;
use std::time::Duration;

/// Copies are equal within this time after a fault, in milliseconds.
const EQUAL_MS: u64 = 10_000;
/// They are waited for so much longer, so that the figure is known.
const EQUAL_MAX: Duration = Duration::from_secs(90);
/// After everything nothing happens for so long.
const CALM: Duration = Duration::from_secs(5);
/// What a fault does shows until so long after its end, in milliseconds: whoever is found dead later flaps.
const ECHO_MS: u64 = 2_000;

/// What one node told of the others.
struct Told {
    suspect: Vec<Event>,
    down: Vec<Event>,
    up: Vec<Event>,
}

fn about<'e>(events: &'e [Event], whom: &str) -> impl Iterator<Item = &'e Event> {
    let begins = format!("{whom} is ");
    events.iter().filter(move |e| e.text.starts_with(&begins))
}

/// Runs it.
///
/// # Errors
/// What keeps it from being run; what a node does wrong is in the outcome.
pub(super) fn conduct(stage: &mut Stage, scenario: &Scenario, lengths: &Lengths) -> Result<Outcome, Error> {
    let started = now();
    stage.ear = Ear::since(started);
    let mut outcome =
        Outcome { scenario: scenario.name.to_owned(), about: scenario.about.to_owned(), ..Outcome::default() };
    outcome.before = stage.look(|_| true)?;
    stage.crowd.mark()?;
    stage.pulse.take();
    let began = stage.strike(scenario.fault, scenario.length(lengths))?;
    outcome.during = stage.look(|host| host != VICTIM || scenario.victim_answers())?;
    let during = stage.crowd.count()?;
    outcome.moves_during = during.moves;
    let healed = stage.heal(scenario.fault)?;
    outcome.equal_ms = stage.until_equal(healed, EQUAL_MAX)?;
    outcome.home_ms = stage.until_home()?.then(|| now().saturating_sub(healed));
    Stage::calm(CALM)?;
    outcome.after = stage.look(|_| true)?;
    let count = stage.crowd.count()?;
    (outcome.moves_in_all, outcome.registrations) = (count.moves, count.registrations);
    if beyond(&outcome.moves_during, scenario.moves.during) > 0 {
        outcome.restless = during.restless;
    } else if beyond(&outcome.moves_in_all, scenario.moves.in_all) > 0 {
        outcome.restless = count.restless;
    }
    outcome.misplaced = stage.misplaced()?;
    stage.ear.listen(&stage.nodes);
    for by in 0..HOSTS {
        let of = |kind| stage.ear.told(by, kind);
        let told = Told { suspect: of(ear::SUSPECT), down: of(ear::DOWN), up: of(ear::UP) };
        sights(&mut outcome, scenario, by, &told, began, healed);
        let notes = [of(ear::REOPENED), of(ear::FAILED)].concat();
        outcome
            .link_notes
            .extend(notes.into_iter().map(|e| format!("{} s: {}", e.at.saturating_sub(began) / 1_000, e.text)));
    }
    outcome.kept_waiting_ms = stage.pulse.take();
    outcome.seconds = now().saturating_sub(started) as f64 / 1_000.0;
    judge(&mut outcome, scenario, stage);
    Ok(outcome)
}

fn sights(outcome: &mut Outcome, scenario: &Scenario, by: usize, told: &Told, began: u64, healed: u64) {
    for whom in (0..HOSTS).filter(|whom| *whom != by) {
        let whom_name = name(whom);
        let after = |events: &[Event], from: u64| {
            about(events, &whom_name).map(|e| e.at).find(|at| *at >= from).map(|at| at.saturating_sub(from))
        };
        let deaths: Vec<&Event> = about(&told.down, &whom_name).collect();
        let (may, flaps) = (scenario.may_miss(by, whom), healed + ECHO_MS);
        for death in deaths.iter().filter(|e| !may || e.at > flaps) {
            let seconds = (death.at as f64 - began as f64) / 1_000.0;
            outcome.false_alarms.push(format!("{} said {seconds:.1} s after the beginning: {}", name(by), death.text));
        }
        if !may {
            outcome.false_suspicions += about(&told.suspect, &whom_name).count();
        }
        // Of a node that ends in good order the others may know before its process has ended.
        let from = if scenario.fault == Fault::Stop { 0 } else { began };
        let since =
            |events: &[Event]| after(events, from).map(|ms| if from == 0 { ms.saturating_sub(began) } else { ms });
        outcome.sights.push(Sight {
            by: name(by),
            whom: whom_name.clone(),
            expected: scenario.notices().0.contains(&Notice { by, whom }),
            suspect_ms: since(&told.suspect),
            dead_ms: since(&told.down),
            up_ms: after(&told.up, healed),
            deaths: deaths.len(),
        });
    }
}

fn judge(outcome: &mut Outcome, scenario: &Scenario, stage: &mut Stage) {
    let (notices, limit) = scenario.notices();
    for notice in notices {
        let (by, whom) = (name(notice.by), name(notice.whom));
        let dead = outcome.sights.iter().find(|s| s.by == by && s.whom == whom).and_then(|s| s.dead_ms);
        outcome.within(&format!("{by} finds {whom} dead"), limit, dead);
    }
    let alarms = outcome.false_alarms.len() as u64;
    outcome.at_most("found dead without need, or after the end", 0, alarms);
    outcome.within("copies proven equal after the end", EQUAL_MS, outcome.equal_ms);
    if scenario.moves.during == 0 {
        let same = outcome.before.phones == outcome.during.phones;
        outcome.equal("phones are where they were at the end of it", "yes", if same { "yes" } else { "no" });
    }
    let (during, in_all) = (scenario.moves.during, scenario.moves.in_all);
    let figure = beyond(&outcome.moves_during, during);
    outcome.at_most(&format!("phones that moved more than {during} times meanwhile"), 0, figure);
    let figure = beyond(&outcome.moves_in_all, in_all);
    outcome.at_most(&format!("phones that moved more than {in_all} times in all"), 0, figure);
    let home = outcome.home_ms.is_some();
    let found = if home { "yes".to_owned() } else { format!("no: {}", stage.words()) };
    outcome.equal("every device is at home again", "yes", &found);
    let words = |c: &Counts| c.iter().map(|(n, d)| format!("{n} {d}")).collect::<Vec<_>>().join(", ");
    let wanted = words(&outcome.before.phones);
    for by in (0..HOSTS).map(name) {
        let found = outcome.after.status.get(&by).map_or_else(|| "no answer".to_owned(), words);
        outcome.equal(&format!("{by} counts afterwards"), &wanted, &found);
    }
    let misplaced = outcome.misplaced;
    outcome.at_most("devices that nodes or phones place differently", 0, misplaced);
}
