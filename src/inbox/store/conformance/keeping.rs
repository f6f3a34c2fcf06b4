//! Commits, and that what is read is what was kept.
//!
//! *Problem.* A store can keep a case and lose its arrival, keep half of a commit that fails, or
//! change a text on its way.
//!
//! *Approach.* Everything is read back by every way there is, and compared as a whole: a rule must
//! not pass because the one field that was looked at is right.

use std::iter::repeat_with;
use std::time::{Duration, UNIX_EPOCH};

use super::{
    Check, DOWNLOADED, LONG, READY, account, arrived, case, covered, delivery, order, save,
};
use crate::auth::{Violation, holds};
use crate::error::Result;
use crate::inbox::store::{
    CaseStore, Commit, ListingCoverage, LoggedArrival, Outcome, Save, StoredCase,
};
use crate::model::{OrderId, RxId};

/// New cases, new versions, the coverage, the log.
pub(super) async fn commits<S: CaseStore + 'static>(check: &mut Check<S>) -> Result<(), Violation> {
    let first = case("1", 0, READY, Some(check.now), None)?;
    let data = order("1", "first")?;
    // One that is no delivery and one that is: the log has both, the queue only the second.
    let arrivals = vec![arrived(0, None), arrived(1, Some(1))];
    let new = Save::new(first.clone(), Some(data.clone()), arrivals);
    check.keep(vec![new, delivery("2", 0, 1)?]).await?;
    let kept = check.find("1").await?;
    let kept = some(kept, "a case that was kept is found by its order id")?;
    holds(
        kept.case.version() == 1,
        "a case that is kept for the first time gets version 1",
    )?;
    holds(
        kept.case.record() == first.record() && kept.case.rx_id() == first.rx_id(),
        "the case that is found is the case that was kept",
    )?;
    holds(
        kept.order.as_ref() == Some(&data),
        "the order that is found is the order that was kept",
    )?;
    let rx_id = RxId::new("rx 1");
    let found = check.store.find_all(&check.account, &[], &[rx_id]).await?;
    holds(
        found == [kept.case.clone()],
        "a case that was kept is found by its Rx id",
    )?;

    // Without data: those that were there stay.
    let next = case("1", 1, DOWNLOADED, Some(check.now), None)?;
    check.keep(vec![save(next.clone(), None)]).await?;
    let kept = check.find("1").await?;
    let kept = some(kept, "a case that was kept twice is found")?;
    holds(
        kept.case.version() == 2 && kept.case.record() == next.record(),
        "a case that is kept again gets the next version and its new record",
    )?;
    holds(
        kept.order.as_ref() == Some(&data),
        "a commit without an order's data leaves them as they are",
    )?;
    let data = order("1", "second")?;
    let next = case("1", 2, READY, Some(check.now), None)?;
    check.keep(vec![save(next, Some(data.clone()))]).await?;
    let kept = some(check.find("1").await?, "a case that was kept is found")?;
    holds(
        kept.case.version() == 3 && kept.order == Some(data),
        "a commit with an order's data replaces them",
    )?;

    let log = check.log().await?;
    let numbers: Vec<_> = log.iter().map(LoggedArrival::sequence).collect();
    holds(
        numbers == [1, 2, 3],
        "arrivals are numbered from 1, one by one, in the order in which they are committed",
    )?;
    let logged: Vec<_> = log
        .iter()
        .map(|l| (l.history().arrivals().len(), l.ordinal()))
        .collect();
    holds(
        logged == [(1, None), (2, Some(1)), (1, Some(1))],
        "the log has an arrival's index, and the ordinal of a delivery",
    )?;
    let of: Vec<_> = log
        .iter()
        .map(|logged| logged.order_id().as_str())
        .collect();
    holds(of == ["1", "1", "2"], "the log says whose arrival it is")?;
    let now = log.first().map(LoggedArrival::order);
    holds(
        now == Some(kept.order.as_deref()),
        "the log has the order's data as they are now",
    )?;

    // Kept alone, as a poll does in which nothing changed.
    let coverage = covered(check.now);
    let commit = Commit {
        saves: Vec::new(),
        coverage: Some(coverage),
    };
    let done = check
        .store
        .commit(&check.account, &commit, check.now)
        .await?;
    holds(done, "a coverage can be kept alone")?;
    check.keep(vec![delivery("3", 0, 1)?]).await?;
    holds(
        check.state().await?.coverage == coverage,
        "a coverage stays until another one is kept",
    )?;
    holds(
        check.commit(Vec::new()).await?,
        "a commit of nothing succeeds",
    )
}

