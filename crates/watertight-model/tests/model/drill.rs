//! What is expected of drills, held against what they found; and the picture of one.

use std::{collections::BTreeSet, time::Duration};

use watertight_model::{
    drill::{Expectation, Held, Histogram, Part, Report, Route, Tally, percent, svg},
    failure::FailureKind,
    fault::FaultKind,
    problem::Code,
};

use crate::apps::rendered;

fn tally(served: u64, degraded: u64, failed: u64, millis: &[u64]) -> Tally {
    let mut times = Histogram::default();
    millis.iter().for_each(|millis| times.add(Duration::from_millis(*millis)));
    Tally {
        requests: served + degraded + failed,
        served,
        degraded,
        failed,
        statuses: [(200, served + degraded), (500, failed)].into(),
        latency: times.latency(),
        took: Duration::from_secs(10),
    }
}

fn report() -> Report {
    let route = |load: &str, drill| Route { load: load.to_owned(), baseline: tally(1000, 0, 0, &[10, 10, 20]), drill };
    let mut part = Part { name: "thumbnail".to_owned(), calls: 1000, ejected: 7, restarts: 2, ..Part::default() };
    part.injected.insert(FaultKind::Trap, 200);
    part.count_failure(FailureKind::Trap, Some(FaultKind::Trap));
    part.count_failure(FailureKind::Memory, None);
    let held = |what, before, after, slack| Held { what, before, after, slack };
    Report {
        app: "press".to_owned(),
        version: "0.1.0".to_owned(),
        faults: vec!["thumbnail: trap 20%".to_owned()],
        seed: 42,
        concurrency: 8,
        routes: vec![
            route("GET /", tally(9990, 9, 1, &[10, 20, 40])),
            route("GET /a<b>?c&d", tally(800, 200, 0, &[10, 30, 300])),
        ],
        components: vec![Part { name: "web".to_owned(), calls: 11000, ..Part::default() }, part],
        held: vec![held("cells", 0, 0, 0), held("files", 10, 11, 0), held("rss-kib", 100, 150, 100)],
        expectations: Vec::new(),
    }
}

#[test]
fn an_expectation_holds_if_it_holds_for_every_load() {
    let report = report();
    for (text, holds, found, load) in [
        ("availability>=99.99%", true, "99.99%", Some("GET /")),
        ("availability >= 100%", false, "99.99%", Some("GET /")),
        ("availability>99.99%", false, "99.99%", Some("GET /")),
        ("failed<=0.01%", true, "0.01%", Some("GET /")),
        ("failed=0%", false, "0.01%", Some("GET /")),
        ("degraded<=20%", true, "0.09%", Some("GET /")),
        ("degraded<20%", false, "20%", Some("GET /a<b>?c&d")),
        ("served>=80%", true, "99.9%", Some("GET /")),
        ("p50<=31ms", true, "20.0 ms", Some("GET /")),
        ("p50<=2.5x", false, "30.0 ms, without faults 10.0 ms", Some("GET /a<b>?c&d")),
        ("p50<=4x", true, "20.0 ms, without faults 10.0 ms", Some("GET /")),
        ("p99<100ms", false, "300 ms", Some("GET /a<b>?c&d")),
        ("max<=300ms", true, "40.0 ms", Some("GET /")),
        ("leaks=0", false, "1", None),
        ("leaks<=1", true, "1", None),
        ("restarts>2", false, "2", None),
        ("ejected=7", true, "7", None),
        ("breakers=0", true, "0", None),
    ] {
        let expectations = Expectation::parse("--expect", [text]).expect("it is sound");
        let verdict = expectations[0].verdict(&report);
        assert_eq!((verdict.holds, verdict.load.as_deref()), (holds, load), "{text}: {verdict:?}");
        assert!(
            verdict.found.starts_with(found.split([' ', '.']).next().expect("there is one")),
            "{text}: {verdict:?}"
        );
    }
}

#[test]
fn nothing_holds_of_requests_that_were_never_made() {
    let mut report = report();
    report.routes[1].drill = tally(0, 0, 0, &[]);
    for text in ["availability>=0%", "p99<=1h", "p99<=100x"] {
        let verdict = Expectation::parse("--expect", [text]).expect("it is sound")[0].verdict(&report);
        assert!(!verdict.holds && verdict.found == "no requests", "{verdict:?}");
    }
}

const WRONG: [&str; 2] = [
    "availabilty>=99%, availability, p99<=5, p99<=x, availability>=99, availability>=101%, , leaks=1.5, leaks=-1, p50=1ms2",
    "served>=99.9.9%,banana=1",
];

#[test]
fn everything_that_is_wrong_with_expectations_is_told_with_its_place() {
    let problems = Expectation::parse("--expect", WRONG).expect_err("they are wrong");
    assert!(problems.iter().all(|problem| problem.next_step().is_some() && problem.place().is_some()));
    insta::assert_snapshot!(rendered(&problems));
    assert!(Expectation::parse("--expect", vec!["leaks=0"; 65]).is_err(), "there is a bound");
}

/// The kinds of problems that expectations have.
pub(crate) fn codes() -> BTreeSet<Code> {
    Expectation::parse("--expect", WRONG).expect_err("they are wrong").iter().map(|problem| problem.code()).collect()
}

#[test]
fn a_share_is_never_rounded_up_to_all() {
    for (part, whole, text) in
        [(1, 1, "100%"), (999_999, 1_000_000, "99.99%"), (1, 3, "33.33%"), (0, 7, "0%"), (1, 8, "12.5%"), (0, 0, "-")]
    {
        assert_eq!(percent(part, whole), text);
    }
}

#[test]
fn a_report_is_one_object_for_machines() {
    let mut report = report();
    report.expectations =
        Expectation::parse("", ["leaks=0"]).expect("it is sound").iter().map(|e| e.verdict(&report)).collect();
    assert!(!report.holds());
    let json = serde_json::to_value(&report).expect("it is plain data");
    assert_eq!(json["routes"][0]["drill"]["statuses"], serde_json::json!({ "200": 9999, "500": 1 }));
    assert_eq!(json["routes"][0]["drill"]["took_ms"], 10_000.0);
    assert_eq!(json["components"][1]["injected"]["trap"], 200);
    assert_eq!(json["components"][1]["failed"]["memory"], 1);
    assert_eq!(json["expectations"][0]["holds"], false);
}

#[test]
fn the_picture_is_xml_whatever_is_in_the_report() {
    let mut report = report();
    report.expectations = Expectation::parse("", ["leaks=0", "availability>=99%"])
        .expect("it is sound")
        .iter()
        .map(|e| e.verdict(&report))
        .collect();
    insta::assert_snapshot!(svg(&report));
    // Nothing to show, and more than there is room for.
    let many = Report { routes: vec![report.routes[1].clone(); 40], ..report.clone() };
    let none = Report { routes: Vec::new(), components: Vec::new(), held: Vec::new(), ..report };
    for picture in [svg(&many), svg(&none)] {
        assert!(picture.starts_with("<svg") && picture.ends_with("</svg>\n") && !picture.contains("NaN"), "{picture}");
        assert_eq!(picture.matches("<text").count(), picture.matches("</text>").count());
    }
}
