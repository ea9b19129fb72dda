//! Installations of each version, clips, and scenes in processes of their own.

use std::{
    collections::HashMap,
    env, fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, OnceLock},
    thread,
    time::{Duration, Instant},
};

use camera_simulator::{CameraConfig, Codec, Config, Container, SceneConfig, Silent};
use deepstream_standin::{Version, install};
use serde_json::Value;

/// Far more than a scene takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// One version of each epoch.
pub(crate) const EPOCHS: [&str; 6] = ["5.0-DP", "5.1", "6.2", "7.1", "8.0", "9.1"];

/// Frames of a clip.
pub(crate) const FRAMES: usize = 20;

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").canonicalize().unwrap()
}

pub(crate) fn temporary() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("standin");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// The folder of an installation of that version, made once.
pub(crate) fn installation(version: &str) -> PathBuf {
    static MADE: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);
    let mut made = MADE.lock().unwrap();
    let made = made.get_or_insert_default();
    made.entry(version.to_owned()).or_insert_with(|| install_at(&temporary().join(version), version)).clone()
}

/// Lays an installation out and builds the parser against its headers.
pub(crate) fn install_at(root: &Path, version: &str) -> PathBuf {
    let built = env::current_exe().unwrap().parent().unwrap().to_owned();
    install::install(root, version.parse::<Version>().unwrap(), &built).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("parsers/yolo_v8.cpp");
    build_parser(&source, &root.join("sources/includes"), &root.join("lib/libparser.so"));
    root.to_owned()
}

