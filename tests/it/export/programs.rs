//! Archives as zip programs and libraries write them, and manifests as programs write them: what
//! comes out, by name. The files lie beside this one, made for these tests with invented names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use lab_connector::export::{Manifest, Package, Reason};

const EXPORT: &str = "iTero_Export_76392642/";

pub(super) fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("it/export")
        .join(path)
}

/// The names, sorted, and how many bytes all files have.
fn extracted(file: &str) -> (Vec<String>, u64) {
    let opened = Package::open(here("programs").join(file));
    let mut package = opened.unwrap_or_else(|error| panic!("{file}: {error}"));
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("case");
    let extracted = package.extract_to(&target);
    extracted.unwrap_or_else(|error| panic!("{file}: {error}"));
    for packed in package.files() {
        let path = target.join(packed.name());
        assert_eq!(
            std::fs::metadata(path).unwrap().len(),
            packed.size(),
            "{file}"
        );
    }
    let names = package.files().iter().map(|file| file.name().to_owned());
    let names: BTreeSet<_> = names.collect();
    let bytes = package.files().iter().map(|file| file.size()).sum();
    (names.into_iter().collect(), bytes)
}

/// The same five files, by each program that writes zips.
#[test]
fn what_programs_write_is_extracted() {
    let five = [
        "Müller_UpperJaw.stl",
        "empty.pts",
        "iTero_Rx_76392642.pdf",
        "כהן_LowerJaw.stl",
        "患者_上.ply",
    ];
    let mut programs = 0;
    for entry in std::fs::read_dir(here("programs")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let (names, bytes) = match file.as_str() {
            "tool_go_raw.zip" => (vec!["a.stl".to_owned()], 5),
            "tool_java_cp437.zip" => (vec![format!("{EXPORT}{}", five[0])], 15_200),
            "tool_php_lead.zip" => {
                let names = [five[0], five[3]].map(|name| format!("{EXPORT}{name}"));
                (names.to_vec(), 30_400)
            }
            // Encrypted, or compressed in other ways: the next test.
            "tool_7z_aes.zip"
            | "tool_7z_zipcrypto.zip"
            | "tool_7z_deflate64.zip"
            | "tool_7z_lzma.zip" => continue,
            _ if file.starts_with("tool_") => {
                let mut names: Vec<_> = five.map(|name| format!("{EXPORT}{name}")).to_vec();
                let more: (&[&str], _) = match file.as_str() {
                    "tool_dotnet_update.zip" => (&["spaet.xml"], 4),
                    "tool_yazl.zip" => (&["force64.stl", "stream.stl"], 15_201),
                    _ => (&[], 0),
                };
                names.splice(0..0, more.0.iter().map(|&name| name.to_owned()));
                (names, 45_604 + more.1)
            }
            _ => continue,
        };
        let mut names = names;
        names.sort();
        assert_eq!(extracted(&file), (names, bytes), "{file}");
        programs += 1;
    }
    assert_eq!(programs, PROGRAMS);
}

const PROGRAMS: usize = 38;

#[test]
fn what_cannot_be_decompressed_is_named_and_not_hostile() {
    for (file, reason) in [
        ("tool_7z_aes.zip", Reason::Encrypted),
        ("tool_7z_zipcrypto.zip", Reason::Encrypted),
        ("tool_7z_deflate64.zip", Reason::Compression),
        ("tool_7z_lzma.zip", Reason::Compression),
    ] {
        let error = Package::open(here("programs").join(file)).unwrap_err();
        assert_eq!(error.reason(), reason, "{file}");
        assert!(!error.is_hostile(), "{file}");
    }
}

