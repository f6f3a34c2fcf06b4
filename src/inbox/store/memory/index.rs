//! Where cases are, by an id that they have themselves.

use std::hash::{BuildHasher, Hash, RandomState};

use hashbrown::HashTable;

use super::Slot;

/// Finds slots by ids, and keeps no id: whoever asks knows what id a slot has.
#[derive(Default)]
pub(super) struct Index {
    slots: HashTable<Slot>,
    hashes: RandomState,
}

impl Index {
    /// A slot that has this id.
    pub(super) fn find<'a, I: Hash + PartialEq + 'a>(
        &self,
        id: &I,
        id_of: impl Fn(Slot) -> Option<&'a I>,
    ) -> Option<Slot> {
        let hash = self.hashes.hash_one(Some(id));
        let found = self.slots.find(hash, |slot| id_of(*slot) == Some(id));
        found.copied()
    }

    pub(super) fn insert<'a, I: Hash + 'a>(
        &mut self,
        slot: Slot,
        id_of: impl Fn(Slot) -> Option<&'a I>,
    ) {
        let hash = |slot: &Slot| self.hashes.hash_one(id_of(*slot));
        self.slots.insert_unique(hash(&slot), slot, hash);
    }

    /// Takes out a slot that had this id.
    pub(super) fn remove<I: Hash>(&mut self, slot: Slot, id: &I) {
        let hash = self.hashes.hash_one(Some(id));
        if let Ok(found) = self.slots.find_entry(hash, |other| *other == slot) {
            found.remove();
        }
    }
}
