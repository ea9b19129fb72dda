//! Sinks inside the process.

use crossbeam_channel::{Sender, TrySendError};

use super::{Refused, Sink, SinkError};
use crate::observation::Observation;

/// Takes everything and keeps nothing: frames are tracked and counted only.
#[derive(Debug, Default)]
pub struct NullSink;

impl Sink for NullSink {
    fn name(&self) -> &'static str {
        "null"
    }

    fn publish(&mut self, _observation: &Observation) -> Result<(), Refused> {
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Hands a copy of each observation to another thread.
#[derive(Debug)]
pub struct ChannelSink {
    name: String,
    observations: Sender<Observation>,
}

impl ChannelSink {
    /// Sends into `observations`, whose bound is how far the reader may lag behind.
    #[must_use]
    pub fn new(name: impl Into<String>, observations: Sender<Observation>) -> Self {
        Self { name: name.into(), observations }
    }
}

impl Sink for ChannelSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn publish(&mut self, observation: &Observation) -> Result<(), Refused> {
        self.observations.try_send(observation.clone()).map_err(|error| match error {
            TrySendError::Full(_) => Refused::Full,
            TrySendError::Disconnected(_) => SinkError::ReaderGone { sink: self.name.clone() }.into(),
        })
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}
