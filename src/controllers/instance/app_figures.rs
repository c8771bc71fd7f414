//! What a server tells of itself, as `paperclip_app_*`: asked at the moment at which somebody asks the operator for the figures of this one
//! Instance, because the application exports none. Health needs no key; runs, queue and cost do. Must never show a key, nor ask a server
//! more than once in a few seconds, however often somebody asks us.

use super::found::Data;
use super::operator_key::{PREFIX, TOKEN_KEY};
use super::server_api::get;
use super::validate::monitoring::OperatorKey;
use super::validate::{Input, validate};
use super::{Controller, Found, Learned};
use crate::crd::instance::InstanceSpec;
use crate::crd::{Instance, SecretText};
use crate::shared::cache::{Key, Seen};
use crate::shared::guarded::Guarded;
use crate::shared::views::Pod;
use crate::shared::wish::Kind;
use futures::future::join_all;
use hyper::StatusCode;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use prometheus::{GaugeVec, Opts, Registry, TextEncoder};
use serde_json::Value;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a server is waited for. Prometheus gives up after ten seconds.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long an answer holds.
const HOLDS: Duration = Duration::from_secs(5);
/// Answers that are remembered at most.
const MOST: usize = 1024;

/// What is exported: name, help, and whether each pod has its own.
pub const FIGURES: [(&str, &str, bool); 9] = [
    ("paperclip_app_up", "The server of this pod answers.", true),
    (
        "paperclip_app_healthy",
        "It says that it and its database are well.",
        true,
    ),
    (
        "paperclip_app_active_runs",
        "Runs of agents in this pod.",
        true,
    ),
    (
        "paperclip_app_pending_wakes",
        "Agents that wait in this pod to be woken.",
        true,
    ),
    (
        "paperclip_app_draining",
        "The server of this pod takes no new work.",
        true,
    ),
    (
        "paperclip_app_access",
        "The server takes the operator's key, or needs none.",
        false,
    ),
    (
        "paperclip_app_scheduled_agents",
        "Agents that are woken by time.",
        false,
    ),
    (
        "paperclip_app_scheduler_lag_seconds",
        "For how long the agent has been due that waits longest.",
        false,
    ),
    (
        "paperclip_app_spent_month_cents",
        "Cost of this month in cents, over all companies.",
        false,
    ),
];

/// Answers of a moment ago.
#[derive(Default)]
pub struct Recent(Mutex<HashMap<Key, (Instant, Arc<str>)>>);

impl Recent {
    fn get(&self, key: &Key) -> Option<Arc<str>> {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, text) = map.get(key)?;
        (at.elapsed() < HOLDS).then(|| text.clone())
    }

    fn put(&self, key: Key, text: &Arc<str>) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if map.len() >= MOST {
            map.retain(|_, (at, _)| at.elapsed() < HOLDS);
        }
        map.insert(key, (Instant::now(), text.clone()));
    }
}

impl Controller {
    /// The figures of this Instance in Prometheus' text format; none, if it does not ask for any.
    pub async fn app_figures(&self, namespace: &str, name: &str, recent: &Recent) -> Arc<str> {
        let key = Key::new(namespace, name);
        if let Some(text) = recent.get(&key) {
            return text;
        }
        let Some(seen) = self.caches.instances.get(&key) else {
            return Arc::default();
        };
        let Guarded::Ok(instance) = &seen.view else {
            return Arc::default();
        };
        let (merged, _) = self.merged(&seen, instance);
        let instance = merged.as_ref().unwrap_or(instance);
        if !is_on(&instance.spec) {
            return Arc::default();
        }
        let text: Arc<str> = match self.ask(&seen, instance).await {
            Ok(text) => text.into(),
            Err(error) => {
                tracing::warn!(instance = %key, %error, "no figures of the server");
                Arc::default()
            }
        };
        recent.put(key, &text);
        text
    }

    async fn ask(
        &self,
        seen: &Seen<Guarded<Instance>>,
        instance: &Instance,
    ) -> Result<String, String> {
        let key = &seen.key;
        let learned = Learned::default();
        let input = Input {
            instance,
            adopted: None,
            learned: &learned,
            domain: &self.context.options.cluster_domain,
        };
        let verdict = validate(input, &Found::default());
        let v = verdict.validated.as_ref();
        let v = v.ok_or("the spec cannot be applied")?;
        let observed = self.look_at(seen, instance);
        let made = v.id.names.operator_token();
        let token = match v.monitoring.key {
            OperatorKey::Given(reference) => self.token(key, &reference.name, &reference.key).await,
            OperatorKey::Made => self.token(key, &made, TOKEN_KEY).await,
            OperatorKey::None => None,
        };
        let may_ask = token.is_some() || v.access.local_trusted;
        let pods: Vec<(&str, SocketAddr)> = observed
            .pods
            .iter()
            .filter(|p| !p.deleting)
            .filter_map(|p| Some((&*p.key.name, address(&p.view, v.network.listen)?)))
            .collect();
        let said = join_all(pods.iter().map(|(_, address)| {
            let token = token.as_ref();
            async move { Told::by(*address, token, may_ask).await }
        }))
        .await;
        let figures = Figures::new(&key.namespace, &key.name).map_err(|e| e.to_string())?;
        for ((pod, _), told) in pods.iter().zip(&said) {
            figures.of_pod(pod, told);
        }
        let answering = pods.iter().zip(&said).find(|(_, told)| told.work.is_some());
        figures.set(
            "paperclip_app_access",
            "",
            f64::from(u8::from(answering.is_some())),
        );
        if let Some(((_, address), _)) = answering {
            figures.of_all(*address, token.as_ref()).await;
        }
        figures.text().map_err(|e| e.to_string())
    }

