//! Answers as they are written: whole, as a table with words around it, or its items as CSV.

use std::io::{IsTerminal as _, Write};

use serde::Serialize;

use super::{
    output::{self, Form},
    pages::csv_rows,
};

/// The forms of an answer that has items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum AnswerForm {
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

/// How the items of an answer look where they are not written whole.
pub(super) struct Shape<T: 'static> {
    /// For people.
    pub(super) table: Cells<T>,
    /// For programs.
    pub(super) csv: Cells<T>,
    /// What people are told where there is nothing.
    pub(super) nothing: &'static str,
}

impl<T> Shape<T> {
    /// The items in columns, for people: the names of the columns, and the rows.
    pub(super) fn rows(&self, items: &[T]) -> (Vec<&'static str>, Vec<Vec<String>>) {
        (names(self.table), items.iter().map(|item| cells(self.table, item)).collect())
    }
}

fn names<T>(cells: Cells<T>) -> Vec<&'static str> {
    cells.iter().map(|(name, _)| *name).collect()
}

fn cells<T>(cells: Cells<T>, item: &T) -> Vec<String> {
    cells.iter().map(|(_, of)| of(item)).collect()
}

/// Writes an answer in the form asked for; `page` writes it for people.
///
/// # Errors
/// When it cannot be written.
pub(super) fn write<A: Serialize, T>(
    out: &mut impl Write,
    form: AnswerForm,
    answer: &A,
    items: &[T],
    shape: &Shape<T>,
    page: impl FnOnce() -> String,
) -> anyhow::Result<()> {
    let form = match form {
        AnswerForm::Table => Form::Table,
        AnswerForm::Json => Form::Json,
        AnswerForm::Yaml => Form::Yaml,
        AnswerForm::Csv => {
            let header = names(shape.csv).into_iter().map(str::to_owned).collect();
            let rows = items.iter().map(|item| cells(shape.csv, item));
            csv_rows(out, std::iter::once(header).chain(rows), std::io::stdout().is_terminal())?;
            return Ok(out.flush()?);
        }
    };
    output::document(out, form, answer, page)
}
