//! How fast a package is extracted: `cargo bench --bench export`, or `scripts/figures export`
//! for the figure that the project holds itself to.
//!
//! The other side is what a user would write without this crate: the zip crate's own `extract`,
//! and then the same flushes and the same rename.

use std::fs::{self, File};
use std::io::{BufReader, Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use criterion::{BatchSize, Criterion, Throughput};
use lab_connector::export::Package;
use lab_connector_benches::{Figures, figures_wanted, median};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

fn main() -> ExitCode {
    let bench = Bench::new();
    if figures_wanted() {
        return bench.figures();
    }
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("export");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(BYTES as u64));
    let ways: [(&str, Way); 2] = [("package", Bench::ours), ("zip", Bench::theirs)];
    for (name, run) in ways {
        group.bench_function(name, |b| {
            let target = || bench.target();
            b.iter_batched(
                target,
                |target| run(&bench, &target),
                BatchSize::PerIteration,
            );
        });
    }
    group.bench_function("open", |b| b.iter(|| Package::open(&bench.zip)));
    group.finish();
    criterion.final_summary();
    ExitCode::SUCCESS
}

/// A case of middling size.
const FILES: usize = 8;
const BYTES: usize = FILES * (6 << 20);
const TURNS: usize = 31;

type Way = fn(&Bench, &Path);

struct Bench {
    directory: tempfile::TempDir,
    zip: PathBuf,
}

impl Bench {
    fn new() -> Self {
        // Where the build is, too: a directory for temporary files may be in memory, where a
        // flush costs nothing.
        let build = env!("CARGO_TARGET_TMPDIR");
        let directory = tempfile::tempdir_in(build).expect("a directory");
        let zip = directory.path().join("case.zip");
        fs::write(&zip, package()).expect("a zip");
        let bench = Bench { directory, zip };
        bench.verify();
        bench
    }

    /// A place that is free.
    fn target(&self) -> PathBuf {
        let target = self.directory.path().join("case");
        if target.exists() {
            fs::remove_dir_all(&target).expect("it is ours");
        }
        target
    }

    fn ours(&self, target: &Path) {
        let mut package = Package::open(&self.zip).expect("a package");
        package.extract_to(target).expect("room on the disk");
    }

    fn theirs(&self, target: &Path) {
        let file = BufReader::new(File::open(&self.zip).expect("a zip"));
        let mut archive = ZipArchive::new(file).expect("a zip");
        let fresh = target.with_extension("part");
        archive.extract(&fresh).expect("room on the disk");
        for file in files(&fresh) {
            let sync = File::open(file).and_then(|file| file.sync_all());
            sync.expect("a disk");
        }
        sync(&fresh.join("top"));
        sync(&fresh);
        fs::rename(&fresh, target).expect("a free name");
        sync(target.parent().expect("a parent"));
    }

    /// Both do the same work, or the comparison is worth nothing.
    fn verify(&self) {
        let mut contents = [Bench::ours as Way, Bench::theirs].map(|run| {
            let target = self.target();
            run(self, &target);
            let paths = files(&target).into_iter();
            paths
                .map(|path| (fs::read(&path).expect("a file"), path))
                .collect::<Vec<_>>()
        });
        contents.iter_mut().for_each(|files| files.sort());
        assert!(contents[0] == contents[1]);
        assert_eq!(contents[0].len(), FILES);
    }

    /// The figure as `NAME VALUE LIMIT ok|short`: both take turns, and the median of the
    /// turns' ratios counts.
    fn figures(&self) -> ExitCode {
        let time = |run: Way| {
            let target = self.target();
            let begin = Instant::now();
            run(self, &target);
            begin.elapsed().as_secs_f64()
        };
        let mut turn = 0;
        let ratio = median(TURNS, || {
            turn += 1;
            // Neither always comes second.
            if turn % 2 == 0 {
                let ours = time(Bench::ours);
                time(Bench::theirs) / ours
            } else {
                let theirs = time(Bench::theirs);
                theirs / time(Bench::ours)
            }
        });
        let mut figures = Figures::default();
        figures.at_least("export_extract_per_zip_crate", ratio, 0.95);
        figures.end()
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let top = fs::read_dir(directory.join("top")).expect("a directory");
    top.map(|entry| entry.expect("an entry").path()).collect()
}

fn sync(directory: &Path) {
    if cfg!(unix) {
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.expect("a disk");
    }
}

/// Bytes that shrink as meshes do: coordinates near each other.
fn package() -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    for number in 0..FILES {
        let name = format!("top/{number}_upper.stl");
        zip.start_file(name, SimpleFileOptions::default())
            .expect("memory");
        let mut mesh = Vec::with_capacity(BYTES / FILES);
        let mut at = [0_f32; 3];
        while mesh.len() < BYTES / FILES {
            for value in &mut at {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                *value += ((random >> 56) as f32 - 127.5) / 1024.0;
                mesh.extend(value.to_le_bytes());
            }
        }
        zip.write_all(&mesh[..BYTES / FILES]).expect("memory");
    }
    zip.finish().expect("memory").into_inner()
}
