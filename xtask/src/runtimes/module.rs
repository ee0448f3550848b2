//! Core modules, section by section: what has to change in one that is linked already so that it can be put together with another.
//!
//! It reads imports, memories and exports and nothing else; all other sections stay as they are, byte for byte. What is not a module, or
//! has a memory of a kind that nobody needs here, is an error.

use anyhow::{Context as _, Result, bail, ensure};

/// Bytes of a page of memory.
pub(super) const PAGE: u32 = 64 << 10;

const HEADER: [u8; 8] = *b"\0asm\x01\0\0\0";
const IMPORTS: u8 = 2;
const MEMORIES: u8 = 5;
const EXPORTS: u8 = 7;
const CODE: u8 = 10;

/// A module.
pub(super) struct Module {
    sections: Vec<(u8, Vec<u8>)>,
}

impl Module {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader(bytes.strip_prefix(&HEADER).context("it is not a core module")?);
        let mut sections = Vec::new();
        while !reader.0.is_empty() {
            let id = reader.byte()?;
            let len = reader.number()?;
            sections.push((id, reader.bytes(len)?.to_vec()));
        }
        Ok(Self { sections })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = HEADER.to_vec();
        for (id, section) in &self.sections {
            bytes.push(*id);
            number(&mut bytes, section.len());
            bytes.extend(section);
        }
        bytes
    }

    /// How large its one memory is at first.
    pub(super) fn memory_pages(&self) -> Result<u32> {
        let mut reader = Reader(self.section(MEMORIES)?);
        ensure!((reader.number()?, reader.byte()?) == (1, 0), "it has not one memory without a limit");
        Ok(u32::try_from(reader.number()?)?)
    }

    /// How large its one memory shall be at first.
    pub(super) fn set_memory_pages(&mut self, pages: u32) -> Result<()> {
        self.memory_pages()?;
        let mut section = vec![1, 0];
        number(&mut section, usize::try_from(pages)?);
        self.replace(MEMORIES, section);
        Ok(())
    }

    /// Gives each import the module that it is to come from.
    pub(super) fn map_imports(&mut self, map: impl Fn(&str, &str) -> String) -> Result<()> {
        let mut reader = Reader(self.section(IMPORTS)?);
        let count = reader.number()?;
        let mut section = Vec::new();
        number(&mut section, count);
        for _ in 0..count {
            let (module, name) = (reader.text()?, reader.text()?);
            text(&mut section, &map(module, name));
            text(&mut section, name);
            let from = reader.0;
            reader.skip_import_type()?;
            section.extend(&from[..from.len() - reader.0.len()]);
        }
        self.replace(IMPORTS, section);
        Ok(())
    }

    /// The names of its exports.
    pub(super) fn exports(&self) -> Result<Vec<String>> {
        let mut reader = Reader(self.section(EXPORTS)?);
        (0..reader.number()?)
            .map(|_| {
                let name = reader.text()?.to_owned();
                reader.byte()?;
                reader.number()?;
                Ok(name)
            })
            .collect()
    }

    /// Gives each export its name, or takes it away.
    pub(super) fn map_exports(&mut self, map: impl Fn(&str) -> Option<String>) -> Result<()> {
        let mut reader = Reader(self.section(EXPORTS)?);
        let (mut kept, mut section) = (0, Vec::new());
        for _ in 0..reader.number()? {
            let (name, kind, index) = (reader.text()?, reader.byte()?, reader.number()?);
            if let Some(name) = map(name) {
                kept += 1;
                text(&mut section, &name);
                section.push(kind);
                number(&mut section, index);
            }
        }
        let mut counted = Vec::new();
        number(&mut counted, kept);
        counted.extend(section);
        self.replace(EXPORTS, counted);
        Ok(())
    }

    /// Puts code in the place of other code of the same length, which must be there once.
    pub(super) fn patch_code(&mut self, from: &[u8], to: &[u8]) -> Result<()> {
        ensure!(from.len() == to.len(), "a patch that moves what follows it");
        let (_, code) = self.sections.iter_mut().find(|(id, _)| *id == CODE).context("it has no code")?;
        let found: Vec<usize> = (0..code.len()).filter(|at| code[*at..].starts_with(from)).collect();
        let [at] = found[..] else { bail!("the code to be patched is there {} times", found.len()) };
        code[at..at + from.len()].copy_from_slice(to);
        Ok(())
    }

    fn section(&self, wanted: u8) -> Result<&[u8]> {
        let found = self.sections.iter().find(|(id, _)| *id == wanted);
        found.map(|(_, section)| section.as_slice()).with_context(|| format!("it has no section {wanted}"))
    }

    fn replace(&mut self, id: u8, by: Vec<u8>) {
        for (_, section) in self.sections.iter_mut().filter(|(each, _)| *each == id) {
            section.clone_from(&by);
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8> {
        let (first, rest) = self.0.split_first().context("it ends too early")?;
        self.0 = rest;
        Ok(*first)
    }

    fn bytes(&mut self, len: usize) -> Result<&'a [u8]> {
        let (first, rest) = self.0.split_at_checked(len).context("it ends too early")?;
        self.0 = rest;
        Ok(first)
    }

    fn number(&mut self) -> Result<usize> {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.byte()?;
            ensure!(shift < 35, "a number in it is too long");
            value |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
    }

    fn text(&mut self) -> Result<&'a str> {
        let len = self.number()?;
        Ok(std::str::from_utf8(self.bytes(len)?)?)
    }

    fn skip_import_type(&mut self) -> Result<()> {
        match self.byte()? {
            // A function, by its type.
            0 => {
                self.number()?;
            }
            // A memory, with a limit or without.
            2 => {
                let flags = self.byte()?;
                for _ in 0..=usize::from(flags & 1) {
                    self.number()?;
                }
            }
            // A global: its type, and whether it changes.
            3 => {
                self.bytes(2)?;
            }
            kind => bail!("it imports something of kind {kind}"),
        }
        Ok(())
    }
}

