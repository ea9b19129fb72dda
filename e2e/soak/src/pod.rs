//! The pod under test: a process of its own, what it publishes and logs, and its API.

use std::{
    collections::{BTreeMap, VecDeque},
    fs, io,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    ledger::{Line, Published},
    metrics::{Metrics, NoSample},
};

/// How long the pod may take to answer at first, and to end.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long a request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Lines of the log that are kept for the report of a pod that died.
const LAST_LINES: usize = 20;

/// A pod that does not do what it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PodError {
    /// The program cannot be started, or its files cannot be written.
    #[error("cannot start {program}: {source}; build it with `cargo build --release -p analytics-pod`")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It does not say where its API is.
    #[error("the pod does not say where its API is; its log ends with:\n{0}")]
    NoAddress(String),
    /// It does not answer.
    #[error("{0}: no answer: {1}")]
    NoAnswer(String, #[source] Box<ureq::Error>),
    /// It answers otherwise than it should.
    #[error("{request}: answered {status}: {body}")]
    Answer {
        /// Method and path.
        request: String,
        /// Its status.
        status: u16,
        /// Its body.
        body: String,
    },
    /// Its metrics cannot be read.
    #[error(transparent)]
    Metrics(#[from] NoSample),
    /// It did not end.
    #[error("the pod did not end within {} s of SIGTERM and was killed", PATIENCE.as_secs())]
    DidNotEnd,
    /// It cannot be signalled or waited for.
    #[error("the pod's process: {0}")]
    Process(io::Error),
}

/// What the pod logged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    /// The first errors, word for word.
    pub(crate) errors: Vec<String>,
    last: VecDeque<String>,
}

