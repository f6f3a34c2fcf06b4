//! What follows from what was seen: how the simulator speaks like the service, what a configuration
//! should say, and which conventions are only assumed. Pure.
//!
//! A report is read once; a simulator that speaks like the service can be tested against for years.
//! What was not seen must not be in its behaviour, and the twin must lead to the same report
//! (`a_twin_gives_the_same_report`).

use serde_json::{Map, Value, json};

use super::observations::Observations;

/// The switches of the simulator's behaviour that no client can observe without changing something, and
/// why. With a value behind it: that choice, which looks like another one. A test holds the table
/// against the switches: a new one must be observed, or be here with its reason
/// (`each_switch_changes_the_report_or_is_among_those_that_nobody_can_observe`).
pub(super) const NOT_OBSERVABLE: [(&str, &str); 19] = [
    (
        "downloaded_by: thumbnails_complete",
        "no file is fetched to its end",
    ),
    ("downloaded_by: nothing", "no file is fetched to its end"),
    ("return_needs_reason", "an order would have to be sent back"),
    (
        "refresh_grace",
        "a refresh token would have to be used twice, which may end the access",
    ),
    (
        "family_revocation",
        "a refresh token would have to be used twice, which may end the access",
    ),
    (
        "refresh_life",
        "it shows when a refresh token was not used for that long",
    ),
    ("pairing_revokes", "an account would have to be paired anew"),
    (
        "pkce_required",
        "a user would have to sign in without a challenge",
    ),
    (
        "asset_ids: per_order",
        "the files of an order would have to change meanwhile",
    ),
    ("asset_url_life", "it shows when a signed URL has ended"),
    (
        "rate_limit",
        "so many calls would have to be made that some are refused",
    ),
    ("notifications", "the service posts them, not the client"),
    (
        "notification_retries",
        "the service posts them, not the client",
    ),
    ("pair_code", "an account would have to be paired anew"),
    ("unpair_code", "the pairing would have to end"),
    ("return_code", "an order would have to be sent back"),
    ("revoke_code", "tokens would have to end"),
    (
        "conflict_code",
        "an order would have to be sent back from where it cannot be",
    ),
    ("expired_code", "it shows when a signed URL has ended"),
];

/// The behaviour, as far as it was seen: what is left out has its default.
pub(super) fn behaviour(seen: &Observations) -> Value {
    let mut behaviour = Map::new();
    let mut put = |switch: &str, value: Option<Value>| {
        behaviour.extend(value.map(|value| (switch.to_owned(), value)));
    };
    let order = |field: &str| shows_order(seen, field);
    let file = |field: &str| seen.shows("file", field);
    put("keys", seen.key_spelling().and_then(keys));
    put(
        "lists",
        // By the alphabet, in which the deepest form comes last.
        seen.lists.last().and_then(|lists| match *lists {
            "bare" => Some("bare".into()),
            "in an object" => Some("wrapped".into()),
            "in an object in an object" => Some("nested".into()),
            _ => None,
        }),
    );
    put("paging", paging(seen));
    put("page_size", seen.page_size.map(Value::from));
    put(
        "empty_list",
        seen.empty_list.map(|empty| match empty {
            "null" => "null".into(),
            _ => "list".into(),
        }),
    );
    // One kind of id stands for all: the simulator has one switch for them.
    let ids = seen
        .id_types
        .get("orderid")
        .or_else(|| seen.id_types.get("rxid"));
    put(
        "ids",
        ids.map(|types| match types.contains("whole number") {
            true => "number".into(),
            false => "text".into(),
        }),
    );
    put("statuses", statuses(seen));
    put("times", times(seen));
    put("history", order("history").map(Value::from));
    put(
        "unknown_fields",
        Some(unexpected(seen).next().is_some().into()),
    );
    put("elsewhere", seen.elsewhere.map(Value::from));
    put(
        "errors",
        seen.error_form.and_then(|form| match form {
            "an object" => Some("flat".into()),
            "an object in an object" => Some("nested".into()),
            "plain text" => Some("text".into()),
            "no body" => Some("empty".into()),
            _ => None,
        }),
    );
    put(
        "discovery",
        seen.discovery.and_then(|form| match form {
            "endpoints" => Some("endpoints".into()),
            "a list" => Some("list".into()),
            "paths below a domain" => Some("domain".into()),
            _ => None,
        }),
    );
    put(
        "refresh_rotation",
        seen.refresh_tokens.map(|tokens| (tokens == "new").into()),
    );
    put(
        "assets_in_listing",
        seen.shows("listed order", "assets").map(Value::from),
    );
    put(
        "asset_ids",
        file("assetid")
            // Only their absence: one look does not show whether they change with the file.
            .filter(|shown| !shown)
            .map(|_| "absent".into()),
    );
    let places = &seen.file_places;
    put(
        "asset_urls",
        match () {
            // The one that asks most of a client first: the files of an order may be in several places.
            () if places.contains("a URL at another host") => Some("signed".into()),
            () if places.contains("a URL at the service") => Some("same_host".into()),
            () if places.contains("no URL") => Some("absent".into()),
            () => None,
        },
    );
    put("asset_sizes", file("size").map(Value::from));
    put(
        "asset_times",
        file("modifiedat")
            // Not where nothing has a time: `times` says that already.
            .filter(|shown| *shown || times(seen) != Some("absent".into()))
            .map(Value::from),
    );
    put("asset_digests", file("sha256").map(Value::from));
    put("ranges", seen.ranges.map(Value::from));
    put("etags", seen.etags.map(Value::from));
    put(
        "missing_code",
        seen.missing_code
            // The simulator takes no others (`Behaviour::check`).
            .filter(|code| (400..=499).contains(code))
            .map(Value::from),
    );
    put(
        "downloaded_by",
        seen.left_the_list.map(|by| match by {
            // They are asked for before the zip: if the order left by them, any file does it.
            "thumbnails" => "any_asset".into(),
            _ => "zip_requested".into(),
        }),
    );
    Value::Object(behaviour)
}

