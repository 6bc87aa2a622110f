//! Where the bytes of a record are.

use futures::TryStreamExt as _;
use tokio_postgres::NoTls;

use super::fill::Filled;

/// Of 1 % of all rows.
const SAMPLE: &str = "workflow_execution_audit TABLESAMPLE SYSTEM (1)";

/// Prints the bytes of a record in every table and index, beside those of its plain row. Partitions count
/// as the table they are of.
pub(crate) async fn print(filled: &Filled) {
    const PLACES: &str = "
        SELECT coalesce(pg_partition_root(oid), oid)::regclass || place, sum(bytes)
        FROM pg_class
        CROSS JOIN LATERAL (
            SELECT CASE relkind WHEN 'r' THEN ', rows' ELSE '' END AS place,
                pg_table_size(oid) - coalesce(pg_total_relation_size(reltoastrelid), 0) AS bytes
            UNION ALL
            SELECT ', long values', pg_total_relation_size(reltoastrelid)
        ) AS place
        WHERE relkind IN ('r', 'i') AND relnamespace = 'public'::regnamespace
        GROUP BY 1
        ORDER BY 2 DESC";
    let sizes: Vec<(String, f64)> = (filled.server.rows(&filled.name, PLACES).expect("the sizes"))
        .into_iter()
        .map(|row| (row[0].clone(), row[1].parse().unwrap_or_default()))
        .collect();
    let records = filled.fleet.size as f64;
    let total: f64 = sizes.iter().map(|(_, bytes)| bytes / records).sum();
    println!("bytes a record: {total:.0} in all, {:.1} GB", total * records / 1e9);
    for (place, bytes) in sizes.iter().map(|(place, bytes)| (place, bytes / records)) {
        if bytes >= 1.0 {
            println!("  {bytes:>6.0}  {:>4.1} %  {place}", bytes / total * 100.0);
        }
    }
    let (sent, stored) = plain_row(filled).await;
    println!("  its plain row: {sent:.0} as COPY sends it, ratio {:.2} (goal 1.6 at most);", total / sent);
    println!("  {stored:.0} as the table stores it, steps compressed, ratio {:.2}", total / stored);
}

/// The bytes of a row as binary COPY sends it, and as the table has it, without what pages add.
async fn plain_row(filled: &Filled) -> (f64, f64) {
    let copy = format!("COPY (SELECT * FROM {SAMPLE} REPEATABLE (1)) TO STDOUT (FORMAT binary)");
    let size = format!(
        "SELECT count(*), avg(pg_column_size(workflow_execution_audit.*)) FROM {SAMPLE} REPEATABLE (1)"
    );
    let url = filled.server.url(&filled.name);
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    let parts = client.copy_out(&copy).await.expect("a copy");
    let sent: usize = parts.try_fold(0, async |sum, part| Ok(sum + part.len())).await.expect("all rows");
    let size = &filled.server.rows(&filled.name, &size).expect("the rows")[0];
    let rows: f64 = size[0].parse().expect("a count");
    (sent as f64 / rows, size[1].parse().expect("an average"))
}
