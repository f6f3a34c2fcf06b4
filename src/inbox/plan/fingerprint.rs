//! What tells one delivery from a repetition of the last: the order's files.

use std::time::SystemTime;

use serde::{Deserialize, Deserializer, Serialize};

use crate::flow::millis;

/// The files of an order, as far as an answer described them: per file an id, and where given
/// its size, modification time and digest.
///
/// Two fingerprints are compared part by part, only where both carry the part; an absent part
/// never differs. A file that is added or removed is a difference only where both carry files:
/// a listing without assets has the fingerprint of [`Fingerprint::none`], which differs from
/// nothing. Model of ours: Align documents nothing that tells two deliveries apart.
///
/// It is made of explicit parts and never of a URL: download URLs are signed anew for each
/// answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub(in crate::inbox) struct Fingerprint {
    /// Sorted by id, each id once. Empty: the answer carried no files.
    files: Vec<File>,
}

impl Fingerprint {
    /// The fingerprint of these files, in any order. Of none it is [`Fingerprint::none`].
    #[must_use]
    pub(in crate::inbox) fn new(files: impl IntoIterator<Item = File>) -> Self {
        let mut files: Vec<File> = files.into_iter().collect();
        files.sort_by(|one, other| one.id.cmp(&other.id));
        files.dedup_by(|again, first| {
            let same = again.id == first.id;
            if same {
                first.complete_with(again);
            }
            same
        });
        Fingerprint { files }
    }

    /// The fingerprint of an answer that described no files.
    #[must_use]
    pub(in crate::inbox) const fn none() -> Self {
        Fingerprint { files: Vec::new() }
    }

    /// Whether it carries nothing to compare.
    #[must_use]
    pub(in crate::inbox) fn is_none(&self) -> bool {
        self.files.is_empty()
    }

    /// Whether the files changed between the two.
    #[must_use]
    pub(in crate::inbox) fn differs(&self, other: &Fingerprint) -> bool {
        self.compare(other) == Comparison::Changed
    }

    /// What a later answer says beyond this one. Allocates nothing.
    pub(super) fn compare(&self, later: &Fingerprint) -> Comparison {
        if later.is_none() {
            return Comparison::Nothing;
        }
        if self.is_none() {
            return Comparison::More;
        }
        if self.files.len() != later.files.len() {
            return Comparison::Changed;
        }
        let mut all = Comparison::Nothing;
        for (one, later) in self.files.iter().zip(&later.files) {
            if one.id != later.id {
                return Comparison::Changed;
            }
            all = all
                .max(part(one.size.as_ref(), later.size.as_ref()))
                .max(part(one.modified.as_ref(), later.modified.as_ref()))
                .max(part(one.digest.as_ref(), later.digest.as_ref()));
        }
        all
    }

    /// Takes over the parts that only the other one carries. Both have the same files, or this
    /// one has none.
    pub(super) fn complete_with(&mut self, later: &Fingerprint) {
        if self.is_none() {
            self.files.clone_from(&later.files);
            return;
        }
        for (file, later) in self.files.iter_mut().zip(&later.files) {
            file.complete_with(later);
        }
    }
}

impl FromIterator<File> for Fingerprint {
    fn from_iter<I: IntoIterator<Item = File>>(files: I) -> Self {
        Fingerprint::new(files)
    }
}

/// Read through [`Fingerprint::new`]: what is stored may have been edited.
impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Fingerprint::new(Vec::deserialize(deserializer)?))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Comparison {
    /// Nothing beyond what is known.
    Nothing,
    /// The same files, better described.
    More,
    /// Other files.
    Changed,
}

fn part<T: PartialEq>(one: Option<&T>, later: Option<&T>) -> Comparison {
    match (one, later) {
        (_, None) => Comparison::Nothing,
        (None, Some(_)) => Comparison::More,
        (Some(one), Some(later)) if one == later => Comparison::Nothing,
        (Some(_), Some(_)) => Comparison::Changed,
    }
}

/// One file in a [`Fingerprint`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(in crate::inbox) struct File {
    id: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "millis::option"
    )]
    modified: Option<SystemTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<Box<str>>,
}

impl File {
    /// A file of which only the id is known. The id has to last: of a signed URL take nothing.
    /// It is stored and printed by `Debug`, so take no file name that names a patient.
    #[must_use]
    pub(in crate::inbox) fn new(id: impl Into<String>) -> Self {
        File {
            id: id.into().into_boxed_str(),
            size: None,
            modified: None,
            digest: None,
        }
    }

    /// Its size in bytes.
    #[must_use]
    pub(in crate::inbox) fn size(mut self, bytes: u64) -> Self {
        self.size = Some(bytes);
        self
    }

    /// When it was last changed, kept to the millisecond.
    #[must_use]
    pub(in crate::inbox) fn modified(mut self, time: SystemTime) -> Self {
        self.modified = Some(millis::cut(time));
        self
    }

    /// Its digest or entity tag, compared letter for letter.
    #[must_use]
    pub(in crate::inbox) fn digest(mut self, digest: impl Into<String>) -> Self {
        self.digest = Some(digest.into().into_boxed_str());
        self
    }

    fn complete_with(&mut self, other: &File) {
        self.size = self.size.or(other.size);
        self.modified = self.modified.or(other.modified);
        if self.digest.is_none() {
            self.digest.clone_from(&other.digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn a_size_that_both_give_tells_a_rescan() {
        let listed = Fingerprint::new([File::new("scan")]);
        let fetched = Fingerprint::new([File::new("scan").size(84_213_760)]);
        let rescanned = Fingerprint::new([File::new("scan").size(90_177_536)]);
        assert!(!listed.differs(&fetched));
        assert!(fetched.differs(&rescanned));
    }

    #[test]
    fn an_absent_part_never_differs() {
        let bare = Fingerprint::new([File::new("a"), File::new("b")]);
        let full = Fingerprint::new([
            File::new("b").digest("x"),
            File::new("a").size(1).modified(UNIX_EPOCH),
        ]);
        assert!(!bare.differs(&full) && !full.differs(&bare));
        assert_eq!(bare.compare(&full), Comparison::More);
        assert_eq!(full.compare(&bare), Comparison::Nothing);
        let mut learned = bare.clone();
        learned.complete_with(&full);
        assert_eq!(learned, full);
    }

    #[test]
    fn each_part_differs_where_both_carry_it() {
        let one = File::new("a").size(1).modified(UNIX_EPOCH).digest("x");
        let later = UNIX_EPOCH + std::time::Duration::from_secs(1);
        for changed in [
            File::new("a").size(2),
            File::new("a").modified(later),
            File::new("a").digest("y"),
            File::new("A"),
        ] {
            let (one, changed) = (Fingerprint::new([one.clone()]), Fingerprint::new([changed]));
            assert!(one.differs(&changed) && changed.differs(&one));
        }
    }

    #[test]
    fn files_are_added_or_removed_only_where_both_carry_files() {
        let one = Fingerprint::new([File::new("a")]);
        let two = Fingerprint::new([File::new("a"), File::new("b")]);
        assert!(one.differs(&two) && two.differs(&one));
        for some in [&one, &two] {
            assert!(!some.differs(&Fingerprint::none()));
            assert!(!Fingerprint::none().differs(some));
        }
        assert_eq!(Fingerprint::new([]), Fingerprint::none());
    }

    #[test]
    fn an_id_that_comes_twice_is_one_file() {
        let twice = Fingerprint::new([File::new("a").size(1), File::new("a").digest("x")]);
        assert_eq!(
            twice,
            Fingerprint::new([File::new("a").size(1).digest("x")])
        );
    }
}
