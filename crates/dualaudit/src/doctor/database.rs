//! Checks of a database.

use super::{Check, clock};
use crate::store::{
    StoreError,
    postgres::{self, Writes},
    sqlite,
};

/// Fewer months ahead than this are warned of, which leaves that many months to act.
pub const FEW_MONTHS: i32 = 3;

/// Below this many free bytes beside a file is warned of: the write-ahead log alone takes 80 MiB.
const LITTLE_ROOM: u64 = 1 << 30;
/// Below this there is no room for the write-ahead log.
const NO_ROOM: u64 = 100 << 20;

/// This much WAL that a server keeps for somebody who does not fetch it is warned of.
const MUCH_WAL: i64 = 10 << 30;

const GRANT: &str = "run `dualaudit migrate --grant-to ROLE` as the owner";

/// The check of a database that cannot be looked at.
pub fn unreachable(error: &StoreError) -> Check {
    // Each of its sentences says what to do.
    Check::wrong("connection", error.to_string(), "nothing is recorded until then; what is recorded is safe")
}

/// The checks of a database on a server.
pub fn of_a_server(seen: &postgres::Seen) -> Vec<Check> {
    let mut checks = vec![connection(seen), durability(seen)];
    match &seen.schema {
        Err(problem) => {
            checks.push(Check::wrong(
                "schema",
                problem.clone(),
                "do what it says; nothing is recorded until then",
            ));
        }
        Ok(schema) => {
            checks.push(Check::ok("schema", format!("version {}, the latest", schema.version)));
            checks.push(unaltered(&schema.alterations));
            checks.push(privileges(schema));
            checks.push(logs(schema));
            checks.push(partitions(schema));
        }
    }
    checks.push(clock("clock", "the database's server", seen.clock_ahead));
    checks.push(disk(seen));
    checks
}

fn connection(seen: &postgres::Seen) -> Check {
    const NAME: &str = "connection";
    let version = format!("PostgreSQL {}", seen.version);
    if seen.version_number < 150_000 {
        return Check::wrong(NAME, version, "use PostgreSQL 15 or later");
    }
    if seen.encoding != "UTF8" {
        let found = format!("{version}, the database's encoding is {}", seen.encoding);
        return Check::wrong(NAME, found, "create the database with createdb -E UTF8 -T template0");
    }
    if seen.standby {
        let found = format!("{version}, a standby, which takes no writes");
        return Check::wrong(
            NAME,
            found,
            "name the primary, or add ?target_session_attrs=read-write to the URL",
        );
    }
    match (&seen.tls, seen.verified, seen.local) {
        (Some(tls), true, _) => Check::ok(NAME, format!("{version}, {tls}, its name verified")),
        (Some(tls), false, false) => Check::warning(
            NAME,
            format!("{version}, {tls}, to whoever answers: its certificate is not verified"),
            "add ?sslmode=verify-full to the URL",
        ),
        (None, _, false) => Check::warning(
            NAME,
            format!("{version}, over a network without TLS: records and the password can be read on the way"),
            "give the server a certificate, and add ?sslmode=verify-full to the URL",
        ),
        (_, _, true) => Check::ok(NAME, format!("{version}, on this machine")),
    }
}

fn durability(seen: &postgres::Seen) -> Check {
    const NAME: &str = "durability";
    if seen.fsync != "on" {
        let found =
            format!("fsync is {}: what is acknowledged can be lost, so nothing is recorded", seen.fsync);
        return Check::wrong(NAME, found, "set fsync = on in postgresql.conf and reload");
    }
    if seen.synchronous_commit != "on" {
        let found = format!("synchronous_commit stays {} although it was set", seen.synchronous_commit);
        return Check::wrong(NAME, found, "let this role's sessions set it to on");
    }
    if seen.full_page_writes != "on" {
        let remedy = "set full_page_writes = on, unless the file system writes whole pages (ZFS does)";
        return Check::warning(NAME, "full_page_writes is off: a crash can tear pages", remedy);
    }
    Check::ok(NAME, "fsync, synchronous_commit and full_page_writes are on")
}

