//! How fast a file is downloaded: `cargo bench --bench download`, or `scripts/figures download`
//! for the figures that the project holds itself to.
//!
//! Each download is a process of its own, from a server in another process; what is compared
//! takes turns, and the median of the turns' ratios counts. What we do beyond the others (lock,
//! state file, checks, the final name) is within our time. The processor time of the same downloads
//! stands beside it: a neighbour on the machine takes time from the clock, and hardly any from that.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use futures_util::StreamExt;
use lab_connector::auth::{TokenKey, Tokens};
use lab_connector::{Client, Endpoints, MemoryTokenStore, Order, TokenStore};
use lab_connector_benches::{Figures, median};
use sha2::{Digest, Sha256};

const MIB: u64 = 1 << 20;

fn main() -> Result<ExitCode> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--serve"] => serve().map(|()| ExitCode::SUCCESS),
        ["--get", how, url, path] => get(how, url, Path::new(path)).map(|()| ExitCode::SUCCESS),
        _ if arguments.contains(&"--figures") => compare(1024 * MIB, 7, &[64, 1024, 4096]),
        _ => compare(64 * MIB, 3, &[64]),
    }
}

/// What the project holds itself to.
fn compare(bytes: u64, turns: usize, sizes: &[u64]) -> Result<ExitCode> {
    let mut server = Command::new(std::env::current_exe()?)
        .arg("--serve")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut port = String::new();
    BufReader::new(server.stdout.take().context("no output")?).read_line(&mut port)?;
    let base = format!("http://127.0.0.1:{}/", port.trim());
    let target = target()?;

    let (mut plain, mut hashed, mut process) = (Vec::new(), Vec::new(), Vec::new());
    let (mut plain_cpu, mut hashed_cpu) = (Vec::new(), Vec::new());
    for turn in 0..turns {
        let run = |how| child(how, &format!("{base}{bytes}"), &target);
        // Whoever goes first finds the disk in another state.
        let (bare, ours) = if turn % 2 == 0 {
            let bare = run("bare")?;
            (bare, run("ours")?)
        } else {
            let ours = run("ours")?;
            (run("bare")?, ours)
        };
        let curl = curl(&format!("{base}{bytes}"), &target)?;
        let (bare_hashed, ours_hashed) = (run("bare-sha256")?, run("ours-sha256")?);
        eprintln!(
            "turn {turn}: seconds: bare {:.2}, ours {:.2}, with SHA-256 {:.2} and {:.2}; process: ours {:.2}, curl {curl:.2}",
            bare.seconds, ours.seconds, bare_hashed.seconds, ours_hashed.seconds, ours.process
        );
        eprintln!(
            "turn {turn}: of the processor: bare {:.2}, ours {:.2}, with SHA-256 {:.2} and {:.2}",
            bare.cpu, ours.cpu, bare_hashed.cpu, ours_hashed.cpu
        );
        plain_cpu.push(bare.cpu / ours.cpu);
        hashed_cpu.push(bare_hashed.cpu / ours_hashed.cpu);
        plain.push(bare.seconds / ours.seconds);
        hashed.push(bare_hashed.seconds / ours_hashed.seconds);
        process.push(ours.process / curl);
    }
    let mut figures = Figures::default();
    let of = |ratios: &[f64]| {
        let mut ratios = ratios.iter().copied();
        median(ratios.len(), || ratios.next().unwrap_or(f64::NAN))
    };
    figures.at_least("download_of_bare_reqwest", of(&plain), 0.95);
    figures.without_limit("download_cpu_of_bare_reqwest", of(&plain_cpu));
    figures.at_least("download_sha256_of_bare_reqwest", of(&hashed), 0.9);
    figures.without_limit("download_sha256_cpu_of_bare_reqwest", of(&hashed_cpu));
    figures.at_most("download_process_per_curl", of(&process), 1.1);
    for size in sizes {
        let peak = child("ours-sha256", &format!("{base}{}", size * MIB), &target)?.peak;
        figures.at_most(&format!("download_{size}_mib_peak_mib"), peak, 32.0);
    }
    server.kill()?;
    server.wait()?;
    Ok(figures.end())
}

fn target() -> Result<PathBuf> {
    let directory = std::env::var_os("DOWNLOAD_DIR");
    let directory =
        directory.map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), Into::into);
    std::fs::create_dir_all(&directory)?;
    Ok(directory.join("download.bench"))
}

struct Run {
    /// From the request to the file that is flushed.
    seconds: f64,
    /// What all threads of the process took of the processor meanwhile, in seconds.
    cpu: f64,
    /// From the start of the process to its end.
    process: f64,
    /// MiB.
    peak: f64,
}

