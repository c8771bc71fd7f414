//! What the API server of this machine can do at this moment, without any operator: the yardstick beside every figure.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::Request;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use serde_json::Value;

use super::percentiles;

/// Creates `count` ConfigMaps of 1 KB, `places` at once.
pub async fn posts(
    client: &Client,
    namespace: &str,
    places: usize,
    count: usize,
) -> Result<String> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let start = Instant::now();
    let times: Vec<Duration> = stream::iter(0..count)
        .map(|i| {
            let maps = maps.clone();
            async move {
                let object = ConfigMap {
                    metadata: ObjectMeta {
                        name: Some(format!("calibration-{i}")),
                        ..ObjectMeta::default()
                    },
                    data: Some([("x".to_owned(), "x".repeat(1000))].into()),
                    ..ConfigMap::default()
                };
                let start = Instant::now();
                maps.create(&PostParams::default(), &object).await?;
                Ok::<_, kube::Error>(start.elapsed())
            }
        })
        .buffer_unordered(places)
        .try_collect()
        .await?;
    let took = start.elapsed();
    let (p50, p99) = percentiles(times);
    #[allow(clippy::cast_precision_loss)]
    let rate = count as f64 / took.as_secs_f64();
    Ok(format!(
        "{rate:.0} per second, p50 {:.1} ms, p99 {:.1} ms",
        millis(p50),
        millis(p99)
    ))
}

/// Milliseconds with fractions.
pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// A write as it is sent: path of the collection, and the object.
pub type Template = (String, Value);

/// Writes every template once per name in `names`, with the name `from` replaced, `places` writes at once: as fast as a client can that
/// has nothing to think about.
pub async fn replay(
    client: &Client,
    templates: &[Template],
    from: &str,
    names: &[String],
    places: usize,
) -> Result<Duration> {
    let templates: Arc<Vec<(String, String)>> = Arc::new(
        templates
            .iter()
            .map(|(path, body)| (path.clone(), body.to_string()))
            .collect(),
    );
    let start = Instant::now();
    stream::iter(
        names
            .iter()
            .flat_map(|name| (0..templates.len()).map(move |i| (i, name.clone()))),
    )
    .map(|(i, name)| {
        let (client, templates) = (client.clone(), templates.clone());
        let from = from.to_owned();
        async move {
            let (path, body) = &templates[i];
            let request = Request::post(path)
                .header("content-type", "application/json")
                .body(body.replace(&from, &name).into_bytes())?;
            client
                .request::<Value>(request)
                .await
                .with_context(|| format!("POST {path} for {name}"))?;
            Ok::<_, anyhow::Error>(())
        }
    })
    .buffer_unordered(places)
    .try_collect::<()>()
    .await?;
    Ok(start.elapsed())
}