/// Whether the schema is as the migrations made it.
fn unaltered(alterations: &[String]) -> Check {
    const NAME: &str = "schema unaltered";
    if alterations.is_empty() {
        return Check::ok(NAME, "every trigger, function, constraint and index is as it was made");
    }
    let shown = 10;
    let mut found = alterations.iter().take(shown).cloned().collect::<Vec<_>>().join("; ");
    if alterations.len() > shown {
        found.push_str(&format!("; and {} more", alterations.len() - shown));
    }
    Check::wrong(NAME, found, "run `dualaudit verify` to see what still holds, and restore a backup")
}

fn privileges(schema: &postgres::SchemaSeen) -> Check {
    const NAME: &str = "privileges";
    let role = &schema.role;
    if !schema.missing.is_empty() {
        let found = format!("the role {role} may not {}", schema.missing.join(", "));
        return Check::wrong(NAME, found, GRANT);
    }
    if !schema.excessive.is_empty() {
        let found = format!("the role {role} can do more than `run` needs: {}", schema.excessive.join(", "));
        let remedy = format!("run as a role of its own: CREATE ROLE … LOGIN, then {GRANT}");
        return Check::warning(NAME, found, remedy);
    }
    Check::ok(NAME, format!("the role {role} can do what `run` needs, and no more"))
}

/// Whether one role can write what another's cluster did.
fn logs(schema: &postgres::SchemaSeen) -> Check {
    const NAME: &str = "logs";
    const REMEDY: &str =
        "give each cluster a role of its own, and run `dualaudit migrate --grant-log LOG=ROLE` as the owner";
    let role = &schema.role;
    match &schema.writes {
        Writes::Undivided { clusters: ..=1 } => {
            Check::ok(NAME, "whoever may record writes every log; no second cluster records here")
        }
        Writes::Undivided { clusters } => Check::warning(
            NAME,
            format!("{clusters} clusters record here, and the role of each may write the others' logs"),
            REMEDY,
        ),
        Writes::All => {
            Check::ok(NAME, format!("roles write the logs that they are granted; {role} writes all"))
        }
        Writes::Granted(logs) if logs.is_empty() => {
            let found = format!("the role {role} is granted no log, so it can record nothing");
            Check::wrong(NAME, found, "run `dualaudit migrate --grant-log LOG=ROLE` as the owner")
        }
        Writes::Granted(logs) => {
            Check::ok(NAME, format!("the role {role} may write {}, and no other log", logs.join(", ")))
        }
    }
}

fn partitions(schema: &postgres::SchemaSeen) -> Check {
    const NAME: &str = "partitions";
    let remedy =
        "run `dualaudit maintain` as the database's owner, and have it run by itself: deploy/maintain.yaml";
    match &schema.months_ahead {
        Err(problem) => Check::wrong(NAME, problem.clone(), "restore a backup"),
        Ok(..0) => Check::wrong(NAME, "the present month has no partition of its own", remedy),
        Ok(months @ 0..FEW_MONTHS) => {
            Check::warning(NAME, format!("only {months} months after this one have theirs"), remedy)
        }
        Ok(months) => Check::ok(NAME, format!("{months} months after this one have theirs")),
    }
}

fn disk(seen: &postgres::Seen) -> Check {
    const NAME: &str = "disk";
    let size = format!("the database has {}", bytes(seen.size));
    if let Some(slot) = seen.slots.iter().find(|slot| slot.kept > MUCH_WAL) {
        let found = format!("{size}; the replication slot {} keeps {} of WAL", slot.name, bytes(slot.kept));
        return Check::warning(
            NAME,
            found,
            "have its standby follow again, or drop the slot, before the disk is full",
        );
    }
    if seen.archiving_fails {
        let found = format!("{size}; archiving WAL fails, so the server keeps it all");
        return Check::warning(
            NAME,
            found,
            "mend archive_command (the server's log says why) before the disk is full",
        );
    }
    Check::ok(NAME, format!("{size}; free space is seen on the server alone: watch it there"))
}

