//! Sources that come and go while others run.

use std::{io, net::TcpListener, time::Duration};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use crate::{
    pod::{Api, Lines, PodError},
    requests::{Times, timed},
    stop::Stop,
};

/// How long a visitor may take to publish its first frame.
const FIRST_FRAME_TIMEOUT: Duration = Duration::from_secs(20);

/// What one cycle does.
#[derive(Clone, Debug, PartialEq)]
struct Cycle {
    name: String,
    uri: String,
    /// With a model of its own, which comes and goes with it.
    own_model: bool,
    /// Whether it stays until it has published, or for this long.
    stay: Stay,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stay {
    UntilFirstFrame,
    For(Duration),
}

/// Where sources can be had, and where not.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// A camera that streams.
    camera: String,
    /// Accepts connections and never answers.
    silent: String,
    /// Refuses connections.
    closed: String,
}

impl Places {
    /// `camera`, and two ports of loopback. The listener is to be held as long as the places are used.
    pub(crate) fn with_camera(camera: String) -> io::Result<(Self, TcpListener)> {
        let uri = |listener: &TcpListener| Ok::<_, io::Error>(format!("rtsp://{}/", listener.local_addr()?));
        let listener = TcpListener::bind("127.0.0.1:0")?;
        // Its port is free again once it is dropped.
        let closed = uri(&TcpListener::bind("127.0.0.1:0")?)?;
        Ok((Self { camera, silent: uri(&listener)?, closed }, listener))
    }
}

/// The cycle `number`: mostly the camera, watched until it streams; now and then another kind of input, one that nobody
/// answers at, one that is taken away while it connects, and one with a model of its own.
fn cycle(number: u32, places: &Places, chance: &mut ChaCha8Rng) -> Cycle {
    // Half of them have a name that was there before.
    let name = if number.is_multiple_of(2) { "visitor".to_owned() } else { format!("visitor-{number}") };
    let short = Stay::For(Duration::from_millis(chance.random_range(0..200)));
    let seed = chance.random_range(0..1000);
    let (uri, own_model, stay) = match number % 8 {
        4 => (places.silent.clone(), false, short),
        5 => (format!("sim://street?seed={seed}&width=320&height=192&fps=10"), false, Stay::UntilFirstFrame),
        6 => (places.closed.clone(), false, short),
        7 => (places.camera.clone(), true, Stay::UntilFirstFrame),
        _ => (places.camera.clone(), false, Stay::UntilFirstFrame),
    };
    Cycle { name, uri, own_model, stay }
}

/// Adds and removes one source after another: `cycles` of them with the numbers from `first` on, unless the end is asked
/// for. `done` is told after each.
///
/// # Errors
/// An answer that should not be, or a source that never published.
pub(crate) fn run(
    api: &Api,
    (places, lines): (&Places, &Lines),
    (first, cycles): (u32, u32),
    times: &Times,
    stop: &Stop,
    mut done: impl FnMut(u32),
) -> Result<(), CycleError> {
    let mut chance = ChaCha8Rng::seed_from_u64(u64::from(first));
    for number in first..first + cycles {
        if stop.is_requested() {
            break;
        }
        one(api, &cycle(number, places, &mut chance), lines, times)
            .map_err(|problem| CycleError { number, problem })?;
        done(number + 1);
    }
    Ok(())
}

/// A cycle that went wrong.
#[derive(Debug, thiserror::Error)]
#[error("cycle {number}: {problem}")]
pub(crate) struct CycleError {
    number: u32,
    problem: Problem,
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Pod(#[from] PodError),
    #[error("{name} published nothing within {} s; it is {state}", FIRST_FRAME_TIMEOUT.as_secs())]
    Silent { name: String, state: String },
}

fn one(api: &Api, cycle: &Cycle, lines: &Lines, times: &Times) -> Result<(), Problem> {
    let Cycle { name, uri, own_model, stay } = cycle;
    let model = if *own_model { name.as_str() } else { "starter" };
    // By UDP: the RTSP server of the simulator does not survive clients over TCP that come and go this fast
    // (GStreamer 1.22).
    let source = json!({"id": name, "uri": uri, "model": model, "transport": {"protocol": "UDP"}});
    if *own_model {
        let model = json!({"id": name, "source": {"builtin": "starter"}});
        timed(api, times, "POST /api/v1/models", ("/api/v1/models", Some(&model), 201))?;
    }
    timed(api, times, "POST /api/v1/sources", ("/api/v1/sources", Some(&source), 201))?;
    let path = format!("/api/v1/sources/{name}");
    // A cycle is short, and is finished even when the end is asked for.
    let patient = Stop::default();
    match stay {
        Stay::For(time) => patient.sleep(*time),
        Stay::UntilFirstFrame if !patient.wait(FIRST_FRAME_TIMEOUT, || lines.count(name) > 0) => {
            return Err(Problem::Silent { name: name.clone(), state: api.ask("GET", &path, None, 200)? });
        }
        Stay::UntilFirstFrame => {}
    }
    timed(api, times, "DELETE /api/v1/sources/{name}", (&path, None, 204))?;
    api.ask("GET", &path, None, 404)?;
    if *own_model {
        let path = format!("/api/v1/models/{name}");
        timed(api, times, "DELETE /api/v1/models/{name}", (&path, None, 204))?;
    }
    lines.forget(name);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_differ_and_a_number_is_always_the_same() {
        let plan = |seed| {
            let mut chance = ChaCha8Rng::seed_from_u64(seed);
            let uri = |host: &str| format!("rtsp://{host}/");
            let places = Places { camera: uri("camera"), silent: uri("silent"), closed: uri("closed") };
            (0..64).map(|number| cycle(number, &places, &mut chance)).collect::<Vec<_>>()
        };
        let cycles = plan(1);
        assert_eq!(cycles, plan(1));
        assert_eq!(cycles.iter().filter(|cycle| cycle.own_model).count(), 8);
        assert_eq!(cycles.iter().filter(|cycle| cycle.uri.contains("silent")).count(), 8);
        assert_eq!(cycles.iter().filter(|cycle| cycle.uri.contains("closed")).count(), 8);
        assert_eq!(cycles.iter().filter(|cycle| cycle.name == "visitor").count(), 32);
        let streams = |cycle: &Cycle| cycle.uri.contains("camera") || cycle.uri.starts_with("sim:");
        assert!(cycles.iter().all(|cycle| streams(cycle) == (cycle.stay == Stay::UntilFirstFrame)));
    }
}
