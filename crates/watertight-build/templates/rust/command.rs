//! Greets who is named in its arguments. It writes through WIT, which works for every target; so does `println!` for `wasm32-wasip2`.

mod greeting;

wit_bindgen::generate!({ path: "wit", world: "program", generate_all });

use exports::wasi::cli::run::Guest;
use wasi::cli::{environment::get_arguments, stdout::get_stdout};

struct Program;

impl Guest for Program {
    fn run() -> Result<(), ()> {
        let names: Vec<String> = get_arguments().into_iter().skip(1).collect();
        let names = if names.is_empty() { vec![String::new()] } else { names };
        let lines: String = names.iter().map(|name| greeting::greet(name) + "\n").collect();
        get_stdout().blocking_write_and_flush(lines.as_bytes()).map_err(|_| ())
    }
}

export!(Program);
