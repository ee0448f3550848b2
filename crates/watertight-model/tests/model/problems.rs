//! What is said of everything that can be wrong: one case for each, shown as a terminal shows it.

use std::collections::BTreeSet;

use watertight_model::{check, problem::Code};

use crate::apps::{self, rendered};

/// A name, a manifest, and the components it finds: see [`apps::bytes`].
type Case = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// An app with one component, for cases about something else.
macro_rules! web {
    ($rest:literal) => {
        concat!("[app]\nname = \"t\"\n\n[component.web]\nsource = \"web.wasm\"\n", $rest)
    };
}

const NOTHING: &[(&str, &str)] = &[("web", "")];
/// An interface with a function for each kind of policy.
macro_rules! api {
    () => {
        "api: interface {
            resource thing;
            variant failure { unavailable(string), gone }
            text: func(n: u32) -> result<u32, string>;
            choice: func(n: u32) -> result<u32, failure>;
            plain: func(n: u32) -> u32;
            nothing: func(n: u32);
            handles: func(i: borrow<thing>) -> u32;
        }"
    };
}

/// An app whose component `web` calls `lib` over `api`, and says of that edge what follows.
macro_rules! policy {
    ($lifetime:literal, $edge:literal) => {
        concat!(
            "[app]\nname = \"t\"\n[component.lib]\nsource = \"lib.wasm\"\nlifetime = \"",
            $lifetime,
            "\"\n[component.web]\nsource = \"web.wasm\"\nuses = [\"lib\"]\n[component.web.edge.api]\n",
            $edge
        )
    };
}

const POLICY: &[(&str, &str)] = &[
    ("web", concat!("import ", api!())),
    ("lib", concat!("export ", api!())),
    ("other", "export others: interface { get: func(); }"),
    (
        "odd",
        "export api: interface { resource thing; plain: func(n: u64) -> u32; handles: func(i: borrow<thing>) -> u32; }",
    ),
    ("fused", concat!("export ", api!())),
];
const HANDLER: &str = "export wasi:http/incoming-handler@0.2.12;";

