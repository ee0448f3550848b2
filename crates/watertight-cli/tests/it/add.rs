//! `watertight add` and `watertight bindings`, on components of several languages that call each other.

use std::fs;

use crate::{
    files::AppFolder,
    program::{Ended, ended, watertight},
};

const MANIFEST: &str = r#"# a shop
[app]
name = "shop"

[component.web] # the front
source = "web.wasm"
build = { recipe = "c", folder = "web" }

[component.prices]
source = "prices.wasm"
build = { recipe = "c", folder = "prices" }
"#;

const WEB: &str =
    "package shop:web;\n\n// world web {\nworld web {\n  // what it offers\n  export run: func() -> string;\n}\n";
const PRICES: &str = "package shop:prices@1.0.0;\n\ninterface money { record amount { cents: u64 } }\n\
     interface prices { use money.{amount}; of: func(thing: string) -> amount; }\nworld stock { export prices; }\n";

fn app() -> AppFolder {
    let app = AppFolder::new(MANIFEST, &[]);
    for folder in ["web/wit", "prices/wit"] {
        fs::create_dir_all(app.path().join(folder)).expect("the folder is ours");
    }
    app.write("web/wit/world.wit", WEB);
    app.write("prices/wit/world.wit", PRICES);
    app.write(
        "web/main.c",
        "#include \"web.h\"\n#include <stdio.h>\nvoid exports_web_run(web_string_t *ret) {\n  shop_prices_money_amount_t amount;\n\
         web_string_t thing;\n  web_string_set(&thing, \"hat\");\n  shop_prices_prices_of(&thing, &amount);\n  char text[64];\n\
         snprintf(text, sizeof text, \"a hat is %llu\", (unsigned long long)amount.cents);\n  web_string_dup(ret, text);\n}\n",
    );
    app.write(
        "prices/main.c",
        "#include \"stock.h\"\nvoid exports_shop_prices_prices_of(stock_string_t *thing, exports_shop_prices_prices_amount_t *ret) {\n\
         ret->cents = thing->len * 100;\n  stock_string_free(thing);\n}\n",
    );
    app
}

fn run(app: &AppFolder, args: &[&str]) -> Ended {
    ended(watertight(args).current_dir(app.path()))
}

