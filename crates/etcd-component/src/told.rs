//! One detail of the status document that says what goes on; each of its changes is a line in the log.
//! Refuses to repeat itself.

use crate::beside::Member;

pub(crate) struct Told {
    detail: &'static str,
    about: &'static str,
    text: String,
}

impl Told {
    pub(crate) const fn new(detail: &'static str, about: &'static str) -> Self {
        Self { detail, about, text: String::new() }
    }

    pub(crate) fn tell(&mut self, member: &Member, text: &str) {
        if self.text == text {
            return;
        }
        member.board.detail(self.detail, text);
        if !text.is_empty() {
            tracing::info!(what = self.detail, now = text, "{}", self.about);
        }
        text.clone_into(&mut self.text);
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.text.is_empty()
    }
}
