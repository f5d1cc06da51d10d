//! Histories of leases, made up and generated: leaders that follow each other have no fault, two at once are found.

use proptest::prelude::*;

use super::*;

const BEGAN: Duration = Duration::from_secs(1_000);

/// Holder, acquired, renewed: seconds of the run.
fn view(holder: &str, acquired: u64, renewed: u64) -> LeaseView {
    LeaseView {
        at: Duration::from_secs(renewed),
        holder: holder.to_owned(),
        acquired: BEGAN + Duration::from_secs(acquired),
        renewed: BEGAN + Duration::from_secs(renewed),
        term: Duration::from_secs(15),
        after_a_gap: false,
    }
}

fn examine(views: &[LeaseView], seconds: u64) -> LeaseSummary {
    examine_lease("some", views, BEGAN, BEGAN + Duration::from_secs(seconds))
}

#[test]
fn a_lease_that_is_cleared_and_taken_is_one_change_and_a_short_pause() {
    let summary = examine(
        &[view("a_1", 0, 1), view("a_1", 0, 3), view("", 0, 4), view("b_2", 6, 6), view("b_2", 6, 7)],
        8,
    );
    assert_eq!(summary.changes(), 1);
    assert_eq!((summary.longest_pause, summary.pause_from), (3.0, 3.0));
    assert_eq!(summary.renewals, 4);
    assert_eq!(summary.two_leaders, [""; 0]);
}

#[test]
fn a_lease_that_ran_out_may_be_taken() {
    let summary = examine(&[view("a_1", 0, 1), view("b_2", 16, 16)], 17);
    assert_eq!((summary.longest_pause, summary.two_leaders.len()), (15.0, 0));
}

#[test]
fn a_lease_that_is_taken_from_a_living_holder_is_found() {
    let summary = examine(&[view("a_1", 0, 1), view("b_2", 15, 15)], 16);
    assert_eq!(summary.two_leaders, ["15 s: b_2 took it from a_1, which still held it"]);
}

#[test]
fn a_holder_that_renews_what_was_taken_from_it_is_found() {
    let summary =
        examine(&[view("a_1", 0, 1), view("b_2", 16, 16), view("", 17, 17), view("a_1", 0, 18)], 19);
    assert_eq!(summary.two_leaders, ["18 s: a_1 renewed it after it was taken"]);
}

#[test]
fn a_holder_that_was_cleared_and_is_there_again_was_alive() {
    let told = ["3 s: a_1 was alive when its lease was cleared, and is there again"];
    // It did not notice; it did, and took it anew; somebody else had it meanwhile.
    let unaware = [view("a_1", 0, 1), view("", 2, 2), view("a_1", 0, 3), view("a_1", 0, 5)];
    assert_eq!(examine(&unaware, 6).two_leaders, told);
    let again = [view("a_1", 0, 1), view("", 2, 2), view("a_1", 3, 3), view("a_1", 3, 5)];
    assert_eq!(examine(&again, 6).two_leaders, told);
    let later = [view("a_1", 0, 1), view("", 2, 2), view("b_2", 2, 2), view("", 3, 3), view("a_1", 3, 3)];
    assert_eq!(examine(&later, 4).two_leaders, told);
}

#[test]
fn what_was_not_seen_excuses_a_lease_that_is_taken_early_and_no_holder_that_takes_it_twice() {
    let unseen = |view| LeaseView { after_a_gap: true, ..view };
    let taken = [view("a_1", 0, 1), unseen(view("b_2", 3, 3)), view("b_2", 3, 5)];
    assert_eq!(examine(&taken, 6).two_leaders, [""; 0]);
    let again = [view("a_1", 0, 1), unseen(view("a_1", 3, 3))];
    assert_eq!(
        examine(&again, 4).two_leaders,
        ["3 s: a_1 was alive when its lease was cleared or taken, and took it again"]
    );
}

