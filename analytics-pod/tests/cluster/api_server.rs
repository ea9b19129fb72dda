//! etcd and an API server with the definitions of this project, and what the operator does there.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use crds::{DetectionModel, VideoSource};
use k8s_openapi::{
    ByteString,
    api::{
        core::v1::{Namespace, Secret},
        rbac::v1::{Role, RoleBinding},
    },
};
use kube::{
    Api, Client, Config, Resource, ResourceExt as _,
    api::{ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::{NamespaceResourceScope, ObjectMeta},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::certificates::Authority;
use crate::eventually;

const ADMIN: &str = "admin-token";

/// The pods' user.
const POD: &str = "pod-token";

/// Where the programs are; `None` where they cannot be built here.
fn programs() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = FOLDER.get_or_init(|| {
        if Command::new("go").arg("version").output().is_err() {
            return None;
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/cluster-tools.sh");
        let built = Command::new(script).args(["etcd", "kube-apiserver"]).stderr(Stdio::inherit()).output().unwrap();
        assert!(built.status.success(), "{script} has failed");
        Some(PathBuf::from(String::from_utf8(built.stdout).unwrap().trim()))
    });
    found.as_deref()
}

/// A program that ends with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A control plane of two programs on loopback.
pub(crate) struct ApiServer {
    folder: TempDir,
    etcd_port: u16,
    port: u16,
    running: Mutex<Option<Program>>,
    _etcd: Program,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl ApiServer {
    /// Starts it, with the project's definitions; `None`, with a line that says so, where it cannot be built here.
    pub(crate) async fn start() -> Option<Self> {
        let Some(programs) = tokio::task::block_in_place(programs) else {
            eprintln!("skipped: Go is needed to build an API server");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let authority = Authority::new("cluster");
        let server = authority.server(&["127.0.0.1", "localhost"]);
        write("ca.crt", &authority.pem());
        write("server.crt", &server.certificate);
        write("server.key", &server.key);
        let account = rcgen::KeyPair::generate().unwrap();
        write("account.key", &account.serialize_pem());
        write("account.pub", &account.public_key_pem());
        write("tokens.csv", &format!("{ADMIN},admin,admin,system:masters\n{POD},pod,pod,\n"));
        let (etcd_port, port) = (free_port(), free_port());
        let address = format!("http://127.0.0.1:{etcd_port}");
        let log = File::create(folder.path().join("etcd.log")).unwrap();
        let etcd = Command::new(programs.join("etcd"))
            .args(["--unsafe-no-fsync", "--log-level=warn", "--listen-peer-urls=http://127.0.0.1:0"])
            .args(["--listen-client-urls", &address, "--advertise-client-urls", &address, "--data-dir"])
            .arg(folder.path().join("etcd"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let server = Self { folder, etcd_port, port, running: Mutex::new(None), _etcd: Program(etcd) };
        server.resume().await;
        for definition in crds::definitions() {
            server.apply(&Api::all(server.admin().await), &definition).await;
        }
        let sources: Api<VideoSource> = Api::all(server.admin().await);
        let models: Api<DetectionModel> = Api::all(server.admin().await);
        eventually("the definitions are served", async || {
            sources.list(&ListParams::default()).await.is_ok() && models.list(&ListParams::default()).await.is_ok()
        })
        .await;
        Some(server)
    }

    /// Ends the API server as a crash does.
    pub(crate) fn kill(&self) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Starts it again, at the same address.
    pub(crate) async fn resume(&self) {
        let path = |name: &str| self.folder.path().join(name);
        let log = File::options().create(true).append(true).open(path("kube-apiserver.log")).unwrap();
        let process = Command::new(programs().unwrap().join("kube-apiserver"))
            .arg(format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port))
            .arg(format!("--secure-port={}", self.port))
            .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none"])
            .args(["--authorization-mode=RBAC", "--service-cluster-ip-range=10.96.0.0/16"])
            .args(["--service-account-issuer=https://127.0.0.1", "--disable-admission-plugins=ServiceAccount"])
            .arg(format!("--tls-cert-file={}", path("server.crt").display()))
            .arg(format!("--tls-private-key-file={}", path("server.key").display()))
            .arg(format!("--token-auth-file={}", path("tokens.csv").display()))
            .arg(format!("--service-account-key-file={}", path("account.pub").display()))
            .arg(format!("--service-account-signing-key-file={}", path("account.key").display()))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(Program(process));
        let client = self.admin().await;
        let words = || fs::read_to_string(path("kube-apiserver.log")).unwrap_or_default();
        for _ in 0..600 {
            if client.request_text(http_get("/readyz")).await.is_ok() {
                return;
            }
            assert!(!self.has_ended(), "the API server has ended: {}", words());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("the API server is not ready: {}", words());
    }

    fn has_ended(&self) -> bool {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.as_mut().and_then(|process| process.0.try_wait().unwrap()).is_some()
    }

    /// A kubeconfig for one of the users.
    fn kubeconfig(&self, token: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{ "name": "test", "cluster": {
                "server": format!("https://127.0.0.1:{}", self.port),
                "certificate-authority": self.folder.path().join("ca.crt"),
            } }],
            "users": [{ "name": "test", "user": { "token": token } }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
        })
    }

    /// The file by which pods find it.
    pub(crate) fn pod_kubeconfig(&self) -> PathBuf {
        let path = self.folder.path().join("pod.kubeconfig");
        fs::write(&path, self.kubeconfig(POD).to_string()).unwrap();
        path
    }

    async fn admin(&self) -> Client {
        let kubeconfig: Kubeconfig = serde_json::from_value(self.kubeconfig(ADMIN)).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        Client::try_from(config).unwrap()
    }

    async fn apply<K>(&self, api: &Api<K>, object: &K)
    where
        K: Resource + Clone + DeserializeOwned + Serialize + std::fmt::Debug,
        K::DynamicType: Default,
    {
        let params = PatchParams::apply("test").force();
        let mut value = serde_json::to_value(object).unwrap();
        value["apiVersion"] = K::api_version(&K::DynamicType::default()).into();
        value["kind"] = K::kind(&K::DynamicType::default()).into();
        api.patch(&object.name_any(), &params, &Patch::Apply(value)).await.unwrap();
    }

    /// A namespace of its own for a test, with the model `people` and what pods may do there.
    pub(crate) async fn namespace(&self, name: &str) -> Cluster {
        let client = self.admin().await;
        let namespace = Namespace {
            metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
            ..Namespace::default()
        };
        self.apply(&Api::all(client.clone()), &namespace).await;
        let cluster = Cluster { client, namespace: name.to_owned() };
        cluster.allow(&[]).await;
        cluster
            .apply::<RoleBinding>(json!({
                "metadata": { "name": "people-analytics" },
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "people-analytics" },
                "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "pod" }],
            }))
            .await;
        cluster.model(&json!({ "source": { "builtin": "starter" } })).await;
        cluster
    }
}

fn http_get(path: &str) -> hyper::http::Request<Vec<u8>> {
    hyper::http::Request::get(path).body(Vec::new()).unwrap()
}

/// A namespace, and the operator's hand in it.
pub(crate) struct Cluster {
    client: Client,
    pub(crate) namespace: String,
}

impl Cluster {
    fn api<K: Resource<Scope = NamespaceResourceScope>>(&self) -> Api<K>
    where
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn apply<K>(&self, mut object: Value) -> K
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
        K::DynamicType: Default,
    {
        object["apiVersion"] = K::api_version(&K::DynamicType::default()).into();
        object["kind"] = K::kind(&K::DynamicType::default()).into();
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let params = PatchParams::apply("test").force();
        self.api::<K>().patch(&name, &params, &Patch::Apply(object)).await.unwrap()
    }

    /// What the operator's Role lets pods read.
    pub(crate) async fn allow(&self, secrets: &[&str]) {
        let read = ["get", "list", "watch"];
        let mut rules = vec![
            json!({ "apiGroups": ["vision-operator.dev"], "resources": ["videosources"], "verbs": read }),
            json!({
                "apiGroups": ["vision-operator.dev"], "resources": ["detectionmodels"], "resourceNames": ["people"],
                "verbs": read,
            }),
        ];
        if !secrets.is_empty() {
            let rule =
                json!({ "apiGroups": [""], "resources": ["secrets"], "resourceNames": secrets, "verbs": ["get"] });
            rules.push(rule);
        }
        self.apply::<Role>(json!({ "metadata": { "name": "people-analytics" }, "rules": rules })).await;
    }

    /// The DetectionModel; its generation.
    pub(crate) async fn model(&self, spec: &Value) -> i64 {
        let object: DetectionModel = self.apply(json!({ "metadata": { "name": "people" }, "spec": spec })).await;
        object.metadata.generation.unwrap()
    }

    /// A VideoSource, new or edited.
    pub(crate) async fn source(&self, name: &str, spec: &Value) {
        let mut spec = spec.clone();
        spec["modelRef"] = json!({ "name": "people" });
        self.apply::<VideoSource>(json!({ "metadata": { "name": name }, "spec": spec })).await;
    }

    /// Writes the whole status, as the operator does.
    pub(crate) async fn status(&self, name: &str, mut status: Value) {
        let epoch = |part: &str| status[part]["epoch"].as_i64();
        let current = self.api::<VideoSource>().get(name).await.unwrap().status.and_then(|status| status.epoch);
        status["epoch"] = [epoch("assignment"), epoch("handover"), current].into_iter().flatten().max().into();
        let object = json!({
            "apiVersion": crds::API_VERSION, "kind": "VideoSource", "metadata": { "name": name }, "status": status,
        });
        let params = PatchParams::apply("vision-operator").force();
        self.api::<VideoSource>().patch_status(name, &params, &Patch::Apply(object)).await.unwrap();
    }

    /// Binds a source to a pod.
    pub(crate) async fn assign(&self, name: &str, pod: &str, epoch: i64) {
        self.status(name, json!({ "assignment": { "pod": pod, "epoch": epoch } })).await;
    }

    /// Nobody has the source.
    pub(crate) async fn release(&self, name: &str) {
        self.status(name, json!({})).await;
    }

    /// A login.
    pub(crate) async fn secret(&self, name: &str, kind: &str, username: &str, password: &str) {
        let data = [("username", username), ("password", password)]
            .map(|(key, value)| (key.to_owned(), ByteString(value.as_bytes().to_vec())));
        let secret = Secret {
            metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
            type_: Some(kind.to_owned()),
            data: Some(data.into()),
            ..Secret::default()
        };
        self.api::<Secret>().create(&PostParams::default(), &secret).await.unwrap();
    }
}
