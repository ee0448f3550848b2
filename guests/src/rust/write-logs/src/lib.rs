//! Writes `n` KiB to stdout and as much to stderr, a line of 64 bytes at a time (0: without end).

wit_bindgen::generate!({ path: "../../../wit", world: "behave-wasi", generate_all });

use wasi::cli::{stderr, stdout};

const LINE: &[u8; 64] = b"a line of sixty-four bytes that says nothing, again and again..\n";

fn act(n: u32) -> Result<u32, String> {
    let streams = [stdout::get_stdout(), stderr::get_stderr()];
    let mut lines = 0;
    while n == 0 || lines < u64::from(n) * 16 {
        for stream in &streams {
            stream.blocking_write_and_flush(LINE).map_err(|error| format!("{lines} lines, then {error:?}"))?;
        }
        lines += 1;
    }
    Ok(n)
}

doors::doors!(act);
