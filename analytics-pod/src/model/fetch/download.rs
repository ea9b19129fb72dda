//! One file over https: resumed where it broke off, tried again where that may help, bounded, verified.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use sha2::{Digest as _, Sha256};
use ureq::{
    Agent, Body,
    http::{Response, StatusCode, header},
};
use url::Url;

use super::{
    FetchProgress, OnProgress,
    cache::{Cache, file_error},
};
use crate::model::{Digest, ModelError, ModelSpec, spec::printable};

/// Bytes read at a time.
const PIECE: usize = 64 * 1024;

/// How hard a download is tried.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    /// Plain http is spoken too. Only tests, with servers on this machine.
    pub(super) plain_http: bool,
    /// Waits between tries; they start over when a try has brought something.
    pub(super) waits: ExponentialBuilder,
    /// A connection, and any answer or piece, must come within this.
    pub(super) patience: Duration,
    /// Larger files are refused. An ONNX file cannot exceed 2 GiB: it is one protobuf message.
    pub(super) max_size: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            plain_http: false,
            waits: ExponentialBuilder::default()
                .with_min_delay(Duration::from_millis(500))
                .with_max_delay(Duration::from_secs(10))
                .with_max_times(6)
                .with_jitter(),
            patience: Duration::from_secs(30),
            max_size: 2 << 30,
        }
    }
}

/// Why one try ended.
enum Trouble {
    /// The next try may do better.
    Passing(String),
    /// It never will.
    Final(ModelError),
}

/// Fetches `url` into `cache`, whose lock for `digest` the caller holds, and returns the whole file.
pub(super) fn download(
    spec: &ModelSpec,
    url: &Url,
    digest: Digest,
    cache: &Cache,
    progress: Option<&OnProgress>,
    policy: &Policy,
) -> Result<PathBuf, ModelError> {
    let download = Download { spec, url, part: cache.part(digest), progress, policy, agent: agent(policy) };
    let mut resumed = download.length() > 0;
    loop {
        download.complete()?;
        let actual = digest_of(&download.part).map_err(|error| download.file("cannot read", error))?;
        if actual == digest {
            let whole = cache.whole(digest);
            fs::rename(&download.part, &whole).map_err(|error| file_error(spec, "cannot rename to", &whole, error))?;
            return Ok(whole);
        }
        fs::remove_file(&download.part).map_err(|error| download.file("cannot remove", error))?;
        // What an earlier run left may be of another file; a fresh one tells.
        if !resumed {
            return Err(ModelError::WrongDigest {
                model: spec.name.clone(),
                origin: printable(url),
                expected: digest,
                actual,
            });
        }
        resumed = false;
    }
}

