//! The figures of `docs/performance.md`: what the operator costs, beside what a bare client needs for the same writes on the same
//! machine in the same minute. Everything is observed from outside: the API server's audit log, watches, `/proc`.

mod calibrate;
mod fleet;
mod process;
mod single;

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::cluster::Tier;
use crate::harness::{AuditEvent, Cluster, OperatorOptions};
use crate::system::say;

/// What to measure.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Instances at once.
    pub fleet: usize,
    /// Instances one after the other.
    pub singles: usize,
    /// How long to look at a fleet at rest.
    pub rest: Duration,
}

/// One row of the table.
#[derive(Debug)]
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// The result, with its unit.
    pub value: String,
}

impl Figure {
    fn new(what: impl Into<String>, value: impl Into<String>) -> Self {
        let figure = Self {
            what: what.into(),
            value: value.into(),
        };
        say(&format!("{}: {}", figure.what, figure.value));
        figure
    }
}

/// Runs everything on a cluster of its own, and returns the table as Markdown.
pub async fn run(plan: &Plan) -> Result<String> {
    let cluster = Cluster::start(Tier::Api).await?;
    cluster.install_definitions().await?;
    let client = cluster.client().await?;
    let home = cluster.namespace("bench-operator").await?;
    let mut figures = vec![Figure::new(
        "calibration: POST of a 1 KB ConfigMap, 16 at once",
        calibrate::posts(&client, &home.name, 16, 2_000).await?,
    )];
    let mut operator = cluster
        .operator_not_started(OperatorOptions {
            home: home.name.clone(),
            profile: "release",
            ..OperatorOptions::default()
        })
        .await?;
    let started = Instant::now();
    operator.spawn().await?;
    let ready = process::until_ready(&operator, started).await?;
    // The first start also pays for reading the program from disk.
    operator.kill9().await?;
    let (again, second) = process::spawn_until_ready(&mut operator).await?;
    figures.push(Figure::new(
        "process start to ready, no Instances (first, second)",
        format!("{} ms, {} ms", ready.as_millis(), second.as_millis()),
    ));
    let _ = again;
    tokio::time::sleep(Duration::from_secs(10)).await;
    figures.push(Figure::new(
        "resident memory, no Instances",
        process::memory(&operator)?,
    ));
    figures.extend(single::run(&cluster, &operator, &client, plan.singles).await?);
    figures.extend(fleet::run(&cluster, &mut operator, &client, plan).await?);
    figures.extend(process::sizes().await?);
    let mut table = String::from("| what | measured |\n|---|---|\n");
    for figure in figures {
        table.extend(["| ", &figure.what, " | ", &figure.value, " |\n"]);
    }
    Ok(table)
}

/// Writes that succeeded, the Lease and events aside, and events.
fn writes(events: &[AuditEvent], user: &str) -> (usize, usize) {
    let own = events
        .iter()
        .filter(|e| e.username() == user && e.is_write() && e.code() < 300)
        .filter(|e| e.object_ref.resource != "leases");
    let (events, writes): (Vec<_>, Vec<_>) = own.partition(|e| e.object_ref.resource == "events");
    (writes.len(), events.len())
}

/// Median and 99th percentile.
fn percentiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    let at = |share: f64| {
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss
        )]
        let index = ((times.len() as f64 - 1.0) * share).round() as usize;
        times.get(index).copied().unwrap_or_default()
    };
    (at(0.5), at(0.99))
}
