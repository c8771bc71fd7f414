//! Traces, as a trace back end of somebody else's making received them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use paperclip_e2e::binaries::Group;
use paperclip_e2e::harness::{Cluster, OperatorOptions, wait_for};
use serde_json::Value;

const INSTANCE: &str = r"
apiVersion: paperclip.inc/v1alpha1
kind: Instance
metadata: {name: traced}
spec: {image: {tag: 2026.916.1}}
";

/// Given a running operator with an OTLP endpoint, when an Instance is made, then each pass is one trace with a span per step and per call
/// to the API server, and the first pass of the child links to the pass of the Instance that made it.
#[tokio::test]
async fn one_trace_per_pass_linked_from_the_child_to_its_instance() -> Result<()> {
    let cluster = Cluster::api().await?;
    let _backend = cluster
        .daemon(
            Group::Jaeger,
            "jaeger",
            &[
                "--collector.otlp.grpc.host-port=127.9.9.9:4317",
                "--collector.otlp.http.host-port=127.9.9.9:4318",
                "--query.http-server.host-port=127.9.9.9:16686",
                "--query.grpc-server.host-port=127.9.9.9:16685",
                "--collector.http-server.host-port=127.9.9.9:14268",
                "--collector.grpc-server.host-port=127.9.9.9:14250",
                "--admin.http.host-port=127.9.9.9:14269",
                "--http-server.host-port=127.9.9.9:5778",
                "--processor.zipkin-compact.server-host-port=127.9.9.9:5775",
                "--processor.jaeger-compact.server-host-port=127.9.9.9:6831",
                "--processor.jaeger-binary.server-host-port=127.9.9.9:6832",
            ],
        )
        .await?;
    wait_for("the trace back end", Duration::from_secs(60), async || {
        let answer = cluster.http_get("127.9.9.9:16686", "/api/services").await?;
        Ok(answer.status.is_success().then_some(()))
    })
    .await?;
    let namespace = cluster.namespace("traces").await?;
    let mut options = OperatorOptions::for_namespace(&namespace.name);
    options.environment = vec![
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT".into(),
            "http://127.9.9.9:4317".into(),
        ),
        ("OTEL_BSP_SCHEDULE_DELAY".into(), "500".into()),
    ];
    let mut operator = cluster.operator(options).await?;
    namespace.apply(INSTANCE).await?;
    wait_for("Running", Duration::from_secs(120), async || {
        let phase = namespace
            .kubectl(&[
                "get",
                "instance",
                "traced",
                "-o",
                "jsonpath={.status.phase}",
            ])
            .await?;
        Ok((phase == "Running").then_some(()))
    })
    .await?;
    // What is still in memory is sent when the process ends.
    operator.stop().await?;

    let traces = wait_for(
        "both kinds of traces",
        Duration::from_secs(30),
        async || {
            let path = "/api/traces?service=paperclip-operator&limit=500&lookback=1h";
            let traces = cluster.http_get("127.9.9.9:16686", path).await?.json()?;
            let traces = traces["data"].as_array().cloned().unwrap_or_default();
            let both = ["reconcile Instance", "reconcile PaperclipDatabase"]
                .iter()
                .all(|name| {
                    traces
                        .iter()
                        .any(|t| root(t).is_some_and(|r| r["operationName"] == *name))
                });
            Ok(both.then_some(traces))
        },
    )
    .await?;

    for trace in &traces {
        let roots = spans(trace).iter().filter(|s| !has_parent(s)).count();
        ensure!(
            roots == 1,
            "a pass is one trace, and this one has {roots} roots: {trace}"
        );
    }
    let first = traces
        .iter()
        .filter(|t| root(t).is_some_and(|r| r["operationName"] == "reconcile Instance"))
        .find(|t| spans(t).iter().any(makes_the_child))
        .context("no pass of the Instance made the child")?;
    let found = names(first);
    for step in ["dereference", "validate", "build", "apply", "status"] {
        ensure!(
            found.contains_key(step),
            "the pass has no span for the step {step}: {found:?}"
        );
    }
    let calls: Vec<_> = found
        .keys()
        .filter(|name| name.starts_with("PATCH /api") || name.starts_with("POST /api"))
        .collect();
    ensure!(
        calls.len() >= 4,
        "a span per call to the API server: {found:?}"
    );
    let patch = spans(first)
        .iter()
        .find(|s| {
            s["operationName"]
                .as_str()
                .is_some_and(|n| n.contains("/statefulsets/"))
        })
        .context("no call for the StatefulSet")?;
    ensure!(
        tag(patch, "http.response.status_code").is_some(),
        "a call tells its answer: {patch}"
    );
    let name = root(first)
        .and_then(|r| tag(r, "paperclip.name"))
        .unwrap_or_default();
    ensure!(name == "traced", "the root names its object: {name:?}");

    // The back end shows a link as a reference to another trace.
    let id = first["traceID"].as_str().unwrap_or_default();
    let linked = traces
        .iter()
        .filter_map(root)
        .filter(|r| r["operationName"] == "reconcile PaperclipDatabase")
        .any(|r| {
            r["references"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|reference| reference["traceID"] == id)
        });
    ensure!(
        linked,
        "no pass of the PaperclipDatabase links to the trace {id} that made it"
    );

    // Nothing secret in any attribute.
    let text = serde_json::to_string(&traces)?;
    ensure!(
        !text.contains("postgres://"),
        "a connection URL is in a trace"
    );
    Ok(())
}

fn spans(trace: &Value) -> &[Value] {
    trace["spans"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// The child is applied in every pass, and made in one.
fn makes_the_child(span: &Value) -> bool {
    span["operationName"] == "apply PaperclipDatabase"
        && tag(span, "paperclip.result").as_deref() == Some("created")
}

fn has_parent(span: &Value) -> bool {
    let trace = &span["traceID"];
    span["references"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|r| r["refType"] == "CHILD_OF" && r["traceID"] == *trace)
}

fn root(trace: &Value) -> Option<&Value> {
    spans(trace).iter().find(|s| !has_parent(s))
}

fn names(trace: &Value) -> BTreeMap<String, usize> {
    let mut names = BTreeMap::new();
    for span in spans(trace) {
        *names
            .entry(
                span["operationName"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            )
            .or_default() += 1;
    }
    names
}

fn tag(span: &Value, key: &str) -> Option<String> {
    let tag = span["tags"].as_array()?.iter().find(|t| t["key"] == key)?;
    Some(
        tag["value"]
            .as_str()
            .map_or_else(|| tag["value"].to_string(), ToOwned::to_owned),
    )
}
