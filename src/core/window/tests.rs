use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_772_400_000;

fn window(at_least: u64, within: i64) -> Window {
    Window { at_least, within, distinct: false, periods: (1, 1), missing: Missing::NotBreaching, then: Vec::new() }
}

fn at(offset: i64) -> Moment {
    Moment { at: NOW + offset, step: 0, value: 0 }
}

fn step(offset: i64, step: usize) -> Moment {
    Moment { step, ..at(offset) }
}

fn value(offset: i64, value: u64) -> Moment {
    Moment { value, ..at(offset) }
}

/// Each moment on its own, at one time of the clock.
fn turns(window: &Window, state: &mut State, moments: &[Moment]) -> Vec<Turn> {
    moments.iter().map(|moment| state.take(window, &[*moment], NOW)).collect()
}

#[test]
fn an_alarm_goes_on_and_off() {
    let three = window(3, 300);
    let mut state = State::default();
    assert_eq!(turns(&three, &mut state, &[at(0), at(10), at(299)]), [Turn::Rest, Turn::Rest, Turn::Fire]);
    assert_eq!(state.alarm, Some(Alarm { first: NOW, last: NOW + 299, count: 3, until: NOW + 300 }));
    assert_eq!((state.due(&three), state.rest(&three, NOW + 299)), (NOW + 300, Turn::Hold));
    assert_eq!(state.take(&three, &[at(305)], NOW + 200), Turn::Hold);
    assert_eq!(state.alarm, Some(Alarm { first: NOW, last: NOW + 305, count: 4, until: NOW + 500 }));
    assert_eq!(state.take(&three, &[at(5_000)], NOW + 400), Turn::Hold, "counted, and no reason to go on");
    assert_eq!(state.alarm.map(|alarm| (alarm.count, alarm.until)), Some((5, NOW + 500)));
    assert_eq!(state.rest(&three, NOW + 500), Turn::Clear);
    assert_eq!(state.rest(&three, NOW + 501), Turn::Rest);
    // what was too much is remembered, and is no news
    assert_eq!(state.take(&three, &[at(900)], NOW + 900), Turn::Rest);
    assert!(!state.is_spent(&three, NOW + 900) && state.is_spent(&three, state.due(&three)));
}

#[test]
fn what_is_as_far_apart_as_the_window_is_wide_is_not_counted_together() {
    let two = window(2, 300);
    assert_eq!(turns(&two, &mut State::default(), &[at(0), at(300)]), [Turn::Rest, Turn::Rest]);
    assert_eq!(turns(&two, &mut State::default(), &[at(0), at(299)]), [Turn::Rest, Turn::Fire]);
}

#[test]
fn late_events_count_in_their_own_window() {
    let three = window(3, 300);
    let mut state = State::default();
    assert_eq!(turns(&three, &mut state, &[at(-7_200), at(-7_100), at(0)]), [Turn::Rest; 3]);
    assert_eq!(state.take(&three, &[at(-7_150)], NOW), Turn::Fire);
    assert_eq!(state.alarm.map(|alarm| (alarm.first, alarm.last)), Some((NOW - 7_200, NOW - 7_100)));
}

#[test]
fn values_are_counted_once() {
    let three = Window { distinct: true, ..window(3, 300) };
    let mut state = State::default();
    let moments = [value(0, 7), value(1, 7), value(2, 8), value(2, 7), value(3, 8), value(4, 9)];
    let told = turns(&three, &mut state, &moments);
    assert_eq!(told, [Turn::Rest, Turn::Rest, Turn::Rest, Turn::Rest, Turn::Rest, Turn::Fire]);
    // a value that is seen again and again does not push out the others
    let mut state = State::default();
    assert_eq!(turns(&three, &mut state, &[value(0, 1), value(1, 2)]), [Turn::Rest, Turn::Rest]);
    assert!((0..5_000).all(|n| state.take(&three, &[value(n % 200, 2)], NOW) == Turn::Rest));
    assert_eq!(state.take(&three, &[value(201, 3)], NOW), Turn::Fire);
}

#[test]
fn periods_follow_the_clock() {
    let two_of_three = Window { periods: (2, 3), ..window(2, 60) };
    let start = -NOW.rem_euclid(60);
    let mut state = State::default();
    // two each in the first and in the third minute
    let told = turns(
        &two_of_three,
        &mut state,
        &[at(start), at(start + 59), at(start + 60), at(start + 120), at(start + 121)],
    );
    assert_eq!(told, [Turn::Rest, Turn::Rest, Turn::Rest, Turn::Rest, Turn::Fire]);
    assert_eq!(state.alarm.map(|alarm| (alarm.count, alarm.until)), Some((5, NOW + 180)));
    assert_eq!(state.rest(&two_of_three, NOW + 180), Turn::Clear);
    // what lies further back than is looked is not counted
    let mut state = State::default();
    let told = turns(&two_of_three, &mut state, &[at(start), at(start), at(start + 300), at(start + 300)]);
    assert_eq!(told, [Turn::Rest; 4]);
}

