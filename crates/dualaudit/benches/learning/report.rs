//! What is tried, and how it is shown.

use std::{fmt::Write as _, path::PathBuf, time::Instant};

use plotters::prelude::SeriesLabelPosition;

use crate::{
    plot::{Line, Plot},
    trials::{
        Share, adjustments, compare, figures,
        recommend::{self, Logged},
        regressions::{self, Like, Weather},
        steps,
    },
};

/// What is made with so many seeds.
pub(crate) struct Report {
    pub(crate) seeds: u64,
    /// Where plots go.
    pub(crate) plots: PathBuf,
}

/// Adds what it is about to the text.
type Part = fn(&Report, &mut String) -> anyhow::Result<()>;

const RUNS: [u64; 4] = [50, 100, 200, 400];
const LOGGED: [u64; 5] = [5, 10, 30, 100, 300];
const WEATHERS: [(Weather, &str); 2] = [(Weather::Steady, "steady"), (Weather::Stormy, "stormy")];

impl Report {
    /// The text.
    pub(crate) fn write(&self) -> anyhow::Result<String> {
        let mut text = format!(
            "Each trial is a fleet of its own, made by `simulate/fleet.rs` from a truth and a seed, and asked about as \
             anybody would. Seeds are 0 to {}, unless a table says otherwise.\n",
            self.seeds - 1
        );
        let parts: [(&str, Part); 7] = [
            ("Two versions", Self::compare),
            ("Days against the days before", Self::regressions),
            ("Days on which nothing changed", Self::false_alarms),
            ("Adjustments", Self::adjustments),
            ("Steps", Self::steps),
            ("What to try", Self::recommend),
            ("Intervals", Self::intervals),
        ];
        for (title, part) in parts {
            let (started, begins) = (Instant::now(), text.len());
            write!(text, "\n### {title}\n\n")?;
            part(self, &mut text)?;
            // The rest takes minutes.
            println!("{}\n({:.0} s)", &text[begins..], started.elapsed().as_secs_f64());
        }
        Ok(text)
    }

    fn compare(&self, text: &mut String) -> anyhow::Result<()> {
        writeln!(
            text,
            "One version of a workflow succeeds less often than the other by so many points, in 3 namespaces, for 4 types \
             of incidents of which some are harder, on 3 kinds of targets. How often `compare` says `worse`:\n"
        )?;
        table(text, &["success of the better", "worse by", "50 runs a side", "100", "200", "400"])?;
        let mut lines: Vec<Line> = Vec::new();
        let mut covered = Share::default();
        let mut of_none = Vec::new();
        for success in [0.9, 0.6] {
            for drop in [0.05, 0.1, 0.2, 0.0] {
                let found = RUNS.map(|runs| compare::versions(success, drop, runs, 0..self.seeds));
                for found in found {
                    covered = plus(covered, found.covered);
                }
                let cells = found.map(|found| percent(found.worse));
                if drop > 0.0 {
                    row(text, &[&percent_of(success), &points(drop)], &cells)?;
                    let name = format!("{} less {}", percent_of(success), points(drop));
                    let powers = found.map(|found| found.worse.rate() * 100.0);
                    lines.push((name, RUNS.map(|runs| runs as f64).into_iter().zip(powers).collect()));
                } else {
                    let either = found
                        .map(|found| Share { count: found.worse.count + found.better.count, ..found.worse });
                    of_none.push((success, either));
                }
            }
        }
        writeln!(text, "\nWhere both are as good, it says `better` or `worse` of:\n")?;
        table(text, &["success of both", "50 runs a side", "100", "200", "400"])?;
        for (success, either) in of_none {
            row(text, &[&percent_of(success)], &either.map(percent))?;
        }
        writeln!(text, "\nThe 95 % interval of the difference holds the truth in {covered}.\n")?;
        let plot = Plot {
            title: "How often a worse version is called worse",
            x: "executions a version",
            y: "% of trials",
            top: 100.0,
            labels: SeriesLabelPosition::LowerRight,
        };
        self.plot(text, &plot, &lines, "compare.svg")
    }

