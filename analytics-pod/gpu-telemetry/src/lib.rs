//! How busy the NVIDIA GPUs of this machine are, and how full their memory is.
//!
//! NVIDIA's management library (NVML, part of the driver) is opened at run time: a machine without it has no GPUs, which
//! is no error of the program that asks. A crate of its own, so that it can be tried on a machine with a GPU and
//! nothing else that the pod needs: `cargo run -p gpu-telemetry --example gpus`.

use std::ffi::OsStr;

use nvml_wrapper::{Device, Nvml, enum_wrappers::device::TemperatureSensor, error::NvmlError};

/// The driver's own name of the library. The name without a number comes with the development package only, and not
/// into containers.
const LIBRARY: &str = "libnvidia-ml.so.1";

/// Why there is nothing to read.
#[derive(Debug, thiserror::Error)]
pub enum GpuError {
    /// There is no NVIDIA driver here.
    #[error("{LIBRARY} is not installed: no NVIDIA driver")]
    NoDriver,
    /// There is a driver, and it does not work.
    #[error("the NVIDIA driver does not answer: {0}")]
    Driver(NvmlError),
}

/// The GPUs of this machine.
#[derive(Debug)]
pub struct Gpus(Nvml);

/// One GPU at one moment. What it cannot tell is `None`: a part of a GPU (MIG) has no utilisation of its own, and old
/// drivers tell less.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuReading {
    /// Its number, from 0, in the order of the PCI bus.
    pub index: u32,
    /// Its unique name (`GPU-…`), the same after a restart and in every container.
    pub uuid: String,
    /// The product's name.
    pub name: Option<String>,
    /// Share of the last sample period in which a kernel ran, from 0 to 1.
    pub utilization: Option<f64>,
    /// Share of the last sample period in which the encoder worked, from 0 to 1.
    pub encoder_utilization: Option<f64>,
    /// Share of the last sample period in which the decoder worked, from 0 to 1.
    pub decoder_utilization: Option<f64>,
    /// Memory in use, by whomever, in bytes.
    pub memory_used: Option<u64>,
    /// Memory in all, in bytes.
    pub memory_total: Option<u64>,
    /// Temperature of the chip in degrees Celsius.
    pub temperature: Option<u32>,
}

impl Gpus {
    /// Opens the driver's library.
    ///
    /// # Errors
    /// Where there is no driver, or it does not work.
    pub fn open() -> Result<Self, GpuError> {
        Nvml::builder().lib_path(OsStr::new(LIBRARY)).init().map(Self).map_err(|error| match error {
            NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound => GpuError::NoDriver,
            error => GpuError::Driver(error),
        })
    }

    /// The driver's version.
    #[must_use]
    pub fn driver_version(&self) -> Option<String> {
        self.0.sys_driver_version().ok()
    }

    /// Every GPU that can be asked, now. Takes the driver some milliseconds; one that has fallen off the bus is left
    /// out.
    #[must_use]
    pub fn read(&self) -> Vec<GpuReading> {
        let count = self.0.device_count().unwrap_or(0);
        (0..count).filter_map(|index| reading(index, &self.0.device_by_index(index).ok()?)).collect()
    }
}

fn reading(index: u32, device: &Device<'_>) -> Option<GpuReading> {
    let memory = device.memory_info().ok();
    Some(GpuReading {
        index,
        uuid: device.uuid().ok()?,
        name: device.name().ok(),
        utilization: device.utilization_rates().ok().map(|rates| share(rates.gpu)),
        encoder_utilization: device.encoder_utilization().ok().map(|encoder| share(encoder.utilization)),
        decoder_utilization: device.decoder_utilization().ok().map(|decoder| share(decoder.utilization)),
        memory_used: memory.as_ref().map(|memory| memory.used),
        memory_total: memory.map(|memory| memory.total),
        temperature: device.temperature(TemperatureSensor::Gpu).ok(),
    })
}

fn share(percent: u32) -> f64 {
    f64::from(percent) / 100.0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_machine_has_gpus_that_tell_sound_figures_or_says_why_not() {
        let gpus = match Gpus::open() {
            Ok(gpus) => gpus,
            Err(error) => return assert!(error.to_string().contains("NVIDIA driver"), "{error}"),
        };
        for gpu in gpus.read() {
            assert!(gpu.uuid.starts_with("GPU-"), "{gpu:?}");
            assert!(gpu.memory_used <= gpu.memory_total, "{gpu:?}");
            for share in [gpu.utilization, gpu.encoder_utilization, gpu.decoder_utilization].into_iter().flatten() {
                assert!((0.0..=1.0).contains(&share), "{gpu:?}");
            }
        }
    }
}
