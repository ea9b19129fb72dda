#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

const POD: &str = "people-1";

fn key() -> SourceKey {
    SourceKey::new("yard", "gate")
}

fn seen(assignment: Option<(&str, u64)>, handover: Option<(&str, u64)>) -> Arc<Seen> {
    let bound = |bound: (&str, u64)| (Arc::from(bound.0), bound.1);
    Arc::new(Seen {
        key: key(),
        generation: 1,
        assignment: assignment.map(bound),
        handover: handover.map(bound),
        spec: Arc::new(VideoSourceSpec::new("rtsp://camera/1", "people")),
    })
}

fn at(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn binding(bindings: &Bindings) -> Option<Binding> {
    bindings.held().get(&key()).map(|held| held.binding)
}

fn warming(epoch: u64) -> Binding {
    Binding { epoch, publishes: false }
}

fn active(epoch: u64) -> Binding {
    Binding { epoch, publishes: true }
}

/// A pod that warms a source up, and is told by one watch that this is over while the other one hangs.
fn left_in_doubt() -> (Bindings, Question) {
    let mut bindings = Bindings::new(POD);
    bindings.told(Watched::Handover, Told::Applied(seen(Some(("other", 4)), Some((POD, 5)))), at(0));
    assert_eq!(bindings.questions(), []);
    bindings.told(Watched::Handover, Told::Gone(key()), at(1_000));
    let questions = bindings.questions();
    assert_eq!(questions.len(), 1);
    assert_eq!(bindings.questions(), [], "each is asked once");
    (bindings, questions.into_iter().next().unwrap())
}

fn answer(assignment: Option<(&str, u64)>) -> Seen {
    Arc::unwrap_or_clone(seen(assignment, None))
}

#[test]
fn what_a_hanging_watch_does_not_tell_is_asked_for() {
    let (mut bindings, question) = left_in_doubt();
    bindings.answered(&question, answer(Some((POD, 5))), at(1_050));
    assert_eq!(binding(&bindings), Some(active(5)));
    assert_eq!(bindings.next_tick(), None);
    // The watch is behind, and tells it all in the end.
    bindings.told(Watched::Assignment, Told::Applied(seen(Some((POD, 5)), None)), at(9_000));
    assert_eq!(binding(&bindings), Some(active(5)));
    bindings.told(Watched::Assignment, Told::Gone(key()), at(9_100));
    bindings.tick(at(9_100) + GRACE);
    assert_eq!(binding(&bindings), None);
}

#[test]
fn a_source_that_another_pod_has_is_let_go_of_whatever_is_asked() {
    let (mut bindings, question) = left_in_doubt();
    bindings.answered(&question, answer(Some(("other", 4))), at(1_050));
    bindings.tick(at(1_000) + GRACE);
    assert_eq!(binding(&bindings), None);
}

#[test]
fn an_answer_to_an_older_question_is_no_news() {
    let (mut bindings, question) = left_in_doubt();
    bindings.told(Watched::Assignment, Told::Applied(seen(Some((POD, 5)), None)), at(1_100));
    bindings.answered(&question, answer(Some((POD, 5))), at(1_150));
    bindings.told(Watched::Assignment, Told::Gone(key()), at(1_200));
    let later = bindings.questions();
    assert_eq!(later.len(), 1);
    bindings.answered(&question, answer(Some((POD, 5))), at(1_250));
    bindings.tick(at(1_200) + GRACE);
    assert_eq!(binding(&bindings), None);
    bindings.answered(&later[0], answer(Some((POD, 5))), at(9_000));
    assert_eq!(binding(&bindings), None, "what was let go of is not taken up by an answer");
}

#[test]
fn a_handover_becomes_an_assignment_in_either_order() {
    for deletion_first in [false, true] {
        let mut bindings = Bindings::new(POD);
        bindings.told(Watched::Handover, Told::Applied(seen(Some(("other", 4)), Some((POD, 5)))), at(0));
        assert_eq!(binding(&bindings), Some(warming(5)));
        let mut events =
            [(Watched::Assignment, Told::Applied(seen(Some((POD, 5)), None))), (Watched::Handover, Told::Gone(key()))];
        if deletion_first {
            events.reverse();
        }
        for (delay, (watched, told)) in events.into_iter().enumerate() {
            bindings.told(watched, told, at(1_000 + 1_500 * delay as u64));
            assert!(binding(&bindings).is_some(), "deletion first: {deletion_first}");
        }
        assert_eq!(binding(&bindings), Some(active(5)));
        assert_eq!(bindings.next_tick(), None);
    }
}

#[test]
fn what_both_have_lost_is_let_go_after_the_grace_and_not_before() {
    let mut bindings = Bindings::new(POD);
    bindings.told(Watched::Assignment, Told::Applied(seen(Some((POD, 5)), None)), at(0));
    bindings.told(Watched::Assignment, Told::Gone(key()), at(1_000));
    assert_eq!(bindings.next_tick(), Some(at(3_000)));
    bindings.tick(at(2_999));
    assert_eq!(binding(&bindings), Some(active(5)));
    bindings.tick(at(3_000));
    assert_eq!(binding(&bindings), None);
    assert_eq!(bindings.next_tick(), None);
}

#[test]
fn a_new_list_lets_go_of_what_it_lacks_and_keeps_the_rest() {
    let mut bindings = Bindings::new(POD);
    bindings.told(Watched::Assignment, Told::Applied(seen(Some((POD, 5)), None)), at(0));
    bindings.told(Watched::Assignment, Told::Listed(vec![seen(Some((POD, 5)), None)]), at(10));
    assert_eq!(bindings.next_tick(), None);
    bindings.told(Watched::Assignment, Told::Listed(Vec::new()), at(20));
    assert_eq!(bindings.next_tick(), Some(at(2_020)));
}

#[test]
fn an_older_epoch_is_older_news() {
    let mut bindings = Bindings::new(POD);
    bindings.told(Watched::Assignment, Told::Applied(seen(Some((POD, 7)), None)), at(0));
    bindings.told(Watched::Assignment, Told::Gone(key()), at(10));
    bindings.tick(at(5_000));
    bindings.told(Watched::Assignment, Told::Listed(vec![seen(Some((POD, 6)), None)]), at(5_001));
    assert_eq!(binding(&bindings), None);
    bindings.told(Watched::Assignment, Told::Applied(seen(Some((POD, 8)), None)), at(5_002));
    assert_eq!(binding(&bindings), Some(active(8)));
}

#[test]
fn a_pod_that_drains_takes_nothing_new_and_finishes_what_it_has() {
    let mut bindings = Bindings::new(POD);
    bindings.told(Watched::Handover, Told::Applied(seen(None, Some((POD, 5)))), at(0));
    bindings.drain();
    bindings.told(Watched::Assignment, Told::Applied(seen(Some((POD, 5)), None)), at(1));
    assert_eq!(binding(&bindings), Some(active(5)));
    bindings.told(Watched::Assignment, Told::Applied(seen(Some((POD, 6)), None)), at(2));
    bindings.tick(at(3_000));
    assert_eq!(binding(&bindings), None);
    bindings.told(Watched::Assignment, Told::Applied(seen(Some((POD, 7)), None)), at(3_001));
    assert_eq!(binding(&bindings), None);
}

#[test]
fn an_edit_of_the_spec_is_taken_under_the_same_binding() {
    let mut bindings = Bindings::new(POD);
    let first = seen(Some((POD, 5)), None);
    let spec = Arc::new(VideoSourceSpec::new("rtsp://camera/2", "people"));
    let edited = Arc::new(Seen { generation: 2, spec: Arc::clone(&spec), ..(*first).clone() });
    bindings.told(Watched::Assignment, Told::Applied(first), at(0));
    bindings.told(Watched::Assignment, Told::Applied(edited), at(1));
    assert_eq!(bindings.held()[&key()].seen.spec, spec);
    assert_eq!(binding(&bindings), Some(active(5)));
}

/// What the operator does to one source, as one write each.
#[derive(Clone, Copy, Debug)]
enum Write {
    /// To this pod or another, at once.
    Assign { here: bool },
    /// A handover, to this pod or another.
    HandOver { here: bool },
    /// What warms up takes over.
    Finish,
    /// The handover is given up.
    Abort,
    /// Nobody has it.
    Clear,
    /// The spec is edited.
    Edit,
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        any::<bool>().prop_map(|here| Write::Assign { here }),
        any::<bool>().prop_map(|here| Write::HandOver { here }),
        Just(Write::Finish),
        Just(Write::Finish),
        Just(Write::Abort),
        Just(Write::Clear),
        Just(Write::Edit),
    ]
}