    fn regressions(&self, text: &mut String) -> anyhow::Result<()> {
        let seeds = (self.seeds / 5).max(1);
        writeln!(
            text,
            "One of 5 workflows gets worse from one day to the next, after 28 days on which nothing changed, and stays \
             so; the others go on as before. How often `regressions` says so, over {seeds} seeds. Stormy: on one day in ten \
             the incidents of a type come four times as often, and succeed or fail together (their log odds have a \
             standard deviation of 1 in common).\n"
        )?;
        table(
            text,
            &[
                "what gets worse",
                "days",
                "executions a day",
                "on the first day",
                "within 3 days",
                "within 7",
                "dated right",
            ],
        )?;
        let mut lines: Vec<Line> = Vec::new();
        for (weather, name) in WEATHERS {
            let mut points = Vec::new();
            for per_day in [10, 30, 100, 200] {
                let found = regressions::falls(0.2, like(weather, per_day), 0..seeds);
                self.found(text, "success, from 90 % to 70 %", name, per_day, found)?;
                points.push((per_day as f64, found.at_once.rate() * 100.0));
            }
            lines.push((format!("success falls by 20 points, {name}"), points));
        }
        for (weather, name) in WEATHERS {
            let mut points = Vec::new();
            for per_day in [10, 30, 100, 200] {
                let found = regressions::slows(1.5, like(weather, per_day), 0..seeds);
                self.found(text, "durations, half as long again", name, per_day, found)?;
                points.push((per_day as f64, found.at_once.rate() * 100.0));
            }
            lines.push((format!("durations are half as long again, {name}"), points));
        }
        writeln!(text)?;
        let plot = Plot {
            title: "How often a regression is found on its first day",
            x: "executions of the workflow a day",
            y: "% of trials",
            top: 100.0,
            labels: SeriesLabelPosition::LowerRight,
        };
        self.plot(text, &plot, &lines, "regressions.svg")
    }

    fn found(
        &self,
        text: &mut String,
        what: &str,
        weather: &str,
        per_day: u64,
        found: regressions::Found,
    ) -> anyhow::Result<()> {
        let cells = [found.at_once, found.in_three_days, found.in_a_week, found.dated].map(percent);
        row(text, &[what, weather, &per_day.to_string()], &cells)
    }

    fn false_alarms(&self, text: &mut String) -> anyhow::Result<()> {
        let (days, seeds) = (60, (self.seeds / 20).max(1));
        writeln!(
            text,
            "Fleets of 5 workflows, each with a success of 90 %, in which nothing ever changes; {days} days of each are \
             judged, over {seeds} seeds. On how many days anything at all is said to have got worse:\n"
        )?;
        table(text, &["days", "10 executions a workflow and day", "50"])?;
        for (weather, name) in WEATHERS {
            let cells = [10, 50]
                .map(|per_day| regressions::false_alarms(like(weather, per_day), days, 0..seeds).to_string());
            row(text, &[name], &cells)?;
        }
        Ok(())
    }

    fn adjustments(&self, text: &mut String) -> anyhow::Result<()> {
        writeln!(
            text,
            "In one workflow one adjustment helps by 20 points where the step is reached, and three do nothing but seem \
             to help. How often `adjustments` says `helps`, and how often that it does so without hinging on executions \
             that the step broke; and by how many points success with it exceeds success without, on average, for \
             somebody who looks at all executions alike:\n"
        )?;
        table(
            text,
            &["adjustment", "executions", "seems to help by", "`helps`", "without hinging on the broken"],
        )?;
        for runs in [400, 1000, 4000] {
            let friends = adjustments::friends(runs, 0..(self.seeds * 400 / runs / 2).max(1));
            for (name, found) in [
                ("helps by 20 points", friends.real),
                ("is made where things go well anyway", friends.confounded),
                ("is made at the last step, which few live to see", friends.died_before),
                ("is made once most of what breaks its step has not", friends.died_at_the_step),
            ] {
                let cells = [points(found.seems), found.helps.to_string(), percent(found.helps_for_sure)];
                row(text, &[name, &runs.to_string()], &cells)?;
            }
        }
        Ok(())
    }

    fn steps(&self, text: &mut String) -> anyhow::Result<()> {
        writeln!(
            text,
            "Of six steps one breaks the workflow, one is retried, and one takes time, so many times as often or long as \
             each of the others. How often it comes first in `steps`:\n"
        )?;
        table(text, &["times", "executions", "by failures", "by retries", "by time"])?;
        for times in [2.0, 4.0] {
            for runs in [100, 400] {
                let found = steps::hot_spots(times, runs, 0..self.seeds);
                let cells = [found.failing, found.retried, found.slow].map(percent);
                row(text, &[&times.to_string(), &runs.to_string()], &cells)?;
            }
        }
        Ok(())
    }

