//! Whether days were worse than those before them: plain functions of what each series did each day.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::OnceLock,
};

use dualaudit_record::statistics::Sketch;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::learn::{
    figures::{bins, whole},
    inference::{
        beta_binomial::{Baseline, Days, Window, pooled_overdispersion},
        multiple::adjusted,
        proportion::Sample,
        quantile_shift::shift,
    },
};

/// A day is compared with this many days.
pub const BASELINE: usize = 28;
/// Fewer of them with anything on them tell nothing.
const FEWEST_DAYS: usize = 7;
/// After this many days what was found is how things are now.
const LASTS: usize = 14;
/// So many days after it began, a suspicion that nothing more was found for is given up.
const SUSPECTED_FOR: usize = 7;
/// Of what is found on a day, at most this part is expected to be nothing.
const FALSE_DISCOVERIES: f64 = 0.05;
/// A rate that falls by less is no regression,
const SMALLEST_FALL: f64 = 0.05;
/// nor is a median that is longer by less than the geometric mean of those of the days before.
const SMALLEST_GROWTH: f64 = 1.2;
/// Medians of days are not told apart by less than this part: what a sketch may be off by.
const RESOLUTION: f64 = dualaudit_record::statistics::RELATIVE_ERROR;

/// What got worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// The share that succeeded.
    Success,
    /// How long the successful took.
    Duration,
}

const MEASURES: [Measure; 2] = [Measure::Success, Measure::Duration];

/// What a series did, day by day, the oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Daily {
    samples: Vec<Sample>,
    /// The same, to be judged by.
    days: Days,
    durations: Vec<Sketch>,
    /// How many of the successful there are.
    successful: Vec<u64>,
    /// The logarithm of each day's median duration in microseconds, where there is one.
    medians: Vec<Option<f64>>,
}

impl Daily {
    /// Of each day's executions that count, and of how long the successful took.
    pub fn of(days: impl IntoIterator<Item = (Sample, Sketch)>) -> Self {
        let (samples, durations): (Vec<_>, Vec<Sketch>) = days.into_iter().unzip();
        let median = |sketch: &Sketch| sketch.quantile(0.5).map(|micros| micros.max(1.0).ln());
        let medians = durations.iter().map(median).collect();
        let successful = durations.iter().map(|sketch| whole(sketch.count())).collect();
        Self { days: Days::of(&samples), samples, durations, successful, medians }
    }

    /// All of some days.
    pub fn sum(&self, days: Range<usize>) -> (Sample, Sketch) {
        (self.sample(days.clone()), self.sketch(days))
    }

    /// The executions of some days that count.
    pub fn sample(&self, days: Range<usize>) -> Sample {
        self.samples[days].iter().fold(Sample::default(), |all, day| all.plus(*day))
    }

    /// Bins are added up in places of their own: merging one day after another would look for each bin again.
    fn sketch(&self, days: Range<usize>) -> Sketch {
        let mut counts: Vec<i64> = Vec::new();
        for day in &self.durations[days] {
            let mut next = 0;
            for (gap, count) in day.gaps() {
                let bin = next + usize::from(gap);
                if bin >= counts.len() {
                    counts.resize(bin + 1, 0);
                }
                counts[bin] += count;
                next = bin + 1;
            }
        }
        let mut gap = 0;
        let gaps = counts.into_iter().filter_map(|count| {
            let empty = gap;
            gap = if count == 0 { gap + 1 } else { 0 };
            (count != 0).then_some((empty, count))
        });
        let mut all = Sketch::default();
        all.add_gaps(gaps);
        all
    }
}

/// Days in a row on which a series was worse than before.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The place of the series.
    pub series: usize,
    /// What got worse.
    pub measure: Measure,
    /// The first day it was found on.
    pub since: usize,
    /// The last day it was found on.
    pub last: usize,
    /// How many days it was found on.
    pub found: u64,
    /// The days it is compared with, which end where it begins.
    pub before: Range<usize>,
    /// The p-value, adjusted for all that is judged on a day, of the day that shows it best.
    pub adjusted: f64,
    /// What became of it.
    pub state: State,
}

/// What became of a regression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RegressionState)]
pub enum State {
    /// On no day since it was as good as before.
    Lasting,
    /// It lasted for 14 days: days after it are compared with it.
    Usual,
    /// A day after it was as good as before, or nearly.
    Over,
}

/// What judging came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judged {
    /// What was found, on days that are asked about.
    pub runs: Vec<Run>,
    /// What was judged on each of these days.
    pub days: Vec<JudgedDay>,
    /// The series that were judged on any of them.
    pub series: BTreeSet<usize>,
}

/// What was judged on a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JudgedDay {
    /// How many series have enough executions, on the day and before it.
    pub series: u64,
    /// How many p-values they have: one of success, and one of durations.
    pub tests: u64,
    /// How many of these were found to be regressions.
    pub found: u64,
}

