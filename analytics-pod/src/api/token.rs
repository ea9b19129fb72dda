//! The token that guards `/api`.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
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
pub struct Token {
    /// Where it was read.
    file: Option<PathBuf>,
    digest: ArcSwap<[u8; 32]>,
}

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
        let digest = ArcSwap::from_pointee(read_digest(path)?);
        Ok(Self { file: Some(path.to_owned()), digest })
    }

    /// Reads its file anew; whether there is another token in it, which counts from now on.
    ///
    /// # Errors
    /// Where there is none; the one before still counts.
    pub fn read_anew(&self) -> Result<bool, TokenError> {
        let Some(file) = &self.file else { return Ok(false) };
        let digest = read_digest(file)?;
        Ok(*self.digest.swap(Arc::new(digest)) != digest)
    }

    /// `None` where `text` is no token.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        digest(text).map(|digest| Self { file: None, digest: ArcSwap::from_pointee(digest) })
    }

    /// Whether an `Authorization` header carries it. Takes the same time for every wrong token of a length.
    #[must_use]
    pub fn is_carried_by(&self, authorization: Option<&str>) -> bool {
        let Some((scheme, token)) = authorization.and_then(|header| header.split_once(' ')) else { return false };
        let same: bool = Sha256::digest(token.trim()).as_slice().ct_eq(self.digest.load().as_slice()).into();
        scheme.eq_ignore_ascii_case("bearer") && same
    }
}

fn read_digest(path: &Path) -> Result<[u8; 32], TokenError> {
    let text =
        text_file::read(path, MAX_FILE_BYTES).map_err(|source| TokenError::Read { path: path.to_owned(), source })?;
    digest(text.trim()).ok_or_else(|| TokenError::Unusable { path: path.to_owned() })
}

/// The digest of a token; `None` where `text` is none.
fn digest(text: &str) -> Option<[u8; 32]> {
    let usable = text.len() >= LEAST && text.bytes().all(|byte| byte.is_ascii_graphic());
    usable.then(|| Sha256::digest(text).into())
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

    #[test]
    fn another_token_in_the_file_takes_the_place_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        fs::write(&file, "0123456789abcdef").unwrap();
        let token = Token::read(&file).unwrap();
        assert!(!token.read_anew().unwrap());
        fs::write(&file, "fedcba9876543210").unwrap();
        assert!(token.read_anew().unwrap());
        let opens = |text: &str| token.is_carried_by(Some(text));
        assert!(opens("Bearer fedcba9876543210") && !opens("Bearer 0123456789abcdef"));
        fs::write(&file, "").unwrap();
        assert!(token.read_anew().is_err() && opens("Bearer fedcba9876543210"));
    }
}
