//! Downloads from a real server on this machine that misbehaves as told.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use backon::ExponentialBuilder;
use tempfile::TempDir;
use url::Url;

use super::*;
use crate::model::Digest;

/// What the server does with one request.
#[derive(Clone, Debug)]
enum Act {
    /// Serves what is asked for.
    Serve,
    /// Promises everything, sends so many bytes, hangs up.
    BreakAfter(usize),
    /// Serves everything from the start, whatever range is asked for.
    IgnoreRange,
    /// Answers with a status and nothing else.
    Status(&'static str),
    /// Serves it in pieces with pauses of so long.
    Slow(Duration),
    /// Accepts and says nothing until the other side gives up.
    Silent,
}

struct Server {
    url: Url,
    /// The `Range` header of each request, in order.
    ranges: Arc<Mutex<Vec<Option<String>>>>,
}

impl Server {
    /// Serves `content`, one request after another by `acts`; past their end it serves what is asked for.
    fn start(content: &[u8], acts: &[Act]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/model.onnx?token=secret", listener.local_addr().unwrap()).parse().unwrap();
        let ranges = Arc::new(Mutex::new(Vec::new()));
        let (content, acts, log) = (content.to_vec(), acts.to_vec(), ranges.clone());
        thread::spawn(move || {
            let mut acts = acts.into_iter();
            for stream in listener.incoming() {
                // A client that hangs up in the middle is part of the tests.
                let _ = answer(stream.unwrap(), &content, &acts.next().unwrap_or(Act::Serve), &log);
            }
        });
        Self { url, ranges }
    }

