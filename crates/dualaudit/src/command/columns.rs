//! Columns of lists: one value, as people read it and as programs do.

use anstream::{AutoStream, ColorChoice};
use comfy_table::Color;
use dualaudit_record::Time;

use super::output;
use crate::{
    clock::{Clock as _, SystemClock},
    parameter::BadParameter,
};

/// What stands in a column of an item.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    /// The same for everybody.
    Text(String),
    /// For people, and in data.
    Either(String, String),
    /// How it is or what became of it, which people see by its colour, too.
    Word(String),
    /// How long ago; in data the time itself.
    Time(Time),
    /// Nanoseconds; in data as they are.
    Duration(u64),
    /// From 0 to 1; for people to two digits.
    Score(f64),
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Option<String>> for Cell {
    fn from(text: Option<String>) -> Self {
        Self::Text(text.unwrap_or_default())
    }
}

impl From<u32> for Cell {
    fn from(number: u32) -> Self {
        Self::Text(number.to_string())
    }
}

impl From<Option<u32>> for Cell {
    fn from(number: Option<u32>) -> Self {
        number.map(Self::from).into()
    }
}

impl From<Option<Time>> for Cell {
    fn from(time: Option<Time>) -> Self {
        time.map(Self::Time).into()
    }
}

/// Nothing is empty.
impl From<Option<Cell>> for Cell {
    fn from(cell: Option<Cell>) -> Self {
        cell.unwrap_or_else(|| Self::Text(String::new()))
    }
}

impl Cell {
    /// As programs read it: all of it.
    pub(super) fn data(self) -> String {
        match self {
            Self::Text(text) | Self::Either(_, text) | Self::Word(text) => text,
            Self::Time(time) => time.to_string(),
            Self::Duration(nanoseconds) => nanoseconds.to_string(),
            Self::Score(score) => score.to_string(),
        }
    }

    /// As people read it at `now`.
    pub(super) fn people(self, now: Time) -> String {
        match self {
            Self::Text(text) | Self::Either(text, _) | Self::Word(text) => text,
            Self::Time(time) => ago(time, now),
            Self::Duration(nanoseconds) => output::duration(nanoseconds),
            Self::Score(score) => format!("{score:.2}"),
        }
    }

    fn colour(&self) -> Option<Color> {
        match self {
            Self::Word(word) => colour_of(word),
            _ => None,
        }
    }
}

/// What is well is green, what is not red, what is neither yellow, and what goes on blue.
fn colour_of(word: &str) -> Option<Color> {
    Some(match word {
        "success" | "completed" | "Completed" | "effective" => Color::DarkGreen,
        "failed" | "timed_out" | "Failed" | "TimedOut" | "harmful" => Color::DarkRed,
        "partial" | "cancelled" | "deleted" | "Cancelled" | "Deleted" | "ineffective" | "RollingBack"
        | "Paused" => Color::DarkYellow,
        "Pending" | "Planning" | "Validating" | "Executing" | "Monitoring" => Color::DarkBlue,
        _ => return None,
    })
}

/// A column that a list may have.
pub(super) struct Column<T: 'static> {
    /// As data and `--columns` name it.
    pub(super) name: &'static str,
    /// As it is headed for people.
    pub(super) header: &'static str,
    /// What stands in it.
    pub(super) of: fn(&T) -> Cell,
}

/// How the items of a list look where they are not written whole.
pub(super) struct Shape<T: 'static> {
    /// All columns there are.
    pub(super) columns: &'static [Column<T>],
    /// Those for people.
    pub(super) table: &'static [&'static str],
    /// Those that they see besides where there is room.
    pub(super) wide: &'static [&'static str],
    /// Those for programs.
    pub(super) csv: &'static [&'static str],
    /// By which an item is found again.
    pub(super) name: fn(&T) -> String,
    /// What people are told where there is nothing.
    pub(super) nothing: &'static str,
}