/// Headers that differ in what changes no file.
#[test]
fn honest_differences_between_headers_are_put_up_with() {
    for file in [
        "central_zip64_local_not",
        "comment",
        "dd_64_no_zip64_extra",
        "dd_and_sizes_in_local",
        "dd_flag_but_no_dd",
        "dd_nosig",
        "deflate_bits_local_only",
        "empty_folder",
        "extra_padding_cafe",
        "py_mode_without_type",
        "time_differs",
        "unix_arch",
        "utf8_flag_central_only",
        "utf8_flag_local_only",
        "version_differs",
        "zip64_extra_size0",
        "zipalign_padding",
    ] {
        let expected = (vec!["a.stl".to_owned()], 760);
        assert_eq!(extracted(&format!("{file}.zip")), expected, "{file}");
    }
    for (file, names, bytes) in [
        ("central_only_7075", &["Müller_upper.stl"][..], 760),
        ("infozip_7075", &["Müller_upper.stl"], 760),
        ("infozip_dd_usize_in_local", &["second.stl"], 760),
        ("dot_slash", &["lower.stl", "upper.stl"], 1520),
        ("empty_deflated", &["a.stl", "empty.pts"], 760),
        ("leading_slash", &["upper.stl"], 760),
        ("mac_utf8_noflag", &["Müller, Zoë/upper.stl"], 760),
        (
            "net45_backslash",
            &["iTero_Export_1/lower.stl", "iTero_Export_1/upper.stl"],
            1520,
        ),
        ("net45_backslash_dir", &["iTero_Export_1/upper.stl"], 760),
        ("nfc_nfd", &["e\u{301}.stl", "é.stl"], 1520),
        ("slash_differs", &["dir/upper.stl"], 760),
        ("ratio_white_bmp", &["white.bmp"], 6_291_458),
        ("ratio_zeros", &["base.ply"], 3_145_728),
    ] {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(extracted(&format!("{file}.zip")), (names, bytes), "{file}");
    }
}

/// Names without the mark of UTF-8: all files come out, and their names are kept byte by byte.
#[test]
fn names_in_unknown_code_pages_are_kept_beside_safe_ones() {
    for (file, originals) in [
        (
            "win_he_clash",
            &[&b"\x80\x81\x89_upper.stl"[..], b"\x87\x81\x89_upper.stl"][..],
        ),
        ("win_he_plain", &[b"\x8c\x85\x89_u.stl"]),
        (
            "win_de_cp850",
            &[b"M\x81ller_UpperJaw.stl", b"M\x81ller_LowerJaw.stl"],
        ),
        (
            "win_ru_866",
            &[
                b"\x88\xa2\xa0\xad\xae\xa2_upper.stl",
                b"\xa8\xa2\xa0\xad\xae\xa2_upper.stl",
            ],
        ),
        (
            "win_ru_866b",
            &[b"\x8a\xae\xa7\xab\xae\xa2_U.stl", b"\x99.stl"],
        ),
        (
            "win_jp_po",
            &[b"\x8a\xb3\x8e\xd2\x83|\x81[\x83\x8b_\x8f\xe3\x8a{.stl"],
        ),
    ] {
        let file = format!("{file}.zip");
        let (names, bytes) = extracted(&file);
        assert_eq!(
            (names.len(), bytes),
            (originals.len(), 760 * originals.len() as u64),
            "{file}"
        );
        let package = Package::open(here("programs").join(&file)).unwrap();
        let kept: Vec<_> = package
            .files()
            .iter()
            .map(|file| file.original_name())
            .collect();
        let expected: Vec<_> = originals.iter().map(|original| Some(*original)).collect();
        assert_eq!(kept, expected, "{file}");
        for name in names {
            assert!(!name.contains(['|', '\\', '/']), "{file}: {name}");
        }
    }
    let (names, _) = extracted("win_de_cp850.zip");
    assert_eq!(names, ["Müller_LowerJaw.stl", "Müller_UpperJaw.stl"]);
    let clash = Package::open(here("programs/case_clash.zip")).unwrap_err();
    assert_eq!(clash.reason(), Reason::Clash);
}

#[test]
fn manifests_are_read_in_their_encoding_and_with_odd_signs() {
    for (file, patient, notes) in [
        ("public_v50_bridge", "Muster, Erika", "none"),
        ("charref_0", "Muster, Erika", "a\u{fffd}b"),
        ("charref_1f", "Muster, Erika", "margin\u{fffd} unclear"),
        ("charref_b", "Muster, Erika", "line\u{fffd}two"),
        ("raw_0b", "Muster, Erika", "line\u{fffd}two"),
        ("surrogate_ref", "Muster, Erika", "\u{fffd}\u{fffd}"),
        ("bare_amp", "Muster, Erika", "A2 & A3"),
        ("nbsp", "Muster, Erika", "a&nbsp;b"),
        ("win1252", "Müller, Zoë", "none"),
        ("latin1_declared_utf8", "M\u{fffd}ller, Zo\u{fffd}", "none"),
        ("utf16_bom", "Müller", "none"),
        ("utf16_nobom", "Müller", "none"),
    ] {
        let bytes = std::fs::read(here("manifests").join(file).with_extension("xml")).unwrap();
        let manifest = Manifest::parse(&bytes).unwrap_or_else(|error| panic!("{file}: {error}"));
        let rx = manifest.prescription();
        let patient_read = rx.patient().map(|patient| *patient.reveal());
        assert_eq!(patient_read, Some(patient), "{file}");
        let notes_read = rx.notes().map(|notes| *notes.reveal());
        assert_eq!(notes_read, Some(notes), "{file}");
        assert_eq!(rx.bridges()[0], [3, 4, 5], "{file}");
    }
}

