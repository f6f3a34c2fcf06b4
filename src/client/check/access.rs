//! The steps about access: accounts, pairing, the refresh of a token.
//!
//! Each way to lack tokens is told apart, since each has a remedy of its own. The refresh is the one
//! thing that a check changes at the service, and goes through `TokenSource` as any other: a refresh
//! token must not be sent without the lease.

use std::sync::Arc;

use super::super::Lab;
use super::super::listing::Rules;
use super::super::pipeline::Call;
use super::advice::advice;
use super::report::Outcome;
use super::run::Run;
use crate::auth::Tokens;
use crate::auth::refresh::TokenSource;
use crate::endpoints::Operation;
use crate::model::{Account, AccountId};

impl Run {
    pub(super) async fn accounts(&mut self) -> Vec<AccountId> {
        let operation = Operation::GetAccounts;
        let Some(name) = self.check.login.clone() else {
            self.skipped(operation.title(), "no login is given", "");
            return Vec::new();
        };
        let login = self.client().login(name);
        match login.health().await {
            // Asked of the store: a request would fail with an error that says less.
            Ok(health) if !health.has_tokens() => {
                let advice = "sign in, with the example `authorize` for one";
                self.skipped(
                    operation.title(),
                    "nobody has signed in by this login",
                    advice,
                );
                return Vec::new();
            }
            Ok(_) => {}
            Err(error) => {
                self.failed(operation, &error);
                return Vec::new();
            }
        }
        // Not by `Login::accounts`: the form of the answer is of interest too.
        let answer = match login.caller.send(Call::new(operation)).await {
            Ok(answer) => answer,
            Err(error) => {
                self.failed(operation, &error);
                return Vec::new();
            }
        };
        let shapes = self.shapes();
        // What is not JSON is null here, and holds no list. `records` reports it below.
        let value = answer.decode("").unwrap_or_default();
        if let Some(place) = self.list(operation, &value) {
            self.seen.list(&place, "around the accounts");
            self.seen.accounts(place.records, &shapes);
        }
        let rules = Rules::new(self.client(), operation, self.client().inner.listing);
        match answer.records::<Account>(rules).await {
            Ok(records) => {
                let unread = records.unreadable.len();
                let step = self.good(operation, answer.status);
                step.facts.push(format!("accounts: {}", records.good.len()));
                if unread > 0 {
                    step.facts.push(format!("{unread} cannot be read"));
                    step.advice =
                        Some("name the key of the account id in `shapes.names.account`".to_owned());
                }
                records
                    .good
                    .iter()
                    .map(|account| account.id().clone())
                    .collect()
            }
            Err(error) => {
                self.failed(operation, &error);
                Vec::new()
            }
        }
    }

    /// The account to look into, if it is paired.
    pub(super) async fn choose(&mut self, accounts: Vec<AccountId>) -> Option<Lab> {
        let wanted = self.check.account.clone();
        let candidates = match wanted {
            Some(wanted) => vec![wanted],
            None => accounts,
        };
        if candidates.is_empty() {
            self.skipped(
                "pairing",
                "there is no account to look into",
                "name one, or a login that has some",
            );
            return None;
        }
        for id in candidates {
            let lab = self.client().account(id);
            match lab.is_paired().await {
                Ok(true) => {
                    let step = self.step("pairing", None, Outcome::Good);
                    step.came = "tokens of an account are stored".to_owned();
                    return Some(lab);
                }
                Ok(false) => {}
                Err(error) => {
                    let step = self.step("pairing", None, Outcome::Failed);
                    step.came = error.to_string();
                    step.advice = Some(advice(&error, Operation::Pair));
                    return None;
                }
            }
        }
        let advice = "pair it, with the example `authorize` for one";
        self.skipped("pairing", "no tokens of the account are stored", advice);
        None
    }

    /// Refreshes the access token, as it is done every hour.
    pub(super) async fn refresh(&mut self, source: &Arc<TokenSource>) -> bool {
        let operation = Operation::RefreshToken;
        let refreshed = async {
            let before = source.tokens().await?;
            // Asks for other tokens than these, as after a 401: it is the only way to a refresh
            // before it is due, and a check must not wait an hour for one.
            Ok((source.tokens_after(before.generation()).await?, before))
        };
        match refreshed.await {
            Ok((Some(after), before)) => {
                let kind = match (&before.refresh, &after.refresh) {
                    // Compared here and not shown: whether it rotates decides what a lost answer costs.
                    (Some(before), Some(after)) if before.expose() == after.expose() => "the same",
                    (_, Some(_)) => "new",
                    (_, None) => "none",
                };
                self.seen.refresh_tokens = Some(kind);
                let life = life_of(&after);
                let step = self.good(operation, "new tokens, which are stored");
                step.facts
                    .push(format!("the access token lives {life} minutes"));
                step.facts.push(format!("the refresh token is {kind}"));
                true
            }
            // `tokens_after` does not refresh twice within five minutes for a 401.
            Ok((None, _)) => {
                self.skipped(operation.title(), "it was refreshed a moment ago", "");
                true
            }
            Err(error) => {
                self.failed(operation, &error);
                false
            }
        }
    }
}

/// In minutes, rounded.
fn life_of(tokens: &Tokens) -> u64 {
    let life = tokens.expires_at().duration_since(tokens.issued_at());
    life.map_or(0, |life| (life.as_secs() + 30) / 60)
}
