//! The certificates with which the operator and the pods know each other. `authority` makes them, `store` keeps the CA in
//! a Secret.

mod authority;
mod store;

pub use authority::{Authority, Error, Identity};
pub(crate) use store::server_secret;
pub use store::{Issuer, StoreError};

#[cfg(test)]
mod tests;
