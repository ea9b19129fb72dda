//! Room for `track`.