#[test]
fn silence_can_be_an_alarm_or_leave_things_as_they_are() {
    let start = -NOW.rem_euclid(60);
    let mut watched = Window { missing: Missing::Breaching, periods: (2, 2), ..window(2, 60) };
    let mut state = State::default();
    assert_eq!(turns(&watched, &mut state, &[at(start)]), [Turn::Rest]);
    let due = state.due(&watched);
    assert_eq!(state.rest(&watched, due - 1), Turn::Rest);
    assert_eq!(state.rest(&watched, due), Turn::Fire);
    assert_eq!(state.rest(&watched, due + 3_600), Turn::Hold);
    assert!(state.is_spent(&watched, NOW + SILENT));

    watched = Window { missing: Missing::Ignore, periods: (1, 1), ..window(1, 60) };
    let mut state = State::default();
    assert_eq!(turns(&watched, &mut state, &[at(start)]), [Turn::Fire]);
    assert_eq!(state.rest(&watched, NOW + 86_400), Turn::Hold);
}

#[test]
fn a_sequence_is_complete_when_each_step_follows_in_time() {
    let login = Window { then: vec![600], ..window(3, 300) };
    let mut state = State::default();
    assert_eq!(turns(&login, &mut state, &[at(0), at(1), step(2, 1)]), [Turn::Rest; 3]);
    assert_eq!(state.take(&login, &[at(3)], NOW), Turn::Rest, "the step came before");
    assert_eq!(state.take(&login, &[step(604, 1)], NOW), Turn::Rest, "too late");
    assert_eq!(state.take(&login, &[step(603, 1)], NOW), Turn::Fire, "it came late, and in its place");
    assert_eq!(state.alarm.map(|alarm| (alarm.first, alarm.last, alarm.count)), Some((NOW, NOW + 603, 3)));
    assert_eq!(state.rest(&login, NOW + 300), Turn::Clear);
    assert_eq!(state.take(&login, &[at(5_000)], NOW + 5_000), Turn::Rest, "it is told once");

    let three = Window { then: vec![10, 10], ..window(1, 60) };
    let mut state = State::default();
    assert_eq!(turns(&three, &mut state, &[step(20, 2), step(10, 1)]), [Turn::Rest; 2]);
    assert_eq!(state.take(&three, &[at(0)], NOW), Turn::Fire, "in whatever order they come");
    let mut state = State::default();
    assert_eq!(turns(&three, &mut state, &[at(0), step(20, 2), step(21, 1)]), [Turn::Rest; 3]);
}

#[test]
fn a_state_stays_small_and_comes_back() {
    let many = Window { then: vec![60], ..window(1_000_000, 86_400) };
    let mut state = State::default();
    for n in 0..20_000 {
        state.take(&many, &[at(n * 37 % 86_400), step(n, 1), value(n, n.unsigned_abs())], NOW);
    }
    let text = serde_json::to_string(&state).unwrap();
    assert!(text.len() < 40_000, "{} bytes", text.len());
    assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
    // and yet everything in the window is counted
    assert!(state.windows(&many).any(|breach| breach.count > 39_000));
}

proptest! {
    /// In whatever order and portions moments come, too much within a window is told.
    #[test]
    fn it_fires_when_some_window_is_too_full(
        mut offsets in prop::collection::vec((0i64..2_000, 0u64..6), 1..60), at_least in 1u64..8, within in 1i64..300,
        portion in 1usize..5, distinct: bool,
    ) {
        let plan = Window { distinct, ..window(at_least, within) };
        // the last time of each value only is remembered: let them come in order
        if distinct {
            offsets.sort_unstable();
        }
        let moments: Vec<Moment> = offsets.iter().map(|(offset, what)| value(*offset, *what)).collect();
        let mut state = State::default();
        let mut fired = false;
        let portion = if distinct { 1 } else { portion };
        for some in moments.chunks(portion) {
            fired |= matches!(state.take(&plan, some, NOW), Turn::Fire);
        }
        let count = |last: &(i64, u64)| {
            let inside = offsets.iter().filter(|one| one.0 <= last.0 && last.0 - one.0 < within);
            if distinct { inside.map(|one| one.1).collect::<std::collections::BTreeSet<_>>().len() } else { inside.count() }
        };
        let full = offsets.iter().any(|last| count(last) as u64 >= at_least);
        prop_assert_eq!(fired, full);
    }
}