/// The account's, and those of its cases.
pub(super) async fn revisions<S: CaseStore + 'static>(
    check: &mut Check<S>,
) -> Result<(), Violation> {
    let rule = "a commit that changes what is recorded raises the account's revision by one, whatever the number of its cases, and they get it";
    let state = check.state().await?;
    holds(state.revision == 0, "an account's revision begins at 0")?;
    check.deliver(&["1", "2"]).await?;
    holds(check.state().await?.revision == 1, rule)?;
    for id in ["1", "2"] {
        let kept = check.find(id).await?;
        holds(kept.is_some_and(|kept| kept.case.revision() == 1), rule)?;
    }
    let changed = |id: &str, version, changes_record| -> Result<Save> {
        let mut save = save(case(id, version, READY, None, None)?, None);
        save.changes_record = changes_record;
        Ok(save)
    };
    // In one commit: what raises the revision for one must not lend it to the other.
    let both = vec![changed("1", 1, true)?, changed("2", 1, false)?];
    check.keep(both).await?;
    let (one, two) = (check.find("1").await?, check.find("2").await?);
    holds(check.state().await?.revision == 2, rule)?;
    holds(one.is_some_and(|one| one.case.revision() == 2), rule)?;
    let rule = "what does not change what is recorded raises no revision";
    holds(two.is_some_and(|two| two.case.revision() == 1), rule)?;
    // From here on nothing changes what is recorded: claims, outcomes, the right to poll, a commit
    // that fails.
    check.keep(vec![changed("2", 2, false)?]).await?;
    check.keep(Vec::new()).await?;
    check.claim("t1", 10, LONG).await?;
    check.settle(1, "t1", Outcome::Extended(LONG)).await?;
    check.settle(1, "t1", Outcome::Acknowledged).await?;
    check.polls("a", LONG).await?;
    let stale = check.commit(vec![changed("1", 1, true)?]).await?;
    holds(!stale && check.state().await?.revision == 2, rule)?;
    let expected = check.store.expected(&check.account).await?;
    let revisions = expected
        .iter()
        .map(|case| (case.order_id().as_str(), case.revision()));
    let mut revisions: Vec<_> = revisions.collect();
    revisions.sort_unstable();
    holds(
        revisions == [("1", 2), ("2", 1)],
        "a case comes with its revision wherever it is read",
    )
}

/// All or nothing; others see no more of it.
pub(super) async fn conflicts<S: CaseStore + 'static>(
    check: &mut Check<S>,
) -> Result<(), Violation> {
    check.keep(vec![delivery("1", 0, 1)?]).await?;
    check.keep(vec![delivery("1", 1, 2)?]).await?;
    let before = check.find("1").await?;
    let coverage = covered(check.now);
    for (what, conflict) in [
        (
            "a case that is new here and known there",
            delivery("1", 0, 1)?,
        ),
        ("an older version", delivery("1", 1, 2)?),
        ("a newer version", delivery("1", 3, 2)?),
        (
            "a version of a case that is not there",
            delivery("9", 1, 1)?,
        ),
    ] {
        // The conflict first and last: a store that writes as it goes has written the other one by
        // then.
        for first in [true, false] {
            let new = delivery("new", 0, 1)?;
            let mut saves = vec![new, conflict.clone()];
            if first {
                saves.reverse();
            }
            let commit = Commit {
                saves,
                coverage: Some(coverage),
            };
            let done = check
                .store
                .commit(&check.account, &commit, check.now)
                .await?;
            let rule = match what {
                "an older version" => "a commit over an older version fails",
                "a newer version" => "a commit over a newer version fails",
                "a version of a case that is not there" => {
                    "a commit over a version of a case that is not there fails"
                }
                _ => "a commit of a new case fails if it is known",
            };
            holds(!done, rule)?;
        }
    }
    let rule = "a commit that fails changes nothing";
    holds(check.find("1").await? == before, rule)?;
    holds(check.find("new").await?.is_none(), rule)?;
    holds(check.find("9").await?.is_none(), rule)?;
    holds(check.log().await?.len() == 2, rule)?;
    holds(
        check.state().await?.coverage == ListingCoverage::new(),
        rule,
    )?;
    let counts = check.store.counts(&check.account, check.now).await?;
    let counted = (counts.cases, counts.arrivals, counts.open);
    holds(counted == (1, 2, 2), rule)?;
    check.keep(vec![delivery("new", 0, 1)?]).await?;
    let last = check.log().await?.last().map(LoggedArrival::sequence);
    holds(
        last == Some(3),
        "a commit that fails leaves no gap in the log",
    )
}

