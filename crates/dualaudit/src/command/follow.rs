//! `list --watch` and `get --follow`: what a server tells as it happens, a line a change.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
};

use dualaudit_record::{Time, execution::StepExecutionAudit};
use serde::Serialize;

use super::{
    columns::{Look, styled},
    get,
    output::{self, Columns, Form, Out, shown},
    pages::{ListForm, Printer},
};
use crate::{
    client::{Client, ClientError, Happening, Live},
    clock::{Clock as _, SystemClock},
    query::{Found, Page, Summary, Tier, Wanted},
};

/// Which execution a row is of: its log, id and attempt.
type Key = (String, String, u32);

fn key(row: &Summary) -> Key {
    (row.log.clone(), row.id.clone(), row.attempt)
}

/// Rows as they change, in the form of a list. What is live is remembered, so that a row that was shown and is told
/// again as it was, as after a reconnect, is not shown again.
pub(super) struct Rows<'a, W: Write> {
    printer: Printer<Summary>,
    form: ListForm,
    out: &'a mut Out<W>,
    live: BTreeMap<Key, Summary>,
    /// Those of them that the stream told since it began.
    told: BTreeSet<Key>,
}

impl<'a, W: Write> Rows<'a, W> {
    pub(super) fn new(printer: Printer<Summary>, form: ListForm, out: &'a mut Out<W>) -> Self {
        Self { printer, form, out, live: BTreeMap::new(), told: BTreeSet::new() }
    }

    /// Lists the first page, and then what happens, for as long as somebody reads. The stream is begun before the list
    /// is asked for, so that nothing falls between the two.
    ///
    /// # Errors
    /// What could not be reached or written, and why.
    pub(super) async fn follow(
        mut self,
        client: &Client,
        listed: &[(String, String)],
        followed: &[(String, String)],
    ) -> anyhow::Result<()> {
        let mut watch = client.watch(followed);
        watch.next().await?;
        let Page { items, warnings, next_cursor, .. } = client.list(listed).await?;
        warnings.iter().for_each(|warning| warn(&warning.detail));
        // What comes after the first page stays there: of that only changes are shown.
        let mut rest = items.last().filter(|_| next_cursor.is_some()).map(|row| row.created_at);
        // The newest is at the end, where what happens goes on.
        for row in items.into_iter().rev() {
            self.changed(row)?;
        }
        while !self.out.get_ref().is_closed() {
            match watch.next().await? {
                Happening::Live(live) => self.told(live.summary, rest)?,
                Happening::Recorded(row) => self.changed(*row)?,
                Happening::Gone(row) => {
                    self.live.remove(&key(&row));
                    self.show(&row)?;
                }
                Happening::Begun => self.told.clear(),
                Happening::Ready => {
                    rest = None;
                    self.show_untold(client).await?;
                }
                Happening::Warning(warning) => warn(&warning.detail),
                Happening::Reset => {
                    warn("too much happened while there was no answer: list again what was recorded")
                }
            }
        }
        Ok(())
    }

    /// Takes what the stream tells of one that is live.
    fn told(&mut self, row: Summary, rest: Option<Time>) -> anyhow::Result<()> {
        let key = key(&row);
        self.told.insert(key.clone());
        if rest.is_some_and(|rest| row.created_at < rest) && !self.live.contains_key(&key) {
            self.live.insert(key, row);
            return Ok(());
        }
        self.changed(row)
    }

