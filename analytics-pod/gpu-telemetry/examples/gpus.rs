//! Prints what the GPUs of this machine tell, a line each.

use std::process::ExitCode;

use gpu_telemetry::Gpus;

fn main() -> ExitCode {
    let gpus = match Gpus::open() {
        Ok(gpus) => gpus,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    println!("driver {}", gpus.driver_version().unwrap_or_default());
    for gpu in gpus.read() {
        println!("{gpu:?}");
    }
    ExitCode::SUCCESS
}