    fn recommend(&self, text: &mut String) -> anyhow::Result<()> {
        writeln!(
            text,
            "Ten workflows for the same incident, whose true success is spread about 75 % (log odds with a standard \
             deviation of 0.8). Simple regret: by how many points the success of the one that is run falls short of the \
             best, on average; of what `recommend` has first, and of what has the highest rate where it is asked for.\n"
        )?;
        table(text, &["logged", "picked by", "5 executions a workflow", "10", "30", "100", "300"])?;
        let mut lines: Vec<Line> = Vec::new();
        let all = [
            (Logged::Uniformly, "uniformly"),
            (Logged::Unevenly, "unevenly (Zipf)"),
            (Logged::InSeveralPlaces, "in three namespaces"),
        ];
        for (logged, name) in all {
            let regrets = LOGGED.map(|runs| recommend::regret(logged, runs, 0..self.seeds));
            let of = |of: fn(&recommend::Regret) -> f64| regrets.each_ref().map(|regret| of(regret) * 100.0);
            for (by, values) in [
                ("`recommend`", of(|it| it.recommended)),
                ("rate", of(|it| it.by_rate)),
                ("lot", of(|it| it.by_lot)),
            ] {
                row(text, &[name, by], &values.map(|value| format!("{value:.1}")))?;
                if by != "lot" {
                    let line = format!("{name}, by {}", by.trim_matches('`'));
                    lines.push((line, LOGGED.map(|runs| runs as f64).into_iter().zip(values).collect()));
                }
            }
        }
        writeln!(text)?;
        let highest = lines.iter().flat_map(|(_, points)| points.iter().map(|&(_, y)| y)).fold(1.0, f64::max);
        let plot = Plot {
            title: "What it costs to run what comes first",
            x: "executions a workflow that were logged",
            y: "points short of the best",
            top: highest * 1.05,
            labels: SeriesLabelPosition::UpperRight,
        };
        self.plot(text, &plot, &lines, "recommend.svg")
    }

    fn intervals(&self, text: &mut String) -> anyhow::Result<()> {
        let seeds = (self.seeds / 10).max(1);
        writeln!(
            text,
            "Twenty workflows that are alike, in two periods of two weeks; over {seeds} seeds. How often 95 % intervals \
             hold the truth, and by which part the estimates of log-normal durations are off on average:\n"
        )?;
        table(
            text,
            &[
                "success",
                "executions",
                "success held",
                "change held",
                "p50 held",
                "p90 held",
                "p99 held",
                "p50 off by",
                "p90",
                "p99",
            ],
        )?;
        for success in [0.9, 0.5] {
            for runs in [20, 100, 500] {
                let found = figures::coverage(success, runs, 0..seeds);
                let mut cells = vec![percent(found.success), percent(found.change)];
                cells.extend(found.durations.iter().map(|it| percent(it.covered)));
                cells.extend(found.durations.iter().map(|it| format!("{:.1} %", it.error * 100.0)));
                row(text, &[&percent_of(success), &runs.to_string()], &cells)?;
            }
        }
        Ok(())
    }

    fn plot(&self, text: &mut String, plot: &Plot<'_>, lines: &[Line], name: &str) -> anyhow::Result<()> {
        plot.draw(lines, &self.plots.join(name))?;
        writeln!(text, "![{}](learning/{name})", plot.title)?;
        Ok(())
    }
}

fn like(weather: Weather, per_day: u64) -> Like {
    Like { workflows: 5, per_day, weather }
}

fn table(text: &mut String, heads: &[&str]) -> anyhow::Result<()> {
    writeln!(text, "| {} |", heads.join(" | "))?;
    writeln!(text, "|{}", " --- |".repeat(heads.len()))?;
    Ok(())
}

fn row(text: &mut String, heads: &[&str], cells: &[String]) -> anyhow::Result<()> {
    writeln!(text, "| {} | {} |", heads.join(" | "), cells.join(" | "))?;
    Ok(())
}

fn plus(one: Share, other: Share) -> Share {
    Share { count: one.count + other.count, of: one.of + other.of }
}

fn percent(share: Share) -> String {
    format!("{:.1} %", share.rate() * 100.0)
}

fn percent_of(rate: f64) -> String {
    format!("{:.0} %", rate * 100.0)
}

fn points(difference: f64) -> String {
    format!("{:.0} points", difference * 100.0)
}
