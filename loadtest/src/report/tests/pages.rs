//! The page: well-formed, self-contained, escaped, bounded, and readable without seeing its pictures.

use super::super::{Distribution, Failover, Marker, MarkerKind, Summary, Threshold, Verdict, html};
use super::{fixture, golden};
use roxmltree::{Document, Node, ParsingOptions};
use std::collections::BTreeSet;

/// Checks what holds for every page, and hands it over.
fn page(summary: &Summary, look: impl FnOnce(&Document<'_>, &str)) {
    let text = html(summary);
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    let tree = Document::parse_with_options(&text, options).expect("well-formed");
    let elements = || tree.descendants().filter(Node::is_element);
    let mut ids = BTreeSet::new();
    for element in elements() {
        let name = element.tag_name().name();
        assert!(
            !["script", "link", "img", "iframe", "object", "base", "foreignObject", "a", "image", "use"]
                .contains(&name),
            "{name}"
        );
        for attribute in element.attributes() {
            assert!(
                !attribute.name().starts_with("on") && !["href", "src", "style"].contains(&attribute.name()),
                "{attribute:?}"
            );
        }
        if let Some(id) = element.attribute("id") {
            assert!(ids.insert(id), "twice: {id}");
        }
    }
    for svg in elements().filter(|e| e.has_tag_name(("http://www.w3.org/2000/svg", "svg"))) {
        let named = svg.attribute("aria-labelledby").unwrap().split(' ');
        assert!(named.clone().count() == 2 && named.clone().all(|id| ids.contains(id)));
        let inner =
            |name| svg.children().find(|c| c.tag_name().name() == name).and_then(|c| c.text()).unwrap_or_default();
        assert!(!inner("title").is_empty() && inner("desc").len() > 20);
        let figure = svg.parent().unwrap();
        let details = figure.children().find(|c| c.has_tag_name("details")).expect("figures behind the picture");
        assert!(details.descendants().filter(|n| n.has_tag_name("tr")).count() > 1, "{}", inner("title"));
        for number in svg.descendants().flat_map(|n| n.attributes().collect::<Vec<_>>()) {
            if ["x", "y", "x1", "x2", "y1", "y2", "width", "height"].contains(&number.name()) {
                let value: f64 = number.value().parse().unwrap();
                assert!((-40.0..=1_000.0).contains(&value), "{} {value}", number.name());
            }
            assert!(!number.value().contains("NaN") && !number.value().contains("inf"));
        }
    }
    // Addresses in the text are words of the run's; nothing that loads may have one.
    let style = elements().find(|e| e.has_tag_name("style")).and_then(|s| s.text()).unwrap();
    assert!(!style.contains("url(") && !style.contains("@import"), "a style sheet of ours only");
    look(&tree, &text);
}

fn pictures(tree: &Document<'_>) -> usize {
    tree.descendants().filter(|n| n.has_tag_name(("http://www.w3.org/2000/svg", "svg"))).count()
}

fn words(tree: &Document<'_>) -> String {
    let texts: Vec<&str> = tree.descendants().filter(Node::is_text).filter_map(|n| n.text()).collect();
    texts.join(" ").replace('\u{a0}', " ")
}

#[test]
fn three_failovers_have_all_their_pictures_and_figures() {
    let summary = fixture::three_failovers();
    page(&summary, |tree, _| {
        assert_eq!(pictures(tree), 3 + 3 + 1);
        let words = words(tree);
        for part in [
            "FAILED",
            "exit status 1",
            "19 997",
            "failover of CCM1",
            "failback to CCM1",
            "7 497 of 7 500",
            "✕ CCM2",
            "▲ CCM1",
            "RRD",
            "--seed 7",
        ] {
            assert!(words.contains(part), "{part}");
        }
        assert!(summary.why.iter().all(|why| words.contains(why.as_str())), "the reasons");
        let bad = tree.descendants().filter(|n| n.has_tag_name("tr") && n.attribute("class") == Some("bad")).count();
        assert!(bad >= 4, "the failover that lost some, two counts that disagree, the behaviour: {bad}");
    });
}

#[test]
fn a_marker_stands_in_every_picture_over_time() {
    page(&fixture::three_failovers(), |tree, _| {
        let marked = |n: &Node<'_, '_>| n.attribute("class").is_some_and(|c| c.starts_with("marker "));
        assert_eq!(tree.descendants().filter(marked).count(), 3 * 3);
    });
}

#[test]
fn an_empty_run_says_that_nothing_was_measured() {
    page(&Summary { partial: true, ..Summary::default() }, |tree, _| {
        let words = words(tree);
        assert_eq!(pictures(tree), 0);
        for part in [
            "nothing was measured",
            "No node was killed",
            "No operation took place",
            "ended before its time",
            "were not asked for",
        ] {
            assert!(words.contains(part), "{part}");
        }
    });
}

#[test]
fn one_second_is_a_run() {
    page(&fixture::one_second(), |tree, _| assert_eq!(pictures(tree), 4));
}

#[test]
fn an_hour_on_many_nodes_is_a_light_page() {
    page(&fixture::soak(), |tree, text| {
        assert!(text.len() < 400_000, "{} bytes", text.len());
        for path in tree.descendants().filter_map(|n| n.attribute("d")) {
            let points = path.chars().filter(char::is_ascii_uppercase).count();
            assert!(points <= 4 * super::super::chart::DRAWN_MAX + 8, "{points}");
        }
        let words = words(tree);
        assert!(words.contains("other nodes"), "more nodes than colours");
        let rows = tree.descendants().filter(|n| n.has_tag_name("tr")).count();
        assert!(rows < 1_000, "{rows}");
    });
}

#[test]
fn hostile_names_are_words() {
    let hostile = "</title></svg><script>alert(1)</script><a href='http://x.example'>\"&\u{0}\u{1b}[2J\u{202e}";
    let mut summary = fixture::three_failovers();
    summary.why = vec![hostile.to_owned()];
    summary.preset = hostile.to_owned();
    summary.command = hostile.to_owned();
    summary.target.name = hostile.to_owned();
    summary.target.software = Some(hostile.to_owned());
    summary.settings.insert(hostile.to_owned(), hostile.to_owned());
    summary.generator.reasons = vec![hostile.to_owned()];
    summary.generator.kernel.insert(hostile.to_owned(), 1);
    summary.thresholds.push(Threshold { text: hostile.to_owned(), unit: hostile.to_owned(), ..Threshold::default() });
    for f in &mut summary.failovers {
        f.node = hostile.to_owned();
        f.landed.insert(hostile.to_owned(), 1);
    }
    for l in &mut summary.latency {
        l.operation = hostile.to_owned();
        l.rfc6076 = Some(hostile.to_owned());
    }
    for p in &mut summary.series.points {
        p.devices.insert(hostile.to_owned(), 5);
    }
    summary.markers.push(Marker { at_s: 3.0, kind: MarkerKind::Note, node: None, text: Some(hostile.to_owned()) });
    summary.failures.iter_mut().for_each(|f| f.what = hostile.to_owned());
    summary.reconciliation.iter_mut().for_each(|r| r.note = Some(hostile.to_owned()));
    page(&summary, |tree, text| {
        assert!(!text.contains("<script") && !text.contains("<a "));
        assert!(words(tree).contains("<script>alert(1)</script>"), "shown as it is");
    });
}

#[test]
fn absurd_figures_draw_a_page_all_the_same() {
    let mut summary = fixture::three_failovers();
    let d = Distribution::from_values([1e-9, 1e300, -5.0]);
    summary.failovers = vec![Failover { outage_ms: d.clone(), at_s: 1e300, ..Failover::default() }; 40];
    summary.latency.iter_mut().for_each(|l| l.ms = d.clone());
    summary.markers = (0..500).map(|n| Marker { at_s: f64::from(n) - 100.0, ..Marker::default() }).collect();
    for (n, p) in summary.series.points.iter_mut().enumerate() {
        p.at_s = if n % 2 == 0 { -1e300 } else { 1e300 };
        p.registrations = u64::MAX;
        p.unregistered = u64::MAX;
        p.p99_ms = Some(1e300);
    }
    summary.series.interval_s = 0.0;
    page(&summary, |tree, _| {
        assert!(words(tree).contains("28 more are in the table"), "histograms are bounded");
    });
}

#[test]
fn each_verdict_says_what_it_means() {
    for (verdict, meaning) in [
        (Verdict::Pass, "exit status 0"),
        (Verdict::Failed, "exit status 1"),
        (Verdict::Threshold, "exit status 99"),
        (Verdict::Invalid, "say nothing about the server"),
    ] {
        page(&Summary { verdict, ..Summary::default() }, |tree, _| assert!(words(tree).contains(meaning), "{meaning}"));
    }
}

#[test]
fn the_committed_example_is_what_the_code_makes() {
    golden("example.html", &html(&fixture::three_failovers()));
}
