//! What is next for a log, by how it stands where it leaves and where it arrives.

use dualaudit_record::digest::Digest;

use crate::store::{Arrival, Departure, LogState, Moved};

/// What a move does next with a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Begins its copy. Also of a log that is closed where it left, and whose copy is gone unopened.
    Begin,
    /// Goes on with its copy, if that is the beginning of it.
    GoOn {
        /// How many entries have arrived.
        size: u64,
        /// The root over them.
        root: Digest,
    },
    /// Notes where it left that it was opened.
    Note,
    /// It moved.
    Nothing,
}

/// Decides it. `to` is where it should arrive.
///
/// | where it leaves | no copy | a copy that arrives | an open one |
/// | --- | --- | --- | --- |
/// | open | begin | go on | refuse: another log, or the file is a backup of one that moved |
/// | closed | begin | go on | note |
/// | closed, opened there | refuse: the copy was lost | refuse | nothing |
///
/// A log that was closed in favour of another takes nothing anywhere, and needs no note of where it went: without a
/// copy it begins, and ends once there is one that is closed in favour of the same.
///
/// # Errors
/// A sentence that says why it is not right to go on, and what to do.
pub(super) fn next(departure: &Departure, arrival: Option<&Arrival>, to: &str) -> Result<Next, String> {
    let log = &departure.row.log;
    if let Some(Moved { to: elsewhere, .. }) = &departure.moved
        && elsewhere != to
    {
        return Err(format!(
            "the log {log} was closed to move to {elsewhere}: name that database, as it may be open there"
        ));
    }
    let is_opened = departure.moved.as_ref().is_some_and(|moved| moved.opened_at.is_some());
    let Some(arrival) = arrival else {
        if is_opened {
            return Err(format!(
                "the log {log} moved to {to} and went on there, and there is none any more: restore a backup of that \
                 database"
            ));
        }
        return Ok(Next::Begin);
    };
    if arrival.row != departure.row {
        return Err(format!(
            "there is another log {log} in {to}: move it to a database that has none of that name, or name with \
             --log those to move"
        ));
    }
    if let (Some(successor), LogState::Succeeded { by }) = (&departure.successor, &arrival.state)
        && by == successor
    {
        return Ok(Next::Nothing);
    }
    match (&departure.moved, &arrival.state) {
        (None | Some(_), LogState::Arriving { .. }) if !is_opened => {
            Ok(Next::GoOn { size: arrival.size, root: arrival.root })
        }
        (Some(_), LogState::Open) if is_opened => Ok(Next::Nothing),
        (Some(_), LogState::Open) => Ok(Next::Note),
        (Some(_), _) => Err(format!(
            "the log {log} moved to {to} and went on there, where it is now being copied: restore a backup of that \
             database"
        )),
        (None, _) => Err(format!(
            "the log {log} is in {to} already and goes on there, though it was not closed here: this is an old copy \
             of what moved, and must take nothing"
        )),
    }
}

#[cfg(test)]
mod tests {
    use dualaudit_record::time;

    use super::*;
    use crate::store::{LogRow, Owner};

    const HERE: &str = "postgres://db:5432/audit";

    fn row(secret: u8) -> LogRow {
        LogRow {
            log: "http".to_owned(),
            owner: Owner::Producers,
            origin: "dualaudit.dev/x".to_owned(),
            secret: [secret; 32],
            created_at: time::ZERO,
        }
    }

    #[test]
    fn a_log_is_never_open_in_two_places_and_every_end_of_a_move_is_gone_on_from() {
        let root = Digest([3; 32]);
        let closed = |opened_at| Some(Moved { to: HERE.to_owned(), opened_at });
        let arriving = || LogState::Arriving { from: "sqlite:/a.db".to_owned() };
        let go_on = || Ok(Next::GoOn { size: 7, root });
        let refused = |part: &'static str| Err(part);
        for (moved, state, expected) in [
            (None, None, Ok(Next::Begin)),
            (None, Some(arriving()), go_on()),
            (None, Some(LogState::Open), refused("an old copy of what moved")),
            (closed(None), None, Ok(Next::Begin)),
            (closed(None), Some(arriving()), go_on()),
            (closed(None), Some(LogState::Open), Ok(Next::Note)),
            (closed(Some(time::ZERO)), None, refused("restore a backup")),
            (closed(Some(time::ZERO)), Some(arriving()), refused("restore a backup")),
            (closed(Some(time::ZERO)), Some(LogState::Open), Ok(Next::Nothing)),
        ] {
            let departure = Departure { row: row(1), size: 9, moved, predecessor: None, successor: None };
            let of = |secret| state.clone().map(|state| Arrival { row: row(secret), size: 7, root, state });
            let case = format!("{:?} {state:?}", departure.moved);
            match (next(&departure, of(1).as_ref(), HERE), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{case}"),
                (Err(said), Err(part)) => assert!(said.contains(part), "{case}: {said}"),
                (found, expected) => panic!("{case}: {found:?}, not {expected:?}"),
            }
            if let Some(other) = of(2) {
                let said = next(&departure, Some(&other), HERE).unwrap_err();
                assert!(said.contains("another log http"), "{case}: {said}");
            }
            if departure.moved.is_some() {
                let said = next(&departure, None, "postgres://db:5432/other").unwrap_err();
                assert!(said.contains("was closed to move to postgres://db:5432/audit"), "{case}: {said}");
            }
        }
    }

    #[test]
    fn a_log_that_was_succeeded_ends_where_it_is_so_too() {
        let root = Digest([3; 32]);
        let departure = Departure {
            row: row(1),
            size: 9,
            moved: None,
            predecessor: None,
            successor: Some("http.2".to_owned()),
        };
        let succeeded = |by: &str| LogState::Succeeded { by: by.to_owned() };
        for (state, expected) in [
            (None, Some(Next::Begin)),
            (
                Some(LogState::Arriving { from: "sqlite:/a.db".to_owned() }),
                Some(Next::GoOn { size: 7, root }),
            ),
            (Some(succeeded("http.2")), Some(Next::Nothing)),
            (Some(succeeded("http.3")), None),
            (Some(LogState::Open), None),
        ] {
            let case = format!("{state:?}");
            let arrival = state.map(|state| Arrival { row: row(1), size: 7, root, state });
            assert_eq!(next(&departure, arrival.as_ref(), HERE).ok(), expected, "{case}");
        }
    }
}
