//! Events over real loopback HTTP: pages, filters, and the endless stream with its ways to resume.

use crate::support::{Console, TOKEN, error, read};
use std::io::{BufRead, BufReader};
use tandem_console::FOLLOWERS_MAX;
use tandem_model::admin::{EventPage, Versioned};

fn page(console: &Console, query: &str) -> EventPage {
    serde_json::from_value(console.json(&format!("/api/v1/events?{query}"))).unwrap()
}
fn numbers(page: &EventPage) -> Vec<u64> {
    page.events.iter().map(|e| e.sequence).collect()
}

/// An open stream, line by line.
struct Stream(BufReader<ureq::BodyReader<'static>>);
impl Stream {
    fn open(console: &Console, query: &str, headers: &[(&str, &str)]) -> Self {
        let authorization = format!("Bearer {TOKEN}");
        let mut all = vec![("Authorization", authorization.as_str())];
        all.extend_from_slice(headers);
        let response = console.get_with(&format!("/api/v1/events?follow=1{query}"), &all);
        assert_eq!(response.status().as_u16(), 200);
        Self(BufReader::new(response.into_body().into_reader()))
    }
    fn lines(console: &Console, query: &str) -> Self {
        Self::open(console, query, &[("Accept", "application/x-ndjson")])
    }
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }
    fn page(&mut self) -> EventPage {
        serde_json::from_str::<Versioned<EventPage>>(&self.line()).unwrap().body
    }
}

#[test]
fn pages_follow_each_other_without_a_gap() {
    let console = Console::start();
    (0..7).for_each(|i| console.admin.happens("node_down", i));
    let first = page(&console, "limit=3");
    assert_eq!((numbers(&first), first.next, first.lost), (vec![1, 2, 3], 3, 0));
    let second = page(&console, "limit=3&after=3");
    assert_eq!((numbers(&second), second.next), (vec![4, 5, 6], 6));
    let third = page(&console, "limit=3&after=6");
    assert_eq!((numbers(&third), third.next), (vec![7], 7));
    let end = page(&console, "after=7");
    assert_eq!((numbers(&end), end.next, end.restarted), (vec![], 7, false));
    assert_eq!(numbers(&page(&console, "last=2")), vec![6, 7]);
}

#[test]
fn filters_keep_what_matches_and_still_move_on() {
    let console = Console::start();
    for i in 0..10 {
        console.admin.happens(if i % 2 == 0 { "register" } else { "node_down" }, i * 100);
    }
    let found = page(&console, "kind=node_down&since=400");
    assert_eq!((numbers(&found), found.next), (vec![6, 8, 10], 10));
    let nothing = page(&console, "node=CCM9");
    assert_eq!((numbers(&nothing), nothing.next), (vec![], 10));
}

#[test]
fn what_the_journal_forgot_is_counted_and_a_restart_is_told() {
    let console = Console::start();
    (0..10).for_each(|i| console.admin.happens("node_down", i));
    console.admin.forgets(5);
    let after_two = page(&console, "after=2");
    assert_eq!((numbers(&after_two), after_two.lost), (vec![6, 7, 8, 9, 10], 3));
    assert_eq!(page(&console, "after=0").lost, 0, "from 0 means whatever there is");
    let ahead = page(&console, "after=5000");
    assert!(ahead.restarted);
    assert_eq!(numbers(&ahead), vec![6, 7, 8, 9, 10]);
}

#[test]
fn a_follower_gets_events_as_they_happen() {
    let console = Console::start();
    console.admin.happens("before", 0);
    let mut stream = Stream::lines(&console, "");
    let hello = stream.page();
    assert_eq!((numbers(&hello), hello.next), (vec![], 1), "it begins with what comes, and says from where");
    for i in 2..5 {
        console.admin.happens("node_down", i);
        assert_eq!(numbers(&stream.page()), vec![i]);
    }
}

#[test]
fn a_follower_that_resumes_misses_nothing() {
    let console = Console::start();
    (0..2_345).for_each(|i| console.admin.happens("node_down", i));
    let mut stream = Stream::lines(&console, "&after=5");
    let mut got = Vec::new();
    while got.len() < 2_340 {
        got.extend(numbers(&stream.page()));
    }
    assert_eq!(got, (6..=2_345).collect::<Vec<_>>());
}

#[test]
fn a_browser_resumes_by_its_last_event_id_and_is_told_of_a_gap() {
    let console = Console::start();
    (0..6).for_each(|i| console.admin.happens("node_down", i));
    console.admin.forgets(4);
    let mut stream = Stream::open(&console, "", &[("Last-Event-ID", "2")]);
    assert_eq!(stream.line(), "event: gap\n");
    assert_eq!(stream.line(), "data: {\"lost\":2,\"restarted\":false}\n");
    assert_eq!(stream.line(), "\n");
    assert_eq!(stream.line(), "id: 5\n");
    assert!(stream.line().starts_with("data: {\"sequence\":5"));
    assert_eq!((stream.line(), stream.line()), ("\n".to_owned(), "id: 6\n".to_owned()));
}

#[test]
fn readers_are_bounded_and_a_reader_that_leaves_makes_room() {
    let console = Console::start();
    let mut streams: Vec<_> = (0..FOLLOWERS_MAX).map(|_| Stream::lines(&console, "")).collect();
    streams.iter_mut().for_each(|s| drop(s.page()));
    let (status, body) = console.get("/api/v1/events?follow=1");
    assert_eq!(status, 503);
    assert!(error(&body).message.contains("32 readers"), "{body}");
    drop(streams);
    // The server sees the closed connections when it next writes: events give it something to write.
    let freed = (0..2_000).any(|i| {
        console.admin.happens("node_down", i);
        let authorization = format!("Bearer {TOKEN}");
        console.get_with("/api/v1/events?follow=1", &[("Authorization", &authorization)]).status().as_u16() == 200
    });
    assert!(freed);
}

#[test]
fn stopping_the_console_ends_its_streams() {
    let console = Console::start();
    let mut stream = Stream::lines(&console, "");
    stream.page();
    let Console { running, .. } = console;
    running.stop();
    let mut line = String::new();
    assert!(!matches!(stream.0.read_line(&mut line), Ok(n) if n > 0), "{line}");
}

#[test]
fn an_unknown_filter_is_refused() {
    let console = Console::start();
    let authorization = format!("Bearer {TOKEN}");
    let (status, body) = read(console.get_with("/api/v1/events?typ=x", &[("Authorization", &authorization)]));
    assert_eq!(status, 400);
    assert!(error(&body).message.contains("typ"), "{body}");
}
