//! The token that guards `/api`.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::text_file;

/// Nobody copies a longer token.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// Shorter tokens can be guessed.
const LEAST: usize = 16;

/// Why a token cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Its file cannot be read.
    #[error("{} cannot be read: {source}; give a file that holds the token and nothing else", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// It is no token.
    #[error("{} must hold one token of at least {LEAST} visible ASCII characters; `openssl rand -hex 32` makes one", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
    },
}

/// A token; only its digest is kept.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// The token in a file; space around it does not count.
    ///
    /// # Errors
    /// Where there is none.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let text = text_file::read(path, MAX_FILE_BYTES)
            .map_err(|source| TokenError::Read { path: path.to_owned(), source })?;
        Self::new(text.trim()).ok_or_else(|| TokenError::Unusable { path: path.to_owned() })
    }

    /// `None` where `text` is no token.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let usable = text.len() >= LEAST && text.bytes().all(|byte| byte.is_ascii_graphic());
        usable.then(|| Self(Sha256::digest(text).into()))
    }

    /// Whether an `Authorization` header carries it. Takes the same time for every wrong token of a length.
    #[must_use]
    pub fn is_carried_by(&self, authorization: Option<&str>) -> bool {
        let Some((scheme, token)) = authorization.and_then(|header| header.split_once(' ')) else { return false };
        let same: bool = Sha256::digest(token.trim()).as_slice().ct_eq(self.0.as_slice()).into();
        scheme.eq_ignore_ascii_case("bearer") && same
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_the_token_itself_opens() {
        let token = Token::new("0123456789abcdef").unwrap();
        for (header, opens) in [
            (None, false),
            (Some("Bearer 0123456789abcdef"), true),
            (Some("bearer  0123456789abcdef"), true),
            (Some("Bearer 0123456789abcdeg"), false),
            (Some("Bearer 0123456789abcde"), false),
            (Some("Basic 0123456789abcdef"), false),
            (Some("0123456789abcdef"), false),
            (Some("Bearer "), false),
        ] {
            assert_eq!(token.is_carried_by(header), opens, "{header:?}");
        }
        assert_eq!(format!("{token:?}"), "Token(…)");
    }

    #[test]
    fn what_can_be_guessed_is_refused_without_being_shown() {
        assert!(Token::new("short").is_none());
        assert!(Token::new("with spaces in its middle").is_none());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        fs::write(&file, "hunter2\n").unwrap();
        let error = Token::read(&file).unwrap_err().to_string();
        assert!(error.contains("token") && !error.contains("hunter2"), "{error}");
        fs::write(&file, "0123456789abcdef\n").unwrap();
        assert!(Token::read(&file).is_ok());
    }
}
