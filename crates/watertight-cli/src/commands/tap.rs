//! `watertight tap`: calls between components as they happen, indented by call tree.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    hash::{BuildHasher as _, RandomState},
    time::{Duration, Instant, UNIX_EPOCH},
};

use watertight::{
    Signals,
    admin::AdminClient,
    tap::{TapCall, TapTaken, TapWanted},
};
use watertight_observe::{Timestamp, clean};

use crate::{
    args::{Format, Tap},
    exit::Exit,
    failure::Failure,
    nodes, terminal,
};

/// How often a node is asked.
const EVERY: Duration = Duration::from_millis(100);

/// How long the calls of a tree wait for the one that they are part of.
const GATHER: Duration = Duration::from_secs(1);

/// Characters of a value that people see; JSON has more of it.
const MAX_SHOWN: usize = 60;

/// Call trees that wait.
const MAX_TREES: usize = 1024;

pub(crate) fn tap(args: &Tap) -> Result<(), Failure> {
    let help = "say which: watertight tap APP, or its process id";
    let node = nodes::meant_to_act(args.node.as_deref(), help)?.into_iter().next();
    let Some(node) = node else { return Err(Failure::new(Exit::NoNode, "no node runs")) };
    super::runtime()?.block_on(async {
        let client = nodes::client(&node);
        let wanted = TapWanted {
            id: RandomState::new().hash_one(std::process::id()),
            edge: args.edge.clone(),
            function: args.function.clone(),
            failed: args.failed,
            slow_ns: args.slow.map(|slow| u64::try_from(slow.as_nanos()).unwrap_or(u64::MAX)),
            values: args.values,
            close: false,
        };
        let mut signals = Signals::mind()?;
        let shown = tokio::select! {
            shown = show(&client, &wanted, args) => shown,
            () = signals.stopped() => Ok(()),
        };
        // Best effort: what nobody looks at goes by itself.
        let _ = client.tap(&TapWanted { close: true, ..wanted }).await;
        shown
    })
}

