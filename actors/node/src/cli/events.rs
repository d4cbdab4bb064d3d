//! `tandem events`: the journal of the running process, page by page or as it grows.
//!
//! Following survives a restart of the process: it connects again and says what it missed. It must never hide a gap.

use super::args::{Events, Global};
use super::client::{Client, query};
use super::failure::{Exit, Failure};
use super::output::Out;
use super::processes::{ONE_OF_SEVERAL, Processes};
use std::io::{self, Write};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;
use tandem_base::UnixMillis;
use tandem_host::clock::Clock;
use tandem_model::admin::{API, EventPage, Versioned};
use tandem_model::event::Event;

/// Events shown when nobody says how many.
const LAST: u64 = 100;
/// Attempts to connect again before following ends.
const RECONNECTS_MAX: u32 = 30;
/// Pages of several processes that may wait to be printed.
const FOLLOWED_MAX: usize = 64;
/// Between two of them.
const RECONNECT_GAP: Duration = Duration::from_secs(1);

/// A time such as `30s`, `10m`, `24h` or `7d`.
///
/// # Errors
/// What would be right.
pub fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.char_indices().last().and_then(|(at, unit)| {
        let seconds: u64 = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return None,
        };
        text.get(..at)?.parse::<u64>().ok()?.checked_mul(seconds)
    });
    parsed
        .map(Duration::from_secs)
        .ok_or_else(|| "expected a number and a unit, such as 30s, 10m, 24h or 7d".to_owned())
}

/// One event on one line.
pub fn line(event: &Event) -> String {
    format!("{} {:>7} {:<14} {}", event.at.civil(), event.sequence, event.kind, event.text)
}

fn path(events: &Events, follow: bool, after: Option<u64>, since: Option<UnixMillis>) -> String {
    let whole = events.all || events.since.is_some();
    let last = match (after, events.last) {
        (None, Some(n)) => Some(n),
        (None, None) if !whole && !follow => Some(LAST),
        _ => None,
    };
    let after = after.or_else(|| (whole && last.is_none()).then_some(0));
    let parameters = query(&[
        ("after", after.map(|n| n.to_string())),
        ("last", last.map(|n| n.to_string())),
        ("follow", follow.then(|| "1".to_owned())),
        ("since", since.map(|s| s.0.to_string())),
        ("kind", events.kind.clone()),
        ("node", events.node.clone()),
        ("group", events.group.clone()),
        ("device", events.device.clone()),
    ]);
    format!("/events{parameters}")
}

fn begin(events: &Events) -> Option<UnixMillis> {
    let now = Clock::system().unix_millis();
    events.since.map(|d| UnixMillis(now.0.saturating_sub(u64::try_from(d.as_millis()).unwrap_or(u64::MAX))))
}

/// Prints the events that the journal has.
///
/// # Errors
/// When nobody answers or the output cannot be written.
pub fn list(client: &Client, events: &Events, out: &mut Out<'_>) -> Result<(), Failure> {
    let since = begin(events);
    let mut page = client.get::<EventPage>(&path(events, false, events.after, since))?.body;
    let end = page.last;
    if out.is_data() {
        out.list(&[("api", API.into()), ("lost", page.lost.into()), ("restarted", page.restarted.into())], "events")?;
    } else {
        gap(&page, out)?;
    }
    let mut none = true;
    let next = loop {
        none &= page.events.is_empty();
        for event in &page.events {
            if out.is_data() {
                out.element(event)?;
            } else {
                out.line(&line(event))?;
            }
        }
        // Up to what there was at the first page: a busy journal would be chased for ever.
        if page.next >= end {
            break page.next;
        }
        let after = page.next;
        page = client.get::<EventPage>(&path(events, false, Some(after), since))?.body;
        if page.next == after || page.restarted {
            break after;
        }
    };
    if out.is_data() {
        return out.list_end(&[("next", next.into())]);
    }
    if none { out.note("no event matches") } else { Ok(()) }
}

