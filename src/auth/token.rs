//! Tokens, and the answer that brings them.
//!
//! *Problem.* The answer of *Pair* is not documented, and services write the end of a token as seconds,
//! as text or as a point in time. Read wrongly, a token is taken for good that is not, or refreshed
//! with each call.
//!
//! *Approach.* One lenient reader for both answers. What is stored has keys of its own, which must not
//! change: a program of a new version starts with the tokens of the old one. No secret and no part of a
//! stored text must be printed.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use oauth2::basic::BasicTokenType;
use oauth2::{AccessToken, RefreshToken, Scope, TokenResponse};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::endpoints::discovery::DiscoveryAnswer;
use crate::error::{Error, Kind, Result};
use crate::model::{WireTime, lenient};
use crate::secret::Secret;

/// An access token with what belongs to it.
#[derive(Clone)]
pub struct Tokens {
    pub(crate) access: Secret,
    pub(crate) refresh: Option<Secret>,
    pub(crate) issued_at: SystemTime,
    pub(crate) expires_at: SystemTime,
    pub(crate) generation: u64,
    /// Discovery's answer at the time when these tokens were stored: a process that
    /// starts with them need not ask before it calls.
    pub(crate) discovered: Option<Arc<DiscoveryAnswer>>,
}

/// The access token lives one hour where its answer does not say; documented.
const DEFAULT_LIFE: Duration = Duration::from_secs(60 * 60);

/// No expiry is further ahead: a date in more than 100 years is a mistake.
const LONGEST_LIFE: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

impl Tokens {
    /// The tokens of an answer that came at `now`. Where it brings no new refresh token, the
    /// one used stays good.
    pub(crate) fn from_answer(
        answer: TokenAnswer,
        now: SystemTime,
        before: Option<&Tokens>,
    ) -> Self {
        let life = answer.expiry.and_then(|expiry| expiry.life(now));
        let life = life.unwrap_or(DEFAULT_LIFE).min(LONGEST_LIFE);
        // RFC 6749 section 6: a service may keep the refresh token as it is.
        let kept = before.and_then(|tokens| tokens.refresh.clone());
        Tokens {
            access: Secret::new(answer.access.into_secret()),
            refresh: answer
                .refresh
                .map(|token| Secret::new(token.into_secret()))
                .or(kept),
            issued_at: now,
            expires_at: now + life,
            // `TokenSource::replace` sets another number for tokens that no refresh brought.
            generation: before.map_or(1, |tokens| tokens.generation + 1),
            discovered: None,
        }
    }

    /// When they were issued, to the second.
    #[must_use]
    pub fn issued_at(&self) -> SystemTime {
        self.issued_at
    }