/// What programs make of a manifest elsewhere, and what is read of it: what it says or nothing, never
/// something else.
#[test]
fn manifests_of_other_countries_and_other_writers_say_the_same_or_nothing() {
    let read = |file: &str| {
        let bytes = std::fs::read(here("manifests").join(file).with_extension("xml")).unwrap();
        Manifest::parse(&bytes)
    };
    // 12/12/2024 17:27:25, as UTC.
    let exported = SystemTime::UNIX_EPOCH + Duration::from_secs(1_734_024_445);
    let due = "2024-12-23";
    for (file, time, due) in [
        ("public_v50_bridge", Some(exported), due),
        ("cdata", Some(exported), due),
        ("leading_blank", Some(exported), due),
        ("junk_after", Some(exported), due),
        // With `PM`; at `+0530`, and at `-300`, which are minutes: no point in time.
        ("ampm", None, due),
        ("offset_0530", None, due),
        ("offset_minutes", None, due),
        // Other digits stay text; the Thai year stays the one that is written.
        ("ar_digits", Some(exported), "١٢/٢٣/٢٠٢٤"),
        ("th_calendar", Some(exported), "2567-12-23"),
    ] {
        let manifest = read(file).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(manifest.export_time(), time, "{file}");
        let rx = manifest.prescription();
        assert_eq!(rx.due(), Some(due), "{file}");
        let patient = rx.patient().map(|patient| *patient.reveal());
        assert_eq!(patient, Some("Muster, Erika"), "{file}");
        assert_eq!(rx.bridges()[0], [3, 4, 5], "{file}");
    }
    // Only with a document type could something be expanded.
    assert_eq!(read("doctype").unwrap_err().reason(), Reason::Entities);
}

/// A code is looked up in its own table, not in one whose name ends alike; a bridge is not a type of
/// bridges, though both have the number 1.
#[test]
fn each_coded_field_is_resolved_by_its_own_table() {
    let bytes = std::fs::read(here("manifests/public_v50_bridge.xml")).unwrap();
    let manifest = Manifest::parse(&bytes).unwrap();
    let teeth = manifest.prescription().teeth();
    let fields = |n: usize| teeth[n].fields().collect::<Vec<_>>();
    let abutment = [
        ("RestorationType", "Crown"),
        ("ToothMaterial", "Ceramic: Zirconia"),
        ("TypeInBridge", "Abutment"),
        ("BridgeID", "1"),
    ];
    let pontic = [
        ("RestorationType", "Missing"),
        ("TypeInBridge", "Pontic"),
        ("BridgeID", "1"),
    ];
    assert_eq!(fields(0), abutment);
    assert_eq!(fields(1), pontic);
    assert_eq!(fields(2), abutment);
    let bridge = &manifest.extra()["Bridges"]["Bridge"];
    assert_eq!(
        (&bridge["Id"], &bridge["Type"]),
        (&"1".into(), &"Traditional".into())
    );
    assert_eq!(manifest.prescription().bridges(), [vec![3, 4, 5]]);
}

/// Each file beside this one is named by a test.
#[test]
fn no_file_is_left_out() {
    let tests = include_str!("programs.rs");
    for folder in ["manifests", "programs"] {
        for entry in std::fs::read_dir(here(folder)).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            let (name, _) = file.split_once('.').unwrap();
            let named = [format!("\"{name}\""), format!("{file}\"")];
            let named = named.iter().any(|named| tests.contains(named));
            // Those of the programs are counted.
            assert!(named || name.starts_with("tool_"), "{file}");
        }
    }
}
