//! OAuth 2 as the oauth2 crate speaks it, over our transport.
//!
//! *Problem.* The crate builds requests and reads answers as RFC 6749 has them. Services differ: in
//! the content type, in the status of an error, in the form of the answer.
//!
//! *Approach.* `send` stands between the crate and the transport and turns each answer into the one
//! form that the crate reads. This module must not send a secret or a token to a host that is not
//! allowed, follow a redirect, or send a request twice: whether to repeat is for `refresh` to
//! decide.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::response::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use oauth2::basic::{
    BasicErrorResponse, BasicErrorResponseType, BasicRevocationErrorResponse,
    BasicTokenIntrospectionResponse,
};
use oauth2::{
    AsyncHttpClient, AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken,
    HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RefreshToken,
    RequestTokenError, Scope, StandardRevocableToken, TokenUrl,
};
use tokio::sync::Mutex;
use url::Url;

use super::authorize::AuthorizationRequest;
use super::oauth_answer::{self, OAuthAnswer};
use super::token::{TokenAnswer, Tokens};
use super::{Credentials, DetachedTasks, TokenKey};
use crate::endpoints::discovery::Directory;
use crate::endpoints::origin::{self, AllowedOrigins};
use crate::endpoints::{Endpoint, Operation};
use crate::error::{Error, Kind, Result, SendState, answer};
use crate::model::lenient;
use crate::secret::Secret;
use crate::text;
use crate::transport::wire::TimedTransport;

type OAuthClient = oauth2::Client<
    BasicErrorResponse,
    TokenAnswer,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
>;

type TokenError = RequestTokenError<Error, BasicErrorResponse>;

/// When Discovery was asked last, in elapsed time, and what came of it.
pub(crate) type LastDiscovery = Option<(Duration, Result<()>)>;

/// The authorization services.
#[derive(Clone, Debug)]
pub(crate) struct Protocol {
    pub(crate) wire: TimedTransport,
    pub(crate) directory: Arc<Directory>,
    pub(crate) allowed: Arc<AllowedOrigins>,
    pub(crate) credentials: Arc<Credentials>,
    /// A task that asks Discovery holds it: others wait for the answer.
    pub(crate) asked: Arc<Mutex<LastDiscovery>>,
    pub(crate) detached: DetachedTasks,
}

