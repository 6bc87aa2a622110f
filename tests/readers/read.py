"""Reads a Parquet export by DuckDB and by pandas, and prints what each found as JSON."""

import json
import sys

import duckdb
import pandas

file = sys.argv[1]

duck = duckdb.connect()
duck.execute("SET TimeZone = 'UTC'")
duck.execute("CREATE VIEW e AS SELECT * FROM read_parquet(?)".replace("?", "'" + file.replace("'", "''") + "'"))


def one(sql):
    return duck.execute(sql).fetchone()[0]


by_duckdb = {
    "rows": one("SELECT count(*) FROM e"),
    "ids": one("SELECT list(id ORDER BY id) FROM e"),
    "types": {name: kind for name, kind, *_ in duck.execute("DESCRIBE e").fetchall()},
    "durations": str(one("SELECT sum(total_duration) FROM e")),
    "completed_at": str(one("SELECT min(completed_at)::VARCHAR FROM e")),
    "steps": [
        list(row)
        for row in duck.execute(
            "SELECT id, step.step_number, step.action, step.duration, step.status, step.name, step.started_at::VARCHAR "
            "FROM (SELECT id, unnest(step_executions) AS step FROM e) ORDER BY 1, 2"
        ).fetchall()
    ],
    "changes": [
        list(row)
        for row in duck.execute(
            'SELECT id, change.adjustment_type, change."from", change."to" '
            "FROM (SELECT id, unnest(adaptive_adjustments) AS change FROM e) ORDER BY 1"
        ).fetchall()
    ],
    "teams": one("SELECT list(labels['team'] ORDER BY id) FROM e"),
    "without_steps": one("SELECT count(*) FROM e WHERE len(step_executions) = 0"),
    "namespaces": one("SELECT list(namespace ORDER BY id) FROM e"),
}

frame = pandas.read_parquet(file).sort_values("id")
by_pandas = {
    "rows": len(frame),
    "ids": list(frame["id"]),
    "types": {name: str(kind) for name, kind in frame.dtypes.items()},
    "durations": str(frame["total_duration"].sum()),
    "completed_at": str(frame["completed_at"].min()),
    "steps": [
        [row.id, step["step_number"], step["action"], step["duration"], step["status"], step["name"]]
        for row in frame.itertuples()
        for step in row.step_executions
    ],
    "teams": [dict(labels).get("team") for labels in frame["labels"]],
}

print(json.dumps({"duckdb": by_duckdb, "pandas": by_pandas}, default=str))
