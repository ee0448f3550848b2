//! A real browser that a test drives: Chromium, over its debugging pipe.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) struct Browser {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: Option<String>,
    said: u64,
    _profile: TempDir,
}

impl Browser {
    pub(crate) fn start() -> Self {
        let profile = tempfile::tempdir().expect("the temporary folder is writable");
        // It listens on descriptor 3 and answers on 4.
        let script = "exec chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars \
                      --remote-debugging-pipe --user-data-dir=\"$0\" about:blank 3<&0 4>&1 2>/dev/null";
        let mut process = Command::new("/bin/sh")
            .args(["-c", script])
            .arg(profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let to = process.stdin.take().expect("it was piped");
        let from = BufReader::new(process.stdout.take().expect("it was piped"));
        let mut browser = Self { process, to, from, session: None, said: 0, _profile: profile };
        let target = browser.tell("Target.createTarget", &json!({ "url": "about:blank" }))["targetId"].clone();
        let attached = browser.tell("Target.attachToTarget", &json!({ "targetId": target, "flatten": true }));
        browser.session = Some(attached["sessionId"].as_str().expect("a session has a name").to_owned());
        browser.tell("Page.enable", &json!({}));
        browser
    }

    fn tell(&mut self, method: &str, params: &Value) -> Value {
        self.said += 1;
        let mut message = json!({ "id": self.said, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).expect("chromium is on PATH: apt-get install chromium");
        loop {
            let mut heard = Vec::new();
            self.from.read_until(0, &mut heard).expect("chromium answers");
            assert_eq!(heard.pop(), Some(0), "chromium has ended: is it on PATH? apt-get install chromium");
            let heard: Value = serde_json::from_slice(&heard).expect("it is JSON");
            if heard["id"] == self.said {
                assert!(heard["error"].is_null(), "{method}: {heard}");
                return heard["result"].clone();
            }
        }
    }

    /// Opens a page in a window of this size.
    pub(crate) fn open(&mut self, url: &str, (width, height): (u32, u32), dark: bool) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.tell("Emulation.setDeviceMetricsOverride", &size);
        let scheme = json!({ "name": "prefers-color-scheme", "value": if dark { "dark" } else { "light" } });
        self.tell("Emulation.setEmulatedMedia", &json!({ "features": [scheme] }));
        self.tell("Page.navigate", &json!({ "url": "about:blank" }));
        self.tell("Page.navigate", &json!({ "url": url }));
    }

    /// What an expression is on the page.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let evaluate = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        self.tell("Runtime.evaluate", &evaluate)["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub(crate) fn until(&mut self, expression: &str) {
        let began = Instant::now();
        while self.value(expression) != Value::Bool(true) {
            let page = self.value("document.body.innerText");
            assert!(began.elapsed() < Duration::from_secs(60), "never: {expression}\n{page}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What it looks like now, for people: tests look at the page itself.
    pub(crate) fn picture(&mut self, name: &str) {
        let picture = self.tell("Page.captureScreenshot", &json!({ "format": "png" }));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures");
        std::fs::create_dir_all(&folder).expect("the folder of the build is writable");
        let picture = decoded(picture["data"].as_str().expect("it is text"));
        std::fs::write(folder.join(name), picture).expect("the folder of the build is writable");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Base64 as bytes.
fn decoded(text: &str) -> Vec<u8> {
    let value = |letter: u8| match letter {
        b'A'..=b'Z' => u32::from(letter - b'A'),
        b'a'..=b'z' => u32::from(letter - b'a') + 26,
        b'0'..=b'9' => u32::from(letter - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let letters: Vec<u8> = text.bytes().filter(|letter| *letter != b'=').collect();
    let mut bytes = Vec::new();
    for four in letters.chunks(4) {
        let bits = four.iter().fold(0, |bits, letter| bits << 6 | value(*letter)) << (6 * (4 - four.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
    }
    bytes
}
