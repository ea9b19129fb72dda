//! The ways in which a camera misbehaves on command.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// A way to misbehave. A new fault takes the place of the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The listening socket is closed and all connections are cut.
    Die,
    /// All sockets stay open; no video is sent.
    Stall,
    /// The listening socket is closed; present connections go on.
    Refuse,
    /// All connections are cut; new ones are accepted and never answered.
    Silence,
    /// All connections are cut; new ones have to log in, and no password is the right one.
    DemandLogin,
    /// Well-formed RTP carries random bytes in place of video.
    Garbage,
    /// From the next key frame on, the scene has another size.
    Resolution {
        /// Picture width in pixels.
        width: u32,
        /// Picture height in pixels.
        height: u32,
    },
}

/// A fault as the control port takes it.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FaultRequest {
    /// Which fault.
    pub kind: FaultKind,
    /// After how many seconds the camera heals by itself; unset means never.
    #[serde(default)]
    pub seconds: Option<f64>,
    /// Picture width for `resolution`.
    #[serde(default)]
    pub width: Option<u32>,
    /// Picture height for `resolution`.
    #[serde(default)]
    pub height: Option<u32>,
}

/// The name of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FaultKind {
    /// See [`Fault::Die`].
    Die,
    /// See [`Fault::Stall`].
    Stall,
    /// See [`Fault::Refuse`].
    Refuse,
    /// See [`Fault::Silence`].
    Silence,
    /// See [`Fault::DemandLogin`].
    DemandLogin,
    /// See [`Fault::Garbage`].
    Garbage,
    /// See [`Fault::Resolution`].
    Resolution,
}

/// Why a request for a fault makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFault {
    /// `resolution` lacks its size.
    #[error("resolution needs width and height")]
    NoSize,
    /// Another fault has one.
    #[error("width and height belong to resolution only")]
    StraySize,
    /// The duration is not one.
    #[error("seconds is not a number above 0 and at most 86400")]
    Seconds,
}

impl FaultRequest {
    /// The fault, and after what time it ends by itself.
    pub fn resolve(&self) -> Result<(Fault, Option<Duration>), BadFault> {
        let fault = match (self.kind, self.width, self.height) {
            (FaultKind::Resolution, Some(width), Some(height)) => Fault::Resolution { width, height },
            (FaultKind::Resolution, ..) => return Err(BadFault::NoSize),
            (_, Some(_), _) | (_, _, Some(_)) => return Err(BadFault::StraySize),
            (FaultKind::Die, ..) => Fault::Die,
            (FaultKind::Stall, ..) => Fault::Stall,
            (FaultKind::Refuse, ..) => Fault::Refuse,
            (FaultKind::Silence, ..) => Fault::Silence,
            (FaultKind::DemandLogin, ..) => Fault::DemandLogin,
            (FaultKind::Garbage, ..) => Fault::Garbage,
        };
        let duration = match self.seconds {
            None => None,
            Some(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Some(Duration::from_secs_f64(seconds)),
            Some(_) => return Err(BadFault::Seconds),
        };
        Ok((fault, duration))
    }
}

impl Fault {
    /// Its name.
    #[must_use]
    pub fn kind(self) -> FaultKind {
        match self {
            Fault::Die => FaultKind::Die,
            Fault::Stall => FaultKind::Stall,
            Fault::Refuse => FaultKind::Refuse,
            Fault::Silence => FaultKind::Silence,
            Fault::DemandLogin => FaultKind::DemandLogin,
            Fault::Garbage => FaultKind::Garbage,
            Fault::Resolution { .. } => FaultKind::Resolution,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Resolution { width, height } => write!(f, "resolution {width}x{height}"),
            other => write!(f, "{:?}", other.kind()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn resolve(json: &str) -> Result<(Fault, Option<Duration>), BadFault> {
        serde_json::from_str::<FaultRequest>(json).unwrap().resolve()
    }

    #[test]
    fn requests_are_understood() {
        assert_eq!(resolve(r#"{"kind":"demandLogin"}"#), Ok((Fault::DemandLogin, None)));
        assert_eq!(resolve(r#"{"kind":"die","seconds":1.5}"#), Ok((Fault::Die, Some(Duration::from_millis(1500)))));
        assert_eq!(
            resolve(r#"{"kind":"resolution","width":320,"height":180}"#),
            Ok((Fault::Resolution { width: 320, height: 180 }, None))
        );
    }

    #[test]
    fn senseless_requests_are_refused() {
        assert_eq!(resolve(r#"{"kind":"resolution","width":320}"#), Err(BadFault::NoSize));
        assert_eq!(resolve(r#"{"kind":"stall","width":320}"#), Err(BadFault::StraySize));
        assert_eq!(resolve(r#"{"kind":"stall","seconds":0}"#), Err(BadFault::Seconds));
        assert!(serde_json::from_str::<FaultRequest>(r#"{"kind":"explode"}"#).is_err());
    }
}
