use std::time::{Duration, SystemTime};

use super::*;

const V24: &str = include_str!("fixtures/v24.xml");
const V30: &str = include_str!("fixtures/v30.xml");
const V50: &str = include_str!("fixtures/v50.xml");

fn read(text: &str) -> Manifest {
    Manifest::parse(text.as_bytes()).unwrap()
}

fn shown(value: Option<&Sensitive<String>>) -> Option<&str> {
    value.map(|value| value.reveal().as_str())
}

#[test]
fn version_2_4_with_elements() {
    let manifest = read(V24);
    assert_eq!(manifest.version(), Some("2.4"));
    assert_eq!(manifest.order_id().map(OrderId::as_str), Some("12345678"));
    assert_eq!(manifest.order_code(), Some("AB12"));
    assert_eq!(manifest.is_modeled(), Some(false));
    assert_eq!(shown(manifest.patient()), Some("Muster, Erika"));
    let names = manifest.patient_names().unwrap();
    assert_eq!(*names.reveal(), ("Muster", "Erika"));
    assert_eq!(shown(manifest.chart_number()), Some("C-77"));
    assert_eq!(shown(manifest.doctor()), Some("Dr. Canary"));
    assert_eq!(shown(manifest.doctor_license()), Some("LIC-4711"));
    assert_eq!(manifest.lab_name(), Some("Lab & Söhne"));
    assert_eq!(manifest.lab_id(), Some("991"));
    assert_eq!(manifest.due_date().unwrap().to_string(), "2026-03-14");
    let exported = SystemTime::UNIX_EPOCH + Duration::from_secs(1_773_134_813);
    assert_eq!(manifest.export_time(), Some(exported));
    assert_eq!(manifest.procedure().map(Coded::text), Some("Restorative"));
    assert_eq!(shown(manifest.notes()), Some("Call Erika."));

    let [tooth] = manifest.teeth() else { panic!() };
    assert_eq!((tooth.number(), tooth.ada_id()), (Some(14), Some("14")));
    assert_eq!(tooth.field("Tooth_Type").map(Coded::text), Some("Crown"));
    let shade = tooth.field("shade").unwrap();
    assert_eq!((shade.code(), shade.name()), ("A2", None));

    let of = |jaw| manifest.objects_of(jaw).filter_map(Object::file_name);
    let upper: Vec<_> = of(Jaw::Upper).collect();
    assert_eq!(upper, ["12345678_UpperJaw.stl", "12345678_die_14.stl"]);
    assert_eq!(of(Jaw::Lower).count(), 1);
    let die = &manifest.objects()[2];
    assert_eq!(die.object_type().map(Coded::text), Some("Die"));
    assert_eq!(die.tooth(), Some(14));

    let [rx] = manifest.extra().children() else {
        panic!("{:?}", manifest.extra())
    };
    let kept: Vec<_> = rx.children().iter().map(Element::name).collect();
    assert_eq!(kept, ["ScannerSoftware"]);
    assert_eq!(*rx.children()[0].text().reveal(), "canary-unknown");
}

#[test]
fn version_3_0_with_tables_in_the_prescription() {
    let manifest = read(V30);
    assert_eq!(manifest.order_id().map(OrderId::as_str), Some("123456789"));
    assert_eq!(manifest.is_modeled(), Some(true));
    assert_eq!(*manifest.patient_names().unwrap().reveal(), ("Muster", ""));
    assert!(manifest.doctor_license().is_none(), "an empty text is none");
    assert_eq!(manifest.due_date(), None);
    assert_eq!(manifest.due_date_text(), Some("tomorrow"));
    assert_eq!(manifest.procedure().unwrap().name(), None);
    assert_eq!(manifest.procedure().unwrap().text(), "Fixed Restorative");
    let procedure = manifest.teeth()[1].field("Procedure").unwrap();
    assert_eq!(
        (procedure.code(), procedure.text()),
        ("10", "Bridge abutment")
    );
    assert_eq!(manifest.bridges()[0].teeth(), [3, 4, 5]);
    let [scan, bite] = manifest.objects() else {
        panic!()
    };
    assert_eq!(scan.jaw(), Some(Jaw::Lower));
    let file = PackedFile::new(0, "top/123456789_L.PLY".to_owned(), 1);
    assert!(scan.names(&file) && manifest.object_of(&file) == Some(scan));
    assert_eq!((bite.jaw(), bite.file_name()), (None, None));
    assert_eq!(bite.jaw_id().map(Coded::code), Some("9"));
}

#[test]
fn version_5_0_with_attributes() {
    let manifest = read(V50);
    assert_eq!(manifest.version(), Some("5.0"));
    assert_eq!(manifest.order_code(), Some("ZX-9"));
    assert_eq!(manifest.procedure().map(Coded::text), Some("Implant"));
    let notes = shown(manifest.notes()).unwrap();
    assert!(notes.starts_with("Margin <b>"));
    let tooth = &manifest.teeth()[0];
    assert_eq!(tooth.field("material").map(Coded::text), Some("Zirconia"));
    assert_eq!(tooth.extra().children()[0].name(), "Implant");
    assert!(manifest.bridges().is_empty());
    let jaws: Vec<_> = manifest.objects().iter().map(Object::jaw).collect();
    assert_eq!(jaws, [Some(Jaw::Upper), Some(Jaw::Lower)]);
    let sub_type = |n: usize| manifest.objects()[n].sub_type().map(Coded::text);
    assert_eq!(
        (sub_type(0), sub_type(1)),
        (Some("With scan body"), Some("5"))
    );
    assert_eq!(manifest.objects()[0].extra().attributes().count(), 1);
    let kept: Vec<_> = manifest
        .extra()
        .attributes()
        .map(|(name, _)| name)
        .collect();
    assert!(kept.contains(&"Release"), "{kept:?}");
    assert_eq!(manifest.extra().children()[0].children()[0].name(), "Cloud");
}

#[test]
fn coded_fields_have_tables_of_their_own() {
    let manifest = read(include_str!("fixtures/v50_bridge.xml"));
    let [bridge] = manifest.bridges() else {
        panic!()
    };
    assert_eq!((bridge.id(), bridge.teeth()), (Some("1"), &[3, 4, 5][..]));
    assert_eq!(bridge.bridge_type().map(Coded::text), Some("Traditional"));
    let fields = |n: usize| -> Vec<_> {
        let fields = manifest.teeth()[n].fields();
        fields
            .map(|(name, value)| (name, value.code(), value.name()))
            .collect()
    };
    assert_eq!(
        fields(0),
        [
            ("RestorationType", "2", Some("Crown")),
            ("ToothMaterial", "2009", Some("Ceramic: Zirconia")),
            ("TypeInBridge", "1", Some("Abutment")),
            ("BridgeID", "1", None),
        ]
    );
    assert_eq!(fields(1)[1], ("TypeInBridge", "2", Some("Pontic")));
}

#[test]
fn a_bridge_may_name_its_teeth_in_three_ways() {
    let teeth = |bridge: &str| {
        let tooth = |n| format!("<Tooth AdaId='{n}' BridgeID='7'/>");
        let teeth = [20, 19].map(tooth).concat();
        let text =
            format!("<iTeroExport><Teeth>{teeth}</Teeth><Bridges>{bridge}</Bridges></iTeroExport>");
        read(&text).bridges()[0].teeth().to_vec()
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
