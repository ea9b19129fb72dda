//! The real program, started for a test and ended with it.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use serde_json::Value;

/// A pod that runs on a port of its own.
pub(crate) struct PodProcess {
    child: Arc<Mutex<Child>>,
    address: String,
    log: Arc<Mutex<String>>,
    reader: Option<thread::JoinHandle<()>>,
    agent: ureq::Agent,
}

/// Ends a pod without a warning, from another thread.
pub(crate) struct Killer(Arc<Mutex<Child>>);

impl Killer {
    /// As `kill -9` does.
    pub(crate) fn kill(&self) {
        self.0.lock().unwrap().kill().unwrap();
    }
}

fn command(state: &Path, arguments: &[&str]) -> Command {
    command_within(&[], state, arguments)
}

/// The program, run by the words of `wrapper`.
fn command_within(wrapper: &[&str], state: &Path, arguments: &[&str]) -> Command {
    let words = [wrapper, &[env!("CARGO_BIN_EXE_analytics-pod")]].concat();
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .args(["run", "--listen", "127.0.0.1:0", "--state-folder"])
        .arg(state)
        .args(arguments)
        .env_remove("RUST_LOG")
        .env_remove("VISION_API_TOKEN_FILE")
        .stdin(Stdio::null());
    command
}

impl PodProcess {
    /// Starts it and waits until it answers.
    pub(crate) fn start(state: &Path, arguments: &[&str]) -> Self {
        Self::start_within(&[], state, arguments)
    }

    /// As [`Self::start`], by a program that takes this one and its arguments as its own last ones and runs it in its
    /// place.
    pub(crate) fn start_within(wrapper: &[&str], state: &Path, arguments: &[&str]) -> Self {
        let mut child =
            command_within(wrapper, state, arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new(Mutex::new(String::new()));
        let (told, address) = mpsc::channel();
        let kept = Arc::clone(&log);
        let reader = thread::spawn(move || {
            for line in stderr.lines() {
                let Ok(line) = line else { return };
                if let Some((_, rest)) = line.split_once("\"address\":\"") {
                    // Only the first one is waited for.
                    let _ = told.send(rest.split('"').next().unwrap_or_default().to_owned());
                }
                kept.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        let address = address.recv_timeout(Duration::from_mins(1));
        let address = address.unwrap_or_else(|error| panic!("{error}: {}", log.lock().unwrap()));
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .build()
            .into();
        Self { child: Arc::new(Mutex::new(child)), address, log, reader: Some(reader), agent }
    }

    /// Runs one that is expected to end by itself.
    pub(crate) fn run_to_end(state: &Path, arguments: &[&str]) -> Output {
        command(state, arguments).output().unwrap()
    }

    /// Where its API is.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// What can end it.
    pub(crate) fn killer(&self) -> Killer {
        Killer(Arc::clone(&self.child))
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Asks it to read its configuration anew.
    pub(crate) fn hang_up(&self) {
        self.signal(rustix::process::Signal::HUP);
    }

    /// Asks it to end, and waits; what it logged.
    pub(crate) fn end(mut self) -> String {
        self.signal(rustix::process::Signal::TERM);
        assert!(self.child.lock().unwrap().wait().unwrap().success());
        self.reader.take().unwrap().join().unwrap();
        self.log()
    }

    /// `analytics-pod health` of this pod.
    pub(crate) fn health(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_analytics-pod"));
        command.args(["health", "--address", &self.address]).args(arguments).output().unwrap()
    }

    /// The status and text of an answer; `None` where the pod is gone.
    pub(crate) fn try_request(&self, method: &str, path: &str, body: Option<&Value>) -> Option<(u16, String)> {
        self.try_request_as(None, method, path, body)
    }

    /// As [`Self::send`], known by this id.
    pub(crate) fn send_as(&self, id: &str, method: &str, path: &str, body: &Value) -> (u16, String) {
        self.try_request_as(Some(id), method, path, Some(body)).unwrap_or_else(|| panic!("no answer: {}", self.log()))
    }

    fn try_request_as(
        &self,
        id: Option<&str>,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Option<(u16, String)> {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        if let Some(id) = id {
            request = request.header("x-request-id", id);
        }
        let answered = match body.filter(|body| !body.is_null()) {
            Some(body) => {
                let request = request.header("content-type", "application/json");
                self.agent.run(request.body(body.to_string()).unwrap())
            }
            None => self.agent.run(request.body(()).unwrap()),
        };
        let mut answer = answered.ok()?;
        let text = answer.body_mut().read_to_string().ok()?;
        Some((answer.status().as_u16(), text))
    }

    /// As [`Self::try_request`], of a pod that is there.
    pub(crate) fn send(&self, method: &str, path: &str, body: &Value) -> (u16, String) {
        self.try_request(method, path, Some(body)).unwrap_or_else(|| panic!("no answer: {}", self.log()))
    }

    /// The status and bytes at a path.
    pub(crate) fn bytes(&self, path: &str) -> (u16, Vec<u8>) {
        let mut answer = self.agent.get(format!("http://{}{path}", self.address)).call().unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_vec().unwrap())
    }

    /// The text at a path.
    pub(crate) fn text(&self, path: &str) -> String {
        self.send("GET", path, &Value::Null).1
    }

    /// The document at a path.
    pub(crate) fn get(&self, path: &str) -> Value {
        let text = self.text(path);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
    }
}

impl Drop for PodProcess {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // It may have ended already.
        let _ = child.kill();
        let _ = child.wait();
    }
}
