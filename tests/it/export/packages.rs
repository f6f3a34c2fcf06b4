//! Packages as the simulator serves them: downloaded, opened, extracted.

use lab_connector::Client;
use lab_connector::export::{Contents, Jaw, Package, Surface};
use lab_connector::simulator::Simulator;

type Result<T = ()> = anyhow::Result<T>;

#[tokio::test]
async fn a_downloaded_case_is_opened_and_extracted() -> Result {
    let service = Simulator::start().await?;
    let client = Client::builder()
        .endpoints(service.endpoints())
        .credentials(service.client_id(), service.client_secret())
        .redirect_url(service.redirect_url())
        .build()?;
    let login = client.login("me");
    let request = login.authorize()?;
    login
        .finish(&request, &service.consent(request.url())?)
        .await?;
    let lab = login.pair("L-1").await?;
    // Three in a row: flat, with a top folder, and with litter.
    for _ in 0..3 {
        service.scan("L-1")?;
    }
    let directory = tempfile::tempdir()?;
    let listing = lab.orders().list().await?;
    assert_eq!(listing.orders().len(), 3);
    let mut folders = 0;
    for order in listing.orders() {
        let export = order.assets().iter().find(|asset| asset.is_export());
        let path = directory.path().join(order.id().as_str());
        let zip = path.with_extension("zip");
        let asset = export.expect("an export");
        lab.download(order, asset).to_file(&zip).await?;

        let mut package = Package::open(&zip)?;
        let manifest = package.manifest()?.expect("a manifest");
        let (before, after) = (order.prescription(), manifest.prescription());
        assert!(
            before.doctor_license().is_some() && before.doctor_license() == after.doctor_license()
        );
        assert_eq!(before.patient_names(), after.patient_names());
        assert_eq!(
            (before.due(), before.procedure()),
            (after.due(), after.procedure())
        );
        assert_eq!(manifest.version(), Some("5.0"), "the highest");
        assert_eq!(manifest.order_id(), Some(order.id()));
        let extra = order.extra();
        let teeth = extra["teeth"].as_array().unwrap();
        assert_eq!(manifest.prescription().teeth().len(), teeth.len());
        let files = package.files().to_vec();
        folders += usize::from(files[0].name().contains('/'));
        let contents = Contents::of(&files, Some(&manifest));
        assert!(contents.missing.is_empty() && contents.others.is_empty());
        for jaw in [Jaw::Upper, Jaw::Lower] {
            let surfaces: Vec<_> = contents.surfaces_of(jaw).collect();
            assert_eq!(surfaces.len(), 2);
            assert!(surfaces.iter().all(|surface| surface.kind() == Some("Jaw")));
        }
        let versions: Vec<_> = contents
            .manifests
            .iter()
            .map(|file| file.version())
            .collect();
        assert_eq!(versions, [Some(50), Some(30), Some(24), Some(10)]);
        assert_eq!(contents.rx[0].order_id().as_ref(), Some(order.id()));

        package.extract_to(&path)?;
        assert_eq!(files.len(), 9);
        for file in &files {
            let bytes = std::fs::read(path.join(file.name()))?;
            assert_eq!(bytes, package.read(file)?);
            assert_eq!(bytes.len() as u64, file.size());
        }
        let rx = contents.rx[0];
        assert!(package.read(rx)?.starts_with(b"%PDF"));
    }
    assert_eq!(folders, 2);
    Ok(())
}

#[test]
fn a_file_of_another_package_is_not_read() -> Result {
    use super::raw::{Entry, archive};
    let open = |name: &str| {
        let bytes = archive(&[Entry::stored(name, b"x")]);
        Package::from_reader(std::io::Cursor::new(bytes))
    };
    let (mut one, other) = (open("a")?, open("b")?);
    let error = one.read(&other.files()[0]).unwrap_err();
    assert_eq!(error.reason(), lab_connector::export::Reason::NoSuchFile);
    assert_eq!(one.read(&one.files()[0].clone())?, b"x");
    Ok(())
}

#[test]
fn a_case_without_a_manifest_is_sorted_by_names() -> Result {
    use super::raw::{Entry, archive};
    let names = [
        "1_upper.stl",
        "1_lower.PLY",
        "bite.stl",
        "a.jpg",
        "notes.txt",
    ];
    let bytes = archive(&names.map(|name| Entry::deflated(name, name.as_bytes())));
    let mut package = Package::from_reader(std::io::Cursor::new(bytes))?;
    assert!(package.manifest()?.is_none());
    let contents = Contents::of(package.files(), None);
    let jaws: Vec<_> = contents.surfaces.iter().map(Surface::jaw).collect();
    assert_eq!(jaws, [Some(Jaw::Upper), Some(Jaw::Lower), None]);
    assert_eq!((contents.textures.len(), contents.others.len()), (1, 1));
    Ok(())
}
