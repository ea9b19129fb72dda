//! Everything that can happen to a fleet, one after another at random, for as long as is asked for.

mod act;
mod fleet;
mod perform;

use std::{collections::BTreeMap, convert::Infallible, time::Duration};

use fleet::{Eyes, Fleet};
use jiff::Timestamp;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::time::{Instant, sleep};

use super::{Stage, TWO_INTERVALS, seconds};
use crate::{
    cameras::Site,
    cluster::ScenarioError,
    report::Row,
    verdict::{Truth, Unbound, compare, unexcused},
};

/// How often bindings are looked at.
const LOOK: Duration = Duration::from_millis(250);

/// How often what the cameras sent is remembered.
const REMEMBER: Duration = Duration::from_mins(1);

/// The wait between two acts, in seconds.
const PAUSE: std::ops::RangeInclusive<u64> = 3..=12;

/// How long a stream may be without a pod while one has room for it, in seconds.
const LONGEST_UNBOUND: f64 = 10.0;

/// The least share of the objects in the pictures that is found. The starter model finds fewer on single pictures where
/// objects are in front of one another.
const LEAST_FOUND: f64 = 0.8;

pub(super) async fn run(stage: &Stage<'_>) -> Result<Vec<Row>, ScenarioError> {
    let site = stage.cameras.site()?;
    let mut fleet = Fleet::start(stage).await?;
    let began = Timestamp::now();
    let mut random = ChaCha8Rng::seed_from_u64(stage.seed);
    let mut acts = BTreeMap::<&str, usize>::new();
    let mut unbound = Unbound::default();
    let mut unfinished = Vec::new();
    let deadline = Instant::now() + stage.duration;
    while Instant::now() < deadline {
        let act = fleet.view().await?.choose(&mut random);
        eprintln!("  {:>5.0} s  {act}", seconds(Timestamp::now().duration_since(began)));
        *acts.entry(act.kind()).or_default() += 1;
        let pause = Duration::from_secs(random.random_range(PAUSE));
        match act_and_look(&mut fleet, &act, pause, site, &mut unbound).await {
            Err(ScenarioError::Timeout { what, limit }) => {
                eprintln!("           not within {} s: {what}", limit.as_secs());
                unfinished.push(what);
            }
            done => done?,
        }
    }
    fleet.publishing().await?;
    let settled = stage.settle().await?;
    site.remember()?;
    let mut rows = vec![Row::told(
        format!(
            "{} acts in {:.0} min, seed {}",
            acts.values().sum::<usize>(),
            stage.duration.as_secs_f64() / 60.0,
            stage.seed
        ),
        acts.iter().map(|(kind, count)| format!("{kind} {count}")).collect::<Vec<_>>().join(", "),
    )];
    rows.push(Row::exactly("acts that did not come to their end", 0, unfinished.len()));
    rows.extend(judge(stage, &fleet, began, site));
    let (longest, source) = unbound.longest();
    rows.push(Row::at_most(
        format!("longest without a pod while there is room {source}"),
        LONGEST_UNBOUND,
        *longest,
        "s",
    ));
    rows.push(Row::exactly("cameras that are bound at the end", fleet.addresses().count(), settled.len()));
    Ok(rows)
}

/// Looks at the bindings, and remembers what the cameras send, until it is dropped.
async fn look_on(eyes: &Eyes<'_>, site: &Site, unbound: &mut Unbound) -> Result<Infallible, ScenarioError> {
    let mut remembered = Instant::now();
    loop {
        match eyes.unbound().await {
            Ok(sources) => unbound.observe(Timestamp::now(), sources),
            Err(_) => unbound.forget(),
        }
        if remembered.elapsed() >= REMEMBER {
            remembered = Instant::now();
            site.remember()?;
        }
        sleep(LOOK).await;
    }
}

/// Does an act and lets some time pass, and looks at the bindings all the while.
async fn act_and_look(
    fleet: &mut Fleet<'_>,
    act: &act::Act,
    pause: Duration,
    site: &Site,
    unbound: &mut Unbound,
) -> Result<(), ScenarioError> {
    let eyes = fleet.eyes();
    let perform = async {
        fleet.perform(act).await?;
        sleep(pause).await;
        Ok::<(), ScenarioError>(())
    };
    tokio::select! {
        performed = perform => performed?,
        looked = look_on(&eyes, site, unbound) => match looked? {},
    }
    site.remember()
}

/// What the published frames say.
fn judge(stage: &Stage<'_>, fleet: &Fleet<'_>, began: Timestamp, site: &Site) -> Vec<Row> {
    let ledger = stage.published.so_far();
    let ended = ledger.latest().unwrap_or(began);
    let mut truth = Truth::default();
    let mut long_gaps = Vec::new();
    for (source, addresses) in fleet.addresses() {
        let gaps = ledger.gaps(source, began, ended);
        for gap in unexcused(source, &gaps, TWO_INTERVALS, &fleet.disturbances) {
            let at = seconds(gap.from.duration_since(began));
            let around =
                |time| ledger.kept(source).iter().find(|frame| frame.captured == time).map(|frame| frame.epoch);
            eprintln!(
                "  {source}: {:.2} s without frames from {at:.1} s on ({}), for which there is no excuse; bindings {:?} and {:?}",
                seconds(gap.length()),
                gap.from,
                around(gap.from),
                around(gap.to)
            );
            long_gaps.push(seconds(gap.length()));
        }
        let frames: Vec<_> = ledger.kept(source).into_iter().filter(|frame| frame.captured >= began).collect();
        truth += compare(&frames, addresses, |camera| site.sent(camera), |camera, frame| site.truth(camera, frame));
    }
    let longest = long_gaps.iter().copied().fold(0.0, f64::max);
    let found = truth.found as f64 / truth.objects.max(1) as f64;
    vec![
        Row::exactly(format!("gaps without an excuse; the longest {longest:.2} s"), 0, long_gaps.len()),
        stage.duplicates(),
        Row::exactly(format!("of {} frames those that no camera sent", truth.frames + truth.strange), 0, truth.strange),
        Row::told("pictures that were published once more by the next pod", truth.repeated.to_string()),
        Row::at_least(format!("of {} objects found", truth.objects), LEAST_FOUND, found, ""),
    ]
}
