//! The files of an order: what tells one delivery from a repetition of the last.
//!
//! *Problem.* A rescan can come back in the same status, with nothing but its files to show for it.
//! A service may also list the same files with more or less said of them each time.
//!
//! *Approach.* Only what both answers say is compared. A part that is missing must never count as a
//! change: a listing that is terse would deliver at each poll (test
//! `a_listing_with_fewer_files_than_a_fetch_delivers_once`).

use std::borrow::Cow;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::flow::millis;

/// The files that an answer described, or that a view has shown so far.
///
/// It is made of explicit parts and never of a URL: download URLs are signed anew in each answer.
/// A file without an id is left out by whoever makes it: a mere kind is no evidence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(in crate::inbox) struct Files(
    /// Sorted by id, each id once.
    Vec<File<'static>>,
);

/// One file: an id, and where given its size, modification time and digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::inbox) struct File<'a> {
    id: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(
        default,
        with = "millis::option",
        skip_serializing_if = "Option::is_none"
    )]
    modified: Option<SystemTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<Cow<'a, str>>,
}

impl Files {
    /// These files, in any order; an id that comes twice is one file.
    pub(in crate::inbox) fn new<'a>(files: impl IntoIterator<Item = File<'a>>) -> Self {
        let mut all = Files::default();
        for file in files {
            // Sorted as they come: an order has a handful of files.
            match all.0.binary_search_by(|one| one.id.cmp(&file.id)) {
                Ok(at) => all.0[at].fill(&file),
                Err(at) => all.0.insert(at, file.into_owned()),
            }
        }
        all
    }

    /// Of an answer that described no files.
    pub(in crate::inbox) const fn none() -> Self {
        Files(Vec::new())
    }

    pub(in crate::inbox) fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// What a later answer shows that these lack or have otherwise: a file that is not among
    /// them whole, of a changed one the parts that changed. A missing file says nothing, and
    /// neither does the first answer with files.
    pub(super) fn changes(&self, later: &Files) -> Files {
        if self.is_none() {
            return Files::none();
        }
        let change = |file: &File<'static>| match self.find(&file.id) {
            None => Some(file.clone()),
            Some(known) => known.change(file),
        };
        Files(later.0.iter().filter_map(change).collect())
    }

    /// Whether a later answer adds nothing, not even a part.
    pub(super) fn cover(&self, later: &Files) -> bool {
        later.0.iter().all(|file| self.has(file))
    }

    /// Whether a file adds nothing.
    pub(super) fn has(&self, file: &File<'_>) -> bool {
        self.find(&file.id).is_some_and(|known| known.carries(file))
    }

    /// Whether both show one and the same change.
    pub(super) fn share_a_change(&self, other: &Files) -> bool {
        let same = |one: &File<'static>| other.find(&one.id).is_some_and(|other| one.agrees(other));
        self.0.iter().any(same)
    }

    /// Whether both describe a file in ways that cannot both be true.
    pub(in crate::inbox) fn contradict(&self, other: &Files) -> bool {
        let contradicts = |one: &File<'static>| {
            other
                .find(&one.id)
                .and_then(|other| one.change(other))
                .is_some()
        };
        self.0.iter().any(contradicts)
    }

    /// Takes in what a later answer shows.
    pub(super) fn grow(&mut self, later: &Files) {
        for file in &later.0 {
            match self.0.binary_search_by(|one| one.id.cmp(&file.id)) {
                Ok(at) => self.0[at].replace_with(file),
                Err(at) => self.0.insert(at, file.clone()),
            }
        }
    }

    fn find(&self, id: &str) -> Option<&File<'static>> {
        let at = self.0.binary_search_by(|one| (*one.id).cmp(id));
        at.ok().and_then(|at| self.0.get(at))
    }
}

/// Read through [`Files::new`]: what is stored may have been edited.
impl<'de> Deserialize<'de> for Files {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Files::new(Vec::deserialize(deserializer)?))
    }
}

impl<'a> File<'a> {
    /// A file of which only the id is known. The id has to last: of a signed URL take nothing.
    pub(in crate::inbox) fn new(id: impl Into<Cow<'a, str>>) -> Self {
        File {
            id: id.into(),
            size: None,
            modified: None,
            digest: None,
        }
    }

    #[must_use]
    pub(in crate::inbox) fn size(mut self, bytes: u64) -> Self {
        self.size = Some(bytes);
        self
    }

    #[must_use]
    pub(in crate::inbox) fn modified(mut self, at: SystemTime) -> Self {
        self.modified = Some(millis::cut(at));
        self
    }

    /// Its digest or entity tag, compared letter for letter.
    #[must_use]
    pub(in crate::inbox) fn digest(mut self, digest: impl Into<Cow<'a, str>>) -> Self {
        self.digest = Some(digest.into());
        self
    }

