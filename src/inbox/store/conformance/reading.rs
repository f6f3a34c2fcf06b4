//! Reading: what a listing should have, which fetches are due, pages, and what is forgotten.
//!
//! *Problem.* A store reads by indexes and conditions of its own, which may say something else than
//! `Case` does.
//!
//! *Approach.* Cases at each edge of a condition are kept, and the answer is compared with the
//! whole list. An answer must have each case once: one that comes twice is fetched or exported
//! twice.

use std::time::{Duration, UNIX_EPOCH};

use super::{
    Check, DOWNLOADED, LONG, READY, SPAN, again, arrived, case, delivery, ids, order, save,
};
use crate::auth::{Violation, holds};
use crate::error::Result;
use crate::inbox::store::{AccountState, CaseStore, Counts, Outcome, Save};
use crate::model::{OrderId, RxId};

/// An account that nobody used: nothing is there, and nothing fails.
pub(super) async fn empty<S: CaseStore + 'static>(check: &mut Check<S>) -> Result<(), Violation> {
    let (store, account, now) = (&check.store, &check.account, check.now);
    let rule = "an account that was never used is empty";
    holds(check.state().await? == AccountState::default(), rule)?;
    let id = OrderId::new("1");
    let expected = store.expected(account).await?;
    holds(expected.is_empty(), rule)?;
    let rx_id = RxId::new("1");
    holds(store.find(account, &id).await?.is_none(), rule)?;
    let (orders, rx_ids) = ([id.clone()], [rx_id]);
    let found = store.find_all(account, &orders, &rx_ids).await?;
    holds(found.is_empty(), rule)?;
    holds(store.due(account, now, 10).await?.is_empty(), rule)?;
    holds(check.claim("t", 10, LONG).await?.is_empty(), rule)?;
    holds(!check.settle(1, "t", Outcome::Acknowledged).await?, rule)?;
    holds(check.settle_all(&[]).await?.is_empty(), rule)?;
    holds(check.log().await?.is_empty(), rule)?;
    holds(store.cases(account, None, 10).await?.is_empty(), rule)?;
    holds(store.counts(account, now).await? == Counts::default(), rule)?;
    holds(!store.forget(account, &id).await?, rule)?;
    holds(store.forget_before(account, now, 10).await? == 0, rule)
}

/// Those that a listing should have, each once.
pub(super) async fn expected<S: CaseStore + 'static>(
    check: &mut Check<S>,
) -> Result<(), Violation> {
    let mut saves = Vec::new();
    for (id, status) in [
        ("listed", READY),
        ("review", "Lab Review"),
        ("quiet", DOWNLOADED),
        ("other", "iTero Milling"),
        ("leaves", READY),
    ] {
        saves.push(save(case(id, 0, status, None, None)?, Some(order(id, "")?)));
    }
    check.keep(saves).await?;
    // A column that is written with the first version only would keep the one and miss the other.
    let leaves = case("leaves", 1, DOWNLOADED, None, None)?;
    let joins = case("other", 1, READY, None, None)?;
    check
        .keep(vec![save(leaves, None), save(joins, None)])
        .await?;

    let cases = check.store.expected(&check.account).await?;
    let mut found = ids(&cases);
    found.sort_unstable();
    holds(
        found == ["listed", "other", "review"],
        "expected are the cases that a listing should have, each once",
    )?;
    let other = cases
        .iter()
        .find(|case| case.order_id().as_str() == "other");
    let kept = check.find("other").await?.map(|stored| stored.case);
    holds(
        other.is_some() && other == kept.as_ref(),
        "an expected case is the case as it was kept",
    )
}