/// The versions of the object that these writes lead to, as the operator may write them.
fn versions(writes: &[Write]) -> Vec<Arc<Seen>> {
    let (mut epoch, mut generation) = (10, 1);
    let mut assignment: Option<(&str, u64)> = None;
    let mut handover = None;
    let mut versions = vec![seen(None, None)];
    for write in writes {
        let pod = |here: bool| if here { POD } else { "other" };
        match *write {
            Write::Assign { here } => {
                epoch += 1;
                (assignment, handover) = (Some((pod(here), epoch)), None);
            }
            Write::HandOver { here } if assignment.is_some_and(|(name, _)| name != pod(here)) => {
                epoch += 1;
                handover = Some((pod(here), epoch));
            }
            Write::Finish if handover.is_some() => assignment = handover.take(),
            Write::Abort => handover = None,
            Write::Clear => (assignment, handover) = (None, None),
            Write::Edit => generation += 1,
            _ => {}
        }
        let spec = Arc::new(VideoSourceSpec::new(format!("rtsp://camera/{generation}"), "people"));
        versions.push(Arc::new(Seen { generation, spec, ..(*seen(assignment, handover)).clone() }));
    }
    versions
}

/// One of the watches, and how far it has come.
struct Stream {
    watched: Watched,
    position: usize,
}

