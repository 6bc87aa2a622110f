//! Whether the schema is what the migrations made: what the triggers refuse is only refused while they
//! are there.
//!
//! What is there is put into one line an object, from the server's catalog, in words that are the same on
//! every version of PostgreSQL. `migrations/postgres/schema.txt` has the lines of a database that was
//! migrated and not touched. Whoever reads may add tables, views, and indexes that are not unique. Of views of ours the
//! columns are compared, not what they select, which each version of PostgreSQL words in its own way.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use super::error::Result;
use crate::store::StoreError;

/// The lines of an untouched database; a test holds that they are.
const UNTOUCHED: &str = include_str!("../../../migrations/postgres/schema.txt");

/// Of each partitioned table, the partition that is always there: what holds of it holds of the others.
const LATER: &str = "_later";

/// What may not be added, because it can change or refuse what is recorded.
const CLOSED: [&str; 5] = ["trigger ", "rule ", "column ", "constraint ", "policy "];

/// An index that may refuse what is recorded, as the server writes its definition.
const UNIQUE: &str = "CREATE UNIQUE INDEX ";

/// Objects by what they are and their names, each with what matters of it.
type Objects = BTreeMap<String, String>;

/// Checks that nothing of the schema is missing, changed or disabled.
///
/// # Errors
/// [`StoreError::Corrupt`] names what is.
pub(super) async fn check_unaltered(client: &Client) -> Result<()> {
    let altered = alterations(client).await?;
    let Some(first) = altered.first() else { return Ok(()) };
    let others = match altered.len() - 1 {
        0 => String::new(),
        others => format!(" (and {others} more: see `dualaudit doctor`)"),
    };
    Err(StoreError::Corrupt(format!(
        "the schema is not what dualaudit made: {first}{others}. Nothing is recorded on it, because what it \
         refuses may have been changed meanwhile: run `dualaudit verify`, and restore a backup"
    ))
    .into())
}

/// What of the schema is missing, changed, disabled or added, a sentence each.
pub(super) async fn alterations(client: &Client) -> Result<Vec<String>> {
    let untouched = parse(UNTOUCHED);
    let named = |kind: &str| -> Vec<String> {
        let names = untouched.keys().filter_map(|object| object.strip_prefix(kind));
        names.map(|name| name.split('(').next().unwrap_or(name).to_owned()).collect()
    };
    let relations = [named("table "), named("view ")].concat();
    let found = objects(client, &relations, &named("function ")).await?;
    Ok(compare(&untouched, &found))
}

fn parse(text: &str) -> Objects {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(": ")).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
}

fn compare(untouched: &Objects, found: &Objects) -> Vec<String> {
    let mut expected = untouched.clone();
    for (object, is) in found {
        let (Some(name), Some((_, parent))) = (object.strip_prefix("table "), is.split_once("partition of "))
        else {
            continue;
        };
        let later = format!("{parent}{LATER}");
        for (object, is) in untouched.iter().filter(|(object, _)| object.contains(&later)) {
            expected.insert(object.replace(&later, name), is.clone());
        }
    }
    let altered = expected.iter().filter_map(|(object, is)| match found.get(object) {
        None => Some(format!("{object} is missing")),
        Some(other) if other == is => None,
        Some(other) if other.starts_with("disabled") => Some(format!("{object} is disabled")),
        Some(_) => Some(format!("{object} was changed")),
    });
    let closed = |(object, is): &(&String, &String)| {
        CLOSED.iter().any(|kind| object.starts_with(kind))
            || object.starts_with("index ") && is.contains(UNIQUE)
    };
    let added = found.iter().filter(closed).filter(|(object, _)| !expected.contains_key(*object));
    altered.chain(added.map(|(object, _)| format!("{object} was added"))).collect()
}

/// The objects of these tables with their partitions, these views, and these functions.
async fn objects(client: &Client, relations: &[String], functions: &[String]) -> Result<Objects> {
    let rows = client.query(OBJECTS, &[&relations, &functions]).await?;
    let object = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?));
    rows.iter().map(object).collect()
}

