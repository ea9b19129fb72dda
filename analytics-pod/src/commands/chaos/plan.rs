//! What fails, when and for how long, drawn from a seed. Pure.

use std::time::Duration;

use serde::Serialize;

use crate::source::Reason;

/// How a simulated camera fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) enum Kind {
    /// Its connections are cut and its port is closed.
    Death,
    /// The connection stays open and nothing comes.
    Stall,
    /// Its connections are cut; new ones are accepted and never answered.
    Silence,
    /// Its connections are cut; new ones are refused.
    Refusal,
    /// Its connections are cut; new ones have to log in, which nobody can.
    Login,
    /// The packets carry random bytes.
    Garbage,
    /// Its process stops with every socket open.
    Hang,
    /// Its process is killed, and later started again.
    Crash,
}

impl Kind {
    pub(super) const ALL: [Self; 8] =
        [Self::Death, Self::Stall, Self::Silence, Self::Refusal, Self::Login, Self::Garbage, Self::Hang, Self::Crash];

    /// The simulator's words for it, one after another; none for what is done to its process.
    pub(super) const fn commands(self) -> &'static [&'static str] {
        match self {
            Self::Death => &["die"],
            Self::Stall => &["stall"],
            Self::Silence => &["silence"],
            // A camera that only refuses keeps those that it has.
            Self::Refusal => &["die", "refuse"],
            Self::Login => &["demandLogin"],
            Self::Garbage => &["garbage"],
            Self::Hang | Self::Crash => &[],
        }
    }

    /// Whether it befalls a whole process, and with it every camera in it.
    pub(super) const fn is_of_a_process(self) -> bool {
        matches!(self, Self::Hang | Self::Crash)
    }

    /// What the pod must call it, sooner or later.
    pub(super) const fn reasons(self) -> &'static [Reason] {
        match self {
            Self::Death | Self::Refusal | Self::Crash => &[Reason::HostUnreachable],
            Self::Stall | Self::Hang => &[Reason::NoFrames],
            Self::Silence => &[Reason::Timeout],
            Self::Login => &[Reason::AuthenticationFailed],
            Self::Garbage => &[Reason::CorruptStream, Reason::NoFrames],
        }
    }
}

/// One fault of one camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    /// Which of the cameras; of no meaning where a whole process fails, which has a camera of its own.
    pub(super) camera: usize,
    /// How long it lasts at least; it also lasts until it has its name.
    pub(super) hold: Duration,
    /// How long all is well after the recovery.
    pub(super) pause: Duration,
}

/// `faults` of them for `cameras`, each kind equally often but for the rest. The cameras take turns, so that each has
/// streamed for a while before it fails again. The same seed draws the same.
pub(super) fn schedule(seed: u64, faults: u32, cameras: usize) -> Vec<Fault> {
    let mut chance = Chance(seed);
    let mut deck = Vec::new();
    (0..faults as usize)
        .map(|number| {
            if deck.is_empty() {
                deck.extend(Kind::ALL);
            }
            let kind = deck.swap_remove(chance.below(deck.len() as u64) as usize);
            Fault {
                kind,
                camera: (seed as usize).wrapping_add(number) % cameras.max(1),
                hold: Duration::from_millis(3_000 + chance.below(6_000)),
                pause: Duration::from_millis(1_000 + chance.below(2_000)),
            }
        })
        .collect()
}

/// `SplitMix64`: its numbers are the same on every machine and in every version, which a report's seed relies on.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_schedule_is_fair_bounded_and_its_seeds_own(seed in any::<u64>(), faults in 0_u32..60, cameras in 1_usize..8) {
            let plan = schedule(seed, faults, cameras);
            prop_assert_eq!(plan.len(), faults as usize);
            prop_assert_eq!(&plan, &schedule(seed, faults, cameras));
            for kind in Kind::ALL {
                let times = plan.iter().filter(|fault| fault.kind == kind).count();
                prop_assert!((plan.len() / Kind::ALL.len()..=plan.len().div_ceil(Kind::ALL.len())).contains(&times));
            }
            for fault in &plan {
                prop_assert!(fault.camera < cameras);
                prop_assert!((3..9).contains(&fault.hold.as_secs()));
            }
        }
    }

    #[test]
    fn another_seed_draws_another_schedule() {
        assert_ne!(schedule(1, 14, 3), schedule(2, 14, 3));
    }
}
