//! A condition and the loop that waits for it. The loop reports to a [`Progress`] and logs every ten seconds.
//! Refuses to know why a condition matters or what happens when it holds.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use crate::Backoff;

/// Something that must become true, and can say what it is.
pub trait Condition {
    /// What is found when the condition holds.
    type Output;

    /// What is waited for, as a noun phrase: "a linearizable read from etcd at https://…".
    fn awaits(&self) -> String;

    /// Looks once. A look may take long; it is dropped when the wait is cancelled.
    fn look(&mut self) -> impl Future<Output = Sighting<Self::Output>>;
}

/// What one look saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sighting<T> {
    /// The condition holds.
    Holds(T),
    /// It does not hold yet; the text says what was seen instead, for people.
    NotYet(String),
}

/// Where a wait tells what it waits for and what it last saw.
pub trait Progress {
    /// Called once before the first look and after every look that saw something new.
    fn waiting(&self, awaits: &str, last_seen: Option<&str>);
}

/// Tells nobody; for waits inside tests and one-shot commands.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn waiting(&self, _awaits: &str, _last_seen: Option<&str>) {}
}

/// How often to look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Pause after the first look that saw nothing.
    pub first: Duration,
    /// Longest pause before jitter.
    pub longest: Duration,
    /// How many times as long each pause is as the one before. With 2, as much is waited again as was waited already; with 1.03,
    /// some 3 % of it.
    pub growth: f32,
    /// A look that takes longer counts as having seen nothing.
    pub look_limit: Duration,
    /// How often an unfinished wait is logged.
    pub report_every: Duration,
}

impl Pace {
    /// For what a whole control plane waits for while it starts: what is there is seen soon, in proportion to how long it took
    /// to come. So a wait is made longer by some 5 % (half a second after ten), and where many start at once and take minutes,
    /// their looks do not take the processor from what they wait for.
    pub const EAGER: Self = Self {
        first: Duration::from_millis(100),
        longest: Duration::from_secs(2),
        growth: 1.03,
        ..Self::USUAL
    };

    /// 50 ms doubling to 1 s: a start with nothing to wait for loses nothing, a long wait costs one look a second.
    pub const USUAL: Self = Self {
        first: Duration::from_millis(50),
        longest: Duration::from_secs(1),
        growth: 2.0,
        look_limit: Duration::from_secs(5),
        report_every: Duration::from_secs(10),
    };
}

impl Default for Pace {
    fn default() -> Self {
        Self::USUAL
    }
}

/// Waits until `condition` holds. Has no deadline; dropping the future cancels the wait at once.
pub async fn wait_for<C: Condition>(
    condition: &mut C,
    pace: Pace,
    progress: &(impl Progress + ?Sized),
) -> C::Output {
    let awaits = condition.awaits();
    progress.waiting(&awaits, None);
    let began = Instant::now();
    let mut backoff = Backoff::growing(pace.first, pace.longest, pace.growth);
    let mut last_seen: Option<String> = None;
    let mut next_report = began + pace.report_every;
    loop {
        let seen = match tokio::time::timeout(pace.look_limit, condition.look()).await {
            Ok(Sighting::Holds(output)) => {
                tracing::debug!(awaits, waited = ?began.elapsed(), "condition holds");
                return output;
            }
            Ok(Sighting::NotYet(seen)) => seen,
            Err(_elapsed) => format!("no answer within {:?}", pace.look_limit),
        };
        if last_seen.as_deref() != Some(seen.as_str()) {
            progress.waiting(&awaits, Some(&seen));
        }
        if Instant::now() >= next_report {
            tracing::info!(awaits, last_seen = seen, waited = ?began.elapsed(), "still waiting");
            next_report = Instant::now() + pace.report_every;
        }
        last_seen = Some(seen);
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    struct At(Instant, u32);

    impl Condition for At {
        type Output = u32;
        fn awaits(&self) -> String {
            "a moment".into()
        }
        async fn look(&mut self) -> Sighting<u32> {
            self.1 += 1;
            if Instant::now() >= self.0 {
                Sighting::Holds(self.1)
            } else {
                Sighting::NotYet("not now".into())
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_eager_wait_is_made_longer_in_proportion_and_looks_seldom_when_it_is_long() {
        // The most: a pause of first + 3 % of what the pauses before jitter came to, and as much again of jitter.
        for (seconds, at_most, looks_at_most) in [(1, 1.3, 12), (10, 10.9, 50), (120, 124.0, 140)] {
            let began = Instant::now();
            let looks =
                wait_for(&mut At(began + Duration::from_secs(seconds), 0), Pace::EAGER, &Silent).await;
            assert!(began.elapsed().as_secs_f64() <= at_most, "{seconds} s became {:?}", began.elapsed());
            assert!(looks <= looks_at_most, "{looks} looks in {seconds} s");
        }
    }

    struct Third {
        looks: u32,
    }

    impl Condition for Third {
        type Output = u32;
        fn awaits(&self) -> String {
            "the third look".into()
        }
        async fn look(&mut self) -> Sighting<u32> {
            self.looks += 1;
            match self.looks {
                3 => Sighting::Holds(3),
                2 => std::future::pending().await,
                other => Sighting::NotYet(format!("look {other}")),
            }
        }
    }

    #[derive(Default)]
    struct Recorder(RefCell<Vec<String>>);

    impl Progress for Recorder {
        fn waiting(&self, awaits: &str, last_seen: Option<&str>) {
            self.0.borrow_mut().push(format!("{awaits}: {}", last_seen.unwrap_or("-")));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_reports_what_it_saw_and_survives_a_look_that_hangs() {
        let recorder = Recorder::default();
        let found = wait_for(&mut Third { looks: 0 }, Pace::default(), &recorder).await;
        assert_eq!(found, 3);
        assert_eq!(
            *recorder.0.borrow(),
            ["the third look: -", "the third look: look 1", "the third look: no answer within 5s"]
        );
    }
}
