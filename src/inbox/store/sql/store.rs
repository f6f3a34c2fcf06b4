//! The two traits for a store on either database.
//!
//! *Problem.* Two traits of some twenty methods, for two stores, differ in nothing but how an
//! operation reaches its database.
//!
//! *Approach.* A macro, so that the stores stay plain types without parameters. A method only turns
//! what it is given into what is owned and calls one operation: rules must not be in here.

/// Implements [`CaseStore`](crate::inbox::CaseStore) and [`TokenStore`](crate::TokenStore) for a
/// type with these methods:
///
/// * `run(access, now, operation)`: runs an operation from begin to commit. `now` is the caller's
///   time, which counts unless the database has a clock of its own; none asks for a clock that
///   nobody can pass in.
/// * `clock(callers)`: the time that counts.
/// * `forgot()`: after something was forgotten.
/// * `remembered()`: the processes that asked by it for the right to poll, and `elapsed(callers)`: the
///   time by which they are remembered, in milliseconds.
/// * `announce(process)`: before a process says for the first time that it lives; names those that
///   are found dead. `is_dead(process)`: whether another one has certainly died.
macro_rules! stores {
    ($store:ident) => {
        use std::time::{Duration, SystemTime};

        use async_trait::async_trait;

        use super::super::{self as sql, Access, cases, commit, forget, polling, queue, tokens};
        use crate::auth::{TokenKey, TokenStore, Tokens};
        use crate::error::Result;
        use crate::flow::millis;
        use crate::inbox::store::{
            AccountState, Case, CaseStore, ClaimedDelivery, Commit, Counts, LoggedArrival, Poller,
            Settlement, StoredCase, $store,
        };
        use crate::model::{AccountId, OrderId, RxId};

        #[async_trait]
        impl CaseStore for $store {
            async fn now(&self, callers: SystemTime) -> Result<SystemTime> {
                self.clock(callers).await
            }

            async fn poll_right(
                &self,
                account: &AccountId,
                process: &str,
                lease: Duration,
                now: SystemTime,
            ) -> Result<Option<Poller>> {
                let (account, process) = (sql::owned(account.as_str()), sql::owned(process));
                // Read before the database is asked: what is remembered must not last longer than
                // what was written.
                let time = self.elapsed(now);
                // One asks the database, and the others are answered by what it says: so the lock is
                // held while the database answers, and is tokio's.
                let mut remembered = self.remembered().lock().await;
                if remembered.has(&process, &account, lease, time) {
                    return Ok(None);
                }
                // Before it asks: what the dead had is free then, and the first question finds it
                // so.
                for dead in self.announce(&process) {
                    self.bury(dead).await?;
                }
                // This ends: each turn buries a process, and one that is buried has nothing.
                loop {
                    let asker = (account.clone(), process.clone());
                    let asked = self.run(Access::Write, Some(now), move |session| {
                        Box::pin(
                            async move { polling::ask(session, &asker.0, &asker.1, lease).await },
                        )
                    });
                    match asked.await? {
                        (polling::PollRightAnswer::Granted, lived) => {
                            remembered.granted(&process, &account, lease, time, lived);
                            return Ok(None);
                        }
                        (polling::PollRightAnswer::Held { process: other, .. }, _)
                            if self.is_dead(&other) =>
                        {
                            self.bury(other).await?;
                        }
                        (
                            polling::PollRightAnswer::Held {
                                process: other,
                                until,
                            },
                            _,
                        ) => {
                            remembered.lost(&process, &account);
                            let until = millis::from(until).unwrap_or(now);
                            return Ok(Some(Poller::new(other, until)));
                        }
                    }
                }
            }

            async fn release_poll_right(&self, account: &AccountId, process: &str) -> Result<()> {
                let (account, process) = (sql::owned(account.as_str()), sql::owned(process));
                // First: where the write fails the right ends by itself, and must not be answered
                // from memory.
                self.remembered().lock().await.lost(&process, &account);
                self.run(Access::Write, None, move |session| {
                    Box::pin(async move { polling::release(session, &account, &process).await })
                })
                .await
            }

            async fn account(&self, account: &AccountId, now: SystemTime) -> Result<AccountState> {
                let account = sql::owned(account.as_str());
                self.run(Access::Read, Some(now), move |session| {
                    Box::pin(async move { cases::account(session, &account).await })
                })
                .await
            }

            async fn expected(&self, account: &AccountId) -> Result<Vec<Case>> {
                let account = sql::owned(account.as_str());
                self.run(Access::Read, None, move |session| {
                    Box::pin(async move { cases::expected(session, &account).await })
                })
                .await
            }

            async fn find(
                &self,
                account: &AccountId,
                order: &OrderId,
            ) -> Result<Option<StoredCase>> {
                let account = sql::owned(account.as_str());
                let order = sql::owned(order.as_str());
                self.run(Access::Read, None, move |session| {
                    Box::pin(async move { cases::by_order(session, &account, &order).await })
                })
                .await
            }

            async fn find_all(
                &self,
                account: &AccountId,
                orders: &[OrderId],
                rx_ids: &[RxId],
            ) -> Result<Vec<Case>> {
                let account = sql::owned(account.as_str());
                let order_ids: Vec<_> = orders.iter().map(|id| sql::owned(id.as_str())).collect();
                let rx_ids: Vec<_> = rx_ids.iter().map(|id| sql::owned(id.as_str())).collect();
                self.run(Access::Read, None, move |session| {
                    Box::pin(async move {
                        cases::find_all(session, &account, &order_ids, &rx_ids).await
                    })
                })
                .await
            }

            async fn due(
                &self,
                account: &AccountId,
                now: SystemTime,
                limit: usize,
            ) -> Result<Vec<Case>> {
                let account = sql::owned(account.as_str());
                self.run(Access::Read, Some(now), move |session| {
                    Box::pin(async move { cases::due(session, &account, limit).await })
                })
                .await
            }

            async fn commit(
                &self,
                account: &AccountId,
                commit: &Commit,
                now: SystemTime,
            ) -> Result<bool> {
                // Made here: JSON of thousands of orders would hold up the one writer, and its
                // locks.
                let rows = commit::Rows::of(commit)?;
                if rows.is_empty() {
                    return Ok(true);
                }
                let account = sql::owned(account.as_str());
                self.run(Access::Write, Some(now), move |session| {
                    Box::pin(async move { commit::commit(session, &account, rows).await })
                })
                .await
            }

            async fn claim(
                &self,
                account: &AccountId,
                token: &str,
                limit: usize,
                lease: Duration,
                now: SystemTime,
            ) -> Result<Vec<ClaimedDelivery>> {
                if limit == 0 {
                    return Ok(Vec::new());
                }
                let (account, token) = (sql::owned(account.as_str()), sql::owned(token));
                self.run(Access::Write, Some(now), move |session| {
                    Box::pin(
                        async move { queue::claim(session, &account, &token, limit, lease).await },
                    )
                })
                .await
            }

            async fn settle(
                &self,
                account: &AccountId,
                settlements: &[Settlement],
                now: SystemTime,
            ) -> Result<Vec<bool>> {
                if settlements.is_empty() {
                    return Ok(Vec::new());
                }
                let (account, settlements) = (sql::owned(account.as_str()), settlements.to_vec());
                self.run(Access::Write, Some(now), move |session| {
                    Box::pin(async move { queue::settle(session, &account, &settlements).await })
                })
                .await
            }

            async fn reopen(
                &self,
                account: &AccountId,
                order: &OrderId,
                now: SystemTime,
            ) -> Result<bool> {
                let account = sql::owned(account.as_str());
                let order = sql::owned(order.as_str());
                self.run(Access::Write, Some(now), move |session| {
                    Box::pin(async move { queue::reopen(session, &account, &order).await })
                })
                .await
            }

            async fn arrivals(
                &self,
                account: &AccountId,
                after: u64,
                limit: usize,
            ) -> Result<Vec<LoggedArrival>> {
                let account = sql::owned(account.as_str());
                self.run(Access::Read, None, move |session| {
                    Box::pin(async move { cases::arrivals(session, &account, after, limit).await })
                })
                .await
            }

            async fn cases(
                &self,
                account: &AccountId,
                after: Option<&OrderId>,
                limit: usize,
            ) -> Result<Vec<StoredCase>> {
                let account = sql::owned(account.as_str());
                let after = after.map(|id| sql::owned(id.as_str()));
                self.run(Access::Read, None, move |session| {
                    Box::pin(async move {
                        cases::cases(session, &account, after.as_deref(), limit).await
                    })
                })
                .await
            }

            async fn counts(&self, account: &AccountId, now: SystemTime) -> Result<Counts> {
                let account = sql::owned(account.as_str());
                self.run(Access::Read, Some(now), move |session| {
                    Box::pin(async move { cases::counts(session, &account).await })
                })
                .await
            }

            async fn forget(&self, account: &AccountId, order: &OrderId) -> Result<bool> {
                let order = forget::ForgetScope::One(sql::owned(order.as_str()));
                Ok(self.forget_some(account, order, 1).await? > 0)
            }

            async fn forget_before(
                &self,
                account: &AccountId,
                time: SystemTime,
                limit: usize,
            ) -> Result<u64> {
                let before = forget::ForgetScope::Before(millis::since_epoch(time));
                self.forget_some(account, before, limit).await
            }
        }

        impl $store {
            async fn forget_some(
                &self,
                account: &AccountId,
                which: forget::ForgetScope,
                limit: usize,
            ) -> Result<u64> {
                let account = sql::owned(account.as_str());
                let forgotten = self.run(Access::Write, None, move |session| {
                    Box::pin(async move { forget::orders(session, &account, &which, limit).await })
                });
                let forgotten = forgotten.await?;
                if forgotten > 0 {
                    self.forgot().await?;
                }
                Ok(forgotten)
            }

            async fn bury(&self, dead: String) -> Result<()> {
                self.run(Access::Write, None, move |session| {
                    Box::pin(async move { polling::bury(session, &dead).await })
                })
                .await
            }
        }

        #[async_trait]
        impl TokenStore for $store {
            async fn load(&self, key: &TokenKey) -> Result<Option<Tokens>> {
                let key = sql::owned(&key.to_string());
                self.run(Access::Read, None, move |session| {
                    Box::pin(async move { tokens::load(session, &key).await })
                })
                .await
            }

            async fn claim(
                &self,
                key: &TokenKey,
                generation: u64,
                holder: &str,
                lease: Duration,
            ) -> Result<bool> {
                let (key, holder) = (sql::owned(&key.to_string()), sql::owned(holder));
                self.run(Access::Write, None, move |session| {
                    Box::pin(async move {
                        tokens::claim(session, &key, generation, &holder, lease).await
                    })
                })
                .await
            }

            async fn probe(&self, _: &TokenKey) -> Result<()> {
                self.run(Access::Write, None, move |session| {
                    Box::pin(async move { tokens::probe(session).await })
                })
                .await
            }

            async fn swap(
                &self,
                key: &TokenKey,
                expected: Option<u64>,
                tokens: &Tokens,
            ) -> Result<bool> {
                let key = sql::owned(&key.to_string());
                let (generation, json) = (tokens.generation(), tokens.expose_json());
                self.run(Access::Write, None, move |session| {
                    Box::pin(async move {
                        tokens::swap(session, &key, expected, generation, &json).await
                    })
                })
                .await
            }

            async fn clear(&self, key: &TokenKey) -> Result<()> {
                let key = sql::owned(&key.to_string());
                self.run(Access::Write, None, move |session| {
                    Box::pin(async move { tokens::clear(session, &key).await })
                })
                .await
            }
        }
    };
}

#[cfg(feature = "sqlite")]
mod sqlite {
    stores!(SqliteStore);
}

#[cfg(feature = "postgres")]
mod postgres {
    stores!(PostgresStore);
}
