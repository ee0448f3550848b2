//! What a replay found: how many answers are the same, which are not and how, and how the time changed.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use watertight_model::failure::CallError;
use watertight_runtime::Part;

use crate::recording::{Call, Crossed, RecordedFunction, Recording};

/// Bytes of the text of a value; where two differ, of the part where they do.
const MAX_TEXT: usize = 512;

/// What stands before the first letter that differs.
const BEFORE: usize = 40;

/// Bytes of the text of a value that are looked at for where it differs.
const MAX_LOOKED: usize = 64 << 20;

/// Imports that are named.
const MAX_NAMED: usize = 64;

/// What a replay found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// The app that was recorded.
    pub app: String,
    /// The component.
    pub component: String,
    /// BLAKE3 of the bytes that it had then, with what was fused into it; of several, where it was replaced meanwhile.
    pub recorded_digests: Vec<String>,
    /// BLAKE3 of the new build.
    pub digest: String,
    /// Its calls in the recording.
    pub calls: u64,
    /// Of these, those that were made again and could be compared.
    pub compared: u64,
    /// With the same answer.
    pub same: u64,
    /// With another one.
    pub differ: u64,
    /// Those that were not compared, by why not.
    pub skipped: BTreeMap<&'static str, u64>,
    /// Functions that it calls, and that were not recorded.
    pub unrecorded: Vec<String>,
    /// What it tried and is not granted here.
    pub denied: Vec<String>,
    /// The first of those that differ.
    pub differences: Vec<Difference>,
    /// How long the compared calls took then.
    pub recorded: Times,
    /// How long they took now, each in a fresh cell.
    pub now: Times,
    /// Cells of it stayed from call to call, so its answers may hang on earlier calls.
    pub resident: bool,
    /// Calls that the recording lacks, because there was no room for them.
    pub dropped: u64,
    /// The recording was broken off.
    pub broken_off: bool,
    /// What is wrong with the recording, from where on it was not read.
    pub damage: Option<String>,
}

/// A call whose answer is another.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Difference {
    /// When it was made, in nanoseconds since 1970.
    pub began_ns: u64,
    /// The interface and the function.
    pub function: String,
    /// Its arguments in WAVE, cut; nothing where the manifest keeps them to itself.
    pub arguments: Option<String>,
    /// What it answered then, or how it failed: where the two differ.
    pub recorded: String,
    /// What it answers now.
    pub now: String,
}

/// How long calls took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Times {
    /// Half of them at most so long.
    pub p50_ns: u64,
    /// 99 of 100.
    pub p99_ns: u64,
}

impl Times {
    fn of(mut times: Vec<u64>) -> Self {
        times.sort_unstable();
        let at = |percent: usize| {
            let place = (times.len() * percent).div_ceil(100).saturating_sub(1);
            times.get(place).copied().unwrap_or(0)
        };
        Self { p50_ns: at(50), p99_ns: at(99) }
    }
}

/// Why a call was not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skipped {
    Handles,
    TooLarge,
    Cancelled,
    NotItsOwn,
    Malformed,
    Unrecorded,
    Limit,
}

impl Skipped {
    const fn why(self) -> &'static str {
        match self {
            Self::Handles => "handles, streams or futures cross in them",
            Self::TooLarge => "something of them was too large to be recorded",
            Self::Cancelled => "they were cut off",
            Self::NotItsOwn => "their answer was not the component's own",
            Self::Malformed => "what was recorded is no value of its type",
            Self::Unrecorded => "they make calls that were not recorded",
            Self::Limit => "past the limit",
        }
    }
}

/// Counts while calls are replayed.
pub(super) struct Reckoning<'a> {
    report: Report,
    recording: &'a Recording,
    shown: usize,
    made: usize,
    then: Vec<u64>,
    now: Vec<u64>,
}

impl<'a> Reckoning<'a> {
    pub(super) fn new(recording: &'a Recording, of: &str, digest: String, shown: usize) -> Self {
        let own = || recording.functions.iter().filter(|function| function.to == of);
        let mut recorded_digests: Vec<_> = own().map(|function| function.digest.clone()).collect();
        recorded_digests.sort();
        recorded_digests.dedup();
        let mine = |call: &&Call| recording.functions[call.function as usize].to == of;
        let report = Report {
            app: recording.header.app.clone(),
            component: of.to_owned(),
            recorded_digests,
            digest,
            calls: recording.calls.iter().filter(mine).count() as u64,
            resident: own().any(|function| function.lifetime == "resident"),
            ..Report::default()
        };
        Self { report, recording, shown, made: 0, then: Vec::new(), now: Vec::new() }
    }

