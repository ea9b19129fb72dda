//! `analytics-pod serve` as a process.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use analytics_pod::observation::Observation;
use crds::report::{PodReport, SourceReport};
use tempfile::TempDir;

use super::{
    api_server::{ApiServer, Cluster},
    certificates::{Authority, Pair, ask},
};
use crate::eventually;

/// Longer than the start takes on a busy machine.
const START: Duration = Duration::from_mins(2);

/// A pod that serves, and what it has published.
pub(crate) struct ServingPod {
    process: Mutex<Process>,
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) report_address: SocketAddr,
    pub(crate) folder: TempDir,
    pub(crate) authority: Authority,
    client: Pair,
    log: Arc<Mutex<String>>,
    observations: Arc<Mutex<Vec<Observation>>>,
}

impl ServingPod {
    pub(crate) fn start(server: &ApiServer, cluster: &Cluster, name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("vision-operator");
        authority.write_secret(folder.path(), &authority.pem());
        Self::start_in(server, cluster, name, folder, authority)
    }

    fn start_in(server: &ApiServer, cluster: &Cluster, name: &str, folder: TempDir, authority: Authority) -> Self {
        let media = folder.path().join("media");
        fs::create_dir_all(&media).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_analytics-pod"))
            .args(["serve", "--model=people"])
            .env("KUBECONFIG", server.pod_kubeconfig())
            .env("VISION_POD_NAME", name)
            .env("VISION_NAMESPACE", &cluster.namespace)
            .env("VISION_LISTEN", "127.0.0.1:0")
            .env("VISION_STATUS_LISTEN", "127.0.0.1:0")
            .env("VISION_STATUS_TLS", folder.path())
            .env("VISION_STATE_FOLDER", folder.path().join("state"))
            .env("VISION_MEDIA", &media)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let observations = Arc::<Mutex<Vec<Observation>>>::default();
        let seen = Arc::clone(&observations);
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // A line may be cut where the process is killed.
                if let Ok(observation) = serde_json::from_str(&line) {
                    seen.lock().unwrap().push(observation);
                }
            }
        });
        let log = Arc::<Mutex<String>>::default();
        let (told, addresses) = mpsc::channel();
        let kept = Arc::clone(&log);
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                for field in ["\"address\":\"", "\"report_address\":\""] {
                    if let Some((_, rest)) = line.split_once(field) {
                        // Only the first two are waited for.
                        let _ = told.send(rest.split('"').next().unwrap_or_default().to_owned());
                    }
                }
                kept.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        let address = || {
            let told = addresses.recv_timeout(START).unwrap_or_else(|_| panic!("not started: {}", log.lock().unwrap()));
            told.parse().unwrap()
        };
        let (address, report_address) = (address(), address());
        let client = authority.client();
        let name = name.to_owned();
        Self {
            process: Mutex::new(Process(child)),
            name,
            address,
            report_address,
            folder,
            authority,
            client,
            log,
            observations,
        }
    }

    /// As a crash does; the container's folders stay.
    pub(crate) fn crash_and_restart(self, server: &ApiServer, cluster: &Cluster) -> Self {
        let Self { process, name, folder, authority, .. } = self;
        drop(process);
        Self::start_in(server, cluster, &name, folder, authority)
    }

    pub(crate) fn terminate(&self) {
        let id = i32::try_from(self.process.lock().unwrap().0.id()).unwrap();
        let id = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    }

    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        self.process.lock().unwrap().0.try_wait().unwrap()
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn observations(&self) -> Vec<Observation> {
        self.observations.lock().unwrap().clone()
    }

    /// How many frames of a source were published.
    pub(crate) fn published(&self, source: &str) -> usize {
        self.observations.lock().unwrap().iter().filter(|observation| &*observation.source == source).count()
    }

    /// What it tells the operator.
    pub(crate) fn report(&self) -> PodReport {
        ask(self.report_address, &self.authority.pem(), Some(&self.client))
            .unwrap_or_else(|error| panic!("{error}: {}", self.log()))
    }

    /// What it tells of a source.
    pub(crate) fn source(&self, name: &str) -> Option<SourceReport> {
        self.report().sources.into_iter().find(|source| source.name == name)
    }

    /// The status of an answer of its HTTP API, and its text.
    pub(crate) fn http(&self, method: &str, path: &str) -> (u16, String) {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .build()
            .into();
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header("content-type", "application/json");
        let body = if method == "GET" { String::new() } else { r#"{"id":"gate","uri":"sim://street"}"#.to_owned() };
        let mut answer = if method == "GET" {
            agent.run(request.body(()).unwrap()).unwrap()
        } else {
            agent.run(request.body(body).unwrap()).unwrap()
        };
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), text)
    }

    /// Waits until `count` more frames of a source were published.
    pub(crate) async fn more(&self, source: &str, count: usize) {
        let before = self.published(source);
        eventually(&format!("{} publishes {source}: {}", self.name, self.log()), async || {
            self.published(source) >= before + count
        })
        .await;
    }
}

/// Ends with the test, as a crash does.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
