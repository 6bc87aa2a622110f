//! Lists as they are written: a page at a time, in the form asked for.

use std::{
    io::{IsTerminal as _, Write},
    process::ExitCode,
};

use serde::Serialize;

use super::{
    output::{self, Columns, Out, shown},
    wrong_usage,
};
use crate::{export::guarded, parameter::BadParameter, query::MAX_LIMIT};

/// How much of a list is written, from where on, and in which form.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct PageArgs {
    /// How many to list.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// List all there are.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Go on where an earlier list with the same filters ended.
    #[arg(long)]
    pub(super) cursor: Option<String>,
    /// In which form.
    #[arg(short, long, value_enum, default_value_t)]
    pub(super) output: ListForm,
}

impl PageArgs {
    /// Writes the pages asked for, one at a time; returns where a further list would begin. `fetch` is given what the
    /// API is asked for beside the filters.
    pub(super) async fn write<T: Serialize, W: Write>(
        &self,
        mut printer: Printer<T>,
        out: &mut Out<W>,
        fetch: impl AsyncFn(Vec<(String, String)>) -> anyhow::Result<(Vec<T>, Option<String>)>,
    ) -> anyhow::Result<Option<String>> {
        let mut left = if self.all { u64::MAX } else { self.limit };
        let mut next = self.cursor.clone();
        loop {
            let mut pairs = vec![("limit".to_owned(), left.min(u64::from(MAX_LIMIT)).to_string())];
            pairs.extend(next.take().map(|cursor| ("cursor".to_owned(), cursor)));
            let (items, cursor) = fetch(pairs).await?;
            left = left.saturating_sub(items.len() as u64);
            next = cursor;
            printer.page(out, &items)?;
            if next.is_none() || left == 0 || out.get_ref().is_closed() {
                break;
            }
        }
        printer.end(out, next.as_deref())?;
        out.flush()?;
        Ok(next.filter(|_| self.output == ListForm::Table))
    }
}

/// Says how a list that was written goes on, or what was asked wrongly.
pub(super) fn ended(written: anyhow::Result<Option<String>>) -> anyhow::Result<ExitCode> {
    match written {
        Ok(next) => {
            if let Some(cursor) = next {
                eprintln!("There are more; go on with --cursor {cursor}, or list --all.");
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => match error.downcast_ref::<BadParameter>() {
            Some(bad) => Ok(asked_wrongly(bad)),
            None => Err(error),
        },
    }
}

/// Says which flag cannot be used.
pub(super) fn asked_wrongly(bad: &BadParameter) -> ExitCode {
    let BadParameter { parameter, value, rule } = bad;
    let value = value.as_ref().map(|value| format!(" {value:?}")).unwrap_or_default();
    wrong_usage(&format!("--{}{value}: {rule}", parameter.replace('_', "-")))
}

/// The forms of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ListForm {
    /// For people.
    #[default]
    Table,
    /// As the API answers.
    Json,
    /// The same as YAML.
    Yaml,
    /// One line an item, with a header.
    Csv,
}

/// The columns of items: their names, and what stands in them.
pub(super) type Cells<T> = &'static [(&'static str, fn(&T) -> String)];

/// How the items of a list look where they are not written whole.
pub(super) struct Shape<T: 'static> {
    /// For people.
    pub(super) table: Cells<T>,
    /// For programs.
    pub(super) csv: Cells<T>,
    /// What people are told where there is nothing.
    pub(super) nothing: &'static str,
}

/// The names of columns.
fn names<T>(cells: Cells<T>) -> Vec<&'static str> {
    cells.iter().map(|(name, _)| *name).collect()
}

/// What stands in the columns of an item.
fn cells<T>(cells: Cells<T>, item: &T) -> Vec<String> {
    cells.iter().map(|(_, of)| of(item)).collect()
}

/// Writes pages as they come, so that a list of any length takes the memory of one page.
pub(super) struct Printer<T: 'static> {
    form: ListForm,
    shape: &'static Shape<T>,
    on_terminal: bool,
    columns: Columns,
    /// Nothing was written yet.
    fresh: bool,
}

impl<T: Serialize> Printer<T> {
    /// To stdout.
    pub(super) fn new(form: ListForm, shape: &'static Shape<T>) -> Self {
        Self::on(form, shape, std::io::stdout().is_terminal())
    }

    /// To a terminal, or something else.
    pub(super) fn on(form: ListForm, shape: &'static Shape<T>, on_terminal: bool) -> Self {
        Self { form, shape, on_terminal, columns: Columns::default(), fresh: true }
    }

    /// The next items.
    pub(super) fn page(&mut self, out: &mut impl Write, items: &[T]) -> anyhow::Result<()> {
        if items.is_empty() {
            return Ok(());
        }
        let first = std::mem::take(&mut self.fresh);
        match self.form {
            ListForm::Table => {
                let rows: Vec<_> = items.iter().map(|item| cells(self.shape.table, item)).collect();
                let header = first.then(|| names(self.shape.table));
                out.write_all(self.columns.lay_out(header.as_deref(), &rows).as_bytes())?;
            }
            ListForm::Json => {
                for (position, item) in items.iter().enumerate() {
                    let before: &[u8] = if first && position == 0 { b"{\"items\":[\n" } else { b",\n" };
                    out.write_all(before)?;
                    out.write_all(output::safe_json(&serde_json::to_string(item)?).as_bytes())?;
                }
            }
            ListForm::Yaml => {
                if first {
                    out.write_all(b"items:\n")?;
                }
                out.write_all(output::yaml_items(items)?.as_bytes())?;
            }
            ListForm::Csv => {
                let mut csv = csv::Writer::from_writer(out);
                if first {
                    csv.write_record(names(self.shape.csv))?;
                }
                for item in items {
                    let record = cells(self.shape.csv, item);
                    // A file or a pipe gets every text as it is, but for what a spreadsheet would run.
                    let record: Vec<String> = record.iter().map(|text| guarded(text).into_owned()).collect();
                    csv.write_record(if self.on_terminal {
                        record.iter().map(|text| shown(text)).collect()
                    } else {
                        record
                    })?;
                }
                csv.flush()?;
            }
        }
        Ok(())
    }

    /// The end of the list, or where a further one would begin.
    pub(super) fn end(&self, out: &mut impl Write, next: Option<&str>) -> anyhow::Result<()> {
        match self.form {
            ListForm::Table if self.fresh => eprintln!("{}", self.shape.nothing),
            ListForm::Table => {}
            ListForm::Json => {
                let before = if self.fresh { "{\"items\":[" } else { "\n" };
                writeln!(out, "{before}],\"next_cursor\":{}}}", serde_json::to_string(&next)?)?;
            }
            ListForm::Yaml => {
                let before = if self.fresh { "items: []\n" } else { "" };
                // A cursor is base64url: it needs no quotes, and is never read as something else.
                writeln!(out, "{before}next_cursor: {}", next.unwrap_or("null"))?;
            }
            ListForm::Csv if self.fresh => {
                let mut csv = csv::Writer::from_writer(out);
                csv.write_record(names(self.shape.csv))?;
                csv.flush()?;
            }
            ListForm::Csv => {}
        }
        Ok(())
    }
}
