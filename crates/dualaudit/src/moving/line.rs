//! Logs that go on in the place of others: they move together, and the earlier ones first.

use crate::store::Departure;

/// The logs that leave, each after the one in whose place it goes on: what a log says of its predecessor is compared
/// with what arrived of that.
///
/// # Errors
/// A sentence that says which have to move together, or what has to be ended first.
pub(super) fn in_order(mut leaving: Vec<Departure>) -> Result<Vec<Departure>, String> {
    for departure in &leaving {
        let log = &departure.row.log;
        for (earlier, later) in
            [(departure.predecessor.as_ref(), Some(log)), (Some(log), departure.successor.as_ref())]
        {
            let (Some(earlier), Some(later)) = (earlier, later) else { continue };
            let of = |name: &String| leaving.iter().find(|departure| departure.row.log == *name);
            let (Some(predecessor), Some(_)) = (of(earlier), of(later)) else {
                return Err(format!(
                    "the log {later} goes on in the place of {earlier}, which was rolled back: they move together; name \
                     both with --log, or none"
                ));
            };
            if predecessor.successor.as_ref() != Some(later) {
                return Err(format!(
                    "the log {later} says that it goes on in the place of {earlier}, which is not closed in its favour: \
                     `dualaudit log succeed --log {earlier}` was ended; run it again"
                ));
            }
        }
    }
    let mut ordered: Vec<Departure> = Vec::new();
    while !leaving.is_empty() {
        let names: Vec<String> = leaving.iter().map(|departure| departure.row.log.clone()).collect();
        let waits =
            |departure: &Departure| departure.predecessor.as_ref().is_some_and(|log| names.contains(log));
        let (waiting, ready): (Vec<_>, Vec<_>) = leaving.into_iter().partition(waits);
        if ready.is_empty() {
            return Err(format!(
                "each of the logs {} goes on in the place of another: run `dualaudit verify`",
                names.join(", ")
            ));
        }
        ordered.extend(ready);
        leaving = waiting;
    }
    Ok(ordered)
}

#[cfg(test)]
mod tests {
    use dualaudit_record::time;

    use super::*;
    use crate::store::{LogRow, Owner};

    fn log(name: &str, predecessor: Option<&str>, successor: Option<&str>) -> Departure {
        let row = LogRow {
            log: name.to_owned(),
            owner: Owner::Producers,
            origin: "dualaudit.dev/x".to_owned(),
            secret: [1; 32],
            created_at: time::ZERO,
        };
        let [predecessor, successor] = [predecessor, successor].map(|log| log.map(str::to_owned));
        Departure { row, size: 1, moved: None, predecessor, successor }
    }

    #[test]
    fn the_earlier_of_a_line_leave_first_and_none_without_the_others() {
        let line = || {
            vec![
                log("d.10", Some("d.9"), None),
                log("d", None, Some("d.9")),
                log("d.9", Some("d"), Some("d.10")),
                log("http", None, None),
            ]
        };
        let ordered =
            in_order(line()).map(|logs| logs.into_iter().map(|log| log.row.log).collect::<Vec<_>>());
        assert_eq!(ordered.unwrap(), ["d", "http", "d.9", "d.10"]);
        for (without, part) in [
            (0, "d.10 goes on in the place of d.9"),
            (1, "d.9 goes on in the place of d"),
            (2, "name both with --log"),
        ] {
            let mut part_of_it = line();
            part_of_it.remove(without);
            let said = in_order(part_of_it).err().unwrap();
            assert!(said.contains(part), "{said}");
        }
        let said = in_order(vec![log("d", None, None), log("d.2", Some("d"), None)]).err().unwrap();
        assert!(said.contains("log succeed --log d` was ended"), "{said}");
        let circle = vec![log("a", Some("b"), Some("b")), log("b", Some("a"), Some("a"))];
        assert!(in_order(circle).is_err());
    }
}
