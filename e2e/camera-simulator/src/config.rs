//! What to simulate: cameras, what they show and how they are reached.

use std::{
    collections::HashSet,
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// The cameras of one simulator and where it listens.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Address on which the cameras listen.
    #[serde(default = "loopback")]
    pub address: IpAddr,
    /// Address of the control port; port 0 lets the system choose. The control port asks for no login.
    #[serde(default = "loopback_any_port")]
    pub control: SocketAddr,
    /// Folder that keeps encoded scenes; unset means the user's cache folder.
    #[serde(default)]
    pub cache: Option<PathBuf>,
    /// One entry per camera.
    pub cameras: Vec<CameraConfig>,
}

/// One camera: exactly one of `scene` and `file` says what it shows; neither means the default scene.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CameraConfig {
    /// Unique name: letters, digits, `-` and `_`.
    pub name: String,
    /// RTSP port; 0 lets the system choose.
    #[serde(default)]
    pub port: u16,
    /// Path in the RTSP URI, from its leading `/`; unset means `/` and the name.
    #[serde(default)]
    pub path: Option<String>,
    /// A street scene, encoded before serving starts.
    #[serde(default)]
    pub scene: Option<SceneConfig>,
    /// A file with H.264 or H.265 video that is played in a loop as it is.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// The login that the camera demands.
    #[serde(default)]
    pub login: Option<Login>,
}

/// A street scene and how it is encoded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SceneConfig {
    /// The scene is drawn from this.
    pub seed: u64,
    /// Video codec.
    pub codec: Codec,
    /// Picture width in pixels, even, 64 to 4096.
    pub width: u32,
    /// Picture height in pixels, even, 64 to 4096.
    pub height: u32,
    /// Frames per second, 1 to 120.
    pub fps: u32,
    /// Length of the loop in frames; unset means ten seconds.
    pub frames: Option<u32>,
    /// Distance of key frames in frames; unset means one second.
    pub gop: Option<u32>,
    /// B-frames between two others, 0 to 4. Nothing refers to them.
    pub bframes: u32,
    /// Average bit rate in kbit/s, 10 to 100000; unset means what cameras of this size commonly have.
    pub bitrate: Option<u32>,
    /// The same quantizer for every frame instead of a bit rate, 1 (best) to 51.
    pub quantizer: Option<u32>,
}

/// What an encoder may spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// Average bit rate in kbit/s.
    Bitrate(u32),
    /// The same quantizer for every frame.
    Quantizer(u32),
}

/// A video codec that cameras speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// H.264 (AVC).
    #[default]
    H264,
    /// H.265 (HEVC).
    H265,
}

/// A camera's login.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Login {
    /// User name.
    pub username: String,
    /// Password; never printed.
    pub password: String,
    /// How the client has to prove that it knows the password.
    #[serde(default)]
    pub method: LoginMethod,
}

/// HTTP authentication scheme (RFC 7617, RFC 7616) as RTSP uses it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoginMethod {
    /// The password crosses the wire in base64.
    Basic,
    /// Challenge and response.
    #[default]
    Digest,
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not YAML of the expected shape.
    #[error("{}: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong with it and where.
        source: Box<serde_yaml::Error>,
    },
    /// A camera's field has a value that makes no sense.
    #[error("camera {camera}: {field}: {reason}")]
    Field {
        /// The camera's name.
        camera: String,
        /// The field.
        field: &'static str,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// There is nothing to simulate.
    #[error("no cameras: list at least one")]
    NoCameras,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("username", &self.username).field("method", &self.method).finish_non_exhaustive()
    }
}

impl Default for SceneConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            codec: Codec::H264,
            width: 640,
            height: 360,
            fps: 15,
            frames: None,
            gop: None,
            bframes: 0,
            bitrate: None,
            quantizer: None,
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Codec::H264 => "h264",
            Codec::H265 => "h265",
        })
    }
}

impl std::str::FromStr for Codec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "h264" => Ok(Codec::H264),
            "h265" => Ok(Codec::H265),
            _ => Err(format!("{text:?} is none of h264, h265")),
        }
    }
}

impl SceneConfig {
    /// Length of the loop in frames.
    #[must_use]
    pub fn loop_frames(&self) -> u32 {
        self.frames.unwrap_or(self.fps * 10)
    }

    /// Distance of key frames in frames.
    #[must_use]
    pub fn key_distance(&self) -> u32 {
        self.gop.unwrap_or(self.fps)
    }

