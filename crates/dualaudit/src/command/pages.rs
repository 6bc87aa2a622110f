//! Lists as they are written: a page at a time, in the form asked for.

use std::{borrow::Cow, io::Write, process::ExitCode};

use dualaudit_record::Time;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    columns::{Cell, Column, Look, Shape, styled},
    output::{self, Columns, Out, shown},
    wrong_usage,
};
use crate::{export::guarded, parameter::BadParameter, query::MAX_LIMIT};

/// How many are listed where nobody says.
const PAGE: u64 = 100;

/// How much of a list is written, from where on, and in which form.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct PageArgs {
    /// How many to list.
    #[arg(long, default_value_t = PAGE, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
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
    /// These columns, in this order, of table, wide or csv; a name that is none is answered by those there are.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    columns: Vec<String>,
    /// Leave the line of headers out.
    #[arg(long)]
    no_headers: bool,
}

impl Default for PageArgs {
    /// As where nothing is said of it.
    fn default() -> Self {
        let (limit, all, cursor, output) = (PAGE, false, None, ListForm::default());
        Self { limit, all, cursor, output, columns: Vec::new(), no_headers: false }
    }
}

impl PageArgs {
    /// How many are listed, at most.
    pub(super) fn most(&self) -> usize {
        if self.all { usize::MAX } else { usize::try_from(self.limit).unwrap_or(usize::MAX) }
    }

    /// What the API is asked for the first page.
    pub(super) fn first(&self) -> (String, String) {
        ("limit".to_owned(), self.limit.min(u64::from(MAX_LIMIT)).to_string())
    }

    /// What writes a list of this shape.
    ///
    /// # Errors
    /// Columns that there are not, or that the form does not have.
    pub(super) fn printer<T: Serialize>(
        &self,
        shape: &'static Shape<T>,
        look: Look,
    ) -> Result<Printer<T>, BadParameter> {
        let form = self.output;
        let asked_for = self.columns.iter().map(String::as_str);
        let columns = match form {
            ListForm::Json | ListForm::Yaml | ListForm::Name if !self.columns.is_empty() => {
                let rule = "is for table, wide and csv: the other forms have no columns";
                return Err(BadParameter::new("columns", &self.columns.join(","), rule));
            }
            ListForm::Json | ListForm::Yaml | ListForm::Name => Vec::new(),
            _ if !self.columns.is_empty() => shape.named(asked_for)?,
            ListForm::Table => shape.named(shape.table.iter().copied())?,
            ListForm::Wide => shape.named(shape.table.iter().chain(shape.wide).copied())?,
            ListForm::Csv => shape.named(shape.csv.iter().copied())?,
        };
        Ok(Printer {
            form,
            shape,
            columns,
            headers: !self.no_headers,
            look,
            widths: Columns::default(),
            fresh: true,
            beside: Map::new(),
        })
    }

    /// Writes the pages asked for, one at a time; returns where a further list would begin. `fetch` is given what the
    /// API is asked for beside the filters.
    pub(super) async fn write<T: Serialize, W: Write>(
        &self,
        mut printer: Printer<T>,
        out: &mut Out<W>,
        fetch: impl AsyncFn(Vec<(String, String)>) -> anyhow::Result<Fetched<T>>,
    ) -> anyhow::Result<Option<String>> {
        let mut left = if self.all { u64::MAX } else { self.limit };
        let mut next = self.cursor.clone();
        loop {
            let mut pairs = vec![("limit".to_owned(), left.min(u64::from(MAX_LIMIT)).to_string())];
            pairs.extend(next.take().map(|cursor| ("cursor".to_owned(), cursor)));
            let Fetched { items, next_cursor, beside } = fetch(pairs).await?;
            left = left.saturating_sub(items.len() as u64);
            next = next_cursor;
            printer.beside = beside;
            printer.page(out, &items)?;
            if next.is_none() || left == 0 || out.get_ref().is_closed() {
                break;
            }
        }
        printer.end(out, next.as_deref())?;
        out.flush()?;
        Ok(next.filter(|_| self.output.is_for_people()))
    }
}

/// A page of a list.
pub(super) struct Fetched<T> {
    pub(super) items: Vec<T>,
    pub(super) next_cursor: Option<String>,
    /// What is said of the list as a whole, by this page and those before it.
    pub(super) beside: Map<String, Value>,
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
    /// For people with wide windows.
    Wide,
    /// As the API answers.
    Json,
    /// The same as YAML.
    Yaml,
    /// One line an item, with a header.
    Csv,
    /// One line an item: that by which it is found again.
    Name,
}

impl ListForm {
    fn is_for_people(self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }
}

/// Writes pages as they come, so that a list of any length takes the memory of one page.
pub(super) struct Printer<T: 'static> {
    form: ListForm,
    shape: &'static Shape<T>,
    columns: Vec<&'static Column<T>>,
    headers: bool,
    look: Look,
    widths: Columns,
    /// Nothing was written yet.
    fresh: bool,
    /// What is said of the list as a whole.
    beside: Map<String, Value>,
}