fn agent(policy: &Policy) -> Agent {
    let patience = Some(policy.patience);
    Agent::config_builder()
        .https_only(!policy.plain_http)
        .http_status_as_error(false)
        .user_agent(concat!("vision-operator/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(patience)
        .timeout_connect(patience)
        .timeout_recv_response(patience)
        .timeout_per_read(patience)
        .build()
        .new_agent()
}

struct Download<'a> {
    spec: &'a ModelSpec,
    url: &'a Url,
    part: PathBuf,
    progress: Option<&'a OnProgress>,
    policy: &'a Policy,
    agent: Agent,
}

impl Download<'_> {
    /// Tries until the server has sent the file to its end.
    fn complete(&self) -> Result<(), ModelError> {
        let mut waits = self.policy.waits.build();
        loop {
            let before = self.length();
            let message = match self.attempt(before) {
                Ok(()) => return Ok(()),
                Err(Trouble::Final(error)) => return Err(error),
                Err(Trouble::Passing(message)) => message,
            };
            if self.length() > before {
                waits = self.policy.waits.build();
            }
            let Some(wait) = waits.next() else {
                return Err(self.failed(format!(
                    "{message}; gave up after several tries (spec.source.file can name a file on this machine)"
                )));
            };
            tracing::warn!(model = %self.spec.name, url = printable(self.url), "{message}; trying again in {wait:.1?}");
            std::thread::sleep(wait);
        }
    }

    /// Asks for what is missing after the first `have` bytes and appends it.
    fn attempt(&self, have: u64) -> Result<(), Trouble> {
        let mut request = self.agent.get(self.url.as_str());
        if have > 0 {
            request = request.header(header::RANGE, format!("bytes={have}-"));
        }
        let response = request.call().map_err(|error| self.classify(error))?;
        let (start, total) = match response.status() {
            StatusCode::OK => (0, response.body().content_length()),
            StatusCode::PARTIAL_CONTENT => match content_range(&response) {
                Some((start, total)) if start == have => (start, total),
                _ => {
                    self.start_over()?;
                    return Err(Trouble::Passing("the server sent another part than was asked for".to_owned()));
                }
            },
            StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => {
                // Either everything is there, which the digest will tell, or what is there is of another file.
                return match content_range(&response) {
                    Some((_, Some(total))) if total == have => Ok(()),
                    _ => {
                        self.start_over()?;
                        Err(Trouble::Passing("the server has less than is already there".to_owned()))
                    }
                };
            }
            status if is_passing(status) => return Err(Trouble::Passing(format!("the server answered {status}"))),
            status => return Err(self.fatal(format!("the server answered {status}"))),
        };
        self.receive(response.into_body(), start, total)
    }

    fn receive(&self, body: Body, start: u64, total: Option<u64>) -> Result<(), Trouble> {
        if total.is_some_and(|total| total > self.policy.max_size) {
            return Err(self.too_large());
        }
        let mut file = OpenOptions::new()
            .create(true)
            .append(start > 0)
            .write(true)
            .truncate(start == 0)
            .open(&self.part)
            .map_err(|error| Trouble::Final(self.file("cannot write", error)))?;
        let mut body = body.into_with_config().limit(self.policy.max_size + 1).reader();
        let mut received = start;
        let mut piece = vec![0; PIECE];
        loop {
            let length = match body.read(&mut piece) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Trouble::Passing(format!("the connection broke off: {error}"))),
            };
            if length == 0 {
                break;
            }
            received += length as u64;
            if received > self.policy.max_size {
                return Err(self.too_large());
            }
            file.write_all(&piece[..length]).map_err(|error| Trouble::Final(self.file("cannot write", error)))?;
            if let Some(progress) = self.progress {
                progress(FetchProgress { received, total });
            }
        }
        file.sync_all().map_err(|error| Trouble::Final(self.file("cannot write", error)))?;
        match total {
            Some(total) if received < total => {
                Err(Trouble::Passing(format!("the connection ended after {received} of {total} bytes")))
            }
            _ => Ok(()),
        }
    }

    fn length(&self) -> u64 {
        fs::metadata(&self.part).map_or(0, |metadata| metadata.len())
    }

    fn start_over(&self) -> Result<(), Trouble> {
        fs::remove_file(&self.part).map_err(|error| Trouble::Final(self.file("cannot remove", error)))
    }

    fn classify(&self, error: ureq::Error) -> Trouble {
        match error {
            ureq::Error::Io(_)
            | ureq::Error::Timeout(_)
            | ureq::Error::HostNotFound
            | ureq::Error::ConnectionFailed
            | ureq::Error::Protocol(_) => Trouble::Passing(error.to_string()),
            ureq::Error::RequireHttpsOnly(_) => {
                self.fatal("only https is spoken, and it or a server it leads to is not https")
            }
            // Its text repeats the URL, query and all.
            ureq::Error::BadUri(_) => self.fatal("it is not a usable URL"),
            error => self.fatal(error.to_string()),
        }
    }

    fn too_large(&self) -> Trouble {
        // What is there can never become the file.
        let _ = fs::remove_file(&self.part);
        self.fatal(format!("it is larger than {} bytes", self.policy.max_size))
    }

    fn fatal(&self, message: impl Into<String>) -> Trouble {
        Trouble::Final(self.failed(message))
    }

    fn failed(&self, message: impl Into<String>) -> ModelError {
        ModelError::Fetch { model: self.spec.name.clone(), origin: printable(self.url), message: message.into() }
    }

    fn file(&self, action: &'static str, error: io::Error) -> ModelError {
        file_error(self.spec, action, &self.part, error)
    }
}

/// Answers that a later try may improve.
fn is_passing(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS)
}

/// First byte and size of the whole from `Content-Range: bytes 5-9/10` (or `bytes */10`, whose first byte is 0).
fn content_range(response: &Response<Body>) -> Option<(u64, Option<u64>)> {
    let value = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let start = if range == "*" { 0 } else { range.split_once('-')?.0.parse().ok()? };
    Some((start, total.parse().ok()))
}

fn digest_of(path: &Path) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(Digest::from_bytes(hasher.finalize().into()))
}
