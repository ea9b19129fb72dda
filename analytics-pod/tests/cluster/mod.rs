//! A real API server, the certificates of a cluster, and pods that serve in it, all started for a test and ended with it.

pub(crate) mod api_server;
pub(crate) mod certificates;
pub(crate) mod pod;
