//! What the `uri` of a `VideoSource` may be.

use kube::core::Rule;

use crate::validate::Check;

/// A kind of input, by the scheme of its URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// As it stands before the colon.
    pub name: &'static str,
    /// This version can read it.
    pub supported: bool,
}

impl Scheme {
    const fn supported(name: &'static str) -> Self {
        Self { name, supported: true }
    }

    const fn not_built_in(name: &'static str) -> Self {
        Self { name, supported: false }
    }

    /// The scheme of `uri`, where it is one that is known.
    #[must_use]
    pub fn of(uri: &str) -> Option<&'static Self> {
        let (name, _) = uri.split_once(':')?;
        KNOWN_SCHEMES.iter().find(|scheme| scheme.name == name)
    }

    /// What to do instead of using a scheme that is known but not built in; nothing for those that are.
    #[must_use]
    pub fn instead(&self) -> Option<&'static str> {
        if self.supported {
            return None;
        }
        Some(match self.name {
            "onvif" => "write the rtsp:// address that the camera's ONVIF profile tells (GetStreamUri)",
            "rtspt" => "write rtsp:// and transport.protocol: TCP",
            "rtspu" => "write rtsp:// and transport.protocol: UDP",
            "s3" | "gs" => "write a signed https:// address of the object, or file: of a mounted copy",
            _ => "let a media server (MediaMTX, go2rtc) serve it as rtsp:// and write that address",
        })
    }
}

/// Every scheme that means a video source, built in or not.
pub const KNOWN_SCHEMES: &[Scheme] = &[
    Scheme::supported("rtsp"),
    Scheme::supported("rtsps"),
    Scheme::supported("http"),
    Scheme::supported("https"),
    Scheme::supported("udp"),
    Scheme::supported("rtp"),
    Scheme::supported("srt"),
    Scheme::supported("v4l2"),
    Scheme::supported("file"),
    Scheme::supported("sim"),
    Scheme::supported("test"),
    Scheme::not_built_in("whep"),
    Scheme::not_built_in("whip"),
    Scheme::not_built_in("webrtc"),
    Scheme::not_built_in("rtmp"),
    Scheme::not_built_in("rtmps"),
    Scheme::not_built_in("rtspt"),
    Scheme::not_built_in("rtspu"),
    Scheme::not_built_in("onvif"),
    Scheme::not_built_in("rist"),
    Scheme::not_built_in("ndi"),
    Scheme::not_built_in("mms"),
    Scheme::not_built_in("s3"),
    Scheme::not_built_in("gs"),
];

/// The schemes of inputs that may ask for a login, or for a passphrase.
const LOGIN_SCHEMES: [&str; 5] = ["rtsp", "rtsps", "http", "https", "srt"];

/// The schemes whose URIs name a host.
const HOST_SCHEMES: [&str; 7] = ["rtsp", "rtsps", "http", "https", "udp", "rtp", "srt"];

/// The schemes that have no port of their own, so that the URI must name it.
const PORT_SCHEMES: [&str; 3] = ["udp", "rtp", "srt"];

/// The encodings that an `rtp:` URI may name.
pub const RTP_ENCODINGS: [&str; 3] = ["H264", "H265", "JPEG"];

/// The scheme is one that is known.
const SCHEME: Check = Check {
    rule: "self.matches('^(rtsp|rtsps|http|https|udp|rtp|srt|sim|test)://.') || self.matches('^v4l2:///.') || \
           self.matches('^file:.') || \
           self.matches('^(whep|whip|webrtc|rtmp|rtmps|rtspt|rtspu|onvif|rist|ndi|mms|s3|gs):')",
    message: "must start with rtsp://, rtsps://, http://, https://, udp://, rtp://, srt://, v4l2:///, file:, sim:// or \
              test://",
};

/// The scheme is one that this version reads.
const BUILT_IN: Check = Check {
    rule: "!self.matches('^(whep|whip|webrtc|rtmp|rtmps|rtspt|rtspu|onvif|rist|ndi|mms|s3|gs):')",
    message: "is a kind of input that is known but not built in: for onvif write the camera's rtsp:// address, for s3 \
              and gs a signed https:// address; let a media server (MediaMTX, go2rtc) serve the others as rtsp://",
};

/// Nobody's password is in it.
const NO_LOGIN: Check = Check {
    rule: "self.startsWith('file:') || !self.matches('^[A-Za-z][A-Za-z0-9+.-]*:/*[^/?#]*@')",
    message: "must not hold a user name or password: put them into a Secret of type kubernetes.io/basic-auth and name \
              it in credentialsSecretRef",
};

/// Nobody's passphrase is in it.
const NO_PASSPHRASE: Check = Check {
    rule: "!self.startsWith('srt://') || !self.matches('[?&]passphrase=')",
    message: "must not hold a passphrase: put it as the password into a Secret of type kubernetes.io/basic-auth and name \
              it in credentialsSecretRef",
};

/// A network source says where the server is, a file does not.
const HOST: Check = Check {
    rule: "!self.matches('^(rtsp|rtsps|http|https|udp|rtp|srt)://([/?#:]|$)') && !self.matches('^file://[^/]')",
    message: "must name a host after rtsp://, rtsps://, http://, https://, udp://, rtp:// and srt:// (0.0.0.0 to listen \
              on every address), and none after file: (write file:///absolute/path or file:relative/path)",
};