/// The longest due first.
pub(super) async fn due<S: CaseStore + 'static>(check: &mut Check<S>) -> Result<(), Violation> {
    let now = check.now;
    let ms = Duration::from_millis(1);
    let early = UNIX_EPOCH - 1000 * ms;
    let mut saves = Vec::new();
    for (id, look_at) in [
        ("never", None),
        ("far", Some(now + SPAN)),
        ("later", Some(now + LONG)),
        ("fourth", Some(now)),
        ("third", Some(now - ms)),
        ("second", Some(early + ms)),
        ("first", Some(early)),
        ("moves", Some(early - ms)),
    ] {
        saves.push(save(case(id, 0, DOWNLOADED, None, look_at)?, None));
    }
    check.keep(saves).await?;
    // It was due first: an index that keeps old rows would still say so.
    let moves = case("moves", 1, DOWNLOADED, None, Some(now + LONG))?;
    check.keep(vec![save(moves, None)]).await?;
    let due = check.store.due(&check.account, now, 10).await?;
    holds(
        ids(&due) == ["first", "second", "third", "fourth"],
        "cases whose time has come are due, the longest due first",
    )?;
    let due = check.store.due(&check.account, now, 2).await?;
    holds(
        ids(&due) == ["first", "second"],
        "no more are due than asked for",
    )?;
    let none = check.store.due(&check.account, now, 0).await?;
    holds(none.is_empty(), "a limit of 0 returns nothing")
}

/// Several at once, by either id.
pub(super) async fn find_all<S: CaseStore + 'static>(
    check: &mut Check<S>,
) -> Result<(), Violation> {
    check.deliver(&["1", "2", "3"]).await?;
    // Twice, unknown, and found by both ids.
    let order_ids = ["1", "1", "none"].map(OrderId::new);
    let rx_ids = ["rx 1", "rx 2", "none"].map(RxId::new);
    let found = check
        .store
        .find_all(&check.account, &order_ids, &rx_ids)
        .await?;
    let mut names = ids(&found);
    names.sort_unstable();
    holds(
        names == ["1", "2"],
        "cases are found by order ids and by Rx ids, each once",
    )?;
    let kept = check.find("1").await?.map(|stored| stored.case);
    holds(
        found.iter().any(|case| Some(case) == kept.as_ref()),
        "a case that is found with others is the case as it was kept",
    )?;
    // More than some databases take as parameters of a statement: 999 in SQLite before 3.32.
    let many: Vec<_> = (0..3000).map(|n| OrderId::new(n.to_string())).collect();
    let found = check.store.find_all(&check.account, &many, &[]).await?;
    holds(found.len() == 3, "many orders can be asked for at once")?;
    let none = check.store.find_all(&check.account, &[], &[]).await?;
    holds(
        none.is_empty(),
        "where nothing is asked for nothing is found",
    )
}

/// Cases and arrivals in pages; how much there is.
pub(super) async fn pages<S: CaseStore + 'static>(check: &mut Check<S>) -> Result<(), Violation> {
    let account = &check.account;
    let mut saves = Vec::new();
    for number in 0..25 {
        let mut save = delivery(&format!("case {number}"), 0, 1)?;
        save.arrivals.push(arrived(1, None));
        saves.push(save);
    }
    check.keep(saves).await?;
    let (mut seen, mut last) = (Vec::new(), None);
    loop {
        let page = check.store.cases(account, last.as_ref(), 10).await?;
        holds(
            page.len() <= 10,
            "a page of cases has no more than asked for",
        )?;
        let Some(end) = page.last() else { break };
        holds(seen.len() < 25, "each case is on one page")?;
        last = Some(end.case.order_id().clone());
        seen.extend(page);
    }
    let mut all = ids(seen.iter().map(|stored| &stored.case));
    all.sort_unstable();
    all.dedup();
    holds(all.len() == 25, "each case is on one page")?;
    for stored in seen.iter().take(3) {
        let kept = check.find(stored.case.order_id().as_str()).await?;
        holds(
            kept.as_ref() == Some(stored),
            "a page has the cases as they were kept, with their orders",
        )?;
    }
    let none = check.store.cases(account, None, 0).await?;
    holds(none.is_empty(), "a limit of 0 returns nothing")?;

    let mut after = 0;
    loop {
        let page = check.store.arrivals(account, after, 7).await?;
        holds(
            page.len() <= 7,
            "a page of the log has no more than asked for",
        )?;
        if page.is_empty() {
            break;
        }
        for logged in page {
            after += 1;
            holds(
                logged.sequence() == after,
                "a page of the log begins behind the number that is given, in its order",
            )?;
        }
    }
    holds(after == 50, "the log has every arrival")?;
    // The largest number is one that a column of 64 bits with a sign does not have.
    for (after, limit) in [(u64::MAX, 7), (50, 7), (0, 0)] {
        let none = check.store.arrivals(account, after, limit).await?;
        holds(
            none.is_empty(),
            "behind the end of the log there is nothing",
        )?;
    }

    let counts = check.store.counts(account, check.now).await?;
    holds(
        (counts.cases, counts.open, counts.hidden, counts.failed) == (25, 25, 0, 0),
        "cases and open deliveries are counted",
    )?;
    let claimed = check.claim("t", 3, LONG).await?;
    let [one, two, ..] = &claimed[..] else {
        return Err(Violation::of("open deliveries can be claimed"));
    };
    check.settle(one.sequence, "t", super::failed("x")).await?;
    check
        .settle(two.sequence, "t", Outcome::Acknowledged)
        .await?;
    let counts = check.store.counts(account, check.now).await?;
    holds(
        (counts.cases, counts.open, counts.hidden, counts.failed) == (25, 24, 1, 1),
        "hidden and failed deliveries are counted, and acknowledged ones are not",
    )
}

