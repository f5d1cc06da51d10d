//! What each part of a replica last said about itself: readiness from those that signing needs, details from all.
//! Refuses to log the same trouble twice.

use std::cell::RefCell;
use std::collections::BTreeMap;

use health_endpoints::StatusBoard;

/// The last word of each part.
#[derive(Debug)]
pub(super) struct Reports {
    board: StatusBoard,
    last: RefCell<BTreeMap<&'static str, Report>>,
}

#[derive(Debug)]
struct Report {
    required: bool,
    trouble: Option<String>,
}

impl Reports {
    pub(super) fn new(board: StatusBoard) -> Self {
        Self { board, last: RefCell::default() }
    }

    /// A part without which this replica should not be asked.
    pub(super) fn required(&self, part: &'static str, told: Result<(), String>) {
        self.note(part, true, told);
        // At once: a control plane that starts waits for it.
        self.board.readiness(self.verdict());
    }

    /// A part that is not needed for signing.
    pub(super) fn told(&self, part: &'static str, told: Result<(), String>) {
        self.note(part, false, told);
    }

    fn note(&self, part: &'static str, required: bool, told: Result<(), String>) {
        let trouble = told.err();
        let before = self.last.borrow_mut().insert(part, Report { required, trouble: trouble.clone() });
        let before = before.and_then(|report| report.trouble);
        if before == trouble {
            return;
        }
        if let Some(why) = &trouble {
            tracing::warn!(part, why, "not as it should be; tried again");
        } else {
            tracing::info!(part, "in order again");
        }
        self.board.detail(part, trouble.as_deref().unwrap_or_default());
    }

    /// Whether this replica should be asked.
    pub(super) fn verdict(&self) -> Result<(), String> {
        let last = self.last.borrow();
        let troubles: Vec<String> = last
            .iter()
            .filter(|(_, report)| report.required)
            .filter_map(|(part, report)| Some(format!("{part}: {}", report.trouble.as_ref()?)))
            .collect();
        if !troubles.is_empty() {
            return Err(troubles.join("; "));
        }
        if last.contains_key("trust") { Ok(()) } else { Err("trust: not looked at yet".to_owned()) }
    }
}
