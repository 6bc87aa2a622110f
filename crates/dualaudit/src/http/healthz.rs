//! `GET /healthz`: the process is alive. Says nothing about the database.

pub(super) async fn healthz() -> &'static str {
    "ok\n"
}