/// Judges each day against the 28 before it, and says what was judged and found on those from `from` on. All series have
/// the same days.
///
/// A day is suspected where it is worse by the smallest effect, with a p-value that holds among all of the day. It is
/// found to be a regression where none in the whole fleet was as bad as that in the 28 days before, for a day; or where
/// a day before was suspected, too, not more than a week ago and none as good as before since. For what a distribution says of rare days depends on its tail, and a storm is one
/// of those: that today's worst is the worst of 29 days is 1 in 29 where nothing changed, whatever storms there are
/// (exchangeable days), and a storm goes by, while a regression is there the next day.
///
/// Days before `from` are judged, too, which tells since when something lasts. While a regression lasts, a day is
/// compared with the 28 before its first one: so it does not become its own baseline. It is over on a day that can be
/// judged and is not worse by the smallest effect; days without enough executions say nothing of it. After 14 days it
/// is how things are, and days are compared with those since it began, 28 at most: what was before has become another
/// thing, and would make any day look usual, here and, as its days would seem to share more luck than they do,
/// everywhere.
///
/// Of a series with fewer than `minimum` executions on a day, or fewer than 7 days with any before it, that day is not
/// judged.
pub fn judge(fleet: &[&Daily], from: usize, minimum: u64) -> Judged {
    let days = fleet.first().map_or(0, |series| series.samples.len());
    let mut judging = Judging::default();
    let mut judged = Judged::default();
    for day in 0..days {
        judging.close_what_is_usual(day);
        let tests = tests(fleet, day, minimum, |series, measure| judging.before(day, (series, measure)));
        // What is told of one series comes together.
        let mut series: Vec<usize> = tests.iter().map(|test| test.series).collect();
        series.dedup();
        let counts = JudgedDay { series: series.len() as u64, tests: tests.len() as u64, found: 0 };
        let found = judging.day(day, tests);
        if day >= from {
            judged.days.push(JudgedDay { found, ..counts });
            judged.series.extend(series);
        }
    }
    judged.runs = judging.closed;
    judged.runs.extend(judging.open.into_values());
    judged.runs.retain(|run| run.last >= from);
    judged
}

/// What is judged of a series.
type Judgement = (usize, Measure);

/// What days before amount to.
#[derive(Default)]
struct Judging {
    /// Regressions that last.
    open: BTreeMap<Judgement, Run>,
    closed: Vec<Run>,
    /// What was suspected lately, and not found.
    suspected: BTreeMap<Judgement, Run>,
    /// Since when things are as they are, where that was a regression.
    usual: BTreeMap<Judgement, usize>,
    /// What was suspected or found for a day, by day, with the p-value: bad weather.
    bad: Vec<(usize, Judgement, f64)>,
}

impl Judging {
    /// The days that one is compared with.
    fn before(&self, day: usize, of: Judgement) -> Range<usize> {
        let until = self.open.get(&of).or_else(|| self.suspected.get(&of)).map_or(day, |run| run.since);
        let usual = self.usual.get(&of).copied().unwrap_or_default();
        until.saturating_sub(BASELINE).max(usual.min(until))..until
    }

    /// Takes in a day, and says how many regressions were found on it.
    fn day(&mut self, day: usize, tests: Vec<Test>) -> u64 {
        let q = adjusted(&tests.iter().map(|test| test.p_value).collect::<Vec<_>>());
        let bad = |measure| {
            let recent = self.bad.iter().filter(|(on, (_, of), _)| *of == measure && on + BASELINE >= day);
            recent.map(|(.., p_value)| *p_value).fold(f64::INFINITY, f64::min)
        };
        let worst = BTreeMap::from(MEASURES.map(|measure| (measure, bad(measure))));
        let mut found = 0;
        for (Test { series, measure, before, p_value, worse }, q) in tests.into_iter().zip(q) {
            let of = (series, measure);
            let suspected = self.suspected.remove(&of);
            if !worse {
                let over = self.open.remove(&of).map(|run| Run { state: State::Over, ..run });
                self.closed.extend(over);
            }
            if !worse || q > FALSE_DISCOVERIES {
                // A day that is worse and does not show it, for it has few executions, says nothing against it.
                let still = suspected.filter(|run| worse && day - run.since < SUSPECTED_FOR);
                self.suspected.extend(still.map(|run| (of, run)));
                continue;
            }
            let before = self.open.remove(&of).or(suspected).unwrap_or(Run {
                series,
                measure,
                since: day,
                last: day,
                found: 0,
                before,
                adjusted: q,
                state: State::Lasting,
            });
            let run = Run { last: day, found: before.found + 1, adjusted: before.adjusted.min(q), ..before };
            if run.found > 1 {
                self.bad.retain(|(on, other, _)| *other != of || *on < run.since);
            } else {
                self.bad.push((day, of, p_value));
            }
            if run.found > 1 || p_value < worst[&measure] {
                found += 1;
                self.open.insert(of, run);
            } else {
                self.suspected.insert(of, run);
            }
        }
        found
    }