/// Compiles a parser of outputs.
pub(crate) fn build_parser(source: &Path, headers: &Path, library: &Path) {
    let output = Command::new("g++")
        .args(["-std=c++14", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-I"])
        .arg(headers)
        .arg("-o")
        .args([library, source])
        .output()
        .unwrap_or_else(|error| panic!("g++: {error}; Debian: apt-get install build-essential"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A short clip of a street, made once.
pub(crate) fn clip(codec: Codec) -> String {
    static CLIPS: OnceLock<Vec<PathBuf>> = OnceLock::new();
    let clips = CLIPS.get_or_init(|| {
        let folder = temporary().join("clips");
        let camera = |name: &str, codec| CameraConfig {
            name: name.to_owned(),
            port: 0,
            path: None,
            scene: Some(SceneConfig { seed: 7, codec, frames: Some(FRAMES as u32), ..SceneConfig::default() }),
            file: None,
            login: None,
        };
        let cameras = vec![camera("h264", Codec::H264), camera("h265", Codec::H265)];
        let config = Config {
            address: [127, 0, 0, 1].into(),
            control: ([127, 0, 0, 1], 0).into(),
            cache: Some(temporary().join("cache")),
            cameras,
        };
        camera_simulator::export(&config, &folder, Container::Mp4, &Silent).unwrap()
    });
    clips[usize::from(codec == Codec::H265)].display().to_string()
}

/// The frame's objects as they were drawn: class and box in shares of the picture.
pub(crate) fn truth(frame: usize) -> Vec<Value> {
    let path = clip(Codec::H264).replace(".mp4", ".truth.jsonl");
    let line = fs::read_to_string(path).unwrap().lines().nth(frame).unwrap().to_owned();
    serde_json::from_str::<Value>(&line).unwrap()["objects"].as_array().unwrap().clone()
}

/// Writes a configuration of nvinfer for the starter model, with `more` in `[property]`.
pub(crate) fn configuration(folder: &Path, version: &str, more: &str) -> String {
    let labels = folder.join("labels.txt");
    fs::write(&labels, "person\ncar\ntruck\nbicycle\ndog\n").unwrap();
    // Beside the configuration, because nvinfer writes its engine beside the model.
    let model = folder.join("starter.onnx");
    fs::copy(checkout().join("models/starter/starter.onnx"), &model).unwrap();
    let parser = installation(version).join("lib/libparser.so");
    let path = folder.join("infer.txt");
    let text = format!(
        "[property]\ngie-unique-id=1\nonnx-file=starter.onnx\nlabelfile-path=labels.txt\nnum-detected-classes=5\n\
         net-scale-factor=0.00392156862745098\nmaintain-aspect-ratio=1\nscaling-filter=1\ncluster-mode=2\n\
         custom-lib-path={}\nparse-bbox-func-name=ParseYoloV8\n{more}\n[class-attrs-all]\n\
         pre-cluster-threshold=0.4\nnms-iou-threshold=0.5\n",
        parser.display()
    );
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// A file source that ends in the mux's pad.
pub(crate) fn file_source(name: &str, pad: u32) -> String {
    format!(
        "filesrc name={name} location={} ! qtdemux ! h264parse ! nvv4l2decoder ! queue ! mux.sink_{pad}",
        clip(Codec::H264)
    )
}

/// What a scene printed.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) lines: Vec<(String, Value)>,
    pub(crate) errors: String,
    pub(crate) ended: bool,
}

impl Told {
    /// The values of all lines of that name.
    pub(crate) fn all(&self, what: &str) -> Vec<&Value> {
        self.lines.iter().filter(|(name, _)| name == what).map(|(_, value)| value).collect()
    }

    /// The value of the one line of that name.
    #[track_caller]
    pub(crate) fn one(&self, what: &str) -> &Value {
        let all = self.all(what);
        assert_eq!(all.len(), 1, "{what}: {self:#?}");
        all[0]
    }

    /// The error's words.
    #[track_caller]
    pub(crate) fn error(&self) -> &str {
        self.one("error").as_str().unwrap()
    }
}

/// A scene that is being played.
pub(crate) struct Playing(Child);

impl Drop for Playing {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How a scene is played.
pub(crate) struct Scene {
    root: PathBuf,
    command: Command,
    patience: Duration,
}

impl Scene {
    pub(crate) fn new(version: &str, name: &str, arguments: &[&str]) -> Self {
        Self::at(&installation(version), version, name, arguments)
    }

    /// With an installation of its own.
    pub(crate) fn at(root: &Path, version: &str, name: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_standin-scene"));
        let runtime = env::var_os("VISION_ONNXRUNTIME")
            .map_or_else(|| checkout().join(".cache/onnxruntime/1.31.1/libonnxruntime.so.1.31.1"), PathBuf::from);
        command
            .arg(name)
            .args(arguments)
            .env("VISION_STANDIN_DEEPSTREAM", version)
            .env("VISION_DEEPSTREAM_FOLDER", root)
            .env("VISION_ONNXRUNTIME", runtime)
            .env("GST_PLUGIN_PATH", root.join("lib/gst-plugins"))
            .env("GST_REGISTRY", root.join(format!("registry-{version}.bin")))
            .env("GST_DEBUG", "1,nvinfer:2")
            .env("GST_DEBUG_NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self { root: root.to_owned(), command, patience: PATIENCE }
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Plays another version than the installation's. What GStreamer finds then is kept by itself.
    pub(crate) fn playing(mut self, version: &str) -> Self {
        let registry = self.root.join(format!("registry-{version}.bin"));
        self.command.env("VISION_STANDIN_DEEPSTREAM", version).env("GST_REGISTRY", registry);
        self
    }

    /// Waits no longer, for scenes that are to hang.
    pub(crate) fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Plays it, and ends it where it does not end by itself.
    pub(crate) fn play(mut self) -> Told {
        let mut playing = Playing(self.command.spawn().unwrap());
        let mut out = playing.0.stdout.take().unwrap();
        let mut err = playing.0.stderr.take().unwrap();
        let out = thread::spawn(move || {
            let mut text = String::new();
            let _ = out.read_to_string(&mut text);
            text
        });
        let err = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = err.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let deadline = Instant::now() + self.patience;
        let ended = loop {
            match playing.0.try_wait().unwrap() {
                Some(_) => break true,
                None if Instant::now() > deadline => break false,
                None => thread::sleep(Duration::from_millis(20)),
            }
        };
        drop(playing);
        let lines = out.join().unwrap();
        let lines = lines
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .map(|line| (line["what"].as_str().unwrap_or_default().to_owned(), line["value"].clone()))
            .collect();
        Told { lines, errors: err.join().unwrap(), ended }
    }
}