/// Types of triggers are the bits of `pg_trigger.tgtype`. Where a function looks names up is left out: it
/// is the schema that the tables are in, which goes by where they were made.
const OBJECTS: &str = "
    -- objects of the schema
    WITH ours AS (
        SELECT kept.oid, kept.relname AS name, kept.relnamespace AS space, kept.relispartition AS partition,
            CASE kept.relkind WHEN 'v' THEN 'view ' ELSE 'table ' END AS kind,
            CASE kept.relpersistence WHEN 'p' THEN 'permanent' ELSE 'lost in a crash' END
                || CASE WHEN kept.relrowsecurity THEN ', with row security' ELSE '' END
                || CASE WHEN kept.relforcerowsecurity THEN ' of its owner too' ELSE '' END
                || CASE WHEN kept.relkind = 'p' THEN ', with partitions' ELSE '' END
                || coalesce(', partition of ' || parent.relname, '') AS what
        FROM pg_class AS kept
        LEFT JOIN pg_inherits ON inhrelid = kept.oid
        LEFT JOIN pg_class AS parent ON parent.oid = inhparent
        WHERE kept.relkind IN ('r', 'p', 'v')
            AND (kept.oid IN (SELECT to_regclass(name) FROM unnest($1::text[]) AS name)
                OR inhparent IN (SELECT to_regclass(name) FROM unnest($1::text[]) AS name))
    )
    SELECT kind || name, what FROM ours
    UNION ALL
    SELECT 'column ' || name || '.' || attname,
        format_type(atttypid, atttypmod)
            || CASE WHEN attnotnull THEN ' not null' ELSE '' END
            || coalesce(' collate ' || collname, '')
    FROM ours
    JOIN pg_attribute ON attrelid = ours.oid AND attnum > 0 AND NOT attisdropped
    LEFT JOIN pg_collation ON pg_collation.oid = attcollation AND collname <> 'default'
    UNION ALL
    SELECT 'trigger ' || tgname || ' on ' || name,
        CASE WHEN tgenabled IN ('O', 'A') THEN 'enabled' ELSE 'disabled' END
            || ', type ' || tgtype || ', ' || proname
            || '(' || replace(encode(tgargs, 'escape'), '\\000', '') || ')'
            || coalesce(', new rows ' || tgnewtable, '')
            || coalesce(', old rows ' || tgoldtable, '')
            || CASE WHEN tgqual IS NULL AND tgattr = '' THEN '' ELSE ', sometimes' END
    FROM ours
    JOIN pg_trigger ON tgrelid = ours.oid AND NOT tgisinternal
    JOIN pg_proc ON pg_proc.oid = tgfoid
    UNION ALL
    SELECT 'rule ' || rulename || ' on ' || name, 'type ' || ev_type::text
    FROM ours
    JOIN pg_rewrite ON ev_class = ours.oid
    UNION ALL
    SELECT 'policy ' || polname || ' on ' || name,
        CASE WHEN polpermissive THEN '' ELSE 'restrictive, ' END || 'for ' || polcmd::text
            || CASE WHEN polroles = '{0}' THEN '' ELSE ', of some' END
            || coalesce(', using ' || pg_get_expr(polqual, polrelid), '')
            || coalesce(', check ' || pg_get_expr(polwithcheck, polrelid), '')
    FROM ours
    JOIN pg_policy ON polrelid = ours.oid
    UNION ALL
    SELECT 'constraint ' || conname || ' on ' || name,
        CASE WHEN convalidated THEN 'valid, ' ELSE 'not valid, ' END || pg_get_constraintdef(pg_constraint.oid)
    FROM ours
    JOIN pg_constraint ON conrelid = ours.oid AND contype IN ('c', 'p', 'u', 'f', 'x')
    UNION ALL
    -- Those of a partition have names that the server gives, and are there if their table's is valid; but it may
    -- have others of its own, which refuse as well.
    SELECT 'index ' || index.relname,
        CASE WHEN indisvalid THEN 'valid, ' ELSE 'not valid, ' END
            || replace(pg_get_indexdef(indexrelid), quote_ident(nspname) || '.', '')
    FROM ours
    JOIN pg_namespace ON pg_namespace.oid = space
    JOIN pg_index ON indrelid = ours.oid
    JOIN pg_class AS index ON index.oid = indexrelid
    WHERE NOT ours.partition OR (indisunique AND NOT index.relispartition)
    UNION ALL
    SELECT 'function ' || proname || '(' || pg_get_function_identity_arguments(pg_proc.oid) || ')',
        lanname || CASE WHEN prosecdef THEN ', as its owner' ELSE '' END
            || coalesce((
                SELECT ', ' || string_agg(setting, ', ' ORDER BY setting)
                FROM unnest(proconfig) AS setting
                WHERE setting NOT LIKE 'search_path=%'), '')
            || ', ' || encode(sha256(convert_to(prosrc, 'UTF8')), 'hex')
    FROM pg_proc
    JOIN pg_language ON pg_language.oid = prolang
    WHERE pronamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('dualaudit_schema'))
        AND proname = ANY ($2::text[])
    UNION ALL
    SELECT 'setting session_replication_role', current_setting('session_replication_role')";

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::store::postgres::{connect, tests::fresh};

    /// The file as it has to be, from a database that was just migrated: all that is in it is ours.
    async fn untouched() -> String {
        let store = fresh();
        let client = connect::client(&store.location()).await.unwrap();
        let names = |sql: &'static str| {
            let client = &client;
            async move {
                let rows = client.query(sql, &[]).await.unwrap();
                rows.iter().map(|row| row.get(0)).collect::<Vec<String>>()
            }
        };
        let tables = names(
            "SELECT relname::text FROM pg_class
             WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'v')
                AND (NOT relispartition OR relname LIKE '%\\_later')",
        );
        let functions =
            names("SELECT proname::text FROM pg_proc WHERE pronamespace = current_schema()::regnamespace");
        let (tables, functions) = (tables.await, functions.await);
        let mut found = objects(&client, &tables, &functions).await.unwrap();
        // The months that the test's database was made for are none of the schema.
        found.retain(|object, _| !["_y2025", "_y2026"].iter().any(|month| object.contains(month)));
        let mut text =
            "# What the migrations make, as src/store/postgres/schema.rs sees it; written by its test.\n"
                .to_owned();
        for (object, is) in found {
            text.push_str(&format!("{object}: {is}\n"));
        }
        text
    }

    #[tokio::test]
    async fn the_checked_in_schema_is_that_of_the_migrations() {
        let untouched = untouched().await;
        if std::env::var_os("DUALAUDIT_WRITE_SCHEMA").is_some() {
            let file = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres/schema.txt");
            std::fs::write(file, &untouched).unwrap();
            return;
        }
        assert!(
            untouched == UNTOUCHED,
            "migrations/postgres/schema.txt is not what the migrations make: run this test with \
             DUALAUDIT_WRITE_SCHEMA=1, and look at what changed"
        );
    }
}
