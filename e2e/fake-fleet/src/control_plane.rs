//! `e2e/cluster/control-plane.sh`, started and ended.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use kube::{
    Api, Client, Config,
    api::{Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};

use crate::Error;

/// Why there is no control plane to test against.
#[derive(Debug, thiserror::Error)]
#[error("no control plane: {0}")]
pub struct Unavailable(String);

/// etcd, API server, controller manager, scheduler and kwok; they end with this.
pub struct ControlPlane {
    // The script ends when its standard input does.
    script: Child,
    folder: tempfile::TempDir,
}

impl ControlPlane {
    /// Starts it; the first time on a machine its programs are built, for minutes.
    pub fn start() -> Result<Self, Unavailable> {
        let failed = |what: &str| Unavailable(what.to_owned());
        if Command::new("go").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            return Err(failed("Go is not installed (https://go.dev/dl); it builds the API server"));
        }
        let folder = tempfile::tempdir().map_err(|error| failed(&error.to_string()))?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cluster/control-plane.sh");
        let mut script = Command::new(script)
            .arg(folder.path().join("cluster"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed(&error.to_string()))?;
        let mut line = String::new();
        if let Some(output) = script.stdout.take() {
            BufReader::new(output).read_line(&mut line).map_err(|error| failed(&error.to_string()))?;
        }
        if line.trim() != "ready" {
            return Err(failed("control-plane.sh ended before it was ready; its words are above"));
        }
        Ok(Self { script, folder })
    }

    /// A kubeconfig for everything.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("cluster/kubeconfig")
    }

    /// `kubectl` as it is to be called for a namespace; the first time on a machine it is built.
    pub fn kubectl(&self, namespace: &str) -> Result<Command, Error> {
        static TOOLS: OnceLock<Option<PathBuf>> = OnceLock::new();
        let tools = TOOLS.get_or_init(|| {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/cluster-tools.sh");
            let built = Command::new(script).arg("kubectl").stderr(Stdio::inherit()).output().ok()?;
            let folder = String::from_utf8(built.stdout).ok()?;
            built.status.success().then(|| PathBuf::from(folder.trim()))
        });
        let tools = tools.as_ref().ok_or_else(|| Error::Other("kubectl cannot be built".to_owned()))?;
        let mut kubectl = Command::new(tools.join("kubectl"));
        kubectl.arg("--kubeconfig").arg(self.kubeconfig()).args(["--namespace", namespace, "--cache-dir"]);
        kubectl.arg(self.folder.path().join("kubectl"));
        Ok(kubectl)
    }

    /// Where the API server listens.
    #[must_use]
    pub fn address(&self) -> Option<std::net::SocketAddr> {
        let text = std::fs::read_to_string(self.kubeconfig()).ok()?;
        text.split_once("https://")?.1.split('"').next()?.parse().ok()
    }

    /// What was asked about Secrets, one JSON object a line.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.folder.path().join("cluster/audit.log")
    }

    /// A client for everything.
    pub async fn client(&self) -> Result<Client, Error> {
        let failed = |error: &dyn std::fmt::Display| Error::Other(format!("kubeconfig: {error}"));
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig()).map_err(|error| failed(&error))?;
        let options = KubeConfigOptions::default();
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| failed(&error))?;
        // A refused eviction is an answer too.
        config.default_retry = false;
        Ok(Client::try_from(config)?)
    }

    /// The project's own kinds, and `nodes` nodes that take any number of pods.
    pub async fn furnish(&self, nodes: usize) -> Result<(), Error> {
        use k8s_openapi::{
            api::core::v1::Node, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
        };
        let client = self.client().await?;
        let params = PatchParams::apply("fake-fleet").force();
        let kinds: Api<CustomResourceDefinition> = Api::all(client.clone());
        for kind in crds::definitions() {
            let name = kind.metadata.name.clone().unwrap_or_default();
            kinds.patch(&name, &params, &Patch::Apply(&kind)).await?;
            let established = kube::runtime::conditions::is_crd_established();
            kube::runtime::wait::await_condition(kinds.clone(), &name, established)
                .await
                .map_err(|error| Error::Other(error.to_string()))?;
        }
        let all: Api<Node> = Api::all(client);
        for index in 1..=nodes {
            let name = format!("node-{index}");
            let room = serde_json::json!({ "cpu": "10k", "memory": "10Ti", "pods": "10k" });
            let node = serde_json::json!({
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name } },
                "status": { "allocatable": room, "capacity": room },
            });
            all.patch(&name, &params, &Patch::Apply(&node)).await?;
            all.patch_status(&name, &params, &Patch::Apply(&node)).await?;
        }
        Ok(())
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        // It ends what it has started; there is nobody to tell if it cannot.
        let _ = self.script.wait();
    }
}