    /// The key, if it is there and looks like one.
    async fn token(&self, key: &Key, secret: &str, of: &str) -> Option<SecretText> {
        let kind = Kind::of::<Secret>();
        let api = &self.context.api;
        let found = api.get(&kind, &key.namespace, secret).await;
        let found = found
            .inspect_err(
                |error| tracing::warn!(instance = %key, %error, "the operator's key is not read"),
            )
            .ok()??;
        let text = Data::of_secret(&found).text(of)?.to_owned();
        text.starts_with(PREFIX).then(|| SecretText::from(text))
    }
}

fn is_on(spec: &InstanceSpec) -> bool {
    let observability = spec.observability.as_ref();
    observability
        .and_then(|o| o.metrics.as_deref())
        .is_some_and(|m| m.enabled == Some(true))
}

/// Where the server of a pod listens.
pub fn address(pod: &Pod, port: u16) -> Option<SocketAddr> {
    let address: IpAddr = pod.address.as_deref()?.parse().ok()?;
    Some(SocketAddr::new(address, port))
}

/// What one server says of itself.
struct Told {
    up: bool,
    healthy: bool,
    /// `/api/instance/task-drain`.
    work: Option<Value>,
}

impl Told {
    async fn by(address: SocketAddr, token: Option<&SecretText>, may_ask: bool) -> Self {
        let (health, work) = futures::join!(get(address, "/api/health", None, PATIENCE), async {
            if !may_ask {
                return None;
            }
            taken(get(address, "/api/instance/task-drain", token, PATIENCE).await)
        });
        Self {
            up: health.is_ok(),
            healthy: health.is_ok_and(|(_, said)| said["status"] == "ok"),
            work,
        }
    }
}

/// An answer that is not a refusal.
fn taken(answer: Result<(StatusCode, Value), String>) -> Option<Value> {
    let (status, value) = answer.ok()?;
    (status == StatusCode::OK).then_some(value)
}

/// Builds the text.
struct Figures {
    namespace: String,
    instance: String,
    registry: Registry,
    gauges: HashMap<&'static str, GaugeVec>,
}

impl Figures {
    fn new(namespace: &str, instance: &str) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let mut gauges = HashMap::new();
        for (name, help, of_pod) in FIGURES {
            let labels: &[&str] = if of_pod {
                &["instance", "namespace", "pod"]
            } else {
                &["instance", "namespace"]
            };
            let gauge = GaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauge.clone()))?;
            gauges.insert(name, gauge);
        }
        Ok(Self {
            namespace: namespace.to_owned(),
            instance: instance.to_owned(),
            registry,
            gauges,
        })
    }

    /// Sets one; `pod` is empty for those of the whole Instance.
    fn set(&self, name: &str, pod: &str, value: f64) {
        let Some(gauge) = self.gauges.get(name) else {
            return;
        };
        let all = [&*self.instance, &*self.namespace, pod];
        let labels = if pod.is_empty() { &all[..2] } else { &all[..] };
        if let Ok(gauge) = gauge.get_metric_with_label_values(labels) {
            gauge.set(value);
        }
    }

    fn of_pod(&self, pod: &str, told: &Told) {
        let bit = |yes: bool| f64::from(u8::from(yes));
        self.set("paperclip_app_up", pod, bit(told.up));
        self.set("paperclip_app_healthy", pod, bit(told.healthy));
        let Some(work) = &told.work else { return };
        for (name, field) in [
            ("paperclip_app_active_runs", "activeRuns"),
            ("paperclip_app_pending_wakes", "pendingWakes"),
        ] {
            if let Some(value) = work[field].as_f64() {
                self.set(name, pod, value);
            }
        }
        if let Some(draining) = work["draining"].as_bool() {
            self.set("paperclip_app_draining", pod, bit(draining));
        }
    }

    /// What is the same for every pod, asked of one.
    async fn of_all(&self, address: SocketAddr, token: Option<&SecretText>) {
        let (agents, companies) = futures::join!(
            get(
                address,
                "/api/instance/scheduler-heartbeats",
                token,
                PATIENCE
            ),
            get(address, "/api/companies", token, PATIENCE),
        );
        if let Some(Value::Array(agents)) = taken(agents) {
            let (count, lag) = schedule(&agents, Timestamp::now());
            self.set("paperclip_app_scheduled_agents", "", count);
            self.set("paperclip_app_scheduler_lag_seconds", "", lag);
        }
        if let Some(Value::Array(companies)) = taken(companies) {
            let spent = companies
                .iter()
                .filter_map(|c| c["spentMonthlyCents"].as_f64());
            self.set(
                "paperclip_app_spent_month_cents",
                "",
                spent.fold(0.0, |sum, one| sum + one),
            );
        }
    }

    fn text(&self) -> Result<String, prometheus::Error> {
        let mut families = self.registry.gather();
        families.retain(|f| !f.get_metric().is_empty());
        TextEncoder::new().encode_to_string(&families)
    }
}

