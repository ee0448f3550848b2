//! What a failed request is put down to: out of the child's log, which is written beside the answer.
//!
//! The log is for people. What is not understood of it is shown all the same, so that nothing is lost where this is behind.

/// Why a request failed, as far as the log says so.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cause {
    /// In a line: who failed, how, and what was said.
    pub(super) title: String,
    /// The rest: where, what the component wrote, how to see more, and the log.
    pub(super) text: String,
}

/// What a line of the log tells.
enum Told<'a> {
    /// A cell failed: whose, and how.
    Failed {
        component: &'a str,
        how: &'a str,
    },
    /// What is known of it was written down: where it failed, if that is known, and how to see more.
    Postmortem {
        at: Option<&'a str>,
        command: &'a str,
    },
    /// A component wrote to stderr.
    Wrote {
        component: &'a str,
        line: &'a str,
    },
    Other,
}

impl Cause {
    /// Reads it out of the lines that the log has got since the request came.
    pub(super) fn of(lines: &[String]) -> Self {
        let told: Vec<Told<'_>> = lines.iter().map(|line| read(line)).collect();
        // Of failures that went from one component to the next, the first one is the cause.
        let failed = told.iter().find_map(|told| match told {
            Told::Failed { component, how } => Some((*component, *how)),
            Told::Postmortem { .. } | Told::Wrote { .. } | Told::Other => None,
        });
        let wrote: Vec<(&str, &str)> = told
            .iter()
            .filter_map(|told| match told {
                Told::Wrote { component, line } => Some((*component, *line)),
                Told::Failed { .. } | Told::Postmortem { .. } | Told::Other => None,
            })
            .collect();
        let title = match (failed, wrote.first()) {
            (Some((component, how)), _) => format!("{component} failed: {how}"),
            (None, Some((component, _))) => match raised(&wrote) {
                Some(what) => format!("{component} raised {what}"),
                None => format!("{component} failed"),
            },
            (None, None) => "a component failed".to_owned(),
        };
        let mut text = String::new();
        for told in &told {
            if let Told::Postmortem { at, command } = told {
                if let Some(at) = at {
                    text.push_str(&format!("at {at}\n"));
                }
                text.push_str(&format!("more: {command}\n"));
            }
        }
        if failed.is_some() && text.is_empty() {
            // Of one component, there is one a second at most.
            text.push_str("more: watertight postmortem list\n");
        }
        if !wrote.is_empty() {
            text.push('\n');
            wrote.iter().for_each(|(_, line)| text.push_str(&format!("{line}\n")));
        }
        text.push_str("\nfrom the log:\n");
        lines.iter().for_each(|line| text.push_str(&format!("{line}\n")));
        Self { title, text: text.trim_start().to_owned() }
    }
}

fn read(line: &str) -> Told<'_> {
    // `2026-02-03T04:05:06.007Z web …`
    let Some((_, rest)) = line.split_once(' ') else { return Told::Other };
    let Some((component, rest)) = rest.split_once(' ') else { return Told::Other };
    if let Some(line) = rest.strip_prefix("! ").or_else(|| (rest == "!").then_some("")) {
        return Told::Wrote { component, line };
    }
    if let Some(how) = rest.strip_prefix("failed: ") {
        return Told::Failed { component, how };
    }
    if let Some(rest) = rest.strip_prefix("postmortem of its ")
        && let Some((what, command)) = rest.split_once(": watertight ")
    {
        let command = &rest[rest.len() - command.len() - "watertight ".len()..];
        return Told::Postmortem { at: what.split_once(" at ").map(|(_, at)| at), command };
    }
    Told::Other
}

/// The exception that a traceback is about: its last line in Python, the first one elsewhere.
fn raised<'a>(wrote: &[(&str, &'a str)]) -> Option<&'a str> {
    let lines = || wrote.iter().map(|(_, line)| *line).filter(|line| !line.trim().is_empty());
    if lines().any(|line| line.starts_with("Traceback (most recent call last)")) {
        return lines().rfind(|line| !line.starts_with(' '));
    }
    lines().next().map(|line| line.split_once(":  Uncaught ").map_or(line, |(_, uncaught)| uncaught))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(lines: &[&str]) -> Cause {
        let lines: Vec<_> = lines.iter().map(|line| format!("2026-02-03T04:05:06.007Z {line}")).collect();
        Cause::of(&lines)
    }

    #[test]
    fn the_first_cell_that_failed_is_the_cause() {
        let cause = cause(&[
            "behaviour failed: trap: wasm `unreachable` instruction executed",
            "behaviour postmortem of its trap at src/lib.rs:7:5: watertight postmortem show /p/1",
            "web failed: trap: its dependency behaviour: trap: wasm `unreachable` instruction executed",
            "500 GET / 1.0 ms, 29 B, 127.0.0.1, HTTP/1.1",
        ]);
        assert_eq!(cause.title, "behaviour failed: trap: wasm `unreachable` instruction executed");
        assert!(cause.text.starts_with("at src/lib.rs:7:5\nmore: watertight postmortem show /p/1\n"), "{}", cause.text);
        assert!(
            cause.text.contains("from the log:\n") && cause.text.contains("Z web failed: trap: "),
            "{}",
            cause.text
        );
    }

    #[test]
    fn an_exception_of_a_script_is_named_whatever_the_language() {
        for (lines, title) in [
            (
                &[
                    "py ! Traceback (most recent call last):",
                    "py !   File \"/app/app.py\", line 2, in inner",
                    "py ! ZeroDivisionError: division by zero",
                ][..],
                "py raised ZeroDivisionError: division by zero",
            ),
            (&["js ! Error: no luck", "js !     at inner (/app/app.mjs:1:33)"], "js raised Error: no luck"),
            (&["lua ! /app/app.lua:1: no luck", "lua ! stack traceback:"], "lua raised /app/app.lua:1: no luck"),
            (
                &["php ! PHP Fatal error:  Uncaught Exception: no luck in /app/app.php:1", "php ! Stack trace:"],
                "php raised Exception: no luck in /app/app.php:1",
            ),
            (&["500 GET / 1.0 ms"], "a component failed"),
            (&[], "a component failed"),
        ] {
            let cause = cause(lines);
            assert_eq!(cause.title, title);
        }
        let cause = cause(&["js ! Error: no luck", "js !     at inner (/app/app.mjs:1:33)"]);
        assert!(
            cause.text.starts_with("Error: no luck\n    at inner (/app/app.mjs:1:33)\n\nfrom the log:\n"),
            "{}",
            cause.text
        );
    }
}
