//! The stack of a failed cell: function names, and source lines where the component has DWARF.
//!
//! Wasmtime would look up the lines of every error as it is made, and keep the debug information in the compiled code. Here it is
//! told not to: lines are looked up in the component's own bytes, when a postmortem is written, and a component without debug
//! information pays nothing. Debug information is a guest's data like any other: what cannot be read gives no lines.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    ops::Range,
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use addr2line::gimli::{Dwarf, EndianSlice, LittleEndian, SectionId};
use wasmparser::{Parser, Payload};
use wasmtime::{FrameInfo, WasmBacktrace};
use watertight_model::postmortem::{SourceLine, StackFrame};

/// Functions inlined into one frame that are told.
const MAX_INLINED: usize = 16;

/// Bytes of a name that are read and told.
const MAX_NAME_BYTES: usize = 1024;

/// Time for all frames together. A name that takes longer to find is not worth it.
const MAX_LOOKUP: Duration = Duration::from_secs(2);

/// The frames of an error, innermost first, without source lines: as much as has to be read while the cell lives.
pub(super) fn frames(error: &wasmtime::Error) -> Vec<StackFrame> {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    trace.frames().iter().map(frame).collect()
}

fn frame(info: &FrameInfo) -> StackFrame {
    StackFrame {
        module: info.module().name().map(cut),
        index: info.func_index(),
        function: info.func_name().map(cut),
        offset: info.module_offset().map(|offset| offset as u64),
        lines: Vec::new(),
    }
}

/// Adds source lines from the component's debug information, and makes names readable.
pub(super) fn explain(frames: &mut [StackFrame], component: &[u8]) {
    let until = Instant::now() + MAX_LOOKUP;
    let offsets: Vec<usize> = frames.iter().filter_map(|frame| usize::try_from(frame.offset?).ok()).collect();
    for module in modules(component, &offsets) {
        for frame in &mut *frames {
            let inside = frame.offset.and_then(|offset| usize::try_from(offset).ok());
            if let Some(offset) = inside.filter(|offset| module.code.contains(offset))
                && Instant::now() < until
            {
                // The readers of debug information are made for bad data; a bug in them should cost the lines only.
                let lines = std::panic::catch_unwind(AssertUnwindSafe(|| module.lines(offset)));
                frame.lines = lines.unwrap_or_default();
            }
        }
    }
    for frame in frames {
        frame.function = frame.function.take().map(|name| demangled(&name));
        // Line tables without more know a function by the last part of its name.
        if let (Some(whole), Some(line)) = (&frame.function, frame.lines.last_mut())
            && line.function.as_ref().is_some_and(|part| whole.ends_with(part.as_str()))
        {
            line.function = Some(whole.clone());
        }
    }
}

/// The debug information of one core module.
struct Module<'a> {
    /// Its code, in bytes from the start of the component. Debug information counts from its start.
    code: Range<usize>,
    sections: BTreeMap<&'a str, &'a [u8]>,
}

/// The core modules of a component that have one of these offsets in their code.
fn modules<'a>(component: &'a [u8], offsets: &[usize]) -> Vec<Module<'a>> {
    let mut found = Vec::new();
    // Modules stand in components, which stand in components.
    let mut open: Vec<Option<Module<'a>>> = Vec::new();
    for payload in Parser::new(0).parse_all(component) {
        match payload {
            Ok(Payload::Version { .. }) => open.push(None),
            Ok(Payload::CodeSectionStart { range, .. }) if offsets.iter().any(|offset| range.contains(offset)) => {
                if let Some(module) = open.last_mut() {
                    *module = Some(Module { code: range, sections: BTreeMap::new() });
                }
            }
            Ok(Payload::CustomSection(section)) if section.name().starts_with(".debug_") => {
                if let Some(Some(module)) = open.last_mut() {
                    module.sections.insert(section.name(), section.data());
                }
            }
            Ok(Payload::End(_)) => found.extend(open.pop().flatten()),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    found
}

impl Module<'_> {
    fn lines(&self, offset: usize) -> Vec<SourceLine> {
        let section = |id: SectionId| {
            let data = self.sections.get(id.name()).copied().unwrap_or_default();
            Ok::<_, addr2line::gimli::Error>(EndianSlice::new(data, LittleEndian))
        };
        let context = Dwarf::load(section).and_then(addr2line::Context::from_dwarf);
        let Ok(context) = context else { return Vec::new() };
        let Ok(mut inlined) = context.find_frames((offset - self.code.start) as u64).skip_all_loads() else {
            return Vec::new();
        };
        let mut lines = Vec::new();
        while let (Ok(Some(frame)), true) = (inlined.next(), lines.len() < MAX_INLINED) {
            let name = frame.function.as_ref().and_then(|function| function.raw_name().ok());
            let place = frame.location.as_ref();
            lines.push(SourceLine {
                function: name.map(|name| demangled(&cut(&name))),
                file: place.and_then(|place| place.file).map(cut),
                line: place.and_then(|place| place.line),
                column: place.and_then(|place| place.column),
            });
        }
        lines
    }
}

