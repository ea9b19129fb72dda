//! One request and its answer: limits, the token, the correlation id, and the line in the log.

use std::{sync::Arc, time::Instant};

use futures_util::{Stream, StreamExt as _};
use serde_json::Value;
use warp::{
    Buf, Filter, Rejection, Reply,
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
    path::FullPath,
};

use super::{
    Services, handlers,
    message::{Answer, Request},
    problem::Failure,
    routes::{Found, Method, find, is_guarded},
    unique::Unique,
};
use crate::request_id::RequestId;

/// What is read, and thrown away, of one that is too long: who is still sending does not hear the answer.
const MAX_DISCARDED: usize = 16 << 20;

/// The header of the correlation id, in both directions.
const REQUEST_ID: &str = "x-request-id";

/// Every request, whatever it asks for.
pub(super) fn filter(
    services: Arc<Services>,
    is_loopback: bool,
) -> impl Filter<Extract = (impl Reply,), Error = Rejection> + Clone {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::method()
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |method: warp::http::Method, path: FullPath, query: String, headers, body| {
            let services = Arc::clone(&services);
            async move { exchange((&services, is_loopback), method.as_str(), path.as_str(), &query, &headers, body).await }
        })
}

async fn exchange<B: Buf>(
    (services, is_loopback): (&Services, bool),
    method: &str,
    path: &str,
    query: &str,
    headers: &HeaderMap,
    body: impl Stream<Item = Result<B, warp::Error>>,
) -> Response<Vec<u8>> {
    let began = Instant::now();
    let request_id = request_id(headers);
    let understood = understand((services, is_loopback), request_id.clone(), method, path, query, headers, body);
    let answered = match understood.await {
        Ok(request) => handlers::answer(services, request).await,
        Err(failure) => Err(failure),
    };
    let answer = answered.unwrap_or_else(|failure| Answer::failure(&failure, &request_id));
    log(&request_id, method, path, &answer, began);
    respond(answer, &request_id)
}

/// Changes and what fails are told; that somebody looks is no event.
fn log(request_id: &RequestId, method: &str, path: &str, answer: &Answer, began: Instant) {
    let request_id = request_id.as_str();
    let (status, bytes, elapsed_ms) = (answer.status.as_u16(), answer.body.len(), began.elapsed().as_secs_f64() * 1e3);
    // Of a path only what a name may hold is shown: anything may be in it.
    let path: String = path.chars().filter(|c| c.is_ascii_alphanumeric() || "/-._{}".contains(*c)).take(300).collect();
    if answer.status.is_server_error() && is_guarded(&path) {
        tracing::warn!(request_id, method, path, status, bytes, elapsed_ms, "request");
    } else if !matches!(method, "GET" | "HEAD") || (answer.status.is_client_error() && is_guarded(&path)) {
        tracing::info!(request_id, method, path, status, bytes, elapsed_ms, "request");
    } else {
        tracing::debug!(request_id, method, path, status, bytes, elapsed_ms, "request");
    }
}

fn respond(answer: Answer, request_id: &RequestId) -> Response<Vec<u8>> {
    let Answer { status, content_type, headers, body } = answer;
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    // What is answered may be out of date at once, and is no other kind of document than it says.
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if status == StatusCode::NO_CONTENT {
        fields.remove(header::CONTENT_TYPE);
    }
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            fields.insert(name, value);
        }
    }
    if let Ok(value) = HeaderValue::from_str(request_id.as_str()) {
        fields.insert(REQUEST_ID, value);
    }
    response
}

/// The sender's own id where it has one that may stand in a log, else a new one.
fn request_id(headers: &HeaderMap) -> RequestId {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    given.and_then(RequestId::given).unwrap_or_else(RequestId::random)
}