impl Stream {
    fn selects(&self, seen: &Seen) -> bool {
        let bound = match self.watched {
            Watched::Assignment => &seen.assignment,
            Watched::Handover => &seen.handover,
        };
        bound.as_ref().is_some_and(|(pod, _)| &**pod == POD)
    }

    /// The next thing that it tells, where the next version is one.
    fn step(&mut self, versions: &[Arc<Seen>], relists: bool) -> Option<Told> {
        let before = self.selects(&versions[self.position]);
        self.position += 1;
        let now = &versions[self.position];
        if relists {
            return Some(Told::Listed(self.selects(now).then(|| Arc::clone(now)).into_iter().collect()));
        }
        match (before, self.selects(now)) {
            (_, true) => Some(Told::Applied(Arc::clone(now))),
            (true, false) => Some(Told::Gone(key())),
            (false, false) => None,
        }
    }
}

/// Lets both watches tell of all `versions`: each step is which one tells (the first: of assignments), whether it begins
/// anew, and the milliseconds since the step before. `check` looks at what is held after each; returned are the bindings
/// and when the last step was.
fn arrive(
    versions: &[Arc<Seen>],
    steps: impl Iterator<Item = (bool, bool, u64)>,
    mut check: impl FnMut(&Bindings) -> Result<(), TestCaseError>,
) -> Result<(Bindings, u64), TestCaseError> {
    let last = versions.len() - 1;
    let mut streams =
        [Stream { watched: Watched::Assignment, position: 0 }, Stream { watched: Watched::Handover, position: 0 }];
    let (mut bindings, mut now) = (Bindings::new(POD), 0);
    for (first, relists, delay) in steps {
        if streams.iter().all(|stream| stream.position == last) {
            break;
        }
        let stream = &mut streams[usize::from(!first)];
        if stream.position == last {
            continue;
        }
        now += delay;
        bindings.tick(at(now));
        if let Some(told) = stream.step(versions, relists) {
            bindings.told(stream.watched, told, at(now));
        }
        check(&bindings)?;
    }
    Ok((bindings, now))
}

proptest! {
    /// However the two streams arrive, epochs never fall, what publishes never falls back to warming, a handover that is
    /// finished is never interrupted, and once all has arrived the pod holds what the object says.
    #[test]
    fn every_order_of_arrival_leads_to_what_the_object_says(
        writes in prop::collection::vec(write(), 1..14),
        order in prop::collection::vec((any::<bool>(), 0_u8..10, 0_u64..1_900), 0..60),
    ) {
        let versions = versions(&writes);
        let mut previous = None::<Binding>;
        let rest = [(true, 5, 0), (false, 5, 0)].into_iter().cycle();
        let steps = order.into_iter().chain(rest).map(|(first, relists, delay)| (first, relists == 0, delay));
        let (mut bindings, now) = arrive(&versions, steps, |bindings| {
            let current = binding(bindings);
            if let (Some(before), Some(current)) = (previous, current) {
                prop_assert!(current.epoch >= before.epoch, "{before:?} {current:?}");
                prop_assert!(current.epoch > before.epoch || current.publishes >= before.publishes, "{before:?} {current:?}");
            }
            previous = current.or(previous);
            Ok(())
        })?;
        let last = versions.len() - 1;
        bindings.tick(at(now) + GRACE);
        let expected = versions[last].binding(POD);
        prop_assert_eq!(binding(&bindings), expected);
        if expected.is_some() {
            prop_assert_eq!(bindings.held()[&key()].seen.generation, versions[last].generation);
        }
    }

    /// From the handover to the assignment the pod holds the source without a break, as long as the second stream is not
    /// later than the grace.
    #[test]
    fn a_finished_handover_is_one_hold(
        edits in prop::collection::vec(Just(Write::Edit), 0..3),
        order in prop::collection::vec((any::<bool>(), 0_u64..150), 12),
    ) {
        let writes = [&[Write::Assign { here: false }, Write::HandOver { here: true }][..], &edits[..], &[Write::Finish]].concat();
        let versions = versions(&writes);
        let mut held = false;
        let rest = [(true, 100), (false, 100)].into_iter().cycle();
        let steps = order.into_iter().chain(rest).map(|(first, delay)| (first, false, delay));
        let (bindings, _) = arrive(&versions, steps, |bindings| {
            held |= binding(bindings).is_some();
            prop_assert!(!held || binding(bindings).is_some_and(|binding| binding.epoch == 12));
            Ok(())
        })?;
        prop_assert_eq!(binding(&bindings), Some(active(12)));
    }
}
