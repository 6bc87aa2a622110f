//! The values of one column of a row group, with the levels that say where in their rows they stand.

use parquet::{
    basic::{ConvertedType, LogicalType, Repetition, TimeUnit, Type as Physical},
    data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type},
    errors::ParquetError,
    file::writer::SerializedColumnWriter,
    schema::types::Type,
};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// A count: INT32.
    Count,
    /// A place in a log, or nanoseconds: INT64.
    Long,
    /// Microseconds since 1970, in UTC: TIMESTAMP(MICROS).
    Time,
    /// DOUBLE.
    Real,
    /// UTF-8.
    Text,
}

/// One value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cell<'a> {
    Count(u32),
    Long(u64),
    Micros(i64),
    Real(f64),
    Text(&'a str),
    Nothing,
}

impl<'a> From<Option<&'a str>> for Cell<'a> {
    fn from(text: Option<&'a str>) -> Self {
        text.map_or(Cell::Nothing, Cell::Text)
    }
}

enum Values {
    Counts(Vec<i32>),
    Longs(Vec<i64>),
    Reals(Vec<f64>),
    Texts(Vec<ByteArray>),
}

/// Filled row by row.
pub(super) struct Column {
    values: Values,
    /// Definition level of a value that is there; a level less where an optional one is not.
    full: i16,
    is_listed: bool,
    definitions: Vec<i16>,
    repetitions: Vec<i16>,
    bytes: usize,
}

impl Column {
    /// Of a value, or of the elements of a list.
    pub(super) fn new(of: Of, is_optional: bool, is_listed: bool) -> Self {
        let values = match of {
            Of::Count => Values::Counts(Vec::new()),
            Of::Long | Of::Time => Values::Longs(Vec::new()),
            Of::Real => Values::Reals(Vec::new()),
            Of::Text => Values::Texts(Vec::new()),
        };
        Self {
            values,
            full: i16::from(is_optional) + i16::from(is_listed),
            is_listed,
            definitions: Vec::new(),
            repetitions: Vec::new(),
            bytes: 0,
        }
    }

    /// Takes the next value: of a row, or the element of a row's list at `place`.
    pub(super) fn push(&mut self, cell: Cell<'_>, place: usize) {
        let is_there = match (&mut self.values, cell) {
            (_, Cell::Nothing) => false,
            // Counts are below 2^31, and so are longs below 2^63.
            (Values::Counts(values), Cell::Count(value)) => {
                values.push(i32::try_from(value).unwrap_or(i32::MAX));
                true
            }
            (Values::Longs(values), Cell::Long(value)) => {
                values.push(i64::try_from(value).unwrap_or(i64::MAX));
                true
            }
            (Values::Longs(values), Cell::Micros(value)) => {
                values.push(value);
                true
            }
            (Values::Reals(values), Cell::Real(value)) => {
                values.push(value);
                true
            }
            (Values::Texts(values), Cell::Text(value)) => {
                values.push(value.as_bytes().to_vec().into());
                self.bytes += value.len();
                true
            }
            (_, cell) => unreachable!("{cell:?} is put into a column of another type"),
        };
        self.bytes += 12;
        self.level(if is_there { self.full } else { self.full - 1 }, i16::from(place > 0));
    }

    /// Takes the list of a row that has no elements.
    pub(super) fn push_empty(&mut self) {
        self.level(0, 0);
    }

    fn level(&mut self, definition: i16, repetition: i16) {
        if self.full > 0 {
            self.definitions.push(definition);
        }
        if self.is_listed {
            self.repetitions.push(repetition);
        }
    }

    /// How many bytes it takes, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Writes it, and is empty.
    pub(super) fn write(&mut self, writer: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        let definitions = (self.full > 0).then_some(self.definitions.as_slice());
        let repetitions = self.is_listed.then_some(self.repetitions.as_slice());
        match &mut self.values {
            Values::Counts(values) => {
                writer.typed::<Int32Type>().write_batch(values, definitions, repetitions)?;
                values.clear();
            }
            Values::Longs(values) => {
                writer.typed::<Int64Type>().write_batch(values, definitions, repetitions)?;
                values.clear();
            }
            Values::Reals(values) => {
                writer.typed::<DoubleType>().write_batch(values, definitions, repetitions)?;
                values.clear();
            }
            Values::Texts(values) => {
                writer.typed::<ByteArrayType>().write_batch(values, definitions, repetitions)?;
                values.clear();
            }
        }
        self.definitions.clear();
        self.repetitions.clear();
        self.bytes = 0;
        Ok(())
    }
}

/// The type of a column.
pub(super) fn primitive(name: &str, of: Of, is_optional: bool) -> Result<Type, ParquetError> {
    let (physical, logical, converted) = match of {
        Of::Count => (Physical::INT32, None, ConvertedType::NONE),
        Of::Long => (Physical::INT64, None, ConvertedType::NONE),
        Of::Real => (Physical::DOUBLE, None, ConvertedType::NONE),
        Of::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String), ConvertedType::UTF8),
        Of::Time => {
            let micros = LogicalType::timestamp(true, TimeUnit::MICROS);
            (Physical::INT64, Some(micros), ConvertedType::TIMESTAMP_MICROS)
        }
    };
    Type::primitive_type_builder(name, physical)
        .with_repetition(if is_optional { Repetition::OPTIONAL } else { Repetition::REQUIRED })
        .with_logical_type(logical)
        .with_converted_type(converted)
        .build()
}