    /// When the access token expires, to the second.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        self.expires_at
    }

    /// The number that names these tokens in a [`TokenStore`](super::TokenStore). A refresh
    /// counts one up. Tokens that are issued anew where none are kept begin at a number that
    /// was not used before (microseconds since 1970), so that a refresh which is still under
    /// way when a user signs out and in again cannot take them for its own. Fits an `i64`.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The tokens with their secrets as JSON, for a store that keeps them, and for nobody else. With
    /// them is the last answer of Discovery: a few thousand bytes.
    #[must_use]
    pub fn expose_json(&self) -> String {
        let since = |time: SystemTime| {
            let since = time.duration_since(SystemTime::UNIX_EPOCH);
            // A time before 1970 is that of a wrong clock: it reads back as expired.
            since.unwrap_or_default().as_secs()
        };
        // The keys are those of files and tables: they must not change.
        let mut json = serde_json::json!({
            "access_token": self.access.expose(),
            "refresh_token": self.refresh.as_ref().map(Secret::expose),
            "issued_at": since(self.issued_at),
            "expires_at": since(self.expires_at),
            "generation": self.generation,
        });
        if let Some(discovered) = &self.discovered {
            json["discovery"] = serde_json::json!({
                "at": since(discovered.at),
                "from": discovered.from,
                "said": discovered.endpoints,
            });
        }
        json.to_string()
    }

    /// Reads what [`Tokens::expose_json`] wrote.
    ///
    /// # Errors
    ///
    /// [`Error::is_store`] if it is anything else.
    pub fn from_json(json: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct StoredTokens {
            access_token: String,
            refresh_token: Option<String>,
            issued_at: Option<u64>,
            expires_at: u64,
            generation: u64,
            discovery: Option<serde_json::Value>,
        }
        #[derive(Deserialize)]
        struct StoredDiscovery {
            at: u64,
            from: String,
            said: serde_json::Value,
        }
        // The parser's own message may show a part of the text.
        let stored: StoredTokens = serde_json::from_str(json)
            .map_err(|_| Error::new(Kind::Store("an entry is damaged".into())))?;
        // Generations are counted up. A database keeps them in 63 bits, and no count gets there.
        if i64::try_from(stored.generation).is_err() {
            return Err(Error::new(Kind::Store("an entry is damaged".into())));
        }
        let time =
            // Adding to a `SystemTime` panics on overflow, and a damaged entry may hold any number.
            // Twice the longest life: it is counted from 1970, and an expiry from now.
            |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds).min(LONGEST_LIFE * 2);
        // A damaged answer of Discovery must not cost the tokens.
        let discovery = stored
            .discovery
            .map(serde_json::from_value::<StoredDiscovery>);
        let discovered = discovery.and_then(Result::ok).map(|kept| DiscoveryAnswer {
            at: time(kept.at),
            from: kept.from,
            endpoints: kept.said,
        });
        // An entry without the time of issue is read as one of the documented life.
        let hour_before = stored.expires_at.saturating_sub(DEFAULT_LIFE.as_secs());
        Ok(Tokens {
            access: Secret::new(stored.access_token),
            refresh: stored.refresh_token.map(Secret::new),
            issued_at: time(stored.issued_at.unwrap_or(hour_before)),
            expires_at: time(stored.expires_at),
            generation: stored.generation,
            discovered: discovered.map(Arc::new),
        })
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("expires_at", &self.expires_at)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

/// What a token endpoint answers, and what Pair answers: keys read leniently, the end of the token as
/// seconds or as a point in time, a number or text.
#[derive(Debug)]
pub(crate) struct TokenAnswer {
    access: AccessToken,
    refresh: Option<RefreshToken>,
    kind: BasicTokenType,
    expiry: Option<Expiry>,
}

/// When an access token expires, in the form of its answer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Expiry {
    In(Duration),
    At(SystemTime),
}

impl Expiry {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        match text.parse::<f64>() {
            // No life has thirty years: it is a point in time since 1970, in seconds or in
            // milliseconds.
            Ok(number) if number.abs() >= 1e9 => {
                // In seconds, 1e11 is after the year 5000: larger numbers are milliseconds.
                let seconds = if number < 1e11 { number } else { number / 1e3 };
                let since = Duration::try_from_secs_f64(seconds).ok();
                let end = since.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since));
                match end {
                    Some(end) => Some(Expiry::At(end)),
                    // More than a clock has room for: it never ends.
                    None => (number > 0.0).then_some(Expiry::In(LONGEST_LIFE)),
                }
            }
            Ok(seconds) => Duration::try_from_secs_f64(seconds).ok().map(Expiry::In),
            Err(_) => {
                let time = WireTime::parse(text).time();
                time.map(Expiry::At)
            }
        }
    }

    /// `None` for no time at all: such an answer means something else, or its clock is wrong.
    fn life(self, now: SystemTime) -> Option<Duration> {
        let life = match self {
            Expiry::In(life) => life,
            Expiry::At(end) => end.duration_since(now).ok()?,
        };
        (!life.is_zero()).then_some(life)
    }
}

lenient::record!(Fields, "an object with tokens" {
    access: String = ["accesstoken", "token"],
    refresh: String = ["refreshtoken"],
    expires_in: String = ["expiresin"],
    expires: String = ["expiresat", "expireson", "expires", ".expires", "expiration", "expiry"],
});

