//! From a `.wat` file or a core module to a component. It never runs what it builds.
//!
//! A file that starts with `(component` is taken as it is. A `(module` becomes a component of the world that one of its
//! first lines names: `;; world: NAME`, from `guests/wit` or the folder in `;; wit: FOLDER`, and `;; strings: utf16` or `latin1+utf16` choose how it keeps text. A line
//! `;; include FILE` is replaced by that file from `include/`. Core modules stay what they are with `;; core`.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

/// Builds the component of one `.wat` file; `guests` is the folder that WIT folders are in.
pub(super) fn wat(file: &Path, guests: &Path) -> Result<Vec<u8>> {
    let text = spliced(file)?;
    let mut bytes = wat::Parser::new()
        .parse_str(Some(file), &text)
        .with_context(|| format!("{} is not good WAT", file.display()))?;
    let Some(world) = directive(&text, "world") else {
        if text.contains("\n(component") || directive(&text, "core").is_some() {
            return Ok(bytes);
        }
        bail!("{} is a core module and names no world: add a line `;; world: NAME`", file.display());
    };
    let strings = match directive(&text, "strings") {
        None => StringEncoding::UTF8,
        Some("utf16") => StringEncoding::UTF16,
        Some("latin1+utf16") => StringEncoding::CompactUTF16,
        Some(other) => bail!("{} asks for strings in `{other}`", file.display()),
    };
    let mut resolve = Resolve { all_features: true, ..Resolve::default() };
    let (package, _) = resolve.push_dir(guests.join(directive(&text, "wit").unwrap_or("wit")))?;
    let world = resolve
        .select_world(&[package], Some(world))
        .with_context(|| format!("{} names the world `{world}`", file.display()))?;
    wit_component::embed_component_metadata(&mut bytes, &resolve, world, strings)?;
    module(&bytes).with_context(|| format!("{} does not fit its world", file.display()))
}

/// Makes a component of a core module that carries its world in a custom section.
pub(super) fn module(bytes: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default().validate(true).module(bytes)?.encode()
}

/// The file with its includes in place.
fn spliced(file: &Path) -> Result<String> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut whole = String::with_capacity(text.len());
    for line in text.lines() {
        match line.trim().strip_prefix(";; include ") {
            Some(name) => {
                let included = file.with_file_name("include").join(name);
                let part = std::fs::read_to_string(&included)
                    .with_context(|| format!("{} includes {}", file.display(), included.display()))?;
                whole.push_str(&part);
            }
            None => whole.push_str(line),
        }
        whole.push('\n');
    }
    Ok(whole)
}

/// The value of `;; key: value` among the first lines, or the empty text of `;; key`.
fn directive<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().take_while(|line| line.starts_with(";;")).find_map(|line| {
        let rest = line.trim_start_matches(";;").trim().strip_prefix(key)?;
        match rest.strip_prefix(':') {
            Some(value) => Some(value.trim()),
            None => rest.is_empty().then_some(rest),
        }
    })
}