fn read(app: &AppFolder, name: &str) -> String {
    fs::read_to_string(app.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn an_import_is_added_once_and_then_built_bound_and_called() {
    let app = app();
    let added = run(&app, &["add", "prices", "--to", "web"]);
    assert_eq!(added.code, Some(0), "{added:?}");
    assert!(added.stdout.contains("web imports shop:prices/prices@1.0.0\nweb uses prices\n"), "{added:?}");
    let world = WEB.replace("\nworld web {", "\nworld web {\n  import shop:prices/prices@1.0.0;");
    assert_eq!(read(&app, "web/wit/world.wit"), world);
    assert!(read(&app, "web/wit/deps/shop-prices-1.0.0.wit").contains("record amount"));
    let changed = MANIFEST.replace("folder = \"web\" }\n", "folder = \"web\" }\nuses = [\"prices\"]\n");
    assert_eq!(read(&app, "watertight.toml"), changed);
    let again = run(&app, &["add", "prices", "--to", "web"]);
    assert_eq!(again.stdout, "web has it already: nothing was changed\n", "{again:?}");

    let bound = run(&app, &["bindings", "--component", "web"]);
    assert_eq!(bound.code, Some(0), "{bound:?}");
    assert!(read(&app, "web/bindings/web.h").contains("shop_prices_prices_of"));
    assert_eq!(run(&app, &["bindings"]).code, Some(0), "in the place of those before");
    let built = run(&app, &["build"]);
    assert_eq!(built.code, Some(0), "{built:?}");
    let called = run(&app, &["run", ".", "--component", "web", "--invoke", "run()"]);
    assert_eq!(called.stdout, "\"a hat is 300\"\n", "{called:?}");
}

const SHOP: &str = "package shop:app;\n\ninterface types {\n  /// What it costs.\n  record price { cents: u64, note: option<string> }\n  flags kinds { new-ones, old-ones }\n}\n\n\
    /// What there is.\ninterface stock {\n  use types.{price, kinds};\n  resource shelf { constructor(size: u32); take: func(thing: string) -> result<price, string>; many: static func() -> list<shelf>; }\n  \
    /// Counts.\n  count: func(kinds: kinds, at: option<u32>) -> u64;\n}\n\nworld shop {\n  import stock;\n  import log: func(line: string);\n  export stock;\n}\n";

#[test]
fn rust_and_javascript_have_bindings_to_read() {
    let manifest = "[app]\nname = \"shop\"\n[component.crab]\nsource = \"crab.wasm\"\nbuild = { recipe = \"rust\" }\n\
                    [component.script]\nsource = \"script.wasm\"\nbuild = { recipe = \"js\", folder = \"js\" }\n";
    let app = AppFolder::new(manifest, &[]);
    for folder in ["wit", "js/wit"] {
        fs::create_dir_all(app.path().join(folder)).expect("the folder is ours");
        app.write(&format!("{folder}/world.wit"), SHOP);
    }
    let bound = run(&app, &["bindings"]);
    assert_eq!(
        (bound.code, bound.stdout.as_str()),
        (Some(0), "crab: ././bindings\nscript: ./js/bindings\n"),
        "{bound:?}"
    );
    let rust = read(&app, "bindings/shop.rs");
    assert!(rust.contains("pub struct Price {") && rust.contains("trait Guest"), "{rust}");
    let js = read(&app, "js/bindings/shop.d.ts");
    for said in [
        "declare module \"shop:app/stock\" {\n",
        "  export type Price = import(\"shop:app/types\").Price;\n",
        "  export interface Price {\n    cents: bigint;\n    note?: string | undefined;\n  }\n",
        "  export type Kinds = { newOnes?: boolean; oldOnes?: boolean };\n",
        "  export class Shelf {\n    constructor(size: number);\n",
        "    take(thing: string): Price;\n    static many(): Array<Shelf>;\n",
        "  /** Counts. */\n  export function count(kinds: Kinds, at?: number | undefined): bigint;\n",
        "declare module \"log\" {\n  export default function log(line: string): void;\n",
        "// Exported: /** @type {typeof import(\"shop:app/stock\")} */ export const stock = { … };\n",
    ] {
        assert!(js.contains(said), "{said} in {js}");
    }
}

#[test]
fn what_a_script_may_import_is_declared_beside_it() {
    let manifest = "[app]\nname = \"app\"\n[component.web]\nsource = \"site/web.mjs\"\nuses = [\"types\"]\n\
                    [component.types]\nsource = \"types.wasm\"\n[component.alone]\nsource = \"alone.mjs\"\n";
    let app = AppFolder::new(manifest, &["types"]);
    fs::create_dir(app.path().join("site")).expect("the folder is ours");
    for script in ["site/web.mjs", "alone.mjs"] {
        app.write(script, "export default { fetch: () => new Response('') };\n");
    }
    let bound = run(&app, &["bindings"]);
    let said = "alone: none: no component in its `uses` exports anything to import\nweb: ./site/bindings\n";
    assert_eq!((bound.code, bound.stdout.as_str()), (Some(0), said), "{bound:?}");
    let js = read(&app, "site/bindings/web.d.ts");
    for said in [
        "declare module \"watertight:test/types\" {\n",
        "  export function u64s(v: bigint): bigint;\n",
        "  export function options(v?: number | null): number | null;\n",
        "  export type Few = Array<\"a\" | \"b\" | \"c\">;\n",
        "  /** @throws {string} as `payload` */\n  export function results(",
    ] {
        assert!(js.contains(said), "{said} in {js}");
    }
    let unknown = run(&app, &["bindings", "--component", "types"]);
    assert!(unknown.code == Some(2) && unknown.stderr.contains("none of its components has one"), "{unknown:?}");
    let nothing = run(&app, &["bindings", "--esm"]);
    assert_eq!(nothing.code, Some(65), "{nothing:?}");
    assert!(nothing.stderr.contains("component = \"types\"\nexports = [\"watertight:test/types\"]"), "{nothing:?}");
    app.write("client", "mine");
    let manifest = format!(
        "{manifest}[[trigger.http]]\nroute = \"/rpc/...\"\ncomponent = \"types\"\nexports = [\"watertight:test/types\"]\n"
    );
    app.write("watertight.toml", manifest);
    fs::create_dir(app.path().join("mine")).expect("the folder is ours");
    app.write("mine/package.json", "{}");
    let other = run(&app, &["bindings", "--esm", "-o", "mine"]);
    assert!(
        other.code == Some(2) && other.stderr.contains("mine/package.json is not one that this command wrote"),
        "{other:?}"
    );
    assert_eq!(run(&app, &["bindings", "--esm", "-o", "made"]).code, Some(0));
    assert_eq!(run(&app, &["bindings", "--esm", "-o", "made"]).code, Some(0), "in the place of those before");
}

#[test]
fn components_and_interfaces_from_elsewhere_are_added_too() {
    let app = app();
    assert_eq!(run(&app, &["build", "--component", "prices"]).code, Some(0));
    let manifest = MANIFEST.split("\n[component.prices]").next().expect("it begins somehow");
    app.write("watertight.toml", manifest);
    fs::rename(app.path().join("prices.wasm"), app.path().join("Euro.wasm")).expect("it was built");
    let added = run(&app, &["add", "Euro.wasm", "--to", "web"]);
    assert_eq!(added.code, Some(0), "{added:?}");
    let text = read(&app, "watertight.toml");
    assert!(
        text.contains("[component.euro]\nsource = \"Euro.wasm\"\n") && text.contains("uses = [\"euro\"]"),
        "{text}"
    );
    assert_eq!(run(&app, &["build"]).code, Some(0));
    let called = run(&app, &["run", ".", "--component", "web", "--invoke", "run()"]);
    assert_eq!(called.stdout, "\"a hat is 300\"\n", "{called:?}");

    app.write("clock.wit", "package shop:clock;\ninterface clock { now: func() -> u64; }\n");
    let added = run(&app, &["add", "clock.wit", "--to", "web"]);
    assert_eq!(added.stdout.lines().next(), Some("web imports shop:clock/clock"), "{added:?}");
    assert_eq!(read(&app, "watertight.toml"), text, "nobody is known to meet it");
}

#[test]
fn what_cannot_be_added_is_said_and_nothing_changes() {
    let app = app();
    app.write("bad.wit", "package shop:bad;\ninterface bad { use gone:gone/gone.{x}; }\n");
    app.write("text.wasm", "no WebAssembly");
    for (what, to, code, said) in [
        ("prices", "wbe", 2, "the app has no component `wbe`"),
        ("pries", "web", 66, "`pries` is no component of the app"),
        ("bad.wit", "web", 65, "gone"),
        ("text.wasm", "web", 65, "is no component"),
        ("web", "prices", 65, "exports no interface"),
    ] {
        let added = run(&app, &["add", what, "--to", to]);
        assert_eq!(added.code, Some(code), "{added:?}");
        assert!(added.stderr.contains(said) && added.stderr.contains("nothing was changed"), "{said} in {added:?}");
        assert_eq!((read(&app, "watertight.toml").as_str(), read(&app, "web/wit/world.wit").as_str()), (MANIFEST, WEB));
        assert!(!app.path().join("web/wit/deps").exists());
    }
}
