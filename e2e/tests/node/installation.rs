//! An installation to test with: the operator with an installation's rights, one Instance, and a way to its server.

use std::time::Duration;

use anyhow::{Result, ensure};
use http::Request;
use http_body_util::Full;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, ResourceExt as _};
use paperclip_e2e::harness::{
    Answer, Cluster, Namespace, Operator, OperatorOptions, until, wait_for,
};
use serde_json::{Value, json};

pub const MINUTE: Duration = Duration::from_secs(60);
pub const QUICK_START: &str = include_str!("../../../deploy/samples/quickstart.yaml");
pub const NAME: &str = "my-paperclip";
pub const SERVER_POD: &str = "my-paperclip-0";

/// Everybody who reaches the server is its admin, so that tests need no login; its files go with it.
pub const TRUSTED: &str = "
apiVersion: paperclip.inc/v1alpha1
kind: Instance
metadata: {name: my-paperclip}
spec:
  image: {tag: 2026.916.1}
  deployment: {mode: local_trusted}
  storage: {persistence: {enabled: false}}
";

/// Somebody else's database, as far as an Instance or an external PaperclipDatabase knows.
pub const ELSEWHERE: &str = "
apiVersion: paperclip.inc/v1alpha1
kind: PaperclipDatabase
metadata: {name: elsewhere}
spec:
  storage: {size: 1Gi}
  resources: {requests: {cpu: 50m, memory: 128Mi}}
";

/// `Status/Reason` of a condition about the present spec of an object.
pub fn says(object: &DynamicObject, kind: &str) -> String {
    let conditions = object.data["status"]["conditions"].as_array();
    let found = conditions.into_iter().flatten().find(|c| {
        c["type"] == kind && c["observedGeneration"].as_i64() == object.metadata.generation
    });
    let text = |key: &str| found.and_then(|c| c[key].as_str()).unwrap_or("absent");
    format!("{}/{}", text("status"), text("reason"))
}

/// PaperclipDatabases of a namespace.
pub async fn databases(cluster: &Cluster, namespace: &str) -> Result<Api<DynamicObject>> {
    kind(
        cluster,
        namespace,
        "PaperclipDatabase",
        "paperclipdatabases",
    )
    .await
}

async fn kind(
    cluster: &Cluster,
    namespace: &str,
    kind: &str,
    plural: &str,
) -> Result<Api<DynamicObject>> {
    let kind = ApiResource {
        group: "paperclip.inc".to_owned(),
        version: "v1alpha1".to_owned(),
        api_version: "paperclip.inc/v1alpha1".to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    };
    Ok(Api::namespaced_with(
        cluster.client().await?,
        namespace,
        &kind,
    ))
}

/// An Instance called [`NAME`] in a namespace of its own, and the operator.
pub struct Installation<'a> {
    pub cluster: &'a Cluster,
    pub operator: Operator<'a>,
    pub namespace: Namespace<'a>,
}

impl<'a> Installation<'a> {
    /// The quick start, running.
    pub async fn running(cluster: &'a Cluster, name: &str) -> Result<Self> {
        let this = Self::applied(cluster, name, QUICK_START).await?;
        this.until_running().await?;
        Ok(this)
    }

    /// This manifest, just applied.
    pub async fn applied(cluster: &'a Cluster, name: &str, manifest: &str) -> Result<Self> {
        cluster.load_operator_image().await?;
        let namespace = cluster.namespace(name).await?;
        let operator = cluster
            .operator(OperatorOptions::for_namespace(&namespace.name))
            .await?;
        namespace.apply(manifest).await?;
        Ok(Self {
            cluster,
            operator,
            namespace,
        })
    }

    pub async fn instances(&self) -> Result<Api<DynamicObject>> {
        kind(self.cluster, &self.namespace.name, "Instance", "instances").await
    }

    pub async fn pods(&self) -> Result<Api<Pod>> {
        Ok(Api::namespaced(
            self.cluster.client().await?,
            &self.namespace.name,
        ))
    }

    pub async fn until_running(&self) -> Result<()> {
        let running = |instance: &DynamicObject| {
            let status = &instance.data["status"];
            status["phase"] == "Running"
                && status["observedGeneration"].as_i64() == instance.metadata.generation
        };
        until(
            &self.instances().await?,
            NAME,
            "is Running",
            8 * MINUTE,
            running,
        )
        .await
        .map(drop)
    }

    /// A request to the server through its Service, as a person behind a port-forward sends it.
    pub async fn request(&self, method: &str, path: &str, body: Option<Value>) -> Result<Answer> {
        let service = format!("{NAME}.{}.svc.cluster.local:3100", self.namespace.name);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("Host", "localhost:3100");
        let request = request.header("Content-Type", "application/json");
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        self.cluster
            .http(&service, request.body(Full::from(body))?)
            .await
    }

    pub async fn until_healthy(&self) -> Result<()> {
        let healthy = async || {
            let health = self.request("GET", "/api/health", None).await?;
            ensure!(
                health.status == 200 && health.json()?["status"] == "ok",
                "{} {}",
                health.status,
                health.text()
            );
            Ok(Some(()))
        };
        wait_for(
            "the server to be healthy through its Service",
            2 * MINUTE,
            healthy,
        )
        .await
    }

    pub async fn sign_in(&self) -> Result<()> {
        let body = json!({"email": "ada@example.com", "password": "correct horse"});
        let answer = self
            .request("POST", "/api/auth/sign-in/email", Some(body))
            .await?;
        ensure!(
            answer.status == 200,
            "sign-in: {} {}",
            answer.status,
            answer.text()
        );
        ensure!(
            answer.headers.contains_key("set-cookie"),
            "sign-in gave no session"
        );
        Ok(())
    }

    /// What the managed database answers, without headings. Quotes must be escaped for a shell's double quotes.
    pub async fn sql(&self, statement: &str) -> Result<String> {
        let script =
            format!("psql \"$(cat /etc/paperclip/db-credentials/uri)\" -tAc \"{statement}\"");
        let exec = ["exec", "my-paperclip-db-0", "-c", "postgres", "--"];
        let all: Vec<&str> = exec.into_iter().chain(["sh", "-c", &script]).collect();
        self.namespace.kubectl(&all).await
    }

    /// Uid of the server's first pod.
    pub async fn server_uid(&self) -> Result<Option<String>> {
        Ok(self.pods().await?.get(SERVER_POD).await?.uid())
    }

    /// How often the containers of the server's first pod were started again.
    pub async fn server_restarts(&self) -> Result<i32> {
        let pod = self.pods().await?.get(SERVER_POD).await?;
        let statuses = pod.status.and_then(|s| s.container_statuses);
        let all = statuses.unwrap_or_default();
        Ok(all.iter().map(|status| status.restart_count).sum())
    }

    /// Each pod's uid and how often its containers were started again.
    pub async fn pod_lives(&self) -> Result<Vec<(String, i32)>> {
        let pods = self.pods().await?.list(&ListParams::default()).await?;
        let restarts = |pod: &Pod| {
            let statuses = pod
                .status
                .as_ref()
                .and_then(|status| status.container_statuses.as_ref());
            statuses
                .map(|list| list.iter().map(|status| status.restart_count).sum())
                .unwrap_or_default()
        };
        Ok(pods
            .iter()
            .map(|pod| (pod.uid().unwrap_or_default(), restarts(pod)))
            .collect())
    }
}

pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|list| {
        list.iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
    })
}
