//! A pod that is asked over HTTP.

use std::{net::SocketAddr, path::Path};

use serde::de::DeserializeOwned;
use ureq::Agent;

use crate::{api::TokenError, cli::HealthArgs};

/// Why a pod's answer cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum RemoteError {
    /// Nothing came back.
    #[error(
        "no analytics pod answers at http://{address} ({problem}); is `analytics-pod run` running, and is this its \
         --listen address? --address or VISION_LISTEN names another one"
    )]
    NoAnswer {
        /// Where it was asked.
        address: String,
        /// What went wrong.
        problem: String,
    },
    /// It wants a token.
    #[error("the pod at http://{address} wants a token for --detailed: give its --api-token-file")]
    TokenNeeded {
        /// Where it was asked.
        address: String,
    },
    /// Something else answers.
    #[error("what answers at http://{address}{path} is no analytics pod, or of another version: {problem}")]
    NotAPod {
        /// Where it was asked.
        address: String,
        /// For what.
        path: &'static str,
        /// What is odd.
        problem: String,
    },
    /// The token cannot be read.
    #[error("--api-token-file: {0}")]
    Token(#[from] TokenError),
}

/// Where to ask.
pub(super) struct Remote {
    address: String,
    /// The header's value; never shown.
    authorization: Option<String>,
    agent: Agent,
}

impl Remote {
    pub(super) fn new(args: &HealthArgs) -> Result<Self, RemoteError> {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(args.timeout))
            // The pod is beside this program or on the same network.
            .proxy(None)
            .max_redirects(0)
            .build()
            .into();
        let token = args.api_token_file.as_ref().map(|path| read_token(path)).transpose()?;
        let authorization = token.map(|token| format!("Bearer {token}"));
        Ok(Self { address: reachable(&args.address), authorization, agent })
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// The status and document at `path`.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &'static str, good: &[u16]) -> Result<T, RemoteError> {
        let (status, text) = self.text(path)?;
        let odd = |problem: String| RemoteError::NotAPod { address: self.address.clone(), path, problem };
        if !good.contains(&status) {
            return Err(odd(format!("it answers {status}")));
        }
        serde_json::from_str(&text).map_err(|error| odd(error.to_string()))
    }

    /// The status and text at `path`.
    pub(super) fn text(&self, path: &'static str) -> Result<(u16, String), RemoteError> {
        let unanswered =
            |error: ureq::Error| RemoteError::NoAnswer { address: self.address.clone(), problem: told(&error) };
        let mut request = self.agent.get(format!("http://{}{path}", self.address));
        if let Some(authorization) = self.authorization.as_ref().filter(|_| path.starts_with("/api/")) {
            request = request.header("authorization", authorization);
        }
        let mut answer = request.call().map_err(unanswered)?;
        let status = answer.status().as_u16();
        if status == 401 {
            return Err(RemoteError::TokenNeeded { address: self.address.clone() });
        }
        Ok((status, answer.body_mut().read_to_string().map_err(unanswered)?))
    }
}

/// The token in a file, if it is one that a pod takes.
fn read_token(path: &Path) -> Result<String, RemoteError> {
    crate::api::Token::read(path)?;
    let text = std::fs::read_to_string(path).map_err(|source| TokenError::Read { path: path.to_owned(), source })?;
    Ok(text.trim().to_owned())
}

/// Where a pod that listens at `address` can be reached from here: one that listens everywhere listens on loopback.
fn reachable(address: &str) -> String {
    match address.parse::<SocketAddr>() {
        Ok(SocketAddr::V4(v4)) if v4.ip().is_unspecified() => format!("127.0.0.1:{}", v4.port()),
        Ok(SocketAddr::V6(v6)) if v6.ip().is_unspecified() => format!("[::1]:{}", v6.port()),
        _ => address.to_owned(),
    }
}

fn told(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::Timeout(_) => "it did not answer in time".to_owned(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_that_listens_everywhere_is_asked_here() {
        for (listen, asked) in [
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("[::]:8080", "[::1]:8080"),
            ("10.0.0.7:9000", "10.0.0.7:9000"),
            ("pod.local:8080", "pod.local:8080"),
        ] {
            assert_eq!(reachable(listen), asked);
        }
    }
}