impl<'de> Deserialize<'de> for TokenAnswer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Fields::deserialize(deserializer)?;
        let filled = |text: &String| !text.is_empty();
        let access = fields.access.filter(filled);
        let access = access.ok_or_else(|| D::Error::custom("no `access_token` in it"))?;
        // It would replace one that is good, and fail with every call
        // (`a_token_that_no_header_takes_is_refused`).
        if HeaderValue::from_str(&access).is_err() {
            let what = "the `access_token` has characters that no header may have";
            return Err(D::Error::custom(what));
        }
        Ok(TokenAnswer {
            access: AccessToken::new(access),
            refresh: fields.refresh.filter(filled).map(RefreshToken::new),
            // The type in the answer is not read: the token is sent as a bearer token in any case.
            kind: BasicTokenType::Bearer,
            expiry: fields
                .expires_in
                .as_deref()
                .and_then(Expiry::read)
                // A number of seconds is better than a point in time, for which both clocks have to
                // agree.
                .or_else(|| fields.expires.as_deref().and_then(Expiry::read)),
        })
    }
}

/// Asked for by the oauth2 crate's trait; nothing serializes an answer.
impl Serialize for TokenAnswer {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("tokens are not serialized"))
    }
}

impl TokenResponse for TokenAnswer {
    type TokenType = BasicTokenType;

    fn access_token(&self) -> &AccessToken {
        &self.access
    }

    fn token_type(&self) -> &BasicTokenType {
        &self.kind
    }

    fn expires_in(&self) -> Option<Duration> {
        None
    }

    fn refresh_token(&self) -> Option<&RefreshToken> {
        self.refresh.as_ref()
    }

    fn scopes(&self) -> Option<&Vec<Scope>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(json: &str) -> Tokens {
        let answer = serde_json::from_str(json).unwrap();
        Tokens::from_answer(answer, SystemTime::UNIX_EPOCH, None)
    }

    #[test]
    fn a_token_that_no_header_takes_is_refused() {
        for json in [r#"{"access_token":"a\nb"}"#, r#"{"access_token":"\u0000"}"#] {
            let error = serde_json::from_str::<TokenAnswer>(json).unwrap_err();
            assert!(error.to_string().contains("header"), "{error}");
        }
    }

