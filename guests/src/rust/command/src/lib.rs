//! A command: `echo WORDS` prints them, `env` its environment, `cat` stdin, `spin` never ends, `exit N` leaves at once,
//! `fail` returns an error, `trap` traps. Anything else prints what it was given and succeeds.

wit_bindgen::generate!({ path: "../../../wit", world: "command", generate_all });

use exports::wasi::cli::run::Guest;
use wasi::cli::{environment, exit, stderr, stdin, stdout};

struct Command;

fn say(text: &str) {
    let out = stdout::get_stdout();
    for part in text.as_bytes().chunks(4096) {
        let _ = out.blocking_write_and_flush(part);
    }
}

impl Guest for Command {
    fn run() -> Result<(), ()> {
        let args = environment::get_arguments();
        let words: Vec<&str> = args.iter().skip(1).map(String::as_str).collect();
        match words.as_slice() {
            ["echo", rest @ ..] => say(&format!("{}\n", rest.join(" "))),
            ["env"] => environment::get_environment().iter().for_each(|(key, value)| say(&format!("{key}={value}\n"))),
            ["cat"] => {
                let input = stdin::get_stdin();
                while let Ok(part) = input.blocking_read(4096) {
                    say(&String::from_utf8_lossy(&part));
                }
            }
            ["spin"] => loop {
                core::hint::spin_loop();
            },
            ["exit", code] => exit::exit(if *code == "0" { Ok(()) } else { Err(()) }),
            ["fail"] => {
                let _ = stderr::get_stderr().blocking_write_and_flush(b"asked to fail\n");
                return Err(());
            }
            ["trap"] => core::arch::wasm32::unreachable(),
            other => say(&format!("hello {other:?}\n")),
        }
        Ok(())
    }
}

export!(Command);
