//! Secrets that are known here, in every place that takes one, and everything that the program emits meanwhile, at its
//! most talkative: none may be found in it, in any spelling.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, UdpSocket},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use camera_simulator::{CameraConfig, Config, Login, LoginMethod, SceneConfig, Silent, Simulator};
use serde_json::{Value, json};

const USER: &str = "operator";
/// The cameras' password; one that changes its look in URIs and in JSON.
const PASSWORD: &str = "Gr\u{e4}fin+Tee/7%\"q";
const WRONG: &str = "wr0ng-Passw0rd/8&";
const IN_QUERY: &str = "qu3ry-s3cret-9";
const PASSPHRASE: &str = "srt horse battery 5";
const TOKEN: &str = "t0ken-of-the-api-0123456789";
const SECRETS: [&str; 5] = [PASSWORD, WRONG, IN_QUERY, PASSPHRASE, TOKEN];

/// Far more than anything here takes, so that a busy machine fails no test.
const PATIENCE: Duration = Duration::from_mins(2);

/// The spellings in which a secret may leave: as it is, in a URI, in JSON, in Rust's debug form, and in an
/// `Authorization` header.
fn spellings(secret: &str) -> Vec<String> {
    let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let mut in_uri = url::Url::parse("rtsp://camera/").unwrap();
    in_uri.set_password(Some(secret)).unwrap();
    let json = json!(secret).to_string();
    let debug = format!("{secret:?}");
    let mut spellings = vec![
        secret.to_owned(),
        encoded,
        in_uri.password().unwrap().to_owned(),
        json.trim_matches('"').to_owned(),
        debug.trim_matches('"').to_owned(),
        BASE64_STANDARD.encode(format!("{USER}:{secret}")),
        BASE64_STANDARD.encode(secret),
    ];
    // Within a line of JSON the JSON of others is escaped once more.
    let again = json!(json).to_string();
    spellings.push(again.trim_matches('"').trim_matches('\\').trim_matches('"').to_owned());
    spellings.sort();
    spellings.dedup();
    spellings
}

/// Where secrets are in `text`, with what stands around them.
fn leaks(what: &str, text: &str) -> Vec<String> {
    let found = SECRETS.iter().flat_map(|secret| spellings(secret)).filter_map(|spelling| {
        let at = text.find(&spelling)?;
        let (from, to) = (text.floor_char_boundary(at.saturating_sub(160)), at + spelling.len() + 60);
        Some(format!("{what}: {spelling}: …{}…", &text[from..text.floor_char_boundary(to)]))
    });
    found.collect()
}

/// A server that always wants a login, and gives up its connections.
fn demanding_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut reader = BufReader::new(connection.try_clone().unwrap());
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            let answer = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"clips\"\r\n\
                          Content-Length: 0\r\nConnection: close\r\n\r\n";
            // One that has gone wants no answer.
            let _ = connection.write_all(answer.as_bytes());
        }
    });
    address
}

fn cameras(cache: &Path) -> Simulator {
    let camera = |name: &str, method| {
        let scene =
            SceneConfig { width: 320, height: 192, fps: 5, frames: Some(25), gop: Some(5), ..SceneConfig::default() };
        let login = Login { username: USER.into(), password: PASSWORD.into(), method };
        CameraConfig { login: Some(login), ..CameraConfig::of_scene(name, scene) }
    };
    let cameras = vec![camera("basic", LoginMethod::Basic), camera("digest", LoginMethod::Digest)];
    let config = Config { cache: Some(cache.to_owned()), ..Config::on_loopback(cameras) };
    Simulator::start(&config, &Silent).unwrap()
}

fn manifests(folder: &Path, cameras: &Simulator, http: &str) {
    let srt = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut text = String::new();
    for (name, uri, secret) in [
        ("basic", cameras.uri("basic").unwrap(), "right"),
        ("digest", cameras.uri("digest").unwrap(), "right"),
        ("locked", cameras.uri("basic").unwrap(), "wrong"),
        ("in-query", format!("{}?token={IN_QUERY}", cameras.uri("digest").unwrap()), "wrong"),
        ("clip", format!("http://{http}/clip.mp4?key={IN_QUERY}"), "right"),
        ("srt", format!("srt://{srt}?mode=listener&streamid={IN_QUERY}"), "passphrase"),
    ] {
        write!(
            text,
            "apiVersion: vision-operator.dev/v1alpha1\nkind: VideoSource\nmetadata: {{name: {name}}}\nspec: {{uri: \
             '{uri}', credentialsSecretRef: {{name: {secret}}}, modelRef: {{name: starter}}}}\n---\n"
        )
        .unwrap();
    }
    for (name, password) in [("right", PASSWORD), ("wrong", WRONG), ("passphrase", PASSPHRASE)] {
        write!(
            text,
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\ntype: kubernetes.io/basic-auth\nstringData: \
             {{username: {USER}, password: {}}}\n---\n",
            json!(password)
        )
        .unwrap();
    }
    text.push_str(
        "apiVersion: vision-operator.dev/v1alpha1\nkind: DetectionModel\nmetadata: {name: starter}\nspec: {source: \
         {builtin: starter}}\n",
    );
    fs::write(folder.join("manifests.yaml"), text).unwrap();
    // A file with a mistake beside a secret: it is named, and nothing of it quoted.
    let broken =
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: broken}}\nstringData: [{}]\n", json!(PASSWORD));
    fs::write(folder.join("broken.yaml"), broken).unwrap();
}

