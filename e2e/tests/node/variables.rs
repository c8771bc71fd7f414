//! What the documentation says of variables, held against the application's published package.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

use anyhow::{Context as _, Result, ensure};
use paperclip_e2e::cache::Cache;
use paperclip_e2e::harness::workspace;
use paperclip_e2e::images;

/// Variables that somebody else than the application reads, and who.
const OTHERS: &[(&str, &str)] = &[
    ("POD_IP", "the agent that forwards the port"),
    (
        "HOST",
        "the agent's check that nothing but loopback is bound",
    ),
    (
        "LOG_LEVEL",
        "forks; PAPERCLIP_LOG_LEVEL beside it is the one that counts",
    ),
    (
        "PAPERCLIP_SEED_ADMIN_EMAIL",
        "forks; the Job that makes the first admin has it too",
    ),
    (
        "PAPERCLIP_SEED_ADMIN_NAME",
        "forks; the Job that makes the first admin has it too",
    ),
    (
        "PAPERCLIP_OAUTH_CREDENTIALS",
        "forks; the clients are in PAPERCLIP_TOOL_OAUTH_… of a Secret that is passed on",
    ),
    (
        "PAPERCLIP_AGENT_POD",
        "the operator's agent, which starts the server",
    ),
    (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OpenTelemetry's packages, if the image has them",
    ),
    (
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "OpenTelemetry's packages, if the image has them",
    ),
    (
        "OTEL_RESOURCE_ATTRIBUTES",
        "OpenTelemetry's packages, if the image has them",
    ),
    (
        "OTEL_SERVICE_NAME",
        "OpenTelemetry's packages, if the image has them",
    ),
];

/// Given the page of all fields, then each variable that it does not call unread stands in the code of the application or of a library
/// that comes with it.
#[tokio::test]
async fn every_variable_of_the_page_is_read_or_called_unread() -> Result<()> {
    let page = std::fs::read_to_string(workspace().join("docs/fields.md"))?;
    let mut wanted: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in page.lines().filter(|l| l.starts_with("| `")) {
        let cells: Vec<&str> = row.split(" | ").collect();
        let [field, variables, _, told] = cells[..] else {
            continue;
        };
        // Words of the user, and what is said to have no effect.
        if told.contains("UnsupportedByVersion") || field.starts_with("| `env") {
            continue;
        }
        for name in variables.split('`').filter(|n| n.len() > 1) {
            wanted
                .entry(name.to_owned())
                .or_default()
                .push(field.to_owned());
        }
    }
    for (name, _) in OTHERS {
        wanted.remove(*name);
    }
    ensure!(wanted.len() > 30, "only {:?}", wanted.keys());

    let cache = Cache::open()?;
    let images = images::base(&cache).await?;
    let image = images.last().context("the image of the server")?.clone();
    let mut missing: BTreeSet<String> = wanted.keys().cloned().collect();
    let missing = tokio::task::spawn_blocking(move || {
        for blob in std::fs::read_dir(images::oci::blobs(&image))? {
            search(File::open(blob?.path())?, &mut missing)?;
        }
        Ok::<_, anyhow::Error>(missing)
    })
    .await??;
    let unread: Vec<_> = missing.iter().map(|name| (name, &wanted[name])).collect();
    ensure!(unread.is_empty(), "no code of the package has {unread:#?}");
    Ok(())
}

/// Strikes out what occurs in the scripts of a layer.
fn search(mut layer: File, missing: &mut BTreeSet<String>) -> Result<()> {
    let mut start = [0; 1];
    layer.read_exact(&mut start)?;
    if start == *b"{" {
        return Ok(()); // the image's own description
    }
    layer.seek(SeekFrom::Start(0))?;
    let mut text = String::new();
    for entry in tar::Archive::new(layer).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        let extension = path.rsplit('.').next().unwrap_or_default();
        if !path.contains("node_modules/") || !["js", "mjs", "cjs"].contains(&extension) {
            continue;
        }
        text.clear();
        if entry.read_to_string(&mut text).is_err() {
            continue; // not text
        }
        missing.retain(|name| !text.contains(name.as_str()));
        if missing.is_empty() {
            return Ok(());
        }
    }
    Ok(())
}
