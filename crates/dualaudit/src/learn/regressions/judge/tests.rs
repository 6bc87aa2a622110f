use super::*;
use crate::learn::inference::posterior::SplitMix64;

/// How often a series runs a day, how often it succeeds, and how long it takes.
#[derive(Clone, Copy)]
struct Truth {
    runs: u64,
    rate: f64,
    seconds: f64,
}

const STEADY: Truth = Truth { runs: 50, rate: 0.95, seconds: 60.0 };

/// What a day comes to: durations are log-normal, or near it.
fn day(truth: Truth, luck: &mut SplitMix64) -> (Sample, Sketch) {
    let (mut sample, mut successful) = (Sample::default(), Sketch::default());
    for _ in 0..truth.runs {
        if luck.uniform() < truth.rate {
            sample.successes += 1;
            // The sum of twelve numbers of 0..1 is normal with variance 1, nearly.
            let normal = (0..12).map(|_| luck.uniform()).sum::<f64>() - 6.0;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a minute or so")]
            successful.add((truth.seconds * 1e6 * (0.3 * normal).exp()) as u64, 1);
        } else {
            sample.failures += 1;
        }
    }
    (sample, successful)
}

/// A series of so many days, each by what `truth` says of it.
fn series(days: usize, seed: u64, truth: impl Fn(usize) -> Truth) -> Daily {
    let mut luck = SplitMix64::new(seed);
    Daily::of((0..days).map(|at| day(truth(at), &mut luck)))
}

/// The same by shares: what is drawn does not vary.
fn even(days: usize, truth: impl Fn(usize) -> (u64, u64)) -> Daily {
    let day = |at| {
        let (successes, failures) = truth(at);
        let mut sketch = Sketch::default();
        sketch.add(60_000_000, i64::try_from(successes).unwrap());
        (Sample { successes, failures }, sketch)
    };
    Daily::of((0..days).map(day))
}

fn judged(series: &Daily, from: usize) -> Vec<Run> {
    judge(&[series], from, 5).runs
}

#[test]
fn days_add_up_to_all_that_is_in_them() {
    let days = series(20, 9, |at| Truth { seconds: 0.000_001 * 3_f64.powi(at as i32), ..STEADY });
    for (from, until) in [(0, 20), (3, 4), (5, 17), (7, 7)] {
        let (sample, sketch) = days.sum(from..until);
        let mut all = Sketch::default();
        days.durations[from..until].iter().for_each(|day| all.merge(day, 1));
        assert_eq!(sketch, all);
        assert_eq!(sample.successes, whole(all.count()));
    }
}

#[test]
fn no_t_that_is_passed_over_is_significant() {
    for days in FEWEST_DAYS..=BASELINE {
        let student = StudentsT::new(0.0, 1.0, days as f64 - 1.0).unwrap();
        let passed = undecided(days);
        assert!(student.sf(passed) > FALSE_DISCOVERIES && student.sf(1.01 * passed) < FALSE_DISCOVERIES);
    }
}

#[test]
fn a_fall_is_found_on_its_first_day_and_lasts_until_it_is_over() {
    let fallen = |days: Range<usize>| {
        series(42, 1, move |at| Truth { rate: if days.contains(&at) { 0.6 } else { 0.95 }, ..STEADY })
    };
    let lasting = judged(&fallen(36..42), 35);
    let [run] = &lasting[..] else { panic!("{lasting:?}") };
    assert_eq!(
        (run.measure, run.since, run.last, run.found, run.state),
        (Measure::Success, 36, 41, 6, State::Lasting)
    );
    assert_eq!(run.before, 8..36);
    let over = judged(&fallen(36..39), 35);
    assert_eq!((over[0].since, over[0].last, over[0].state), (36, 38, State::Over));
    // It began before the days that are asked about.
    let before = judged(&fallen(32..42), 38);
    assert_eq!((before[0].since, before[0].last, before[0].found), (32, 41, 10));
    // What was over before them is not told.
    assert_eq!(judged(&fallen(30..33), 35), []);
}