impl Protocol {
    /// The page to open, with a fresh `state` and PKCE verifier.
    pub(crate) fn authorization(&self) -> Result<AuthorizationRequest> {
        let operation = Operation::Authorization;
        let credentials = &*self.credentials;
        // Held to the allowed hosts, though nothing is sent: users type their passwords there, and it
        // gets the state.
        let page = self.credential_endpoint(operation)?.1;
        let redirect = self.redirect_url(operation)?;
        let client = self
            .client()
            .set_auth_uri(AuthUrl::from_url(page))
            .set_redirect_uri(redirect);
        let mut request = client.authorize_url(CsrfToken::new_random);
        for scope in &credentials.scopes {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        for (name, value) in &credentials.extra {
            request = request.add_extra_param(name, value);
        }
        let mut verifier = None;
        if credentials.pkce {
            let (challenge, secret) = PkceCodeChallenge::new_random_sha256();
            request = request.set_pkce_challenge(challenge);
            verifier = Some(Secret::new(secret.into_secret()));
        }
        let (url, state) = request.url();
        Ok(AuthorizationRequest {
            url,
            state: Secret::new(state.into_secret()),
            verifier,
        })
    }

    /// *Get Token*: the code becomes tokens.
    pub(crate) async fn exchange(
        &self,
        request: &AuthorizationRequest,
        redirected: &Url,
    ) -> Result<Tokens> {
        let operation = Operation::GetToken;
        let named = |error: Error| error.with_operation(operation.title());
        let code = request
            .code(redirected)
            .map_err(|error| error.with_operation(Operation::Authorization.title()))?;
        // RFC 6749 section 4.1.3: the same redirect URL as on the sign-in page.
        let redirect = self.redirect_url(operation)?;
        let url = self.credential_endpoint(operation)?.1;
        let client = self
            .client()
            .set_token_uri(TokenUrl::from_url(url))
            .set_redirect_uri(redirect);
        let mut exchange = client.exchange_code(AuthorizationCode::new(code.expose().to_owned()));
        if let Some(verifier) = &request.verifier {
            exchange =
                exchange.set_pkce_verifier(PkceCodeVerifier::new(verifier.expose().to_owned()));
        }
        // The crate's error holds neither the status nor the headers: they are noted on the side.
        let head = OnceLock::new();
        let answer = exchange
            .request_async(&SingleExchange::new(self, operation, &head))
            .await
            .map_err(|error| named(self.translate(error, &head)))?;
        Ok(Tokens::from_answer(answer, self.wire.clock.now(), None))
    }

    /// *Refresh Token*. Sent once; what to do about a lost answer is the caller's to decide.
    pub(crate) async fn refresh(&self, key: &TokenKey, before: &Tokens) -> Result<Tokens> {
        let operation = Operation::RefreshToken;
        let named = |error: Error| error.with_operation(operation.title());
        let Some(token) = &before.refresh else {
            return Err(named(
                key.lost("the access token expired and there is no refresh token"),
            ));
        };
        let token = RefreshToken::new(token.expose().to_owned());
        let url = self.credential_endpoint(operation)?.1;
        let client = self.client().set_token_uri(TokenUrl::from_url(url));
        let head = OnceLock::new();
        let answer = client
            .exchange_refresh_token(&token)
            .request_async(&SingleExchange::new(self, operation, &head))
            .await
            .map_err(|error| {
                named(if refuses_the_token(&error) {
                    // `Lab::unpair` tells by `sent` that the service refused, and not that no
                    // refresh token was there.
                    key.lost("the service does not take the refresh token any more")
                        .with_sent(SendState::Yes)
                        .with_attempts(1)
                } else {
                    self.translate(error, &head)
                })
            })?;
        Ok(Tokens::from_answer(
            answer,
            self.wire.clock.now(),
            Some(before),
        ))
    }

    /// *Revoke Token*, RFC 7009. The oauth2 crate refuses plain http here, on loopback too;
    /// the form is short enough to be ours.
    pub(crate) async fn revoke(&self, tokens: &Tokens) -> Result<()> {
        let operation = Operation::RevokeToken;
        let named = |error: Error| error.with_operation(operation.title());
        let (method, url) = self.credential_endpoint(operation)?;
        let request = self.revocation(tokens, method, &url).map_err(named)?;
        let (head, body) = self.exchange_once(&url, request).await.map_err(named)?;
        // Some say so of a token that is gone already, which is no error by RFC 7009 section 2.2
        // (`a_token_that_is_revoked_already_is_revoked`).
        let code = oauth_answer::code(&body);
        if !head.status.is_server_error() && code.as_deref() == Some("invalid_token") {
            return Ok(());
        }
        let error = if !head.status.is_success() {
            answer::error(head.status, &head.headers, &body, self.wire.clock.now())
        } else if answer::is_page(&body) {
            // A proxy's page is a success by its status, and revokes nothing.
            unfit(&head, answer::describe(&head.headers, &body))
        } else if code.is_some() || lenient::is_failure(&text::of(&body, None)) {
            unfit(&head, "it says that it failed")
        } else {
            return Ok(());
        };
        Err(named(error).with_attempts(1))
    }

    /// Made apart from sending it: the form's serializer must not live across an await, or no
    /// task could be spawned that revokes.
    fn revocation(&self, tokens: &Tokens, method: Method, url: &Url) -> Result<HttpRequest> {
        // RFC 7009 section 2.1: the access tokens of a refresh token should end with it, and not
        // the other way round.
        let (token, hint) = match &tokens.refresh {
            Some(refresh) => (refresh, "refresh_token"),
            None => (&tokens.access, "access_token"),
        };
        let credentials = &*self.credentials;
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("token", token.expose())
            .append_pair("token_type_hint", hint);
        let basic = match (&credentials.client_secret, credentials.secret_in_body) {
            (Some(secret), false) => Some(basic(&credentials.client_id, secret)),
            // RFC 6749 section 2.3.1. A client without a secret names itself in the body as well
            // (section 3.2.1).
            (secret, _) => {
                form.append_pair("client_id", &credentials.client_id);
                if let Some(secret) = secret {
                    form.append_pair("client_secret", secret.expose());
                }
                None
            }
        };
        let mut request = http::Request::new(form.finish().into_bytes());
        *request.method_mut() = method;
        request.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::ACCEPT, json);
        if let Some(basic) = basic.transpose()? {
            request.headers_mut().insert(header::AUTHORIZATION, basic);
        }
        set_uri(&mut request, url)?;
        Ok(request)
    }

    fn client(&self) -> OAuthClient {
        let credentials = &*self.credentials;
        let mut client = OAuthClient::new(ClientId::new(credentials.client_id.clone()))
            .set_auth_type(match credentials.secret_in_body {
                false => AuthType::BasicAuth,
                true => AuthType::RequestBody,
            });
        if let Some(secret) = &credentials.client_secret {
            client = client.set_client_secret(ClientSecret::new(secret.expose().to_owned()));
        }
        client
    }

