//! Several processors on one state, in any interleaving of their operations, with crashes and lost responses.
//!
//! The laws: no number is appended twice; a fenced processor never succeeds again; the state contains everything that
//! was acknowledged, once, in the order of the numbers.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    pin::Pin,
    rc::Rc,
    task::{Context, Waker},
};

use proptest::{prelude::*, strategy::ValueTree};

use super::{
    faults::{Fault, Faulty},
    *,
};

/// The script of one start of one processor.
#[derive(Clone, Debug)]
struct Script {
    /// For each append: how many texts it copies, and whether it is followed by pruning.
    appends: Vec<(usize, bool)>,
    /// The faults of its puts.
    faults: Vec<Fault>,
}

/// The events of a run, in order.
#[derive(Debug)]
enum Event {
    Appended { number: u64, id: String },
    Fenced { start: usize },
    SucceededAfterFence { start: usize },
}

type Log = Rc<RefCell<Vec<Event>>>;

/// Runs a processor from start to end. Its state is the list of the IDs that were ever appended.
async fn live(start: usize, objects: Arc<InMemory>, script: Script, log: Log) {
    let faulty = Faulty::yielding(objects, script.faults);
    let store = Store::over(Arc::new(faulty), PREFIX);
    let (recovered, mut state) = Texted::recover(&store).await.expect("no fault breaks the chain");
    let mut writer = store.appender(&recovered);
    for (index, (copies, prunes)) in script.appends.into_iter().enumerate() {
        let id = format!("{start}.{index}");
        let (part, payload) = state.push(&id, copies);
        loop {
            match writer.append(part, payload.clone()).await {
                Ok(number) => break log.borrow_mut().push(Event::Appended { number, id: id.clone() }),
                Err(error) if error.is_fenced() => {
                    log.borrow_mut().push(Event::Fenced { start });
                    if writer.append(part, payload.clone()).await.is_ok() {
                        log.borrow_mut().push(Event::SucceededAfterFence { start });
                    }
                    return;
                }
                Err(error) => assert!(error.is_transient(), "{error}"),
            }
        }
        if part.last && prunes {
            writer.prune().await;
        }
    }
}

fn scripts() -> impl Strategy<Value = Vec<Script>> {
    let fault = prop_oneof![6 => Just(Fault::None), 1 => Just(Fault::Before), 2 => Just(Fault::After), 1 => Just(Fault::Torn)];
    let script =
        (prop::collection::vec((1..9_usize, any::<bool>()), 1..6), prop::collection::vec(fault, 0..6))
            .prop_map(|(appends, faults)| Script { appends, faults });
    prop::collection::vec(script, 2..6)
}

/// Polls the processors one operation at a time in the order of `turns`. Some of them crash halfway.
fn race(scripts: Vec<Script>, turns: &[(prop::sample::Index, u8)]) -> (Vec<Event>, Texted) {
    let objects = memory();
    // One whole checkpoint, so that a truncated one is never the only one.
    futures::executor::block_on(async { write(&mut appender(&over(&objects)).await, &["Begin"]).await });
    let log = Log::default();
    let mut context = Context::from_waker(Waker::noop());
    let mut alive: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
    for (start, script) in scripts.into_iter().enumerate() {
        alive.push(Box::pin(live(start, Arc::clone(&objects), script, Rc::clone(&log))));
    }
    let mut turns = turns.iter();
    while !alive.is_empty() {
        let (at, crashes) =
            turns.next().map_or((0, false), |(turn, fate)| (turn.index(alive.len()), *fate < 6));
        if crashes || alive[at].as_mut().poll(&mut context).is_ready() {
            drop(alive.swap_remove(at));
        }
    }
    let (_, recovered) =
        futures::executor::block_on(Texted::recover(&over(&objects))).expect("no fault breaks the chain");
    let events = std::mem::take(&mut *log.borrow_mut());
    (events, recovered)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn no_interleaving_breaks_the_laws(
        scripts in scripts(), turns in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..150),
    ) {
        let (events, recovered) = race(scripts, &turns);
        let state = recovered.sorted();
        // By number, not by time: a response may arrive after another processor has built on its checkpoint.
        let mut appended = BTreeMap::new();
        for event in &events {
            match event {
                Event::Appended { number, id } => prop_assert_eq!(appended.insert(*number, id.as_str()), None),
                Event::Fenced { .. } => {}
                Event::SucceededAfterFence { start } => prop_assert!(false, "start {} was fenced", start),
            }
        }
        let kept: Vec<&str> = state.iter().copied().filter(|id| appended.values().any(|found| found == id)).collect();
        let mut appended: Vec<&str> = appended.into_values().collect();
        appended.sort_unstable();
        prop_assert_eq!(kept, appended, "of {:?}", state);
    }
}

#[test]
fn the_race_reaches_what_it_is_about() {
    // Two processors in turn: both recover the empty store and try to write checkpoint 1.
    let script = Script { appends: vec![(usize::MAX / 2, true); 3], faults: Vec::new() };
    let turns: Vec<(prop::sample::Index, u8)> = Vec::new();
    let (alone, _) = race(vec![script.clone()], &turns);
    assert_eq!(alone.len(), 3);
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut fenced = 0;
    for _ in 0..50 {
        let turns = prop::collection::vec((any::<prop::sample::Index>(), 6..=u8::MAX), 100)
            .new_tree(&mut runner)
            .expect("it generates")
            .current();
        let (events, _) = race(vec![script.clone(), script.clone()], &turns);
        fenced +=
            events.iter().filter(|event| matches!(event, Event::Fenced { start } if *start < 2)).count();
    }
    assert!(fenced > 10, "{fenced} of 50 races fenced a processor");
}
