//! A real Chromium, driven through chromedriver's own protocol (W3C WebDriver). Ends with its owner.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub(crate) struct Browser {
    driver: Child,
    http: reqwest::Client,
    session: String,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver leads a process group of its own: the browser is in it.
        let group = format!("-{}", self.driver.id());
        let _ = Command::new("kill").args(["-TERM", "--", &group]).status();
        let _ = self.driver.wait();
    }
}

impl Browser {
    /// A fresh browser with a window of `size`; `folder` takes its profile.
    pub(crate) async fn open(folder: &Path, size: (u32, u32), flags: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = std::fs::File::create(folder.join("chromedriver.log")).unwrap();
        let driver = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--", "chromedriver", &format!("--port={port}")])
            .env("HOME", folder)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .expect("chromedriver is installed (Debian: chromium-driver)");
        let mut browser = Self { driver, http: reqwest::Client::new(), session: format!("http://127.0.0.1:{port}") };
        let ready = async || browser.http.get(format!("{}/status", browser.session)).send().await.is_ok();
        let deadline = Instant::now() + Duration::from_secs(30);
        while !ready().await {
            assert!(Instant::now() < deadline, "chromedriver does not come up");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut args: Vec<String> = "--headless=new --no-sandbox --disable-gpu --disable-quic --disable-dev-shm-usage \
            --no-first-run --disable-background-networking --disable-component-update --disable-sync --disable-extensions \
            --force-device-scale-factor=1"
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        args.push(format!("--user-data-dir={}", folder.join("profile").display()));
        args.push(format!("--window-size={},{}", size.0, size.1));
        args.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "binary": "/usr/bin/chromium", "args": args },
        }}});
        let made = browser.call("/session", &wanted).await;
        browser.session = format!("{}/session/{}", browser.session, made["sessionId"].as_str().unwrap());
        // A headless window has a smallest width; a phone is narrower.
        let screen = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": {
            "width": size.0, "height": size.1, "deviceScaleFactor": 1, "mobile": size.0 < 500 } });
        browser.call("/goog/cdp/execute", &screen).await;
        browser
    }

    pub(crate) async fn goto(&self, url: &str) {
        self.call("/url", &json!({ "url": url })).await;
    }

    /// What `script` returns.
    pub(crate) async fn ask(&self, script: &str) -> Value {
        self.call("/execute/sync", &json!({ "script": script, "args": [] })).await
    }

    /// Waits until `script` returns something true, which it gives back.
    pub(crate) async fn until(&self, what: &str, within: Duration, script: &str) -> Value {
        let deadline = Instant::now() + within;
        loop {
            let told = self.ask(script).await;
            if !matches!(told, Value::Null | Value::Bool(false)) {
                return told;
            }
            if Instant::now() > deadline {
                let page = self.ask("return [document.documentElement.dataset, document.body.innerText]").await;
                panic!("not within {within:?}: {what}; the page says {page}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Writes what is shown when the folder named by `SCREENSHOTS` should have it.
    pub(crate) async fn screenshot(&self, name: &str) {
        let Some(folder) = std::env::var_os("SCREENSHOTS") else { return };
        let params = json!({ "cmd": "Page.captureScreenshot", "params": { "captureBeyondViewport": true } });
        let shot = self.call("/goog/cdp/execute", &params).await;
        let png = decode(shot["data"].as_str().unwrap());
        std::fs::write(Path::new(&folder).join(format!("{name}.png")), png).unwrap();
    }

    /// Says something of WebDriver's own, such as `/actions`.
    pub(crate) async fn call(&self, path: &str, body: &Value) -> Value {
        let answer = self.http.post(format!("{}{path}", self.session)).json(body).send().await.unwrap();
        let good = answer.status().is_success();
        let mut told: Value = answer.json().await.unwrap();
        assert!(good, "{path}: {told}");
        told["value"].take()
    }
}

/// Base64 without line ends (RFC 4648 4).
fn decode(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'=').map(value).collect();
    digits
        .chunks(4)
        .flat_map(|four| {
            let word = four.iter().fold(0_u32, |word, digit| word << 6 | u32::from(*digit)) << (6 * (4 - four.len()));
            word.to_be_bytes()[1..four.len()].to_vec()
        })
        .collect()
}