/// Whatever an id or an order holds comes back as it was.
pub(super) async fn values<S: CaseStore + 'static>(check: &mut Check<S>) -> Result<(), Violation> {
    // The last millisecond of the year 9999, where text of RFC 3339 ends, and one from 1906.
    let far = UNIX_EPOCH + Duration::from_millis(253_402_300_799_999);
    let early = UNIX_EPOCH - Duration::from_millis(2_000_000_000_001);
    // Quotes and wildcards of SQL, marks of parameters, escapes, JSON, case, blanks, numbers that a
    // column might turn into one, controls, signs beyond the first plane.
    let odd = [
        "it's",
        "\"quoted\"",
        "100 %_",
        "a\\b\\\\c\\0",
        "a\0b",
        "🦷é\u{301}",
        "$1 ?1 :a @b {c}",
        "[\"1\",2]",
        "UPPER",
        "upper",
        " 1",
        "1 ",
        "01",
        "1",
        "1e0",
        "-1",
        "null",
        "\n\t\r",
        "\u{1}\u{7f}\u{feff}\u{10ffff}",
    ];
    // Texts that cannot be made shorter, as databases try to; the Rx ids have three characters more.
    let longest: String = repeat_with(fastrand::alphanumeric).take(253).collect();
    let escaped: String = (0..253)
        .map(|_| if fastrand::bool() { '\\' } else { '\0' })
        .collect();
    let odd = odd.into_iter().chain([&*longest, &*escaped]);
    let odd: Vec<&str> = odd.collect();
    // Some hundred kilobytes: beyond a page of any database.
    let long = "é🦷\"\\ ".repeat(60_000);
    let mut saves = Vec::new();
    for &id in &odd {
        let case = case(id, 0, READY, Some(early), Some(far))?;
        saves.push(save(case, Some(order(id, "")?)));
    }
    let mut status = String::from("A status that nobody knows\0: ");
    status += &long;
    let big = case("big", 0, &status, Some(far), None)?;
    saves.push(save(big.clone(), Some(order("big", &long)?)));
    check.keep(saves).await?;
    for &id in &odd {
        let rule = "an id is kept as it is, up to 256 bytes of whatever characters";
        let kept = some(check.find(id).await?, rule)?;
        let known = case(id, 1, READY, Some(early), Some(far))?;
        holds(kept.case.order_id().as_str() == id, rule)?;
        holds(kept.case.rx_id() == known.rx_id(), rule)?;
        holds(
            kept.case.record() == known.record(),
            "times are kept to the millisecond, also before 1970 and far ahead",
        )?;
        holds(
            kept.order == Some(order(id, "")?),
            "an order is kept as it is, whatever characters it has",
        )?;
        let rx_id = RxId::new(format!("rx {id}"));
        let found = check.store.find_all(&check.account, &[], &[rx_id]).await?;
        holds(
            found == [kept.case],
            "a case is found by its own Rx id only",
        )?;
    }
    let kept = some(check.find("big").await?, "a large case is kept")?;
    holds(
        kept.case.record() == big.record(),
        "a large case is kept whole",
    )?;
    holds(
        kept.order == Some(order("big", &long)?),
        "a large order is kept whole",
    )?;
    let asked: Vec<_> = odd.iter().map(|id| OrderId::new(*id)).collect();
    let found = check.store.find_all(&check.account, &asked, &[]).await?;
    holds(
        found.len() == odd.len(),
        "ids that differ in anything are different cases",
    )
}

/// Nothing of one account is seen from another.
pub(super) async fn accounts<S: CaseStore + 'static>(
    check: &mut Check<S>,
) -> Result<(), Violation> {
    let rule = "accounts have nothing in common";
    // The same order id in both accounts, so that a statement which forgets the account is found.
    let one = check.account.clone();
    let coverage = covered(check.now);
    let commit = Commit {
        saves: vec![delivery("1", 0, 1)?],
        coverage: Some(coverage),
    };
    holds(check.store.commit(&one, &commit, check.now).await?, rule)?;
    check.account = account("2");
    holds(check.find("1").await?.is_none(), rule)?;
    holds(check.log().await?.is_empty(), rule)?;
    holds(
        check.state().await?.coverage == ListingCoverage::new(),
        rule,
    )?;
    let ids = [OrderId::new("1")];
    let found = check.store.find_all(&check.account, &ids, &[]).await?;
    holds(found.is_empty(), rule)?;
    let expected = check.store.expected(&check.account).await?;
    holds(expected.is_empty(), rule)?;
    holds(check.claim("t", 10, super::LONG).await?.is_empty(), rule)?;
    holds(check.polls("a", LONG).await?, rule)?;

    check.keep(vec![delivery("1", 0, 1)?]).await?;
    let log = check.log().await?;
    holds(
        log.first().is_some_and(|logged| logged.sequence() == 1),
        "each account has a log of its own",
    )?;
    let claimed = check.claim("t", 10, super::LONG).await?;
    holds(super::sequences(&claimed) == [1], rule)?;
    check.account = one;
    let stale = check.settle(1, "t", super::again()).await?;
    holds(!stale, rule)?;
    holds(check.polls("b", LONG).await?, rule)?;
    let claimed = check.claim("u", 10, super::LONG).await?;
    holds(super::sequences(&claimed) == [1], rule)
}

fn some(stored: Option<StoredCase>, rule: &'static str) -> Result<StoredCase, Violation> {
    stored.ok_or_else(|| Violation::of(rule))
}
