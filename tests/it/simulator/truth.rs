//! What is true in the world: its seed, its packages, and what was shown of it.

use std::collections::BTreeSet;
use std::time::Duration;

use lab_connector::OrderId;
use lab_connector::flow::Phase;
use lab_connector::simulator::{Behaviour, ClockMode, Simulator};
use serde_json::Value;

use super::behaviour::{paired, raw, token};
use super::{Result, rx_of};

/// Two runs with one seed are the same, byte for byte; with another one they are not.
#[tokio::test]
async fn a_seed_makes_the_world() -> Result {
    let run = async |seed| -> Result<Vec<String>> {
        let service = Simulator::builder()
            .seed(seed)
            .clock(ClockMode::Stepped)
            .start()
            .await?;
        let token = token(&service).await?;
        for _ in 0..3 {
            service.scan("L-1")?;
            service.advance(Duration::from_secs(60));
        }
        let port = service.address().port().to_string();
        let (_, listing) = raw(&service, "/accounts/L-1/orders").await?;
        Ok(vec![token, listing.replace(&port, "PORT")])
    };
    assert_eq!(run(7).await?, run(7).await?);
    let (seven, eight) = (run(7).await?, run(8).await?);
    assert!(seven[0] != eight[0] && seven[1] != eight[1]);
    Ok(())
}

/// The package names the case's own patient, doctor, teeth and due date.
#[tokio::test]
async fn a_manifest_says_what_the_order_says() -> Result {
    use lab_connector::export::Package;
    use lab_connector::model::{Prescription, Tooth};
    let (service, lab) = paired(Behaviour::default()).await?;
    let mut patients = BTreeSet::new();
    for _ in 0..12 {
        service.scan("L-1")?;
    }
    let directory = tempfile::tempdir()?;
    for order in lab.orders().list().await?.orders() {
        let export = order
            .assets()
            .iter()
            .find(|asset| asset.is_export())
            .unwrap();
        let path = directory.path().join(order.id().as_str());
        lab.download(order, export).to_file(&path).await?;
        let manifest = Package::open(&path)?.manifest()?.unwrap();
        let said = order.extra();
        let (before, rx) = (order.prescription(), manifest.prescription());
        assert_eq!(before.patient(), rx.patient());
        assert_eq!(before.chart_number(), rx.chart_number());
        assert_eq!(before.doctor(), rx.doctor());
        assert_eq!(before.doctor_license(), rx.doctor_license());
        assert_eq!(
            (before.due(), before.procedure()),
            (rx.due(), rx.procedure())
        );
        assert_eq!(before.notes(), rx.notes());
        let numbers =
            |rx: &Prescription| -> Vec<_> { rx.teeth().iter().map(Tooth::number).collect() };
        assert_eq!(numbers(&before), numbers(rx));
        let patient = &said["patient"];
        let name = format!(
            "{}, {}",
            patient["lastName"].as_str().unwrap(),
            patient["firstName"].as_str().unwrap()
        );
        assert_eq!(*rx.patient().unwrap().reveal(), name);
        assert_eq!(manifest.order_id(), Some(order.id()));
        assert_eq!(patient["chartNumber"], *rx.chart_number().unwrap().reveal());
        let doctor = &said["doctor"];
        assert_eq!(doctor["name"], *rx.doctor().unwrap().reveal());
        assert_eq!(
            doctor["licenseNumber"],
            *rx.doctor_license().unwrap().reveal()
        );
        let teeth = rx
            .teeth()
            .iter()
            .map(|tooth| tooth.number().unwrap().to_string());
        let listed = said["teeth"]
            .as_array()
            .unwrap()
            .iter()
            .map(Value::to_string);
        assert_eq!(teeth.collect::<Vec<_>>(), listed.collect::<Vec<_>>());
        assert_eq!(said["dueDate"], rx.due().unwrap());
        assert_eq!(said["procedure"], rx.procedure().unwrap());
        let bridged = rx.bridges().iter().flatten().count();
        let is_bridge = said["procedure"] == "Bridge";
        assert_eq!(bridged, if is_bridge { rx.teeth().len() } else { 0 });
        patients.insert(name);
    }
    assert!(patients.len() > 5, "{patients:?}");
    Ok(())
}

#[tokio::test]
async fn the_truth_says_what_was_shown_and_seen() -> Result {
    let (service, lab) = paired(Behaviour::default()).await?;
    let began = service.now();
    let order = service.prescribe("L-1")?;
    service.begin_scan(&order)?;
    service.advance(Duration::from_secs(60));
    service.finish_scan(&order)?;
    let rx = rx_of(&lab, &order).await?;
    // Nobody looks while it is in modeling, nor at the first review.
    service.request_milling(&order)?;
    service.finish_modeling(&order)?;
    service.begin_interpretation(&order)?;
    service.interpretation_to_review(&order)?;
    lab.orders().by_rx(&rx).await?;
    let truth = service.truth(&order).unwrap();
    assert_eq!((truth.rx_id.clone(), truth.phase()), (rx, Phase::Review2));
    let shown: Vec<_> = truth
        .shown
        .iter()
        .map(|shown| {
            (
                shown.phase,
                shown.status.as_str(),
                shown.revision,
                shown.seen,
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            (Phase::Scan, "Rx Created", 0, false),
            (Phase::Scan, "Scanning", 0, false),
            (Phase::AtLab, "Ready for Download", 1, true),
            // Only later it turned out where they led to.
            (Phase::ModelingG, "iTero Modeling", 1, false),
            (Phase::ReviewG, "Lab Review", 2, false),
            (Phase::Interp2, "iTero Milling", 2, false),
            (Phase::Review2, "Lab Review", 3, true),
        ]
    );
    assert_eq!(truth.shown[0].at, began);
    assert_eq!(truth.shown[2].at, began + Duration::from_secs(60));
    let seen: Vec<_> = truth.deliveries().map(|shown| shown.seen).collect();
    assert_eq!(seen, [true, false, true]);
    let other = service.scan("L-1")?;
    let orders: Vec<OrderId> = service.orders(&"L-1".into()).collect();
    assert_eq!((orders, service.case_count()), (vec![order, other], 2));
    assert!(service.truth(&"none".into()).is_none());
    assert_eq!(service.orders(&"none".into()).count(), 0);
    Ok(())
}
