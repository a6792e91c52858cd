//! A language server, asked over its standard input and output.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Server {
    process: Child,
    stdin: ChildStdin,
    messages: Receiver<Value>,
    last: u64,
    version: u64,
    file: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    /// Starts it on a folder with a `rust-project.json`, with `main.rs` open.
    pub(crate) fn start(program: &str, project: &Path, path: &str) -> Self {
        let mut process = Command::new(program)
            .current_dir(project)
            .env("PATH", path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let (sender, messages) = channel();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || {
            while let Some(message) = read(&mut output) {
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let stdin = process.stdin.take().unwrap();
        let file = project.join("main.rs");
        let mut server = Self { process, stdin, messages, last: 0, version: 1, file };
        let root = uri(project);
        server.ask(
            "initialize",
            &json!({
                "processId": std::process::id(),
                "rootUri": root,
                "workspaceFolders": [{ "uri": root, "name": "project" }],
                "capabilities": {
                    "textDocument": {
                        "hover": { "contentFormat": ["markdown"] },
                        "completion": { "completionItem": { "snippetSupport": true } },
                        "diagnostic": { "dynamicRegistration": true },
                    },
                    "experimental": { "serverStatusNotification": true },
                },
                "initializationOptions": {
                    "linkedProjects": [project.join("rust-project.json")],
                    "checkOnSave": false,
                    "cachePriming": { "enable": false },
                    "procMacro": { "enable": true },
                },
            }),
        );
        server.tell("initialized", &json!({}));
        let text = std::fs::read_to_string(&server.file).unwrap();
        let document = json!({ "uri": uri(&server.file), "languageId": "rust", "version": 1, "text": text });
        server.tell("textDocument/didOpen", &json!({ "textDocument": document }));
        server.wait_until_ready();
        server
    }

    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let message = self.next(deadline, "the server to be ready");
            if message["method"] == "experimental/serverStatus" && message["params"]["quiescent"] == true {
                assert_eq!(message["params"]["health"], "ok", "{message}");
                return;
            }
        }
    }

    fn next(&mut self, deadline: Instant, what: &str) -> Value {
        let left = deadline.saturating_duration_since(Instant::now());
        let message = self.messages.recv_timeout(left);
        let message = message.unwrap_or_else(|error| panic!("waited for {what}: {error}"));
        // What the server asks of an editor has no answer here.
        if message.get("method").is_some() && message.get("id").is_some() {
            self.send(&json!({ "jsonrpc": "2.0", "id": message["id"], "result": null }));
        }
        message
    }

    fn send(&mut self, message: &Value) {
        let text = message.to_string();
        write!(self.stdin, "Content-Length: {}\r\n\r\n{text}", text.len()).unwrap();
        self.stdin.flush().unwrap();
    }

    fn tell(&mut self, method: &str, params: &Value) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.last += 1;
            let id = self.last;
            self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
            let mut answer = loop {
                let message = self.next(deadline, method);
                if message["id"] == id && message.get("method").is_none() {
                    break message;
                }
            };
            // The server was still reading a change: the same again.
            if [-32801, -32802].contains(&answer["error"]["code"].as_i64().unwrap_or(0)) {
                std::thread::sleep(Duration::from_millis(100));
                continue;
            }
            assert!(answer.get("error").is_none(), "{method}: {answer}");
            return answer["result"].take();
        }
    }

    /// Types the text, and asks about the place of the cursor `│` in it.
    pub(crate) fn ask_at(&mut self, text: &str, method: &str, more: &Value) -> Value {
        let (before, _) = text.split_once('│').unwrap_or((text, ""));
        let line = before.matches('\n').count();
        let character = before.rsplit('\n').next().unwrap_or("").encode_utf16().count();
        self.version += 1;
        let document = json!({ "uri": uri(&self.file), "version": self.version });
        let changes = json!([{ "text": text.replace('│', "") }]);
        self.tell("textDocument/didChange", &json!({ "textDocument": document, "contentChanges": changes }));
        let mut params = json!({
            "textDocument": { "uri": uri(&self.file) },
            "position": { "line": line, "character": character },
        });
        params.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        self.ask(method, &params)
    }
}

fn uri(path: &Path) -> String {
    format!("file://{}", path.display())
}

fn read(output: &mut impl BufRead) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some(number) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = number.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    output.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}
