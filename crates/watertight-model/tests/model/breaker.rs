//! The circuit breaker: every state under every step, and what holds whatever happens.

use std::{fmt::Write, time::Duration};

use proptest::prelude::*;
use watertight_model::breaker::{Breaker, BreakerSpec, BreakerState, Ended, Pass, Reply, Step, Trip};

const WITHIN: Duration = Duration::from_secs(10);
const OPEN_FOR: Duration = Duration::from_secs(5);

fn spec(trip: Trip) -> BreakerSpec {
    BreakerSpec { trip, within: WITHIN, open_for: OPEN_FOR }
}

const TRIPS: [Trip; 2] = [Trip::Failures(3), Trip::Ratio { ratio: 0.5, calls: 4 }];

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[track_caller]
fn ask(breaker: &mut Breaker, now: Duration) -> Pass {
    breaker.step(now, Step::Ask).pass.expect("somebody asked").expect("it lets the call through")
}

fn end(breaker: &mut Breaker, now: Duration, ended: Ended) -> Reply {
    let pass = ask(breaker, now);
    breaker.step(now, Step::Ended(pass, ended))
}

fn end_many(breaker: &mut Breaker, times: u32, now: Duration, ended: Ended) {
    for _ in 0..times {
        end(breaker, now, ended);
    }
}

/// A breaker in a state, the time it is then, and a pass from before the last change.
fn state(name: &str, trip: Trip) -> (Breaker, Duration, Option<Pass>) {
    let mut breaker = Breaker::new(spec(trip));
    let fail = |breaker: &mut Breaker, times: u32| end_many(breaker, times, at(100), Ended::Badly);
    match name {
        "closed" => return (breaker, at(100), None),
        "closed, one failure from open" => {
            fail(&mut breaker, if trip == TRIPS[0] { 2 } else { 3 });
            return (breaker, at(100), None);
        }
        "closed, and that was long ago" => {
            fail(&mut breaker, if trip == TRIPS[0] { 2 } else { 3 });
            return (breaker, at(111), None);
        }
        _ => {}
    }
    let old = ask(&mut breaker, at(99));
    fail(&mut breaker, if trip == TRIPS[0] { 3 } else { 4 });
    assert_eq!(breaker.state(), BreakerState::Open);
    match name {
        "open" => (breaker, at(101), Some(old)),
        "open, its time is over" => (breaker, at(105), Some(old)),
        "half-open, a probe runs" => {
            let _probe = ask(&mut breaker, at(105));
            (breaker, at(106), Some(old))
        }
        "half-open, the probe told nothing" => {
            let probe = ask(&mut breaker, at(105));
            breaker.step(at(105), Step::Ended(probe, Ended::Untold));
            (breaker, at(106), Some(old))
        }
        other => panic!("no state is called {other}"),
    }
}

const STATES: [&str; 7] = [
    "closed",
    "closed, one failure from open",
    "closed, and that was long ago",
    "open",
    "open, its time is over",
    "half-open, a probe runs",
    "half-open, the probe told nothing",
];

fn shown(reply: &Reply, breaker: &Breaker) -> String {
    let pass = match &reply.pass {
        None => String::new(),
        Some(Ok(_)) => "let through".to_owned(),
        Some(Err(rest)) => format!("refused for {rest:?}"),
    };
    let change = reply.change.map_or_else(String::new, |state| format!("becomes {state}"));
    let told: Vec<_> = [pass, change].into_iter().filter(|part| !part.is_empty()).collect();
    let told = if told.is_empty() { "nothing".to_owned() } else { told.join(", ") };
    format!("{told} ({})", breaker.state())
}

#[test]
fn every_state_answers_every_step() {
    let mut table = String::new();
    for trip in TRIPS {
        writeln!(table, "{trip:?}").expect("writing into a string cannot fail");
        for name in STATES {
            let mut line = |step: &str, reply: &Reply, breaker: &Breaker| {
                writeln!(table, "  {name:35} {step:26} {}", shown(reply, breaker))
                    .expect("writing into a string cannot fail");
            };
            let (mut breaker, now, _) = state(name, trip);
            let reply = breaker.step(now, Step::Ask);
            line("ask", &reply, &breaker);
            // A call that is let through in this state, and ends; if none is, one from before.
            for ended in [Ended::Well, Ended::Badly, Ended::Untold] {
                let (mut breaker, now, _) = state(name, trip);
                if let Some(Ok(pass)) = breaker.step(now, Step::Ask).pass {
                    let reply = breaker.step(now, Step::Ended(pass, ended));
                    line(&format!("ask, then {ended:?}"), &reply, &breaker);
                }
                let (mut breaker, now, old) = state(name, trip);
                if let Some(old) = old {
                    let reply = breaker.step(now, Step::Ended(old, ended));
                    line(&format!("a late call: {ended:?}"), &reply, &breaker);
                }
            }
        }
    }
    insta::assert_snapshot!("breaker", table);
}