/// Asks and shows until there were as many calls as wanted, or the reader or the node is gone.
async fn show(client: &AdminClient, wanted: &TapWanted, args: &Tap) -> Result<(), Failure> {
    let mut trees = Trees::new(wanted);
    let mut left = args.count;
    loop {
        let TapTaken { calls, dropped, refused, .. } = client.tap(wanted).await?;
        if let Some(why) = refused {
            return Err(Failure::new(Exit::Usage, why));
        }
        if dropped > 0 {
            terminal::tell(&format!("{dropped} calls are missing here: more came than were taken\n"));
        }
        let ready = match args.format {
            Format::Json => calls.into_iter().map(|call| (call, 0)).collect(),
            Format::Text => trees.add(calls),
        };
        for (call, depth) in ready {
            if left == Some(0) {
                return Ok(());
            }
            left = left.map(|left| left - 1);
            match args.format {
                Format::Json => terminal::print_json(&call)?,
                Format::Text => terminal::print(&line(&call, depth))?,
            }
        }
        if left == Some(0) {
            return Ok(());
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Calls that wait for those that they are part of, by process and call tree.
struct Trees {
    waiting: BTreeMap<(u32, u64), (Instant, Vec<TapCall>)>,
    /// Only some calls come: nobody knows whether what they are part of does.
    partial: bool,
}

impl Trees {
    fn new(wanted: &TapWanted) -> Self {
        let partial = wanted.edge.is_some() || wanted.function.is_some() || wanted.failed || wanted.slow_ns.is_some();
        Self { waiting: BTreeMap::new(), partial }
    }

    /// Adds calls, and gives those that can be shown, in the order in which they began, each with its depth.
    fn add(&mut self, calls: Vec<TapCall>) -> Vec<(TapCall, usize)> {
        for call in calls {
            let (_, tree) = self.waiting.entry((call.pid, call.tree)).or_insert_with(|| (Instant::now(), Vec::new()));
            tree.push(call);
        }
        let full = self.waiting.len() > MAX_TREES;
        let partial = self.partial;
        let done = |(since, calls): &(Instant, Vec<TapCall>)| {
            partial || full || since.elapsed() > GATHER || calls.iter().any(|call| call.from.is_none())
        };
        let mut ready: Vec<_> =
            self.waiting.extract_if(.., |_, tree| done(tree)).map(|(_, (_, calls))| calls).collect();
        for calls in &mut ready {
            calls.sort_by_key(|call| (call.began_ns, call.from.is_some()));
        }
        ready.sort_by_key(|calls| calls.first().map(|call| call.began_ns));
        ready.into_iter().flat_map(with_depths).collect()
    }
}

fn with_depths(calls: Vec<TapCall>) -> Vec<(TapCall, usize)> {
    let mut depths: HashMap<String, usize> = HashMap::new();
    let deep = |call: TapCall| {
        let depth = depths.get(&call.parent).map_or(0, |depth| depth + 1);
        if !call.span.is_empty() {
            depths.insert(call.span.clone(), depth);
        }
        (call, depth)
    };
    calls.into_iter().map(deep).collect()
}

fn line(call: &TapCall, depth: usize) -> String {
    let at = Timestamp(UNIX_EPOCH + Duration::from_nanos(call.began_ns));
    let indent = "  ".repeat(depth);
    let name = match (&call.from, &call.function) {
        (Some(_), Some(function)) => format!("{indent}{}.{function}", call.to),
        _ => format!("{indent}{}", call.to),
    };
    let mut text = String::new();
    // A `String` takes all it is given.
    let _ = write!(text, "{at:#}  {name:<44} {:>9}", took(call.duration_ns));
    if call.from.is_some() {
        let _ = write!(text, "  {:>9} → {:<9}", size(call.bytes_in), size(call.bytes_out));
    } else {
        let _ = write!(text, "  {:21}", "");
    }
    let _ = write!(text, "  {}", call.outcome);
    if let Some(seen) = &call.seen {
        let article = if seen == "error" { "an" } else { "a" };
        let _ = write!(text, ", its caller got {article} {seen}");
    }
    text.push('\n');
    let gap = " ".repeat(14 + 2 * depth);
    match (call.redacted, &call.arguments) {
        (true, _) => drop(writeln!(text, "{gap}(redacted)")),
        (false, Some(arguments)) => {
            let results = call.results.as_ref().map(|results| format!(" → {}", shown(results))).unwrap_or_default();
            let _ = writeln!(text, "{gap}{}{results}", shown(arguments));
        }
        (false, None) => {}
    }
    text
}

/// A value on one line, as long as a person reads it.
fn shown(value: &str) -> String {
    let whole = clean(value);
    match whole.char_indices().nth(MAX_SHOWN) {
        None => whole.into_owned(),
        Some((end, _)) => format!("{}…", &whole[..end]),
    }
}

pub(super) fn took(nanos: u64) -> String {
    match nanos {
        0..1_000 => format!("{nanos}ns"),
        1_000..10_000 => format!("{}.{}µs", nanos / 1_000, nanos / 100 % 10),
        10_000..1_000_000 => format!("{}µs", nanos / 1_000),
        1_000_000..10_000_000 => format!("{}.{}ms", nanos / 1_000_000, nanos / 100_000 % 10),
        10_000_000..1_000_000_000 => format!("{}ms", nanos / 1_000_000),
        _ => format!("{}.{}s", nanos / 1_000_000_000, nanos / 100_000_000 % 10),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes}B"),
        10_000..10_000_000 => format!("{}KiB", bytes >> 10),
        _ => format!("{}MiB", bytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(tree: u64, span: &str, parent: &str, from: Option<&str>, began_ns: u64) -> TapCall {
        let from = from.map(str::to_owned);
        let (span, parent) = (span.to_owned(), parent.to_owned());
        TapCall { tree, span, parent, from, to: "callee".to_owned(), began_ns, ..TapCall::default() }
    }

    #[test]
    fn calls_stand_below_those_that_they_are_part_of_once_the_tree_is_whole() {
        let mut trees = Trees::new(&TapWanted::default());
        assert!(trees.add(vec![call(1, "c", "b", Some("y"), 3), call(1, "b", "a", Some("x"), 2)]).is_empty());
        let shown = trees.add(vec![call(1, "d", "a", Some("x"), 4), call(1, "a", "", None, 1)]);
        let shown: Vec<_> = shown.iter().map(|(call, depth)| (call.span.as_str(), *depth)).collect();
        assert_eq!(shown, [("a", 0), ("b", 1), ("c", 2), ("d", 1)]);
        let mut some = Trees::new(&TapWanted { failed: true, ..TapWanted::default() });
        assert_eq!(some.add(vec![call(1, "c", "b", Some("y"), 3)]).len(), 1, "what it is part of may never come");
    }

    #[test]
    fn a_line_says_who_how_long_how_much_and_what() {
        let told = TapCall {
            function: Some("render".to_owned()),
            duration_ns: 412_345,
            bytes_in: 12,
            bytes_out: 65_536,
            outcome: "trap".to_owned(),
            seen: Some("error".to_owned()),
            arguments: Some("(\"a\u{1b}[2J\")".to_owned()),
            ..call(1, "a", "", Some("web"), 0)
        };
        let text = line(&told, 1);
        assert!(text.contains("  callee.render ") && text.contains("412µs") && text.contains("64KiB"), "{text}");
        assert!(text.contains("trap, its caller got an error"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        assert!(line(&TapCall { redacted: true, ..told }, 0).contains("(redacted)"));
    }
}
