//! A thousand malformed requests, down to the bytes on the wire: each is refused, and nothing changes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod pod_process;

use std::{
    collections::BTreeMap,
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use pod_process::PodProcess;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use serde_json::json;

const REQUESTS: usize = 1000;

/// Draws what a request is made of.
struct Chance(ChaCha8Rng);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0.next_u32() as usize % bound
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    fn text(&mut self, alphabet: &str, longest: usize) -> String {
        let letters: Vec<char> = alphabet.chars().collect();
        (0..=self.below(longest)).map(|_| letters[self.below(letters.len())]).collect()
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.fill_bytes(&mut bytes);
        bytes
    }
}

struct Malformed {
    what: &'static str,
    bytes: Vec<u8>,
    /// Whoever sends this may find the connection closed without a word: there is no request that could be answered.
    may_be_hung_up_on: bool,
}

fn http(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

const JSON: &str = "Content-Type: application/json\r\n";
const SOURCES: &str = "/api/v1/sources";
const ONE: &str = "/api/v1/sources/gate";

#[allow(clippy::too_many_lines, reason = "a table of mistakes")]
fn malformed(number: usize, chance: &mut Chance) -> Malformed {
    let to_some = |chance: &mut Chance| match chance.below(3) {
        0 => ("POST", SOURCES),
        1 => ("PUT", ONE),
        _ => ("POST", "/api/v1/models"),
    };
    let with_body = |chance: &mut Chance, body: &[u8]| {
        let (method, path) = to_some(chance);
        http(method, path, JSON, body)
    };
    let (what, bytes, may_be_hung_up_on) = match number % 15 {
        0 => {
            let text = chance.text("{}[]\":,0123456789abc\\ \n", 60);
            // Where it is JSON by chance, it is no object with an id all the same.
            ("broken JSON", with_body(chance, text.as_bytes()), false)
        }
        1 => {
            let value = chance.of(&["5", "true", "null", "[]", "{}", "1e400", "\"\"", "[\"rtsp://a/\"]"]);
            let field = chance.of(&["uri", "enabled\": \"yes\", \"uri", "detection", "transport", "modelRef"]);
            let body = format!("{{\"id\": \"gate\", \"{field}\": {value}}}");
            ("wrong types", http("PUT", ONE, JSON, body.as_bytes()), false)
        }
        2 => {
            let field = chance.text("abcdefghij", 12) + "x";
            let body = json!({"id": "yard", "uri": "test://smpte", field: 1}).to_string();
            ("an unknown field", http("POST", SOURCES, JSON, body.as_bytes()), false)
        }
        3 => {
            let body = vec![b' '; (1 << 20) + 1 + chance.below(1 << 18)];
            ("too large a body", with_body(chance, &body), false)
        }
        4 => {
            let long = "a".repeat(254);
            let name =
                chance.of(&["", " ", "A", "a b", "../gate", "a/b", "-a", "a-", "a..b", "é", "a_b", "\u{0}", &long]);
            let body = json!({"id": name, "uri": "test://smpte"}).to_string();
            ("a bad name", http("POST", SOURCES, JSON, body.as_bytes()), false)
        }
        5 => {
            let (method, path) = [
                ("DELETE", SOURCES),
                ("PUT", SOURCES),
                ("POST", ONE),
                ("PATCH", "/api/v1/models/starter"),
                ("POST", "/api/v1/status"),
                ("DELETE", "/metrics"),
                ("BREW", ONE),
                ("TRACE", "/livez"),
                ("OPTIONS", ONE),
            ][chance.below(9)];
            ("a wrong method", http(method, path, JSON, b"{}"), false)
        }
        6 => {
            let end = chance.text("abc/.%2eE0?#&=", 40);
            let method = chance.of(&["GET", "POST", "PUT", "DELETE"]);
            ("a wrong path", http(method, &format!("/api/v2/{end}"), JSON, b"{}"), false)
        }
        7 => {
            let media = chance.of(&[
                "",
                "Content-Type: text/plain\r\n",
                "Content-Type: application/xml\r\n",
                "Content-Type: ;\r\n",
            ]);
            (
                "a wrong kind of document",
                http("POST", SOURCES, media, b"{\"id\":\"yard\",\"uri\":\"test://smpte\"}"),
                false,
            )
        }
        8 => {
            let header = chance.of(&[
                "Content-Length: many\r\n",
                "Content-Length: -1\r\n",
                "Content-Length: 5\r\nContent-Length: 6\r\n",
                "Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
                "No colon\r\n",
                "Bad\u{1}name: x\r\n",
                ": nameless\r\n",
            ]);
            let head = format!("POST {SOURCES} HTTP/1.1\r\nHost: localhost\r\n{JSON}{header}\r\n");
            ("bad headers", head.into_bytes(), false)
        }
        9 => {
            let whole = http("PUT", ONE, JSON, json!({"id": "gate", "uri": "test://snow"}).to_string().as_bytes());
            let cut = whole.len() - 1 - chance.below(20);
            ("a body that breaks off", whole[..cut].to_vec(), true)
        }
        10 => {
            let noise: Vec<u8> =
                [b"{\"id\":\"".as_slice(), &chance.bytes(20), b"\xff\xfe\",\"uri\":\"test://smpte\"}"].concat();
            ("no UTF-8", with_body(chance, &noise), false)
        }
        11 => {
            let count = 10 + chance.below(500);
            ("no HTTP", [chance.bytes(count), b"\r\n\r\n".to_vec()].concat(), true)
        }
        12 => {
            let namespace = chance.of(&["A", "-", "..%2F", "a_b", "", "%00"]);
            let method = chance.of(&["GET", "DELETE"]);
            ("a wrong namespace", http(method, &format!("{ONE}?namespace={namespace}"), "", b""), false)
        }
        13 => {
            let depth = 200 + chance.below(100_000);
            ("deep nesting", with_body(chance, "[".repeat(depth).as_bytes()), false)
        }
        _ => {
            let header = format!("X-Long: {}\r\n", "x".repeat(500_000 + chance.below(500_000)));
            ("too long a header", http("POST", SOURCES, &(JSON.to_owned() + &header), b"{}"), false)
        }
    };
    Malformed { what, bytes, may_be_hung_up_on }
}

/// The status of the answer; `None` where the connection was closed without one.
fn status(address: &str, bytes: &[u8], breaks_off: bool) -> Option<u16> {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    // It may be refused before all of it was sent.
    let mut sent = connection.write_all(bytes);
    if breaks_off {
        sent = sent.and_then(|()| connection.shutdown(Shutdown::Write));
    }
    let mut answer = Vec::new();
    match connection.read_to_end(&mut answer) {
        Err(error) if answer.is_empty() && error.kind() != ErrorKind::ConnectionReset => panic!("{error}; {sent:?}"),
        _ => {}
    }
    let line = String::from_utf8_lossy(&answer).lines().next()?.to_owned();
    line.split(' ').nth(1)?.parse().ok()
}

/// Every file of a folder with what is in it.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn a_thousand_malformed_requests_are_refused_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let pod = PodProcess::start(folder.path(), &[]);
    let gate = json!({"id": "gate", "uri": "rtsp://127.0.0.1:9/", "enabled": false});
    assert_eq!(pod.send("POST", SOURCES, &gate).0, 201);
    let seen = || {
        let told = [SOURCES, "/api/v1/models", "/health"].map(|path| pod.get(path));
        (told, contents(folder.path()))
    };
    let before = seen();
    let mut chance = Chance(ChaCha8Rng::seed_from_u64(4));
    let mut answers: BTreeMap<(&str, Option<u16>), usize> = BTreeMap::new();
    for number in 0..REQUESTS {
        let Malformed { what, bytes, may_be_hung_up_on } = malformed(number, &mut chance);
        let answered = status(pod.address(), &bytes, may_be_hung_up_on);
        let refused = answered.map_or(may_be_hung_up_on, |status| (400..500).contains(&status));
        assert!(refused, "{what}: {answered:?}: {:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(600)]));
        *answers.entry((what, answered)).or_default() += 1;
    }
    eprintln!("{answers:#?}");
    assert_eq!(seen(), before);
    let log = pod.end();
    assert!(!log.contains("panicked") && !log.contains("\"level\":\"ERROR\""), "{log}");
}
