use std::time::{Duration, SystemTime};

use super::super::file::PackedFile;
use super::super::jaw::Jaw;
use super::*;
use crate::sensitive::Sensitive;

const V24: &str = include_str!("fixtures/v24.xml");
const V30: &str = include_str!("fixtures/v30.xml");
const V50: &str = include_str!("fixtures/v50.xml");

fn read(text: &str) -> Manifest {
    Manifest::parse(text.as_bytes()).unwrap()
}

fn shown(value: Option<Sensitive<&str>>) -> Option<&str> {
    value.map(|value| *value.reveal())
}

#[test]
fn version_2_4_with_elements() {
    let manifest = read(V24);
    assert_eq!(manifest.version(), Some("2.4"));
    assert_eq!(manifest.order_id().map(OrderId::as_str), Some("12345678"));
    assert_eq!(manifest.order_code(), Some("AB12"));
    assert_eq!(manifest.is_modeled(), Some(false));
    assert_eq!(
        shown(manifest.prescription().patient()),
        Some("Muster, Erika")
    );
    let names = manifest.prescription().patient_names().unwrap();
    assert_eq!(*names.reveal(), ("Muster", "Erika"));
    assert_eq!(shown(manifest.prescription().chart_number()), Some("C-77"));
    assert_eq!(shown(manifest.prescription().doctor()), Some("Dr. Canary"));
    assert_eq!(
        shown(manifest.prescription().doctor_license()),
        Some("LIC-4711")
    );
    assert_eq!(manifest.lab_name(), Some("Lab & Söhne"));
    assert_eq!(manifest.lab_id(), Some("991"));
    assert_eq!(manifest.prescription().due(), Some("2026-03-14"));
    let exported = SystemTime::UNIX_EPOCH + Duration::from_secs(1_773_134_813);
    assert_eq!(manifest.export_time(), Some(exported));
    assert_eq!(manifest.prescription().procedure(), Some("Restorative"));
    assert_eq!(shown(manifest.prescription().notes()), Some("Call Erika."));

    let [tooth] = manifest.prescription().teeth() else {
        panic!()
    };
    assert_eq!(tooth.number(), Some(14));
    assert_eq!(tooth.field("Tooth_Type"), Some("Crown"));
    assert_eq!(tooth.field("shade"), Some("A2"));

    let objects = manifest.objects();
    let of = |jaw| {
        let objects = objects.iter().filter(move |object| object.jaw == Some(jaw));
        objects.filter_map(|object| object.file_name.as_deref())
    };
    let upper: Vec<_> = of(Jaw::Upper).collect();
    assert_eq!(upper, ["12345678_UpperJaw.stl", "12345678_die_14.stl"]);
    assert_eq!(of(Jaw::Lower).count(), 1);
    assert_eq!(objects[2].kind.as_deref(), Some("Die"));
    assert_eq!(objects[2].tooth, Some(14));

    assert_eq!(
        serde_json::Value::from(manifest.extra()),
        serde_json::json!({"RxInfo": {"ScannerSoftware": "canary-unknown"}})
    );
}

#[test]
fn version_3_0_with_tables_in_the_prescription() {
    let manifest = read(V30);
    assert_eq!(manifest.order_id().map(OrderId::as_str), Some("123456789"));
    assert_eq!(manifest.is_modeled(), Some(true));
    assert_eq!(
        *manifest.prescription().patient_names().unwrap().reveal(),
        ("Muster", "")
    );
    assert!(
        manifest.prescription().doctor_license().is_none(),
        "an empty text is none"
    );
    assert_eq!(manifest.prescription().due(), Some("tomorrow"));
    assert_eq!(
        manifest.prescription().procedure(),
        Some("Fixed Restorative")
    );
    let procedure = manifest.prescription().teeth()[1].field("Procedure");
    assert_eq!(procedure, Some("Bridge abutment"));
    assert_eq!(manifest.prescription().bridges()[0], [3, 4, 5]);
    let [scan, bite] = manifest.objects() else {
        panic!()
    };
    assert_eq!(scan.jaw, Some(Jaw::Lower));
    let file = PackedFile::new(0, "top/123456789_L.PLY".to_owned(), 1);
    assert!(scan.names(&file));
    assert_eq!((bite.jaw, bite.file_name.as_deref()), (None, None));
    let left = &manifest.extra()["ExportedObjects"]["Object"]["JawId"];
    assert_eq!(left, "9", "what is no jaw");
}

