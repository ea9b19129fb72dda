//! What may be told of where an input comes from.

use url::Url;

use super::Input;
use crate::telemetry::redact_assignments;

/// `uri` as it may be printed: without userinfo, query and fragment, which may hold secrets.
#[must_use]
pub fn printable_uri(uri: &Url) -> String {
    let host = uri.host_str().unwrap_or_default();
    let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
    let slashes = if uri.as_str()[uri.scheme().len()..].starts_with("://") { "//" } else { "" };
    // Recorders take logins in their paths: /user=admin&password=…&channel=1.
    let path = redact_assignments(uri.path());
    format!("{}:{slashes}{host}{port}{path}", uri.scheme())
}

/// What follows the last dot of the path, in lower case.
pub(super) fn extension(uri: &Url) -> String {
    uri.path().rsplit_once('.').map_or_else(String::new, |(_, extension)| extension.to_ascii_lowercase())
}

/// Whether the file's name says that it is a picture that [`super::image`] reads.
pub(super) fn is_image(uri: &Url) -> bool {
    ["jpg", "jpeg", "png"].contains(&extension(uri).as_str())
}

/// Where an input comes from, for messages.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// See [`printable_uri`].
    pub(super) uri: String,
    /// Whether it comes over the network.
    pub(super) network: bool,
    /// Where to connect to over TCP; `None` for inputs that are reached otherwise.
    pub(super) address: Option<(String, u16)>,
    /// Whether the input has credentials.
    pub(super) login: bool,
    /// Whether the server has to show a certificate that this machine trusts.
    pub(super) certificate: bool,
    secrets: Vec<String>,
}

impl Origin {
    pub(super) fn new(input: &Input) -> Self {
        let uri = &input.uri;
        let default_port = match uri.scheme() {
            "rtsp" => Some(554),
            "rtsps" => Some(322),
            _ => uri.port_or_known_default(),
        };
        let address = match (uri.scheme(), uri.host_str(), uri.port().or(default_port)) {
            // A host in brackets is an IPv6 address; the resolver wants it bare.
            ("rtsp" | "rtsps" | "http" | "https", Some(host), Some(port)) => {
                Some((host.trim_matches(['[', ']']).to_owned(), port))
            }
            _ => None,
        };
        let mut secrets: Vec<String> =
            [uri.query(), uri.fragment(), uri.password()].into_iter().flatten().map(str::to_owned).collect();
        if let Some(credentials) = &input.credentials {
            secrets.push(credentials.password.clone());
            secrets.push(credentials.username.clone());
        }
        secrets.retain(|secret| !secret.is_empty());
        let network = address.is_some() || matches!(uri.scheme(), "udp" | "rtp" | "srt");
        let is_tls = matches!(uri.scheme(), "rtsps" | "https");
        Self {
            uri: printable_uri(uri),
            network,
            address,
            login: input.credentials.is_some(),
            certificate: is_tls && !input.transport.insecure_skip_tls_verify,
            secrets,
        }
    }

    /// `text`, which others wrote, without URIs and secrets.
    pub(super) fn redact(&self, text: &str) -> String {
        let words: Vec<&str> =
            text.split_whitespace().map(|word| if word.contains("://") { self.uri.as_str() } else { word }).collect();
        self.secrets.iter().fold(words.join(" "), |text, secret| text.replace(secret.as_str(), "…"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::source::{Credentials, Transport};

    #[test]
    fn a_printed_uri_has_no_secrets() {
        for (uri, printed) in [
            ("rtsp://admin:hunter2@10.0.0.7:8554/live?token=abc#x", "rtsp://10.0.0.7:8554/live"),
            ("rtsp://[::1]:554/a/b", "rtsp://[::1]:554/a/b"),
            ("file:///media/a%20b.mp4", "file:///media/a%20b.mp4"),
            ("sim://street?seed=1", "sim://street"),
            ("mailto:somebody", "mailto:somebody"),
        ] {
            assert_eq!(printable_uri(&Url::parse(uri).unwrap()), printed);
        }
    }

    #[test]
    fn others_texts_lose_uris_and_secrets() {
        let origin = Origin::new(&Input {
            uri: Url::parse("rtsp://camera/live?token=abc").unwrap(),
            credentials: Some(Credentials { username: "operator".into(), password: "hunter2".into() }),
            transport: Transport::default(),
            capture: None,
            repeat: false,
        });
        assert_eq!(
            origin.redact("no rtsp://operator:hunter2@camera/live?token=abc for operator, hunter2, token=abc"),
            "no rtsp://camera/live for …, …, …"
        );
        assert_eq!(origin.address, Some(("camera".into(), 554)));
    }
}