/// A running pod; dropping it kills it.
pub(crate) struct PodProcess {
    child: Child,
    pub(crate) api: Api,
    published: Arc<Mutex<BTreeMap<String, Published>>>,
    log: Arc<Mutex<Log>>,
    readers: Vec<JoinHandle<()>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PodProcess {
    /// Starts `program` with its state in `folder` and its log beside it, and waits until it answers. It ends by itself
    /// after `at_most`.
    pub(crate) fn start(program: &Path, folder: &Path, at_most: Duration) -> Result<Self, PodError> {
        let failed = |source| PodError::Start { program: program.display().to_string(), source };
        let log_file = fs::File::create(folder.join("pod.log")).map_err(failed)?;
        let mut child = Command::new(program)
            .args(["run", "--listen", "127.0.0.1:0", "--output", "stdout"])
            .args(["--max-duration", &format!("{}s", at_most.as_secs())])
            .arg("--state-folder")
            .arg(folder.join("state"))
            .env_remove("RUST_LOG")
            .env_remove("VISION_API_TOKEN_FILE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is for this program, which ends the pod itself.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let (published, log) = (Arc::default(), Arc::default());
        let (told, address) = mpsc::channel();
        let mut readers = Vec::new();
        if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
            let (lines, kept) = (Arc::clone(&published), Arc::clone(&log));
            readers.push(thread::spawn(move || read_lines(stdout, &lines)));
            readers.push(thread::spawn(move || read_log(stderr, log_file, &kept, &told)));
        }
        let mut pod = Self { child, api: Api::new(String::new()), published, log, readers };
        match address.recv_timeout(PATIENCE) {
            Ok(address) => pod.api = Api::new(address),
            Err(_) => return Err(PodError::NoAddress(pod.last_words())),
        }
        Ok(pod)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What was published of `source` so far.
    pub(crate) fn published(&self, source: &str) -> Published {
        lock(&self.published).get(source).cloned().unwrap_or_default()
    }

    /// Follows what is published, from another thread.
    pub(crate) fn lines(&self) -> Lines {
        Lines(Arc::clone(&self.published))
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> Log {
        lock(&self.log).clone()
    }

    /// The end of its log.
    pub(crate) fn last_words(&self) -> String {
        lock(&self.log).last.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// Asks it to end, and waits.
    pub(crate) fn end(mut self) -> Result<ExitStatus, PodError> {
        if let Some(process) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process(process, Signal::TERM).map_err(|error| PodError::Process(error.into()))?;
        }
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().map_err(PodError::Process)? {
                for reader in std::mem::take(&mut self.readers) {
                    // A reader that panicked has said so.
                    drop(reader.join());
                }
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(20));
        }
        Err(PodError::DidNotEnd)
    }
}

impl Drop for PodProcess {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What is published, by source.
#[derive(Clone)]
pub(crate) struct Lines(Arc<Mutex<BTreeMap<String, Published>>>);

impl Lines {
    /// Lines of `source` so far.
    pub(crate) fn count(&self, source: &str) -> u64 {
        lock(&self.0).get(source).map_or(0, |published| published.lines)
    }

    /// Forgets a source that is gone.
    pub(crate) fn forget(&self, source: &str) {
        lock(&self.0).remove(source);
    }
}

fn read_lines(stdout: ChildStdout, published: &Mutex<BTreeMap<String, Published>>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        match serde_json::from_str::<Line>(&line) {
            Ok(line) => lock(published).entry(line.source.clone()).or_default().take(&line),
            Err(error) => eprintln!("soak: a published line cannot be read: {error}: {line}"),
        }
    }
}

fn read_log(stderr: ChildStderr, mut file: fs::File, kept: &Mutex<Log>, address: &mpsc::Sender<String>) {
    #[derive(Deserialize)]
    struct Entry {
        level: String,
        address: Option<String>,
    }
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        if let Err(error) = writeln!(file, "{line}") {
            eprintln!("soak: the pod's log cannot be kept: {error}");
        }
        let mut log = lock(kept);
        // What is not JSON is no log line: a panic, say, or the summary at the end.
        let entry = serde_json::from_str::<Entry>(&line).ok();
        if entry.as_ref().map_or_else(|| line.contains("panicked"), |entry| entry.level == "ERROR")
            && log.errors.len() < LAST_LINES
        {
            log.errors.push(line.clone());
        }
        if let Some(told) = entry.and_then(|entry| entry.address) {
            // Only the first is waited for.
            drop(address.send(told));
        }
        log.last.push_back(line);
        if log.last.len() > LAST_LINES {
            log.last.pop_front();
        }
    }
}

/// The pod's HTTP API. Clones share connections.
#[derive(Clone)]
pub(crate) struct Api {
    address: String,
    agent: ureq::Agent,
}

impl Api {
    fn new(address: String) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(REQUEST_TIMEOUT))
            .build()
            .into();
        Self { address, agent }
    }

    /// Sends a request; the status and body of its answer.
    pub(crate) fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, String), PodError> {
        let failed = |error: ureq::Error| PodError::NoAnswer(format!("{method} {path}"), Box::new(error));
        let request = ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        let answer = match body {
            Some(body) => {
                let request = request.header("content-type", "application/json").body(body.to_string());
                self.agent.run(request.map_err(|error| failed(error.into()))?)
            }
            None => self.agent.run(request.body(()).map_err(|error| failed(error.into()))?),
        };
        let mut answer = answer.map_err(failed)?;
        let text = answer.body_mut().read_to_string().map_err(failed)?;
        Ok((answer.status().as_u16(), text))
    }

    /// As [`Self::send`], with an error for any other status than `expected`.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        expected: u16,
    ) -> Result<String, PodError> {
        let (status, body) = self.send(method, path, body)?;
        if status == expected {
            return Ok(body);
        }
        Err(PodError::Answer { request: format!("{method} {path}"), status, body })
    }

    /// Every metric now.
    pub(crate) fn metrics(&self) -> Result<Metrics, PodError> {
        Ok(Metrics::parse(&self.ask("GET", "/metrics", None, 200)?)?)
    }
}