    fn redirect_url(&self, operation: Operation) -> Result<RedirectUrl> {
        let configured = self.credentials.redirect_url.clone();
        let named = |error: Error| error.with_operation(operation.title());
        let url =
            configured.ok_or_else(|| named(Error::configuration("`redirect_url` is not given")))?;
        RedirectUrl::new(url).map_err(|error| {
            named(Error::configuration("`redirect_url` is no valid URL").with_source(error))
        })
    }

    fn endpoint(&self, operation: Operation) -> Result<(Method, Url)> {
        let Endpoint {
            method, template, ..
        } = self.directory.resolve(operation)?;
        let url = template
            .expand(&[])
            .map_err(|error| error.with_operation(operation.title()))?;
        Ok((method, url))
    }

    /// An endpoint that the client secret and tokens may be sent to.
    fn credential_endpoint(&self, operation: Operation) -> Result<(Method, Url)> {
        let (method, url) = self.endpoint(operation)?;
        if self.allowed.permits(&url) {
            Ok((method, url))
        } else {
            Err(not_permitted(&url).with_operation(operation.title()))
        }
    }

    /// Sends what the oauth2 crate made, and returns what it can read: the tokens, or an
    /// error of the protocol. Anything else is judged here.
    async fn send(
        &self,
        operation: Operation,
        mut request: HttpRequest,
        seen: &OnceLock<Parts>,
    ) -> Result<HttpResponse> {
        let (method, url) = self.credential_endpoint(operation)?;
        // The crate always posts. A configuration may name another method.
        *request.method_mut() = method;
        let (mut head, body) = self.exchange_once(&url, request).await?;
        // Set once: each exchange sends one request.
        let _ = seen.set(head.clone());
        // The crate knows one form, one status and one content type of each: they are judged here.
        let body = match oauth_answer::read(&body) {
            Some(OAuthAnswer::Refusal(json)) => {
                // RFC 6749 section 5.2 asks for 400; some services answer 200. The crate takes 200 for
                // tokens, and every other status for an error
                // (`tokens_are_read_in_whatever_form_they_come`).
                if head.status.is_success() {
                    head.status = StatusCode::BAD_REQUEST;
                }
                json
            }
            Some(OAuthAnswer::Tokens(json)) if head.status.is_success() => {
                head.status = StatusCode::OK;
                json
            }
            _ if !head.status.is_success() => {
                let now = self.wire.clock.now();
                let error = answer::error(head.status, &head.headers, &body, now);
                return Err(error.with_attempts(1));
            }
            _ => {
                let what = answer::describe(&head.headers, &body);
                // JSON without a token is valid JSON, which `describe` does not know.
                let known = text::json::<serde::de::IgnoredAny>(&body, None).is_ok();
                let what = if known {
                    "there is no `access_token` in it"
                } else {
                    what
                };
                return Err(unfit(&head, what).with_attempts(1));
            }
        };
        // The crate refuses every content type but JSON, and accepts an answer without one.
        head.headers.remove(header::CONTENT_TYPE);
        Ok(HttpResponse::from_parts(head, body))
    }

    async fn exchange_once(&self, url: &Url, mut request: HttpRequest) -> Result<(Parts, Bytes)> {
        let once = |error: Error| error.with_attempts(1);
        // The oauth2 crate does not mark what it puts there; transports may log what is not.
        if let Some(basic) = request.headers_mut().get_mut(header::AUTHORIZATION) {
            basic.set_sensitive(true);
        }
        let exchange = self.wire.exchange(url, request.map(Bytes::from));
        let (head, body) = exchange.await.map_err(once)?;
        refuse_redirect(url, &head).map_err(once)?;
        Ok((head, body))
    }

    /// The oauth2 crate's error in our words, without the body that it holds.
    fn translate(&self, error: TokenError, head: &OnceLock<Parts>) -> Error {
        match error {
            RequestTokenError::Request(error) => error,
            RequestTokenError::ServerResponse(response) => {
                let code = meaning(response.error(), self.credentials.secret_in_body);
                let error = match head.get() {
                    Some(head) => Error::new(Kind::Status(format!("{}: {code}", head.status)))
                        .with_answer(
                            head.status,
                            answer::request_id(&head.headers),
                            answer::retry_after(&head.headers, self.wire.clock.now()),
                        ),
                    None => Error::new(Kind::Status(code.to_owned())),
                };
                error
                    .with_attempts(1)
                    .with_service_message(response.error_description().map(String::as_str))
            }
            // The crate keeps the body with it, which may hold tokens: that part is dropped.
            RequestTokenError::Parse(..) => Error::decode("it is no answer of OAuth 2"),
            RequestTokenError::Other(what) => Error::decode(what),
        }
    }
}