const CASES: &[Case] = &[
    ("syntax", "[app]\nname = \"t\n\n[component.web]\nsource = \"web.wasm\"\nlifetime = \"forever\"\n", NOTHING),
    ("a_key_given_twice", web!("source = \"other.wasm\"\n"), NOTHING),
    ("empty_manifest", "", &[]),
    ("unknown_keys", web!("lifetme = \"call\"\nmemory = \"1MiB\"\nbanana = 1\n"), NOTHING),
    ("missing_keys", "[app]\n\n[component.web]\n\n[[trigger.http]]\nroute = \"/\"\n", NOTHING),
    (
        "values_of_another_type",
        web!(
            "uses = \"x\"\nlifetime = 3\ngrants = { env = [1], args = [1, 2.5], stdio = \"yes\", dirs = [1], http = 80 }\nbudget = 7\nedge = []\n"
        ),
        NOTHING,
    ),
    ("sections_of_another_type", "app = 1\ncomponent = 2\ntrigger = { http = { route = \"/\" } }\n", &[]),
    ("choices_that_do_not_exist", web!("lifetime = \"residnt\"\nwall = \"process\"\n"), NOTHING),
    (
        "names_that_cannot_be",
        "[app]\nname = \"My App\"\n[component.\"9 lives\"]\nsource = \"web.wasm\"\n",
        &[("9 lives", "")],
    ),
    (
        "versions_that_are_none",
        "[app]\nname = \"t\"\nversion = \"1\"\n[component.web]\nsource = \"web.wasm\"\n",
        NOTHING,
    ),
    (
        "builds_that_do_not_say_what_to_do",
        concat!(
            "[app]\nname = \"t\"\n[component.a]\nsource = \"web.wasm\"\nbuild = { folder = \"a\" }\n",
            "[component.b]\nsource = \"web.wasm\"\nbuild = { recipe = \"c\", command = [\"make\"], main = \"a.c\" }\n",
            "[component.c]\nsource = \"web.wasm\"\nbuild = { command = [] }\n",
            "[component.d]\nsource = \"x/web.wasm\"\nbuild = { folder = \"./x\", command = [\"make\"], output = \"web.wasm\" }\n",
            "[component.e]\nsource = \"web.wasm\"\nbuild = { recipe = \"pyton\", output = \"e.wasm\" }\n",
        ),
        &[("a", ""), ("b", ""), ("c", ""), ("d", ""), ("e", "")],
    ),
    ("sizes_that_cannot_be", web!("budget = { memory = \"1KiB\", log = 65536 }\n"), NOTHING),
    ("durations_that_cannot_be", web!("budget = { cpu = \"fast\", deadline = 5 }\n"), NOTHING),
    (
        "counts_that_cannot_be",
        web!("budget = { concurrency = 0, queue = -1, files = 99999999999, sockets = 1.5 }\n"),
        NOTHING,
    ),
    (
        "components_for_the_node_that_cannot_be_reached",
        concat!(
            "[app]\nname = \"t\"\n[component.lib]\nsource = \"lib.wasm\"\nlifetime = \"resident\"\nscope = \"node\"\n",
            "[component.keep]\nsource = \"keep.wasm\"\nlifetime = \"resident\"\n",
            "[component.brief]\nsource = \"keep.wasm\"\nscope = \"node\"\n",
            "[component.web]\nsource = \"web.wasm\"\nlifetime = \"resident\"\nscope = \"node\"\nuses = [\"lib\"]\n",
            "[group.both]\nmembers = [\"lib\", \"keep\"]\n",
            "[[trigger.http]]\nroute = \"/...\"\ncomponent = \"web\"\n"
        ),
        &[
            (
                "web",
                "export wasi:http/incoming-handler@0.2.12;
                 import api: interface {
                     use wasi:io/streams@0.2.12.{input-stream};
                     variant deep { no, yes(list<input-stream>) }
                     plain: func(n: u32) -> u32;
                     takes: func(d: deep);
                     gives: func() -> result<input-stream, string>;
                 }",
            ),
            (
                "lib",
                "export api: interface {
                     use wasi:io/streams@0.2.12.{input-stream};
                     variant deep { no, yes(list<input-stream>) }
                     plain: func(n: u32) -> u32;
                     takes: func(d: deep);
                     gives: func() -> result<input-stream, string>;
                 }",
            ),
            ("keep", ""),
            ("brief", ""),
        ],
    ),
    (
        "urls_that_are_no_origins",
        web!("grants.http = [\"https://a.example/path\", \"ftp://a.example\", \"https://me@a.example\"]\n"),
        NOTHING,
    ),
    (
        "addresses_that_are_none",
        web!("grants = { tcp = [\"db.internal:5432\", \"127.0.0.1\"], udp = [\"nonsense\"] }\n"),
        NOTHING,
    ),
    ("host_names_that_are_none", web!("grants.dns = [\"10.0.0.1\", \"*.internal\", \"a b\"]\n"), NOTHING),
    (
        "texts_that_cannot_be",
        web!("grants = { env = { \"A=B\" = \"x\", C = \"\\u0000\" }, args = [\"a\\u0000\"] }\n"),
        NOTHING,
    ),
    (
        "paths_that_cannot_be",
        "[app]\nname = \"t\"\n[component.web]\nsource = \"https://a.example/web.wasm\"\n[component.web.grants]\ndirs = [{ host = \"\", guest = \"content\" }, { host = \"content\", guest = \"/a/../b\" }]\n",
        NOTHING,
    ),
    (
        "guest_paths_that_overlap",
        web!(
            "grants.dirs = [{ host = \"content\", guest = \"/a\" }, { host = \"cache\", guest = \"/a/b\" }, { host = \"cache\", guest = \"/a/\" }]\n"
        ),
        NOTHING,
    ),
    (
        "folders_for_writing_in_one_another",
        web!(
            "grants.dirs = [{ host = \"content\", guest = \"/a\", mode = \"rw\" }, { host = \"./cache/../content/inner\", guest = \"/b\", mode = \"rw\" }, { host = \"content/\", guest = \"/c\", mode = \"rw\" }, { host = \"content/other\", guest = \"/d\" }]\n"
        ),
        NOTHING,
    ),
    (
        "limits_on_a_folder_that_is_only_read",
        web!("grants.dirs = [{ host = \"content\", guest = \"/a\", quota = \"1MiB\", files = 10 }]\n"),
        NOTHING,
    ),
    ("entries_twice", web!("grants = { dns = [\"a\", \"A\"] }\n"), NOTHING),
    (
        "routes_that_are_none",
        web!(
            "[[trigger.http]]\nroute = \"api\"\ncomponent = \"web\"\n[[trigger.http]]\nroute = \"/*\"\ncomponent = \"web\"\n"
        ),
        &[("web", HANDLER)],
    ),
    (
        "routes_twice",
        web!(
            "[[trigger.http]]\nroute = \"/...\"\ncomponent = \"web\"\n\n[[trigger.http]]\nroute = \"/...\"\ncomponent = \"web\"\n"
        ),
        &[("web", HANDLER)],
    ),
    ("no_components", "[app]\nname = \"t\"\n[component]\n", &[]),
    (
        "components_that_do_not_exist",
        web!(
            "uses = [\"wbe\", \"database\"]\n[component.web.edge.\"a:b/c\"]\nfrom = \"ghost\"\n[[trigger.http]]\nroute = \"/\"\ncomponent = \"weeb\"\n"
        ),
        NOTHING,
    ),
    (
        "files_that_are_missing",
        "[app]\nname = \"t\"\n[component.a]\nsource = \"wev.wasm\"\n[component.b]\nsource = \"b/c.wasm\"\n",
        &[],
    ),
    (
        "folders_that_are_missing",
        web!(
            "grants.dirs = [{ host = \"nowhere\", guest = \"/a\" }, { host = \"web.wasm\", guest = \"/b\" }, { host = \"locked\", guest = \"/c\" }]\n"
        ),
        NOTHING,
    ),
    (
        "files_that_are_no_components",
        "[app]\nname = \"t\"\n[component.empty]\nsource = \"a\"\n[component.text]\nsource = \"b\"\n[component.wit]\nsource = \"c\"\n[component.garbage]\nsource = \"d\"\n[component.core]\nsource = \"e\"\n[component.foreign]\nsource = \"f\"\n[component.short]\nsource = \"g\"\n[component.odd]\nsource = \"h\"\n",
        &[
            ("empty", "!"),
            ("text", "!(component)"),
            ("wit", "!package a:b;"),
            ("garbage", "!\u{7f}ELF"),
            ("core", "(module (func (export \"add\")))"),
            ("foreign", "(module (import \"env\" \"print\" (func)) (func (export \"_start\")))"),
            ("short", "!\0asm"),
            ("odd", "!\0asm\u{d}\0\u{1}\0\u{40}\u{1}"),
        ],
    ),
    (
        "imports_no_edge_can_carry",
        web!("uses = [\"lib\"]\n[component.lib]\nsource = \"lib.wasm\"\n"),
        &[
            (
                "web",
                "(component (import \"code\" (core module)) (import \"nested\" (instance (export \"in\" (instance)))) (import \"r\" (type (sub resource))))",
            ),
            (
                "lib",
                "(component (instance $in) (instance $out (export \"in\" (instance $in))) (export \"nested\" (instance $out)))",
            ),
        ],
    ),
    (
        "imports_nobody_satisfies",
        "[app]\nname = \"t\"\n[component.a]\nsource = \"a.wasm\"\nuses = [\"c\"]\n[component.b]\nsource = \"b.wasm\"\n[component.c]\nsource = \"c.wasm\"\n[component.d]\nsource = \"d.wasm\"\n[component.e]\nsource = \"e.wasm\"\n[component.f]\nsource = \"f.wasm\"\n[component.f.edge.log]\nfrom = \"c\"\n[component.g]\nsource = \"g.wasm\"\nuses = [\"c\"]\n[component.g.edge.log]\nfrom = \"c\"\n[component.h]\nsource = \"h.wasm\"\n",
        &[
            ("a", "import press:text/markdown@0.1.0; import press:code/highlight@0.1.2;"),
            ("b", "export press:text/markdown@0.1.0;"),
            ("c", "export press:code/highlight@0.1.2;"),
            ("d", "import wasi:keyvalue/store@0.2.0;"),
            (
                "e",
                "(component (import \"wasi:http/types@0.1.0\" (instance (export \"f\" (func)))) (import \"press:text/markdwn@0.1.0\" (instance (export \"f\" (func)))))",
            ),
            ("f", "import log: func(line: string);"),
            ("g", "import log: func(line: string);"),
            ("h", "(component (import \"press:text/markdown@0.2.0\" (instance (export \"f\" (func)))))"),
        ],
    ),
    (
        "imports_two_satisfy",
        "[app]\nname = \"t\"\n[component.web]\nsource = \"web.wasm\"\nuses = [\"one\", \"two\", \"six\"]\n[component.one]\nsource = \"a\"\n[component.two]\nsource = \"b\"\n[component.six]\nsource = \"b\"\n",
        &[
            ("web", "import press:code/highlight@0.1.2; import log: func(line: string);"),
            ("one", "export press:code/highlight@0.1.2; export log: func(line: string);"),
            ("two", "export press:code/highlight@0.1.2; export log: func(line: string);"),
            ("six", "export log: func(line: string);"),
        ],
    ),
    (
        "types_that_differ",
        "[app]\nname = \"t\"\n[component.web]\nsource = \"web.wasm\"\nuses = [\"lib\"]\n[component.lib]\nsource = \"lib.wasm\"\n",
        &[
            (
                "web",
                "import mine: interface {
                    record options { depth: u8, links: bool }
                    record page { title: string, body: list<u8> }
                    enum tone { warm, cold }
                    fields: func(how: options) -> string;
                    order: func(how: tone);
                    deep: func(pages: list<tuple<u32, page>>) -> result<u32, string>;
                    names: func(text: string);
                    arity: func(a: u32, b: u32);
                    nothing: func() -> u32;
                    gone: func(page: page);
                    maybe: func(x: option<u32>) -> result<u32>;
                    missing: func();
                 }
                 import shape: func();",
            ),
            (
                "lib",
                "export mine: interface {
                    record options { depth: u8, images: bool }
                    record page { title: string, body: list<u16> }
                    enum tone { cold, warm }
                    fields: func(how: options) -> string;
                    order: func(how: tone);
                    deep: func(pages: list<tuple<u32, page>>) -> result<u32, string>;
                    names: func(txt: string);
                    arity: func(a: u32);
                    nothing: func();
                    gone: func(page: string);
                    maybe: func(x: option<u32>) -> result<u32, string>;
                 }
                 export shape: interface { f: func(); }",
            ),
        ],
    ),
    (
        "functions_of_which_one_is_async",
        "[app]\nname = \"t\"\n[component.web]\nsource = \"web.wasm\"\nuses = [\"lib\"]\n[component.lib]\nsource = \"lib.wasm\"\n",
        &[("web", "import f: func() -> u32;"), ("lib", "export f: async func() -> u32;")],
    ),
    (
        "resources_that_are_not_the_same",
        "[app]\nname = \"t\"\n[component.web]\nsource = \"web.wasm\"\nuses = [\"one\", \"user\"]\n[component.user]\nsource = \"user.wasm\"\nuses = [\"two\"]\n[component.one]\nsource = \"one.wasm\"\n[component.two]\nsource = \"two.wasm\"\n",
        &[
            ("web", "import test:things/counters; import test:things/users;"),
            ("user", "import test:things/counters; export test:things/users;"),
            ("one", "export test:things/counters;"),
            ("two", "export test:things/counters;"),
        ],
    ),
    (
        "circles",
        "[app]\nname = \"t\"\n[component.a]\nsource = \"a.wasm\"\nuses = [\"b\"]\n[component.b]\nsource = \"b.wasm\"\nuses = [\"c\"]\n[component.c]\nsource = \"c.wasm\"\nuses = [\"a\"]\n[component.self]\nsource = \"self.wasm\"\nuses = [\"self\"]\n",
        &[
            ("a", "import fb: func(); export fa: func();"),
            ("b", "import fc: func(); export fb: func();"),
            ("c", "import fa: func(); export fc: func();"),
            ("self", ""),
        ],
    ),
    (
        "uses_that_meet_nothing",
        web!("uses = [\"lib\"]\n[component.lib]\nsource = \"lib.wasm\"\n"),
        &[("web", ""), ("lib", "export log: func(line: string);")],
    ),
    (
        "edges_that_are_no_imports",
        web!(
            "uses = [\"lib\"]\n[component.web.edge.\"press:code/highlite\"]\nfrom = \"lib\"\n[component.web.edge.\"press:code/highlight\"]\nfrom = \"lib\"\n[component.web.edge.\"press:code/highlight@0.1.2\"]\nfrom = \"lib\"\n[component.lib]\nsource = \"lib.wasm\"\n[component.lib.edge.nothing]\n"
        ),
        &[("web", "import press:code/highlight@0.1.2;"), ("lib", "export press:code/highlight@0.1.2;")],
    ),
    (
        "edges_of_which_version",
        web!(
            "uses = [\"lib\"]\n[component.web.edge.\"a:b/c\"]\ndeadline = \"1s\"\n[component.lib]\nsource = \"lib.wasm\"\n"
        ),
        &[
            (
                "web",
                "(component (import \"a:b/c@1.0.0\" (instance (export \"f\" (func)))) (import \"a:b/c@2.0.0\" (instance (export \"f\" (func)))))",
            ),
            (
                "lib",
                "(component (import \"f\" (func $f)) (instance $i (export \"f\" (func $f))) (export \"a:b/c@1.0.0\" (instance $i)) (export \"a:b/c@2.0.0\" (instance $i)))",
            ),
        ],
    ),
    (
        "settings_without_effect",
        web!(
            "uses = [\"lib\"]\n[component.web.edge.\"wasi:cli/environment\"]\ndeadline = \"1s\"\n[component.web.edge.log]\ndeadline = \"1m\"\n[component.lib]\nsource = \"lib.wasm\"\n"
        ),
        &[
            ("web", "import wasi:cli/environment@0.2.12; import log: func(line: string);"),
            ("lib", "export log: func(line: string);"),
        ],
    ),
    (
        "triggers_without_a_handler",
        web!(
            "[component.cmd]\nsource = \"cmd.wasm\"\n[[trigger.http]]\nroute = \"/...\"\ncomponent = \"web\"\n[[trigger.http]]\nroute = \"/cmd\"\ncomponent = \"cmd\"\n"
        ),
        &[("web", "export wasi:cli/run@0.2.12;"), ("cmd", "(module (func (export \"_start\")))")],
    ),
    (
        "routes_that_call_what_there_is_not",
        web!(
            "[component.things]\nsource = \"things.wasm\"\n\
             [[trigger.http]]\nroute = \"/a\"\ncomponent = \"web\"\nexports = [\"press:text/markdwn\", \"wasi:cli/run\"]\n\
             [[trigger.http]]\nroute = \"/b/...\"\ncomponent = \"web\"\nexports = []\n\
             [[trigger.http]]\nroute = \"/c/...\"\ncomponent = \"things\"\nexports = [\"test:things/counters\", \"nothing\"]\n"
        ),
        &[
            ("web", "export press:text/markdown@0.1.0; export wasi:cli/run@0.2.12;"),
            ("things", "export test:things/counters;"),
        ],
    ),
    (
        "lifetimes_too_short",
        "[app]\nname = \"t\"\n[component.counters]\nsource = \"a\"\nlifetime = \"call\"\n[component.streams]\nsource = \"b\"\nlifetime = \"call\"\n",
        &[("counters", "export test:things/counters;"), ("streams", "export lines: async func() -> stream<u8>;")],
    ),
    (
        "fused_with_its_own_settings",
        "[app]\nname = \"t\"\n[component.web]\nsource = \"web.wasm\"\nuses = [\"lib\"]\n[component.web.edge.fb]\ndeadline = \"1s\"\n[component.lib]\nsource = \"lib.wasm\"\nwall = \"fused\"\nlifetime = \"resident\"\ngrants = { stdio = true }\nbudget = { memory = \"1MiB\" }\nuses = [\"deep\"]\n[component.lib.edge.fc]\ndeadline = \"1s\"\n[component.deep]\nsource = \"deep.wasm\"\n",
        &[
            ("web", "import fb: func();"),
            ("lib", "import fc: func(); export fb: func();"),
            ("deep", "export fc: func();"),
        ],
    ),
    (
        "fused_with_a_route",
        web!("wall = \"fused\"\n[[trigger.http]]\nroute = \"/...\"\ncomponent = \"web\"\n"),
        &[("web", HANDLER)],
    ),
    (
        "fused_with_other_providers",
        "[app]\nname = \"t\"\n[component.web]\nsource = \"web.wasm\"\nuses = [\"lib\", \"one\"]\n[component.lib]\nsource = \"lib.wasm\"\nwall = \"fused\"\nuses = [\"two\"]\n[component.one]\nsource = \"one.wasm\"\n[component.two]\nsource = \"two.wasm\"\n",
        &[
            ("web", "import fb: func(); import log: func(line: string);"),
            ("lib", "import log: func(line: string); export fb: func();"),
            ("one", "export log: func(line: string);"),
            ("two", "export log: func(line: string);"),
        ],
    ),
    (
        "residents_keys_of_others",
        web!(
            "instances = 2\nrestart = \"transient\"\nintensity = { max = 1 }\nbackoff = { first = \"1s\" }\nrecycle = { calls = 1 }\n"
        ),
        NOTHING,
    ),
    (
        "groups_that_cannot_be",
        "[app]\nname = \"t\"\nintensity = { max = 1 }\nrest = \"1m\"\n[component.web]\nsource = \"web.wasm\"\n[component.db]\nsource = \"db.wasm\"\nlifetime = \"resident\"\nrecycle = { memory = \"1GiB\" }\n[group.Store]\nmembers = [\"db\", \"web\", \"cach\"]\nstrategy = \"one-for-al\"\n[group.cache]\nmembers = [\"db\", \"db\"]\n[group.web]\nmembers = []\n[group.none]\n",
        &[("web", ""), ("db", "")],
    ),
    (
        "groups_in_a_circle",
        "[app]\nname = \"t\"\n[component.web]\nsource = \"web.wasm\"\n[group.a]\nmembers = [\"b\"]\n[group.b]\nmembers = [\"c\"]\n[group.c]\nmembers = [\"a\"]\n[group.self]\nmembers = [\"self\"]\n",
        NOTHING,
    ),
    (
        "policies_that_cannot_be",
        policy!(
            "request",
            "deadline = \"1h\"\non-failure = \"error\"\nretry = { attempts = 2 }\nqueue = 3\n\
             function.txt = { deadline = \"1ms\" }\nidempotent = [\"chioce\"]\n\
             function.plain = { on-failure = { return = 'err(1)' }, retry = { attempts = 1 } }\n\
             function.nothing.on-failure = { return = '1' }\nfunction.text.on-failure = { return = 'err(' }\n\
             function.handles.on-failure = \"trap\"\n"
        ),
        POLICY,
    ),
    (
        "policies_with_numbers_that_cannot_be",
        policy!(
            "request",
            "on-failure = \"pass\"\nretry = { attempts = 0, backoff = \"10s\" }\nconcurrency = 0\nqueue = -1\n\
             breaker = { ratio = 0, calls = 0, within = \"0s\", open-for = 5 }\n\
             function.text = { on-failure = {}, retry = { backoff = \"1ms\" } }\n\
             function.plain = { on-failure = { return = 1 }, retry = { attempts = 11 } }\n\
             function.choice.retry = { attempts = 1, backoff = \"5s\" }\n"
        ),
        POLICY,
    ),
    (
        "routes_with_half_a_limit",
        web!(
            "[[trigger.http]]\nroute = \"/a\"\ncomponent = \"web\"\nqueue = 3\n[[trigger.http]]\nroute = \"/b\"\ncomponent = \"web\"\nconcurrency = 0\n"
        ),
        &[("web", HANDLER)],
    ),
    (
        "breakers_without_meaning",
        "[app]\nname = \"t\"\n[component.web]\nsource = \"web.wasm\"\n[component.web.edge]\na = { breaker = {} }\n\
         b = { breaker = { failures = 1, ratio = 0.5 } }\nc = { breaker = { failures = 1, calls = 5 } }\n\
         d = { breaker = { ratio = 1.5 } }\ne = { breaker = { ratio = \"half\" } }\nf = { breaker = { failures = 5000 } }\n",
        NOTHING,
    ),
    (
        "fallbacks_that_cannot_stand_in",
        policy!(
            "request",
            "on-failure = { fallback = \"lib\" }\nretry = { attempts = 1 }\nidempotent = [\"text\", \"handles\"]\n\
             function.text.on-failure = { fallback = \"other\" }\nfunction.plain.on-failure = { fallback = \"odd\" }\n\
             function.nothing.on-failure = { fallback = \"fused\" }\nfunction.choice.on-failure = { fallback = \"nobody\" }\n\
             function.handles = { on-failure = { fallback = \"odd\" }, retry = { attempts = 1 } }\n\
             [component.other]\nsource = \"other.wasm\"\n[component.odd]\nsource = \"odd.wasm\"\n\
             [component.fused]\nsource = \"fused.wasm\"\nwall = \"fused\"\n"
        ),
        POLICY,
    ),
    (
        "fallbacks_in_a_circle",
        "[app]\nname = \"t\"\n[component.web]\nsource = \"web.wasm\"\nuses = [\"lib\"]\n[component.web.edge.api]\n\
         on-failure = { fallback = \"lite\" }\n[component.lib]\nsource = \"lib.wasm\"\n[component.lite]\nsource = \"lite.wasm\"\nuses = [\"web\"]\n",
        &[
            ("web", "import api: interface { get: func(); } export mine: interface { get: func(); }"),
            ("lib", "export api: interface { get: func(); }"),
            ("lite", "import mine: interface { get: func(); } export api: interface { get: func(); }"),
        ],
    ),
    (
        "policies_without_effect",
        "[app]\nname = \"t\"\n[component.web]\nsource = \"web.wasm\"\nuses = [\"lib\", \"other\"]\n\
         [component.web.edge]\n\"wasi:cli/environment\" = { on-failure = \"trap\", retry = { attempts = 1 }, concurrency = 3 }\n\
         api = { breaker = { failures = 3 }, function.get.on-failure = { return = '' } }\n\
         more = { idempotent = [\"get\"] }\n\
         [component.lib]\nsource = \"lib.wasm\"\nwall = \"fused\"\n[component.lib.edge.more]\nconcurrency = 1\n\
         [component.other]\nsource = \"other.wasm\"\n",
        &[
            (
                "web",
                "import wasi:cli/environment@0.2.12; import api: interface { get: func(); } import more: interface { get: func(); }",
            ),
            ("lib", "export api: interface { get: func(); }"),
            ("other", "export more: interface { get: func(); }"),
        ],
    ),
    (
        "ten_problems_at_once",
        r#"[app]
name = "Press"
version = "one"

[component.web]
source = "web.wasm"
lifetime = "requests"
uses = ["markdwn"]
grants = { http = ["api.example.com"], dirs = [{ host = "content", guest = "content" }] }
budget = { memory = "64mb", cpu = "200" }
colour = "red"

[component.markdown]
source = "markdwn.wasm"

[[trigger.http]]
route = "/.../x"
component = "web"
"#,
        NOTHING,
    ),
];

