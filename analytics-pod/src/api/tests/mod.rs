//! Behaviour of the server, over loopback.

#![allow(clippy::unwrap_used, clippy::panic)]

mod config;
mod document;
mod limits;
mod probes;
mod sources;

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::runtime::Runtime;

use super::*;
use crate::assign::{
    DesiredState,
    rest::{Registry, StateFolder},
};
use crate::config::{Config, Inputs, Store};

pub(super) const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A server and what it serves. Nothing runs behind it: the registry's sources are not started.
pub(super) struct Running {
    runtime: Runtime,
    server: Option<Server>,
    pub(super) address: SocketAddr,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) health: Arc<Health>,
    pub(super) registry: Arc<Registry>,
    folder: tempfile::TempDir,
    token: Option<&'static str>,
}

/// The configuration where nothing is said.
pub(super) fn config_of(registry: &Arc<Registry>, requested: Option<Value>) -> Arc<Store> {
    let inputs = Inputs::default();
    let effective = inputs.read().unwrap();
    let told = Arc::clone(registry);
    let apply = move |config: &Config| told.set_detection_defaults(config.detection.clone());
    Arc::new(Store::new(inputs, effective, requested, Arc::clone(registry), apply))
}

/// An answer.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) status: u16,
    pub(super) headers: ureq::http::HeaderMap,
    pub(super) text: String,
}

impl Told {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// The pointers of the problem that it is.
    pub(super) fn pointers(&self) -> Vec<String> {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let json = self.json();
        assert_eq!(json["status"], self.status);
        assert_eq!(json["requestId"], self.header("x-request-id"));
        let errors = json["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
    }
}

impl Running {
    pub(super) fn start() -> Self {
        Self::with(DesiredState::default(), None)
    }

    pub(super) fn with(declared: DesiredState, token: Option<&'static str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (telemetry, health) = (Arc::<Telemetry>::default(), Arc::<Health>::default());
        let (state, mut held) = StateFolder::open(&folder.path().join("state")).unwrap();
        let requested = held.config.take();
        let registry = Arc::new(Registry::new(declared, state, held));
        let services = Services {
            telemetry: Arc::clone(&telemetry),
            health: Arc::clone(&health),
            registry: Arc::clone(&registry),
            config: config_of(&registry, requested),
            models: Models::default(),
            frames: FrameRequests::default(),
            engine: "native",
            cores: 2,
            token: token.map(|token| Arc::new(Token::new(token).unwrap())),
            metrics_path: "/metrics".to_owned(),
            max_body: 1 << 20,
        };
        let server = runtime.block_on(Server::start(LOOPBACK, services)).unwrap();
        let address = server.address();
        Self { runtime, server: Some(server), address, telemetry, health, registry, folder, token }
    }

    pub(super) fn state_folder(&self) -> std::path::PathBuf {
        self.folder.path().join("state")
    }

    pub(super) fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Told {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .allow_non_standard_methods(true)
            .build()
            .into();
        let mut request = ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut response = if body.is_empty() {
            agent.run(request.body(()).unwrap()).unwrap()
        } else {
            agent.run(request.body(body).unwrap()).unwrap()
        };
        let text = response.body_mut().read_to_string().unwrap();
        Told { status: response.status().as_u16(), headers: response.headers().clone(), text }
    }

    pub(super) fn get(&self, path: &str) -> Told {
        self.request("GET", path, &[], Vec::new())
    }

    pub(super) fn send(&self, method: &str, path: &str, body: &Value) -> Told {
        self.request(method, path, &[("content-type", "application/json")], body.to_string().into_bytes())
    }

    pub(super) fn delete(&self, path: &str) -> Told {
        self.request("DELETE", path, &[], Vec::new())
    }

    /// Everything in the folder, file by file.
    pub(super) fn kept(&self) -> String {
        fn read(folder: &Path, into: &mut String) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    read(&path, into);
                } else {
                    into.push_str(&std::fs::read_to_string(path).unwrap());
                }
            }
        }
        let mut text = String::new();
        read(&self.state_folder(), &mut text);
        text
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.stop(Duration::from_secs(5)));
        }
    }
}
