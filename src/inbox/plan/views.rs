//! What one view shows, compared with what it showed before.
//!
//! *Problem.* Listings and fetches may be answered by different replicas. Either lags, and two that
//! disagree for good would be news to each other in every poll.
//!
//! *Approach.* A view is compared with itself. A status that the case has not had arrives at once; one
//! that it has had, and other files, wait for an answer that agrees. No arrival must follow from a
//! difference between the views: that would deliver without end (test
//! `_2_and_3_two_replicas_that_are_stuck`).

use super::files::Files;
use super::observation::OrderState;
use super::record::{Presence, Return, View, WeakNews};
use super::reported::HistoryNews;
use super::transition::{Planner, ViewName};
use crate::flow::{Arrival, History, Origin};
use crate::inbox::problem::ProblemKind;
use crate::status::{OrderStatus, Symbol};

impl View {
    /// A complete listing lacks the order.
    pub(super) fn leave(&mut self) {
        // Only at the first absence: an arrival since may have put the view behind, and a further
        // absence must not hide that.
        if self.presence != Presence::Absent {
            self.presence = Presence::Absent;
            self.behind = false;
        }
    }

    /// What it shows is the current state.
    fn catch_up(&mut self, status: &OrderStatus, files: &Files) {
        // A view that repeats itself is behind as before: its own change is still to come.
        if self.shows() != Some(status) || !self.files.changes(files).is_none() {
            self.presence = Presence::Present(status.clone());
            self.behind = false;
        }
        self.files.grow(files);
    }
}

