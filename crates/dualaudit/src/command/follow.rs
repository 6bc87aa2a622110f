//! `list --watch` and `get --follow`: what a server tells as it happens, a line a change.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use dualaudit_record::execution::StepExecutionAudit;
use serde::Serialize;

use super::{
    output::{self, Columns, Form, Out, shown},
    pages::{ListForm, Printer},
};
use crate::{
    client::{Client, Happening, Live},
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
    pub(super) printer: Printer<Summary>,
    pub(super) form: ListForm,
    pub(super) out: &'a mut Out<W>,
    pub(super) live: BTreeMap<Key, Summary>,
}

impl<W: Write> Rows<'_, W> {
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
        let Page { items, warnings, .. } = client.list(listed).await?;
        warnings.iter().for_each(|warning| warn(&warning.detail));
        // The newest is at the end, where what happens goes on.
        for row in items.into_iter().rev() {
            self.changed(row)?;
        }
        while !self.out.get_ref().is_closed() {
            match watch.next().await? {
                Happening::Live(live) => self.changed(live.summary)?,
                Happening::Recorded(row) => self.changed(*row)?,
                Happening::Gone(row) => {
                    self.live.remove(&key(&row));
                    self.show(&row)?;
                }
                Happening::Warning(warning) => warn(&warning.detail),
                Happening::Reset => {
                    warn("too much happened while there was no answer: list again what was recorded")
                }
                Happening::Begun | Happening::Ready => {}
            }
        }
        Ok(())
    }

    fn changed(&mut self, row: Summary) -> anyhow::Result<()> {
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
            _ => self.printer.page(self.out, std::slice::from_ref(row))?,
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
    let Some(live) = &found.live else { return Ok(()) };
    let id = live.summary.id.clone();
    let wanted = Wanted { id: id.clone(), log: Some(live.summary.log.clone()), attempt: None };
    let mut steps = Steps::new(&live.step_executions, &live.summary.phase);
    let mut watch =
        client.watch(&[("id".to_owned(), id.clone()), ("log".to_owned(), live.summary.log.clone())]);
    let mut told = false;
    while !out.get_ref().is_closed() {
        let row = match watch.next().await? {
            Happening::Live(live) => {
                told = true;
                step(out, form, &live, &steps.changed(&live))?;
                continue;
            }
            // It was live no more when the stream began: nothing more is told of it.
            Happening::Ready if !told => break,
            // What is told of it up to here has no steps: those that came before the stream did are asked for.
            Happening::Ready => {
                if let Some(live) = client.get(&wanted).await?.live {
                    let live = Live {
                        summary: live.summary,
                        step_executions: live.step_executions,
                        adaptive_adjustments: live.adaptive_adjustments,
                    };
                    let changed = steps.changed(&live);
                    if !changed.is_empty() {
                        step(out, form, &live, &changed)?;
                    }
                }
                continue;
            }
            Happening::Reset => continue,
            Happening::Begun => {
                told = false;
                continue;
            }
            Happening::Warning(warning) => {
                warn(&warning.detail);
                continue;
            }
            Happening::Recorded(row) | Happening::Gone(row) => row,
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
}

impl Steps {
    fn new(steps: &[StepExecutionAudit], phase: &str) -> Self {
        let known = steps.iter().map(|step| (step.step_number, step.clone())).collect();
        Self { known, phase: phase.to_owned(), columns: Columns::default() }
    }

    /// A line for each that is not as it was, and for another phase.
    fn changed(&mut self, live: &Live) -> String {
        let mut rows = Vec::new();
        for step in &live.step_executions {
            if self.known.insert(step.step_number, step.clone()).as_ref() == Some(step) {
                continue;
            }
            rows.push(vec![
                step.step_number.to_string(),
                step.action.clone(),
                output::name(&step.status),
                output::duration(step.duration),
                step.retries_attempted.to_string(),
                step.error_message.clone(),
            ]);
        }
        let mut text = String::new();
        if self.phase != live.summary.phase {
            self.phase.clone_from(&live.summary.phase);
            text = format!("{}\n", shown(&self.phase));
        }
        for line in self.columns.lay_out(None, &rows).lines() {
            text.push_str(&format!("  {line}\n"));
        }
        text
    }
}

fn json_line<T: Serialize>(out: &mut impl Write, value: &T) -> io::Result<()> {
    writeln!(out, "{}", output::safe_json(&serde_json::to_string(value)?))
}

fn warn(what: &str) {
    eprintln!("warning: {}", shown(what));
}