#[test]
fn a_success_between_failures_begins_the_count_anew() {
    let mut breaker = Breaker::new(spec(Trip::Failures(2)));
    for _ in 0..10 {
        end(&mut breaker, at(1), Ended::Badly);
        end(&mut breaker, at(1), Ended::Well);
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
    end(&mut breaker, at(1), Ended::Badly);
    assert_eq!(end(&mut breaker, at(2), Ended::Badly).change, Some(BreakerState::Open));
}

#[test]
fn failures_that_are_too_far_apart_do_not_open_it() {
    let mut breaker = Breaker::new(spec(Trip::Failures(3)));
    for second in (0..100).step_by(6) {
        end(&mut breaker, at(second), Ended::Badly);
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn a_ratio_is_of_the_calls_in_the_window() {
    let mut breaker = Breaker::new(spec(Trip::Ratio { ratio: 0.5, calls: 10 }));
    // Nine failures are too few calls to say anything, and then ten successes make them less than a half.
    end_many(&mut breaker, 9, at(1), Ended::Badly);
    end_many(&mut breaker, 10, at(2), Ended::Well);
    assert_eq!(breaker.state(), BreakerState::Closed);
    assert_eq!(end(&mut breaker, at(3), Ended::Badly).change, Some(BreakerState::Open), "10 of 20");
    // The same, but the failures slid out of the window before.
    let mut breaker = Breaker::new(spec(Trip::Ratio { ratio: 0.5, calls: 10 }));
    end_many(&mut breaker, 9, at(1), Ended::Badly);
    end_many(&mut breaker, 10, at(11), Ended::Well);
    end_many(&mut breaker, 9, at(12), Ended::Badly);
    assert_eq!(breaker.state(), BreakerState::Closed, "9 of 19");
    assert_eq!(end(&mut breaker, at(12), Ended::Badly).change, Some(BreakerState::Open), "10 of 20");
}

fn any_spec() -> impl Strategy<Value = BreakerSpec> {
    let trip = prop_oneof![
        (1..5_u32).prop_map(Trip::Failures),
        (0.01..1.0_f64, 1..8_u32).prop_map(|(ratio, calls)| Trip::Ratio { ratio, calls }),
    ];
    (trip, 1..50_u64, 1..50_u64).prop_map(|(trip, within, open_for)| BreakerSpec {
        trip,
        within: Duration::from_millis(within),
        open_for: Duration::from_millis(open_for),
    })
}

/// Time passes, somebody asks, or the call at this place among those that run ends.
#[derive(Clone, Debug)]
enum Act {
    Pass(u64),
    Ask,
    End(prop::sample::Index, Ended),
}

fn any_act() -> impl Strategy<Value = Act> {
    let ended = prop_oneof![Just(Ended::Well), Just(Ended::Badly), Just(Ended::Untold)];
    prop_oneof![
        2 => (0..20_u64).prop_map(Act::Pass),
        5 => Just(Act::Ask),
        5 => (any::<prop::sample::Index>(), ended).prop_map(|(index, ended)| Act::End(index, ended)),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_an_open_breaker_lets_nobody_through_and_a_half_open_one_lets_one(
        spec in any_spec(),
        acts in prop::collection::vec(any_act(), 0..200),
    ) {
        let mut breaker = Breaker::new(spec);
        let mut now = Duration::ZERO;
        // Calls that run, and the change after which each began.
        let mut running: Vec<(Pass, u32)> = Vec::new();
        let (mut changes, mut opened, mut probes) = (0_u32, None::<Duration>, 0_usize);
        for act in acts {
            let (before, reply) = match act {
                Act::Pass(millis) => {
                    now += Duration::from_millis(millis);
                    continue;
                }
                Act::Ask => {
                    let before = breaker.state();
                    let mut reply = breaker.step(now, Step::Ask);
                    changes += u32::from(reply.change.is_some());
                    match reply.pass.take().expect("somebody asked") {
                        Ok(pass) => {
                            if let Some(opened) = opened {
                                prop_assert!(now >= opened + spec.open_for, "let through while it was open");
                                probes += 1;
                                prop_assert_eq!(probes, 1, "one at a time");
                            }
                            running.push((pass, changes));
                        }
                        Err(rest) => {
                            let opened = opened.expect("a closed breaker refuses nobody");
                            prop_assert!(probes == 1 || now < opened + spec.open_for, "nobody would ever get through");
                            prop_assert!(rest <= spec.open_for);
                        }
                    }
                    (before, reply)
                }
                Act::End(index, ended) if !running.is_empty() => {
                    let (pass, began) = running.swap_remove(index.index(running.len()));
                    let before = breaker.state();
                    let reply = breaker.step(now, Step::Ended(pass, ended));
                    if began != changes {
                        prop_assert_eq!(&reply, &Reply { pass: None, change: None }, "it began before the last change");
                    } else if before == BreakerState::HalfOpen {
                        probes = 0;
                        let after = match ended {
                            Ended::Well => BreakerState::Closed,
                            Ended::Badly => BreakerState::Open,
                            Ended::Untold => BreakerState::HalfOpen,
                        };
                        prop_assert_eq!(breaker.state(), after);
                    }
                    if ended != Ended::Badly {
                        prop_assert!(reply.change != Some(BreakerState::Open), "only a failure opens it");
                    }
                    changes += u32::from(reply.change.is_some());
                    (before, reply)
                }
                Act::End(..) => continue,
            };
            let after = breaker.state();
            prop_assert_eq!(reply.change, (before != after).then_some(after));
            match reply.change {
                Some(BreakerState::Open) => (opened, probes) = (Some(now), 0),
                Some(BreakerState::Closed) => (opened, probes) = (None, 0),
                Some(BreakerState::HalfOpen) | None => {}
            }
        }
    }
}