    /// Calls that were made again.
    pub(super) const fn made(&self) -> usize {
        self.made
    }

    pub(super) fn skip(&mut self, why: Skipped) {
        *self.report.skipped.entry(why.why()).or_default() += 1;
    }

    pub(super) fn unrecorded(&mut self, what: String) {
        self.made += 1;
        self.skip(Skipped::Unrecorded);
        if self.report.unrecorded.len() < MAX_NAMED && !self.report.unrecorded.contains(&what) {
            self.report.unrecorded.push(what);
        }
    }

    pub(super) fn compared(&mut self, then_ns: u64, now: Duration) {
        self.made += 1;
        self.report.compared += 1;
        self.then.push(then_ns);
        self.now.push(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn differs(
        &mut self,
        (call, function, part): (&Call, &RecordedFunction, &Part),
        now: &Result<Vec<u8>, CallError>,
        unlike: Option<String>,
    ) {
        self.report.differ += 1;
        if self.report.differences.len() >= self.shown {
            return;
        }
        let text = |frame: &[u8]| match function.redacted {
            true => "(redacted)".to_owned(),
            false => part.results_text(frame, MAX_LOOKED),
        };
        let then = match (&call.results, call.outcome.as_str()) {
            (Crossed::Bytes(results), "ok") => text(results),
            (_, outcome) => format!("failed: {outcome}"),
        };
        let now = match (now, unlike) {
            (_, Some(unlike)) => unlike,
            (Ok(results), None) => text(results),
            (Err(error), None) => format!("failed: {}: {}", error.kind.name(), error.detail),
        };
        let (recorded, now) = contrast(&then, &now);
        let arguments = match &call.arguments {
            Crossed::Bytes(arguments) if !function.redacted => Some(part.arguments_text(arguments, MAX_TEXT)),
            Crossed::Bytes(_) | Crossed::None | Crossed::Handles | Crossed::TooLarge(_) => None,
        };
        let function = format!("{}#{}", function.export, function.function);
        self.report.differences.push(Difference { began_ns: call.began_ns, function, arguments, recorded, now });
    }

    pub(super) fn end(mut self, denied: Vec<String>) -> Report {
        let Recording { end, damage, .. } = self.recording;
        self.report.same = self.report.compared - self.report.differ;
        self.report.denied = denied;
        self.report.recorded = Times::of(self.then);
        self.report.now = Times::of(self.now);
        self.report.dropped = end.as_ref().map_or(0, |end| end.dropped);
        self.report.broken_off = end.is_none();
        self.report.damage = damage.as_ref().map(ToString::to_string);
        self.report
    }
}

/// Two texts, cut so that the first letter in which they differ is there.
fn contrast(one: &str, other: &str) -> (String, String) {
    let letters = one.char_indices().zip(other.chars());
    let common = letters.take_while(|((_, a), b)| a == b).last().map_or(0, |((at, letter), _)| at + letter.len_utf8());
    let from = one.floor_char_boundary(common.saturating_sub(BEFORE));
    let cut = |text: &str| {
        let rest = &text[from..];
        let (start, end) = (if from > 0 { "…" } else { "" }, rest.floor_char_boundary(MAX_TEXT));
        format!("{start}{}{}", &rest[..end], if end < rest.len() { "…" } else { "" })
    };
    (cut(one), cut(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_around_what_differs() {
        assert_eq!(contrast("ok(1)", "ok(2)"), ("ok(1)".to_owned(), "ok(2)".to_owned()));
        let (one, other) = (format!("{}1{}", "é".repeat(300), "x".repeat(9000)), format!("{}2", "é".repeat(300)));
        let (one, other) = contrast(&one, &other);
        assert!(one.starts_with("…éé") && one.contains("é1x") && one.ends_with("x…") && one.len() < 600, "{one}");
        assert!(other.ends_with("é2"), "{other}");
        assert_eq!(contrast("", "a"), (String::new(), "a".to_owned()));
        assert_eq!(contrast("ab", "a"), ("ab".to_owned(), "a".to_owned()));
    }

    #[test]
    fn percentiles_are_of_calls_that_were_made() {
        assert_eq!(Times::of((1..=100).collect()), Times { p50_ns: 50, p99_ns: 99 });
        assert_eq!(Times::of(vec![7]), Times { p50_ns: 7, p99_ns: 7 });
        assert_eq!(Times::of(Vec::new()), Times::default());
    }
}