    fn into_owned(self) -> File<'static> {
        File {
            id: self.id.into_owned().into(),
            size: self.size,
            modified: self.modified,
            digest: self.digest.map(|digest| digest.into_owned().into()),
        }
    }
}

impl File<'static> {
    /// The parts that both carry and that differ.
    fn change(&self, later: &Self) -> Option<Self> {
        let change = File {
            id: self.id.clone(),
            size: changed(self.size.as_ref(), later.size.as_ref()),
            modified: changed(self.modified.as_ref(), later.modified.as_ref()),
            digest: changed(self.digest.as_ref(), later.digest.as_ref()),
        };
        change.has_parts().then_some(change)
    }

    fn has_parts(&self) -> bool {
        self.size.is_some() || self.modified.is_some() || self.digest.is_some()
    }

    /// Whether two descriptions of a change are of the same one: nothing in them differs, and
    /// something is in both.
    fn agrees(&self, other: &Self) -> bool {
        let shared = (self.size.is_some() && other.size.is_some())
            || (self.modified.is_some() && other.modified.is_some())
            || (self.digest.is_some() && other.digest.is_some());
        // A file that is new has no parts that changed: its id is the whole change.
        let bare = !self.has_parts() || !other.has_parts();
        (shared || bare) && self.change(other).is_none()
    }

    /// Whether a later description has no part that this one lacks or has otherwise.
    fn carries(&self, later: &File<'_>) -> bool {
        (later.size.is_none() || later.size == self.size)
            && (later.modified.is_none() || later.modified == self.modified)
            && (later.digest.is_none() || later.digest == self.digest)
    }

    /// Within one answer the first description counts, and a further one only adds.
    fn fill(&mut self, other: &File<'_>) {
        self.size = self.size.or(other.size);
        self.modified = self.modified.or(other.modified);
        if self.digest.is_none() {
            let digest = other.digest.as_deref();
            self.digest = digest.map(|digest| digest.to_owned().into());
        }
    }

    /// Of two answers the later one counts, and what it does not say stays.
    fn replace_with(&mut self, later: &Self) {
        self.size = later.size.or(self.size);
        self.modified = later.modified.or(self.modified);
        if later.digest.is_some() {
            self.digest.clone_from(&later.digest);
        }
    }
}

fn changed<T: PartialEq + Clone>(one: Option<&T>, later: Option<&T>) -> Option<T> {
    match (one, later) {
        (Some(one), Some(later)) if one != later => Some(later.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(ids: &[&str]) -> Files {
        Files::new(ids.iter().map(|id| File::new(*id)))
    }

    #[test]
    fn a_missing_file_and_an_absent_part_say_nothing() {
        let known = Files::new([File::new("a").size(1), File::new("b")]);
        for later in [files(&["a"]), files(&["b"]), files(&[]), files(&["a", "b"])] {
            assert!(known.changes(&later).is_none());
            assert!(known.cover(&later));
        }
        let more = Files::new([File::new("a").digest("x")]);
        assert!(known.changes(&more).is_none() && !known.cover(&more));
        assert!(Files::none().changes(&known).is_none());
    }

    #[test]
    fn what_is_covered_lets_nothing_grow() {
        let mut all = vec![Files::none()];
        for id in ["a", "b"] {
            for size in [None, Some(1), Some(2)] {
                for modified in [None, Some(SystemTime::UNIX_EPOCH)] {
                    for digest in [None, Some("x"), Some("y")] {
                        let mut file = File::new(id);
                        (file.size, file.modified) = (size, modified);
                        file.digest = digest.map(Into::into);
                        all.push(Files::new([file]));
                    }
                }
            }
        }
        for known in &all {
            for later in &all {
                let mut grown = known.clone();
                grown.grow(later);
                assert_eq!(known.cover(later), grown == *known, "{known:?} {later:?}");
            }
        }
    }

    #[test]
    fn a_new_file_and_a_part_that_changed_are_changes() {
        let known = Files::new([File::new("a").size(1).digest("x")]);
        let renewed = Files::new([File::new("a").size(2).digest("x")]);
        assert_eq!(
            known.changes(&renewed),
            Files::new([File::new("a").size(2)])
        );
        assert_eq!(known.changes(&files(&["b"])), files(&["b"]));
        let mut grown = known.clone();
        grown.grow(&renewed);
        assert!(grown.changes(&renewed).is_none());
        assert!(!grown.changes(&known).is_none());
    }

    #[test]
    fn the_same_change_is_recognised_and_another_is_not() {
        let two = Files::new([File::new("a").size(2)]);
        let three = Files::new([File::new("a").size(3)]);
        assert!(two.share_a_change(&two) && !two.share_a_change(&three));
        assert!(files(&["b"]).share_a_change(&Files::new([File::new("b").size(1)])));
        assert!(!two.share_a_change(&Files::new([File::new("a").digest("x")])));
        assert!(two.contradict(&three) && !two.contradict(&files(&["a", "z"])));
    }
}
