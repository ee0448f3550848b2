//! Values as CBOR and back, and bytes passed off as them.

use proptest::prelude::*;

use watertight_model::cbor::{self, Notation as _};

use super::{results::Results, *};
use crate::membrane::{
    template::Template,
    text::tests::{any_case, functions},
};

const MEMORY: usize = 1 << 20;

/// The value in a frame of results, as one argument.
fn as_argument(types: &FunctionTypes, frame: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut writer = Results { types: &types.types, frame, out: cbor::Writer::new(limit) };
    writer.out.array(1);
    let field = fields(&types.types, types.results)?.into_iter().next()?;
    writer.value(field.ty, field.at)?;
    writer.out.finish().ok()
}

fn read(types: &FunctionTypes, cbor: &[u8]) -> Result<Frame, Refused> {
    types.arguments(cbor, &["x".to_owned()], MEMORY, Author::Script)
}

proptest! {
    #[test]
    fn any_value_is_read_as_it_was_written((types, val, value) in any_case()) {
        let frame = Template::new(Some(&value), &types).expect("it fits").fill("");
        let cbor = as_argument(&types, &frame.bytes, usize::MAX).expect("it is a value");
        let again = read(&types, &cbor).expect("it was written from a value");
        prop_assert_eq!(&again.bytes, &frame.bytes);
        let text = types.parameters_text(&again.bytes, again.bytes.len(), usize::MAX);
        prop_assert_eq!(text, format!("({})", wasm_wave::to_string(&val).expect("it has a text")));
        for limit in 0..cbor.len() {
            prop_assert_eq!(as_argument(&types, &frame.bytes, limit), None);
        }
        for cut in 0..cbor.len() {
            prop_assert!(read(&types, &cbor[..cut]).is_err());
        }
    }

    #[test]
    fn any_value_is_read_as_it_was_written_in_json((types, val, value) in any_case()) {
        let frame = Template::new(Some(&value), &types).expect("it fits").fill("");
        let mut writer = Results { types: &types.types, frame: &frame.bytes, out: json::Writer::new(MEMORY) };
        writer.out.array(1);
        let field = fields(&types.types, types.results).expect("a tuple").into_iter().next().expect("of one");
        writer.value(field.ty, field.at).expect("it is a value");
        let json = writer.out.finish().expect("it is short");
        let parsed: Result<serde::de::IgnoredAny, _> = serde_json::from_slice(&json);
        prop_assert!(parsed.is_ok(), "{}", String::from_utf8_lossy(&json));
        let cbor = json::to_cbor(&json, MEMORY).expect("it is JSON");
        let again = types.arguments(&cbor, &["x".to_owned()], MEMORY, Author::Json).expect("it was written from a value");
        let text = types.parameters_text(&again.bytes, again.bytes.len(), usize::MAX);
        prop_assert_eq!(text, format!("({})", wasm_wave::to_string(&val).expect("it has a text")));
    }

    #[test]
    fn what_is_read_of_hostile_json_is_a_value(
        (types, _, value) in any_case(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![prop::sample::select(b"[]{}\",:0\\nt".to_vec()), any::<u8>()]), 0..4),
    ) {
        let frame = Template::new(Some(&value), &types).expect("it fits").fill("");
        let mut json = match types.returned_json(&frame.bytes, MEMORY) {
            Ok(Some(Returned::Value(json) | Returned::Error { value: json, .. })) => [b"[", &json[..], b"]"].concat(),
            other => panic!("{other:?}"),
        };
        for (place, byte) in changes {
            let place = place.index(json.len());
            json[place] = byte;
        }
        let Ok(cbor) = json::to_cbor(&json, MEMORY) else { return Ok(()) };
        if let Ok(frame) = types.arguments(&cbor, &["x".to_owned()], MEMORY, Author::Json) {
            let text = types.parameters_text(&frame.bytes, frame.bytes.len(), usize::MAX);
            prop_assert!(!text.contains("<malformed>"), "{}", text);
        }
    }

    #[test]
    fn what_is_read_of_hostile_bytes_is_a_value(
        (types, _, value) in any_case(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        more in prop::collection::vec(any::<u8>(), 0..3),
    ) {
        let frame = Template::new(Some(&value), &types).expect("it fits").fill("");
        let mut cbor = as_argument(&types, &frame.bytes, usize::MAX).expect("it is a value");
        for (place, byte) in changes {
            let place = place.index(cbor.len());
            cbor[place] = byte;
        }
        cbor.extend(more);
        if let Ok(frame) = read(&types, &cbor) {
            let text = types.parameters_text(&frame.bytes, frame.bytes.len(), usize::MAX);
            prop_assert!(!text.contains("<malformed>"), "{}", text);
            let cbor = as_argument(&types, &frame.bytes, usize::MAX).expect("it is a value");
            prop_assert_eq!(&read(&types, &cbor).expect("it was written from one").bytes, &frame.bytes);
        }
    }

    #[test]
    fn any_bytes_are_refused_or_read(
        place in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(prop_oneof![0x80..0x86_u8, 0xa0..0xa4_u8, 0x60..0x66_u8, any::<u8>()], 0..60),
    ) {
        let (types, _) = place.get(functions());
        let _ = read(types, &bytes);
        let _ = as_argument(types, &bytes, MEMORY);
        let _ = types.returned(&bytes, MEMORY);
    }
}

