//! Waiting for something to become true, always with an end.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use kube::runtime::wait::await_condition;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

/// Asks again and again until there is a value. An error of an attempt is not the end; the last one is told when time is up.
pub async fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut attempt: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + limit;
    let mut last = None;
    loop {
        let remaining = end
            .saturating_duration_since(Instant::now())
            .max(Duration::from_millis(1));
        match tokio::time::timeout(remaining, attempt()).await {
            Ok(Ok(Some(value))) => return Ok(value),
            Ok(Ok(None)) => last = None,
            Ok(Err(error)) => last = Some(error),
            // The attempt that time cut off knows less than the one before it.
            Err(_) => last = last.or_else(|| Some(anyhow::anyhow!("no answer"))),
        }
        if Instant::now() >= end {
            let reason = last.map(|error| format!(": {error:#}")).unwrap_or_default();
            bail!("waited {} s for {what}{reason}", limit.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Watches one object until the condition holds, and gives it. The condition sees only existing objects.
pub async fn until<K>(
    api: &Api<K>,
    name: &str,
    what: &str,
    limit: Duration,
    condition: impl Fn(&K) -> bool,
) -> Result<K>
where
    K: Resource + Clone + Debug + Send + DeserializeOwned + 'static,
{
    let holds = |object: Option<&K>| object.is_some_and(&condition);
    let Ok(found) = tokio::time::timeout(limit, await_condition(api.clone(), name, holds)).await
    else {
        let now = api.get_opt(name).await;
        bail!(
            "waited {} s until {name} {what}; it is {now:?}",
            limit.as_secs()
        );
    };
    found?.with_context(|| format!("{name} is gone"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_ends_and_tells_the_last_error() {
        let attempt = async || -> Result<Option<()>> { bail!("still closed") };
        let error = wait_for("the door", Duration::from_millis(120), attempt)
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("the door: still closed"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn an_attempt_that_hangs_does_not_hang_the_wait() {
        let attempt = async || -> Result<Option<()>> { std::future::pending().await };
        assert!(
            wait_for("nothing", Duration::from_millis(50), attempt)
                .await
                .is_err()
        );
    }
}
