//! Takes credentials out of other people's messages.

use std::{borrow::Cow, sync::LazyLock};

use regex::Regex;

/// What is assigned to a word for a secret, as `GStreamer` writes its structures: `passphrase=(string)"…"`.
static ASSIGNMENT: LazyLock<Regex> = LazyLock::new(|| {
    let secret = "pass-?phrase|password|passwd|pwd|secret|token|user-pw|proxy-pw|streamid";
    let value = r#"(?:\(\w+\)\s*)?(?:"(?:[^"\\]|\\.)*"|[^\s;,]+)"#;
    // The pattern is constant.
    Regex::new(&format!(r"(?i)\b({secret})\s*=\s*{value}[;,]*")).unwrap_or_else(|error| unreachable!("{error}"))
});

/// A path with a query, as a request's first line has it.
static QUERY: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"(/[^\s?"'<>]*)\?[^\s"'<>]+"#).unwrap_or_else(|error| unreachable!("{error}")));

/// `text` without the user info and query of every URI in it, without the query of every other path, without what is assigned to a word for a secret
/// (`password=…`), and without what follows an `Authorization` header on its line. Where a URI is ambiguous (an `@`
/// behind a `?`) all of it but the scheme goes.
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    let text = redact_uris(text);
    let text = match redact_authorization(&text) {
        Some(redacted) => Cow::Owned(redacted),
        None => text,
    };
    let text = replaced(text, &QUERY, "$1?…");
    replaced(text, &ASSIGNMENT, "$1=…")
}

/// `text` without what is assigned to a word for a secret.
#[must_use]
pub fn redact_assignments(text: &str) -> Cow<'_, str> {
    replaced(Cow::Borrowed(text), &ASSIGNMENT, "$1=…")
}

fn replaced<'a>(text: Cow<'a, str>, pattern: &Regex, by: &str) -> Cow<'a, str> {
    match pattern.replace_all(&text, by) {
        Cow::Owned(redacted) => Cow::Owned(redacted),
        Cow::Borrowed(_) => text,
    }
}

fn redact_uris(text: &str) -> Cow<'_, str> {
    if !text.contains("://") {
        return Cow::Borrowed(text);
    }
    let mut redacted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        redacted.push_str(before);
        redacted.push_str("://");
        let end = after.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>')).unwrap_or(after.len());
        let (uri, following) = after.split_at(end);
        match (uri.rfind('@'), uri.find('?')) {
            (Some(at), Some(query)) if at > query => redacted.push('…'),
            (at, query) => redacted.push_str(&uri[at.map_or(0, |at| at + 1)..query.unwrap_or(uri.len())]),
        }
        rest = following;
    }
    redacted.push_str(rest);
    Cow::Owned(redacted)
}

/// A header is written `Authorization: …` or, by those who take messages apart, `'Authorization', value: '…'`.
fn redact_authorization(text: &str) -> Option<String> {
    const HEADER: &str = "authorization";
    if !text.to_ascii_lowercase().contains(HEADER) {
        return None;
    }
    let mut redacted = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let lower = line.to_ascii_lowercase();
        let is_header = |end: &usize| line[*end..].starts_with([':', '\'', '"', '=', ',']);
        match lower.match_indices(HEADER).map(|(at, header)| at + header.len()).find(is_header) {
            Some(end) => {
                redacted.push_str(&line[..end]);
                redacted.push_str(": …");
                redacted.push_str(if line.ends_with('\n') { "\n" } else { "" });
            }
            None => redacted.push_str(line),
        }
    }
    Some(redacted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_uri_must_not_show_is_left_out() {
        for (text, expected) in [
            ("no address in here", "no address in here"),
            ("open rtsp://10.0.0.1/main failed", "open rtsp://10.0.0.1/main failed"),
            ("open rtsp://admin:pw@10.0.0.1/main?channel=1&password=x failed", "open rtsp://10.0.0.1/main failed"),
            ("'rtsp://u:p/q@cam' and \"http://h/?token=t\"", "'rtsp://cam' and \"http://h/\""),
            ("rtsp://h/p?password=a@b", "rtsp://…"),
            ("GET /\nAuthorization: Basic YWRtaW46cHc=\nAccept: *", "GET /\nAuthorization: …\nAccept: *"),
            ("authorization: Digest x", "authorization: …"),
            ("   key: 'Authorization', value: 'Basic YTpi'", "   key: 'Authorization: …"),
            ("\"proxy-authorization\": \"Bearer x\"", "\"proxy-authorization: …"),
            ("authorization failed: no such user", "authorization failed: no such user"),
            (r#"srt, passphrase=(string)"a \"b c", latency=(int)125;"#, "srt, passphrase=… latency=(int)125;"),
            ("> GET /clip.mp4?key=k&x=%20y HTTP/1.1", "> GET /clip.mp4?… HTTP/1.1"),
            ("is it there? yes/no? no", "is it there? yes/no? no"),
            ("user-id=u user-pw = pw retries=3", "user-id=u user-pw=… retries=3"),
        ] {
            assert_eq!(redact(text), expected);
        }
    }

    proptest! {
        #[test]
        fn a_password_never_survives(
            before in "[a-z :/'\"]{0,12}",
            user in "[a-z]{1,6}",
            password in "SECRET[A-Za-z0-9:/?#@!$&()*+,;=%.-]{0,12}",
            path in "[a-z0-9/]{0,10}",
            after in "[ '\"].{0,12}",
        ) {
            let text = format!("{before}rtsp://{user}:{password}@camera.local/{path}{after}");
            prop_assert!(!redact(&text).contains("SECRET"), "{}", redact(&text));
            let text = format!("{before}rtsp://camera.local/{path}?pw={password}{after}");
            prop_assert!(!redact(&text).contains("SECRET"), "{}", redact(&text));
        }

        #[test]
        fn any_text_is_taken(text in any::<String>()) {
            let once = redact(&text).into_owned();
            prop_assert_eq!(redact(&once).into_owned(), once);
        }
    }
}