fn number(into: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        into.push(if value == 0 { low } else { low | 0x80 });
        if value == 0 {
            return;
        }
    }
}

fn text(into: &mut Vec<u8>, value: &str) {
    number(into, value.len());
    into.extend(value.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(text: &str) -> Module {
        Module::parse(&wat::parse_str(text).expect("it is WAT")).expect("it is a module")
    }

    #[test]
    fn imports_exports_and_the_memory_change_and_nothing_else() {
        let mut module = module(
            r#"(module
                (import "a" "f" (func $f (param i32)))
                (import "b" "g" (func $g))
                (memory (export "memory") 300)
                (func (export "one") (call $f (i32.const 7)))
                (func (export "two") (call $g)))"#,
        );
        assert_eq!((module.memory_pages().expect("one"), module.exports().expect("three").len()), (300, 3));
        module.set_memory_pages(304).expect("it has one");
        module
            .map_imports(|from, name| if name == "g" { "glue" } else { from }.to_owned())
            .expect("they are functions");
        module
            .map_exports(|name| (name != "two").then(|| if name == "one" { "1" } else { name }.to_owned()))
            .expect("they can be read");
        module.patch_code(&[0x41, 7], &[0x41, 8]).expect("it is there once");
        assert!(module.patch_code(&[0x10], &[0x10]).is_err(), "there are two calls");
        let expected = r#"(module
            (import "a" "f" (func $f (param i32)))
            (import "glue" "g" (func $g))
            (memory (export "memory") 304)
            (func (export "1") (call $f (i32.const 8)))
            (func (call $g)))"#;
        assert_eq!(strip(&module.encode()), strip(&wat::parse_str(expected).expect("it is WAT")));
    }

    /// Without the names of functions, which WAT leaves behind.
    fn strip(bytes: &[u8]) -> Vec<u8> {
        let mut module = Module::parse(bytes).expect("it is a module");
        module.sections.retain(|(id, _)| *id != 0);
        module.encode()
    }

    #[test]
    fn what_is_no_module_is_refused() {
        let whole = wat::parse_str("(module (memory 1))").expect("it is WAT");
        assert!(Module::parse(&whole[..whole.len() - 1]).is_err());
        assert!(Module::parse(b"text").is_err());
        assert!(module("(module (memory 1 2))").memory_pages().is_err());
    }
}
