//! What a world is like: behaviours, faults and people, drawn from its seed. Every switch of
//! [`Behaviour`] is among them.

use fastrand::Rng;
use lab_connector::Operation;
use lab_connector::simulator::{
    AssetIds, AssetUrls, Behaviour, DiscoveryForm, DownloadedBy, Elsewhere, EmptyList, ErrorBodies,
    Fault, FaultRule, Faults, Ids, KeyCase, Lists, NotificationBody, Paging, PairingRevokes,
    ResetAt, Span, StatusSpelling, Times, Workload,
};

fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.usize(0..from.len())]
}

/// The first seed of a world of which everything is drawn. Those before it have a name for what went
/// wrong in them, and are drawn as they were then.
pub(super) const NEW: u64 = 10_000;

/// For what was not drawn from the beginning, so that the rest of a world stays as it was.
pub(super) fn later(seed: u64) -> Rng {
    Rng::with_seed(seed.rotate_left(32))
}

pub(super) fn behaviour(seed: u64, rng: &mut Rng) -> Behaviour {
    let mut is = first_behaviour(rng);
    if seed >= NEW {
        vary_more(&mut is, &mut later(seed));
    }
    is
}

/// Limits that are short against the hours between one look and the next, or between one minute of
/// the people's and the next, and so are met; none is so short that no work can be done.
fn vary_more(is: &mut Behaviour, rng: &mut Rng) {
    if rng.u8(0..4) == 0 {
        is.rate_limit = Some(rng.u32(20..200));
    }
    if rng.u8(0..3) == 0 {
        // More than the hour that an access token lives.
        is.refresh_life = Some(rng.u64(2..48) * 3_600);
    }
    is.asset_url_life = pick(rng, &[20, 900, 900, 86_400]);
    is.unpair_code = pick(rng, &[200, 201, 202, 204]);
    is.revoke_code = pick(rng, &[200, 201, 202, 204]);
}

fn first_behaviour(rng: &mut Rng) -> Behaviour {
    let mut is = Behaviour::default();
    is.downloaded_by = pick(
        rng,
        &[
            DownloadedBy::ZipComplete,
            DownloadedBy::ZipRequested,
            DownloadedBy::ThumbnailsComplete,
            DownloadedBy::AnyAsset,
            DownloadedBy::Nothing,
        ],
    );
    is.return_needs_reason = rng.bool();
    is.refresh_rotation = rng.u8(0..4) > 0;
    is.refresh_grace = pick(rng, &[0, 0, 30]);
    is.family_revocation = rng.bool();
    is.pairing_revokes = pick(
        rng,
        &[
            PairingRevokes::Nothing,
            PairingRevokes::Account,
            PairingRevokes::AccountAndLogin,
        ],
    );
    is.pkce_required = rng.bool();
    is.keys = pick(rng, &[KeyCase::Camel, KeyCase::Pascal, KeyCase::Snake]);
    is.lists = pick(rng, &[Lists::Wrapped, Lists::Bare, Lists::Nested]);
    is.paging = pick(
        rng,
        &[
            Paging::None,
            Paging::Link,
            Paging::Cursor,
            Paging::Page,
            Paging::Offset,
        ],
    );
    is.page_size = rng.usize(2..30);
    is.empty_list = pick(rng, &[EmptyList::List, EmptyList::Null]);
    is.ids = pick(rng, &[Ids::Text, Ids::Number]);
    is.statuses = pick(
        rng,
        &[
            StatusSpelling::Spaced,
            StatusSpelling::Camel,
            StatusSpelling::ScreamingSnake,
            StatusSpelling::Noted,
        ],
    );
    is.times = pick(
        rng,
        &[
            Times::Rfc3339,
            Times::Rfc3339,
            Times::Civil,
            Times::UnixMillis,
            Times::Absent,
        ],
    );
    is.history = rng.u8(0..4) == 0;
    is.unknown_fields = rng.bool();
    is.elsewhere = pick(
        rng,
        &[
            Elsewhere::Full,
            Elsewhere::Full,
            Elsewhere::WithoutFiles,
            Elsewhere::Missing,
        ],
    );
    is.errors = pick(
        rng,
        &[
            ErrorBodies::Flat,
            ErrorBodies::Nested,
            ErrorBodies::Text,
            ErrorBodies::Empty,
        ],
    );
    is.discovery = pick(
        rng,
        &[
            DiscoveryForm::Endpoints,
            DiscoveryForm::List,
            DiscoveryForm::Domain,
        ],
    );
    is.assets_in_listing = rng.u8(0..4) > 0;
    is.asset_ids = pick(
        rng,
        &[
            AssetIds::PerRevision,
            AssetIds::PerRevision,
            AssetIds::PerOrder,
            AssetIds::Absent,
        ],
    );
    is.asset_urls = pick(
        rng,
        &[AssetUrls::SameHost, AssetUrls::Signed, AssetUrls::Absent],
    );
    if is.asset_ids == AssetIds::Absent && is.asset_urls == AssetUrls::Absent {
        is.asset_urls = AssetUrls::Signed;
    }
    is.asset_sizes = rng.bool();
    is.asset_times = rng.u8(0..3) > 0;
    is.asset_digests = rng.u8(0..3) == 0;
    is.ranges = rng.u8(0..3) > 0;
    is.etags = rng.u8(0..3) > 0;
    is.notifications = pick(rng, &[NotificationBody::Json, NotificationBody::Form]);
    is.notification_retries = rng.u32(0..2);
    is.pair_code = pick(rng, &[200, 201, 202]);
    is.return_code = pick(rng, &[200, 201, 202, 204]);
    is.conflict_code = pick(rng, &[409, 412, 422]);
    is.missing_code = pick(rng, &[404, 404, 410]);
    is.expired_code = pick(rng, &[403, 404, 410]);
    is
}

