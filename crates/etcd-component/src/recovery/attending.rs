//! Answers requests, and beside the running child: ends it when a recovery may go on, or when its cluster was given up.
//! Refuses to change anything but the recovery's own files.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use cluster_record::random_identifier;
use etcd_membership::recovery::{Phase, RecordNow, Refusal, judge, report};
use tokio::time::Instant;

use super::files::{Answer, Mark, Stand};
use crate::act::StepError;
use crate::beside::Member;
use crate::volume::VolumeFiles;

const ROUND: Duration = Duration::from_secs(1);
/// Started without a quorum, etcd answers no client at all. It replays its log all the same, and what it applies is in its
/// database 100 ms later (`backend-batch-interval`): it is done when that file rests.
const REPLAY_TAKES: Duration = Duration::from_secs(4);
const RESTS: Duration = Duration::from_secs(3);
const REPLAY_LIMIT: Duration = Duration::from_secs(120);
/// A request to replace the child is lost when it is being replaced anyhow.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Until dropped.
pub(crate) async fn attend(member: Rc<Member>) {
    let mut beside = Beside {
        began: Instant::now(),
        answer_read: false,
        in_place: None,
        replacement_asked: None,
        record_read: Instant::now(),
        database: None,
    };
    member.recovery.replayed.set(false);
    loop {
        tokio::time::sleep(ROUND).await;
        if let Err(error) = Box::pin(member.attend_once(&mut beside)).await {
            tracing::warn!(
                error = telemetry::error_chain(&error),
                "a recovery cannot be looked after; tried again"
            );
        }
    }
}

struct Beside {
    began: Instant,
    /// Whether the last answer was looked at.
    answer_read: bool,
    /// The answer to the recovery that the present child is the first of, until it is told that it serves.
    in_place: Option<Answer>,
    replacement_asked: Option<Instant>,
    record_read: Instant,
    /// When the database was last written, and since when that is known.
    database: Option<(SystemTime, Instant)>,
}

impl Member {
    async fn attend_once(&self, beside: &mut Beside) -> Result<(), StepError> {
        self.tell_that_it_serves(beside).await?;
        self.notice_that_it_was_given_up(beside).await;
        if !self.seen.given_up.get() {
            if !self.replayed(beside).await? {
                return Ok(());
            }
            Box::pin(self.answer_request()).await?;
        }
        let why = if self.seen.given_up.get() {
            "a recovery gave its cluster up"
        } else if self.files.with(VolumeFiles::recovery_mark).await?.is_some() {
            self.recovery.replayed.set(true);
            "its data becomes a new cluster"
        } else {
            return Ok(());
        };
        if beside.replacement_asked.is_none_or(|at| at.elapsed() >= ASK_AGAIN) {
            beside.replacement_asked = Some(Instant::now());
            self.recovery.replacement.ask(why);
        }
        Ok(())
    }

    async fn tell_that_it_serves(&self, beside: &mut Beside) -> Result<(), StepError> {
        if !beside.answer_read {
            let answer = self.files.with(VolumeFiles::recovery_answer).await?;
            beside.in_place = answer.filter(|answer| answer.stand == Stand::InPlace);
            beside.answer_read = true;
        }
        if self.seen.serves.get()
            && let Some(Answer { nonce, .. }) = beside.in_place.take()
        {
            self.answer(nonce, Stand::Serves, format!("{} serves", self.instance)).await?;
            self.tell_recovery("done");
        }
        Ok(())
    }

    /// Whether etcd wrote all that its log holds into its database.
    async fn replayed(&self, beside: &mut Beside) -> Result<bool, StepError> {
        if self.seen.member.get().is_some() || beside.began.elapsed() >= REPLAY_LIMIT {
            return Ok(true);
        }
        let Some(written) = self.files.with(|files| Ok(files.database_written())).await? else {
            return Ok(false);
        };
        if beside.database.is_none_or(|(before, _)| before != written) {
            beside.database = Some((written, Instant::now()));
        }
        let rests = beside.database.is_some_and(|(_, since)| since.elapsed() >= RESTS);
        Ok(rests && beside.began.elapsed() >= REPLAY_TAKES)
    }

    /// One that serves reads the record anyhow.
    async fn notice_that_it_was_given_up(&self, beside: &mut Beside) {
        if self.seen.serves.get() || beside.record_read.elapsed() < self.record.look_every() {
            return;
        }
        beside.record_read = Instant::now();
        let Ok(record) = self.record_now().await else { return };
        let Ok(volume) = self.files.with(VolumeFiles::read).await else { return };
        let given_up = |cluster: String| record.given_up.contains(&cluster);
        if volume.identity.is_some_and(|identity| given_up(identity.cluster.to_string())) {
            self.seen.given_up.set(true);
        }
    }

    /// Answers the request that lies on the volume, if one does.
    pub(super) async fn answer_request(&self) -> Result<(), StepError> {
        let Some(asked) = self.files.with(VolumeFiles::recovery_request).await? else { return Ok(()) };
        if let Some(mark) = self.files.with(VolumeFiles::recovery_mark).await? {
            // The same one was taken up before the supervisor ended; the answer may not have been written.
            let (stand, text) = if mark.asked.nonce == asked.nonce {
                (Stand::Going, mark.report)
            } else {
                (Stand::Refused, format!("{} is being recovered already\n", self.instance))
            };
            self.answer(asked.nonce, stand, text).await?;
            return Ok(self.files.with(VolumeFiles::remove_recovery_request).await?);
        }
        let seen = Box::pin(self.situation(&asked, None)).await?;
        let refusals = judge(&asked.request, &seen);
        let text = report(&asked.request, &seen, &refusals);
        let stand = match (refusals.is_empty(), asked.confirmed) {
            (false, _) => Stand::Refused,
            (true, false) => Stand::Planned,
            (true, true) => Stand::Going,
        };
        tracing::warn!(?stand, request = ?asked.request, refusals = told(&refusals), "a recovery was asked for");
        if stand == Stand::Going {
            let former = match seen.record {
                RecordNow::Present { recovery } => recovery,
                RecordNow::Absent | RecordNow::Unreadable(_) => None,
            };
            let mark = Mark {
                asked: asked.clone(),
                phase: Phase::Asked,
                token: random_identifier(),
                former,
                report: text.clone(),
                position: seen.position.map(Into::into),
            };
            self.note(mark).await?;
            self.tell_recovery("going on");
        }
        self.answer(asked.nonce, stand, text).await?;
        Ok(self.files.with(VolumeFiles::remove_recovery_request).await?)
    }

    pub(super) async fn answer(&self, nonce: String, stand: Stand, text: String) -> Result<(), StepError> {
        let answer = Answer { nonce, stand, text };
        Ok(self.files.with(move |files| files.write_recovery_answer(&answer)).await?)
    }

    pub(super) async fn note(&self, mark: Mark) -> Result<(), StepError> {
        Ok(self.files.with(move |files| files.write_recovery_mark(&mark)).await?)
    }

    pub(super) fn tell_recovery(&self, stand: &str) {
        if self.recovery.told.replace(stand.to_owned()) != stand {
            self.board.detail("recovery", stand);
        }
    }
}

pub(super) fn told(refusals: &[Refusal]) -> String {
    let one = |refusal: &Refusal| format!("{}; {}", refusal.what, refusal.remedy);
    refusals.iter().map(one).collect::<Vec<_>>().join(". ")
}
