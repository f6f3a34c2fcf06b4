//! Tokens: how they are issued and how they end, as different authorization services do it.
//!
//! *Problem.* Align does not document whether refresh tokens rotate, or what a second use does.
//!
//! *Approach.* Each variant is a switch of the behaviour, so that a client can be tried against all
//! of them.

use std::time::{Duration, SystemTime};

use super::Simulator;
use super::behaviour::{Behaviour, PairingRevokes};
use super::grants::{Grant, Owner, RefreshToken, RotatedToken, TOKEN_LIFE};
use super::world::World;
use crate::model::AccountId;

/// New tokens; the second is missing where the old one goes on.
pub(super) struct IssuedTokens {
    pub(super) access: String,
    pub(super) refresh: Option<String>,
}

impl World {
    /// New tokens. Older access tokens stay good until they expire.
    pub(super) fn issue(&mut self, owner: Owner, family: u64, with_refresh: bool) -> IssuedTokens {
        let (access, now) = (self.token("access"), self.now());
        let grant = Grant {
            owner: owner.clone(),
            family,
            expires_at: now + TOKEN_LIFE,
        };
        // What has expired is forgotten now and then, so that long runs do not grow.
        if self.access.len() >= self.refresh.prune_at {
            self.access.retain(|_, grant| now < grant.expires_at);
            // Twice what is left: pruning costs a constant share of the calls.
            self.refresh.prune_at = 1024.max(2 * self.access.len());
        }
        self.access.insert(access.clone(), grant);
        let refresh = with_refresh.then(|| {
            let refresh = self.token("refresh");
            let issued = now;
            let good = RefreshToken {
                owner,
                family,
                issued,
            };
            self.refresh.good.insert(refresh.clone(), good);
            refresh
        });
        IssuedTokens { access, refresh }
    }

    /// New tokens for a refresh token, if it is good.
    pub(super) fn exchange(&mut self, token: &str) -> Option<IssuedTokens> {
        let (behaviour, now) = (self.behaviour.clone(), self.now());
        self.refresh.refreshes += 1;
        if let Some(refresh) = self.refresh.good.get(token) {
            let (owner, family) = (refresh.owner.clone(), refresh.family);
            if is_over(&behaviour, refresh, now) {
                self.refresh.good.remove(token);
                return None;
            }
            if behaviour.refresh_rotation
                && let Some(refresh) = self.refresh.good.remove(token)
            {
                let used = RotatedToken { refresh, at: now };
                // Kept: without it a second use would look like a token that never was.
                self.refresh.used.insert(token.to_owned(), used);
            }
            return Some(self.issue(owner, family, behaviour.refresh_rotation));
        }
        let used = self.refresh.used.get(token)?;
        let (owner, family) = (used.refresh.owner.clone(), used.refresh.family);
        let grace = Duration::from_secs(behaviour.refresh_grace);
        if behaviour.refresh_grace > 0
            // Auth0 and others have such a leeway for clients that lost the answer.
            && now <= used.at + grace
            && !is_over(&behaviour, &used.refresh, now)
        {
            return Some(self.issue(owner, family, true));
        }
        // The second use is taken for a theft.
        let known = self.refresh.good.len();
        if behaviour.family_revocation {
            self.refresh.good.retain(|_, other| other.family != family);
            self.access.retain(|_, grant| grant.family != family);
        }
        // Counted only if it took good tokens: a later replay of the same token changes nothing.
        self.refresh.revoked_families += u64::from(self.refresh.good.len() < known);
        None
    }

    /// The first tokens of a pairing.
    pub(super) fn pair(&mut self, by: &Owner, account: AccountId) -> IssuedTokens {
        let owner = Owner::Account(account);
        match self.behaviour.pairing_revokes {
            PairingRevokes::Nothing => {}
            PairingRevokes::Account => self.end_tokens(&owner),
            PairingRevokes::AccountAndLogin => {
                self.end_tokens(&owner);
                self.end_tokens(by);
            }
        }
        let family = self.refresh.new_family();
        self.issue(owner, family, true)
    }

    /// Ends all tokens of an owner. The used ones go too: a family that is gone has nothing left
    /// to revoke.
    pub(super) fn end_tokens(&mut self, owner: &Owner) {
        self.access.retain(|_, grant| grant.owner != *owner);
        self.refresh.good.retain(|_, other| other.owner != *owner);
        let used = &mut self.refresh.used;
        used.retain(|_, used| used.refresh.owner != *owner);
    }
}

fn is_over(behaviour: &Behaviour, refresh: &RefreshToken, now: SystemTime) -> bool {
    let life = behaviour.refresh_life.map(Duration::from_secs);
    life.is_some_and(|life| now >= refresh.issued + life)
}

/// What became of refresh tokens.
impl Simulator {
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
