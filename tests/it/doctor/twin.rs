//! A second simulator speaks as the report says that the first one does.

use std::collections::BTreeSet;

use lab_connector::simulator::{Behaviour, DownloadedBy};
use serde_json::{Map, Value, json};

use super::{Result, Scene};

/// The choices of each switch; the first is the default.
fn choices() -> Map<String, Value> {
    let choices = json!({
        "downloaded_by": ["zip_complete", "zip_requested", "thumbnails_complete", "any_asset", "nothing"],
        "return_needs_reason": [false, true],
        "refresh_rotation": [true, false],
        "refresh_grace": [0, 60],
        "family_revocation": [true, false],
        "refresh_life": [null, 2_592_000],
        "pairing_revokes": ["nothing", "account", "account_and_login"],
        "pkce_required": [false, true],
        "keys": ["camel", "pascal", "snake"],
        "lists": ["wrapped", "bare", "nested"],
        "paging": ["none", "link", "cursor", "page", "offset"],
        "page_size": [100, 2, 3],
        "empty_list": ["list", "null"],
        "ids": ["text", "number"],
        "statuses": ["spaced", "camel", "screaming_snake", "noted"],
        "times": ["rfc3339", "civil", "unix_millis", "absent"],
        "history": [false, true],
        "unknown_fields": [false, true],
        "elsewhere": ["full", "without_files", "missing"],
        "errors": ["flat", "nested", "text", "empty"],
        "discovery": ["endpoints", "list", "domain"],
        "assets_in_listing": [true, false],
        "asset_ids": ["per_revision", "per_order", "absent"],
        "asset_urls": ["same_host", "signed", "absent"],
        "asset_url_life": [900, 3600],
        "asset_sizes": [true, false],
        "asset_times": [true, false],
        "asset_digests": [false, true],
        "ranges": [true, false],
        "etags": [true, false],
        "rate_limit": [null, 1000],
        "notifications": ["json", "form"],
        "notification_retries": [0, 3],
        "pair_code": [200, 201],
        "unpair_code": [204, 200],
        "return_code": [204, 202],
        "revoke_code": [200, 204],
        "conflict_code": [409, 412],
        "missing_code": [404, 410],
        "expired_code": [403, 410],
    });
    let Value::Object(choices) = choices else {
        unreachable!("it is an object");
    };
    let switches = serde_json::to_value(Behaviour::default()).unwrap();
    let all: BTreeSet<_> = switches.as_object().unwrap().keys().collect();
    assert_eq!(
        choices.keys().collect::<BTreeSet<_>>(),
        all,
        "a switch has no choices here"
    );
    choices
}

/// What the report is about: orders, and which files are asked for.
#[derive(Clone, Copy)]
struct Circumstances {
    orders: usize,
    zip: bool,
    elsewhere: bool,
}

const USUAL: Circumstances = Circumstances {
    orders: 5,
    zip: false,
    elsewhere: false,
};

/// The report and the behaviour of it.
async fn report(behaviour: &Value, circumstances: Circumstances) -> Result<(Value, Value)> {
    let Circumstances {
        orders,
        zip,
        elsewhere,
    } = circumstances;
    let scene = Scene::new(Behaviour::from_json(&behaviour.to_string())?, orders).await?;
    let mut check = scene.check().thumbnails();
    if zip {
        check = check.zip();
    }
    if let Some(rx_id) = scene.elsewhere.clone().filter(|_| elsewhere) {
        check = check.order(rx_id);
    }
    let report = check.await;
    Ok((scene.json(&report), report.behaviour().clone()))
}

/// What makes a switch visible: other switches, and the circumstances.
fn stage(switch: &str) -> (Value, Circumstances) {
    match switch {
        "paging" => (json!({"page_size": 2}), USUAL),
        "page_size" => (json!({"paging": "page"}), USUAL),
        "downloaded_by" => (json!({}), Circumstances { zip: true, ..USUAL }),
        "empty_list" => (json!({}), Circumstances { orders: 0, ..USUAL }),
        "elsewhere" => (
            json!({}),
            Circumstances {
                elsewhere: true,
                ..USUAL
            },
        ),
        _ => (json!({}), USUAL),
    }
}

#[tokio::test]
async fn each_switch_changes_the_report_or_is_among_those_that_nobody_can_observe() -> Result {
    let choices = choices();
    for (switch, values) in &choices {
        let values = values.as_array().unwrap();
        let (mut behaviour, circumstances) = stage(switch);
        behaviour[switch] = values[0].clone();
        let (usual, _) = report(&behaviour, circumstances).await?;
        let hidden = usual["not_observable"].as_object().unwrap();
        let hidden: Vec<_> = hidden.keys().map(String::as_str).collect();
        for value in &values[1..] {
            behaviour[switch] = value.clone();
            let (other, twin) = report(&behaviour, circumstances).await?;
            let choice = format!("{switch}: {}", value.as_str().unwrap_or_default());
            let is_hidden = hidden.contains(&switch.as_str()) || hidden.contains(&choice.as_str());
            assert_eq!(other == usual, is_hidden, "{behaviour}");
            // What can be seen, the twin does.
            assert_eq!(
                twin.get(switch) == Some(value),
                !is_hidden,
                "{behaviour}: {twin}"
            );
        }
        let known = |entry: &&str| {
            let (name, value) = entry
                .split_once(": ")
                .map_or((*entry, None), |(name, value)| (name, Some(value)));
            let values = choices.get(name).and_then(Value::as_array);
            values.is_some_and(|values| value.is_none_or(|value| values.contains(&value.into())))
        };
        assert!(hidden.iter().all(known), "{hidden:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_twin_gives_the_same_report() -> Result {
    let choices = choices();
    for seed in 0..15 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut behaviour = Map::new();
        for (switch, values) in &choices {
            let values = values.as_array().unwrap();
            behaviour.insert(switch.clone(), values[rng.usize(..values.len())].clone());
        }
        if behaviour["asset_ids"] == "absent" && behaviour["asset_urls"] == "absent" {
            behaviour.insert("asset_ids".into(), "per_order".into());
        }
        // Without parts a whole file is on its way, of which more or less comes: whether that marks the
        // order is chance.
        let parts = behaviour["ranges"] == true;
        if !parts {
            behaviour.insert("downloaded_by".into(), "nothing".into());
        }
        let behaviour = Value::Object(behaviour);
        let circumstances = Circumstances {
            orders: rng.usize(0..6),
            zip: parts && rng.bool(),
            elsewhere: rng.bool(),
        };
        let (first, twin) = report(&behaviour, circumstances).await?;
        let (second, _) = report(&twin, circumstances).await?;
        assert_eq!(first, second, "{seed}: {behaviour}\n{twin}");
    }
    Ok(())
}

#[tokio::test]
async fn the_default_check_takes_no_order_off_the_list() -> Result {
    for downloaded_by in [
        DownloadedBy::ZipComplete,
        DownloadedBy::ZipRequested,
        DownloadedBy::ThumbnailsComplete,
        DownloadedBy::AnyAsset,
        DownloadedBy::Nothing,
    ] {
        let mut behaviour = Behaviour::default();
        behaviour.downloaded_by = downloaded_by;
        let scene = Scene::new(behaviour, 3).await?;
        let report = scene.check().await;
        assert!(report.is_good(), "{report}");
        assert_eq!(scene.listed().await?, 3, "{downloaded_by:?}");
    }
    Ok(())
}
