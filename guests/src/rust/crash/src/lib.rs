//! Fails in ways that a postmortem should explain: the one guest with debug information. `n` chooses: 0 reads past the end of a list,
//! three functions deep; 1 fails in a function that is inlined; 2 recurses without end; any other number is answered with itself plus 1.
//!
//! It says first what it was given, on standard error, with escapes that a terminal would obey.

wit_bindgen::generate!({ path: "../../../wit", world: "behave-wasi", generate_all });

use exports::watertight::test::behave::Guest;
use wasi::cli::stderr::get_stderr;

struct Crash;

fn say(n: u32) {
    let line = format!("\u{1b}[31mgiven\u{1b}[0m {n}\n");
    let _ = get_stderr().blocking_write_and_flush(line.as_bytes());
}

#[inline(never)]
fn outer(n: u32) -> u32 {
    say(n);
    match n {
        0 => middle(&[1, 2, 3]) + 1,
        1 => inlined(std::hint::black_box(None)) + 1,
        2 => deeper(0),
        n => n + 1,
    }
}

#[inline(never)]
fn middle(list: &[u32]) -> u32 {
    innermost(list, std::hint::black_box(list.len())) + 1
}

#[inline(never)]
fn innermost(list: &[u32], at: usize) -> u32 {
    list[at]
}

#[inline(always)]
fn inlined(maybe: Option<u32>) -> u32 {
    maybe.unwrap_or_else(|| core::arch::wasm32::unreachable())
}

#[inline(never)]
#[expect(unconditional_recursion, reason = "it is to overflow the stack")]
fn deeper(depth: u32) -> u32 {
    deeper(std::hint::black_box(depth + 1)) + 1
}

impl Guest for Crash {
    fn run(n: u32) -> Result<u32, String> {
        Ok(outer(n))
    }

    fn quiet(n: u32) -> Result<u32, ()> {
        Ok(outer(n))
    }

    fn bare(n: u32) -> Result<(), ()> {
        outer(n);
        Ok(())
    }

    fn plain(n: u32) -> u32 {
        outer(n)
    }
}

export!(Crash);
