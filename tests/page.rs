//! The page as a browser shows it.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

/// How long a busy machine may take to start a browser, and to draw.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(200);

/// Checks the page of a running demo in headless Chromium, or says that it is skipped where there is none.
pub(crate) fn shows_live_scores(port: u16, n_symbols: usize) {
    let found = Command::new("chromium").arg("--version").output();
    if !found.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED page: no chromium");
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let url = format!("http://127.0.0.1:{port}/");
        let mut tab = tokio::time::timeout(PATIENCE, Tab::open(&url)).await.expect("the browser starts");
        let drawn = tab.until(|page| rows(page).len() == n_symbols).await;
        assert!(drawn.contains(&format!("simulated market, {n_symbols} instruments")), "{drawn}");
        assert!(drawn.contains("BTCUSDT"), "{drawn}");
        // It is live.
        tab.until(|page| rows(page).len() == n_symbols && rows(page) != rows(&drawn)).await;
        // And moves inside the bar.
        tab.until(|page| page.contains(">forming</td>")).await;
        // An instrument opens: its components, its book and its trades, and what they advise.
        let open = json!({ "expression": "document.querySelector('#scores tbody a').click()" });
        tab.ask("Runtime.evaluate", open).await;
        let parts = [
            "Technical: scores",
            "Order flow: scores",
            "Order book: scores",
            "Sentiment: scores",
            "sizes of bids and asks",
            "ladder book",
            "point of control",
            "What may be done",
        ];
        tab.until(|page| parts.iter().all(|part| page.contains(part))).await;
        assert!(tab.console.is_empty(), "the page wrote to the console: {:?}", tab.console);
    });
}

/// Times of the rows of the table of scores.
fn rows(page: &str) -> Vec<&str> {
    page.split("data-at=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// A headless browser, which ends with its owner.
struct Browser(Child, #[expect(dead_code, reason = "its profile, deleted after it")] tempfile::TempDir);

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A page in a browser of its own, spoken to by the Chrome DevTools Protocol.
struct Tab {
    #[expect(dead_code, reason = "ends with it")]
    browser: Browser,
    socket: WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>,
    session: Option<String>,
    n_sent: u64,
    console: Vec<Value>,
}

impl Tab {
    async fn open(url: &str) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new("chromium");
        command
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--remote-debugging-port=0", &format!("--user-data-dir={}", profile.path().display())])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // Port and path, once it listens.
        let listens = profile.path().join("DevToolsActivePort");
        let browser = Browser(command.spawn().unwrap(), profile);
        let socket = loop {
            let address = std::fs::read_to_string(&listens).unwrap_or_default();
            if let Some((port, path)) = address.split_once('\n')
                && let Ok((socket, _)) = connect_async(format!("ws://127.0.0.1:{port}{path}")).await
            {
                break socket;
            }
            tokio::time::sleep(PAUSE).await;
        };
        let mut tab = Self { browser, socket, session: None, n_sent: 0, console: Vec::new() };
        let target = tab.ask("Target.createTarget", json!({ "url": "about:blank" })).await["targetId"].clone();
        let attached = tab.ask("Target.attachToTarget", json!({ "targetId": target, "flatten": true })).await;
        tab.session = attached["sessionId"].as_str().map(str::to_owned);
        tab.ask("Runtime.enable", json!({})).await;
        tab.ask("Log.enable", json!({})).await;
        tab.ask("Page.navigate", json!({ "url": url })).await;
        tab
    }

    /// The answer to a command; what the page writes meanwhile is kept.
    async fn ask(&mut self, method: &str, params: Value) -> Value {
        self.n_sent += 1;
        let mut command = json!({ "id": self.n_sent, "method": method, "params": params });
        if let Some(session) = &self.session {
            command["sessionId"] = session.as_str().into();
        }
        self.socket.send(Message::text(command.to_string())).await.unwrap();
        loop {
            let Message::Text(text) = self.socket.next().await.unwrap().unwrap() else { continue };
            let message: Value = serde_json::from_str(&text).unwrap();
            match message["method"].as_str() {
                None if message["id"] == self.n_sent => return message["result"].clone(),
                Some("Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Log.entryAdded") => {
                    self.console.push(message);
                }
                _ => {}
            }
        }
    }

    /// The page once it is as wanted.
    async fn until(&mut self, is_so: impl Fn(&str) -> bool) -> String {
        let mut page = String::new();
        let tries = async {
            loop {
                let html = json!({ "expression": "document.documentElement.outerHTML" });
                page = self.ask("Runtime.evaluate", html).await["result"]["value"].as_str().unwrap_or("").to_owned();
                if is_so(&page) {
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        let ended = tokio::time::timeout(PATIENCE, tries).await;
        assert!(ended.is_ok(), "not shown after {} s; on the console: {:?}; {page}", PATIENCE.as_secs(), self.console);
        page
    }
}