/// Every fault that there is, each with a low probability.
///
/// A listing that lags behind is in one world of four: what it shows looks like a case that went
/// back, and what follows cannot be held against the truth. A clock that goes wrong is where files
/// have no times: with other times files look changed, and nobody can know that they are not.
pub(super) fn faults(rng: &mut Rng, behaviour: &Behaviour) -> Faults {
    let stale = rng.u8(0..4) == 0;
    let mut faults = Faults::default();
    let mut add = |rule: FaultRule, most: f64| {
        let probability = rng.f64() * most;
        faults.rules.push(rule.probability(probability));
    };
    let status = |code, retry_after| FaultRule::new(Fault::Status { code, retry_after });
    for code in [400, 408, 500, 502, 503] {
        add(status(code, None), 0.01);
    }
    add(status(503, Some(1)), 0.01);
    add(status(429, Some(1)), 0.02);
    add(status(401, None), 0.005);
    add(status(404, None).on(Operation::GetOrderByRxId), 0.01);
    add(FaultRule::new(Fault::Latency { seconds: 0.01 }), 0.05);
    add(FaultRule::new(Fault::Hang), 0.002);
    for at in [
        ResetAt::Request,
        ResetAt::Answer,
        ResetAt::InsideHead,
        ResetAt::AfterHead,
        ResetAt::InsideBody,
        ResetAt::AfterBody,
    ] {
        add(FaultRule::new(Fault::Reset { at }), 0.01);
        // Files are long, and break off more often.
        let files = FaultRule::new(Fault::Reset { at }).on(Operation::DownloadAsset);
        add(files, 0.05);
    }
    add(FaultRule::new(Fault::Truncate), 0.02);
    let drip = Fault::Drip {
        bytes_per_second: 1_000_000,
    };
    add(FaultRule::new(drip), 0.02);
    for by in [-7, 9] {
        add(FaultRule::new(Fault::WrongLength { by }), 0.01);
    }
    add(FaultRule::new(Fault::Html), 0.01);
    add(FaultRule::new(Fault::MalformedJson), 0.02);
    let listing = |fault| FaultRule::new(fault).on(Operation::GetOrders);
    add(listing(Fault::UnreadableRecord), 0.1);
    add(listing(Fault::MissingOrder), 0.2);
    if stale {
        add(listing(Fault::StaleOrder), 0.05);
    }
    add(FaultRule::new(Fault::ExpiredUrl), 0.03);
    for seconds in [-240, 240] {
        let mut rule = FaultRule::new(Fault::ClockSkew { seconds });
        if behaviour.asset_times {
            rule = rule.on(Operation::RefreshToken).on(Operation::Discovery);
        }
        add(rule, 0.02);
    }
    add(FaultRule::new(Fault::OtherRegion), 0.3);
    for fault in [
        Fault::NotificationLost,
        Fault::NotificationDuplicated,
        Fault::NotificationDelayed { seconds: 0.05 },
        Fault::NotificationReordered,
        Fault::NotificationForged,
    ] {
        add(FaultRule::new(fault), 0.3);
    }
    faults
}

/// Busy people who need hours for what takes days.
pub(super) fn life(rng: &mut Rng) -> Workload {
    let mut life = Workload::default();
    life.cases_per_day = 150.0 + rng.f64() * 150.0;
    life.lab = Span::hours(0.5 + rng.f64() * 3.0, 2.5);
    life.modeling = Span::hours(1.5, 2.0);
    life.interpretation = Span::hours(1.0, 2.0);
    life.milling = Span::hours(2.0, 1.5);
    life.shipping = Span::hours(1.0, 1.5);
    life.rescan = Span::hours(0.5 + rng.f64() * 3.0, 2.0);
    life.to_modeling = 0.3;
    life.to_milling = 0.35;
    life.to_doctor = 0.15;
    life.by_interpretation = 0.3;
    life.back_to_review = 0.4;
    life.portal_downloads = rng.f64() * 0.4;
    life.remakes = 0.1;
    life
}

/// Whether answers certainly tell the files of an order from those that it had before, wherever
/// it is seen. Sizes do not: two scans may be as long. Nor does anything of a file without an id.
pub(super) fn tells_files(is: &Behaviour) -> bool {
    let timed = is.asset_times && is.times != Times::Absent;
    let told = is.asset_ids == AssetIds::PerRevision || timed || is.asset_digests;
    is.assets_in_listing && is.asset_ids != AssetIds::Absent && told
}