impl<T: Serialize> Printer<T> {
    /// What is written from now on is read at this time.
    pub(super) fn read_at(&mut self, now: Time) {
        self.look.now = now;
    }

    /// The next items.
    pub(super) fn page(&mut self, out: &mut impl Write, items: &[T]) -> anyhow::Result<()> {
        if items.is_empty() {
            return Ok(());
        }
        let first = std::mem::take(&mut self.fresh);
        let cells = |item: &T| self.columns.iter().map(|column| (column.of)(item)).collect::<Vec<Cell>>();
        match self.form {
            ListForm::Table | ListForm::Wide => {
                let headers: Vec<_> = self.columns.iter().map(|column| column.header).collect();
                let headers = (first && self.headers).then_some(headers.as_slice());
                let rows = items.iter().map(|item| styled(cells(item), self.look));
                let page = self.widths.lay_out_cells(headers, rows, self.look.in_colour);
                out.write_all(page.as_bytes())?;
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
                if first {
                    self.csv_header(out)?;
                }
                let data = |item| cells(item).into_iter().map(Cell::data).collect::<Vec<String>>();
                csv_rows(out, items.iter().map(data), self.look.on_terminal)?;
            }
            ListForm::Name => {
                for item in items {
                    let name = (self.shape.name)(item);
                    writeln!(out, "{}", if self.look.on_terminal { shown(&name) } else { name })?;
                }
            }
        }
        Ok(())
    }

    fn csv_header(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let header = self.columns.iter().map(|column| column.name.to_owned()).collect();
        csv_rows(out, self.headers.then_some(header).into_iter(), false)
    }

    /// The end of the list, or where a further one would begin.
    pub(super) fn end(&self, out: &mut impl Write, next: Option<&str>) -> anyhow::Result<()> {
        match self.form {
            ListForm::Table | ListForm::Wide if self.fresh => eprintln!("{}", self.shape.nothing),
            ListForm::Json => {
                let before = if self.fresh { "{\"items\":[" } else { "\n" };
                write!(out, "{before}],\"next_cursor\":{}", serde_json::to_string(&next)?)?;
                for (name, what) in &self.beside {
                    write!(out, ",\"{name}\":{}", output::safe_json(&what.to_string()))?;
                }
                writeln!(out, "}}")?;
            }
            ListForm::Yaml => {
                let before = if self.fresh { "items: []\n" } else { "" };
                // A cursor is base64url: it needs no quotes, and is never read as something else.
                writeln!(out, "{before}next_cursor: {}", next.unwrap_or("null"))?;
                for (name, what) in &self.beside {
                    // JSON is YAML.
                    writeln!(out, "{name}: {}", output::safe_json(&what.to_string()))?;
                }
            }
            ListForm::Csv if self.fresh => self.csv_header(out)?,
            ListForm::Table | ListForm::Wide | ListForm::Csv | ListForm::Name => {}
        }
        Ok(())
    }
}

/// Lines of CSV. A file or a pipe gets every text as it is, but for what a spreadsheet would run.
pub(super) fn csv_rows(
    out: &mut impl Write,
    rows: impl Iterator<Item = Vec<String>>,
    on_terminal: bool,
) -> anyhow::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    for row in rows {
        let row = row.iter().map(|text| in_csv(text));
        if on_terminal {
            csv.write_record(row.map(|text| shown(&text)))?;
        } else {
            csv.write_record(row.map(Cow::into_owned))?;
        }
    }
    Ok(csv.flush()?)
}

/// A number below 0 is no formula, and programs read it.
fn in_csv(text: &str) -> Cow<'_, str> {
    if text.parse().is_ok_and(f64::is_finite) { Cow::Borrowed(text) } else { guarded(text) }
}

/// How a list is written by these arguments, for the tests of what is listed.
#[cfg(test)]
pub(super) struct Paged(PageArgs);

#[cfg(test)]
impl Paged {
    pub(super) fn of(line: &str) -> Self {
        use clap::{Args as _, FromArgMatches as _};
        let command = PageArgs::augment_args(clap::Command::new("list"));
        let words = std::iter::once("list").chain(line.split_whitespace());
        Self(PageArgs::from_arg_matches(&command.try_get_matches_from(words).unwrap()).unwrap())
    }

    pub(super) fn written<T: Serialize>(self, shape: &'static Shape<T>, look: Look, items: &[T]) -> String {
        let mut printer = self.0.printer(shape, look).unwrap();
        let mut out = Vec::new();
        printer.page(&mut out, items).unwrap();
        printer.end(&mut out, None).unwrap();
        String::from_utf8(out).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_numbers_in_csv_and_formulas_become_texts() {
        let row = ["-0.111999", "-2", "2.715e-1", "=1+1", "-1+1", "-inf", "@x"].map(str::to_owned);
        let mut out = Vec::new();
        csv_rows(&mut out, std::iter::once(row.into()), false).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "-0.111999,-2,2.715e-1,'=1+1,'-1+1,'-inf,'@x\n");
    }
}
