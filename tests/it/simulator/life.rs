//! People who act by themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lab_connector::clock::Clock;
use lab_connector::flow::Phase;
use lab_connector::inbox::MemoryStore;
use lab_connector::simulator::{
    Action, AssetIds, AssetUrls, Behaviour, ClockMode, Fault, FaultRule, Faults, Simulator, Span,
    WorkflowEvent, Workload,
};

use lab_connector::status::Symbol;
use lab_connector::{History, Operation, OrderId, OrderStatus};

use super::behaviour::{self, with};
use super::{Result, builder, client, listed, signed_in};

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn stepped(seed: u64) -> Result<Simulator> {
    let builder = Simulator::builder().seed(seed).clock(ClockMode::Stepped);
    Ok(builder.start().await?)
}

/// Everything that was shown, of every case.
fn courses(service: &Simulator) -> Vec<(OrderId, Vec<(Duration, Phase)>)> {
    let began = std::time::SystemTime::UNIX_EPOCH;
    let course = |order: OrderId| {
        let shown = service.truth(&order).unwrap().shown;
        let shown = shown
            .iter()
            .map(|shown| (shown.at.duration_since(began).unwrap(), shown.phase));
        (order, shown.collect())
    };
    service.orders(&"L-1".into()).map(course).collect()
}

#[tokio::test]
async fn a_busy_month_goes_every_way_and_no_other() -> Result {
    let service = stepped(3).await?;
    let mut life = Workload::default();
    life.portal_downloads = 0.5;
    life.to_doctor = 0.15;
    life.by_interpretation = 0.4;
    life.back_to_review = 0.4;
    life.remakes = 0.2;
    service.set_life(life)?;
    let begun = service.now();
    let deeds = service.live(30 * DAY);
    assert_eq!(service.now(), begun + 30 * DAY);
    let courses = courses(&service);
    assert!((1000..1400).contains(&courses.len()), "{}", courses.len());
    assert!(deeds > 2 * courses.len(), "{deeds}");
    let mut visited = BTreeSet::new();
    for (order, course) in &courses {
        let mut history = Vec::new();
        for (at, step) in course
            .windows(2)
            .map(|two| (two[0].0 <= two[1].0, (two[0].1, two[1].1)))
        {
            let (from, to) = step;
            assert!(at, "{order} goes back in time");
            let remake = matches!(from, Phase::FinishedM | Phase::FinishedG);
            assert!(
                remake || from.may_be_followed_by().contains(to),
                "{from} to {to}"
            );
        }
        for (_, phase) in course {
            visited.insert(*phase);
            history.push(phase.shows().status());
        }
        // The reading of what was shown holds what was true.
        let reading = History::complete(history).read();
        let truth = course.last().unwrap().1;
        let remade = course
            .iter()
            .filter(|(_, phase)| matches!(phase, Phase::FinishedM | Phase::FinishedG))
            .count()
            > 0;
        assert!(
            remade || reading.phases().contains(truth),
            "{order}: {truth}"
        );
    }
    let missed: Vec<_> = Phase::ALL
        .iter()
        .filter(|phase| !visited.contains(phase))
        .collect();
    assert!(missed.is_empty(), "{missed:?}");
    Ok(())
}

