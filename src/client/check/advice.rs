//! Which setting to change when a step failed. Pure.
//!
//! A lab reads one line, and should find the setting in it. So each text names a setting by the key that it
//! has in the file, and none may name a value (`each_failure_leads_to_a_setting`).

use crate::endpoints::Operation;
use crate::error::Error;

/// What to do about an error of an operation.
pub(super) fn advice(error: &Error, operation: Operation) -> String {
    // A call may need a refresh first, whose failure is the cause then.
    let operation = error
        .operation()
        .and_then(Operation::from_name)
        .unwrap_or(operation);
    let name = operation.name();
    let status = error.status().map(|status| status.as_u16());
    let is_oauth = matches!(
        operation,
        Operation::GetToken | Operation::RefreshToken | Operation::RevokeToken
    );
    // From the network up to the answer: the first that applies is the cause of the rest.
    if error.is_connect() {
        return connection(&error.report());
    }
    if error.is_timeout() {
        return "check the host in `base_url` and `proxy`; on a slow line, raise `attempt_timeout`"
            .to_owned();
    }
    if error.is_interrupted() {
        return "check `base_url`: something else may answer there, or a proxy closes connections"
            .to_owned();
    }
    if error.is_origin() {
        return format!(
            "name the host in `allow_hosts` if it is the service's, or set the endpoint `{name}`"
        );
    }
    if error.is_store() {
        return "check `token_directory`: it must be writable, and readable for this user alone"
            .to_owned();
    }
    if error.is_configuration() {
        return format!("set the endpoint `{name}` in `endpoints`, or what the text names");
    }
    if error.is_reauthorization_needed() {
        return "sign in and pair again, with the example `authorize` for one".to_owned();
    }
    if error.is_decode() {
        return match error.path() {
            Some(_) => "name the key of that field in `shapes.names`".to_owned(),
            // Tokens have no shapes.
            None if is_oauth => format!("check the endpoint `{name}`"),
            None => format!(
                "check the endpoint `{name}`; if that is right, `shapes.lists.{name}` may say where the records stand"
            ),
        };
    }
    match status {
        Some(401) if is_oauth => "check `client_id`, the client secret and `client_secret_in_body`".to_owned(),
        Some(400) if is_oauth => {
            format!("check the endpoint `{name}`, `client_id`, the client secret, `client_secret_in_body`, and whether the user must sign in again")
        }
        Some(400 | 401 | 403) if operation == Operation::Authorization => {
            "check `client_id`, `redirect_url` (as registered, letter by letter), `scopes` and `login_page`".to_owned()
        }
        Some(401) => "sign in and pair again, with the example `authorize` for one".to_owned(),
        Some(403) => {
            "check that this account is paired, and `scopes`; a gateway may ask for one of `headers`".to_owned()
        }
        Some(404) => format!("check the endpoint `{name}`"),
        Some(405) => format!("check the method of the endpoint `{name}`"),
        Some(429) => "set `calls_per_minute`, and try again later".to_owned(),
        Some(500..) => format!("the service failed: try again later, and check the endpoint `{name}`"),
        _ => format!("check the endpoint `{name}`"),
    }
}

/// The causes are those of the transport, which say no values.
fn connection(report: &str) -> String {
    // By words: the causes come from several libraries and from the system, which share no type.
    let report = report.to_lowercase();
    let has = |word: &str| report.contains(word);
    // In the words of the transport, for which no other certificate helps.
    if has("not valid today") {
        return "set the clock of this machine; if it is right, the certificate of the host has expired"
            .to_owned();
    }
    if has("for another host") {
        return "check the host in `base_url`, `oauth_base`, `login_page` and `endpoints`: its certificate has another name"
            .to_owned();
    }
    if has("certificate") || has("unknownissuer") {
        return "the certificate is not trusted: if a proxy of the lab opens TLS, name its certificate in `root_certificates`".to_owned();
    }
    // Before names: where there is a proxy, its own name is the one that is looked up.
    if has("proxy") || has("tunnel") {
        return "the proxy is not reached, or refuses: check `proxy`, HTTPS_PROXY and NO_PROXY"
            .to_owned();
    }
    if has("dns") || has("resolve") || has("lookup") {
        return "the host is not known: check `base_url` and the network's name service".to_owned();
    }
    "check the host in `base_url`, `proxy`, and the firewall".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use http::StatusCode;

    #[test]
    fn each_failure_leads_to_a_setting() {
        let status = |code: u16| {
            let code = StatusCode::from_u16(code).unwrap();
            Error::new(Kind::Status(code.to_string())).with_answer(code, None, None)
        };
        let connect = |why: &str| {
            Error::new(Kind::Connect("https://a.example".to_owned())).with_source(why.to_owned())
        };
        for (error, operation, setting) in [
            (status(404), Operation::GetToken, "the endpoint `get_token`"),
            (
                status(405),
                Operation::GetOrders,
                "method of the endpoint `get_orders`",
            ),
            (status(401), Operation::RefreshToken, "client secret"),
            (status(401), Operation::GetOrders, "sign in"),
            // The refresh that the call needed.
            (
                Error::refresh(
                    status(401).with_operation(Operation::RefreshToken.title()),
                    None,
                ),
                Operation::GetOrders,
                "check `client_id`, the client secret",
            ),
            (
                Error::refresh(
                    status(404).with_operation(Operation::RefreshToken.title()),
                    None,
                ),
                Operation::GetAccounts,
                "the endpoint `refresh_token`",
            ),
            (status(400), Operation::Authorization, "`redirect_url`"),
            (status(403), Operation::GetOrders, "paired"),
            (status(429), Operation::GetOrders, "`calls_per_minute`"),
            (status(503), Operation::GetOrders, "later"),
            (
                connect("invalid peer certificate: UnknownIssuer"),
                Operation::Discovery,
                "`root_certificates`",
            ),
            (
                connect("its certificate is not valid today: check the clock of this machine"),
                Operation::Discovery,
                "the clock",
            ),
            (
                connect("its certificate is for another host: check the host of the endpoint"),
                Operation::Discovery,
                "`login_page`",
            ),
            (connect("dns error"), Operation::Discovery, "`base_url`"),
            (
                connect("through the proxy http://p.example: dns error"),
                Operation::Discovery,
                "`proxy`",
            ),
            (
                connect("tunnel error: 407"),
                Operation::Discovery,
                "HTTPS_PROXY",
            ),
            (connect("refused"), Operation::Discovery, "firewall"),
            (
                Error::new(Kind::Origin("x".into())),
                Operation::GetOrders,
                "`allow_hosts`",
            ),
            (
                Error::decode("x").with_path("orders[0].status"),
                Operation::GetOrders,
                "`shapes.names`",
            ),
            (
                Error::decode("x"),
                Operation::GetOrders,
                "`shapes.lists.get_orders`",
            ),
            (
                Error::decode("x").with_operation(Operation::GetToken.title()),
                Operation::GetAccounts,
                "check the endpoint `get_token`",
            ),
            (Error::store("x"), Operation::GetOrders, "`token_directory`"),
            (
                Error::configuration("x"),
                Operation::GetOrders,
                "`endpoints`",
            ),
        ] {
            let text = advice(&error, operation);
            assert!(text.contains(setting), "{error}: {text}");
        }
    }
}
