//! `dualaudit simulate`: a workflow engine for trials and load.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use kube::Client;
use tokio_util::sync::CancellationToken;

use super::output;
use crate::{
    clock::{SharedClock, SystemClock},
    crd::Phase,
    simulate::{self, Event, Mode, Options, Plan, Summary},
};

/// Write real WorkflowExecutions into a cluster and drive them through their phases, as a workflow
/// engine would. Nothing that their steps say is done.
#[derive(clap::Args, Clone, Debug)]
#[command(
    after_help = "The cluster is the one of the kubeconfig ($KUBECONFIG, ~/.kube/config) or of the pod.\n\
Remove what it made: kubectl delete wfx -n simulation -l dualaudit.dev/simulation=SEED\n\n\
Examples:\n  dualaudit simulate --count 300 --rate 20 --speedup 120"
)]
pub struct Args {
    /// How many executions.
    #[arg(long, default_value_t = 100, value_name = "N")]
    count: u64,
    /// Executions a second; `inf` for as fast as possible.
    #[arg(long, default_value_t = 5.0, value_name = "R", value_parser = positive)]
    rate: f64,
    /// How many times faster than real workflows, which take minutes.
    #[arg(long, default_value_t = 60.0, value_name = "X", value_parser = positive_and_finite)]
    speedup: f64,
    /// The same seed gives the same executions, with the same names.
    #[arg(long, default_value_t = 1, value_name = "S")]
    seed: u64,
    /// Where; created when it is missing.
    #[arg(long, short, default_value = "simulation", value_name = "NS")]
    namespace: String,
    /// Share of the executions that do not complete, from 0 to 1.
    #[arg(long, default_value_t = 0.15, value_name = "F", value_parser = ratio)]
    fail_ratio: f64,
    /// The most at a time; the rate falls when it is reached.
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    concurrency: u32,
    /// Create all of them first, with the finalizer, then finish each in one status patch, at the
    /// rate given: shows how fast finished executions are recorded.
    #[arg(long)]
    prepare: bool,
}

/// Runs the simulation; the summary goes to stdout. At Ctrl-C, cancels what runs and ends.
///
/// # Errors
/// No cluster, or a request that failed for good.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    // The error's own text names its causes already.
    let client = Client::try_default()
        .await
        .map_err(|error| anyhow::anyhow!("cannot tell which cluster to use: {error}"))?;
    let clock: SharedClock = Arc::new(SystemClock);
    let plan = Plan::new(args.seed, args.count, args.fail_ratio);
    let options = Options {
        namespace: args.namespace,
        rate: args.rate,
        speedup: args.speedup,
        concurrency: args.concurrency as usize,
        mode: if args.prepare { Mode::Prepared } else { Mode::Live },
    };
    let bar = progress_bar(args.count, args.prepare);
    let stop = CancellationToken::new();
    let show = |event| advance(&bar, event);
    let begun = clock.now();
    let simulation = simulate::run(client, &plan, &options, &clock, &stop, &show);
    tokio::pin!(simulation);
    let summary = loop {
        tokio::select! {
            summary = &mut simulation => break summary,
            signal = tokio::signal::ctrl_c() => {
                signal.context("cannot wait for Ctrl-C")?;
                anyhow::ensure!(!stop.is_cancelled(), "stopped at once; some executions are left unfinished");
                bar.set_message("stopping; Ctrl-C again to stop at once");
                stop.cancel();
            }
        }
    };
    bar.finish_and_clear();
    let seconds = clock.now().micros_since(begun) as f64 / 1e6;
    output::line(sentence(&summary?, seconds))?;
    Ok(if stop.is_cancelled() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Hidden where stderr is no terminal. Preparing counts twice: created, then ended.
fn progress_bar(count: u64, prepare: bool) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = "{bar:40} {pos}/{len} ended · {per_sec} · {elapsed} · {wide_msg}";
    let bar = ProgressBar::new(count);
    bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(if prepare { "creating" } else { "" });
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn advance(bar: &ProgressBar, event: Event) {
    match event {
        Event::Created => {}
        Event::Ended(phase) => {
            bar.inc(1);
            if phase != Phase::Completed {
                bar.set_message(format!("last trouble: {phase:?}"));
            }
        }
        Event::Vanished => bar.inc(1),
    }
}

fn sentence(summary: &Summary, seconds: f64) -> String {
    let mut parts: Vec<String> = summary.ended.iter().map(|(phase, n)| format!("{n} {phase}")).collect();
    if summary.vanished > 0 {
        parts.push(format!("{} deleted by somebody else", summary.vanished));
    }
    let ended = if parts.is_empty() { "none ended".to_owned() } else { parts.join(", ") };
    format!("{} executions in {seconds:.1} s: {ended}", summary.created)
}

fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    if number > 0.0 { Ok(number) } else { Err("expected a number above 0".to_owned()) }
}

fn positive_and_finite(text: &str) -> Result<f64, String> {
    let number = positive(text)?;
    if number.is_finite() { Ok(number) } else { Err("expected a finite number".to_owned()) }
}

fn ratio(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    if (0.0..=1.0).contains(&number) { Ok(number) } else { Err("expected a number from 0 to 1".to_owned()) }
}