#[tokio::test]
async fn a_life_is_that_of_its_seed_however_it_is_cut() -> Result {
    let (one, other, third) = (stepped(1).await?, stepped(1).await?, stepped(2).await?);
    one.live(3 * DAY);
    third.live(3 * DAY);
    for _ in 0..72 {
        other.live(DAY / 24);
    }
    assert_eq!(courses(&one), courses(&other));
    assert_ne!(courses(&one), courses(&third));
    // A lab more does not change the life of the first.
    let more = stepped(1).await?;
    more.add_account("L-2", "Second Lab");
    more.live(3 * DAY);
    assert!(more.orders(&"L-2".into()).count() > 50);
    let course = |service: &Simulator| {
        let courses = courses(service).into_iter();
        let courses = courses.map(|(_, course)| course);
        courses
            .map(|course| course.into_iter().map(|(at, _)| at).next().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(course(&one), course(&more));
    Ok(())
}

#[tokio::test]
async fn each_step_says_what_was_done() -> Result {
    let service = stepped(1).await?;
    let mut cases = BTreeMap::new();
    for _ in 0..200 {
        match service.step().unwrap() {
            WorkflowEvent::Prescribed(order) => {
                assert!(cases.insert(order, 1).is_none());
            }
            WorkflowEvent::Acted(order, _) => *cases.get_mut(&order).unwrap() += 1,
            other => panic!("{other:?}"),
        }
    }
    for (order, deeds) in cases {
        assert_eq!(service.truth(&order).unwrap().shown.len(), deeds);
    }
    let mut still = Workload::default();
    still.cases_per_day = 0.0;
    let none = stepped(1).await?;
    none.set_life(still)?;
    assert_eq!((none.step(), none.live(DAY)), (None, 0));
    let mut wrong = Workload::default();
    wrong.remakes = 2.0;
    assert!(none.set_life(wrong).is_err());
    Ok(())
}

/// The client lives in the simulator's time.
#[derive(Debug)]
struct SimulatedTime(Arc<Simulator>);

#[async_trait::async_trait]
impl Clock for SimulatedTime {
    fn now(&self) -> SystemTime {
        self.0.now()
    }

    fn elapsed(&self) -> Duration {
        self.now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// The truth and an inbox that looks often say the same, though lists flicker.
#[tokio::test]
async fn an_inbox_delivers_what_was_seen() -> Result {
    let service = Arc::new(stepped(6).await?);
    let client = builder(&service).clock(SimulatedTime(Arc::clone(&service)));
    let login = signed_in(&service, &client.build()?).await?;
    let inbox = login.pair("L-1").await?.inbox(MemoryStore::new());
    inbox.poll().await?;
    let mut life = Workload::default();
    (life.portal_downloads, life.to_doctor) = (0.8, 0.2);
    service.set_life(life)?;
    let often = |fault| {
        FaultRule::new(fault)
            .on(Operation::GetOrders)
            .probability(0.2)
    };
    let mut faults = Faults::default();
    faults
        .rules
        .extend([Fault::MissingOrder, Fault::UnreadableRecord].map(often));
    service.set_faults(faults)?;
    let mut delivered: BTreeMap<OrderId, Vec<u32>> = BTreeMap::new();
    for _ in 0..3 * 24 * 2 {
        service.live(Duration::from_secs(30 * 60));
        inbox.poll().await?;
        while let Some(delivery) = inbox.claim(1).await?.pop() {
            let order = delivery.order_id().clone();
            delivered.entry(order).or_default().push(delivery.ordinal());
            delivery.acknowledge().await?;
        }
    }
    let mut again = 0;
    for order in service.orders(&"L-1".into()) {
        let truth = service.truth(&order).unwrap();
        let seen = truth.deliveries().filter(|shown| shown.seen).count();
        let ordinals = delivered.remove(&order).unwrap_or_default();
        let expected: Vec<u32> = (1..).take(seen).collect();
        assert_eq!(ordinals, expected, "{truth:?}");
        again += usize::from(seen > 1);
    }
    assert!(delivered.is_empty() && again > 5, "{again}");
    Ok(())
}

/// A case was scanned again and fetched in the portal, before anybody looked: what the listing
/// named is there no more, and nothing would ever list what is.
#[tokio::test]
async fn files_that_were_replaced_unseen_are_fetched_as_they_are_now() -> Result {
    let told_apart_by_digest = |urls| {
        with(|b| {
            b.asset_ids = AssetIds::PerOrder;
            b.asset_times = false;
            b.asset_digests = true;
            b.asset_urls = urls;
        })
    };
    for behaviour in [
        Behaviour::default(),
        // Under the same id there is another file.
        told_apart_by_digest(AssetUrls::SameHost),
        // The URL has expired, and the new one is that of another file.
        told_apart_by_digest(AssetUrls::Signed),
    ] {
        let (service, lab) = behaviour::paired(behaviour).await?;
        let inbox = lab.inbox(MemoryStore::new());
        let order = service.scan("L-1")?;
        inbox.poll().await?;
        let delivery = inbox.claim(1).await?.pop().unwrap();
        for action in [Action::ReturnToDoctor, Action::Rescan, Action::Download] {
            service.act(&order, action)?;
        }
        service.advance(Duration::from_secs(1_000));
        let directory = tempfile::tempdir()?;
        let mut files = Vec::new();
        for file in delivery.download_all(directory.path()).await?.iter() {
            files.push(std::fs::read(&file.path)?);
        }
        let true_files = ["IMAGE_GALLERY", "IDE"].map(|kind| service.file(&order, 2, kind));
        assert_eq!(files, true_files.map(Option::unwrap));
        // It was seen that the case is no longer listed.
        let history = inbox.history(&order).await?.unwrap().history;
        assert_eq!(*history.last().unwrap().status(), OrderStatus::Downloaded);
    }
    Ok(())
}

/// With a clock that runs by itself people do what is due, and software sees it.
#[tokio::test]
async fn a_fast_clock_makes_people_fast() -> Result {
    // Ten minutes a second: a token lives for six.
    let builder = Simulator::builder().seed(1).clock(ClockMode::Scaled(600.0));
    let service = builder.start().await?;
    let mut life = Workload::default();
    (life.cases_per_day, life.scan) = (1e5, Span::hours(0.0001, 1.1));
    service.set_life(life)?;
    let lab = signed_in(&service, &client(&service)?)
        .await?
        .pair("L-1")
        .await?;
    let begun = service.now();
    while service.now() < begun + Duration::from_secs(60) {
        tokio::task::yield_now().await;
    }
    assert!(service.catch_up() > 20);
    let waiting = service
        .orders(&"L-1".into())
        .filter(|order| {
            let phase = service.truth(order).unwrap().phase();
            matches!(phase.shows(), Symbol::F | Symbol::R)
        })
        .collect::<Vec<_>>();
    assert!(waiting.len() > 5);
    assert_eq!(listed(&lab).await?, waiting);
    Ok(())
}

/// Nobody scans for a while, and then doctors begin.
#[tokio::test]
async fn doctors_begin_when_they_are_told_to() -> Result {
    let service = stepped(1).await?;
    let mut life = Workload::default();
    life.cases_per_day = 0.0;
    service.set_life(life.clone())?;
    service.live(DAY);
    assert_eq!(service.case_count(), 0);
    life.cases_per_day = 40.0;
    service.set_life(life)?;
    service.live(DAY);
    assert!(service.case_count() > 10, "{}", service.case_count());
    Ok(())
}