    /// Shows what became of those that were live when the stream broke off, and are not told any more.
    async fn show_untold(&mut self, client: &Client) -> anyhow::Result<()> {
        let untold: Vec<_> = self.live.extract_if(.., |key, _| !self.told.contains(key)).collect();
        for ((log, id, attempt), row) in untold {
            let wanted = Wanted { id, log: Some(log.clone()), attempt: Some(attempt) };
            match client.get(&wanted).await {
                Ok(Found { live: Some(live), .. }) => self.changed(live.summary)?,
                Ok(Found { record: Some(record), .. }) => {
                    self.show(&Summary::recorded(&log, record, None))?
                }
                Ok(_) => self.show(&row.gone())?,
                Err(error) if is_unknown(&error) => self.show(&row.gone())?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn changed(&mut self, mut row: Summary) -> anyhow::Result<()> {
        // Known of what is recorded alone; it is in none of the columns.
        row.source_digest = None;
        let key = key(&row);
        if self.live.get(&key) == Some(&row) {
            return Ok(());
        }
        self.show(&row)?;
        if row.tiers.contains(&Tier::Live) {
            self.live.insert(key, row);
        } else {
            self.live.remove(&key);
        }
        Ok(())
    }

    fn show(&mut self, row: &Summary) -> anyhow::Result<()> {
        match self.form {
            ListForm::Json => json_line(self.out, row)?,
            ListForm::Yaml => write!(self.out, "---\n{}", output::yaml(row)?)?,
            _ => {
                self.printer.read_at(SystemClock.now());
                self.printer.page(self.out, std::slice::from_ref(row))?;
            }
        }
        Ok(self.out.flush()?)
    }
}

/// Shows the steps of an execution as they come along, until it is recorded or gone.
///
/// # Errors
/// What could not be reached or written, and why.
pub(super) async fn steps<W: Write>(
    out: &mut Out<W>,
    form: Form,
    client: &Client,
    found: &Found,
) -> anyhow::Result<()> {
    // What is recorded has no steps to come.
    let Some(live) = found.live.as_ref().filter(|live| !is_recorded(&live.summary)) else { return Ok(()) };
    let (log, id, attempt) = key(&live.summary);
    let mut steps = Steps::new(&live.step_executions, &live.summary.phase);
    let asked = [("id", Some(&id)), ("log", Some(&log)), ("namespace", live.summary.namespace.as_ref())];
    let asked = asked.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.clone())));
    let mut watch = client.watch(&asked.collect::<Vec<_>>());
    let wanted = Wanted { id, log: Some(log.clone()), attempt: Some(attempt) };
    let mut is_ready = false;
    while !out.get_ref().is_closed() {
        let row = match watch.next().await? {
            Happening::Live(live) => {
                step(out, form, &live, &steps.changed(&live))?;
                if !(is_ready && is_recorded(&live.summary)) {
                    continue;
                }
                live.summary
            }
            // What is told of it up to here has no steps: those that came before the stream did are asked for. It may be live
            // no more.
            Happening::Ready => {
                is_ready = true;
                match client.get(&wanted).await? {
                    Found { live: Some(live), .. } => {
                        let live = Live {
                            summary: live.summary,
                            step_executions: live.step_executions,
                            adaptive_adjustments: live.adaptive_adjustments,
                        };
                        let changed = steps.changed(&live);
                        if !changed.is_empty() {
                            step(out, form, &live, &changed)?;
                        }
                        if !is_recorded(&live.summary) {
                            continue;
                        }
                        live.summary
                    }
                    Found { record: Some(record), .. } => Summary::recorded(&log, record, None),
                    Found { .. } => continue,
                }
            }
            Happening::Reset => continue,
            Happening::Begun => {
                is_ready = false;
                continue;
            }
            Happening::Warning(warning) => {
                warn(&warning.detail);
                continue;
            }
            // Of another attempt there may be more to say.
            Happening::Recorded(row) if row.attempt != attempt => continue,
            Happening::Recorded(row) | Happening::Gone(row) => *row,
        };
        match form {
            Form::Table => writeln!(out, "\n{}: {}", shown(&row.phase), summary(&row))?,
            Form::Json => json_line(out, &row)?,
            Form::Yaml => write!(out, "---\n{}", output::yaml(&row)?)?,
        }
        out.flush()?;
        break;
    }
    Ok(())
}

fn is_recorded(row: &Summary) -> bool {
    row.tiers.contains(&Tier::Stored)
}

/// Shows a live execution as it is now; to people what changed of it.
fn step<W: Write>(out: &mut Out<W>, form: Form, live: &Live, changed: &str) -> anyhow::Result<()> {
    match form {
        Form::Table => out.write_all(changed.as_bytes())?,
        Form::Json => json_line(out, live)?,
        Form::Yaml => write!(out, "---\n{}", output::yaml(live)?)?,
    }
    Ok(out.flush()?)
}

/// How it ended, for people.
fn summary(row: &Summary) -> String {
    let outcome = row.outcome.as_ref().map(output::name).unwrap_or_default();
    let took =
        row.total_duration.map(|took| format!(" after {}", output::duration(took))).unwrap_or_default();
    match row.recorded_at {
        Some(at) => format!("{outcome}{took}, recorded at {at}"),
        None => "it is gone, and nothing is recorded of it".to_owned(),
    }
}

/// The steps that were shown, and how they were.
struct Steps {
    known: BTreeMap<u32, StepExecutionAudit>,
    phase: String,
    columns: Columns,
    look: Look,
}

impl Steps {
    fn new(steps: &[StepExecutionAudit], phase: &str) -> Self {
        let known = steps.iter().map(|step| (step.step_number, step.clone())).collect();
        Self { known, phase: phase.to_owned(), columns: Columns::default(), look: Look::of_stdout() }
    }

    /// A line for each that is not as it was, and for another phase.
    fn changed(&mut self, live: &Live) -> String {
        let mut rows = Vec::new();
        for step in &live.step_executions {
            if self.known.insert(step.step_number, step.clone()).as_ref() == Some(step) {
                continue;
            }
            rows.push(styled(get::step(step), self.look));
        }
        let mut text = String::new();
        if self.phase != live.summary.phase {
            self.phase.clone_from(&live.summary.phase);
            text = format!("{}\n", shown(&self.phase));
        }
        for line in self.columns.lay_out_cells(None, rows.into_iter(), self.look.in_colour).lines() {
            text.push_str(&format!("  {line}\n"));
        }
        text
    }
}

fn json_line<T: Serialize>(out: &mut impl Write, value: &T) -> io::Result<()> {
    writeln!(out, "{}", output::safe_json(&serde_json::to_string(value)?))
}

fn is_unknown(error: &ClientError) -> bool {
    error.problem().is_some_and(|problem| problem.name() == "no-such-execution")
}

fn warn(what: &str) {
    eprintln!("warning: {}", shown(what));
}