/// Number of agents that are woken by time, and for how many seconds the one has been due that waits longest.
fn schedule(agents: &[Value], now: Timestamp) -> (f64, f64) {
    let active = || agents.iter().filter(|a| a["schedulerActive"] == true);
    let due = active().filter_map(|agent| {
        let last: Timestamp = agent["lastHeartbeatAt"].as_str()?.parse().ok()?;
        let waited = now.duration_since(last).as_secs_f64();
        Some(waited - agent["intervalSec"].as_f64()?)
    });
    let count = active().fold(0.0, |count, _| count + 1.0);
    (count, due.fold(0.0, f64::max))
}

#[cfg(test)]
mod tests {
    use super::super::server_api::tests::{http, served};
    use super::*;
    use serde_json::json;

    #[test]
    fn the_agent_that_waits_longest_is_the_lag() {
        let now: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
        let agent = |active: bool, last: &str| json!({"schedulerActive": active, "intervalSec": 600, "lastHeartbeatAt": last});
        let agents = [
            agent(true, "2026-01-01T00:55:00Z"),
            agent(true, "2026-01-01T00:40:00Z"),
            agent(false, "2026-01-01T00:00:00Z"),
            json!({"schedulerActive": true, "intervalSec": 600, "lastHeartbeatAt": null}),
        ];
        assert_eq!(schedule(&agents, now), (3.0, 600.0));
        assert_eq!(schedule(&agents[..1], now), (1.0, 0.0));
    }

    async fn figures_of(token: Option<&SecretText>, may_ask: bool) -> String {
        let address = served(|asked| {
            let keyed = asked.to_lowercase().contains("bearer pcp_board_x");
            match asked.split(' ').nth(1).unwrap_or_default() {
                "/api/health" => http("200 OK", r#"{"status":"ok"}"#),
                _ if !keyed => http("401 Unauthorized", r#"{"error":"no"}"#),
                "/api/instance/task-drain" => http(
                    "200 OK",
                    r#"{"draining":false,"activeRuns":2,"pendingWakes":3}"#,
                ),
                "/api/companies" => http(
                    "200 OK",
                    r#"[{"spentMonthlyCents":120},{"spentMonthlyCents":5}]"#,
                ),
                _ => http("200 OK", "[]"),
            }
        })
        .await;
        let figures = Figures::new("ns", "shop").unwrap();
        let told = Told::by(address, token, may_ask).await;
        figures.of_pod("shop-0", &told);
        if told.work.is_some() {
            figures.of_all(address, token).await;
        }
        figures.text().unwrap()
    }

    #[tokio::test]
    async fn with_a_key_runs_queue_and_cost_are_told() {
        let key = SecretText::from("pcp_board_x".to_owned());
        let text = figures_of(Some(&key), true).await;
        for line in [
            r#"paperclip_app_up{instance="shop",namespace="ns",pod="shop-0"} 1"#,
            r#"paperclip_app_active_runs{instance="shop",namespace="ns",pod="shop-0"} 2"#,
            r#"paperclip_app_pending_wakes{instance="shop",namespace="ns",pod="shop-0"} 3"#,
            r#"paperclip_app_spent_month_cents{instance="shop",namespace="ns"} 125"#,
            r#"paperclip_app_scheduled_agents{instance="shop",namespace="ns"} 0"#,
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[tokio::test]
    async fn without_one_or_with_a_wrong_one_health_alone() {
        let wrong = SecretText::from("pcp_board_y".to_owned());
        for (key, may_ask) in [(None, false), (Some(&wrong), true)] {
            let text = figures_of(key, may_ask).await;
            let names: Vec<_> = text.lines().filter(|l| !l.starts_with('#')).collect();
            assert_eq!(names.len(), 2, "{text}");
            assert!(text.contains("paperclip_app_healthy") && text.contains("paperclip_app_up"));
        }
    }

    #[tokio::test]
    async fn nobody_is_asked_twice_in_a_moment() {
        let recent = Recent::default();
        let key = Key::new("ns", "shop");
        assert_eq!(recent.get(&key), None);
        recent.put(key.clone(), &"text".into());
        assert_eq!(recent.get(&key).as_deref(), Some("text"));
    }
}