/// The program, as talkative as it can be.
fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_analytics-pod"));
    command
        .current_dir(folder)
        .env("RUST_LOG", "trace")
        .env("GST_DEBUG", "*:4,rtsp*:7,soup*:7,srt*:7,sdp*:7,structure:7,GST_URI:7")
        .env("VISION_STATE_FOLDER", folder.join("state"))
        .env("VISION_API_TOKEN_FILE", folder.join("token"))
        .stdin(Stdio::null());
    command
}

/// The running pod and everything that it has said so far.
struct Pod {
    child: Child,
    address: String,
    agent: ureq::Agent,
    said: Vec<(String, String)>,
}

impl Drop for Pod {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Pod {
    fn start(folder: &Path) -> Self {
        let child = program(folder)
            .args(["run", "--listen", "127.0.0.1:0", "-f", "manifests"])
            .args(["--output", "stdout", "--output", "file:observations.jsonl", "--output", "frames:frames"])
            .args(["--log-file", "pod.log", "--stats-file", "stats.json"])
            .stdout(File::create(folder.join("stdout")).unwrap())
            .stderr(File::create(folder.join("stderr")).unwrap())
            .spawn()
            .unwrap();
        let agent = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
        let mut pod = Self { child, address: String::new(), agent: agent.into(), said: Vec::new() };
        let deadline = Instant::now() + PATIENCE;
        while pod.address.is_empty() {
            let log = fs::read_to_string(folder.join("stderr")).unwrap_or_default();
            let told = log
                .lines()
                .filter(|line| line.contains("HTTP API"))
                .find_map(|line| Some(line.split_once("\"address\":\"")?.1.split('"').next()?.to_owned()));
            pod.address = told.unwrap_or_default();
            assert!(Instant::now() < deadline, "it does not listen");
            thread::sleep(Duration::from_millis(50));
        }
        pod
    }

    fn ask(&mut self, method: &str, path: &str, body: &str, token: Option<&str>) -> (u16, String) {
        let request = ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        let request = match token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        let answered = if body.is_empty() {
            self.agent.run(request.body(()).unwrap())
        } else {
            self.agent.run(request.header("content-type", "application/json").body(body.to_owned()).unwrap())
        };
        let mut answer = answered.unwrap();
        let status = answer.status().as_u16();
        let text = String::from_utf8_lossy(&answer.body_mut().read_to_vec().unwrap()).into_owned();
        self.said.push((format!("{method} {path} ({status})"), format!("{:?}\n{text}", answer.headers())));
        (status, text)
    }

    fn send(&mut self, method: &str, path: &str, body: &Value) -> u16 {
        self.ask(method, path, &body.to_string(), Some(TOKEN)).0
    }

    fn wait_for(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (status, text) = self.ask("GET", &format!("/api/v1/sources/{name}"), "", Some(TOKEN));
            assert_eq!(status, 200, "{name}: {text}");
            let source: Value = serde_json::from_str(&text).unwrap();
            if wanted(&source["status"]) {
                return;
            }
            assert!(Instant::now() < deadline, "{source:#}");
            thread::sleep(Duration::from_millis(200));
        }
    }

    fn end(mut self) -> Vec<(String, String)> {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
        std::mem::take(&mut self.said)
    }
}

fn streams(status: &Value) -> bool {
    status["state"] == "Streaming" && status["frames"]["processed"].as_u64() > Some(3)
}

fn refused(status: &Value) -> bool {
    status["lastError"]["reason"] == "AuthenticationFailed"
}

