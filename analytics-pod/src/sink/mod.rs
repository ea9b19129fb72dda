//! Room for `sink`.