fn gap(page: &EventPage, out: &mut Out<'_>) -> Result<(), Failure> {
    if page.restarted {
        out.note("the process was started anew: this begins with its first event")?;
    }
    if page.lost > 0 {
        out.note(&format!("{} events are gone: the journal is bounded", page.lost))?;
    }
    Ok(())
}

/// Prints events as they happen, until interrupted. `connect` finds the process anew after a restart; `pause` waits between attempts.
///
/// # Errors
/// When nobody answers for half a minute, a filter is refused, or the output cannot be written.
pub fn follow(
    connect: &dyn Fn() -> Result<Client, Failure>,
    pause: &dyn Fn(),
    events: &Events,
    out: &mut Out<'_>,
) -> Result<(), Failure> {
    let since = begin(events);
    let mut after = events.after;
    let mut connected = false;
    let mut attempts = 0;
    loop {
        let ended = match connect().and_then(|client| client.lines(&path(events, true, after, since))) {
            Ok(lines) => {
                for text in lines {
                    let Ok(text) = text else { break };
                    let page = serde_json::from_str::<Versioned<EventPage>>(&text).map_err(|e| unreadable(&e))?.body;
                    (connected, attempts) = (true, 0);
                    after = Some(page.next);
                    show(&page, out)?;
                }
                Failure::new(Exit::Unreachable, "the stream of events ended").remedy("is Tandem still running?")
            }
            Err(failure) => failure,
        };
        // Before the first connection there is nothing to resume: then a person wants to know at once. A refusal is final.
        if !connected || ended.exit != Exit::Unreachable || attempts >= RECONNECTS_MAX {
            return Err(ended);
        }
        if attempts == 0 {
            out.note("the connection is lost: trying again")?;
        }
        attempts += 1;
        pause();
    }
}

/// Prints the events that the journals of several processes have, in the order of their moments.
///
/// # Errors
/// When none answers or the output cannot be written.
pub fn list_all(processes: &Processes, events: &Events, out: &mut Out<'_>) -> Result<(), Failure> {
    let since = begin(events);
    let (mut all, mut lost, mut failure, mut answered) = (Vec::new(), 0, None, false);
    for gathered in processes.ask_all(|p| gather(&p.client, events, since)) {
        match gathered {
            Ok((found, gone)) => {
                answered = true;
                all.extend(found);
                lost += gone;
            }
            Err(why) => {
                out.note(&format!("one process does not answer: {}", why.message))?;
                failure = Some(why);
            }
        }
    }
    if let Some(why) = failure.filter(|_| !answered) {
        return Err(why);
    }
    // Of one moment, those of one process stay in its order.
    all.sort_by_key(|event: &Event| event.at);
    let whole = events.all || events.since.is_some();
    let last = events.last.or_else(|| (!whole).then_some(LAST)).and_then(|n| usize::try_from(n).ok());
    let first = last.map_or(0, |n| all.len().saturating_sub(n));
    let shown = all.get(first..).unwrap_or_default();
    if out.is_data() {
        return out.data(&serde_json::json!({ "api": API, "lost": lost, "events": shown, "next": null }));
    }
    if lost > 0 {
        out.note(&format!("{lost} events are gone: the journals are bounded"))?;
    }
    shown.iter().try_for_each(|event| out.line(&line_of(event)))?;
    if shown.is_empty() { out.note("no event matches") } else { Ok(()) }
}

/// What the journal of one process has, and how many are gone.
fn gather(client: &Client, events: &Events, since: Option<UnixMillis>) -> Result<(Vec<Event>, u64), Failure> {
    let ask = |after| client.get_within::<EventPage>(&path(events, false, after, since), ONE_OF_SEVERAL);
    let mut page = ask(events.after)?.body;
    let (end, lost) = (page.last, page.lost);
    let mut all = std::mem::take(&mut page.events);
    while page.next < end && !page.restarted {
        let after = page.next;
        page = ask(Some(after))?.body;
        if page.next == after {
            break;
        }
        all.append(&mut page.events);
    }
    Ok((all, lost))
}

/// An event among those of several processes: their numbers say nothing there, the node does.
fn line_of(event: &Event) -> String {
    let node = event.node.as_ref().map_or("-", |n| n.as_str());
    format!("{} {node:<8} {:<14} {}", event.at.civil(), event.kind, event.text)
}