#[test]
fn what_lasts_for_14_days_is_how_things_are() {
    let falls = series(80, 2, |at| Truth { rate: if at < 30 { 0.95 } else { 0.6 }, ..STEADY });
    let runs = judged(&falls, 28);
    let [run] = &runs[..] else { panic!("{runs:?}") };
    assert_eq!((run.since, run.last, run.found, run.state), (30, 43, 14, State::Usual));
}

#[test]
fn what_became_usual_hides_nothing_that_comes_after_it() {
    for seed in 0..8_u64 {
        let falls = |day, rate, place| {
            let truth = move |at| Truth { rate: if at < day { 0.9 } else { rate }, runs: 30, ..STEADY };
            series(70, 5 * seed + place, truth)
        };
        let fleet =
            [falls(40, 0.5, 0), falls(60, 0.6, 1), falls(70, 0.0, 2), falls(70, 0.0, 3), falls(70, 0.0, 4)];
        let runs = judge(&fleet.iter().collect::<Vec<_>>(), 60, 5).runs;
        let found = runs.iter().find(|run| run.series == 1 && run.measure == Measure::Success);
        assert!(found.is_some_and(|run| (60..64).contains(&run.since) && run.found > 2), "{seed}: {runs:?}");
    }
}

#[test]
fn a_quiet_day_that_shows_nothing_takes_no_suspicion_back() {
    let storm = even(42, |at| if at == 20 { (2, 38) } else { (38, 2) });
    let steady = even(42, |_| (38, 2));
    for (quiet, since) in [((5, 1), Some(34)), ((6, 0), None)] {
        let falls = even(37, |at| match at {
            34 | 36 => (22, 18),
            35 => quiet,
            _ => (38, 2),
        });
        let mut fleet = vec![&falls, &storm];
        fleet.extend([&steady; 8]);
        let runs = judge(&fleet, 28, 5).runs;
        assert_eq!(runs.first().map(|run| run.since), since, "{quiet:?}: {runs:?}");
    }
}

#[test]
fn days_with_too_few_executions_say_nothing_of_what_lasts() {
    let weekend = |at: usize| matches!(at % 7, 5 | 6);
    let falls = even(42, |at| match () {
        () if weekend(at) => (1, 1),
        () if at < 35 => (45, 5),
        () => (20, 30),
    });
    let runs = judged(&falls, 35);
    let [run] = &runs[..] else { panic!("{runs:?}") };
    assert_eq!((run.since, run.last, run.found, run.state), (35, 39, 5, State::Lasting));
}

#[test]
fn the_smallest_effects_are_5_points_and_a_fifth_of_the_time() {
    let success = |now| even(30, move |at| if at < 29 { (9_000, 1_000) } else { now });
    assert_eq!(judged(&success((8_510, 1_490)), 28), []);
    assert_eq!(judged(&success((8_490, 1_510)), 28).len(), 1);
    let slower = |seconds: f64| {
        let truth = move |at| Truth { runs: 400, seconds: if at < 29 { 60.0 } else { seconds }, rate: 1.0 };
        judged(&series(30, 3, truth), 28)
    };
    assert_eq!(slower(66.0), []);
    let longer = slower(80.0);
    assert_eq!((longer.len(), longer[0].measure, longer[0].since), (1, Measure::Duration, 29));
}

#[test]
fn what_gets_better_is_no_regression() {
    let better = series(35, 4, |at| match at {
        0..30 => Truth { rate: 0.6, ..STEADY },
        _ => Truth { rate: 0.99, seconds: 20.0, ..STEADY },
    });
    assert_eq!(judged(&better, 28), []);
}

#[test]
fn a_slow_day_among_slow_days_is_none() {
    // Each fifth day takes half as long again: executions alone would show it beyond doubt.
    let slow =
        series(41, 5, |at| Truth { runs: 200, rate: 1.0, seconds: if at % 5 == 0 { 90.0 } else { 60.0 } });
    assert_eq!(judged(&slow, 28), []);
}

