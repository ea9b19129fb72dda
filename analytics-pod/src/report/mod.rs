//! What a pod in a cluster tells the operator of itself, over mutual TLS: [`reporter`] looks, [`describe`] says, and
//! [`server`] answers, to clients of the operator alone.

mod certificates;
mod demand;
mod describe;
mod model;
mod reporter;
mod server;

pub use certificates::{CertificateError, Certificates};
pub use demand::Demand;
pub use describe::{Described, Now, describe};
pub use model::ModelProgress;
pub use reporter::{Reporter, ReporterParts};
pub use server::{ReportServer, ReportServerError};