/// Data go, and what a case is known by stays.
pub(super) async fn forgotten<S: CaseStore + 'static>(
    check: &mut Check<S>,
) -> Result<(), Violation> {
    let ms = Duration::from_millis(1);
    let time = check.now - LONG;
    let quiet = |id: &str, at| {
        Ok::<_, Violation>(save(
            case(id, 0, DOWNLOADED, at, None)?,
            Some(order(id, "")?),
        ))
    };
    let busy = Save {
        arrivals: vec![arrived(0, Some(1))],
        ..quiet("busy", Some(time - LONG))?
    };
    let listed = case("listed", 0, READY, Some(time - LONG), None)?;
    // Without data there is nothing to forget, and it must not be counted.
    let mut bare = quiet("bare", Some(time - LONG))?;
    bare.order = None;
    check
        .keep(vec![
            quiet("old", Some(time - ms))?,
            quiet("just", Some(time))?,
            quiet("early", Some(UNIX_EPOCH - LONG))?,
            quiet("unknown", None)?,
            quiet("one", Some(check.now))?,
            save(listed, Some(order("listed", "")?)),
            busy,
            bare,
        ])
        .await?;
    let before = check.find("old").await?;
    let (store, account) = (&check.store, &check.account);
    let mut forgotten = 0;
    loop {
        let some = store.forget_before(account, time, 2).await?;
        holds(some <= 2, "no more are forgotten than the limit says")?;
        forgotten += some;
        if some < 2 {
            break;
        }
    }
    holds(
        forgotten == 3,
        "forgotten are cases whose last arrival was before, or is of unknown time, and that have data",
    )?;
    for id in ["old", "early", "unknown"] {
        let left = check.find(id).await?;
        holds(
            left.is_some_and(|stored| stored.order.is_none()),
            "what is forgotten is gone, and its case stays",
        )?;
    }
    let left = check.find("old").await?.map(|stored| stored.case);
    holds(
        left == before.map(|stored| stored.case),
        "a case whose data are forgotten stays as it is",
    )?;
    for id in ["just", "one", "listed", "busy"] {
        let left = check.find(id).await?;
        holds(
            left.is_some_and(|stored| stored.order.is_some()),
            "not forgotten are cases that are newer, listed or have an open delivery",
        )?;
    }
    holds(
        store.forget_before(account, time, 10).await? == 0,
        "nothing is forgotten twice",
    )?;
    for (id, done) in [
        ("one", true),
        ("one", false),
        ("listed", false),
        ("busy", false),
        ("none", false),
    ] {
        let forgotten = store.forget(account, &OrderId::new(id)).await?;
        holds(forgotten == done, "one case is forgotten, if it may be")?;
    }
    // The delivery is still there, and when it is done its data can go too.
    let claimed = check.claim("t", 10, LONG).await?;
    let [claimed] = &claimed[..] else {
        return Err(Violation::of("to forget takes no delivery away"));
    };
    check.settle(claimed.sequence, "t", again()).await?;
    check.claim("u", 10, LONG).await?;
    check
        .settle(claimed.sequence, "u", Outcome::Acknowledged)
        .await?;
    let forgotten = store.forget(account, &OrderId::new("busy")).await?;
    holds(forgotten, "what is done can be forgotten")?;
    let log = check.log().await?;
    holds(
        log.len() == 1 && log.iter().all(|logged| logged.order().is_none()),
        "the log stays when data are forgotten",
    )
}
