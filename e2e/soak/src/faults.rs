//! Cameras that fail, one at a time, in an order drawn from a seed.

use std::time::{Duration, Instant};

use camera_simulator::{Fault, Simulator, SimulatorError};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::{pod::Lines, stop::Stop};

/// Frames that make a stream.
const STREAM_FRAMES: u64 = 5;

/// How long a camera that is well again may take to stream.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(30);

/// Another picture size, which a camera changes to in mid-stream.
const OTHER_SIZE: Fault = Fault::Resolution { width: 480, height: 270 };

const KINDS: [Fault; 6] = [Fault::Die, Fault::Stall, Fault::Silence, Fault::DemandLogin, Fault::Garbage, OTHER_SIZE];

/// One fault of one camera.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Planned {
    fault: Fault,
    camera: usize,
    /// How long it lasts.
    hold: Duration,
    /// How long all is well after the recovery.
    pause: Duration,
}

/// Draws the next fault; each kind comes once before any comes again.
fn draw(chance: &mut ChaCha8Rng, deck: &mut Vec<Fault>, cameras: usize, mean_pause: Duration) -> Planned {
    if deck.is_empty() {
        deck.extend(KINDS);
    }
    Planned {
        fault: deck.swap_remove(chance.random_range(0..deck.len())),
        camera: chance.random_range(0..cameras.max(1)),
        hold: Duration::from_millis(chance.random_range(1_000..9_000)),
        pause: mean_pause.mul_f64(chance.random_range(0.5..1.5)),
    }
}

/// What became of the faults.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outcomes {
    pub(crate) faults: u32,
    /// Of them, cameras that streamed again.
    pub(crate) recovered: u32,
    /// The longest time from a camera's being well until its frames were published, milliseconds.
    pub(crate) longest_recovery_ms: u64,
    /// Those that did not come back.
    pub(crate) lost: Vec<String>,
}

/// Lets `cameras` fail until the end is asked for; `told` is given the outcomes after each fault. Every camera is well
/// at the end.
pub(crate) fn direct(
    simulator: &Simulator,
    (cameras, lines): (&[String], &Lines),
    (seed, mean_pause): (u64, Duration),
    stop: &Stop,
    told: impl Fn(&Outcomes),
) -> Result<Outcomes, SimulatorError> {
    let (mut chance, mut deck) = (ChaCha8Rng::seed_from_u64(seed), Vec::new());
    let mut outcomes = Outcomes::default();
    loop {
        let Planned { fault, camera, hold, pause } = draw(&mut chance, &mut deck, cameras.len(), mean_pause);
        stop.sleep(pause);
        if stop.is_requested() {
            return Ok(outcomes);
        }
        let camera = &cameras[camera];
        simulator.misbehave(camera, fault)?;
        stop.sleep(hold);
        simulator.heal(camera)?;
        let (healed, before) = (Instant::now(), lines.count(camera));
        outcomes.faults += 1;
        // The end may be asked for meanwhile; whether the camera comes back is still of interest.
        let patient = Stop::default();
        if patient.wait(RECOVERY_TIMEOUT, || lines.count(camera) >= before + STREAM_FRAMES) {
            outcomes.recovered += 1;
            let took = u64::try_from(healed.elapsed().as_millis()).unwrap_or(u64::MAX);
            outcomes.longest_recovery_ms = outcomes.longest_recovery_ms.max(took);
        } else {
            outcomes.lost.push(format!("{camera} after {fault}"));
        }
        told(&outcomes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_comes_in_turn_and_a_seed_draws_the_same_again() {
        let drawn = |seed| {
            let (mut chance, mut deck) = (ChaCha8Rng::seed_from_u64(seed), Vec::new());
            (0..24).map(|_| draw(&mut chance, &mut deck, 4, Duration::from_secs(20))).collect::<Vec<_>>()
        };
        let plan = drawn(3);
        assert_eq!(plan, drawn(3));
        assert_ne!(plan, drawn(4));
        for round in plan.chunks(KINDS.len()) {
            for kind in KINDS {
                assert_eq!(round.iter().filter(|planned| planned.fault == kind).count(), 1, "{round:?}");
            }
        }
        assert!(plan.iter().all(|planned| planned.camera < 4 && planned.pause <= Duration::from_secs(30)));
    }
}
