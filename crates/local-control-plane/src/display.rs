//! Shows what every instance is doing: a block of lines that redraws itself on a terminal, a line for each change elsewhere.
//! Refuses to decide anything by it, and never fails: a closed terminal is no reason to stop a control plane.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use instance_status::InstanceStatus;

use self::fold::{Folded, fold};
use crate::views::{Process, View};

mod fold;

/// One instance as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The instance.
    pub name: String,
    /// What it is doing, in one word.
    pub state: String,
    /// Whether it serves its purpose.
    pub ready: bool,
    /// Why, and what it last saw.
    pub detail: String,
}

/// Where rows go.
pub struct Display {
    output: Box<dyn Write>,
    /// How many lines it has now, if it is a terminal.
    height: Option<fn() -> usize>,
    shown: BTreeMap<String, Row>,
    drawn_lines: usize,
}

impl Display {
    /// On standard output, as a redrawn block if that is a terminal.
    #[must_use]
    pub fn on_stdout() -> Self {
        Self::new(Box::new(io::stdout()), io::stdout().is_terminal().then_some(height_of_stdout))
    }

    /// Nowhere.
    #[must_use]
    pub fn quiet() -> Self {
        Self::new(Box::new(io::sink()), None)
    }

    fn new(output: Box<dyn Write>, height: Option<fn() -> usize>) -> Self {
        Self { output, height, shown: BTreeMap::new(), drawn_lines: 0 }
    }

    /// Shows what changed.
    pub fn show(&mut self, rows: &[Row]) {
        let changed: Vec<&Row> = rows.iter().filter(|row| self.shown.get(&row.name) != Some(*row)).collect();
        if changed.is_empty() {
            return;
        }
        let text = if let Some(height) = self.height {
            let block = fold(rows, height());
            let text = redrawn(&block, self.drawn_lines);
            self.drawn_lines = block.lines();
            text
        } else {
            changed.iter().fold(String::new(), |text, row| text + &plain(row) + "\n")
        };
        self.shown.extend(changed.into_iter().map(|row| (row.name.clone(), row.clone())));
        self.write(&text);
    }

    /// Says something between the rows; a block that was drawn stays above it.
    pub fn say(&mut self, line: &str) {
        self.drawn_lines = 0;
        self.write(&format!("{line}\n"));
    }

    fn write(&mut self, text: &str) {
        // Whoever closed the terminal does not want to read.
        let _closed = self.output.write_all(text.as_bytes()).and_then(|()| self.output.flush());
    }
}

impl Row {
    pub(crate) fn of_view(name: &str, view: &View) -> Self {
        let of_document = |otherwise: &str| match &view.document {
            Some(document) if view.ready => (document.state.to_string(), "ready".to_owned()),
            Some(document) => {
                let seen = document.last_observation.as_deref();
                (document.state.to_string(), with_observation(&document.reason, seen))
            }
            None => (otherwise.to_owned(), "its health endpoints do not answer yet".to_owned()),
        };
        let (state, detail) = match &view.process {
            Process::Planned => ("Planned".to_owned(), String::new()),
            Process::Alive { .. } => of_document("Starting"),
            Process::Stopping { .. } => of_document("Stopping"),
            Process::BackingOff { because, .. } => ("Restarting".to_owned(), format!("supervisor {because}")),
            Process::Ended => ("Stopped".to_owned(), String::new()),
        };
        Self { name: name.to_owned(), state, ready: view.ready, detail }
    }

    /// Whether nobody expects anything of it.
    fn is_at_rest(&self) -> bool {
        matches!(self.state.as_str(), "Stopped" | "Planned")
    }

    /// The row of an instance that another process runs.
    #[must_use]
    pub fn of_status(status: &InstanceStatus) -> Self {
        let detail = if status.ready {
            "ready".to_owned()
        } else {
            with_observation(&status.reason, status.last_observation.as_deref())
        };
        Self { name: status.name.clone(), state: status.state.clone(), ready: status.ready, detail }
    }
}

fn with_observation(reason: &str, seen: Option<&str>) -> String {
    match seen {
        Some(seen) if !seen.is_empty() && seen != reason => format!("{reason} (saw: {seen})"),
        _ => reason.to_owned(),
    }
}

fn plain(row: &Row) -> String {
    match row.detail.as_str() {
        "" => format!("{}: {}", row.name, row.state),
        detail => format!("{}: {}: {detail}", row.name, row.state),
    }
}

