//! What is refused before it is looked at: paths, methods, documents, strangers.

use std::io::{Read as _, Write as _};

use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use serde_json::json;

use super::*;

#[test]
fn every_refusal_is_a_problem_that_says_what_to_do() {
    let pod = Running::start();
    let json = [("content-type", "application/json")];
    for (method, path, headers, body, status, word) in [
        ("GET", "/api/v1/nothing", &[][..], "", 404, "/docs"),
        ("GET", "/api/v1/sources/nobody", &[], "", 404, "nobody"),
        ("GET", "/api/v1/sources?namespace=", &[], "", 400, "namespace"),
        ("GET", "/api/v1/sources/a?namespace=A_b", &[], "", 400, "namespace"),
        ("PUT", "/api/v1/sources", &json, "{}", 405, "GET, POST"),
        ("DELETE", "/api/v1/status", &[], "", 405, "GET"),
        ("OPTIONS", "/api/v1/sources", &[], "", 405, "GET, POST"),
        ("POST", "/api/v1/sources", &[("content-type", "text/plain")], "{}", 415, "application/json"),
        ("POST", "/api/v1/sources", &[("content-type", "application/merge-patch+json")], "{}", 415, "application/json"),
        ("PATCH", "/api/v1/sources/a", &[("content-type", "text/yaml")], "{}", 415, "application/merge-patch+json"),
        ("POST", "/api/v1/sources", &json, "{\"id\": ", 400, "line 1, column 7"),
        ("POST", "/api/v1/sources", &json, "\u{feff}x", 400, "JSON"),
        ("POST", "/api/v1/sources", &json, "[]", 422, "JSON object"),
        ("PATCH", "/api/v1/sources/nobody", &json, "{}", 404, "nobody"),
    ] {
        let told = pod.request(method, path, headers, body.as_bytes().to_vec());
        assert_eq!(told.status, status, "{method} {path} {told:?}");
        told.pointers();
        assert!(told.text.contains(word), "{method} {path} {told:?}");
        assert_eq!(told.header("allow"), if status == 405 { word } else { "" });
    }
}

#[test]
fn what_is_too_large_is_refused_with_and_without_a_length() {
    let pod = Running::start();
    let large = format!("{{\"id\": \"{}\"}}", "x".repeat(1 << 20));
    let told = pod.request("POST", "/api/v1/sources", &[("content-type", "application/json")], large.clone().into());
    assert_eq!(told.status, 413);
    let mut stream = std::net::TcpStream::connect(pod.address).unwrap();
    write!(
        stream,
        "POST /api/v1/sources HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
    )
    .unwrap();
    write!(stream, "Transfer-Encoding: chunked\r\n\r\n").unwrap();
    for chunk in large.as_bytes().chunks(60_000) {
        // The server may hang up before all is sent.
        let sent = write!(stream, "{:x}\r\n", chunk.len()).and_then(|()| stream.write_all(chunk));
        if sent.and_then(|()| stream.write_all(b"\r\n")).is_err() {
            break;
        }
    }
    let _ = stream.write_all(b"0\r\n\r\n");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.starts_with(b"HTTP/1.1 413"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn a_field_that_stands_twice_is_refused() {
    let pod = Running::start();
    let body = r#"{"id": "gate", "uri": "test://smpte", "uri": "test://ball"}"#;
    let told = pod.request("POST", "/api/v1/sources", &[("content-type", "application/json")], body.into());
    assert_eq!(told.status, 400);
    assert!(told.text.contains("a field stands twice in one object at line 1"), "{told:?}");
    assert!(pod.registry.snapshot().merged.sources.is_empty());
}

#[test]
fn a_token_guards_the_api_and_nothing_else() {
    let pod = Running::with(DesiredState::default(), Some("0123456789abcdef"));
    assert_eq!(pod.get("/api/v1/sources").status, 200);
    let mut stranger = pod;
    stranger.token = None;
    for path in ["/api/v1/sources", "/api/v1/nothing", "/api/v1/status"] {
        let told = stranger.get(path);
        assert_eq!((told.status, told.header("www-authenticate")), (401, "Bearer realm=\"analytics-pod\""));
        told.pointers();
    }
    let wrong = stranger.request("GET", "/api/v1/status", &[("authorization", "Bearer 0123456789abcdeg")], Vec::new());
    assert_eq!(wrong.status, 401);
    assert!(!wrong.text.contains("0123456789"), "{wrong:?}");
    for path in ["/livez", "/metrics"] {
        assert_eq!(stranger.get(path).status, 200, "{path}");
    }
}

#[test]
fn a_page_whose_name_was_made_to_lead_here_is_refused() {
    let pod = Running::start();
    let as_host = |path: &str, host: &str| pod.request("GET", path, &[("host", host)], Vec::new()).status;
    assert_eq!(as_host("/api/v1/sources", "evil.example:8080"), 421);
    assert_eq!(as_host("/livez", "evil.example:8080"), 200);
    for host in ["localhost:8080", "127.0.0.1", "[::1]:8080", "pod.localhost"] {
        assert_eq!(as_host("/api/v1/sources", host), 200, "{host}");
    }
}

#[test]
fn a_request_keeps_its_own_id_and_gets_one_otherwise() {
    let pod = Running::start();
    let id = |given: &str| pod.request("GET", "/livez", &[("x-request-id", given)], Vec::new());
    assert_eq!(id("job-7.a:b").header("x-request-id"), "job-7.a:b");
    let (long, first) = ("x".repeat(129), pod.get("/livez"));
    for unusable in ["a b", "{evil}", &long] {
        let given = id(unusable);
        assert_eq!(given.header("x-request-id").len(), 32, "{unusable}");
        assert_ne!(given.header("x-request-id"), first.header("x-request-id"));
    }
}

#[test]
fn a_thousand_senseless_requests_change_nothing() {
    let pod = Running::start();
    assert_eq!(pod.send("POST", "/api/v1/sources", &json!({"id": "gate", "uri": "test://smpte"})).status, 201);
    let before = (pod.registry.snapshot(), pod.kept());
    let body = prop_oneof![
        "\\PC{0,40}",
        r#"\{("id"|"uri"|"spec"|"type"|"detection"): ?("[a-z:/]{0,8}"|-?[0-9]{1,9}|\[\]|\{\}|null|true)\}"#,
        r#"\{"id": "gate", "uri": "test://smpte", "[a-z]{1,9}": ("x"|5|\{\}|\[1\])\}"#,
    ];
    let request = (prop::sample::select(vec!["POST", "PUT", "PATCH"]), prop::bool::ANY, body);
    let mut runner = TestRunner::deterministic();
    for _ in 0..1000 {
        let (method, to_one, body) = request.new_tree(&mut runner).unwrap().current();
        let path = if to_one { "/api/v1/sources/nobody" } else { "/api/v1/sources" };
        let told = pod.request(method, path, &[("content-type", "application/json")], body.clone().into_bytes());
        assert!((400..500).contains(&told.status), "{method} {path} {body}: {told:?}");
        told.pointers();
    }
    assert_eq!((pod.registry.snapshot(), pod.kept()), before);
}