/// The function that takes a value of this kind, by the place of its type in the tests of `text`.
fn refused(index: usize, write: impl FnOnce(&mut cbor::Writer)) -> String {
    let mut out = cbor::Writer::new(MEMORY);
    write(&mut out);
    let cbor = out.finish().expect("it is short");
    read(&functions()[index].0, &cbor).expect_err("it is refused").to_string()
}

#[test]
fn a_refusal_names_the_place_what_is_wanted_and_what_was_given() {
    let plain = |out: &mut cbor::Writer, a: u64| {
        out.map(5);
        for name in ["e", "d", "c", "b"] {
            out.text(name);
            match name {
                "e" => out.text("x"),
                "d" => out.f64(1.5),
                "c" => out.bool(true),
                _ => out.signed(-1),
            }
        }
        out.text("a");
        out.unsigned(a);
    };
    let rows = refused(10, |out| {
        out.array(1);
        out.array(2);
        plain(out, 255);
        plain(out, 256);
    });
    assert_eq!(rows, "`x[1].a` is to be a u8, from 0 to 255, and is 256");
    let choice = refused(2, |out| {
        out.array(1);
        out.map(2);
        out.text("val");
        out.unsigned(3);
        out.text("tag");
        out.text("text");
    });
    assert_eq!(choice, "`x.val` is to be text, and is the number 3");
    assert_eq!(refused(0, |out| out.array(0)), "it takes one argument (`x`), and 0 were given");
    assert_eq!(refused(0, cbor::Writer::null), "the arguments are not one array");
    assert_eq!(
        refused(3, |out| {
            out.array(1);
            out.text("dark_blu");
        }),
        "`x` is to be one of `ok`, `red`, `dark-blue`, and is the text \"dark_blu\""
    );
}

#[test]
fn names_are_taken_as_every_language_writes_them() {
    for (name, taken) in [
        ("dark-blue", true),
        ("dark_blue", true),
        ("darkBlue", true),
        ("darkblue", false),
        ("DarkBlue", false),
        ("dark-Blue", false),
    ] {
        assert_eq!(is_named("dark-blue", name), taken, "{name}");
    }
    assert!(!is_named("ab", "aB") && !is_named("a-b", "ab"));
}

#[test]
fn a_frame_is_no_larger_than_its_guest_lets_it_be() {
    let (types, _) = &functions()[10];
    let mut out = cbor::Writer::new(usize::MAX);
    out.array(1);
    out.array(3 << 20);
    let mut cbor = out.finish().expect("it is short");
    cbor.resize(cbor.len() + (3 << 20), 0xf6);
    assert!(matches!(read(types, &cbor), Err(Refused::TooLong(_))));
}
