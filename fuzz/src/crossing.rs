//! What is done with an app through which a type passes, and what must hold: the membrane gives what Wasmtime gives, and rejects what
//! it rejects.

use arbitrary::{Result, Unstructured};
use wasmtime::component::Val;
use watertight_model::failure::CallError;
use wit_component::StringEncoding;

use crate::{
    any_type::{self, Ty, run},
    bare::Harness,
    values::{any_encoding, any_type, any_value, lies, list},
};

/// Crossings for each app: making one takes the compiler far longer than a crossing.
const ROUNDS: usize = 16;
/// Words of hostile memory.
const WORDS: usize = 256;

fn call(
    app: &Harness,
    component: &str,
    function: &str,
    arguments: Vec<Val>,
) -> std::result::Result<Vec<Val>, CallError> {
    run(app.call(component, &format!("t:t/i#{function}"), arguments))
}

/// Makes up a type and sends values of it, and hostile memory, through two membranes.
///
/// # Errors
/// When the bytes make no type.
pub fn any(u: &mut Unstructured<'_>) -> Result<()> {
    let ty = any_type(u)?;
    let app = any_type::app(&ty, any_encoding(u)?, any_encoding(u)?);
    for _ in 0..ROUNDS {
        match u.int_in_range(0..=2u8)? {
            0 => values_arrive(&app, Val::List(list(u, |u| any_value(u, &ty))?)),
            1 => core_values_agree(&app, any_value(u, &ty)?),
            _ => lies_are_seen_through(&app, lies(u, 64)?, u.int_in_range(0..=20)?),
        }
        if u.is_empty() {
            break;
        }
    }
    Ok(())
}

/// Sends hostile memory, as one of the rich types, through two membranes.
///
/// # Errors
/// When there are no bytes.
pub fn hostile(u: &mut Unstructured<'_>) -> Result<()> {
    thread_local! {
        static APPS: Vec<Harness> = rich_types()
            .iter()
            .flat_map(|ty| ENCODINGS.map(|encoding| any_type::app(ty, StringEncoding::UTF8, encoding)))
            .collect();
    }
    APPS.with(|apps| {
        let app = u.choose(apps)?;
        let len = u.int_in_range(0..=40)?;
        lies_are_seen_through(app, lies(u, WORDS)?, len);
        Ok(())
    })
}

const ENCODINGS: [StringEncoding; 3] = [StringEncoding::UTF8, StringEncoding::UTF16, StringEncoding::CompactUTF16];

/// Types that between them have every step of a plan, at odd offsets and inside each other.
fn rich_types() -> Vec<Ty> {
    let boxed = |ty: &Ty| Box::new(ty.clone());
    let text = Ty::Plain("string");
    let row = Ty::Record(vec![
        Ty::Plain("u8"),
        text.clone(),
        Ty::Plain("char"),
        Ty::Flags(19),
        Ty::Option(boxed(&Ty::Plain("s64"))),
        Ty::Enum(300),
        Ty::Plain("bool"),
    ]);
    let choice = Ty::Variant(vec![
        None,
        Some(Ty::Plain("f32")),
        Some(text.clone()),
        Some(Ty::List(boxed(&Ty::Plain("u16")))),
        Some(Ty::Result(Some(boxed(&Ty::Plain("char"))), Some(boxed(&row)))),
    ]);
    vec![
        text.clone(),
        Ty::List(boxed(&Ty::List(boxed(&text)))),
        Ty::Map(boxed(&text), boxed(&choice)),
        Ty::Tuple(vec![Ty::Fixed(boxed(&choice), 20), Ty::Fixed(boxed(&Ty::Plain("u8")), 3), row.clone()]),
        Ty::Result(Some(boxed(&Ty::List(boxed(&row)))), Some(boxed(&Ty::Option(boxed(&Ty::Flags(32)))))),
    ]
}

fn values_arrive(app: &Harness, sent: Val) {
    let got = call(app, "caller", "echo", vec![sent.clone()]).map_err(|error| error.to_string());
    assert_eq!(format!("{got:?}"), format!("{:?}", Ok::<_, String>(vec![sent])));
}

fn core_values_agree(app: &Harness, value: Val) {
    let taken = |component| {
        call(app, component, "take", vec![value.clone()]).expect("it takes any value");
        format!("{:?}", call(app, component, "taken", vec![]).expect("it says what it took"))
    };
    assert_eq!(taken("caller"), taken("callee"));
}

fn lies_are_seen_through(app: &Harness, words: Vec<u64>, len: u32) {
    let arguments = vec![Val::List(words.into_iter().map(Val::U64).collect()), Val::U32(len)];
    let direct = call(app, "callee", "cast", arguments.clone());
    let through = call(app, "caller", "cast", arguments);
    match (direct, through) {
        (Ok(direct), Ok(through)) => assert_eq!(format!("{direct:?}"), format!("{through:?}")),
        (Err(_), Err(_)) => {}
        // Only one of them counts a list that is named a hundred times for more than it takes; or the caller has no room for it.
        (Ok(_), Err(error)) if is_too_much(&error) => {}
        (Err(error), Ok(_)) if is_too_much(&error) => {}
        (direct, through) => panic!("Wasmtime: {direct:?}, the membrane: {through:?}"),
    }
}

fn is_too_much(error: &CallError) -> bool {
    ["too much data", "fuel", "would cross in one call", "realloc", "unreachable"]
        .iter()
        .any(|part| error.detail.contains(part))
}
