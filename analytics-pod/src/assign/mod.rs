//! Room for `assign`.
