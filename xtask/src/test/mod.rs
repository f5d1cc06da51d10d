//! `cargo xtask test`: everything that must pass, as named steps in a fixed order. It stops at the
//! first that fails, and tells every step's time.

mod licences;
mod steps;

use anyhow::{Result, bail};

use crate::components::{DEFAULT_KUBERNETES, Release};
use crate::machine::{self, Purpose};
use crate::scratch::Scratch;
use crate::stopwatch::Stopwatch;
use steps::{ON_REQUEST, Run, STEPS, Step};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The Kubernetes version for the end-to-end tests: 1.35, 1.36 or 1.37.
    #[arg(long, default_value = DEFAULT_KUBERNETES, value_name = "VERSION")]
    kubernetes: String,
    /// Run only this step; may be given several times. `hosted-faults` runs only when it is asked for.
    #[arg(long = "step", value_name = "NAME", value_parser = STEPS.map(|step| step.name))]
    steps: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let release = Release::pinned(&arguments.kubernetes)?;
    let chosen = chosen(&arguments.steps);
    let on_request = chosen.iter().any(|step| ON_REQUEST.contains(&step.name));
    machine::prepare(if on_request { Purpose::Policies } else { Purpose::Tests }, &release.minimum_go())?;
    let scratch = Scratch::claim()?;
    let run = Run { release, scratch: scratch.path() };
    let report = run_steps(&chosen, |step| (step.run)(&run));
    eprint!("\n{}", report.table());
    println!("{}", report.closing_line());
    match report.failure {
        Some((name, error)) => bail!("step {name}: {error:#}"),
        None => Ok(()),
    }
}

fn chosen(names: &[String]) -> Vec<Step> {
    let wanted = |step: &Step| match names {
        [] => !ON_REQUEST.contains(&step.name),
        names => names.iter().any(|name| name == step.name),
    };
    STEPS.into_iter().filter(wanted).collect()
}

#[derive(Default)]
struct Report {
    passed: Vec<(&'static str, String)>,
    failure: Option<(&'static str, anyhow::Error)>,
    not_run: Vec<&'static str>,
}

fn run_steps(steps: &[Step], run: impl Fn(&Step) -> Result<()>) -> Report {
    let mut report = Report::default();
    for step in steps {
        if report.failure.is_some() {
            report.not_run.push(step.name);
            continue;
        }
        eprintln!("\n=== {}: {}", step.name, step.purpose);
        let stopwatch = Stopwatch::start();
        match run(step) {
            Ok(()) => {
                eprintln!("=== {}: passed in {stopwatch}", step.name);
                report.passed.push((step.name, stopwatch.to_string()));
            }
            Err(error) => {
                eprintln!("=== {}: failed after {stopwatch}", step.name);
                report.failure = Some((step.name, error));
            }
        }
    }
    report
}

impl Report {
    fn table(&self) -> String {
        let passed = self.passed.iter().map(|(name, time)| format!("{name:12} passed   {time}\n"));
        let failed = self.failure.iter().map(|(name, _)| format!("{name:12} FAILED\n"));
        let not_run = self.not_run.iter().map(|name| format!("{name:12} not run\n"));
        passed.chain(failed).chain(not_run).collect()
    }

    fn closing_line(&self) -> String {
        format!("{} passed, {} failed", self.passed.len(), usize::from(self.failure.is_some()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_ends_the_run_and_is_counted() {
        let report = run_steps(&STEPS, |step| {
            anyhow::ensure!(step.name != "tidy", "a finding");
            Ok(())
        });
        assert_eq!(report.closing_line(), "2 passed, 1 failed");
        assert_eq!(report.failure.as_ref().unwrap().0, "tidy");
        assert_eq!(report.passed.len() + 1 + report.not_run.len(), STEPS.len());
        assert!(report.table().contains("tidy         FAILED\n"), "{}", report.table());
    }

    #[test]
    fn steps_run_in_their_own_order_however_they_are_asked_for() {
        let names = chosen(&["tidy".to_owned(), "format".to_owned()])
            .iter()
            .map(|step| step.name)
            .collect::<Vec<_>>();
        assert_eq!(names, ["format", "tidy"]);
        assert_eq!(chosen(&[]).len(), STEPS.len() - ON_REQUEST.len());
    }
}