#[test]
fn version_5_0_with_attributes() {
    let manifest = read(V50);
    assert_eq!(manifest.version(), Some("5.0"));
    assert_eq!(manifest.order_code(), Some("ZX-9"));
    assert_eq!(manifest.prescription().procedure(), Some("Implant"));
    let notes = shown(manifest.prescription().notes()).unwrap();
    assert!(notes.starts_with("Margin <b>"));
    let tooth = &manifest.prescription().teeth()[0];
    assert_eq!(tooth.field("material"), Some("Zirconia"));
    assert!(manifest.prescription().bridges().is_empty());
    let jaws: Vec<_> = manifest.objects().iter().map(|object| object.jaw).collect();
    assert_eq!(jaws, [Some(Jaw::Upper), Some(Jaw::Lower)]);
    let sub_kind = |n: usize| manifest.objects()[n].sub_kind.as_deref();
    assert_eq!(
        (sub_kind(0), sub_kind(1)),
        (Some("With scan body"), Some("5"))
    );
    let extra = manifest.extra();
    assert_eq!(extra["ExportedObjects"]["Object"]["Hash"], "canary");
    assert_eq!(extra["Release"], "2026.1");
    assert_eq!(extra["RxInfo"]["Cloud"]["Link"], "canary");
    let tooth = &extra["Teeth"]["Tooth"];
    assert_eq!(
        (&tooth["AdaId"], &tooth["Implant"]["Maker"]),
        (&"8".into(), &"canary".into())
    );
}

#[test]
fn coded_fields_have_tables_of_their_own() {
    let manifest = read(include_str!("fixtures/v50_bridge.xml"));
    let [bridge] = manifest.prescription().bridges() else {
        panic!()
    };
    assert_eq!(*bridge, [3, 4, 5]);
    let extra = manifest.extra();
    let rest = &extra["Bridges"]["Bridge"];
    assert_eq!(
        (&rest["Id"], &rest["Type"]),
        (&"1".into(), &"Traditional".into())
    );
    let fields = |n: usize| -> Vec<_> { manifest.prescription().teeth()[n].fields().collect() };
    assert_eq!(
        fields(0),
        [
            ("RestorationType", "Crown"),
            ("ToothMaterial", "Ceramic: Zirconia"),
            ("TypeInBridge", "Abutment"),
            ("BridgeID", "1"),
        ]
    );
    assert_eq!(fields(1)[1], ("TypeInBridge", "Pontic"));
}

#[test]
fn a_bridge_may_name_its_teeth_in_three_ways() {
    let teeth = |bridge: &str| {
        let tooth = |n| format!("<Tooth AdaId='{n}' BridgeID='7'/>");
        let teeth = [20, 19].map(tooth).concat();
        let text =
            format!("<iTeroExport><Teeth>{teeth}</Teeth><Bridges>{bridge}</Bridges></iTeroExport>");
        read(&text).prescription().bridges()[0].clone()
    };
    assert_eq!(
        teeth("<Bridge Id='1' FromAdaId='30' ToAdaId='28'/>"),
        [30, 29, 28]
    );
    assert_eq!(teeth("<Bridge FromAdaId='16' ToAdaId='17'/>"), [16, 17]);
    assert_eq!(
        teeth("<Bridge><Tooth AdaId='3'/><Tooth AdaId='5'/></Bridge>"),
        [3, 5]
    );
    assert_eq!(teeth("<Bridge Id='7'/>"), [20, 19]);
    assert!(teeth("<Bridge Id='8'/>").is_empty());
}

#[test]
fn what_cannot_be_read_is_not_lost() {
    let text = "<iTeroExport><RxInfo Modeled='maybe'/><Bridges>\
        <Bridge Id='1' FromAdaId='UR6' ToAdaId='16'/><Bridge Id='2' FromAdaId='3' ToAdaId='x'/>\
        </Bridges></iTeroExport>";
    let manifest = read(text);
    assert_eq!(manifest.is_modeled(), None);
    assert_eq!(manifest.prescription().bridges(), [vec![16], vec![3]]);
    assert_eq!(
        serde_json::Value::from(manifest.extra()),
        serde_json::json!({
            "Modeled": "maybe",
            "Bridges": {"Bridge": [
                {"Id": "1", "FromAdaId": "UR6"},
                {"Id": "2", "ToAdaId": "x"},
            ]},
        })
    );
    let read = read("<iTeroExport Modeled='No'/>");
    assert_eq!(read.is_modeled(), Some(false));
    assert!(read.extra().is_empty());
}

#[test]
fn nothing_about_people_is_printed() {
    for text in [V24, V30, V50] {
        let manifest = read(text);
        for printed in [format!("{manifest:?}"), format!("{manifest:#?}")] {
            let printed = printed.to_lowercase();
            for word in ["muster", "erika", "canary", "lic-4711", "c-77"] {
                assert!(!printed.contains(word), "{word}: {printed}");
            }
        }
    }
}

#[test]
fn other_xml_is_no_manifest() {
    let reason = |text: &str| Manifest::parse(text.as_bytes()).unwrap_err().reason();
    assert_eq!(reason("<html/>"), Reason::NotAManifest);
    assert_eq!(reason("nothing"), Reason::Xml);
    assert_eq!(reason("<!DOCTYPE x><iTeroExport/>"), Reason::Entities);
    assert!(read("<ITEROEXPORT/>").order_id().is_none());
}
