//! What all handles of one login or account share, and how long it is remembered.
//!
//! *Problem.* Two token sources of one account would refresh against each other, and a client that
//! remembers every account it has ever seen grows without end.
//!
//! *Approach.* One entry for each key. An entry must not be forgotten while it knows what a new one
//! would not.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::limits::RequestLimits;
use crate::auth::TokenKey;
use crate::auth::refresh::TokenSource;
use crate::retry::Budget;

#[derive(Debug)]
pub(super) struct SharedState {
    pub(super) tokens: Arc<TokenSource>,
    pub(super) limits: RequestLimits,
    /// Repeats of calls, and those of files: neither is held up by what the other spends.
    pub(super) calls: Budget,
    pub(super) files: Budget,
}

/// So many that nobody holds are kept in any case: software that asks for a handle each time it needs
/// one must not read its tokens from the store each time.
const SPARE: usize = 1000;

/// The logins and accounts of a client, by their keys: at most one for each.
#[derive(Debug, Default)]
pub(super) struct Handles {
    by_key: HashMap<TokenKey, Arc<SharedState>>,
    /// How many are left when those that nobody needs were last forgotten.
    left: usize,
}

impl Handles {
    /// What is shared under a key; `new` makes it. `now` is in elapsed time.
    pub(super) fn of(
        &mut self,
        key: TokenKey,
        now: Duration,
        new: impl FnOnce(TokenKey) -> SharedState,
    ) -> Arc<SharedState> {
        if let Some(shared) = self.by_key.get(&key) {
            return Arc::clone(shared);
        }
        // Each sweep waits until the table has doubled, so that its cost for each handle stays the
        // same.
        if self.by_key.len() >= self.left * 2 + SPARE {
            self.by_key.retain(|_, shared| !is_forgettable(shared, now));
            self.left = self.by_key.len();
        }
        let shared = Arc::new(new(key.clone()));
        self.by_key.insert(key, Arc::clone(&shared));
        shared
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<SharedState>> {
        self.by_key.values()
    }
}

/// Whether nobody holds it, and there is nothing to remember: no refresh under way, none that failed
/// and is to wait, no rate that would be exceeded.
fn is_forgettable(shared: &Arc<SharedState>, now: Duration) -> bool {
    // The table alone makes clones of an entry that nobody holds, and it is locked now: the count
    // cannot grow meanwhile. What a new entry would not know: a refusal that stands
    // (`a_refusal_outlives_the_handles`), a rate, budgets that are spent.
    Arc::strong_count(shared) == 1
        && Arc::strong_count(&shared.tokens) == 1
        && shared.tokens.is_at_rest()
        && shared.limits.is_at_rest(now)
        && shared.calls.is_full(now)
        && shared.files.is_full(now)
}

#[cfg(test)]
mod tests {
    use crate::{Client, Endpoints};

    #[test]
    fn what_nobody_holds_is_forgotten() {
        let client = Client::builder()
            .endpoints(Endpoints::from_base_url("https://a.example/").unwrap())
            .credentials("id", "secret")
            .build()
            .unwrap();
        let held: Vec<_> = (0..500)
            .map(|number| client.account(format!("{number}")))
            .collect();
        for number in 0..100_000 {
            drop(client.login(format!("{number}")));
        }
        let known = client.inner.handles.lock().unwrap().by_key.len();
        assert!((500..=2000).contains(&known), "{known}");
        // One that is held is the same for all.
        let again = client.account("7");
        let (one, other) = (&held[7].caller.shared, &again.caller.shared);
        assert!(std::sync::Arc::ptr_eq(
            one.as_ref().unwrap(),
            other.as_ref().unwrap()
        ));
    }
}
