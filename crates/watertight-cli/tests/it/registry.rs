//! Components from an OCI registry: one that runs here, on loopback, and speaks the distribution API over real connections.

use std::{
    collections::HashMap,
    convert::Infallible,
    fs,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use watertight_testkit::guest;

use crate::{
    files::AppFolder,
    program::{Ended, ended, watertight},
};

/// A registry with what was pushed to it, and what it was asked for.
#[derive(Default)]
struct Shelf {
    /// By path, without the host.
    content: HashMap<String, Bytes>,
    asked: Vec<String>,
    /// Whether it wants to see a token.
    guarded: bool,
}

#[derive(Clone)]
struct Registry {
    address: SocketAddr,
    shelf: Arc<Mutex<Shelf>>,
}

impl Registry {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has room");
        let address = listener.local_addr().expect("it listens");
        let registry = Self { address, shelf: Arc::default() };
        let theirs = registry.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let registry = theirs.clone();
                let service = service_fn(move |request| {
                    let answer = registry.answer(&request);
                    async move { Ok::<_, Infallible>(answer) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        registry
    }

    fn shelf(&self) -> std::sync::MutexGuard<'_, Shelf> {
        self.shelf.lock().expect("nobody panics")
    }

    /// Puts a component under a tag; gives the digest of its manifest.
    fn push(&self, tag: &str, component: &[u8]) -> String {
        self.push_all(tag, &[("application/wasm", component)])
    }

    fn push_all(&self, tag: &str, layers: &[(&str, &[u8])]) -> String {
        let layer =
            |(kind, bytes): &(&str, &[u8])| json!({ "mediaType": kind, "digest": sha256(bytes), "size": bytes.len() });
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": { "mediaType": "application/vnd.wasm.config.v0+json", "digest": sha256(b"{}"), "size": 2 },
            "layers": layers.iter().map(layer).collect::<Vec<_>>(),
        })
        .to_string();
        let digest = sha256(manifest.as_bytes());
        let mut shelf = self.shelf();
        for name in [tag, &digest] {
            shelf.content.insert(format!("/v2/press/ok/manifests/{name}"), manifest.clone().into());
        }
        for (_, bytes) in layers {
            shelf.content.insert(format!("/store/{}", sha256(bytes)), Bytes::copy_from_slice(bytes));
        }
        digest
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let mut shelf = self.shelf();
        let path = request.uri().path().to_owned();
        shelf.asked.push(path.clone());
        let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let answer = |status: StatusCode, body: Bytes| {
            let mut response = Response::new(Full::new(body));
            *response.status_mut() = status;
            response
        };
        if path == "/token" {
            assert_eq!(request.uri().query(), Some("service=here&scope=repository%3Apress%2Fok%3Apull"));
            return answer(StatusCode::OK, r#"{"token":"open sesame"}"#.into());
        }
        if path.starts_with("/v2/") && shelf.guarded && shown != Some("Bearer open sesame") {
            let mut refused = answer(StatusCode::UNAUTHORIZED, Bytes::new());
            let challenge = format!(
                "Bearer realm=\"http://{}/token\",service=\"here\",scope=\"repository:press/ok:pull\"",
                self.address
            );
            refused.headers_mut().insert(header::WWW_AUTHENTICATE, challenge.parse().expect("it is a header"));
            return refused;
        }
        // Contents are kept elsewhere, as large registries have it: another host of the same machine, which is shown no token.
        if let Some(digest) = path.strip_prefix("/v2/press/ok/blobs/") {
            let mut elsewhere = answer(StatusCode::TEMPORARY_REDIRECT, Bytes::new());
            let location = format!("http://localhost:{}/store/{digest}", self.address.port());
            elsewhere.headers_mut().insert(header::LOCATION, location.parse().expect("it is a header"));
            return elsewhere;
        }
        assert!(!path.starts_with("/store/") || shown.is_none(), "a token was shown to another host");
        match shelf.content.get(&path) {
            Some(content) => answer(StatusCode::OK, content.clone()),
            None => answer(StatusCode::NOT_FOUND, Bytes::new()),
        }
    }

    /// An app with a component of this registry.
    fn app(&self, tag: &str, digest: Option<&str>) -> AppFolder {
        let digest = digest.map_or_else(String::new, |digest| format!(", digest = \"{digest}\""));
        let name = format!("{}/press/ok:{tag}", self.address);
        let manifest = format!("[app]\nname = \"a\"\n[component.ok]\nsource = {{ oci = \"{name}\"{digest} }}\n");
        AppFolder::new(&manifest, &[])
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.shelf().asked)
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

async fn run(app: &AppFolder, command: &str, args: &[&str]) -> Ended {
    let mut command = watertight(&[command, app.text()]);
    command.args(args).env("DOCKER_CONFIG", app.path());
    tokio::task::spawn_blocking(move || ended(&mut command)).await.expect("it ends")
}

#[tokio::test]
async fn a_component_is_fetched_once_pinned_and_then_runs_without_the_registry() {
    let registry = Registry::start().await;
    registry.shelf().guarded = true;
    let digest = registry.push("1.0", &guest::built("ok"));
    let app = registry.app("1.0", None);
    let early = run(&app, "check", &[]).await;
    assert_eq!(early.code, Some(65), "{early:?}");
    assert!(early.stderr.contains("was not fetched yet") && early.stderr.contains("watertight build"), "{early:?}");
    assert_eq!(registry.asked(), [""; 0], "only a build asks");

    let built = run(&app, "build", &[]).await;
    assert_eq!((built.code, built.stdout.as_str()), (Some(0), "a: 0 built, 1 fetched, 0 unchanged\n"), "{built:?}");
    let lock = fs::read_to_string(app.path().join("watertight.lock")).expect("it was written");
    assert!(lock.contains(&format!("press/ok:1.0\" = \"{digest}\"\n")), "{lock}");
    registry.asked();

    // The tag means something else now; the app stays as it is, and asks nobody.
    registry.push("1.0", &guest::built("counter"));
    let built = run(&app, "build", &["--format", "json"]).await;
    let told: Value = serde_json::from_str(&built.stdout).expect("it is one JSON object");
    assert_eq!(told["components"][0]["state"], "unchanged", "{told}");
    assert_eq!(run(&app, "check", &[]).await.code, Some(0));
    assert_eq!(registry.asked(), [""; 0]);

    // Another machine with the same lock gets the same.
    fs::remove_dir_all(app.path().join(".watertight")).expect("it was made");
    assert_eq!(run(&app, "build", &[]).await.code, Some(0));
    assert_eq!(fs::read_to_string(app.path().join("watertight.lock")).expect("it is there"), lock);
    // Until it is told to look again.
    assert_eq!(run(&app, "build", &["--force"]).await.code, Some(0));
    assert_ne!(fs::read_to_string(app.path().join("watertight.lock")).expect("it is there"), lock);
}

#[tokio::test]
async fn a_language_runtime_comes_from_a_registry_too() {
    let registry = Registry::start().await;
    let toml =
        b"language = \"Test\"\nversion = \"1\"\nextensions = [\"tst\"]\nprotocol = \"none\"\ncomponent = \"t.wasm\"\n";
    let (component, kind) = (guest::built("command"), "application/vnd.watertight.runtime.v1+toml");
    let digest = registry.push_all("1", &[(kind, toml), ("application/wasm", &component)]);
    let runtimes = tempfile::tempdir().expect("there is room");
    let add = async |name: String| {
        let mut command = watertight(&["runtime", "add", &name]);
        command.env("WATERTIGHT_RUNTIMES", runtimes.path()).env("DOCKER_CONFIG", runtimes.path());
        tokio::task::spawn_blocking(move || ended(&mut command)).await.expect("it ends")
    };
    let name = format!("{}/press/ok:1", registry.address);
    let other = sha256(b"other");
    for (name, said) in [
        (format!("{}/press/ok:2", registry.address), "cannot fetch"),
        (format!("{name}@{other}"), "cannot fetch"),
        (format!("{name}@sha256:12"), "neither a runtime's TOML nor"),
    ] {
        let refused = add(name).await;
        assert!(refused.code != Some(0) && refused.stderr.contains(said), "{refused:?}");
    }
    registry.push("3", &component);
    let refused = add(format!("{}/press/ok:3", registry.address)).await;
    assert!(refused.stderr.contains("it holds no runtime's TOML"), "{refused:?}");
    assert_eq!(fs::read_dir(runtimes.path()).expect("it is there").count(), 0, "nothing is left of those");
    for name in [name.clone(), format!("{name}@{digest}")] {
        let added = add(name).await;
        assert_eq!(added.code, Some(0), "{added:?}");
        assert_eq!(fs::read(runtimes.path().join("ok.wasm")).expect("it is there"), *component);
    }
}

#[tokio::test]
async fn what_is_not_what_was_pinned_is_refused_and_not_kept() {
    let registry = Registry::start().await;
    let digest = registry.push("1.0", &guest::built("ok"));
    let pinned = registry.app("1.0", Some(&digest));
    assert_eq!(run(&pinned, "build", &[]).await.code, Some(0));
    assert!(!pinned.path().join("watertight.lock").exists(), "the manifest pins it");

    // What lies there is checked whenever the app is read.
    let kept = pinned.path().join(".watertight/oci").join(sha256(&guest::built("ok")).replace(':', "-"));
    fs::write(&kept, guest::built("counter")).expect("the folder is ours");
    let checked = run(&pinned, "check", &[]).await;
    assert!(
        checked.stderr.contains("is not what was fetched") && checked.stderr.contains("build --force"),
        "{checked:?}"
    );
    assert_eq!(run(&pinned, "build", &[]).await.code, Some(0), "it is fetched again");
    assert_eq!(run(&pinned, "check", &[]).await.code, Some(0));

    // A registry that lies about a manifest, and one that lies about a component.
    let other = registry.push("2.0", &guest::built("counter"));
    let lie = registry.shelf().content[&format!("/v2/press/ok/manifests/{other}")].clone();
    registry.shelf().content.insert(format!("/v2/press/ok/manifests/{digest}"), lie);
    let fresh = registry.app("1.0", Some(&digest));
    let refused = run(&fresh, "build", &[]).await;
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(refused.stderr.contains(&format!("its digest is {other}, and not {digest}")), "{refused:?}");
    let component = sha256(&guest::built("counter"));
    registry.shelf().content.insert(format!("/store/{component}"), "a lie".into());
    let fresh = registry.app("2.0", None);
    let refused = run(&fresh, "build", &[]).await;
    assert!(refused.code == Some(4) && refused.stderr.contains("is refused"), "{refused:?}");
    assert!(!fresh.path().join("watertight.lock").exists() && !fresh.path().join(".watertight").exists());

    let gone = run(&registry.app("3.0", None), "build", &[]).await;
    assert!(gone.code == Some(4) && gone.stderr.contains("no such repository, tag or digest"), "{gone:?}");
    let wrong = run(&registry.app("1.0", Some("sha256:12")), "build", &[]).await;
    assert!(wrong.code == Some(65) && wrong.stderr.contains("`sha256:12` is not a digest"), "{wrong:?}");
}
