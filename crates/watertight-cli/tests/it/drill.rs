//! Drills: what the report says is what happened, and the exit code says whether it was expected.

use serde_json::Value;

use crate::{
    files::{AppFolder, site, site_with},
    program::{Ended, run},
};

/// A drill of some tenths of a second, with one load.
fn drill(app: &AppFolder, args: &[&str]) -> Ended {
    let always = ["drill", app.text(), "--for", "300ms", "--seed", "1", "--load", "GET /run/1"];
    run(&[&always, args].concat())
}

fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

#[test]
fn what_fails_is_counted_and_the_exit_code_says_whether_that_was_expected() {
    let app = site("ok");
    let args = ["--fault", "behaviour: trap 50%", "--format", "json", "--expect"];
    let unmet = drill(&app, &[&args[..], &["availability>=90%, leaks=0"]].concat());
    assert_eq!(unmet.code, Some(3), "{unmet:?}");
    let report = json(&unmet);
    let (route, part) = (&report["routes"][0], &report["components"][1]);
    let [requests, failed] = ["requests", "failed"].map(|key| route["drill"][key].as_u64().expect("a count"));
    let (injected, ejected) = (&part["injected"]["trap"], &part["ejected"]);
    // Every call that a fault befell is a request that failed, and a cell that was thrown out.
    assert!(failed > 0 && failed < requests, "{report}");
    assert_eq!(
        (injected.as_u64(), ejected.as_u64(), part["calls"].as_u64()),
        (Some(failed), Some(failed), Some(requests))
    );
    assert_eq!(route["baseline"]["failed"], 0, "{report}");
    assert_eq!(report["expectations"][0]["holds"], false, "{report}");
    assert_eq!(report["expectations"][1]["holds"], true, "{report}");
    let met = drill(&app, &[&args[..], &["availability>=1%"]].concat());
    assert_eq!(met.code, Some(0), "{met:?}");
}

#[test]
fn an_answer_that_stands_in_for_a_failure_is_degraded() {
    let keys = "[component.web.edge.\"watertight:test/behave\"]\non-failure = { return = 'ok(0)' }\n\
                [component.web.edge.\"watertight:test/behave\".function]\n\
                bare = { on-failure = \"error\" }\nquiet = { on-failure = \"error\" }\nplain = { on-failure = \"trap\" }\n";
    let app = site_with("ok", keys);
    let faults =
        ["--fault", "web->behaviour: trap 30%, oom 10%, error 10%, delay 1ms 10%", "--expect", "availability>=100%"];
    let text = drill(&app, &faults);
    assert_eq!(text.code, Some(0), "{text:?}");
    for said in ["GET /run/1", "web->behaviour: trap 30%", "seed    1", "leaked  nothing", "holds  availability>=100%"]
    {
        assert!(text.stdout.contains(said), "{said} in {}", text.stdout);
    }
    let report = json(&drill(&app, &[&faults[..], &["--format", "json"]].concat()));
    let tally = &report["routes"][0]["drill"];
    assert!(tally["degraded"].as_u64() > Some(0) && tally["failed"] == 0, "{report}");
    let picture = drill(&app, &[&faults[..], &["--format", "svg"]].concat());
    assert!(picture.stdout.starts_with("<svg") && picture.stdout.contains("site under drill"), "{picture:?}");
}

#[test]
fn a_drill_begins_with_an_app_that_answers_and_arguments_that_mean_something() {
    let app = site("trap");
    let unsound = drill(&app, &["--fault", "behaviour: trap 50%"]);
    assert_eq!(unsound.code, Some(3), "{unsound:?}");
    assert!(unsound.stderr.contains("`GET /run/1` fails without any fault: it is answered with 502"), "{unsound:?}");
    let wrong = drill(&app, &["--fault", "behavior: trap 50%", "--expect", "availabilty>=1%"]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    for said in ["did you mean `behaviour`?", "did you mean `availability`?"] {
        assert!(wrong.stderr.contains(said), "{said} in {}", wrong.stderr);
    }
    assert_eq!(drill(&app, &["--fault", "web: trap 1%", "--load", "GET"]).code, Some(2));
    assert_eq!(drill(&app, &[]).code, Some(2), "there is nothing to drill");
}

#[test]
fn the_example_serves_every_page_while_a_fifth_of_what_it_depends_on_fails() {
    let press = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/press");
    let pages = ["GET /", "GET /gallery", "GET /compartments", "GET /colours"].map(|page| ["--load", page]);
    let faults = "thumbnail: trap 8%, oom 4%, error 4%, delay 10ms 2%, spin 2%; highlight: trap 10%, oom 5%, error 5%";
    let args = ["drill", press, "--for", "2s", "--seed", "1", "--format", "json", "--fault", faults];
    let expected = ["--expect", "availability>=100%, leaks=0"];
    let ended = run(&[&args[..], &expected, pages.as_flattened()].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report = json(&ended);
    let degraded: u64 = (0..4).filter_map(|route| report["routes"][route]["drill"]["degraded"].as_u64()).sum();
    assert!(degraded > 0, "{report}");
}