async fn understand<B: Buf>(
    (services, is_loopback): (&Services, bool),
    id: RequestId,
    method: &str,
    path: &str,
    query: &str,
    headers: &HeaderMap,
    body: impl Stream<Item = Result<B, warp::Error>>,
) -> Result<Request, Failure> {
    if let Some(token) = services.token.as_ref().filter(|_| is_guarded(path)) {
        let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if !token.is_carried_by(authorization) {
            let detail = "send the pod's token as Authorization: Bearer …";
            return Err(Failure::new(StatusCode::UNAUTHORIZED, "unauthorized", "A token is needed", detail)
                .with_header("www-authenticate", "Bearer realm=\"analytics-pod\""));
        }
    }
    if is_loopback && services.token.is_none() && is_guarded(path) && !is_local_name(headers) {
        let detail = "use localhost or an address in place of this name, or give the pod --api-token-file";
        let title = "This name is not the pod's";
        return Err(Failure::new(StatusCode::MISDIRECTED_REQUEST, "foreign-name", title, detail));
    }
    let (target, method, name) = match find(method, path, &services.metrics_path) {
        Found::Endpoint { target, method, name } => (target, method, name.to_owned()),
        Found::Nothing => return Err(Failure::not_found("the paths are listed at /docs")),
        Found::OtherMethods(methods) => {
            let allowed = methods.iter().map(|method| method.as_str()).collect::<Vec<_>>().join(", ");
            let title = "This path is for other methods";
            let detail = format!("use one of {allowed} here");
            return Err(Failure::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", title, detail)
                .with_header("allow", allowed));
        }
    };
    let namespace = namespace(query)?;
    let body = if method.has_body() { document(method, headers, body, services.max_body).await? } else { Value::Null };
    Ok(Request { id, target, method, name, namespace, body })
}

/// The namespace that a query names, if any.
fn namespace(query: &str) -> Result<Option<String>, Failure> {
    let found = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "namespace");
    let Some((_, namespace)) = found else { return Ok(None) };
    let is_label = (1..=63).contains(&namespace.len())
        && namespace.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !namespace.starts_with('-')
        && !namespace.ends_with('-');
    if is_label {
        return Ok(Some(namespace.into_owned()));
    }
    let detail = "write lower-case letters, digits and dashes after ?namespace=";
    Err(Failure::new(StatusCode::BAD_REQUEST, "malformed", "The namespace is not one", detail))
}

/// Whether the `Host` of a request is this machine or an address. A page from elsewhere whose name was made to lead here
/// (DNS rebinding) would be let in by the browser otherwise.
fn is_local_name(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let parsed = url::Url::parse(&format!("http://{host}"));
    match parsed.as_ref().ok().and_then(url::Url::host) {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(_) | url::Host::Ipv6(_)) => true,
        None => false,
    }
}

async fn document<B: Buf>(
    method: Method,
    headers: &HeaderMap,
    body: impl Stream<Item = Result<B, warp::Error>>,
    max: usize,
) -> Result<Value, Failure> {
    let written = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = written.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let taken: &[&str] = match method {
        Method::Patch => &["application/merge-patch+json", "application/json"],
        _ => &["application/json"],
    };
    if !taken.contains(&media.as_str()) {
        let detail = format!("send a document of Content-Type {}", taken.join(" or "));
        let title = "This kind of document is not read";
        return Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", title, detail));
    }
    let too_large = || {
        let detail = format!("send at most {max} bytes");
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The document is too large", detail)
    };
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > max.saturating_add(MAX_DISCARDED)) {
        return Err(too_large());
    }
    let (mut text, mut discarded) = (Vec::new(), 0);
    let mut body = std::pin::pin!(body);
    while let Some(part) = body.next().await {
        let mut part = part.map_err(|_| malformed("it broke off; send it anew"))?;
        if discarded > 0 || text.len() + part.remaining() > max {
            discarded += part.remaining();
            if discarded > MAX_DISCARDED {
                break;
            }
            continue;
        }
        while part.has_remaining() {
            let chunk = part.chunk();
            text.extend_from_slice(chunk);
            let read = chunk.len();
            part.advance(read);
        }
    }
    if discarded > 0 {
        return Err(too_large());
    }
    let read = serde_json::from_slice(&text).map(|Unique(document)| document);
    read.map_err(|error| {
        // The parser's own words may quote the document, which may hold a login.
        let problem = if error.is_data() { "a field stands twice in one object" } else { "it is not valid JSON" };
        malformed(&format!("{problem} at line {}, column {}", error.line(), error.column()))
    })
}

fn malformed(detail: &str) -> Failure {
    Failure::new(StatusCode::BAD_REQUEST, "malformed", "The document cannot be read", detail)
}
