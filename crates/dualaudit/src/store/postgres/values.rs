//! Values as PostgreSQL sends and takes them: those of rows, and those that a driver has no type for.

use std::error::Error as StdError;

use bytes::{BufMut, BytesMut};
use dualaudit_record::Time;
use tokio_postgres::{
    Row,
    types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked},
};

use super::error::{Error, Result};
use crate::store::rows::Cells;

/// 2000-01-01T00:00:00Z, from which PostgreSQL counts, in microseconds since 1970.
const EPOCH: i64 = 946_684_800_000_000;

/// A time, or what is stored where one should be: microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Micros(pub(super) i64);

impl Micros {
    /// As PostgreSQL counts.
    pub(super) fn since_2000(self) -> i64 {
        self.0.saturating_sub(EPOCH)
    }
}

impl From<Time> for Micros {
    fn from(time: Time) -> Self {
        Self(time.as_micros())
    }
}

impl<'a> FromSql<'a> for Micros {
    fn from_sql(_: &Type, raw: &'a [u8]) -> std::result::Result<Self, Box<dyn StdError + Sync + Send>> {
        // The ends of the range stand for infinity, which is no time either way.
        Ok(Self(i64::from_be_bytes(raw.try_into()?).saturating_add(EPOCH)))
    }

    accepts!(TIMESTAMPTZ);
}

impl ToSql for Micros {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn StdError + Sync + Send>> {
        out.put_i64(self.since_2000());
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

/// The text of a jsonb value.
struct JsonText<'a>(&'a str);

impl<'a> FromSql<'a> for JsonText<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> std::result::Result<Self, Box<dyn StdError + Sync + Send>> {
        match raw.split_first() {
            Some((&JSONB_VERSION, text)) => Ok(Self(std::str::from_utf8(text)?)),
            _ => Err("unknown version of jsonb".into()),
        }
    }

    accepts!(JSONB);
}

/// What a jsonb value begins with on the wire.
pub(super) const JSONB_VERSION: u8 = 1;

/// The row's value, or which column cannot be read and why.
fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<T> {
    row.try_get(column).map_err(|error| {
        let why = StdError::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        row.unreadable(column, &why)
    })
}

impl Cells for Row {
    type Error = Error;

    fn is_null(&self, column: usize) -> Result<bool> {
        /// Any value at all.
        struct Something;
        impl FromSql<'_> for Something {
            fn from_sql(_: &Type, _: &[u8]) -> std::result::Result<Self, Box<dyn StdError + Sync + Send>> {
                Ok(Self)
            }
            fn accepts(_: &Type) -> bool {
                true
            }
        }
        Ok(get::<Option<Something>>(self, column)?.is_none())
    }

    fn text(&self, column: usize) -> Result<&str> {
        get(self, column)
    }

    fn integer(&self, column: usize) -> Result<i64> {
        match *self.columns()[column].type_() {
            Type::INT2 => get::<i16>(self, column).map(i64::from),
            Type::INT4 => get::<i32>(self, column).map(i64::from),
            _ => get(self, column),
        }
    }

    fn real(&self, column: usize) -> Result<f64> {
        get(self, column)
    }

    fn blob(&self, column: usize) -> Result<&[u8]> {
        get(self, column)
    }

    fn micros(&self, column: usize) -> Result<i64> {
        get::<Micros>(self, column).map(|micros| micros.0)
    }

    fn json_text(&self, column: usize) -> Result<&str> {
        get::<JsonText<'_>>(self, column).map(|json| json.0)
    }

    fn unreadable(&self, column: usize, why: &str) -> Error {
        let name = self.columns().get(column).map_or("?", |column| column.name());
        Error::damaged(format!("column {name} cannot be read: {why}"))
    }
}

/// A number as PostgreSQL can compare it: its own end at eight bytes with a sign.
pub(super) fn at_most(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A count or number of which the record's limits say that it is below 2^31.
pub(super) fn small(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_the_same_after_its_way_to_the_server_and_back() {
        for micros in [-62_135_596_800_000_000, -1, 0, EPOCH, 253_402_300_799_999_999] {
            let mut wire = BytesMut::new();
            Micros(micros).to_sql(&Type::TIMESTAMPTZ, &mut wire).unwrap();
            assert_eq!(Micros::from_sql(&Type::TIMESTAMPTZ, &wire).unwrap(), Micros(micros));
        }
        let infinity = Micros::from_sql(&Type::TIMESTAMPTZ, &i64::MAX.to_be_bytes()).unwrap();
        assert_eq!(Time::from_micros(infinity.0), None);
    }
}
