//! A database of some gigabytes: how long the agent takes for a backup, with how much memory, and how long the same takes by hand
//! (`pg_dump | aws s3 cp`, compressed as the agent does it for PostgreSQL 15). `cargo bench -p paperclip-agent --bench large -- 5` for 5 GB. Needs `make prepare`, the AWS CLI, and twice the space in memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::bucket::{BUCKET, KEY_ID, SECRET};
use support::place::{ENCODED, Place};
use support::postgres_programs;

fn main() {
    let gigabytes = std::env::args().find_map(|word| word.parse::<u32>().ok());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run(gigabytes.unwrap_or(1)));
}

async fn run(gigabytes: u32) {
    let place = Place::new().await;
    // Rows of 1 KB, of which 64 characters are by chance.
    place
        .sql(&format!(
            "CREATE TABLE runs AS SELECT g, repeat(md5(random()::text) || md5(random()::text), 16) AS log FROM generate_series(1, {}) g; \
             ALTER TABLE runs ALTER log SET STORAGE EXTERNAL",
            gigabytes * 1_000_000
        ))
        .await;
    place.sql("VACUUM ANALYZE").await;
    let bytes = place.number("SELECT pg_database_size('paperclip')").await;
    println!("database: {:.2} GB", bytes as f64 / 1e9);
    // Twice each, in turns: the first read comes from elsewhere than the second.
    for _ in 0..2 {
        by_hand(&place);
        with_agent(&place);
    }
}

fn with_agent(place: &Place) {
    let since = Instant::now();
    let job = place.start();
    let agent = job.container.main_process();
    let (stop, ended) = std::sync::mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        let mut peak = 0;
        while ended.recv_timeout(Duration::from_millis(50)).is_err() {
            let status = fs::read_to_string(format!("/proc/{agent}/status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let now = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            peak = peak.max(now.unwrap_or_default());
        }
        peak
    });
    let ended = job.end_within(Duration::from_secs(3600));
    let total = since.elapsed();
    stop.send(()).unwrap();
    let peak = watch.join().unwrap();
    assert_eq!(ended.code, 0, "{}", place.site.log());
    let steps: Vec<String> = ended.result["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| {
            format!(
                "{} {:.1} s",
                step["name"].as_str().unwrap(),
                step["ms"].as_f64().unwrap() / 1e3
            )
        })
        .collect();
    println!(
        "agent: {:.1} s ({}), {:.2} GB in the bucket, at most {:.1} MB of memory",
        total.as_secs_f64(),
        steps.join(", "),
        ended.result["facts"]["bytes"].as_f64().unwrap() / 1e9,
        peak as f64 / 1e3,
    );
}

fn by_hand(place: &Place) {
    let since = Instant::now();
    let url = format!(
        "postgres://paperclip:{ENCODED}@127.0.0.1:{}/paperclip",
        place.site.port
    );
    let mut dump = Command::new(postgres_programs().join("pg_dump"))
        .args(["--format=custom", "--compress=4", "--dbname", &url])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let target = format!("s3://{BUCKET}/by-hand");
    let service = format!("http://127.0.0.1:{}", place.service.port);
    let sent = Command::new("aws")
        .args([
            "s3",
            "cp",
            "-",
            &target,
            "--endpoint-url",
            &service,
            "--region",
            "us-east-1",
            "--only-show-errors",
        ])
        .env("AWS_ACCESS_KEY_ID", KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .stdin(dump.stdout.take().unwrap())
        .status()
        .unwrap();
    assert!(dump.wait().unwrap().success() && sent.success());
    println!("by hand: {:.1} s", since.elapsed().as_secs_f64());
}
