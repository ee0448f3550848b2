//! Lends a folder of the host to another component, and uses it afterwards, over WASI 0.3.

wit_bindgen::generate!({ path: "../../../wit-async", world: "lender3", generate_all });

use exports::watertight::later::lends::Guest;
use wasi::filesystem::{preopens::get_directories, types::PathFlags};
use watertight::later::keeper::hold;

struct Lender;

impl Guest for Lender {
    async fn lend() -> Result<String, String> {
        let (folder, _) = get_directories().into_iter().next().ok_or("there is no folder")?;
        let said = hold(&folder).await;
        let found = folder.stat_at(PathFlags::empty(), "file".to_owned()).await;
        let found = found.map_err(|code| format!("{said:?}, then {code:?}"))?;
        Ok(format!("{said:?}, then {} bytes", found.size))
    }
}

export!(Lender);
