//! Tokens, in a table of their own.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use sqlx::Row;

use super::SqliteStore;
use crate::auth::{TokenKey, TokenStore, Tokens};
use crate::error::Result;
use crate::flow::millis;
use crate::inbox::store::sql::{self, failed};

#[async_trait]
impl TokenStore for SqliteStore {
    async fn load(&self, key: &TokenKey) -> Result<Option<Tokens>> {
        let row = sqlx::query(&self.shared.sql.load_tokens)
            .bind(&*sql::text(&key.to_string()))
            .fetch_optional(&self.shared.readers)
            .await
            .map_err(failed)?;
        let json = row.as_ref().map(|row| row.try_get::<&str, _>(0));
        let json = json.transpose().map_err(failed)?;
        json.map(Tokens::from_json).transpose()
    }

    async fn claim(
        &self,
        key: &TokenKey,
        generation: u64,
        holder: &str,
        lease: Duration,
    ) -> Result<bool> {
        let done = sqlx::query(&self.shared.sql.claim_tokens)
            .bind(&*sql::text(&key.to_string()))
            .bind(sql::number(generation))
            .bind(&*sql::text(holder))
            .bind(sql::span(lease))
            .bind(millis::since_epoch(SystemTime::now()))
            .execute(&self.shared.writer)
            .await;
        Ok(done.map_err(failed)?.rows_affected() == 1)
    }

    async fn swap(&self, key: &TokenKey, expected: Option<u64>, tokens: &Tokens) -> Result<bool> {
        let text = match expected {
            Some(_) => &self.shared.sql.next_tokens,
            None => &self.shared.sql.first_tokens,
        };
        let done = sqlx::query(text)
            .bind(&*sql::text(&key.to_string()))
            .bind(sql::number(tokens.generation()))
            .bind(tokens.expose_json())
            .bind(expected.map(sql::number))
            .execute(&self.shared.writer)
            .await;
        Ok(done.map_err(failed)?.rows_affected() == 1)
    }

    async fn clear(&self, key: &TokenKey) -> Result<()> {
        let done = sqlx::query(&self.shared.sql.clear_tokens)
            .bind(&*sql::text(&key.to_string()))
            .execute(&self.shared.writer)
            .await;
        done.map(drop).map_err(failed)
    }
}