impl Planner<'_> {
    /// What an answer shows of the order.
    pub(super) fn shown(&mut self, name: ViewName, shown: &OrderState<'_>) {
        self.record.unsettled = None;
        let gap = match self.history_news(shown) {
            HistoryNews::Outdated => return,
            HistoryNews::Nothing => Vec::new(),
            HistoryNews::News(gap) => gap,
        };
        if self.record.is_new() {
            // The first answer about an order is enough: to wait for a second one could lose it.
            self.arrive(shown.status, shown.files, name, &gap, false);
            self.settle_view(name, shown.status, shown.files);
            return;
        }
        // A history with new entries says more than the mark of our own return.
        if gap.is_empty() && self.is_explained_by_return(name, shown) {
            return;
        }
        // Each answer of the view settles what the one before left open; `agree` may open it again.
        // Test `a_fetch_that_contradicts_the_one_before_is_made_once_more`.
        self.view_mut(name).unsure = false;
        // While news of this view waits, only agreement counts: to compare as well would replace
        // it, and begin its count anew.
        if !self.agree(name, shown, &gap) && self.view(name).waiting.is_none() {
            self.compare(name, shown, gap);
        }
    }

    /// Takes what an answer shows for an arrival, at once.
    pub(super) fn arrive_as_shown(
        &mut self,
        name: ViewName,
        shown: &OrderState<'_>,
        doubtful: bool,
    ) {
        self.arrive(shown.status, shown.files, name, &[], doubtful);
        self.settle_view(name, shown.status, shown.files);
    }

    /// Whether our own return explains what is shown: the service confirms it, or lags behind.
    fn is_explained_by_return(&mut self, name: ViewName, shown: &OrderState<'_>) -> bool {
        let Some(Return { before, until }) = &self.record.returned else {
            return false;
        };
        if shown.status.symbol() == Some(Symbol::S) {
            self.record.returned = None;
            self.view_mut(name).catch_up(shown.status, shown.files);
            return true;
        }
        let Some(until) = until else {
            return false;
        };
        if until.has_passed(self.observation.now) {
            // What the views show from now on is compared with the return alone.
            self.problems.push(ProblemKind::ReturnUnconfirmed);
            for view in [&mut self.record.listings, &mut self.record.fetches] {
                view.presence = Presence::Unseen;
            }
            if let Some(mark) = &mut self.record.returned {
                mark.until = None;
            }
            return false;
        }
        // The status from before the return is a view that lags; with other files it is the rescan.
        // Test `_9_files_that_a_lagging_view_would_not_show`.
        shown.status == before && self.view(name).files.changes(shown.files).is_none()
    }

    /// Lets an answer agree with the weak news that waits, and ends that of its own view which it
    /// does not agree with. Whether that made an arrival.
    fn agree(&mut self, name: ViewName, shown: &OrderState<'_>, gap: &[Arrival]) -> bool {
        // Either view may agree with the news of the other: what two replicas say is not the
        // mistake of one.
        for brought_by in [ViewName::Listings, ViewName::Fetches] {
            let changes = self.view(brought_by).files.changes(shown.files);
            // Taken out, and put back at the end: each `continue` ends it.
            let Some(mut news) = self.view_mut(brought_by).waiting.take() else {
                continue;
            };
            if self.is_overtaken(&news) {
                continue;
            }
            // Entries that another arrival took meanwhile would arrive a second time.
            news.gap.retain(|entry| !self.record.has_taken(entry));
            let same_status = news.status == *shown.status;
            if same_status && (news.changes.is_none() || news.changes.share_a_change(&changes)) {
                news.agreed = news.agreed.saturating_add(1);
                // The service's history may have gone on since: what is delivered is the end of it.
                // Test `_20_a_history_that_has_gone_on_when_an_answer_agrees`.
                if !gap.is_empty() {
                    news.gap = gap.to_vec();
                }
                if news.agreed >= self.record.agreement_needed(&news.status) {
                    self.arrive_agreed(name, shown, brought_by, &news);
                    return true;
                }
            } else if brought_by == name && !(same_status && shown.files.is_none()) {
                // Only its own view ends it, since the other one may lag. An answer without files
                // says nothing against news of files.
                self.not_agreed(&news);
                self.view_mut(name).unsure = true;
                continue;
            }
            self.view_mut(brought_by).waiting = Some(news);
        }
        false
    }

    /// A delivery that came to nothing is a problem; a quiet status has merely gone by.
    pub(super) fn not_agreed(&mut self, news: &WeakNews) {
        if news.status.is_listed() || news.status.symbol().is_none() {
            self.problems.push(ProblemKind::NotAgreed);
        }
    }

    /// Whether another arrival made weak news pointless: its status is the current one by now, or
    /// the service's history that came with it is known to its end.
    fn is_overtaken(&self, news: &WeakNews) -> bool {
        match news.gap.last() {
            Some(end) => self.record.has_taken(end),
            None => news.changes.is_none() && self.record.is_current(&news.status),
        }
    }

    fn arrive_agreed(
        &mut self,
        name: ViewName,
        shown: &OrderState<'_>,
        brought_by: ViewName,
        news: &WeakNews,
    ) {
        // Only a listing makes work of a status without a symbol.
        let origin = match name {
            ViewName::Listings if news.status.symbol().is_none() => name,
            _ => brought_by,
        };
        // In the status that the case has, only its files are news: they may be late ones of the
        // same scan. Test `_24_files_that_appear_one_by_one`.
        let doubtful = self.record.is_current(&news.status) && news.gap.is_empty();
        self.arrive(&news.status, &news.files, origin, &news.gap, doubtful);
        if brought_by != name {
            self.settle_view(brought_by, &news.status, &news.files);
        }
        // Where it shows what it showed before, its own change is still to come.
        self.view_mut(name).catch_up(shown.status, shown.files);
        if brought_by == name {
            self.view_mut(name).behind = false;
        }
    }

    fn compare(&mut self, name: ViewName, shown: &OrderState<'_>, gap: Vec<Arrival>) {
        let status = shown.status;
        let view = self.view(name);
        let changes = view.files.changes(shown.files);
        let is_same = view.shows() == Some(status);
        // A quiet status that a fetch shows for good says something new after each arrival that
        // listings brought, as long as they do not contradict it. Tests
        // `_5_fetches_that_show_one_status_for_ever` and
        // `a_fetch_stands_alone_while_an_incomplete_listing_lacks_the_order`.
        let lists_it = self.record.listings.shows().is_some() && !self.record.schedule.unlisted;
        let stands_alone = name == ViewName::Fetches && !lists_it && !status.is_listed();
        let is_news = !is_same || stands_alone || !changes.is_none();
        if !self.record.is_current(status) || !gap.is_empty() {
            if !is_news && gap.is_empty() {
                // The view lags behind.
            } else if self.record.has_had(status) {
                // Files that changed with the status are part of that change: agreement on the
                // status is enough.
                let changes = if is_same && gap.is_empty() && !stands_alone {
                    changes
                } else {
                    Files::none()
                };
                self.wait_for_agreement(name, shown, changes, gap);
            } else {
                self.arrive(status, shown.files, name, &gap, false);
                self.settle_view(name, status, shown.files);
            }
            return;
        }
        let is_listing = name == ViewName::Listings;
        // Whatever is listed waits for the lab, also in a status that nobody knows. A fetch may
        // have brought it before, and made no work of it. Test
        // `_16_and_17_statuses_that_nobody_knows`.
        let waits_for_lab = is_listing && status.symbol().is_none();
        if waits_for_lab && !self.record.history.last().is_some_and(Arrival::is_delivery) {
            self.arrive_as_shown(name, shown, true);
        } else if is_listing
            && self.record.listings.presence == Presence::Absent
            && self.record.absence_evidence() >= self.record.absences_needed
        {
            // Away for long enough to have been rescanned, where nobody saw it. The next time it
            // takes twice as long, so that a listing that flickers comes to rest.
            self.record.absences_needed = self.record.absences_needed.saturating_mul(2);
            self.arrive_as_shown(name, shown, true);
        } else if !changes.is_none() && !self.belongs_to_last_arrival(name, shown.files) {
            self.wait_for_agreement(name, shown, changes, gap);
        } else {
            if is_listing && !changes.is_none() {
                // It belongs to the arrival that a fetch brought, or is newer: a fetch shows which. Test
                // `files_that_are_taken_for_part_of_an_arrival_cause_a_fetch`.
                self.record.hinted(self.observation.now, self.policy);
            }
            self.view_mut(name).catch_up(status, shown.files);
        }
    }

    /// Whether changed files are the view's part of an arrival that the other one brought.
    fn belongs_to_last_arrival(&self, name: ViewName, files: &Files) -> bool {
        let other = match name {
            ViewName::Listings => &self.record.fetches,
            ViewName::Fetches => &self.record.listings,
        };
        self.view(name).behind && !other.files.contradict(files)
    }

    fn wait_for_agreement(
        &mut self,
        name: ViewName,
        shown: &OrderState<'_>,
        changes: Files,
        gap: Vec<Arrival>,
    ) {
        self.view_mut(name).waiting = Some(WeakNews {
            status: shown.status.clone(),
            changes,
            files: shown.files.clone(),
            gap,
            agreed: 0,
        });
    }

    /// Adds an arrival, with what the service's own history tells of the time before: its last
    /// entry is the arrival itself.
    fn arrive(
        &mut self,
        status: &OrderStatus,
        files: &Files,
        name: ViewName,
        gap: &[Arrival],
        doubtful: bool,
    ) {
        let observation = self.observation;
        let record = &mut self.record;
        let is_first = record.is_new();
        if is_first {
            let created = observation.evidence.created();
            let is_partial = self
                .coverage
                .is_partial(observation.begun, created, self.policy);
            if !is_partial {
                // Decided with the first arrival, and never again: what a history means must not
                // change.
                record.history = History::complete(Vec::<Arrival>::new());
            }
        }
        // Before the arrival is added: `has_had` asks about those before it.
        if record.has_had(status) {
            record.double_agreement(status);
        }
        if let Some((_, before)) = gap.split_last() {
            // Of an order that is new, what came before was dealt with elsewhere.
            let origin = if is_first {
                Origin::Imported
            } else {
                Origin::ServiceHistory
            };
            let before = before.iter().cloned();
            record
                .history
                .extend(before.map(|one| one.from_origin(origin)));
        }
        let origin = match name {
            ViewName::Listings => Origin::Listing,
            ViewName::Fetches => Origin::Fetched,
        };
        let arrival = Arrival::new(status.clone()).from_origin(origin);
        let arrival = arrival.at(observation.begun);
        let is_unknown_work = status.symbol().is_none() && arrival.is_delivery();
        // Nobody knows whether an unconfirmed return had any effect: all that follows it is doubtful.
        let is_return_open = record
            .returned
            .take()
            .is_some_and(|mark| mark.until.is_none());
        if doubtful || is_unknown_work || is_return_open {
            record.history.push(arrival.doubtful());
        } else {
            record.history.push(arrival);
        }
        // After the arrival is added: the end of the service's history remembers how many there
        // are.
        record.take_reported(gap);
        record.unsettled = None;
        for view in [&mut record.listings, &mut record.fetches] {
            // A view that shows otherwise will show this arrival later: its next change is this
            // one, and no second one.
            view.behind = view.shows() != Some(status) || !view.files.changes(files).is_none();
            // Files that changed while the status did belong to the same arrival.
            let is_over = |news: &mut WeakNews| news.status == *status || !news.changes.is_none();
            view.waiting.take_if(is_over);
        }
        record.renew_schedule();
    }

    /// What the view that brought an arrival shows.
    fn settle_view(&mut self, name: ViewName, status: &OrderStatus, files: &Files) {
        let view = self.view_mut(name);
        view.presence = Presence::Present(status.clone());
        view.files.grow(files);
        view.behind = false;
    }
}