/// One exchange of the oauth2 crate, sent over our transport.
struct SingleExchange<'a> {
    protocol: &'a Protocol,
    operation: Operation,
    seen: &'a OnceLock<Parts>,
}

impl<'a> SingleExchange<'a> {
    fn new(protocol: &'a Protocol, operation: Operation, seen: &'a OnceLock<Parts>) -> Self {
        SingleExchange {
            protocol,
            operation,
            seen,
        }
    }
}

impl<'c> AsyncHttpClient<'c> for SingleExchange<'_> {
    type Error = Error;
    type Future = BoxFuture<'c, Result<HttpResponse>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        self.protocol
            .send(self.operation, request, self.seen)
            .boxed()
    }
}

/// The error for an answer that points elsewhere, as calls with credentials never follow one.
pub(crate) fn refuse_redirect(url: &Url, head: &Parts) -> Result<()> {
    if !head.status.is_redirection() {
        return Ok(());
    }
    // Only the origin is shown: a path or a query may hold a code, a token or an id.
    let location = head.headers.get(header::LOCATION);
    let target = location
        .and_then(|value| value.to_str().ok())
        .and_then(|text| url.join(text).ok())
        .map_or_else(|| "nowhere".to_owned(), |url| origin::display(&url));
    let request_id = answer::request_id(&head.headers);
    Err(
        Error::new(Kind::Redirect(origin::display(url), target)).with_answer(
            head.status,
            request_id,
            None,
        ),
    )
}

/// The error for a host that must not see a credential.
pub(crate) fn not_permitted(url: &Url) -> Error {
    Error::new(Kind::Origin(format!(
        "credentials must not be sent to {}; allow the host if it is Align's",
        origin::display(url)
    )))
}

pub(crate) fn set_uri<T>(request: &mut http::Request<T>, url: &Url) -> Result<()> {
    *request.uri_mut() = url
        .as_str()
        .parse()
        .map_err(|error: http::uri::InvalidUri| {
            Error::configuration("an endpoint's URL cannot be requested").with_source(error)
        })?;
    // Our own transport needs it as a `Url` too, and parsing it again is a good part of a small call.
    request.extensions_mut().insert(url.clone());
    Ok(())
}

/// RFC 6749 section 2.3.1: both parts are form-encoded first.
fn basic(client_id: &str, secret: &Secret) -> Result<HeaderValue> {
    use base64::Engine as _;
    let encoded =
        |text: &str| -> String { url::form_urlencoded::byte_serialize(text.as_bytes()).collect() };
    let pair = format!("{}:{}", encoded(client_id), encoded(secret.expose()));
    let value = format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(pair)
    );
    let mut value = HeaderValue::from_str(&value)
        .map_err(|_| Error::configuration("the client id or secret cannot be sent"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether the answer to a refresh says that the refresh token is no longer good: by the code of
/// the protocol, or by one that services define themselves.
fn refuses_the_token(error: &TokenError) -> bool {
    // Taken for a failure that passes, they would be tried again for ever, and nobody would be asked to
    // sign in.
    const THEIR_OWN: [&str; 5] = [
        "bad_refresh_token",
        "invalid_refresh_token",
        "invalid_token",
        "token_expired",
        "token_revoked",
    ];
    let RequestTokenError::ServerResponse(response) = error else {
        return false;
    };
    match response.error() {
        BasicErrorResponseType::InvalidGrant => true,
        BasicErrorResponseType::Extension(code) => THEIR_OWN.contains(&code.as_str()),
        _ => false,
    }
}

/// What an error code of OAuth 2 means here.
fn meaning(code: &BasicErrorResponseType, secret_in_body: bool) -> &'static str {
    match code {
        BasicErrorResponseType::InvalidClient => match secret_in_body {
            false => {
                "invalid_client, the client id or secret is not accepted, or not by HTTP Basic: try `client_secret_in_body`"
            }
            true => {
                "invalid_client, the client id or secret is not accepted, or not in the body: try it without `client_secret_in_body`"
            }
        },
        BasicErrorResponseType::InvalidGrant => {
            "invalid_grant, the code is not accepted: it is used, too old, or for another redirect URL"
        }
        BasicErrorResponseType::InvalidRequest => "invalid_request",
        BasicErrorResponseType::InvalidScope => "invalid_scope",
        BasicErrorResponseType::UnauthorizedClient => "unauthorized_client",
        BasicErrorResponseType::UnsupportedGrantType => "unsupported_grant_type",
        _ => "an error code of its own",
    }
}

/// The error for a success that is not what was due.
fn unfit(head: &Parts, what: &str) -> Error {
    let request_id = answer::request_id(&head.headers);
    Error::decode(what).with_answer(head.status, request_id, None)
}