/// Whether orders show a field, by themselves or in the list.
fn shows_order(seen: &Observations, field: &str) -> Option<bool> {
    let by_itself = seen.shows("order", field);
    by_itself.or_else(|| seen.shows("listed order", field))
}

fn keys(spelling: &str) -> Option<Value> {
    match spelling {
        "camelCase" => Some("camel".into()),
        "PascalCase" => Some("pascal".into()),
        "snake_case" => Some("snake".into()),
        _ => None,
    }
}

fn paging(seen: &Observations) -> Option<Value> {
    let signs = &seen.paging;
    let has = |sign: &str| signs.contains(sign);
    Some(match () {
        // In the order in which `paging` would follow them.
        () if has("link in a header") || has("link") => "link".into(),
        () if has("cursor") => "cursor".into(),
        () if has("page number") => "page".into(),
        () if has("offset") => "offset".into(),
        // No list was seen, and so no sign of pages could be.
        () if seen.lists.is_empty() => return None,
        () => "none".into(),
    })
}

fn statuses(seen: &Observations) -> Option<Value> {
    let has = |spelling: &str| seen.status_spellings.contains(spelling);
    match () {
        () if has("with a note behind it") => Some("noted".into()),
        () if has("SCREAMING_SNAKE_CASE") => Some("screaming_snake".into()),
        () if has("camelCase") => Some("camel".into()),
        () if has("as Align documents it") => Some("spaced".into()),
        () => None,
    }
}

fn times(seen: &Observations) -> Option<Value> {
    let has = |form: &str| seen.times.contains(form);
    match () {
        () if has("time with an offset") => Some("rfc3339".into()),
        () if has("time without an offset") => Some("civil".into()),
        () if has("milliseconds since 1970, or finer") => Some("unix_millis".into()),
        // Only where an order was seen that could have had times.
        () if seen.times.is_empty() && shows_order(seen, "status") == Some(true) => {
            Some("absent".into())
        }
        () => None,
    }
}

/// Keys that nobody expects: no field is read from them, and they are none of the prescription that
/// the simulator shows.
fn unexpected(seen: &Observations) -> impl Iterator<Item = &str> {
    // Shown by the simulator whatever the switch says, so that they prove nothing of it.
    const PRESCRIPTION: [&str; 6] = [
        "patient",
        "doctor",
        "procedure",
        "teeth",
        "duedate",
        "notes",
    ];
    let orders = ["order", "listed order"].into_iter();
    let keys = orders
        .filter_map(|kind| seen.records.get(kind))
        .flat_map(|keys| &keys.keys);
    keys.filter(|(name, key)| {
        let known = PRESCRIPTION
            .iter()
            .any(|known| crate::key::same_key(name, known));
        key.read_as.is_none() && !known
    })
    .map(|(name, _)| name.as_str())
}

