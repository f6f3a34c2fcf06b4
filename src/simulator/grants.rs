//! What an authorization service keeps: codes, access tokens and refresh tokens.
//!
//! Used refresh tokens are kept too: a second use is how a theft is found (RFC 9700, section 4.14).

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use crate::model::AccountId;

/// How long an access token lives: documented.
pub(super) const TOKEN_LIFE: Duration = Duration::from_secs(60 * 60);

/// An authorization code: good for one use.
#[derive(Debug)]
pub(super) struct Code {
    pub(super) redirect_uri: String,
    pub(super) challenge: Option<String>,
    pub(super) login: String,
}

/// Whose a token is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Owner {
    Login(String),
    Account(AccountId),
}

#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) owner: Owner,
    pub(super) family: u64,
    pub(super) expires_at: SystemTime,
}

/// All refresh tokens. Those that came from the same sign-in or pairing are a family.
#[derive(Debug, Default)]
pub(super) struct RefreshTokens {
    pub(super) good: HashMap<String, RefreshToken>,
    pub(super) used: HashMap<String, RotatedToken>,
    pub(super) families: u64,
    pub(super) refreshes: u64,
    pub(super) revoked_families: u64,
    /// So many access tokens are kept before the expired ones are forgotten.
    pub(super) prune_at: usize,
}

#[derive(Debug)]
pub(super) struct RefreshToken {
    pub(super) owner: Owner,
    pub(super) family: u64,
    pub(super) issued: SystemTime,
}

/// A token that was rotated.
#[derive(Debug)]
pub(super) struct RotatedToken {
    pub(super) refresh: RefreshToken,
    pub(super) at: SystemTime,
}

impl RefreshTokens {
    pub(super) fn new_family(&mut self) -> u64 {
        self.families += 1;
        self.families
    }

    pub(super) fn remove(&mut self, token: &str) -> Option<Owner> {
        self.good.remove(token).map(|refresh| refresh.owner)
    }
}
