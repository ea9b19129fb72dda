//! What the `uri` of a `VideoSource` may be.

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

    const fn not_yet(name: &'static str) -> Self {
        Self { name, supported: false }
    }

    /// The scheme of `uri`, where it is one that is known.
    #[must_use]
    pub fn of(uri: &str) -> Option<&'static Self> {
        let (name, _) = uri.split_once(':')?;
        KNOWN_SCHEMES.iter().find(|scheme| scheme.name == name)
    }
}

/// Every scheme that means a video source, supported by this version or not.
pub const KNOWN_SCHEMES: &[Scheme] = &[
    Scheme::supported("rtsp"),
    Scheme::supported("rtsps"),
    Scheme::supported("http"),
    Scheme::supported("https"),
    Scheme::supported("file"),
    Scheme::supported("sim"),
    Scheme::supported("test"),
    Scheme::not_yet("v4l2"),
    Scheme::not_yet("srt"),
    Scheme::not_yet("udp"),
    Scheme::not_yet("rtp"),
    Scheme::not_yet("whep"),
];

/// The schemes of inputs that have a server, which may ask for a login.
const SERVER_SCHEMES: [&str; 4] = ["rtsp", "rtsps", "http", "https"];

/// The scheme is one that this version reads.
pub(crate) const SCHEME: Check = Check {
    rule: "self.matches('^(rtsp|rtsps|http|https|sim|test)://.') || self.matches('^file:.')",
    message: "must start with rtsp://, rtsps://, http://, https://, file:, sim:// or test://",
};

/// Nobody's password is in it.
pub(crate) const NO_LOGIN: Check = Check {
    rule: "self.startsWith('file:') || !self.matches('^[A-Za-z][A-Za-z0-9+.-]*:/*[^/?#]*@')",
    message: "must not hold a user name or password: put them into a Secret of type kubernetes.io/basic-auth and name \
              it in credentialsSecretRef",
};

/// A network source says where the server is, a file does not.
pub(crate) const HOST: Check = Check {
    rule: "!self.matches('^(rtsp|rtsps|http|https)://([/?#:]|$)') && !self.matches('^file://[^/]')",
    message: "must name a host after rtsp://, rtsps://, http:// and https://, and none after file: (write \
              file:///absolute/path or file:relative/path)",
};

/// Nothing is in it that URI parsers drop or read as a slash.
pub(crate) const CLEAN: Check = Check {
    rule: "!self.matches('[[:cntrl:]\\\\\\\\]')",
    message: "must not hold line breaks, tabs, other control characters or backslashes",
};

/// What `uri` must be and is not.
pub(crate) fn violated(uri: &str) -> Vec<String> {
    let mut messages = Vec::new();
    if !is_clean(uri) {
        messages.push(CLEAN.message.to_owned());
    }
    let Some((scheme, rest)) = split(uri) else {
        messages.push(SCHEME.message.to_owned());
        return messages;
    };
    let after_slashes = rest.strip_prefix("//");
    let needed = if scheme == "file" { Some(rest) } else { after_slashes };
    match Scheme::of(uri) {
        Some(Scheme { supported: false, name }) => {
            messages.push(format!("{}; this version does not support {name}: yet", SCHEME.message));
        }
        Some(_) if needed.is_some_and(|rest| !rest.is_empty()) => {}
        _ => messages.push(SCHEME.message.to_owned()),
    }
    if scheme != "file" && has_login(uri) {
        messages.push(NO_LOGIN.message.to_owned());
    }
    let starts_or_is_empty = |text: &str| text.is_empty() || text.starts_with(['/', '?', '#', ':']);
    let host_is_missing = SERVER_SCHEMES.contains(&scheme) && after_slashes.is_some_and(starts_or_is_empty);
    let file_has_host =
        scheme == "file" && after_slashes.is_some_and(|path| !path.is_empty() && !path.starts_with('/'));
    if host_is_missing || file_has_host {
        messages.push(HOST.message.to_owned());
    }
    messages
}

/// Has no character that URI parsers drop or read as a slash.
pub(crate) fn is_clean(uri: &str) -> bool {
    !uri.chars().any(|c| c.is_ascii_control() || c == '\\')
}

/// Names a server, which may ask for a login.
pub(crate) fn has_server(uri: &str) -> bool {
    SERVER_SCHEMES.iter().any(|scheme| uri.strip_prefix(scheme).is_some_and(|rest| rest.starts_with("://")))
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