    /// What the encoder spends: 0.1 bit a pixel for H.264 and 0.06 for H.265, at least 100 kbit/s, where nothing else
    /// is asked. That is what surveillance cameras are commonly set to (1280×720 at 15 fps: 1.4 Mbit/s).
    #[must_use]
    pub fn rate(&self) -> Rate {
        if let Some(quantizer) = self.quantizer {
            return Rate::Quantizer(quantizer);
        }
        Rate::Bitrate(self.bitrate.unwrap_or_else(|| {
            let pixels = u64::from(self.width) * u64::from(self.height) * u64::from(self.fps);
            let millibits_per_pixel = match self.codec {
                Codec::H264 => 100,
                Codec::H265 => 60,
            };
            (pixels * millibits_per_pixel / 1_000_000).clamp(100, 100_000) as u32
        }))
    }

    /// The renderer's settings for this scene.
    #[must_use]
    pub fn settings(&self) -> street_scenes::Settings {
        street_scenes::Settings {
            seed: self.seed,
            width: self.width,
            height: self.height,
            fps: self.fps,
            frames: self.loop_frames(),
        }
    }

    /// Says what is wrong with the first field that is.
    pub(crate) fn validate(&self) -> Result<(), (&'static str, String)> {
        for (field, size) in [("width", self.width), ("height", self.height)] {
            if !(64..=4096).contains(&size) || size % 2 != 0 {
                return Err((field, format!("{size} is not an even number from 64 to 4096")));
            }
        }
        if !(1..=120).contains(&self.fps) {
            return Err(("fps", format!("{} is not in 1 to 120", self.fps)));
        }
        let frames = self.loop_frames();
        if !(2..=36_000).contains(&frames) {
            return Err(("frames", format!("{frames} is not in 2 to 36000")));
        }
        let gop = self.key_distance();
        if !(1..=frames).contains(&gop) {
            return Err(("gop", format!("{gop} is not in 1 to {frames}, the length of the loop")));
        }
        if self.bframes > 4 {
            return Err(("bframes", format!("{} is more than 4", self.bframes)));
        }
        if self.bitrate.is_some() && self.quantizer.is_some() {
            return Err(("bitrate", "stands beside quantizer; keep one of the two".into()));
        }
        match self.rate() {
            Rate::Bitrate(kbits) if !(10..=100_000).contains(&kbits) => {
                Err(("bitrate", format!("{kbits} kbit/s is not in 10 to 100000")))
            }
            Rate::Quantizer(quantizer) if !(1..=51).contains(&quantizer) => {
                Err(("quantizer", format!("{quantizer} is not in 1 to 51")))
            }
            _ => Ok(()),
        }
    }
}

impl CameraConfig {
    /// A camera with a scene, on a port that the system chooses.
    #[must_use]
    pub fn of_scene(name: impl Into<String>, scene: SceneConfig) -> Self {
        Self { name: name.into(), port: 0, path: None, scene: Some(scene), file: None, login: None }
    }

    /// The path of its RTSP URI.
    #[must_use]
    pub fn mount(&self) -> String {
        self.path.clone().unwrap_or_else(|| format!("/{}", self.name))
    }

    /// The scene that it shows, unless it plays a file.
    #[must_use]
    pub fn shown_scene(&self) -> Option<SceneConfig> {
        match (&self.scene, &self.file) {
            (Some(scene), _) => Some(scene.clone()),
            (None, None) => Some(SceneConfig::default()),
            (None, Some(_)) => None,
        }
    }

    fn validate(&self) -> Result<(), (&'static str, String)> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.name.is_empty() || self.name.len() > 63 || !self.name.chars().all(plain) {
            return Err(("name", "is not 1 to 63 letters, digits, - and _".into()));
        }
        let mount = self.mount();
        if !mount.starts_with('/') || mount.len() < 2 || !mount.chars().all(|c| plain(c) || c == '/' || c == '.') {
            return Err(("path", format!("{mount:?} is not / followed by letters, digits, -, _, . and /")));
        }
        if self.scene.is_some() && self.file.is_some() {
            return Err(("scene", "stands beside file; keep one of the two".into()));
        }
        if let Some(login) = &self.login
            && (login.username.is_empty() || login.username.contains(':'))
        {
            return Err(("login.username", "is empty or contains a colon".into()));
        }
        self.scene.as_ref().map_or(Ok(()), SceneConfig::validate)
    }
}