/// The checks of a file.
pub fn of_a_file(seen: &sqlite::Seen) -> Vec<Check> {
    let mut checks = vec![match &seen.network {
        None => Check::ok("durability", "the file is on a local file system"),
        Some(name) => Check::wrong(
            "durability",
            format!(
                "the file is on a network file system ({name}), where a commit may be lost or seen twice"
            ),
            "put it on a local disk, or use PostgreSQL",
        ),
    }];
    match &seen.schema {
        Err(problem) => {
            checks.push(Check::wrong(
                "schema",
                problem.clone(),
                "do what it says; nothing is recorded until then",
            ));
        }
        Ok(alterations) => {
            checks.push(Check::ok("schema", "the latest version"));
            checks.push(unaltered(alterations));
        }
    }
    checks.push(access(seen));
    checks.push(room(seen.free));
    checks
}

fn access(seen: &sqlite::Seen) -> Check {
    const NAME: &str = "privileges";
    if !seen.writable {
        return Check::wrong(NAME, "this user cannot write the file or its directory", "run as its owner");
    }
    if seen.mode & 0o077 != 0 {
        let found = format!("others may read or write the file (mode {:03o})", seen.mode & 0o777);
        return Check::warning(NAME, found, "chmod 600 on it: the secrets of its logs are in it");
    }
    Check::ok(NAME, "this user can write the file, and nobody else read it")
}

fn room(free: u64) -> Check {
    const NAME: &str = "disk";
    let found = format!("{} are free", bytes(i64::try_from(free).unwrap_or(i64::MAX)));
    let remedy = "make room: with a full disk nothing is recorded, and resources wait in the cluster";
    match free {
        ..NO_ROOM => Check::wrong(NAME, found, remedy),
        NO_ROOM..LITTLE_ROOM => Check::warning(NAME, found, remedy),
        _ => Check::ok(NAME, found),
    }
}

fn bytes(count: i64) -> String {
    let mib = count >> 20;
    if mib < 10 << 10 { format!("{mib} MiB") } else { format!("{} GiB", mib >> 10) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn room_for_the_write_ahead_log_is_the_least_that_is_needed() {
        for (free, verdict) in [
            (0, Verdict::Wrong),
            (NO_ROOM, Verdict::Warning),
            (LITTLE_ROOM, Verdict::Ok),
            (u64::MAX, Verdict::Ok),
        ] {
            assert_eq!(room(free).verdict, verdict, "{free}");
        }
    }

    #[test]
    fn a_connection_over_a_network_is_to_be_encrypted_and_verified() {
        let tls = || Some("TLSv1.3".to_owned());
        for (tls, verified, local, verdict) in [
            (tls(), true, false, Verdict::Ok),
            (tls(), false, false, Verdict::Warning),
            (None, false, false, Verdict::Warning),
            (None, false, true, Verdict::Ok),
        ] {
            let seen = postgres::Seen { tls, verified, local, ..postgres::Seen::sample() };
            assert_eq!(connection(&seen).verdict, verdict, "{seen:?}");
        }
        let old = postgres::Seen { version_number: 140_010, ..postgres::Seen::sample() };
        let latin = postgres::Seen { encoding: "LATIN1".into(), ..postgres::Seen::sample() };
        let standby = postgres::Seen { standby: true, ..postgres::Seen::sample() };
        for seen in [old, latin, standby] {
            assert_eq!(connection(&seen).verdict, Verdict::Wrong, "{seen:?}");
        }
    }

    #[test]
    fn wal_that_is_kept_for_nobody_is_warned_of() {
        let slot = |kept| postgres::Slot { name: "gone".into(), kept };
        let seen = |kept| postgres::Seen { slots: vec![slot(kept)], ..postgres::Seen::sample() };
        assert_eq!(disk(&seen(MUCH_WAL)).verdict, Verdict::Ok);
        let check = disk(&seen(MUCH_WAL * 2));
        assert_eq!((check.verdict, check.found.contains("gone keeps 20 GiB")), (Verdict::Warning, true));
    }

    #[test]
    fn a_network_file_system_is_wrong() {
        let seen = sqlite::Seen {
            network: Some("NFS"),
            schema: Ok(Vec::new()),
            writable: true,
            mode: 0o600,
            free: LITTLE_ROOM,
        };
        let verdicts = |seen: &sqlite::Seen| of_a_file(seen).iter().map(|c| c.verdict).collect::<Vec<_>>();
        assert_eq!(verdicts(&seen)[0], Verdict::Wrong);
        let local = sqlite::Seen { network: None, ..seen };
        assert!(verdicts(&local).iter().all(|verdict| *verdict == Verdict::Ok));
    }
}
