//! Who may use what has no authentication: programs, and the simulator's own pages.
//!
//! A page of another site that a developer has open must not act on the simulator behind their
//! back. Browsers say where a request comes from, programs do not.

use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode};

use super::super::SimulatorState;
use super::super::problem::Problem;

/// A simulator on loopback shows its pages only where it is called by a loopback name: a foreign
/// name that leads here is an attack (DNS rebinding).
pub(in crate::simulator) fn check_host(
    shared: &SimulatorState,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    let host = headers.get("host").and_then(|value| value.to_str().ok());
    if shared.address.ip().is_loopback() && !is_loopback(host.unwrap_or_default()) {
        let what = "the simulator listens on loopback and is not called by this name";
        return Err(Problem::new(StatusCode::FORBIDDEN, what));
    }
    Ok(())
}

/// Refuses what another site's page sends, by whatever name.
pub(in crate::simulator) fn check_origin(
    shared: &SimulatorState,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    check_host(shared, headers)?;
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text("host").unwrap_or_default();
    let refuse = |what: &str| Err(Problem::new(StatusCode::FORBIDDEN, what));
    // No script can set it. Browsers send it to loopback and over https; to a simulator on another
    // address, and if they are old, they send `Origin` with a post and nothing with a get, which
    // changes nothing here. Programs send neither.
    let foreign = match text("sec-fetch-site") {
        // `none`: a person typed the address or took a bookmark. `same-site` is foreign too: sites
        // have no ports, so it is said of every other program's page on loopback.
        Some(site) => !matches!(site, "same-origin" | "none"),
        None => text("origin").is_some_and(|origin| !is_at(origin, host)),
    };
    if foreign {
        return refuse("a page of another site must not act here");
    }
    Ok(())
}

fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let name = authority.host();
    // IPv6 addresses are in brackets there.
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn is_at(origin: &str, host: &str) -> bool {
    origin
        .split_once("://")
        .is_some_and(|(_, at)| at.eq_ignore_ascii_case(host))
}
