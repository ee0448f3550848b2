//! The keys of how a component is made. They say nothing about what it may do.

use super::{BUILD, Form, KEY, Key, Kind, SOURCE};

/// Each with its default.
pub(super) const KEYS: &[Key] = &[
    Key {
        place: SOURCE,
        name: "oci",
        kind: Kind::Text(Form::Any),
        required: true,
        meaning: "Its name in an OCI registry: host, repository and tag. `watertight build` fetches it, once.",
        example: "\"ghcr.io/press/markdown:1.2.0\"",
        ..KEY
    },
    Key {
        place: SOURCE,
        name: "digest",
        kind: Kind::Text(Form::Any),
        meaning: "The digest of its OCI manifest: nothing else is taken. Without it the tag is looked up once, and `watertight.lock` keeps what it meant.",
        example: "\"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"",
        ..KEY
    },
    Key {
        place: BUILD,
        name: "recipe",
        kind: Kind::Choice(&["rust", "python", "js", "go", "c"]),
        meaning: "Makes it from this language, with the language's usual tools. Either this or `command`.",
        example: "\"python\"",
        ..KEY
    },
    Key {
        place: BUILD,
        name: "command",
        kind: Kind::List(Form::Any),
        meaning: "Makes it with this program and these arguments; no shell. `{output}` among them, and `WATERTIGHT_OUTPUT` in the environment, are where the component is to be written. Either this or `recipe`.",
        example: "[\"make\", \"web.wasm\"]",
        ..KEY
    },
    Key {
        place: BUILD,
        name: "folder",
        kind: Kind::Text(Form::Path),
        default: Some("\".\""),
        meaning: "Where it is made, relative to the manifest. The paths below are relative to this folder.",
        example: "\"markdown\"",
        ..KEY
    },
    Key {
        place: BUILD,
        name: "inputs",
        kind: Kind::List(Form::Path),
        default: Some("[\".\"]"),
        meaning: "The files and folders it is made from: it is made anew only if one of them changes. Hidden files, `target`, `node_modules`, bytecode of Python and `.wasm` files are left out where a folder is named.",
        example: "[\"src\", \"Cargo.toml\"]",
        ..KEY
    },
    Key {
        place: BUILD,
        name: "output",
        kind: Kind::Text(Form::Path),
        meaning: "Only for `command`: the file that the command writes, if it writes one of its own choice. It is copied to `source`.",
        example: "\"target/web.wasm\"",
        ..KEY
    },
    Key {
        place: BUILD,
        name: "main",
        kind: Kind::Text(Form::Path),
        meaning: "Only for `recipe`: the file it begins with; the language's usual one if not given.",
        example: "\"app.py\"",
        ..KEY
    },
    Key {
        place: BUILD,
        name: "wit",
        kind: Kind::Text(Form::Path),
        default: Some("\"wit\""),
        meaning: "Only for `recipe`: the folder of its interfaces in WIT.",
        example: "\"../wit\"",
        ..KEY
    },
    Key {
        place: BUILD,
        name: "world",
        kind: Kind::Text(Form::Any),
        meaning: "Only for `recipe`: the world of that folder that it implements; not needed where there is one only.",
        example: "\"web\"",
        ..KEY
    },
];
