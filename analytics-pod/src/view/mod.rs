//! Room for `view`.
