//! The hazards that take operators down, one test each. Every test fails if the cure is taken out.
#![allow(clippy::unwrap_used, missing_docs)]
#![allow(clippy::needless_pass_by_value)] // fixtures are written in place

mod support;

use paperclip_operator::crd::Instance;
use paperclip_operator::shared::api::{ApiError, ApiServer};
use paperclip_operator::shared::backoff::Failures;
use paperclip_operator::shared::cache::{Cache, Key, Seen, View};
use paperclip_operator::shared::context::{wakes_itself, wakes_owner};
use paperclip_operator::shared::controller::{Again, Failure, Reconcile, Roll, Runner};
use paperclip_operator::shared::guarded::Guarded;
use paperclip_operator::shared::health::Gates;
use paperclip_operator::shared::informer::Informer;
use paperclip_operator::shared::metrics::Metrics;
use paperclip_operator::shared::triggers::Triggers;
use paperclip_operator::shared::views::{Bare, Service};
use paperclip_operator::shared::wish::{Kind, Scoped};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::{Fake, Manner};
use tokio_util::sync::CancellationToken;

fn child(name: &str, owner: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "ns",
        "labels": {"app.kubernetes.io/managed-by": "paperclip-operator"},
        "ownerReferences": [{"apiVersion": "paperclip.inc/v1alpha1", "kind": "Instance", "name": owner, "uid": "o", "controller": true}]}})
}

fn instance(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "paperclip.inc/v1alpha1", "kind": "Instance", "metadata": {"name": name, "namespace": "ns"}, "spec": spec})
}

struct Parts {
    gates: Arc<Gates>,
    metrics: Arc<Metrics>,
    triggers: Arc<Triggers>,
}

impl Parts {
    fn new() -> Self {
        let metrics = Metrics::new().unwrap();
        Self {
            gates: Gates::new(),
            triggers: Triggers::new(metrics.queue("test")),
            metrics,
        }
    }

    fn informer<K, V: View>(
        &self,
        fake: &Fake,
        cache: &Arc<Cache<V>>,
    ) -> tokio::task::JoinHandle<()>
    where
        K: kube::Resource<DynamicType = ()>,
        K::Scope: Scoped,
    {
        let informer = Informer {
            client: fake.client(),
            kind: Kind::of::<K>(),
            scope: String::new(),
            selector: "",
            cache: cache.clone(),
            gates: self.gates.clone(),
            metrics: self.metrics.clone(),
            list_silence: Duration::from_millis(500),
            optional: None,
        };
        informer.announce();
        tokio::spawn(informer.run())
    }

    fn services(&self) -> Arc<Cache<Service>> {
        Arc::new(
            Cache::new(&[], &[String::new()])
                .on_owner(wakes_owner("Instance", self.triggers.clone())),
        )
    }

    fn adds(&self) -> u64 {
        self.metrics
            .text()
            .unwrap()
            .lines()
            .find_map(|l| {
                l.strip_prefix("workqueue_adds_total{name=\"test\"} ")?
                    .parse()
                    .ok()
            })
            .unwrap_or(0)
    }
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < Duration::from_secs(40),
            "not seen in time: {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_child_deleted_while_the_watch_was_down_reaches_its_owner() {
    let (fake, parts) = (Fake::start().await, Parts::new());
    fake.put("services", child("a", "one"));
    fake.put("services", child("b", "two"));
    let cache = parts.services();
    let _watch = parts.informer::<k8s_openapi::api::core::v1::Service, _>(&fake, &cache);
    until("both services", || cache.len() == 2).await;
    let mut woken = Box::pin(parts.triggers.clone().stream());
    for _ in 0..2 {
        futures::StreamExt::next(&mut woken).await.unwrap();
    }
    fake.remove("services", "b", false);
    fake.cut("services", true);
    let key = tokio::time::timeout(
        Duration::from_secs(10),
        futures::StreamExt::next(&mut woken),
    )
    .await
    .expect("the owner was never told")
    .unwrap();
    assert_eq!(key, Key::new("ns", "two"));
    assert!(cache.get(&Key::new("ns", "b")).is_none());
    assert!(cache.get(&Key::new("ns", "a")).is_some());
}

#[tokio::test]
async fn a_relist_of_ten_thousand_unchanged_objects_wakes_nobody() {
    let (fake, parts) = (Fake::start().await, Parts::new());
    for i in 0..10_000 {
        fake.put("services", child(&format!("s{i}"), &format!("owner{i}")));
    }
    let cache = parts.services();
    let _watch = parts.informer::<k8s_openapi::api::core::v1::Service, _>(&fake, &cache);
    until("ten thousand services", || {
        cache.synced() && cache.len() == 10_000
    })
    .await;
    let (before, lists) = (parts.adds(), lists(&fake));
    assert_eq!(before, 10_000);
    fake.cut("services", true);
    until("a second list", || self::lists(&fake) > lists).await;
    fake.put("services", child("last", "last"));
    until("what came after the list", || {
        cache.get(&Key::new("ns", "last")).is_some()
    })
    .await;
    assert_eq!(
        parts.adds(),
        before + 1,
        "the relist woke owners of objects that had not changed"
    );
}