/// A name as its programmer wrote it. A short mangled name can stand for a very long one.
fn demangled(name: &str) -> String {
    let mut out = Bounded(String::new());
    let written = if let Ok(rust) = rustc_demangle::try_demangle(name) {
        write!(out, "{rust:#}")
    } else if name.starts_with("_Z")
        && let Ok(cpp) = cpp_demangle::Symbol::new(name)
    {
        cpp.structured_demangle(&mut out, &cpp_demangle::DemangleOptions::default())
    } else {
        return cut(name);
    };
    if written.is_err() {
        out.0.push('…');
    }
    out.0
}

fn cut(name: &str) -> String {
    name[..name.floor_char_boundary(MAX_NAME_BYTES)].to_owned()
}

/// Text that takes no more than a name may have.
struct Bounded(String);

impl std::fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let room = MAX_NAME_BYTES - self.0.len();
        self.0.push_str(&text[..text.floor_char_boundary(room)]);
        if text.len() <= room { Ok(()) } else { Err(std::fmt::Error) }
    }
}

/// The stack as text, a line for each function.
pub(super) fn text(frames: &[StackFrame]) -> String {
    let mut text = String::new();
    for (number, frame) in frames.iter().enumerate() {
        let offset = frame.offset.map_or_else(String::new, |offset| format!("{offset:#x}"));
        let index = format!("function {}", frame.index);
        let name = frame.function.as_deref().unwrap_or(&index);
        let module = frame.module.as_ref().map_or_else(String::new, |module| format!("{module}!"));
        // Writing to a `String` does not fail.
        let _ = match frame.lines.as_slice() {
            [] => writeln!(text, "{number:>4}: {offset:>8}  {module}{name}"),
            lines => lines.iter().enumerate().try_for_each(|(depth, line)| {
                let name = line.function.as_deref().unwrap_or(if depth == 0 { name } else { "inlined" });
                match depth {
                    0 => writeln!(text, "{number:>4}: {offset:>8}  {name}")?,
                    _ => writeln!(text, "{:>4}  {:>8}  {name}", "", "")?,
                }
                writeln!(text, "{:>16}at {line}", "")
            }),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use watertight_testkit::guest;

    use super::*;

    fn at(offset: u64) -> StackFrame {
        StackFrame { offset: Some(offset), ..StackFrame::default() }
    }

    /// Where the code of the module with debug information lies.
    fn code(component: &[u8]) -> Range<usize> {
        let code = |payload| match payload {
            Ok(Payload::CodeSectionStart { range, .. }) => Some(range),
            _ => None,
        };
        let ranges = Parser::new(0).parse_all(component).filter_map(code);
        ranges.max_by_key(ExactSizeIterator::len).expect("a guest has code")
    }

    #[test]
    fn damaged_debug_information_gives_no_lines_or_others_and_does_no_harm() {
        let whole = guest::built("crash");
        let code = code(&whole);
        let middle = (code.start + code.len() / 2) as u64;
        let mut frames = vec![at(middle)];
        explain(&mut frames, &whole);
        assert!(!frames[0].lines.is_empty(), "there are lines to lose");
        for place in (code.end..whole.len()).step_by(41) {
            for value in [0, 0x7f, 0xff] {
                let mut damaged = whole.clone();
                damaged[place] = value;
                explain(&mut [at(middle), at(code.start as u64), at(u64::MAX)], &damaged);
            }
            explain(&mut [at(middle)], &whole[..place]);
        }
    }

    #[test]
    fn names_are_as_they_were_written_and_no_longer_than_a_name_may_be() {
        for (name, shown) in [
            ("_ZN5crash9innermost17h0123456789abcdefE", "crash::innermost"),
            ("_RNvCs1234_7mycrate3foo", "mycrate::foo"),
            ("_ZN3foo3barEi", "foo::bar(int)"),
            ("_Znonsense", "_Znonsense"),
            ("plain-name", "plain-name"),
            ("", ""),
        ] {
            assert_eq!(demangled(name), shown);
        }
        // Each substitution doubles what it stands for.
        let bomb = format!("_Z1fI{}E", (0..40).fold("i".to_owned(), |inner, _| format!("1aI{inner}S_E")));
        for name in ["x".repeat(1 << 20), format!("_ZN{}E", "1a".repeat(100_000)), bomb] {
            assert!(demangled(&name).len() <= MAX_NAME_BYTES + '…'.len_utf8());
        }
    }
}
