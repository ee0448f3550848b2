//! The page of the admin address in a real browser: under load, in failure, in the dark, and with a hundred components.

use std::fmt::Write as _;

use watertight_testkit::guest;

use crate::{
    admin::{TOKEN, admin_of},
    browser::Browser,
    files::AppFolder,
    program::Server,
    top::Load,
};

fn start(app: &AppFolder, workers: &str) -> Server {
    let token = app.write("token", TOKEN);
    let folder = app.path().join("postmortems");
    let (token, folder) = (token.to_str().expect("test paths are text"), folder.to_str().expect("test paths are text"));
    let more = ["--admin", "127.0.0.1:0", "--admin-token-file", token, "--postmortem-dir", folder];
    Server::start(app.path(), &[&["--workers", workers], &more[..]].concat())
}

/// A page that calls a component through a relay, and a resident; the relay's component traps.
fn app() -> AppFolder {
    let manifest = r#"
[app]
name = "shown"
version = "1.2.3"

[component.web]
source = "http-behave.wasm"
uses = ["relay"]
grants = { env = { THEME = "dark" }, http = ["https://example.com"] }
[component.relay]
source = "relay.wasm"
uses = ["behaviour"]
[component.behaviour]
source = "crash.wasm"
lifetime = "resident"
intensity = { max = 65536, within = "1s" }
[[trigger.http]]
route = "/..."
component = "web"
"#;
    AppFolder::new(manifest, &["http-behave", "relay", "crash"])
}

#[tokio::test(flavor = "multi_thread")]
async fn load_and_failures_are_seen_and_who_holds_the_token_throws_cells_out() {
    let app = app();
    let server = start(&app, "2");
    let page = format!("http://{}/", admin_of(&server));
    let load = Load::on(&server, "/run/5");
    let looked = tokio::task::spawn_blocking(move || {
        let mut browser = Browser::start();
        browser.open(&page, (1400, 860), false);
        browser.until("document.querySelectorAll('[data-card]').length === 3");
        browser.until(
            "[...document.querySelectorAll('.edge .wire')].every((wire) => wire.style.stroke === 'var(--good)')",
        );
        assert_eq!(browser.value("document.querySelectorAll('.edge.hot').length"), 0);
        browser.picture("load.png");

        // What calls came to, as a waterfall; grants and budgets; and nothing to be told without the token.
        browser.value("document.querySelector('[data-card=web]').dispatchEvent(new MouseEvent('click')); 0");
        browser.until("document.querySelectorAll('#side .tree .call').length >= 3");
        browser.until("document.querySelector('#side').textContent.includes('https://example.com')");
        let indents = "[...document.querySelector('#side .tree').querySelectorAll('.call > span')].map((name) => \
                       [name.textContent, name.style.paddingLeft])";
        let lines = serde_json::json!([["web", "0px"], ["relay.run", "12px"], ["behaviour.run", "24px"]]);
        assert_eq!(browser.value(indents), lines);
        assert_eq!(browser.value("document.querySelectorAll('#side .bar').length > 0"), true);
        assert_eq!(browser.value("document.querySelectorAll('#side .eject').length"), 0);
        browser.until("!document.querySelector('#key').hidden");
        let type_in = format!(
            "document.querySelector('#key').click(); document.querySelector('#token').value = '{TOKEN}'; \
             document.querySelector('#enter').requestSubmit(); 0"
        );
        browser.value(&type_in);
        browser.value("document.querySelector('[data-card=behaviour]').dispatchEvent(new MouseEvent('click')); 0");
        browser.until("document.querySelectorAll('#side .eject').length === 1 && document.querySelectorAll('#side .restart').length === 1");
        browser.value("document.querySelector('#side .eject').click(); 0");
        browser.until("document.querySelector('#notice').textContent.includes('thrown out')");
        // Faults: what is none is refused with the reason; others are said to be there, until somebody ends them.
        for (faults, said) in
            [("nonsense", "no faults were set"), ("delay 1ms 10%", "injected: behaviour: delay 1ms 10%")]
        {
            browser.value(&format!(
                "(() => {{ const wanted = document.querySelector('#side .acts input'); wanted.value = '{faults}'; \
                 wanted.dispatchEvent(new Event('input')); document.querySelector('#side .acts form').requestSubmit(); }})()"
            ));
            browser.until(&format!("document.querySelector('#notice').textContent.includes('{said}')"));
        }
        browser.until("document.querySelector('#faults').textContent.includes('behaviour: delay 1ms 10%')");
        browser.value("document.querySelector('#faults button').click(); 0");
        browser.until("document.querySelector('#faults').textContent === ''");
        (browser, page)
    });
    let (mut browser, page) = looked.await.expect("it was looked at");
    drop(load);
    let load = Load::on(&server, "/plain/0");
    tokio::task::spawn_blocking(move || {
        for (dark, picture) in [(false, "failure.png"), (true, "dark.png")] {
            browser.open(&format!("{page}#relay->behaviour"), (1400, 860), dark);
            browser.until("document.querySelectorAll('.edge.hot').length > 0");
            browser.until(
                "[...document.querySelectorAll('.edge.hot .wire')].every((wire) => wire.style.stroke === 'var(--bad)')",
            );
            browser.until("document.querySelectorAll('#side .tree .call.failed').length > 0");
            browser
                .until("[...document.querySelectorAll('#side h3')].some((one) => one.textContent === 'last failures')");
            browser.until("document.querySelector('#side').textContent.includes('unreachable')");
            browser.until("document.querySelector('#side').textContent.includes('of relay’s time')");
            let paper = browser.value("getComputedStyle(document.body).backgroundColor");
            assert_eq!(paper, if dark { "rgb(14, 19, 24)" } else { "rgb(246, 247, 249)" });
            browser.picture(picture);
        }
        // The first cell that trapped left a postmortem, which whoever holds the token may read here.
        browser.until("document.querySelectorAll('#side .link').length > 0");
        browser.value("document.querySelector('#side .link').click(); 0");
        browser.until("document.querySelector('#report').open");
        let report = browser.value("document.querySelector('#report').textContent");
        let report = report.as_str().expect("it has text");
        for part in ["behaviour: trap", "unreachable", "relay → behaviour", "crash/src/lib.rs"] {
            assert!(report.contains(part), "{part}: {report}");
        }
        browser.picture("postmortem.png");
    })
    .await
    .expect("it was looked at");
    drop(load);
    server.stop();
}

