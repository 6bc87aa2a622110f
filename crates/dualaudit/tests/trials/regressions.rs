//! Days against the 28 before them: fleets in which nothing ever changes, and ones in which a workflow gets worse.

use std::ops::Range;

use dualaudit::{
    learn::{
        given::Given,
        regressions::{Change, Regressions, Request},
    },
    simulate::fleet::{Drift, Fleet, Storms, Truth},
};
use dualaudit_record::statistics::{Contribution, Run};

use super::{DAY, Share, ask_over, began, each, ended};

/// Days before those that are judged.
const BEFORE: u32 = 28;

/// What the weather is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Every day is like every other.
    Steady,
    /// On one day in ten the incidents of a type come four times as often, and succeed or fail together.
    Stormy,
}

/// What a fleet is like.
#[derive(Clone, Copy, Debug)]
pub struct Like {
    pub workflows: usize,
    /// Executions a workflow and day.
    pub per_day: u64,
    pub weather: Weather,
}

/// On how many days something was found in fleets in which nothing ever changes.
pub fn false_alarms(like: Like, days: u32, seeds: Range<u64>) -> Share {
    let judged = each(seeds, |seed| {
        let Regressions { days: judged, .. } = asked(&like.fleet(days, None, seed), days);
        assert!(judged.len() == days as usize && judged.iter().all(|day| day.series > 0));
        judged
    });
    let mut alarms = Share::default();
    judged.iter().flatten().for_each(|day| alarms.add(day.found > 0));
    alarms
}

/// How often a fall is found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    /// On its first day,
    pub at_once: Share,
    /// within three days,
    pub in_three_days: Share,
    /// within a week.
    pub in_a_week: Share,
    /// Of those found, how often the day is said that it began on.
    pub dated: Share,
}

/// The success of the first workflow falls from 90 % by so much, from one day to the next, and stays there.
pub fn falls(drop: f64, like: Like, seeds: Range<u64>) -> Found {
    let is_success = |change: &Change| matches!(change, Change::Success { .. });
    gets_worse(Drift { success: -drop, ..unchanged() }, like, seeds, is_success)
}

/// The successful of the first workflow take so many times as long, from one day to the next.
pub fn slows(pace: f64, like: Like, seeds: Range<u64>) -> Found {
    let is_duration = |change: &Change| matches!(change, Change::Duration { .. });
    gets_worse(Drift { pace, ..unchanged() }, like, seeds, is_duration)
}

fn unchanged() -> Drift {
    Drift { day: BEFORE as usize, over: 0, success: 0.0, pace: 1.0 }
}

fn gets_worse(drift: Drift, like: Like, seeds: Range<u64>, is: fn(&Change) -> bool) -> Found {
    let begins = began().saturating_add_micros(i64::from(BEFORE) * DAY);
    let first_days = each(seeds, |seed| {
        let fleet = like.fleet(7, Some(drift), seed);
        let given = given(&fleet);
        [1, 3, 7].map(|days| {
            let until = begins.saturating_add_micros(days * DAY).to_string();
            let pairs = [("workflow", "workflow-0"), ("until", until.as_str())];
            let answer = ask_over::<Request>(&given, &fleet, begins, &pairs);
            answer.regressions.into_iter().filter(|it| is(&it.change)).map(|it| it.since.start()).min()
        })
    });
    let mut found = Found::default();
    for [at_once, in_three_days, in_a_week] in first_days {
        found.at_once.add(at_once.is_some());
        found.in_three_days.add(in_three_days.is_some());
        found.in_a_week.add(in_a_week.is_some());
        if let Some(day) = in_a_week {
            found.dated.add(day == begins);
        }
    }
    found
}

impl Like {
    /// One of which so many days are to be judged.
    fn fleet(self, days: u32, drift: Option<Drift>, seed: u64) -> Fleet {
        let storms = Storms { likelihood: 0.1, times: 4.0, spread: 1.0 };
        let storms = (self.weather == Weather::Stormy).then_some(storms);
        let mut truth = Truth { storms, ..Truth::steady(self.workflows, BEFORE + days, began()) };
        truth.workflows[0].drifts.extend(drift);
        let size = self.workflows as u64 * u64::from(truth.days) * self.per_day;
        Fleet::new(truth, size, seed)
    }
}

/// What a fleet gives to the statistics but for steps and texts, which are most of it and are not asked about.
fn given(fleet: &Fleet) -> Given {
    let mut given = Given::nothing(ended(fleet.truth()));
    for record in fleet.records() {
        let contribution = Contribution::of(&record);
        let run = contribution.run.map(|run| Run { steps: Vec::new(), adjustments: Vec::new(), ..run });
        given.give("default", &Contribution { run, texts: Vec::new(), ..contribution }, 1);
    }
    given
}

fn asked(fleet: &Fleet, days: u32) -> Regressions {
    let since = ended(fleet.truth()).saturating_add_micros(-i64::from(days) * DAY);
    ask_over::<Request>(&given(fleet), fleet, since, &[])
}