impl Config {
    /// Cameras on loopback, with the control port chosen by the system.
    #[must_use]
    pub fn on_loopback(cameras: Vec<CameraConfig>) -> Self {
        Self { address: loopback(), control: loopback_any_port(), cache: None, cameras }
    }

    /// Reads a YAML file. Relative paths in it count from the file's folder.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        // A piece of the file in the message could be a password.
        let options = serde_yaml::options! { with_snippet: false };
        let mut config: Self = serde_yaml::from_str_with_options(&text, options)
            .map_err(|source| ConfigError::Parse { path: path.to_owned(), source: Box::new(source) })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for file in config.cameras.iter_mut().filter_map(|camera| camera.file.as_mut()).chain(config.cache.as_mut()) {
            *file = folder.join(&*file);
        }
        config.validate()?;
        Ok(config)
    }

    /// Refuses what cannot be simulated.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.cameras.is_empty() {
            return Err(ConfigError::NoCameras);
        }
        let mut names = HashSet::new();
        let mut ports = HashSet::new();
        for camera in &self.cameras {
            let refuse = |field, reason| ConfigError::Field { camera: camera.name.clone(), field, reason };
            camera.validate().map_err(|(field, reason)| refuse(field, reason))?;
            if !names.insert(&camera.name) {
                return Err(refuse("name", "is used twice".into()));
            }
            if camera.port != 0 && !ports.insert(camera.port) {
                return Err(refuse("port", format!("{} is used twice; every camera has its own", camera.port)));
            }
        }
        Ok(())
    }
}

fn loopback() -> IpAddr {
    Ipv4Addr::LOCALHOST.into()
}

fn loopback_any_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cameras.yaml");
        std::fs::write(&path, text).unwrap();
        Config::load(&path)
    }

    fn refusal(text: &str) -> String {
        load(text).unwrap_err().to_string()
    }

    #[test]
    fn a_file_names_cameras_with_all_that_is_left_out_at_its_default() {
        let config =
            load("cameras: [{name: north, port: 18554, scene: {codec: h265, width: 1280, height: 720}}]").unwrap();
        let camera = &config.cameras[0];
        assert_eq!(camera.mount(), "/north");
        let scene = camera.shown_scene().unwrap();
        assert_eq!((scene.codec, scene.loop_frames(), scene.key_distance()), (Codec::H265, 150, 15));
        assert_eq!(scene.rate(), Rate::Bitrate(829));
    }

    #[test]
    fn the_demo_cameras_are_valid() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/demo/simulator/cameras.yaml");
        let config = Config::load(&path).unwrap();
        let ports: Vec<_> = config.cameras.iter().map(|camera| camera.port).collect();
        assert_eq!(ports, [18554, 18555, 18556, 18557]);
    }

    #[test]
    fn files_are_found_from_the_folder_of_the_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cameras.yaml");
        std::fs::write(&path, "cameras: [{name: a, file: clips/a.mp4}]").unwrap();
        let config = Config::load(&path).unwrap();
        assert_eq!(config.cameras[0].file, Some(folder.path().join("clips/a.mp4")));
    }

    #[test]
    fn refusals_name_the_camera_and_the_field() {
        for (text, expected) in [
            ("cameras: []", "no cameras"),
            ("cameras: [{name: a, colour: red}]", "unknown field `colour`"),
            ("cameras: [{name: a/b}]", "camera a/b: name"),
            ("cameras: [{name: a}, {name: a}]", "camera a: name: is used twice"),
            ("cameras: [{name: a, port: 9}, {name: b, port: 9}]", "camera b: port: 9 is used twice"),
            ("cameras: [{name: a, path: 'x y'}]", "camera a: path"),
            ("cameras: [{name: a, scene: {}, file: x.mp4}]", "camera a: scene"),
            ("cameras: [{name: a, scene: {width: 65}}]", "camera a: width: 65"),
            ("cameras: [{name: a, scene: {fps: 0}}]", "camera a: fps"),
            ("cameras: [{name: a, scene: {frames: 30, gop: 31}}]", "camera a: gop"),
            ("cameras: [{name: a, scene: {quantizer: 0}}]", "camera a: quantizer"),
            ("cameras: [{name: a, login: {username: 'a:b', password: c}}]", "camera a: login.username"),
        ] {
            let message = refusal(text);
            assert!(message.contains(expected), "{text}: {message}");
        }
    }

    #[test]
    fn a_password_is_not_printed() {
        let config = load("cameras: [{name: a, login: {username: u, password: hunter2}}]").unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