    /// Closes those regressions that are how things are on this day.
    fn close_what_is_usual(&mut self, day: usize) {
        for (of, run) in self.open.extract_if(.., |_, run| day - run.since >= LASTS) {
            self.usual.insert(of, run.since);
            self.closed.push(Run { state: State::Usual, ..run });
        }
    }
}

/// How a series did on a day, against others.
struct Test {
    series: usize,
    measure: Measure,
    before: Range<usize>,
    /// That nothing got worse; 1 where it is so large that it decides nothing.
    p_value: f64,
    /// Whether it is worse by the smallest effect.
    worse: bool,
}

fn tests(
    fleet: &[&Daily],
    day: usize,
    minimum: u64,
    before: impl Fn(usize, Measure) -> Range<usize>,
) -> Vec<Test> {
    if day < FEWEST_DAYS {
        return Vec::new();
    }
    let windows: Vec<Window<'_>> =
        fleet.iter().enumerate().map(|(at, series)| series.days.some(before(at, Measure::Success))).collect();
    let overdispersion = pooled_overdispersion(&windows);
    let mut tests = Vec::new();
    for (at, series) in fleet.iter().enumerate() {
        for measure in MEASURES {
            let before = before(at, measure);
            let judged = match measure {
                Measure::Success => success(windows[at], series.samples[day], overdispersion, minimum),
                Measure::Duration => duration(series, before.clone(), day, minimum),
            };
            let test = |(p_value, worse)| Test { series: at, measure, before, p_value, worse };
            tests.extend(judged.map(test));
        }
    }
    tests
}

/// By the beta-binomial distribution of a day's successes: days share their luck.
fn success(before: Window<'_>, day: Sample, overdispersion: f64, minimum: u64) -> Option<(f64, bool)> {
    let rate = day.rate().filter(|_| day.count() >= minimum && before.days() >= FEWEST_DAYS)?;
    if day.failures == 0 {
        return Some((1.0, false));
    }
    let baseline = Baseline::of(before, overdispersion)?;
    let fall = baseline.mean - rate;
    let p_value = if fall > 0.0 { baseline.at_most(day) } else { 1.0 };
    Some((p_value, fall >= SMALLEST_FALL))
}

/// By two tests, both of which have to show it: that of Mann and Whitney on executions, which can't tell a slow day from
/// slow executions, and Student's on the medians of days (W. S. Gosset, Biometrika 6 (1908) 1–25, for one more
/// observation: t = (x − x̄)/(s·√(1 + 1/k)) of k logarithms with k − 1 degrees of freedom), which does not see how many
/// executions a median is made of. The larger p-value is one for both (the intersection–union test: R. L. Berger,
/// Technometrics 24 (1982) 295–300). Both are one-sided.
fn duration(series: &Daily, before: Range<usize>, day: usize, minimum: u64) -> Option<(f64, bool)> {
    let medians = series.medians[before.clone()].iter().flatten();
    let median = series.medians[day]?;
    let many = medians.clone().count();
    if series.successful[day] < minimum || many < FEWEST_DAYS {
        return None;
    }
    let k = many as f64;
    let mean = medians.clone().sum::<f64>() / k;
    let variance = medians.map(|it| (it - mean) * (it - mean)).sum::<f64>() / (k - 1.0);
    let t = (median - mean) / (variance.sqrt().max(RESOLUTION) * (1.0 + 1.0 / k).sqrt());
    let worse = median - mean >= SMALLEST_GROWTH.ln();
    // Beyond the level how far does not matter, and adding up executions is dear.
    if t < undecided(many) {
        return Some((1.0, worse));
    }
    let by_days = StudentsT::new(0.0, 1.0, k - 1.0).ok()?.sf(t);
    if by_days > FALSE_DISCOVERIES {
        return Some((1.0, worse));
    }
    let shift = shift(&bins(&series.durations[day]), &bins(&series.sketch(before)))?;
    let by_executions = if shift.larger > 0.5 { shift.p_value / 2.0 } else { 1.0 };
    Some((by_days.max(by_executions).clamp(f64::MIN_POSITIVE, 1.0), worse))
}

/// A t above 0, of so many days, below which its p-value is above the level for sure, and nearly up to where it is.
fn undecided(days: usize) -> f64 {
    static KNOWN: [OnceLock<f64>; BASELINE + 1] = [const { OnceLock::new() }; BASELINE + 1];
    let of = || {
        let Ok(student) = StudentsT::new(0.0, 1.0, days as f64 - 1.0) else { return 0.0 };
        let t = 0.999 * student.inverse_cdf(1.0 - FALSE_DISCOVERIES);
        if t > 0.0 && student.sf(t) > FALSE_DISCOVERIES { t } else { 0.0 }
    };
    *KNOWN[days].get_or_init(of)
}

#[cfg(test)]
mod tests;
