//! The people of one lab: doctors scan, the lab asks for models, modelers and the mill do their
//! work.

use std::time::Duration;

use anyhow::Result;
use lab_connector::simulator::{Simulator, Span, Workload};

/// How long the lab has been at work before the simulator is there.
pub const BEFORE: Duration = Duration::from_secs(5 * 24 * 60 * 60);

/// Days of work at once, in which so many cases came.
pub fn before(service: &Simulator, cases: u32) -> Result<()> {
    let mut life = Workload::default();
    life.cases_per_day = 0.0;
    life.portal_downloads = 0.3;
    service.set_life(life)?;
    for _ in 0..cases {
        service.prescribe("L-1")?;
        service.live(BEFORE / cases);
    }
    Ok(())
}

/// A life to watch: everything takes about so many seconds.
pub fn hurried(seconds: f64) -> Workload {
    let span = Span::hours(seconds / 3600.0, 1.5);
    let mut life = Workload::default();
    life.cases_per_day = 86_400.0 / (3.0 * seconds);
    life.scan = span;
    life.lab = span;
    life.modeling = span;
    life.interpretation = span;
    life.milling = span;
    life.shipping = span;
    life.rescan = span;
    life
}

/// Does what is due, again and again.
pub async fn act(service: &Simulator) {
    loop {
        service.catch_up();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