fn lists(fake: &Fake) -> usize {
    fake.requests()
        .iter()
        .filter(|(_, path)| path.contains("sendInitialEvents") || path.contains("limit="))
        .count()
}

#[tokio::test]
async fn a_watch_that_never_comes_up_does_not_delay_the_others_and_is_named() {
    let (fake, parts) = (Fake::start().await, Parts::new());
    for manner in [Manner::Refuse, Manner::Silent] {
        fake.manner("networkpolicies", manner);
        let policies: Arc<Cache<Bare>> = Arc::new(Cache::new(&[], &[String::new()]));
        let broken =
            parts.informer::<k8s_openapi::api::networking::v1::NetworkPolicy, _>(&fake, &policies);
        let cache = parts.services();
        let watch = parts.informer::<k8s_openapi::api::core::v1::Service, _>(&fake, &cache);
        until("the healthy list", || cache.synced()).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        for i in 0..5 {
            let name = format!("{manner:?}-{i}").to_lowercase();
            fake.put("services", child(&name, "one"));
            let start = Instant::now();
            until("an event of the healthy watch", || {
                cache.get(&Key::new("ns", &name)).is_some()
            })
            .await;
            assert!(
                start.elapsed() < Duration::from_millis(500),
                "{:?}",
                start.elapsed()
            );
        }
        let closed = parts.gates.closed();
        assert!(closed.contains_key("informer NetworkPolicy"), "{closed:?}");
        assert!(!closed.contains_key("informer Service"), "{closed:?}");
        assert!(
            !policies.synced(),
            "nothing may be deleted by a cache that was never filled"
        );
        broken.abort();
        watch.abort();
    }
}

#[tokio::test]
async fn a_list_that_is_never_answered_is_started_again() {
    let (fake, parts) = (Fake::start().await, Parts::new());
    fake.put("services", child("a", "one"));
    fake.manner("services", Manner::Silent);
    let cache = parts.services();
    let _watch = parts.informer::<k8s_openapi::api::core::v1::Service, _>(&fake, &cache);
    until("the gate", || {
        parts
            .gates
            .closed()
            .get("informer Service")
            .is_some_and(|why| why.contains("does not answer"))
    })
    .await;
    fake.manner("services", Manner::Serve);
    until("recovery", || cache.synced() && cache.len() == 1).await;
    assert!(parts.gates.closed().is_empty());
}

