//! Figures as text: percentages, bars, sparklines.

use serde::Serialize;

use crate::{
    command::output::{clipped, duration, shown},
    learn::{
        contrast::Insufficient,
        figures::{Duration, Durations, Estimate, Rate},
    },
};

const EIGHTHS: [char; 9] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A share, 0..1, as a bar of `width` characters.
pub(super) fn bar(share: f64, width: usize) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few characters' eighths")]
    let eighths = (share.clamp(0.0, 1.0) * width as f64 * 8.0).round() as usize;
    (0..width).map(|place| EIGHTHS[eighths.saturating_sub(place * 8).min(8)]).collect()
}

/// Shares, 0..1, as one character each; a point where there is none.
pub(super) fn sparkline(shares: impl IntoIterator<Item = Option<f64>>) -> String {
    let height = |share: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "one of eight")]
        let height = (share.clamp(0.0, 1.0) * (HEIGHTS.len() - 1) as f64).round() as usize;
        HEIGHTS[height]
    };
    shares.into_iter().map(|share| share.map_or('·', height)).collect()
}

/// A share, 0..1, in percent.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// A rate with its interval, such as `92 % (85–96)`; marked where there is not enough data.
pub(super) fn rate(rate: &Rate) -> String {
    let Some(share) = rate.rate else { return "-".to_owned() };
    let mark = if rate.insufficient_data { " ?" } else { "" };
    format!("{} ({:.0}–{:.0}){mark}", percent(share), rate.lower * 100.0, rate.upper * 100.0)
}

/// A rate as a bar, with its interval.
pub(super) fn bar_and_rate(of: &Rate) -> String {
    of.rate.map_or_else(|| "-".to_owned(), |share| format!("{} {}", bar(share, 8), rate(of)))
}

/// A number where there is one.
pub(super) fn number(number: Option<f64>, decimals: usize) -> String {
    number.map_or_else(String::new, |number| format!("{number:.decimals$}"))
}

/// The median, and what 9 in 10 and 99 in 100 do not exceed.
pub(super) fn quantiles(durations: &Durations) -> String {
    let Durations { p50, p90, p99, .. } = durations;
    let shown = [p50, p90, p99].map(|it| it.map_or_else(|| "-".to_owned(), |it| duration(it.estimate)));
    shown.join(" ")
}

/// The median.
pub(super) fn median(durations: &Durations) -> String {
    durations.p50.map_or_else(|| "-".to_owned(), |it| duration(it.estimate))
}

/// A duration as CSV has it.
pub(super) fn nanoseconds(duration: Option<Duration>) -> String {
    duration.map_or_else(String::new, |duration| duration.estimate.to_string())
}

/// A difference of rates in points of percent with its interval, such as `+12 (5–18)`.
pub(super) fn points(difference: Option<&Estimate>) -> String {
    let Some(it) = difference else { return "-".to_owned() };
    let points = |rate: f64| {
        let points = format!("{:+.0}", rate * 100.0);
        if points == "-0" || points == "+0" { "0".to_owned() } else { points }
    };
    let end = |end: Option<f64>| end.map_or_else(|| "?".to_owned(), points);
    format!("{} ({} to {})", points(it.estimate), end(it.lower), end(it.upper))
}

/// A probability for programs, of which the smallest are told apart, too.
pub(super) fn p_value(p: Option<f64>) -> String {
    p.map_or_else(String::new, |p| format!("{p:.3e}"))
}

/// A value as it is in JSON, where that is a word.
pub(super) fn wire(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// How many characters a table shows of one name, so that the figures beside it are seen with it: as many as a DNS label may
/// have, which few names exceed.
const NAME: usize = 63;

/// A name, or the beginning of a long one.
pub(super) fn brief(name: &str) -> String {
    clipped(name.to_owned(), NAME)
}

/// A step, by its number and what it does, if that is known.
pub(super) fn step(number: u32, action: &str) -> String {
    if action.is_empty() { number.to_string() } else { format!("{number} {}", shown(action)) }
}

/// A workflow and its version, which may have no name, as tables show them.
pub(super) fn version_of(workflow: &str, version: &str) -> String {
    format!("{} {}", brief(workflow), brief(named(version)))
}

/// A version's name, where it may have none.
pub(super) fn named(version: &str) -> &str {
    if version.is_empty() { "(no version)" } else { version }
}

/// Why something is not judged.
pub(super) fn why(why: Insufficient) -> &'static str {
    match why {
        Insufficient::FewExecutions => "too few executions on one side",
        Insufficient::InFlight => "more than 10 % of a side is still in flight",
        Insufficient::FewAlike => "too few executions are alike to some of the other side",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_drawn_to_the_eighth_of_a_character() {
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|share| bar(share, 4)), ["    ", "██  ", "████", "████"]);
        assert_eq!(bar(0.3, 4), "█▎  ");
        assert_eq!(sparkline([Some(0.0), Some(0.5), None, Some(1.0)]), "▁▅·█");
    }
}