impl<T> Shape<T> {
    /// The columns of these names.
    ///
    /// # Errors
    /// The first name that none has, with those that there are.
    pub(super) fn named<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Vec<&'static Column<T>>, BadParameter> {
        let find = |name: &'a str| {
            self.columns.iter().find(|column| column.name == name.trim()).ok_or_else(|| {
                let all: Vec<_> = self.columns.iter().map(|column| column.name).collect();
                BadParameter::new(
                    "columns",
                    name,
                    format!("is no column of this list; there are {}", all.join(", ")),
                )
            })
        };
        names.into_iter().map(find).collect()
    }
}

/// To whom a list is shown, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Controls are escaped in every form.
    pub(super) on_terminal: bool,
    /// Words have colours.
    pub(super) in_colour: bool,
    /// Times are so long ago.
    pub(super) now: Time,
}

impl Look {
    /// On stdout, now. Whether in colour is asked of NO_COLOR, CLICOLOR_FORCE, CLICOLOR and TERM.
    pub(super) fn of_stdout() -> Self {
        let stdout = std::io::stdout();
        Self {
            on_terminal: std::io::IsTerminal::is_terminal(&stdout),
            in_colour: AutoStream::choice(&stdout) != ColorChoice::Never,
            now: SystemClock.now(),
        }
    }
}

/// Cells as a table shows them.
pub(super) fn styled(cells: Vec<Cell>, look: Look) -> Vec<comfy_table::Cell> {
    let styled = |cell: Cell| {
        let colour = cell.colour().filter(|_| look.in_colour);
        let cell = output::cell(&cell.people(look.now));
        match colour {
            Some(colour) => cell.fg(colour),
            None => cell,
        }
    };
    cells.into_iter().map(styled).collect()
}

/// How long ago it was, to two digits or so, as Kubernetes tells ages; `in 5m` of what is to come.
pub(super) fn ago(time: Time, now: Time) -> String {
    let micros = now.micros_since(time);
    let seconds = micros / 1_000_000;
    let age = age(seconds.unsigned_abs());
    if seconds < 0 { format!("in {age}") } else { format!("{age} ago") }
}

/// Seconds as Kubernetes tells ages (`HumanDuration` of apimachinery).
fn age(seconds: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    const YEAR: u64 = 365 * DAY;
    let both = |large: u64, of: &str, small: u64, rest: &str| match seconds % large / small {
        0 => format!("{}{of}", seconds / large),
        more => format!("{}{of}{more}{rest}", seconds / large),
    };
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => both(MINUTE, "m", 1, "s"),
        600..10_800 => format!("{}m", seconds / MINUTE),
        10_800..28_800 => both(HOUR, "h", MINUTE, "m"),
        28_800..172_800 => format!("{}h", seconds / HOUR),
        172_800..691_200 => both(DAY, "d", HOUR, "h"),
        _ if seconds < 2 * YEAR => format!("{}d", seconds / DAY),
        _ if seconds < 8 * YEAR => both(YEAR, "y", DAY, "d"),
        _ => format!("{}y", seconds / YEAR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_as_kubernetes_tells_them() {
        let told =
            [0, 119, 120, 155, 600, 10_799, 10_800, 16_260, 28_800, 172_799, 172_800, 190_800, 691_200];
        let told = told.map(age).join(" ");
        assert_eq!(told, "0s 119s 2m 2m35s 10m 179m 3h 4h31m 8h 47h 2d 2d5h 8d");
        assert_eq!([63_072_000, 70_000_000, 252_288_000].map(age), ["2y", "2y80d", "8y"]);
        let at = |text: &str| text.parse::<Time>().unwrap();
        let now = at("2026-05-01T12:00:00Z");
        assert_eq!(ago(at("2026-05-01T11:56:59.5Z"), now), "3m ago");
        assert_eq!(ago(at("2026-05-01T12:05:00Z"), now), "in 5m");
        assert_eq!(ago(at("2026-05-01T12:00:00.9Z"), now), "0s ago");
    }
}
