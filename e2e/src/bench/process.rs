//! What the kernel knows of the operator's process, and how large its programs are.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::Figure;
use crate::harness::Operator;
use crate::images::operator;

/// Starts the operator and waits until it says that it is ready.
pub async fn spawn_until_ready(operator: &mut Operator<'_>) -> Result<(Instant, Duration)> {
    let start = Instant::now();
    operator.spawn().await?;
    Ok((start, until_ready(operator, start).await?))
}

/// Time from `start` until `/readyz` answers 200.
pub async fn until_ready(operator: &Operator<'_>, start: Instant) -> Result<Duration> {
    loop {
        if operator.is_ready().await {
            return Ok(start.elapsed());
        }
        ensure!(
            start.elapsed() < Duration::from_secs(60),
            "the operator is not ready after 60 s"
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Resident memory.
pub fn memory(operator: &Operator<'_>) -> Result<String> {
    let status = read(operator, "status")?;
    let line = status
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(format!("{:.1} MB", kilobytes * 1024.0 / 1e6))
}

/// CPU time that the process has used.
pub fn cpu(operator: &Operator<'_>) -> Result<Duration> {
    let stat = read(operator, "stat")?;
    let (_, rest) = stat.rsplit_once(") ").context("no stat")?;
    let ticks: u64 = rest
        .split(' ')
        .skip(11)
        .take(2)
        .map(|t| t.parse::<u64>().unwrap_or_default())
        .sum();
    Ok(Duration::from_millis(ticks * 10))
}

fn read(operator: &Operator<'_>, file: &str) -> Result<String> {
    let pid = operator.pid().context("the operator does not run")?;
    Ok(fs::read_to_string(format!("/proc/{pid}/{file}"))?)
}

/// Sizes of the programs of the release.
pub async fn sizes() -> Result<Vec<Figure>> {
    let programs = operator::programs("release").await?;
    let size = |path: &std::path::Path| -> Result<String> {
        #[allow(clippy::cast_precision_loss)]
        let megabytes = fs::metadata(path)?.len() as f64 / 1e6;
        Ok(format!("{megabytes:.1} MB"))
    };
    Ok(vec![
        Figure::new("size of the operator's program", size(&programs.operator)?),
        Figure::new("size of the agent's program", size(&programs.agent)?),
    ])
}