#[test]
fn every_problem_says_what_is_wrong_where_and_what_to_do() {
    for (name, manifest, components) in CASES {
        let (app, problems) = apps::check(manifest, components);
        assert!(!problems.is_empty(), "{name} is wrong");
        assert_eq!(app.is_none(), problems.iter().any(watertight_model::problem::Problem::is_error), "{name}");
        for problem in &problems {
            assert!(problem.next_step().is_some(), "{name}: `{problem}` names no next step");
            assert!(problem.place().is_some(), "{name}: `{problem}` names no place");
        }
        insta::assert_snapshot!(*name, rendered(&problems));
    }
}

#[test]
fn every_kind_of_problem_has_a_case() {
    let seen: BTreeSet<Code> = CASES
        .iter()
        .flat_map(|(_, manifest, components)| apps::check(manifest, components).1)
        .map(|problem| problem.code())
        .chain(crate::fault::codes())
        .chain(crate::drill::codes())
        // Of sound apps, in `policies`; of scripts, where runtimes are: `a_script_without_a_runtime_says_how_to_get_one`.
        .chain([Code::OnlyTrap, Code::NoRuntime])
        .collect();
    let unseen: Vec<_> = Code::ALL.iter().filter(|code| !seen.contains(code)).map(|code| code.name()).collect();
    assert!(unseen.is_empty(), "no case for {unseen:?}");
}

