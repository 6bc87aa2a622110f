//! Rows in the binary form that COPY and parameters share: fields, each its length and its bytes.
//!
//! See "COPY", "Binary Format", in PostgreSQL's manual.

use std::error::Error as StdError;

use bytes::{BufMut, Bytes, BytesMut};
use dualaudit_record::Time;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::values::{JSONB_VERSION, Micros};

/// Takes the fields of a row, one after the other.
pub(super) trait Fields {
    /// The next field: `prefix` and `bytes` together, or NULL.
    fn put(&mut self, prefix: &[u8], bytes: Option<&[u8]>);

    /// bytea.
    fn bytes(&mut self, bytes: &[u8]) {
        self.put(&[], Some(bytes));
    }

    /// NULL.
    fn null(&mut self) {
        self.put(&[], None);
    }

    /// text.
    fn text(&mut self, text: &str) {
        self.put(&[], Some(text.as_bytes()));
    }

    /// text or NULL.
    fn optional_text(&mut self, text: Option<&str>) {
        self.put(&[], text.map(str::as_bytes));
    }

    /// jsonb.
    fn json(&mut self, text: &str) {
        self.put(&[JSONB_VERSION], Some(text.as_bytes()));
    }

    /// integer.
    fn int4(&mut self, number: u32) {
        self.bytes(&number.to_be_bytes());
    }

    /// integer or NULL.
    fn optional_int4(&mut self, number: Option<u32>) {
        match number {
            Some(number) => self.int4(number),
            None => self.null(),
        }
    }

    /// bigint or NULL.
    fn optional_int8(&mut self, number: Option<u64>) {
        match number {
            Some(number) => self.int8(number),
            None => self.null(),
        }
    }

    /// bigint.
    fn int8(&mut self, number: u64) {
        self.bytes(&number.to_be_bytes());
    }

    /// double precision.
    fn float8(&mut self, number: f64) {
        self.bytes(&number.to_be_bytes());
    }

    /// timestamptz.
    fn time(&mut self, time: Time) {
        self.bytes(&Micros::from(time).since_2000().to_be_bytes());
    }

    /// timestamptz or NULL.
    fn optional_time(&mut self, time: Option<Time>) {
        match time {
            Some(time) => self.time(time),
            None => self.null(),
        }
    }
}

/// Rows on their way into a table by COPY.
pub(super) struct CopyRows {
    rows: BytesMut,
    columns: i16,
}

/// What the data of a COPY begins with: its signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

impl CopyRows {
    /// No rows yet, of that many columns.
    pub(super) fn of(columns: i16) -> Self {
        Self { rows: BytesMut::new(), columns }
    }

    /// Begins a row: its fields follow.
    pub(super) fn row(&mut self) -> &mut Self {
        if self.rows.is_empty() {
            self.rows.put_slice(HEADER);
        }
        self.rows.put_i16(self.columns);
        self
    }

    /// What to send, if there is any row.
    pub(super) fn finish(mut self) -> Option<Bytes> {
        if self.rows.is_empty() {
            return None;
        }
        self.rows.put_i16(-1);
        Some(self.rows.freeze())
    }
}

impl Fields for CopyRows {
    fn put(&mut self, prefix: &[u8], bytes: Option<&[u8]>) {
        let Some(bytes) = bytes else { return self.rows.put_i32(-1) };
        // Nothing that is stored is nearly that long; the server refuses what is.
        self.rows.put_i32(i32::try_from(prefix.len() + bytes.len()).unwrap_or(i32::MAX));
        self.rows.put_slice(prefix);
        self.rows.put_slice(bytes);
    }
}

/// A field as a parameter of whatever type.
#[derive(Debug)]
pub(super) struct Field(Option<Bytes>);

impl ToSql for Field {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn StdError + Sync + Send>> {
        let Some(bytes) = &self.0 else { return Ok(IsNull::Yes) };
        out.put_slice(bytes);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl Fields for Vec<Field> {
    fn put(&mut self, prefix: &[u8], bytes: Option<&[u8]>) {
        self.push(Field(bytes.map(|bytes| [prefix, bytes].concat().into())));
    }
}
