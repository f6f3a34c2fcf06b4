//! Refresh tokens that rotate, as the stricter authorization services do it.

use std::collections::HashMap;

use super::Simulator;
use super::world::{Owner, World};

/// All refresh tokens. Those that came from the same sign-in or pairing are a family.
#[derive(Debug, Default)]
pub(super) struct RefreshTokens {
    good: HashMap<String, (Owner, u64)>,
    used: HashMap<String, u64>,
    families: u64,
    forgives_reuse: bool,
    refreshes: u64,
    revoked_families: u64,
}

impl RefreshTokens {
    pub(super) fn new_family(&mut self) -> u64 {
        self.families += 1;
        self.families
    }

    pub(super) fn insert(&mut self, token: String, owner: Owner, family: u64) {
        self.good.insert(token, (owner, family));
    }

    pub(super) fn remove(&mut self, token: &str) -> Option<Owner> {
        self.good.remove(token).map(|(owner, _)| owner)
    }

    pub(super) fn remove_all(&mut self, owner: &Owner) {
        self.good.retain(|_, (other, _)| other != owner);
    }
}

impl World {
    /// Whose the token is, and its family, if it is good. It is good for one use; the second
    /// one is taken for a theft.
    pub(super) fn use_refresh_token(&mut self, token: &str) -> Option<(Owner, u64)> {
        self.refresh.refreshes += 1;
        if let Some((owner, family)) = self.refresh.good.remove(token) {
            self.refresh.used.insert(token.to_owned(), family);
            return Some((owner, family));
        }
        let family = *self.refresh.used.get(token)?;
        let known = self.refresh.good.len();
        if !self.refresh.forgives_reuse {
            self.refresh.good.retain(|_, (_, other)| *other != family);
            self.access.retain(|_, grant| grant.family != family);
        }
        self.refresh.revoked_families += u64::from(self.refresh.good.len() < known);
        None
    }
}

/// What became of refresh tokens.
impl Simulator {
    /// Whether a refresh token that is used twice revokes every token that came from the same
    /// sign-in or pairing, as RFC 9700 section 4.14 recommends and Auth0 does it. Default: yes.
    /// Otherwise the second use is refused, and nothing else happens.
    pub fn revoke_on_reuse(&self, revoke: bool) {
        self.world().refresh.forgives_reuse = !revoke;
    }

    /// How many refreshes were asked for so far, granted or not.
    #[must_use]
    pub fn refreshes(&self) -> u64 {
        self.world().refresh.refreshes
    }

    /// How many times a second use of a refresh token has revoked good tokens.
    #[must_use]
    pub fn revoked_families(&self) -> u64 {
        self.world().refresh.revoked_families
    }
}
