//! Parquet: typed columns, lists of steps, adjustments and labels inside them, zstd.
//!
//! Rows are taken apart into columns here (repetition and definition levels as in Dremel and in Parquet's
//! documentation, "Nested Encoding"), so that nothing of Arrow is needed.

mod column;
mod schema;

use std::{io, sync::Arc};

use parquet::{
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::{
        metadata::KeyValue,
        properties::{WriterProperties, WriterVersion},
        writer::SerializedFileWriter,
    },
    schema::types::Type,
};

use super::{Encoder, Line};
use schema::Columns;

/// Rows of a row group, at most.
const ROWS: usize = 50_000;
/// Bytes of values of a row group, about, at most: a row has 2 MiB at most.
const BYTES: usize = 16 << 20;

pub(super) struct Parquet {
    writer: SerializedFileWriter<Vec<u8>>,
    columns: Columns,
    rows: usize,
}

impl Parquet {
    /// Begins a file, which says in its metadata which export it is.
    pub(super) fn new(export: &str) -> io::Result<Self> {
        let columns = Columns::new();
        let schema: Arc<Type> = Arc::new(columns.schema().map_err(failed)?);
        let is_of = KeyValue::new("dualaudit.export".to_owned(), export.to_owned());
        let properties = WriterProperties::builder()
            .set_writer_version(WriterVersion::PARQUET_1_0)
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(concat!("dualaudit ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_key_value_metadata(Some(vec![is_of]))
            .build();
        let writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).map_err(failed)?;
        Ok(Self { writer, columns, rows: 0 })
    }

    /// Writes the rows that are kept as a row group.
    fn flush(&mut self) -> Result<(), ParquetError> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for column in self.columns.all() {
            let mut writer = group.next_column()?.ok_or_else(|| {
                ParquetError::General("the schema has fewer columns than were filled".to_owned())
            })?;
            column.write(&mut writer)?;
            writer.close()?;
        }
        group.close()?;
        self.rows = 0;
        self.writer.flush().map_err(Into::into)
    }

    fn drain(&mut self, out: &mut Vec<u8>) {
        out.append(self.writer.inner_mut());
    }
}

impl Encoder for Parquet {
    fn line(&mut self, line: &Line<'_>, out: &mut Vec<u8>) -> io::Result<()> {
        let Some(execution) = line.execution else { return Ok(()) };
        self.columns.push(line.log, line.stored.index, execution);
        self.rows += 1;
        if self.rows >= ROWS || self.columns.bytes() >= BYTES {
            self.flush().map_err(failed)?;
            self.drain(out);
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.flush().map_err(failed)?;
        self.writer.finish().map_err(failed)?;
        self.drain(out);
        Ok(())
    }
}

fn failed(error: ParquetError) -> io::Error {
    io::Error::other(error)
}
