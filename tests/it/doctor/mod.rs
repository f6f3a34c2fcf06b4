//! First contact: what a check of a service finds, held against the simulator in every way.

mod steps;
mod twin;

use lab_connector::client::{Check, CheckReport};
use lab_connector::simulator::{Behaviour, ClockMode, Simulator};
use lab_connector::{Client, Lab, RxId};
use serde_json::Value;

type Result<T = ()> = anyhow::Result<T>;

/// A service with some orders at the lab and one with Align, and a client that is paired.
struct Scene {
    service: Simulator,
    client: Client,
    lab: Lab,
    elsewhere: Option<RxId>,
}

impl Scene {
    async fn new(behaviour: Behaviour, orders: usize) -> Result<Self> {
        let service = Simulator::builder()
            .seed(5)
            .clock(ClockMode::Stepped)
            .start()
            .await?;
        let client = Client::builder()
            .endpoints(service.endpoints())
            .credentials(service.client_id(), service.client_secret())
            .redirect_url(service.redirect_url())
            .build()?;
        let login = client.login("reception");
        let request = login.authorize()?;
        let redirected = service.consent(request.url())?;
        login.finish(&request, &redirected).await?;
        let lab = login.pair("L-1").await?;
        let mut elsewhere = None;
        if orders > 0 {
            let first = service.scan("L-1")?;
            elsewhere = lab.orders().list().await?.orders()[0].rx_id().cloned();
            service.send_to_modeling(&first)?;
        }
        for _ in 0..orders {
            service.scan("L-1")?;
        }
        service.set_behaviour(behaviour)?;
        Ok(Scene {
            service,
            client,
            lab,
            elsewhere,
        })
    }

    fn check(&self) -> Check {
        self.client.check().login("reception")
    }

    /// The report as JSON, without the addresses of this run.
    fn json(&self, report: &CheckReport) -> Value {
        let text = serde_json::to_string(report).unwrap();
        let address = self.service.address().to_string();
        serde_json::from_str(&text.replace(&address, "SERVICE")).unwrap()
    }

    async fn listed(&self) -> Result<usize> {
        Ok(self.lab.orders().list().await?.orders().len())
    }
}