#[test]
fn silence_to_the_end_is_a_pause() {
    let pause = |views: &[LeaseView]| Duration::from_secs_f64(examine(views, 31).longest_pause);
    assert_eq!(pause(&[view("a_1", 0, 1)]), Duration::from_secs(30));
    assert_eq!(pause(&[]), Duration::from_secs(31));
}

/// Holders that come and go as client-go's do: each renews every two seconds; then it is cleared, by itself or when it is
/// dead, or silent until its term is over. Every process has a name of its own.
fn history() -> impl Strategy<Value = Vec<LeaseView>> {
    let tenure = (1_u64..20, any::<bool>(), 0_u64..30);
    prop::collection::vec(tenure, 2..8).prop_map(|tenures| {
        let mut views = Vec::new();
        let mut now = 1;
        for (number, (renewals, cleared, later)) in tenures.into_iter().enumerate() {
            let holder = format!("host-{}_{number}", number % 2);
            let acquired = now;
            views.extend((0..renewals).map(|renewal| view(&holder, acquired, acquired + 2 * renewal)));
            now = acquired + 2 * (renewals - 1);
            if cleared {
                now += later % 3;
                views.push(view("", now, now));
                now += later;
            } else {
                now += 15 + later;
            }
        }
        views
    })
}

/// Of the run.
fn seconds(since_1970: Duration) -> u64 {
    since_1970.as_secs() - BEGAN.as_secs()
}

fn two_leaders(views: &[LeaseView]) -> Vec<String> {
    examine(views, 1_000).two_leaders
}

/// Where one view is followed by another holder's, or by nobody's.
fn ends(views: &[LeaseView]) -> Vec<usize> {
    (1..views.len()).filter(|next| views[*next].holder != views[next - 1].holder).collect()
}

proptest! {
    #[test]
    fn leaders_that_follow_each_other_have_no_fault(
        views in history(),
        from in any::<prop::sample::Index>(),
        unseen in 0_usize..6,
    ) {
        prop_assert_eq!(two_leaders(&views), [""; 0]);
        // Nor when a part of it was not seen.
        let from = from.index(views.len());
        let mut views = views;
        views.drain(from..(from + unseen).min(views.len()));
        if let Some(view) = views.get_mut(from) {
            view.after_a_gap = true;
        }
        prop_assert_eq!(two_leaders(&views), [""; 0]);
    }

    #[test]
    fn a_holder_that_is_back_is_found(
        views in history(),
        victim in any::<prop::sample::Index>(),
        later in any::<prop::sample::Index>(),
        notices in any::<bool>(),
    ) {
        let ends = ends(&views);
        prop_assume!(!ends.is_empty());
        let end = ends[victim.index(ends.len())];
        let holder = views[end - 1].clone();
        prop_assume!(!holder.holder.is_empty());
        // After some of what followed.
        let at = end + 1 + later.index(views.len() - end);
        let mut views = views;
        let now = seconds(views[at - 1].renewed);
        let was_cleared = views[end].holder.is_empty();
        // Who finds its lease expired, and takes it back, was not wronged.
        let acquired = if notices && was_cleared { now } else { seconds(holder.acquired) };
        views.insert(at, view(&holder.holder, acquired, now));
        views.truncate(at + 1);
        prop_assert_eq!(two_leaders(&views).len(), 1, "{:?}", views);
    }

    #[test]
    fn a_lease_that_is_taken_early_is_found(views in history(), early in 1_u64..15) {
        let mut views = views;
        let taken = |next: &usize| !views[*next - 1].holder.is_empty() && !views[*next].holder.is_empty();
        let Some(next) = ends(&views).into_iter().find(taken) else { return Ok(()) };
        views.truncate(next + 1);
        let acquired = seconds(views[next - 1].renewed + views[next - 1].term) - early;
        let holder = views[next].holder.clone();
        views[next] = view(&holder, acquired, acquired);
        prop_assert_eq!(two_leaders(&views).len(), 1);
    }
}
