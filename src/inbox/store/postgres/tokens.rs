//! Tokens, in a table of their own.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row;

use super::PostgresStore;
use crate::auth::{TokenKey, TokenStore, Tokens};
use crate::error::Result;
use crate::inbox::store::sql::{self, failed};

#[async_trait]
impl TokenStore for PostgresStore {
    async fn load(&self, key: &TokenKey) -> Result<Option<Tokens>> {
        let row = sqlx::query(&self.shared.sql.load_tokens)
            .bind(sql::text(&key.to_string()).into_owned())
            .fetch_optional(&self.shared.pool)
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
            .bind(sql::text(&key.to_string()).into_owned())
            .bind(sql::number(generation))
            .bind(sql::text(holder))
            .bind(sql::span(lease))
            // By the database's clock, also where cases go by another.
            .bind(None::<i64>)
            .execute(&self.shared.pool)
            .await;
        Ok(done.map_err(failed)?.rows_affected() == 1)
    }

    async fn swap(&self, key: &TokenKey, expected: Option<u64>, tokens: &Tokens) -> Result<bool> {
        let query = match expected {
            Some(_) => sqlx::query(&self.shared.sql.next_tokens),
            None => sqlx::query(&self.shared.sql.first_tokens),
        };
        let mut query = query
            .bind(sql::text(&key.to_string()).into_owned())
            .bind(sql::number(tokens.generation()))
            .bind(tokens.expose_json());
        if let Some(expected) = expected {
            query = query.bind(sql::number(expected));
        }
        let done = query.execute(&self.shared.pool).await;
        Ok(done.map_err(failed)?.rows_affected() == 1)
    }

    async fn clear(&self, key: &TokenKey) -> Result<()> {
        let done = sqlx::query(&self.shared.sql.clear_tokens)
            .bind(sql::text(&key.to_string()).into_owned())
            .execute(&self.shared.pool)
            .await;
        done.map(drop).map_err(failed)
    }
}
