//! The GPUs of this machine, asked for at each scrape.

use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use gpu_telemetry::{GpuError, GpuReading, Gpus};

/// What the driver said last.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct GpuReadings {
    pub(super) driver: Option<String>,
    pub(super) gpus: Vec<GpuReading>,
}

/// Opens the driver when it is first asked. A driver that hangs holds up one caller; the others get what was known
/// before.
#[derive(Debug, Default)]
pub(super) struct GpuMonitor {
    driver: Mutex<Driver>,
    last: ArcSwap<GpuReadings>,
}

#[derive(Debug, Default)]
enum Driver {
    #[default]
    NotAsked,
    Absent,
    Open(Box<Gpus>),
}

impl GpuMonitor {
    /// Every GPU now; none where there is no driver. May take the driver some milliseconds.
    pub(super) fn read(&self) -> Arc<GpuReadings> {
        if let Ok(mut driver) = self.driver.try_lock() {
            if matches!(*driver, Driver::NotAsked) {
                *driver = open();
            }
            if let Driver::Open(gpus) = &*driver {
                self.last.store(Arc::new(GpuReadings { driver: gpus.driver_version(), gpus: gpus.read() }));
            }
        }
        self.last.load_full()
    }
}

fn open() -> Driver {
    match Gpus::open() {
        Ok(gpus) => Driver::Open(Box::new(gpus)),
        Err(GpuError::NoDriver) => Driver::Absent,
        Err(error) => {
            tracing::warn!("there are no metrics of GPUs: {error}");
            Driver::Absent
        }
    }
}
