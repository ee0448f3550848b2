//! The keys of what a component may reach and what it may spend.

use super::{BUDGET, DIRS, Form, GRANTS, KEY, Key, Kind};

/// Each with its default.
pub(super) const KEYS: &[Key] = &[
    Key {
        place: GRANTS,
        name: "env",
        kind: Kind::Texts,
        default: Some("{}"),
        meaning: "Environment variables the guest sees; the host's own are never visible.",
        exceeded: "The variable is not there.",
        example: "{ THEME = \"dark\" }",
        ..KEY
    },
    Key {
        place: GRANTS,
        name: "args",
        kind: Kind::List(Form::Any),
        default: Some("[]"),
        meaning: "Arguments the guest sees, after its own name.",
        example: "[\"--verbose\"]",
        ..KEY
    },
    Key {
        place: GRANTS,
        name: "http",
        kind: Kind::List(Form::Origin),
        default: Some("[]"),
        meaning: "Origins that outbound HTTP requests may go to: scheme, host and port; `*.` in front stands for any sub-domain.",
        exceeded: "The request fails with `HTTP-request-denied`.",
        example: "[\"https://api.example.com\"]",
        ..KEY
    },
    Key {
        place: GRANTS,
        name: "tcp",
        kind: Kind::List(Form::Address),
        default: Some("[]"),
        meaning: "Addresses that TCP sockets may connect to or listen on; `*` stands for any port.",
        exceeded: "The socket fails with `access-denied`.",
        example: "[\"127.0.0.1:5432\"]",
        ..KEY
    },
    Key {
        place: GRANTS,
        name: "udp",
        kind: Kind::List(Form::Address),
        default: Some("[]"),
        meaning: "Addresses that UDP sockets may talk to or bind; `*` stands for any port.",
        exceeded: "The socket fails with `access-denied`.",
        example: "[\"[::1]:53\"]",
        ..KEY
    },
    Key {
        place: GRANTS,
        name: "dns",
        kind: Kind::List(Form::Host),
        default: Some("[]"),
        meaning: "Host names that may be looked up.",
        exceeded: "The lookup fails with `access-denied`.",
        example: "[\"db.internal\"]",
        ..KEY
    },
    Key {
        place: GRANTS,
        name: "dirs",
        kind: Kind::Tables(DIRS),
        default: Some("[]"),
        meaning: "Folders of the host that the guest sees.",
        exceeded: "The path does not exist for the guest.",
        example: "[{ host = \"content\", guest = \"/content\", mode = \"ro\" }]",
        ..KEY
    },
    Key {
        place: GRANTS,
        name: "stdio",
        kind: Kind::Flag,
        default: Some("false"),
        meaning: "Whether the guest's stdout and stderr reach the log, and stdin the terminal under `run`.",
        exceeded: "Output goes nowhere, input is empty.",
        example: "true",
        ..KEY
    },
    Key {
        place: DIRS,
        name: "host",
        kind: Kind::Text(Form::Path),
        required: true,
        meaning: "The folder, relative to the manifest.",
        example: "\"content\"",
        ..KEY
    },
    Key {
        place: DIRS,
        name: "guest",
        kind: Kind::Text(Form::GuestPath),
        required: true,
        meaning: "The path the guest sees. Guest paths must not overlap.",
        example: "\"/content\"",
        ..KEY
    },
    Key {
        place: DIRS,
        name: "mode",
        kind: Kind::Choice(&["ro", "rw"]),
        default: Some("\"ro\""),
        meaning: "Read only, or read and write.",
        exceeded: "Writing fails with `not-permitted`.",
        example: "\"rw\"",
        ..KEY
    },
    Key {
        place: DIRS,
        name: "quota",
        kind: Kind::Text(Form::Size),
        default: Some("\"100MiB\""),
        meaning: "What may lie in a folder granted `rw`, whoever put it there; holes in files count, and each file in steps of 4KiB.",
        exceeded: "What would make it more fails with `quota`.",
        example: "\"1GiB\"",
        ..KEY
    },
    Key {
        place: DIRS,
        name: "files",
        kind: Kind::Count(0, 16_777_216),
        default: Some("10000"),
        meaning: "Files, folders and links that may lie in a folder granted `rw`, whoever put them there.",
        exceeded: "Making one more fails with `quota`.",
        example: "500",
        ..KEY
    },
    Key {
        place: BUDGET,
        name: "memory",
        kind: Kind::Text(Form::Size),
        default: Some("\"64MiB\""),
        meaning: "Linear memories, tables and GC heap of one cell, and what the host keeps for it, summed.",
        exceeded: "Growing fails, and so does what would have the host keep more ([which](budgets.md#memory)); a cell that cannot start within it, or breaks off for want of it, fails.",
        example: "\"16MiB\"",
        ..KEY
    },
    Key {
        place: BUDGET,
        name: "cpu",
        kind: Kind::Text(Form::Duration),
        default: Some("\"500ms\""),
        meaning: "Time spent running guest code, for one cell in one call tree.",
        exceeded: "The cell is thrown out and its caller told.",
        example: "\"200ms\"",
        ..KEY
    },
    Key {
        place: BUDGET,
        name: "slice",
        kind: Kind::Text(Form::Duration),
        default: Some("\"10ms\""),
        meaning: "Cpu at the pace of everybody else: for one cell in one call tree, and for a whole call tree that begins with it.",
        exceeded: "The request goes on at lower priority, with what the others leave.",
        example: "\"50ms\"",
        ..KEY
    },
    Key {
        place: BUDGET,
        name: "deadline",
        kind: Kind::Text(Form::Duration),
        default: Some("\"5s\""),
        meaning: "Time on the clock for one call, from admission to answer. A caller's remaining time cuts it shorter.",
        exceeded: "The cell is thrown out and its caller told.",
        example: "\"2s\"",
        ..KEY
    },
    Key {
        place: BUDGET,
        name: "concurrency",
        kind: Kind::Count(1, 65_536),
        default: Some("256"),
        meaning: "Cells that run a call at once, in each worker.",
        exceeded: "Calls wait in the queue.",
        example: "16",
        ..KEY
    },
    Key {
        place: BUDGET,
        name: "queue",
        kind: Kind::Count(0, 1_048_576),
        default: Some("1024"),
        meaning: "Calls that may wait for one of those, in each worker.",
        exceeded: "The call fails at once; an HTTP request is answered 503 with Retry-After.",
        example: "64",
        ..KEY
    },
    Key {
        place: BUDGET,
        name: "log",
        kind: Kind::Text(Form::Size),
        default: Some("\"1MiB\""),
        meaning: "Bytes that one cell may write to stdout, stderr and logs.",
        exceeded: "The rest is dropped; one line says so.",
        example: "\"64KiB\"",
        ..KEY
    },
    Key {
        place: BUDGET,
        name: "files",
        kind: Kind::Count(0, 65_536),
        default: Some("64"),
        meaning: "Files and folders that one cell may hold open.",
        exceeded: "Opening fails with `quota`.",
        example: "16",
        ..KEY
    },
    Key {
        place: BUDGET,
        name: "sockets",
        kind: Kind::Count(0, 65_536),
        default: Some("16"),
        meaning: "Sockets that one cell may hold open.",
        exceeded: "Opening fails with `new-socket-limit`.",
        example: "4",
        ..KEY
    },
    Key {
        place: BUDGET,
        name: "requests",
        kind: Kind::Count(0, 65_536),
        default: Some("16"),
        meaning: "Outbound HTTP requests that one cell may have in flight, until their answers are read or dropped.",
        exceeded: "The request fails with `connection-limit-reached`.",
        example: "4",
        ..KEY
    },
];