#[test]
fn a_day_like_a_storm_that_was_is_found_once_the_next_is_bad_too() {
    // Elsewhere all failed on one day; here less than half do, from day 34 on.
    let storm = even(42, |at| if at == 20 { (2, 38) } else { (38, 2) });
    let falls = |days: Range<usize>| even(42, move |at| if days.contains(&at) { (22, 18) } else { (38, 2) });
    let steady = even(42, |_| (38, 2));
    let of_falls = |days: Range<usize>, until: usize| {
        let falls = falls(days);
        let cut = |of: &Daily| Daily::of(of.samples.iter().copied().zip(of.durations.clone()).take(until));
        let fleet = [[&storm, &falls], [&steady; 2], [&steady; 2], [&steady; 2], [&steady; 2]]
            .map(|two| two.map(cut));
        judge(&fleet.iter().flatten().collect::<Vec<_>>(), 28, 5).runs
    };
    assert_eq!(of_falls(34..42, 35), []);
    let two = of_falls(34..42, 36);
    assert_eq!((two.len(), two[0].series, two[0].since, two[0].last, two[0].found), (1, 1, 34, 35, 2));
    assert_eq!(two[0].before, 6..34);
    assert_eq!(of_falls(34..35, 42), [], "a storm of its own");
    // Where no storm was, it is found at once.
    assert_eq!(judged(&falls(34..35), 28).len(), 1);
}

#[test]
fn too_little_is_not_judged() {
    let tests = |series: &Daily, minimum| -> Vec<u64> {
        judge(&[series], 0, minimum).days.iter().map(|day| day.tests).collect()
    };
    let steady = even(10, |_| (9, 1));
    assert_eq!(tests(&steady, 5), [0, 0, 0, 0, 0, 0, 0, 2, 2, 2]);
    assert_eq!(tests(&steady, 10), [0, 0, 0, 0, 0, 0, 0, 1, 1, 1], "9 durations, 10 executions");
    assert_eq!(tests(&steady, 11), [0; 10]);
    assert_eq!(tests(&even(10, |_| (0, 0)), 1), [0; 10]);
    assert_eq!(tests(&even(10, |at| (u64::from(at == 9), 0)), 1), [0; 10], "a single execution");
    assert_eq!(judge(&[], 0, 5), Judged::default());
}

#[test]
fn all_that_is_judged_on_a_day_decides_how_sure_a_finding_has_to_be() {
    // Of 40 with 8 failures where 2 were usual, p is some 0.001: enough by itself, and not among a hundred.
    let falls = |at: usize| if at == 29 { (33, 7) } else { (38, 2) };
    let one = even(30, falls);
    assert_eq!(judge(&[&one], 28, 5).runs.len(), 1);
    let others: Vec<Daily> = (0..200).map(|_| even(30, |_| (38, 2))).collect();
    let fleet: Vec<&Daily> = others.iter().chain([&one]).collect();
    let judged = judge(&fleet, 28, 5);
    assert_eq!(judged.runs, []);
    assert_eq!((judged.days[1].series, judged.days[1].tests, judged.series.len()), (201, 402, 201));
}

/// A day on which the incidents of a series come in a bunch and share their luck.
fn stormy(at: usize, seed: u64) -> Truth {
    let mut luck = SplitMix64::new(seed * 1000 + at as u64);
    let (storms, rate) = (luck.uniform() < 0.05, luck.uniform());
    if storms {
        Truth { runs: 60, rate: 0.5 + 0.5 * rate, ..STEADY }
    } else {
        Truth { runs: 20, rate: 0.93, ..STEADY }
    }
}

#[test]
fn where_nothing_changes_few_days_raise_an_alarm() {
    for (name, storms) in [("steady", false), ("stormy", true)] {
        let (mut alarms, mut days) = (0, 0);
        for fleet in 0..12 {
            let series: Vec<Daily> = (0..20)
                .map(|at| {
                    let seed = fleet * 100 + at;
                    series(
                        42,
                        seed,
                        |at| if storms { stormy(at, seed) } else { Truth { runs: 20, ..STEADY } },
                    )
                })
                .collect();
            let judged = judge(&series.iter().collect::<Vec<_>>(), 28, 5);
            alarms += judged.days.iter().filter(|day| day.found > 0).count();
            days += judged.days.len();
        }
        // 5 % of 168 days are 8.4, and two standard deviations are 5.6.
        assert!(alarms <= 14, "{name}: {alarms} of {days} days");
    }
}
