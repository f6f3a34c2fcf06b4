//! `cargo bench` in the repository's root.

fn main() {
    println!("The benchmarks are a package of their own: cargo bench -p lab-connector-benches");
    println!("What the project holds itself to: scripts/figures");
}