    #[test]
    fn an_hour_unless_the_answer_says_otherwise() {
        for (json, seconds) in [
            (r#"{"access_token":"a"}"#, 3600),
            (r#"{"accessToken":"a","expiresIn":"60"}"#, 60),
            (r#"{"ACCESS_TOKEN":"a","expires_in":60.5}"#, 60),
            (r#"{"access_token":"a","expires_in":-1}"#, 3600),
            (r#"{"access_token":"a","expires_in":0}"#, 3600),
            (r#"{"access_token":"a","expires_in":null}"#, 3600),
            (r#"{"access_token":"a","expires_in":"soon"}"#, 3600),
            (
                r#"{"access_token":"a","expires_in":999999999}"#,
                999_999_999,
            ),
            (
                r#"{"access_token":"a","expires_in":1e300}"#,
                LONGEST_LIFE.as_secs(),
            ),
        ] {
            let life = tokens(json)
                .expires_at
                .duration_since(SystemTime::UNIX_EPOCH);
            assert_eq!(life.unwrap().as_secs(), seconds, "{json}");
        }
    }

    #[test]
    fn the_end_may_be_a_point_in_time() {
        // 2026-03-14T09:26:53Z
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_773_480_413);
        for (end, seconds) in [
            (r#""expires":1773484013"#, 3600),
            (r#""expires_in":1773484013"#, 3600),
            (r#""expires":"1773480473""#, 60),
            (r#""expires_at":1773480473000"#, 60),
            (r#""expiresOn":1773480473.5"#, 60),
            (r#""expires_at":"2026-03-14T09:27:53Z""#, 60),
            (r#""expires_at":"2026-03-14T11:27:53.000+02:00""#, 60),
            (r#"".expires":"Sat, 14 Mar 2026 09:27:53 GMT""#, 60),
            // Seconds all the same.
            (r#""expires":60"#, 60),
            (r#""expires":"60""#, 60),
            // Both: that of the standard counts.
            (r#""expires":1773484013,"expires_in":60"#, 60),
            (r#""expires":60,"expires_in":null"#, 60),
            // Our clock is ahead of the service's: not a token that is never good.
            (r#""expires":1773480000"#, 3600),
            (r#""expires":"soon""#, 3600),
            (r#""expires":-1773480000"#, 3600),
            // What services write for never.
            (r#""expires_in":2147483647"#, 2_147_483_647 - 1_773_480_413),
            (r#""expires":9007199254740991"#, LONGEST_LIFE.as_secs()),
        ] {
            let json = format!(r#"{{"access_token":"a",{end}}}"#);
            let answer = serde_json::from_str(&json).unwrap();
            let tokens = Tokens::from_answer(answer, now, None);
            let life = tokens.expires_at.duration_since(now).unwrap();
            assert_eq!(life.as_secs(), seconds, "{json}");
        }
    }

    #[test]
    fn a_refresh_token_stays_good_where_no_new_one_comes() {
        let first = tokens(r#"{"access_token":"a","refresh_token":"r"}"#);
        let answer = serde_json::from_str(r#"{"access_token":"b"}"#).unwrap();
        let second = Tokens::from_answer(answer, SystemTime::UNIX_EPOCH, Some(&first));
        assert_eq!(second.refresh.as_ref().map(Secret::expose), Some("r"));
        assert_eq!(second.generation(), 2);
    }

    #[test]
    fn a_generation_that_nobody_counted_to_is_damage() {
        let entry = |generation: u64| {
            let start = r#"{"access_token":"canary","expires_at":1,"generation":"#;
            Tokens::from_json(&format!("{start}{generation}}}"))
        };
        let last = entry(i64::MAX as u64).unwrap();
        let answer = serde_json::from_str(r#"{"access_token":"b"}"#).unwrap();
        let next = Tokens::from_answer(answer, SystemTime::UNIX_EPOCH, Some(&last));
        assert!(next.generation() > last.generation());
        for generation in [i64::MAX as u64 + 1, u64::MAX] {
            let error = entry(generation).unwrap_err();
            assert!(error.is_store(), "{error}");
            assert!(error.to_string().contains("damaged"), "{error}");
        }
    }

    #[test]
    fn stored_tokens_come_back_and_damaged_ones_show_nothing() {
        let tokens = tokens(r#"{"access_token":"a","refresh_token":"r"}"#);
        let again = Tokens::from_json(&tokens.expose_json()).unwrap();
        assert_eq!(again.access.expose(), "a");
        assert_eq!(again.expires_at, tokens.expires_at);
        let error = Tokens::from_json(r#"{"access_token": canary"#).unwrap_err();
        assert!(error.is_store() && !format!("{error:?}").contains("canary"));
        assert!(!format!("{tokens:?}").contains('"'));
    }

    #[test]
    fn what_discovery_said_goes_along_and_costs_no_tokens() {
        let said = serde_json::json!({"endpoints": {}});
        let mut kept = tokens(r#"{"access_token":"a"}"#);
        kept.discovered = Some(Arc::new(DiscoveryAnswer {
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(7),
            from: "https://a.example/discovery".into(),
            endpoints: said.clone(),
        }));
        let json = kept.expose_json();
        let again = Tokens::from_json(&json).unwrap().discovered.unwrap();
        let seconds = again.at.duration_since(SystemTime::UNIX_EPOCH);
        assert_eq!((seconds.unwrap().as_secs(), &again.endpoints), (7, &said));
        for damaged in ["7", "null", "[]", r#"{"at": -1}"#] {
            let json = json.replace(
                r#""discovery":{"#,
                &format!(r#""discovery":{damaged},"x":{{"#),
            );
            assert!(json.contains(damaged));
            let kept = Tokens::from_json(&json).unwrap();
            assert!(kept.discovered.is_none(), "{json}");
        }
    }
}
