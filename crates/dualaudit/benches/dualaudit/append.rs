pub(crate) async fn appends_beside_raw_inserts() {}
