//! `dualaudit purge plan | run`: what goes when its time is over.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Subcommand;
use dualaudit_record::Time;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use super::{
    database::DatabaseArgs,
    extending::ExtendingArgs,
    hold::{ActorArgs, covered, nobody},
    output::{self, Columns, Form, shown},
};
use crate::{
    clock::{Clock as _, SystemClock},
    retention::{Appender, LogPlan, Plan, Policy, Purged, plan, purge},
};

const EXAMPLES: &str = "\
A policy is a file such as
  keep: 7y
  rules:
  - namespace: staging
    keep: 90d
  - workflow: restart-pods
    outcome: failed
    keep: 10y
Periods are counted from completed_at in UTC. Of the rules that match, the one counts that keeps a record
longest; where none matches, `keep` of the policy. Without a file, records are kept for 7 years.

Examples:
  dualaudit purge plan --policy retention.yaml
  dualaudit purge run --policy retention.yaml --plan 20261125T012345Z-0123456789abcdef
  dualaudit maintain                                 # removes for good what was purged";

/// Let records go whose time is over, by a plan that is looked at first.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Say what would go, what holds keep and why, with rows and bytes. Changes nothing.
    Plan(PlanArgs),
    /// Do exactly what a plan said, or, if the world has changed, nothing.
    Run(RunArgs),
}

#[derive(Clone, Debug, clap::Args)]
struct PolicyArgs {
    /// The file that says for how long records are kept.
    #[arg(long, env = "DUALAUDIT_RETENTION", value_name = "FILE")]
    policy: Option<PathBuf>,
}

#[derive(Clone, Debug, clap::Args)]
struct PlanArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    policy: PolicyArgs,
    /// Plan for this instant instead of the present one; not a later one.
    #[arg(long, value_name = "TIME")]
    as_of: Option<Time>,
    /// In which form.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

#[derive(Clone, Debug, clap::Args)]
struct RunArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    policy: PolicyArgs,
    /// The plan's id.
    #[arg(long, value_name = "ID")]
    plan: String,
    #[command(flatten)]
    actor: ActorArgs,
    #[command(flatten)]
    extending: ExtendingArgs,
    /// In which form.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

impl PolicyArgs {
    fn read(&self) -> anyhow::Result<Policy> {
        let Some(file) = &self.policy else { return Ok(Policy::default()) };
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read the policy {}", file.display()))?;
        Policy::parse(&text).with_context(|| format!("the policy {} cannot be used", file.display()))
    }

    /// The same argument for another command, as a shell takes it.
    fn again(&self) -> String {
        let Some(file) = &self.policy else { return String::new() };
        format!(" --policy {}", shown(&quoted(&file.display().to_string())))
    }
}

/// Plans or purges.
///
/// # Errors
/// A database or policy that cannot be opened; a world that has changed.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::Plan(args) => show(args).await,
        Action::Run(args) => act(args).await,
    }
}

async fn show(args: PlanArgs) -> anyhow::Result<ExitCode> {
    let policy = args.policy.read()?;
    let now = SystemClock.now();
    let as_of = args.as_of.unwrap_or(now);
    if as_of > now {
        return Ok(super::wrong_usage("--as-of is not yet: a record goes once its time is over"));
    }
    let store = args.database.open_existing().await?;
    let bar = ProgressBar::new_spinner().with_style(style("{spinner} {human_pos} executions looked at"));
    let planned = plan(store.as_ref(), &policy, as_of, |looked_at| bar.inc(looked_at)).await;
    bar.finish_and_clear();
    let planned = planned?;
    output::document(&mut output::stdout(), args.output, &planned, || page(&planned, &args.policy))?;
    Ok(ExitCode::SUCCESS)
}

async fn act(args: RunArgs) -> anyhow::Result<ExitCode> {
    let policy = args.policy.read()?;
    let actor = match args.actor.name() {
        Ok(actor) => actor,
        Err(error) => return Ok(nobody(&error)),
    };
    let store = args.database.open_there().await?;
    let bar =
        ProgressBar::new(0).with_style(style("{wide_bar} {human_pos}/{human_len} executions, {eta} left"));
    let extends = args.extending.heads(store.as_ref()).await?;
    let appender = Appender { store: store.as_ref(), clock: &SystemClock, extends: &extends };
    let done = purge(&appender, &policy, &args.plan, &actor, |gone, total| {
        bar.set_length(total);
        bar.set_position(gone);
    });
    let done = done.await;
    bar.finish_and_clear();
    let purged = done?;
    output::document(&mut output::stdout(), args.output, &purged, || summary(&purged))?;
    Ok(ExitCode::SUCCESS)
}

/// A word as a POSIX shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// To stderr; shows nothing unless that is a terminal.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A plan for people.
fn page(plan: &Plan, policy: &PolicyArgs) -> String {
    let mut page = format!("As of {}, kept for {}.\n\n", plan.as_of, shown(&plan.policy));
    let row = |log: &LogPlan| {
        vec![
            log.log.clone(),
            log.executions.to_string(),
            log.entries.to_string(),
            HumanBytes(log.bytes).to_string(),
            log.held.to_string(),
            log.tracked.to_string(),
        ]
    };
    let header = ["LOG", "GO", "ENTRIES", "BYTES", "HELD", "IN THEIR CLUSTER"];
    let rows: Vec<_> = plan.logs.iter().map(row).collect();
    page.push_str(&Columns::default().lay_out(Some(&header), &rows));
    let kept: Vec<Vec<String>> = plan
        .logs
        .iter()
        .flat_map(|log| log.kept.iter().map(move |kept| (log, kept)))
        .map(|(log, kept)| {
            vec![
                format!("{}/{}", log.log, kept.hold),
                kept.executions.to_string(),
                covered(&kept.because.covers),
                shown(&kept.because.reason),
                shown(&kept.because.actor),
            ]
        })
        .collect();
    if !kept.is_empty() {
        page.push('\n');
        page.push_str(&Columns::default().lay_out(Some(&["HOLD", "KEEPS", "COVERS", "REASON", "BY"]), &kept));
    }
    let goes: u64 = plan.logs.iter().map(|log| log.executions).sum();
    let _ = match goes {
        0 => write!(page, "\nNothing goes.\n"),
        _ => write!(page, "\nTo do exactly this: dualaudit purge run{} --plan {}\n", policy.again(), plan.id),
    };
    page
}

fn summary(purged: &Purged) -> String {
    if purged.logs.is_empty() {
        return "Nothing was left to go.\n".to_owned();
    }
    let mut text = String::new();
    for log in &purged.logs {
        let entries: Vec<String> = log.entries.iter().map(u64::to_string).collect();
        let _ = writeln!(
            text,
            "{}: {} executions went, as {} of the log say: {}",
            log.log,
            log.executions,
            if entries.len() == 1 { "entry" } else { "entries" },
            shortened(&entries)
        );
    }
    text.push_str("They are gone to readers; `dualaudit maintain` removes their rows.\n");
    text
}

/// The first and last of many.
fn shortened(names: &[String]) -> String {
    match names {
        [first, .., last] if names.len() > 10 => format!("{first} … {last}"),
        _ => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_comes_back_out_of_a_shell() {
        for word in ["/etc/retention.yaml", "", "a b", "it's $HOME", "*", "~/x", "-x", "é", "a\\b"] {
            let echo = std::process::Command::new("sh")
                .args(["-c", &format!("printf %s {}", quoted(word))])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(echo.stdout).unwrap(), word);
        }
        assert_eq!(quoted("/etc/retention.yaml"), "/etc/retention.yaml");
    }
}
