//! The real operator as a process, with the rights that it has in a cluster and no more.

use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{Namespace, ServiceAccount},
};
use kube::{
    Api, Client,
    api::{DynamicObject, ObjectMeta, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};

use crate::{ControlPlane, Error};

/// A namespace with an operator's account beside it.
pub struct Stage {
    /// Where sources and models are.
    pub namespace: String,
    /// Where the operator is.
    pub system: String,
    kubeconfig: PathBuf,
    folder: tempfile::TempDir,
}

impl Stage {
    /// Makes the namespaces `NAME` and `NAME-system`, and an operator's account with what `rights` say. The operator asks
    /// the API server over `through`, if given.
    pub async fn set(
        plane: &ControlPlane,
        name: &str,
        rights: &Rights,
        through: Option<SocketAddr>,
    ) -> Result<Self, Error> {
        let client = plane.client().await?;
        let (namespace, system) = (name.to_owned(), format!("{name}-system"));
        let namespaces: Api<Namespace> = Api::all(client.clone());
        for name in [&namespace, &system] {
            let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
            namespaces.create(&PostParams::default(), &Namespace { metadata, ..Namespace::default() }).await?;
        }
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &system);
        let metadata = ObjectMeta { name: Some("operator".to_owned()), ..ObjectMeta::default() };
        let account = ServiceAccount { metadata, ..ServiceAccount::default() };
        accounts.create(&PostParams::default(), &account).await?;
        rights.give(&client, &namespace, &system).await?;
        let request = TokenRequest {
            spec: TokenRequestSpec { expiration_seconds: Some(86_400), ..TokenRequestSpec::default() },
            ..TokenRequest::default()
        };
        let request = accounts.create_token_request("operator", &PostParams::default(), &request).await?;
        let token = request.status.map(|status| status.token).unwrap_or_default();
        let folder = tempfile::tempdir().map_err(Error::io("a folder"))?;
        let kubeconfig = folder.path().join("kubeconfig");
        write_kubeconfig(&plane.kubeconfig(), &kubeconfig, &token, through)?;
        Ok(Self { namespace, system, kubeconfig, folder })
    }

    /// Starts an operator, which watches the stage's namespace only. `program` is its binary, `identity` its pod's name.
    pub fn operator(&self, program: &Path, identity: &str, more: &[&str]) -> Result<Operator, Error> {
        let log = self.folder.path().join(format!("{identity}.log"));
        let file =
            File::options().create(true).append(true).open(&log).map_err(Error::io(log.display().to_string()))?;
        let process = Command::new(program)
            .args(["run", "--native-image", "vision-operator/analytics-pod:test", "--listen", "127.0.0.1:0"])
            .args(["--watch-namespace", &self.namespace])
            .args(more)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("VISION_NAMESPACE", &self.system)
            .env("VISION_POD_NAME", identity)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .map_err(Error::io(program.display().to_string()))?;
        Ok(Operator { process, log })
    }
}

/// What an operator may do, as the project documents it.
pub struct Rights(Vec<Vec<Value>>);

impl Rights {
    /// Those of `operator/rbac.json`: in watched namespaces, in the cluster, in its own namespace.
    pub fn documented() -> Result<Self, Error> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../operator/rbac.json");
        let text = std::fs::read_to_string(&file).map_err(Error::io(file.display().to_string()))?;
        let value: Value = serde_json::from_str(&text).map_err(|error| Error::Other(error.to_string()))?;
        let part = |name: &str| value[name].as_array().cloned().unwrap_or_default();
        Ok(Self(vec![part("watchedNamespaces"), part("cluster"), part("ownNamespace")]))
    }

    async fn give(&self, client: &Client, namespace: &str, system: &str) -> Result<(), Error> {
        let account = json!([{ "kind": "ServiceAccount", "name": "operator", "namespace": system }]);
        let places = [Some(namespace), None, Some(system)];
        for (index, (rules, place)) in self.0.iter().zip(places).enumerate() {
            let name = format!("{system}-{index}");
            let (role, binding) = match place {
                Some(_) => ("Role", "RoleBinding"),
                None => ("ClusterRole", "ClusterRoleBinding"),
            };
            apply(client, role, place, &name, json!({ "rules": rules })).await?;
            let reference = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": name });
            apply(client, binding, place, &name, json!({ "roleRef": reference, "subjects": account })).await?;
        }
        Ok(())
    }
}

async fn apply(client: &Client, kind: &str, place: Option<&str>, name: &str, mut body: Value) -> Result<(), Error> {
    let kind = GroupVersionKind::gvk("rbac.authorization.k8s.io", "v1", kind);
    let resource = ApiResource::from_gvk(&kind);
    let api: Api<DynamicObject> = match place {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    body["apiVersion"] = json!(resource.api_version);
    body["kind"] = json!(resource.kind);
    body["metadata"] = json!({ "name": name });
    api.patch(name, &PatchParams::apply("fake-fleet").force(), &Patch::Apply(&body)).await?;
    Ok(())
}

fn write_kubeconfig(admin: &Path, own: &Path, token: &str, through: Option<SocketAddr>) -> Result<(), Error> {
    let mut text = std::fs::read_to_string(admin).map_err(Error::io(admin.display().to_string()))?;
    let between = |text: &str, from: &str, to: &str| {
        let begin = text.find(from)? + from.len();
        Some(text[begin..begin + text[begin..].find(to)?].to_owned())
    };
    let missing = || Error::Other("the kubeconfig has no token or server".to_owned());
    text = text.replace(&between(&text, "token: \"", "\"").ok_or_else(missing)?, token);
    if let Some(address) = through {
        let server = between(&text, "server: \"", "\"").ok_or_else(missing)?;
        text = text.replace(&server, &format!("https://{address}"));
    }
    std::fs::write(own, text).map_err(Error::io(own.display().to_string()))
}

/// A running operator; killed when it is dropped.
pub struct Operator {
    process: Child,
    log: PathBuf,
}

impl Operator {
    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Where it logs.
    #[must_use]
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Where it serves metrics and probes, once it says so.
    #[must_use]
    pub fn address(&self) -> Option<String> {
        let log = self.log();
        let starts = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        starts.filter_map(|line| Some(line["address"].as_str()?.to_owned())).next_back()
    }

    /// Ends it without a word to it.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Tells it to end, and waits until it has; its exit status.
    pub fn terminate(&mut self) -> Option<i32> {
        let process = rustix::process::Pid::from_raw(i32::try_from(self.process.id()).ok()?)?;
        rustix::process::kill_process(process, rustix::process::Signal::TERM).ok()?;
        self.process.wait().ok()?.code()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.kill();
    }
}
