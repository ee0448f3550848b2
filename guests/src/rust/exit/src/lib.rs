//! Leaves by `wasi:cli/exit`: well with `n` 0, else badly. Never answers.

wit_bindgen::generate!({ path: "../../../wit", world: "behave-wasi", generate_all });

fn act(n: u32) -> Result<u32, String> {
    wasi::cli::exit::exit(if n == 0 { Ok(()) } else { Err(()) });
    Err("it came back from exit".to_owned())
}

doors::doors!(act);