/// What has no port of its own says which.
const PORT: Check = Check {
    rule: "!self.matches('^(udp|rtp|srt)://') || self.matches('^(udp|rtp|srt)://[^/?#]*:[0-9]+([/?#]|$)')",
    message: "must name a port after the host of udp://, rtp:// and srt://, for example udp://0.0.0.0:5004",
};

/// RTP packets do not say how what they carry is encoded.
const RTP_ENCODING: Check = Check {
    rule: "!self.startsWith('rtp://') || self.matches('^[^?#]*[?]([^#]*&)?encoding=(H264|H265|JPEG)(&|#|$)')",
    message: "must say what an rtp:// stream carries: append ?encoding=H264, ?encoding=H265 or ?encoding=JPEG",
};

/// Nothing is in it that URI parsers drop or read as a slash.
const CLEAN: Check = Check {
    rule: "!self.matches('[[:cntrl:]\\\\\\\\]')",
    message: "must not hold line breaks, tabs, other control characters or backslashes",
};

/// Every rule for a URI.
const CHECKS: [&Check; 8] = [&SCHEME, &BUILT_IN, &NO_LOGIN, &NO_PASSPHRASE, &HOST, &PORT, &RTP_ENCODING, &CLEAN];

/// The rules for `uri` and `fallbackURIs` of the object that has both.
pub(crate) fn rules() -> Vec<Rule> {
    let of_one = CHECKS.iter().map(|check| check.of_field("uri"));
    of_one.chain(CHECKS.iter().map(|check| check.of_entries("fallbackURIs"))).collect()
}

/// What `uri` must be and is not.
pub(crate) fn violated(uri: &str) -> Vec<String> {
    let mut messages = Vec::new();
    let mut unless = |holds: bool, check: &Check| {
        if !holds {
            messages.push(check.message.to_owned());
        }
    };
    unless(is_clean(uri), &CLEAN);
    let Some((scheme, rest)) = split(uri) else {
        unless(false, &SCHEME);
        return messages;
    };
    if let Some(instead) = Scheme::of(uri).and_then(Scheme::instead) {
        messages.push(format!("{scheme}: is known as a kind of input, but not built in: {instead}"));
        if has_login(uri) {
            messages.push(NO_LOGIN.message.to_owned());
        }
        return messages;
    }
    let after_slashes = rest.strip_prefix("//");
    let needed = match scheme {
        "file" => Some(rest),
        "v4l2" => rest.strip_prefix("///"),
        _ => after_slashes,
    };
    let named = needed.is_some_and(|rest| !rest.is_empty());
    unless(Scheme::of(uri).is_some() && named, &SCHEME);
    unless(scheme == "file" || !has_login(uri), &NO_LOGIN);
    unless(scheme != "srt" || !["?passphrase=", "&passphrase="].iter().any(|at| uri.contains(at)), &NO_PASSPHRASE);
    let starts_or_is_empty = |text: &str| text.is_empty() || text.starts_with(['/', '?', '#', ':']);
    let host_is_missing = HOST_SCHEMES.contains(&scheme) && after_slashes.is_some_and(starts_or_is_empty);
    let file_has_host =
        scheme == "file" && after_slashes.is_some_and(|path| !path.is_empty() && !path.starts_with('/'));
    unless(!host_is_missing && !file_has_host, &HOST);
    if let Some(after_slashes) = after_slashes {
        unless(!PORT_SCHEMES.contains(&scheme) || has_port(after_slashes), &PORT);
        unless(scheme != "rtp" || names_encoding(after_slashes), &RTP_ENCODING);
    }
    messages
}

/// `host:port` and what may follow it.
fn has_port(after_slashes: &str) -> bool {
    let authority = after_slashes.split(['/', '?', '#']).next().unwrap_or_default();
    let port = authority.rsplit_once(':').map_or("", |(_, port)| port);
    !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// The query holds `encoding=` and a known one.
fn names_encoding(rest: &str) -> bool {
    let before_fragment = rest.split('#').next().unwrap_or_default();
    let query = before_fragment.split_once('?').map_or("", |(_, query)| query);
    query.split('&').filter_map(|pair| pair.strip_prefix("encoding=")).any(|value| RTP_ENCODINGS.contains(&value))
}

/// Has no character that URI parsers drop or read as a slash.
pub(crate) fn is_clean(uri: &str) -> bool {
    !uri.chars().any(|c| c.is_ascii_control() || c == '\\')
}

/// Names a server, which may ask for a login.
pub(crate) fn takes_login(uri: &str) -> bool {
    LOGIN_SCHEMES.iter().any(|scheme| uri.strip_prefix(scheme).is_some_and(|rest| rest.starts_with("://")))
}

/// A user name or password stands before the host. Leading slashes are skipped whatever their number, as URL parsers
/// do for http.
pub(crate) fn has_login(uri: &str) -> bool {
    split(uri).is_some_and(|(_, rest)| {
        let authority = rest.trim_start_matches('/').split(['/', '?', '#']).next();
        authority.is_some_and(|authority| authority.contains('@'))
    })
}

/// Scheme and the rest after the colon.
fn split(uri: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = uri.split_once(':')?;
    let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-'));
    valid.then_some((scheme, rest))
}