/// Requests that must fail, and hold secrets.
fn mistakes(pod: &mut Pod, camera: &str) {
    let login = json!({"username": USER, "password": PASSWORD});
    for body in [
        json!({"id": "x", "uri": "rtsp://camera/1", "credentials": {"username": USER, "password": PASSWORD, "more": 1}}),
        json!({"id": "x", "uri": "rtsp://camera/1", "credentials": PASSWORD}),
        json!({"id": PASSWORD, "uri": "rtsp://camera/1", "credentials": login}),
        json!({"id": "x", "uri": format!("nonsense://camera/?key={IN_QUERY}"), "credentials": login}),
        json!({"id": "x", "uri": format!("rtsp://{USER}:{WRONG}@camera/1")}),
        json!({"id": "x", "uri": format!("{camera}?token={IN_QUERY}"), "model": "none", "credentials": login}),
    ] {
        let status = pod.send("POST", "/api/v1/sources", &body);
        assert!((400..500).contains(&status), "{status}: {body}");
    }
    let cut = format!("{{\"id\": \"x\", \"credentials\": {{\"password\": {}", json!(PASSWORD));
    assert_eq!(pod.ask("POST", "/api/v1/sources", &cut, Some(TOKEN)).0, 400);
    let model = json!({"id": "far", "source": {"url": format!("https://127.0.0.1:9/m.onnx?sig={IN_QUERY}"),
                       "sha256": "0".repeat(64)}});
    pod.send("POST", "/api/v1/models", &model);
    assert_eq!(pod.ask("GET", "/api/v1/sources", "", None).0, 401);
    assert_eq!(pod.ask("GET", "/api/v1/sources", "", Some(WRONG)).0, 401);
    let path = format!("/api/v1/sources/x?token={IN_QUERY}");
    assert_eq!(pod.ask("GET", &path, "", Some(TOKEN)).0, 404);
    // What was asked is no answer.
    for (what, _) in &mut pod.said {
        *what = what.replace(&path, "/api/v1/sources/x?…");
    }
}

/// Everything in a folder but what is under one of `exceptions`.
fn files(folder: &Path, exceptions: &[PathBuf], into: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if exceptions.contains(&path) {
            continue;
        }
        if path.is_dir() {
            files(&path, exceptions, into);
        } else {
            let bytes = fs::read(&path).unwrap();
            into.push((path.display().to_string(), String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
}

/// The files that may hold secrets are their owner's alone.
fn is_private(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o077;
        if path.is_dir() {
            is_private(&path);
        } else {
            assert_eq!(mode, 0, "{} is {mode:o}", path.display());
        }
    }
}

#[test]
fn nothing_that_the_pod_emits_holds_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir(root.join("manifests")).unwrap();
    fs::write(root.join("token"), TOKEN).unwrap();
    let cameras = cameras(&root.join("cache"));
    let (camera, http) = (cameras.uri("basic").unwrap(), demanding_server());
    manifests(&root.join("manifests"), &cameras, &http);

    let mut pod = Pod::start(root);
    mistakes(&mut pod, &camera);
    let login = |password: &str| json!({"username": USER, "password": password});
    let made = json!({"id": "made", "uri": format!("{camera}?key={IN_QUERY}"), "credentials": login(WRONG)});
    assert_eq!(pod.send("POST", "/api/v1/sources", &made), 201);
    pod.wait_for("made", refused);
    let mended = json!({"uri": camera, "credentials": login(PASSWORD)});
    assert_eq!(pod.send("PATCH", "/api/v1/sources/made", &mended), 200);
    for name in ["made", "basic", "digest"] {
        pod.wait_for(name, streams);
    }
    for name in ["locked", "clip"] {
        pod.wait_for(name, refused);
    }
    for name in ["in-query", "srt"] {
        pod.wait_for(name, |status| !status["lastError"].is_null());
    }
    for path in [
        "/livez",
        "/readyz",
        "/startupz",
        "/health",
        "/metrics",
        "/docs",
        "/api/v1/openapi.json",
        "/api/v1/status",
        "/api/v1/config",
        "/api/v1/sources",
        "/api/v1/sources/srt",
        "/api/v1/sources/basic/frame.jpg",
        "/api/v1/models",
        "/api/v1/models/far",
    ] {
        pod.ask("GET", path, "", Some(TOKEN));
    }
    let mut said = Vec::new();
    for arguments in [
        &["health", "--detailed", "--address", &pod.address.clone()][..],
        &["health", "--detailed", "--output", "json", "--address", &pod.address.clone()],
        &["check", "-f", "manifests", "--connect"],
        &["check", "-f", "manifests", "--output", "json"],
        &["detect", &format!("http://{http}/clip.mp4?key={IN_QUERY}")],
    ] {
        let output = program(root).args(arguments).output().unwrap();
        for (which, bytes) in [("output", output.stdout), ("error output", output.stderr)] {
            said.push((format!("{which} of {}", arguments[0]), String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
    said.extend(pod.end());
    let exceptions = ["manifests", "token", "state", "cache"].map(|name| root.join(name));
    files(root, &exceptions, &mut said);
    is_private(&root.join("state"));

    // It may have been rotated.
    let log: String = said.iter().filter(|(what, _)| what.contains("/pod.log")).map(|(_, text)| &**text).collect();
    let found: Vec<String> = said.iter().flat_map(|(what, text)| leaks(what, text)).collect();
    assert!(found.is_empty(), "{} leaks:\n{}", found.len(), found.join("\n"));
    for expected in ["\"target\":\"gstreamer\"", "rtspsrc", "AuthenticationFailed", "souphttpsrc", "srtsrc"] {
        assert!(log.contains(expected), "the log is less talkative than it could be: no {expected}");
    }
    let mut kept = Vec::new();
    files(&root.join("state"), &[], &mut kept);
    assert!(kept.iter().any(|(what, text)| !leaks(what, text).is_empty()), "no secret was in play");
}
