//! The prompter: answers what a replayed component asks others, with what they answered in the recording.
//!
//! A call gets the answer of the first one, within the same call of the component, that has its function and its arguments and was not
//! given yet. Calls are made one after the other, so there is one scene at a time.

use std::collections::HashSet;

use parking_lot::Mutex;
use watertight_runtime::Answers;

use crate::recording::{Call, Crossed, RecordedFunction, Recording};

/// Bytes of arguments that are shown.
const MAX_SHOWN: usize = 200;

/// Troubles of one call that are kept.
const MAX_TROUBLES: usize = 8;

/// A call that the component made in the recording.
#[derive(Clone, Copy, Debug)]
pub(super) struct Child<'a> {
    pub(super) function: &'a RecordedFunction,
    pub(super) call: &'a Call,
}

/// Why a call of the new build had no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nobody recorded what it calls.
    Unrecorded(String),
    /// What was recorded cannot be given again.
    Unplayable(String),
    /// It asks what the build before did not ask.
    Unlike(String),
}

#[derive(Debug)]
pub(super) struct Prompter {
    /// The imports that were recorded, and their functions.
    known: HashSet<(String, String)>,
    scene: Mutex<Scene>,
}

#[derive(Debug, Default)]
struct Scene {
    lines: Vec<Line>,
    troubles: Vec<Trouble>,
}

#[derive(Debug)]
struct Line {
    import: String,
    function: String,
    redacted: bool,
    arguments: Crossed,
    results: Crossed,
    given: bool,
}

impl Prompter {
    pub(super) fn new(recording: &Recording, of: &str) -> Self {
        let own = recording.functions.iter().filter(|function| function.from == of);
        let known = own.map(|function| (function.import.clone(), function.function.clone())).collect();
        Self { known, scene: Mutex::default() }
    }

    /// A call begins, in which the component made these.
    pub(super) fn begin(&self, children: &[Child<'_>]) {
        let line = |child: &Child<'_>| Line {
            import: child.function.import.clone(),
            function: child.function.function.clone(),
            redacted: child.function.redacted,
            arguments: child.call.arguments.clone(),
            results: child.call.results.clone(),
            given: false,
        };
        *self.scene.lock() = Scene { lines: children.iter().map(line).collect(), troubles: Vec::new() };
    }

    /// It has ended: what could not be answered in it.
    pub(super) fn end(&self) -> Vec<Trouble> {
        std::mem::take(&mut *self.scene.lock()).troubles
    }
}

impl Scene {
    fn trouble(&mut self, trouble: Trouble, why: &str) -> String {
        if self.troubles.len() < MAX_TROUBLES {
            self.troubles.push(trouble);
        }
        why.to_owned()
    }
}

impl Answers for Prompter {
    fn answer(
        &self,
        import: &str,
        function: &str,
        arguments: &[u8],
        shown: &dyn Fn(usize) -> String,
    ) -> Result<Vec<u8>, String> {
        let mut scene = self.scene.lock();
        let called = format!("{import}#{function}");
        let is = |line: &&mut Line| {
            let asked = matches!(&line.arguments, Crossed::Bytes(bytes) if bytes == arguments);
            !line.given && asked && line.import == import && line.function == function
        };
        if let Some(line) = scene.lines.iter_mut().find(is) {
            line.given = true;
            return match &line.results {
                Crossed::Bytes(results) => Ok(results.clone()),
                // Its caller trapped, and so does this one.
                Crossed::None => Err("it failed in the recording, too".to_owned()),
                Crossed::Handles | Crossed::TooLarge(_) => {
                    Err(scene.trouble(Trouble::Unplayable(called), "the answer was not recorded"))
                }
            };
        }
        if !self.known.contains(&(import.to_owned(), function.to_owned())) {
            return Err(scene.trouble(Trouble::Unrecorded(called), "calls of this import were not recorded"));
        }
        let redacted = scene.lines.iter().any(|line| line.redacted && line.import == import);
        let arguments = if redacted { "(redacted)".to_owned() } else { shown(MAX_SHOWN) };
        let what = format!("it calls {called}{arguments}, which it did not then");
        Err(scene.trouble(Trouble::Unlike(what), "this was not asked in the recording"))
    }

    fn misfit(&self, _: &str, _: &str, why: String) {
        self.scene.lock().trouble(Trouble::Unplayable(why), "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(name: &str) -> RecordedFunction {
        RecordedFunction { import: "a:b/c".to_owned(), function: name.to_owned(), ..RecordedFunction::default() }
    }

    fn call(arguments: &[u8], results: Crossed) -> Call {
        Call { arguments: Crossed::Bytes(arguments.to_vec()), results, ..Call::default() }
    }

    #[test]
    fn each_answer_is_given_once_to_who_asks_the_same() {
        let get = RecordedFunction { from: "me".to_owned(), ..function("get") };
        let recording = Recording { functions: vec![get.clone()], ..Recording::default() };
        let prompter = Prompter::new(&recording, "me");
        let calls = [
            call(b"1", Crossed::Bytes(b"one".to_vec())),
            call(b"2", Crossed::Bytes(b"two".to_vec())),
            call(b"1", Crossed::Bytes(b"uno".to_vec())),
            call(b"3", Crossed::None),
            call(b"4", Crossed::TooLarge(1 << 30)),
        ];
        let children: Vec<_> = calls.iter().map(|call| Child { function: &get, call }).collect();
        prompter.begin(&children);
        let ask =
            |function: &str, arguments: &[u8]| prompter.answer("a:b/c", function, arguments, &|_| "(9)".to_owned());
        assert_eq!(ask("get", b"2"), Ok(b"two".to_vec()));
        assert_eq!((ask("get", b"1"), ask("get", b"1")), (Ok(b"one".to_vec()), Ok(b"uno".to_vec())));
        assert!(ask("get", b"3").is_err(), "it failed then");
        assert_eq!(prompter.end(), []);
        prompter.begin(&children);
        assert!(ask("get", b"4").is_err() && ask("get", b"9").is_err() && ask("put", b"1").is_err());
        let troubles = prompter.end();
        assert!(
            matches!(&troubles[..], [Trouble::Unplayable(_), Trouble::Unlike(what), Trouble::Unrecorded(_)] if what.contains("#get(9)")),
            "{troubles:?}"
        );
    }
}