/// Wide enough for every instance name and every state.
const NAME_WIDTH: usize = 28;
const STATE_WIDTH: usize = 14;

/// Goes back over the lines drawn before and draws all anew. Wrapping is off meanwhile, so that the terminal cuts what
/// is too long and the number of lines stays known.
fn redrawn(block: &Folded<'_>, drawn_lines: usize) -> String {
    let mut text = String::from("\x1b[?7l");
    if drawn_lines > 0 {
        // Writing to a String cannot fail.
        let _infallible = write!(text, "\x1b[{drawn_lines}A");
    }
    for row in &block.rows {
        let mark = if row.ready {
            READY
        } else if row.is_at_rest() {
            " "
        } else {
            NOT_READY
        };
        let detail: String =
            row.detail.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        let (name, state) = (&row.name, &row.state);
        let _infallible = writeln!(text, "\x1b[2K{mark} {name:NAME_WIDTH$} {state:STATE_WIDTH$} {detail}");
    }
    if let Some(others) = block.others {
        let mark = if others.not_ready == 0 { READY } else { NOT_READY };
        let _infallible = writeln!(text, "\x1b[2K{mark} {others}");
    }
    // The block drawn before may have had more lines.
    text + "\x1b[J\x1b[?7h"
}

const READY: &str = "\x1b[32m✔\x1b[0m";
const NOT_READY: &str = "\x1b[33m…\x1b[0m";

/// A terminal that does not tell its height is taken for one that is high enough.
fn height_of_stdout() -> usize {
    terminal_size::terminal_size_of(io::stdout()).map_or(usize::MAX, |(_, height)| height.0.into())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    #[derive(Clone, Default)]
    struct Recorded(Rc<RefCell<Vec<u8>>>);

    impl Write for Recorded {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn row(name: &str, state: &str, detail: &str) -> Row {
        Row { name: name.into(), state: state.into(), ready: detail == "ready", detail: detail.into() }
    }

    fn shown(height: Option<fn() -> usize>, steps: &[&[Row]]) -> String {
        let recorded = Recorded::default();
        let mut display = Display::new(Box::new(recorded.clone()), height);
        for rows in steps {
            display.show(rows);
        }
        display.say("done");
        let bytes = recorded.0.borrow().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn elsewhere_each_change_is_one_line() {
        let first =
            [row("etcd-0", "Waiting", "waits for a majority (saw: nobody)"), row("etcd-1", "Planned", "")];
        let second = [first[0].clone(), row("etcd-1", "Running", "ready")];
        assert_eq!(
            shown(None, &[&first, &first, &second]),
            "etcd-0: Waiting: waits for a majority (saw: nobody)\netcd-1: Planned\netcd-1: Running: ready\ndone\n"
        );
    }

    #[test]
    fn a_terminal_gets_the_same_lines_again() {
        let first = [row("etcd-0", "Waiting", "a\nb\x1b[31m"), row("etcd-1", "Planned", "")];
        let second = [row("etcd-0", "Running", "ready"), first[1].clone()];
        let text = shown(Some(|| 24), &[&first, &second]);
        assert_eq!(text.matches("\x1b[2A").count(), 1, "{text:?}");
        assert_eq!(text.lines().count(), 5, "{text:?}");
        assert!(!text.contains("\x1b[31m"), "{text:?}");
    }

    #[test]
    fn a_terminal_that_is_too_small_is_not_scrolled() {
        let first: Vec<Row> = (0..5).map(|place| row(&format!("etcd-{place}"), "Waiting", "waits")).collect();
        let mut second = first.clone();
        second[4] = row("etcd-4", "Running", "ready");
        let mut third = second.clone();
        third[..4]
            .clone_from_slice(&[0, 1, 2, 3].map(|place| row(&format!("etcd-{place}"), "Running", "ready")));
        let text = shown(Some(|| 4), &[&first, &second, &third]);
        let blocks: Vec<&str> = text.split("\x1b[?7l").skip(1).collect();
        let [all, some, none] = blocks[..] else { panic!("{text:?}") };
        assert_eq!(all.lines().count(), 3 + 1, "{all:?}");
        assert!(
            all.contains("etcd-1") && all.contains("3 more not ready") && !all.contains("etcd-2"),
            "{all:?}"
        );
        assert!(some.starts_with("\x1b[3A") && some.contains("2 more not ready, 1 ready"), "{some:?}");
        assert!(none.starts_with("\x1b[3A\x1b[2K\x1b[32m✔\x1b[0m 5 ready\n\x1b[J"), "{none:?}");
    }
}