/// Prints events of all processes as they happen, until interrupted or none of them answers any more.
///
/// # Errors
/// As [`follow`], when it holds for every process.
pub fn follow_all(global: &Global, processes: &Processes, events: &Events, out: &mut Out<'_>) -> Result<(), Failure> {
    let (tell, told) = sync_channel::<Result<Vec<u8>, Failure>>(FOLLOWED_MAX);
    let format = out.format();
    for process in processes.all() {
        let (global, events, tell) = (global.clone(), events.clone(), tell.clone());
        let node = process.nodes.first().cloned();
        let body = move || {
            let connect = || {
                let found = Processes::find(&global)?;
                // While its process is away nobody else's events are taken for its own.
                let there = node.as_ref().is_none_or(|node| found.all().any(|p| p.nodes.contains(node)));
                let away = || Failure::new(Exit::Unreachable, "its process is not there");
                there.then(|| found.into_client(node.as_ref().map(|n| n.as_str()))).ok_or_else(away)
            };
            let mut lines = Out::to(format, false, Lines { tell: tell.clone(), line: Vec::new() }, io::stderr());
            if let Err(failure) = follow(&connect, &pause, &events, &mut lines) {
                // Whoever printed has gone.
                let _ = tell.send(Err(failure));
            }
        };
        let started = std::thread::Builder::new().name("follow".to_owned()).spawn(body);
        started.map_err(|e| Failure::new(Exit::Failed, format!("cannot start a thread: {e}")))?;
    }
    drop(tell);
    let mut failure = None;
    for lines in told {
        match lines {
            Ok(lines) => {
                out.text(&String::from_utf8_lossy(&lines))?;
                out.flush()?;
            }
            Err(why) => failure = Some(why),
        }
    }
    failure.map_or(Ok(()), Err)
}

/// Hands on what was written with each flush, so that lines of several processes never mix.
struct Lines {
    tell: SyncSender<Result<Vec<u8>, Failure>>,
    line: Vec<u8>,
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        if self.line.is_empty() {
            return Ok(());
        }
        self.tell.send(Ok(std::mem::take(&mut self.line))).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Waits until the next attempt to connect.
#[expect(clippy::disallowed_methods, reason = "a command line tool between two attempts: there is no arbiter to block")]
pub fn pause() {
    std::thread::sleep(RECONNECT_GAP);
}

fn unreadable(why: &serde_json::Error) -> Failure {
    Failure::new(Exit::Failed, format!("the stream of events cannot be read: {why}"))
        .remedy("use the `tandem` that the running process was started with")
}

fn show(page: &EventPage, out: &mut Out<'_>) -> Result<(), Failure> {
    gap(page, out)?;
    for event in &page.events {
        if out.is_data() { out.data_line(event)? } else { out.line(&line(event))? }
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_nonsense_is_refused() {
        for (text, seconds) in [("30s", 30), ("10m", 600), ("24h", 86_400), ("7d", 604_800), ("0s", 0)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)));
        }
        for wrong in ["", "10", "m", "-1m", "1.5h", "1w", "99999999999999999999s", "18446744073709551615d", "1é"] {
            assert!(duration(wrong).unwrap_err().contains("24h"), "{wrong}");
        }
    }

    #[test]
    fn what_is_asked_for_depends_on_where_it_should_begin() {
        let at = |events: &Events, follow, after| path(events, follow, after, None);
        let none = Events::default();
        assert_eq!(at(&none, false, None), "/events?last=100");
        assert_eq!(at(&none, true, None), "/events?follow=1", "following begins with what comes");
        assert_eq!(at(&none, true, Some(7)), "/events?after=7&follow=1", "resuming begins after what was seen");
        assert_eq!(at(&Events { all: true, ..none.clone() }, false, None), "/events?after=0");
        assert_eq!(at(&Events { last: Some(5), ..none.clone() }, true, None), "/events?last=5&follow=1");
        assert_eq!(at(&Events { last: Some(5), ..none }, true, Some(9)), "/events?after=9&follow=1");
    }
}