fn child(how: &str, url: &str, target: &Path) -> Result<Run> {
    let begun = Instant::now();
    let output = Command::new(std::env::current_exe()?)
        .args(["--get", how, url])
        .arg(target)
        .stderr(Stdio::inherit())
        .output()?;
    let process = begun.elapsed().as_secs_f64();
    ensure!(output.status.success(), "{how} failed");
    let text = String::from_utf8(output.stdout)?;
    let mut numbers = text.split_whitespace().map(str::parse::<f64>);
    let mut next = || {
        numbers
            .next()
            .context("too few numbers")?
            .context("no number")
    };
    let run = Run {
        seconds: next()?,
        cpu: next()?,
        process,
        peak: next()?,
    };
    std::fs::remove_file(target)?;
    Ok(run)
}

/// `curl`, and then an fsync of the file, as a whole.
fn curl(url: &str, target: &Path) -> Result<f64> {
    let begun = Instant::now();
    let script = "curl -sS -o \"$1\" \"$0\" && exec sync \"$1\"";
    let status = Command::new("sh")
        .args(["-c", script, url])
        .arg(target)
        .status()?;
    let seconds = begun.elapsed().as_secs_f64();
    ensure!(status.success(), "curl failed");
    std::fs::remove_file(target)?;
    Ok(seconds)
}

#[tokio::main]
async fn get(how: &str, url: &str, target: &Path) -> Result<()> {
    let sha256 = how.ends_with("sha256");
    let (seconds, cpu) = if how.starts_with("bare") {
        bare(url, target, sha256).await?
    } else {
        ours(url, target, sha256).await?
    };
    println!("{seconds} {cpu} {}", peak());
    Ok(())
}

/// The time since, by the clock and by the processor.
struct Watch(Instant, f64);

impl Watch {
    fn start() -> Self {
        Watch(Instant::now(), cpu())
    }

    fn read(&self) -> (f64, f64) {
        (self.0.elapsed().as_secs_f64(), cpu() - self.1)
    }
}

/// The seconds that all threads of this process took of the processor, in its own code and in the
/// system's; none where the system does not tell.
fn cpu() -> f64 {
    // Linux counts hundredths of a second there, on every architecture: proc_pid_stat(5).
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is the program's name, which may have spaces and brackets in it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let mut fields = fields.split_whitespace().map(str::parse::<f64>);
    // The fields 14 and 15, of those that begin with the third.
    match (fields.nth(11), fields.next()) {
        (Some(Ok(user)), Some(Ok(system))) => (user + system) / TICKS,
        _ => f64::NAN,
    }
}

async fn ours(url: &str, target: &Path, sha256: bool) -> Result<(f64, f64)> {
    let store = MemoryTokenStore::new();
    let tokens = r#"{"access_token": "a", "expires_at": 4102444800, "generation": 1}"#;
    let key = TokenKey::Account("L-1".into());
    store.swap(&key, None, &Tokens::from_json(tokens)?).await?;
    let client = Client::builder()
        .endpoints(Endpoints::from_base_url(url)?)
        .credentials("id", "secret")
        .token_store(store)
        .build()?;
    let lab = client.account("L-1");
    let order = serde_json::json!({
        "orderId": 1, "status": "Sent", "assets": [{ "type": "FILE", "url": url }],
    });
    let order: Order = serde_json::from_value(order)?;
    let watch = Watch::start();
    let download = lab.download(&order, &order.assets()[0]);
    let download = if sha256 { download.sha256() } else { download };
    let file = download.to_file(target).await?;
    ensure!(file.sha256.is_some() == sha256);
    Ok(watch.read())
}

/// What one would write by hand, without any of the checks; it writes in the runtime's thread,
/// which is the quickest and should not be done.
async fn bare(url: &str, target: &Path, sha256: bool) -> Result<(f64, f64)> {
    let client = reqwest::Client::new();
    let watch = Watch::start();
    let mut body = client.get(url).send().await?.bytes_stream();
    let mut file = std::fs::File::create(target)?;
    let mut hasher = sha256.then(Sha256::new);
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        file.write_all(&chunk)?;
        if let Some(hasher) = &mut hasher {
            hasher.update(&chunk);
        }
    }
    file.sync_all()?;
    std::hint::black_box(hasher.map(Digest::finalize));
    Ok(watch.read())
}

/// The most memory that the process had, in MiB; none where the system does not tell.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| {
        line.trim()
            .trim_end_matches("kB")
            .trim()
            .parse::<f64>()
            .ok()
    });
    kib.unwrap_or(f64::NAN) / 1024.0
}

/// Answers `GET /BYTES` with so many, until its standard input ends.
fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // The client's end of it is its own affair.
            std::thread::spawn(move || answer(stream));
        }
    });
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn answer(mut stream: TcpStream) -> Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().context("no request")??;
    while lines
        .next()
        .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
    {}
    let path = first.split(' ').nth(1).unwrap_or_default();
    let mut left: u64 = path.trim_start_matches('/').parse()?;
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-length: {left}\r\netag: \"{left}\"\r\nconnection: close\r\n\r\n"
    )?;
    let piece: Vec<u8> = (0..MIB).map(|n| ((n * 31) >> 3) as u8).collect();
    while left > 0 {
        let part = &piece[..left.min(MIB) as usize];
        stream.write_all(part)?;
        left -= part.len() as u64;
    }
    Ok(())
}