/// The conventions of this crate, and what was seen of each: none where it is only assumed.
pub(super) fn conventions(seen: &Observations) -> Vec<(&'static str, Option<String>)> {
    let joined = |words: &mut dyn Iterator<Item = &str>| {
        let words: Vec<_> = words.collect();
        (!words.is_empty()).then(|| words.join(", "))
    };
    let shown =
        |shown: Option<bool>| shown.map(|shown| if shown { "yes" } else { "no" }.to_owned());
    let order = |field: &str| shows_order(seen, field);
    let ids = seen.id_types.iter().map(|(id, types)| {
        let types: Vec<_> = types.iter().copied().collect();
        format!("{id} {}", types.join(" or "))
    });
    let ids: Vec<_> = ids.collect();
    vec![
        ("form of Discovery", seen.discovery.map(str::to_owned)),
        (
            "refresh tokens after a refresh",
            seen.refresh_tokens.map(str::to_owned),
        ),
        ("spelling of keys", seen.key_spelling().map(str::to_owned)),
        ("lists", joined(&mut seen.lists.iter().copied())),
        ("an empty list", seen.empty_list.map(str::to_owned)),
        ("signs of pages", joined(&mut seen.paging.iter().copied())),
        (
            "orders of a page",
            seen.page_size.map(|size| size.to_string()),
        ),
        ("types of ids", joined(&mut ids.iter().map(String::as_str))),
        (
            "statuses",
            joined(&mut seen.statuses.iter().map(String::as_str)),
        ),
        (
            "spelling of statuses",
            joined(&mut seen.status_spellings.iter().copied()),
        ),
        (
            "statuses that the crate does not know",
            joined(&mut seen.unknown_statuses.iter().map(String::as_str)),
        ),
        ("times", joined(&mut seen.times.iter().copied())),
        ("a history with an order", shown(order("history"))),
        (
            "files of listed orders",
            shown(seen.shows("listed order", "assets")),
        ),
        (
            "kinds of files",
            joined(&mut seen.file_kinds.iter().map(String::as_str)),
        ),
        (
            "places of files",
            joined(&mut seen.file_places.iter().copied()),
        ),
        ("sizes of files", shown(seen.shows("file", "size"))),
        ("times of files", shown(seen.shows("file", "modifiedat"))),
        ("digests of files", shown(digests(seen))),
        ("parts of a file can be asked for", shown(seen.ranges)),
        ("files have an ETag", shown(seen.etags)),
        (
            "headers about files and limits",
            joined(&mut seen.headers.iter().copied()),
        ),
        (
            "an order left the list by a part of its",
            seen.left_the_list.map(str::to_owned),
        ),
        (
            "an order that is elsewhere",
            seen.elsewhere.map(str::to_owned),
        ),
        (
            "what is not there is answered",
            seen.missing_code.map(|code| code.to_string()),
        ),
        (
            "an error is answered with",
            seen.error_form.map(str::to_owned),
        ),
    ]
}

fn digests(seen: &Observations) -> Option<bool> {
    let sha256 = seen.shows("file", "sha256")?;
    Some(sha256 || seen.shows("file", "md5") == Some(true))
}

/// What a configuration should say so that answers can be read: the place of a list that the crate
/// does not find, and which key is the status where none is.
pub(super) fn settings(lists: &[(&'static str, String)], status: Option<&str>) -> Value {
    let mut settings = Map::new();
    if !lists.is_empty() {
        let lists = lists
            .iter()
            .map(|(name, pointer)| ((*name).to_owned(), pointer.as_str().into()));
        settings.insert("lists".to_owned(), Value::Object(lists.collect()));
    }
    if let Some(status) = status {
        settings.insert(
            "names".to_owned(),
            json!({ "order": { "status": [status] } }),
        );
    }
    match settings.is_empty() {
        true => json!({}),
        false => json!({ "shapes": settings }),
    }
}
