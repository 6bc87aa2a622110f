//! What calls have in common that say something: who says it and why, and the receipts that they answer.

use std::borrow::Cow;

use axum::http::StatusCode;
use dualaudit_record::entry::MAX_TEXT_BYTES;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, schema::Type},
};

use crate::ingest::{Receipt, ReceiptResult};

/// Texts that are not blank and without U+0000, in the dialect of JSON Schema.
const NOT_BLANK: &str = r"^[^\u0000]*[^\s\u0000][^\u0000]*$";

/// Who says so, where nobody is asked who they are.
#[derive(Deserialize)]
pub(super) struct Actor(pub(super) String);

impl Default for Actor {
    fn default() -> Self {
        Self("unverified".to_owned())
    }
}

/// Why.
#[derive(Deserialize)]
pub(super) struct Reason(pub(super) String);

macro_rules! text {
    ($type:ty, $name:literal, $description:literal) => {
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                let text = ObjectBuilder::new().schema_type(Type::String).description(Some($description));
                text.max_length(Some(MAX_TEXT_BYTES)).pattern(Some(NOT_BLANK)).into()
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                $name.into()
            }
        }
    };
}

text!(
    Actor,
    "Actor",
    "Who says so, as it goes into the log; not blank, 4,096 bytes at most. `unverified` where it is left away. Where callers \
     are asked who they are, it is the caller, and this counts for nothing."
);
text!(Reason, "Reason", "Why; not blank, 4,096 bytes at most. It goes into the log, and stays.");

/// 201 where something became an entry, and 200 where all was there.
pub(super) fn status<'a>(receipts: impl IntoIterator<Item = &'a Receipt>) -> StatusCode {
    let is_new = receipts.into_iter().any(|receipt| receipt.result != ReceiptResult::Duplicate);
    if is_new { StatusCode::CREATED } else { StatusCode::OK }
}

/// An example of a receipt of what was said of an execution, or of none.
pub(super) fn receipt(id: &str, index: u64, result: &str) -> Value {
    json!({
        "id": id, "log": "http", "index": index, "recorded_at": "2026-05-01T09:00:00.000000Z", "result": result,
        "leaf_hash": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    })
}