#[test]
fn ten_problems_are_ten_problems_in_one_pass() {
    let (_, manifest, components) = CASES.last().expect("it is the last case");
    let (_, problems) = apps::check(manifest, components);
    let codes: Vec<_> = problems.iter().map(|problem| problem.code().name()).collect();
    assert_eq!(
        codes,
        [
            "bad-name",
            "bad-version",
            "unknown-choice",
            "unknown-component",
            "bad-url",
            "bad-path",
            "bad-size",
            "bad-duration",
            "unknown-key",
            "missing-file",
            "bad-route",
        ]
    );
}

#[test]
fn problems_are_objects_for_machines() {
    let (_, problems) = apps::check(web!("lifetme = \"call\"\n"), NOTHING);
    let json = serde_json::to_value(&problems).expect("problems serialise");
    assert_eq!(
        json,
        serde_json::json!([{
            "code": "unknown-key",
            "severity": "error",
            "file": "watertight.toml",
            "line": 6,
            "column": 1,
            "message": "unknown key `lifetme` in a component",
            "help": "did you mean `lifetime`?",
        }])
    );
}

#[test]
fn a_single_file_is_an_app_of_one_component_with_defaults() {
    let single = |file: &str, source: &str| {
        check::single(file.as_ref(), Ok(apps::bytes(source).into()), None, &check::HostInterfaces::wasi())
    };
    let (app, problems) = single("build/My-Site.wasm", HANDLER);
    assert!(problems.is_empty(), "{}", rendered(&problems));
    let app = app.expect("it is sound");
    assert_eq!((app.name.as_str(), app.http[0].route.as_str()), ("my-site", "/..."));
    assert!(app.components[0].grants.stdio);

    let (app, _) = single("9.wasm", "(module (func (export \"_start\")))");
    let app = app.expect("a command is sound");
    assert_eq!((app.name.as_str(), app.http.len()), ("app", 0));
    assert_eq!(app.components[0].kind, watertight_model::app::SourceKind::CommandModule);

    let (app, problems) = single("lib.wasm", "import press:code/highlight@0.1.2;");
    assert!(app.is_none());
    insta::assert_snapshot!("a_single_file_with_a_problem", rendered(&problems));
}
