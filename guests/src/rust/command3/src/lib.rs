//! A command of WASI 0.3: prints its arguments after a millisecond; `fail` returns an error.

wit_bindgen::generate!({ path: "../../../wit-async", world: "command3", generate_all });

use exports::wasi::cli::run::Guest;
use wasi::cli::{environment, stdout};
use wasi::clocks::monotonic_clock::wait_for;

struct Command;

impl Guest for Command {
    async fn run() -> Result<(), ()> {
        wait_for(1_000_000).await;
        let args = environment::get_arguments();
        let words: Vec<&str> = args.iter().skip(1).map(String::as_str).collect();
        let text = format!("hello {words:?}\n");
        let (mut writer, reader) = wit_stream::new();
        let printed = stdout::write_via_stream(reader);
        writer.write_all(text.into_bytes()).await;
        drop(writer);
        printed.await.map_err(drop)?;
        if words == ["fail"] { Err(()) } else { Ok(()) }
    }
}

export!(Command);