#[tokio::test]
async fn a_call_that_is_never_answered_ends() {
    let fake = Fake::start().await;
    fake.manner("services", Manner::Silent);
    let api = ApiServer::new(fake.client(), "fake".into(), 1, Metrics::new().unwrap())
        .with_timeout(Duration::from_millis(200));
    let kind = Kind::of::<k8s_openapi::api::core::v1::Service>();
    let start = Instant::now();
    assert!(matches!(
        api.get(&kind, "ns", "a").await,
        Err(ApiError::Timeout { .. })
    ));
    fake.manner("services", Manner::Serve);
    // The only place is free again.
    assert!(matches!(api.get(&kind, "ns", "a").await, Ok(None)));
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn an_object_that_cannot_be_decoded_hides_no_other() {
    let (fake, parts) = (Fake::start().await, Parts::new());
    fake.put("instances", instance("good", json!({})));
    fake.put("instances", instance("bad", json!("not an object")));
    let cache: Arc<Cache<Guarded<Instance>>> = Arc::new(Cache::new(&[], &[String::new()]));
    let _watch = parts.informer::<Instance, _>(&fake, &cache);
    until("both", || cache.synced() && cache.len() == 2).await;
    let view = |name: &str| cache.get(&Key::new("ns", name)).unwrap();
    assert!(matches!(view("good").view, Guarded::Ok(_)));
    let bad = view("bad");
    let Guarded::Undecodable { meta, error } = &bad.view else {
        panic!("decoded")
    };
    assert_eq!(meta.name.as_deref(), Some("bad"));
    assert!(error.contains("not an object"), "{error}");
    // It heals when it is corrected.
    fake.put("instances", instance("bad", json!({})));
    until("healing", || matches!(view("bad").view, Guarded::Ok(_))).await;
}

/// Panics for the object `bad`, is slow for `slow`, counts all.
struct Moody(Arc<Mutex<HashMap<String, usize>>>);

impl Reconcile for Moody {
    type View = Guarded<Instance>;
    const NAME: &'static str = "test";
    async fn reconcile(&self, seen: Arc<Seen<Self::View>>) -> Result<Again, Failure> {
        *self
            .0
            .lock()
            .unwrap()
            .entry(seen.key.name.to_string())
            .or_default() += 1;
        assert!(&*seen.key.name != "bad", "broken invariant");
        if &*seen.key.name == "slow" {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        Ok(Again::Someday)
    }
}

#[tokio::test]
async fn a_panic_in_one_objects_pass_ends_neither_the_controller_nor_the_passes_of_others() {
    let (fake, parts) = (Fake::start().await, Parts::new());
    let roll = Roll::new(Kind::of::<Instance>());
    let cache: Arc<Cache<Guarded<Instance>>> = Arc::new(
        Cache::new(&[], &[String::new()])
            .on_itself(roll.follow())
            .on_itself(wakes_itself(parts.triggers.clone())),
    );
    let _watch = parts.informer::<Instance, _>(&fake, &cache);
    for name in ["bad", "good", "slow"] {
        fake.put("instances", instance(name, json!({})));
    }
    until("the list", || cache.synced() && cache.len() == 3).await;
    let (seen, stop, failures) = (
        Arc::<Mutex<HashMap<String, usize>>>::default(),
        CancellationToken::new(),
        Arc::new(Failures::default()),
    );
    let runner = Runner {
        work: Arc::new(Moody(seen.clone())),
        cache: cache.clone(),
        roll,
        triggers: parts.triggers.clone(),
        concurrency: 4,
        failures: failures.clone(),
        metrics: parts.metrics.clone(),
        stop: stop.clone(),
    };
    let running = tokio::spawn(runner.run());
    let count = |name: &str| seen.lock().unwrap().get(name).copied().unwrap_or(0);
    until("first passes", || {
        count("good") == 1 && count("slow") == 1 && count("bad") > 2
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    // The waits grow: without back-off there were hundreds by now.
    assert!(
        count("bad") < 15,
        "{} passes of the panicking object",
        count("bad")
    );
    assert!(
        failures.streak(&Key::new("ns", "bad")).is_some()
            && failures.streak(&Key::new("ns", "good")).is_none()
    );
    let mut changed = instance("good", json!({}));
    changed["metadata"]["generation"] = json!(2);
    fake.put("instances", changed);
    until("a later pass of the healthy object", || count("good") == 2).await;
    assert!(!running.is_finished());
    assert!(
        parts
            .metrics
            .text()
            .unwrap()
            .contains("controller_runtime_reconcile_panics_total{controller=\"test\"}")
    );
    // A clean stop lets the pass that runs come to its end.
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), running)
        .await
        .expect("the controller did not stop")
        .unwrap();
}

/// The operator itself, as a process.
struct Operator(std::process::Child, std::path::PathBuf);

impl Operator {
    fn start(fake: &Fake, name: &str) -> Self {
        let dir =
            std::env::temp_dir().join(format!("paperclip-hazards-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("kubeconfig"), fake.kubeconfig()).unwrap();
        let log = std::fs::File::create(dir.join("log")).unwrap();
        let child = std::process::Command::new(env!("CARGO_BIN_EXE_paperclip-operator"))
            .args([
                "run",
                "--leader-elect",
                "--metrics-addr",
                "0",
                "--health-addr",
                "0",
            ])
            .env("KUBECONFIG", dir.join("kubeconfig"))
            .env("POD_NAME", name)
            .stdout(log)
            .spawn()
            .unwrap();
        Self(child, dir)
    }
    fn log(&self) -> String {
        std::fs::read_to_string(self.1.join("log")).unwrap_or_default()
    }
    fn ended(&mut self) -> Option<i32> {
        self.0
            .try_wait()
            .unwrap()
            .map(|status| status.code().unwrap_or(-1))
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        let _ = std::fs::remove_dir_all(&self.1);
    }
}

#[tokio::test]
async fn a_leader_that_cannot_renew_its_lease_ends_before_another_may_take_over() {
    let fake = Fake::start().await;
    let mut first = Operator::start(&fake, "first");
    until("the first works", || {
        first.log().contains("all caches are complete")
    })
    .await;
    let mut second = Operator::start(&fake, "second");
    until("the second waits", || second.log().contains("starting")).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(
        !second.log().contains("all caches are complete"),
        "two leaders"
    );
    fake.manner("leases", Manner::RefuseWrites);
    let start = Instant::now();
    until("the first ends", || first.ended().is_some()).await;
    // Renewal deadline 7 s, lease 10 s: it is gone before the lease is.
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(first.ended(), Some(1));
    assert!(
        first.log().contains("the lease was lost"),
        "{}",
        first.log()
    );
    assert_eq!(fake.writes(), 0, "{:?}", fake.requests());
    fake.manner("leases", Manner::Serve);
    until("the second takes over", || {
        second.log().contains("all caches are complete")
    })
    .await;
    assert_eq!(second.ended(), None);
}