/// How many components each layer has; with the page itself, they are a hundred.
const LAYERS: [usize; 5] = [1, 9, 24, 36, 29];

/// What each component calls: some of the next layer, so that all of it is called.
fn graph() -> Vec<Vec<usize>> {
    let mut calls = vec![Vec::new(); LAYERS.iter().sum()];
    let mut begin = 0;
    for pair in LAYERS.windows(2) {
        let (here, next) = (pair[0], pair[1]);
        for to in 0..next {
            let (from, other) = (to * here / next, (to * 7 + 3) % here);
            calls[begin + from].push(begin + here + to);
            if other != from && to % 3 == 0 {
                calls[begin + other].push(begin + here + to);
            }
        }
        begin += here;
    }
    calls
}

/// A component that calls others, and adds up what they answer. The first one is what the page calls.
fn node(number: usize, calls: &[usize]) -> String {
    let (mut imports, mut lowered, mut given, mut taken, mut sum) =
        (String::new(), String::new(), String::new(), String::new(), "i32.const 1".to_owned());
    for callee in calls {
        // A `String` takes all it is given.
        let _ =
            write!(imports, "(import \"t:c/n{callee}\" (instance $i{callee} (export \"run\" (func (result u32)))))");
        let _ = write!(lowered, "(core func $f{callee} (canon lower (func $i{callee} \"run\")))");
        let _ = write!(given, "(export \"f{callee}\" (func $f{callee}))");
        let _ = write!(taken, "(import \"\" \"f{callee}\" (func $f{callee} (result i32)))");
        let _ = write!(sum, " call $f{callee} i32.add");
    }
    let export = if number == 0 {
        "(func $plain (param \"n\" u32) (result u32) (canon lift (core func $m \"plain\")))
         (func $bare (param \"n\" u32) (result (result)) (canon lift (core func $m \"bare\")))
         (func $quiet (param \"n\" u32) (result (result u32)) (canon lift (core func $m \"run\") (memory (core memory $m \"m\"))))
         (func $told (param \"n\" u32) (result (result u32 (error string))) (canon lift (core func $m \"run\") (memory (core memory $m \"m\"))))
         (instance $e (export \"run\" (func $told)) (export \"quiet\" (func $quiet)) (export \"bare\" (func $bare))
            (export \"plain\" (func $plain)))
         (export \"watertight:test/behave\" (instance $e))"
            .to_owned()
    } else {
        format!(
            "(func $run (result u32) (canon lift (core func $m \"sum\"))) (instance $e (export \"run\" (func $run)))
             (export \"t:c/n{number}\" (instance $e))"
        )
    };
    format!(
        "(component {imports} {lowered}
           (core module $M {taken} (memory (export \"m\") 1)
             (func $sum (export \"sum\") (result i32) {sum})
             (func (export \"plain\") (param i32) (result i32) call $sum)
             (func (export \"bare\") (param i32) (result i32) call $sum drop i32.const 0)
             (func (export \"run\") (param i32) (result i32)
               i32.const 0 i32.const 0 i32.store i32.const 4 call $sum i32.store i32.const 0))
           (core instance $m (instantiate $M (with \"\" (instance {given}))))
           {export})"
    )
}

fn hundred() -> AppFolder {
    let mut manifest = "[app]\nname = \"hundred\"\nversion = \"1.2.3\"\n[[trigger.http]]\nroute = \"/...\"\ncomponent = \"web\"\n\
                        [component.web]\nsource = \"http-behave.wasm\"\nuses = [\"node-0\"]\nbudget = { concurrency = 4, memory = \"16MiB\" }\n"
        .to_owned();
    let app = AppFolder::new("", &["http-behave"]);
    for (number, calls) in graph().iter().enumerate() {
        app.write(&format!("{number}.wasm"), guest::wat(&node(number, calls)));
        let uses: Vec<_> = calls.iter().map(|callee| format!("\"node-{callee}\"")).collect();
        let _ = writeln!(
            manifest,
            "[component.node-{number}]\nsource = \"{number}.wasm\"\nuses = [{}]\nbudget = {{ concurrency = 4, memory = \"1MiB\" }}",
            uses.join(", ")
        );
        for callee in calls {
            let _ =
                writeln!(manifest, "[component.node-{number}.edge.\"t:c/n{callee}\"]\non-failure = {{ return = '0' }}");
        }
    }
    app.write("watertight.toml", manifest);
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_components_are_all_seen_none_above_another_and_one_is_found() {
    let app = hundred();
    let server = start(&app, "1");
    let admin = admin_of(&server);
    let faults = r#"{"faults":["node-17: trap 40%","node-40: trap 5%"]}"#;
    let head = format!(
        "PUT /v1/faults HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {}",
        faults.len()
    );
    assert!(crate::admin::raw(admin, &head, faults.as_bytes()).await.starts_with("HTTP/1.1 200"));
    let load = Load::on(&server, "/run/1");
    tokio::task::spawn_blocking(move || {
        let mut browser = Browser::start();
        browser.open(&format!("http://{admin}/"), (1600, 950), false);
        browser.until("document.querySelectorAll('[data-card]').length === 100");
        browser.until("document.querySelectorAll('.edge.hot').length >= 2");
        let overlaps = "(() => { const boxes = [...document.querySelectorAll('.card .body')].map((card) => card.getBoundingClientRect()); \
            return boxes.filter((a, i) => boxes.some((b, j) => i < j && a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1)).length; })()";
        assert_eq!(browser.value(overlaps), 0, "cards above each other");
        let outside = "(() => { const all = document.querySelector('#graph').getBoundingClientRect(); \
            return [...document.querySelectorAll('.card .body')].map((card) => card.getBoundingClientRect()).filter((card) => card.left < all.left || card.right > all.right || card.top < all.top || card.bottom > all.bottom).length; })()";
        assert_eq!(browser.value(outside), 0, "cards outside of the picture");
        browser.picture("hundred.png");
        browser.value("document.querySelector('#find').value = 'node-42'; document.querySelector('#find').dispatchEvent(new Event('input')); 0");
        assert_eq!(browser.value("document.querySelectorAll('.card:not(.faded)').length"), 1);
        browser.value("document.querySelector('#find').value = ''; document.querySelector('#find').dispatchEvent(new Event('input')); 0");
        browser.value("document.querySelector('[data-card=node-17]').dispatchEvent(new MouseEvent('click')); 0");
        browser.until("document.querySelectorAll('#side .call.failed').length > 0");
        // Of calls that led to hundreds of others, those are shown that are about it.
        browser.until("document.querySelectorAll('#side .call.mine').length > 0");
        assert_eq!(browser.value("document.querySelectorAll('.edge:not(.faded)').length < 10"), true, "its own lines stand out");
        // The page, what calls it and what it calls: the rest steps back.
        assert_eq!(browser.value("document.querySelectorAll('.card:not(.far)').length < 10"), true);
        browser.picture("hundred-chosen.png");
    })
    .await
    .expect("it was looked at");
    drop(load);
    server.stop();
}