    fn ranges(&self) -> Vec<Option<String>> {
        self.ranges.lock().unwrap().clone()
    }
}

fn answer(stream: TcpStream, content: &[u8], act: &Act, log: &Mutex<Vec<Option<String>>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut range = None;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("range")
        {
            range = Some(value.trim().to_owned());
        }
    }
    log.lock().unwrap().push(range.clone());
    let start = range
        .filter(|_| !matches!(act, Act::IgnoreRange))
        .map_or(0, |range| range.trim_start_matches("bytes=").trim_end_matches('-').parse::<usize>().unwrap());
    let mut stream = stream;
    if let Act::Status(status) = act {
        return write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    if let Act::Silent = act {
        let mut rest = String::new();
        reader.read_line(&mut rest)?;
        return Ok(());
    }
    let total = content.len();
    if start >= total && start > 0 {
        return write!(
            stream,
            "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */{total}\r\nContent-Length: 0\r\nConnection: \
             close\r\n\r\n"
        );
    }
    let length = total - start;
    if start > 0 {
        let end = total - 1;
        write!(stream, "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{end}/{total}\r\n")?;
    } else {
        write!(stream, "HTTP/1.1 200 OK\r\n")?;
    }
    write!(stream, "Content-Length: {length}\r\nConnection: close\r\n\r\n")?;
    match act {
        Act::BreakAfter(bytes) => stream.write_all(&content[start..(start + bytes).min(total)]),
        Act::Slow(pause) => {
            for piece in content[start..].chunks(total.div_ceil(4)) {
                stream.write_all(piece)?;
                stream.flush()?;
                thread::sleep(*pause);
            }
            Ok(())
        }
        _ => stream.write_all(&content[start..]),
    }
}

fn content() -> Vec<u8> {
    (0..300_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn policy() -> Policy {
    Policy {
        plain_http: true,
        waits: ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(1))
            .with_max_delay(Duration::from_millis(5))
            .with_max_times(3),
        patience: Duration::from_millis(500),
        ..Policy::default()
    }
}

struct Case {
    folder: TempDir,
    spec: ModelSpec,
}

impl Case {
    fn new(server: &Server, digest: Digest) -> Self {
        let mut spec = ModelSpec::new("test", ModelSource::Url(server.url.clone()));
        spec.sha256 = Some(digest);
        Self { folder: tempfile::tempdir().unwrap(), spec }
    }

    fn options(&self) -> FetchOptions {
        FetchOptions { cache: Some(self.folder.path().to_owned()), progress: None }
    }

    fn obtain(&self) -> Result<ModelFile, ModelError> {
        obtain_with(&self.spec, &self.options(), &policy())
    }

    fn leave_part(&self, bytes: &[u8]) {
        let cache = Cache::open(&self.spec, &self.options()).unwrap();
        fs::write(cache.part(self.spec.sha256.unwrap()), bytes).unwrap();
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.folder.path().join("models"))
            .unwrap()
            .map(|entry| entry.unwrap().path().extension().unwrap().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn fetches_once_and_then_reads_the_cache() {
    let content = content();
    let server = Server::start(&content, &[]);
    let case = Case::new(&server, Digest::of(&content));
    let file = case.obtain().unwrap();
    assert_eq!(*file.read().unwrap(), content);
    assert_eq!(*case.obtain().unwrap().read().unwrap(), content);
    assert_eq!(server.ranges(), [None]);
    assert_eq!(case.files(), ["lock", "onnx"]);
    assert!(!file.origin().contains("secret"), "{}", file.origin());
}

#[test]
fn goes_on_where_the_connection_broke() {
    let content = content();
    let server = Server::start(&content, &[Act::BreakAfter(100_000), Act::BreakAfter(50_000), Act::Status("503 Busy")]);
    let mut case = Case::new(&server, Digest::of(&content));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let options =
        FetchOptions { progress: Some(Arc::new(move |progress| log.lock().unwrap().push(progress))), ..case.options() };
    case.spec.name = "broken".into();
    let file = obtain_with(&case.spec, &options, &policy()).unwrap();
    assert_eq!(*file.read().unwrap(), content);
    let range = |start: u32| Some(format!("bytes={start}-"));
    assert_eq!(server.ranges(), [None, range(100_000), range(150_000), range(150_000)]);
    let seen = seen.lock().unwrap();
    assert!(seen.is_sorted_by_key(|progress| progress.received));
    assert!(seen.iter().all(|progress| progress.total == Some(300_000)));
    assert_eq!(seen.last().unwrap().received, 300_000);
}

#[test]
fn goes_on_with_what_an_earlier_process_left() {
    let content = content();
    let server = Server::start(&content, &[]);
    let case = Case::new(&server, Digest::of(&content));
    case.leave_part(&content[..200_000]);
    assert_eq!(*case.obtain().unwrap().read().unwrap(), content);
    assert_eq!(server.ranges(), [Some("bytes=200000-".to_owned())]);
}

#[test]
fn takes_a_part_that_is_already_whole() {
    let content = content();
    let server = Server::start(&content, &[]);
    let case = Case::new(&server, Digest::of(&content));
    case.leave_part(&content);
    assert_eq!(*case.obtain().unwrap().read().unwrap(), content);
}

#[test]
fn starts_over_where_the_server_knows_no_ranges() {
    let content = content();
    let server = Server::start(&content, &[Act::BreakAfter(10), Act::IgnoreRange]);
    let case = Case::new(&server, Digest::of(&content));
    assert_eq!(*case.obtain().unwrap().read().unwrap(), content);
}

#[test]
fn starts_over_where_an_earlier_part_is_of_another_file() {
    let content = content();
    let server = Server::start(&content, &[]);
    let case = Case::new(&server, Digest::of(&content));
    for left in [vec![7; 1000], vec![7; 400_000]] {
        let _ = fs::remove_dir_all(case.folder.path().join("models"));
        case.leave_part(&left);
        assert_eq!(*case.obtain().unwrap().read().unwrap(), content);
    }
}

#[test]
fn refuses_another_file_with_both_digests() {
    let server = Server::start(b"something else", &[]);
    let expected = Digest::of(&content());
    let case = Case::new(&server, expected);
    let error = case.obtain().unwrap_err();
    assert!(matches!(&error, ModelError::WrongDigest { .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains(&expected.to_string()), "{message}");
    assert!(message.contains(&Digest::of(b"something else").to_string()), "{message}");
    assert!(!message.contains("secret"), "{message}");
    assert_eq!(case.files(), ["lock"], "nothing of it may stay");
}

#[test]
fn fetches_again_what_was_damaged_in_the_cache() {
    let content = content();
    let server = Server::start(&content, &[]);
    let case = Case::new(&server, Digest::of(&content));
    let file = case.obtain().unwrap();
    let path = Cache::open(&case.spec, &case.options()).unwrap().whole(Digest::of(&content));
    fs::write(&path, b"damaged").unwrap();
    assert!(matches!(file.read(), Err(ModelError::WrongDigest { .. })));
    assert_eq!(*case.obtain().unwrap().read().unwrap(), content);
    assert_eq!(server.ranges().len(), 2);
}

#[test]
fn gives_up_at_once_where_trying_again_cannot_help() {
    let server = Server::start(&content(), &[Act::Status("404 Not Found")]);
    let case = Case::new(&server, Digest::of(b""));
    let message = case.obtain().unwrap_err().to_string();
    assert!(message.contains("404"), "{message}");
    assert!(!message.contains("secret"), "{message}");
    assert_eq!(server.ranges().len(), 1);
}

#[test]
fn gives_up_after_the_last_try() {
    let server = Server::start(&content(), &vec![Act::Status("500 Broken"); 10]);
    let case = Case::new(&server, Digest::of(b""));
    let message = case.obtain().unwrap_err().to_string();
    assert!(message.contains("500"), "{message}");
    assert_eq!(server.ranges().len(), 4);
}

#[test]
fn a_slow_server_is_waited_for_and_a_silent_one_is_not() {
    let content = content();
    let server = Server::start(&content, &[Act::Silent, Act::Slow(Duration::from_millis(60))]);
    let case = Case::new(&server, Digest::of(&content));
    assert_eq!(*case.obtain().unwrap().read().unwrap(), content);
    assert_eq!(server.ranges().len(), 2);
}

#[test]
fn refuses_what_is_too_large() {
    let content = content();
    let server = Server::start(&content, &[]);
    let case = Case::new(&server, Digest::of(&content));
    let policy = Policy { max_size: 299_999, ..policy() };
    let message = obtain_with(&case.spec, &case.options(), &policy).unwrap_err().to_string();
    assert!(message.contains("larger than 299999 bytes"), "{message}");
}

#[test]
fn speaks_no_plain_http_outside_tests() {
    let server = Server::start(&content(), &[]);
    let case = Case::new(&server, Digest::of(b""));
    let message = obtain(&case.spec, &case.options()).unwrap_err().to_string();
    assert!(message.contains("https"), "{message}");
    assert_eq!(server.ranges().len(), 0);
}

#[test]
fn needs_a_digest() {
    let server = Server::start(&content(), &[]);
    let mut case = Case::new(&server, Digest::of(b""));
    case.spec.sha256 = None;
    let message = case.obtain().unwrap_err().to_string();
    assert!(message.contains("spec.source.sha256"), "{message}");
}

#[test]
fn of_many_at_once_one_downloads() {
    let content = content();
    let server = Server::start(&content, &[]);
    let case = Case::new(&server, Digest::of(&content));
    thread::scope(|scope| {
        let fetches: Vec<_> = (0..8).map(|_| scope.spawn(|| case.obtain().unwrap())).collect();
        for fetch in fetches {
            assert_eq!(*fetch.join().unwrap().read().unwrap(), content);
        }
    });
    assert_eq!(server.ranges().len(), 1);
}
