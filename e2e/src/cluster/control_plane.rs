//! etcd, API server, controller manager, scheduler. Flags are those of a normal cluster, but for speed (no fsync, high client
//! limits: else the controller manager's own limit is what a test measures).

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use serde_json::json;

use super::daemons::Daemons;
use super::init::Plan;
use super::network::{NODE_ADDRESS, POD_RANGE, SERVICE_RANGE};
use super::{pki, volumes};

/// Where the API server is for programs inside.
pub const API_SERVER: &str = "https://127.0.0.1:6443";

const LIMIT: Duration = Duration::from_secs(180);

/// Starts the control plane and waits until it serves. Gives an administrator's client.
pub async fn start(plan: &Plan, daemons: &Daemons) -> Result<Client> {
    let pki = plan.layout.pki();
    pki::create(&pki, API_SERVER)?;
    let (etcd, api_server) = (etcd(plan), api_server(plan, &pki)?);
    daemons.start(plan.program("etcd")?, etcd).await?;
    daemons
        .start(plan.program("kube-apiserver")?, api_server)
        .await?;

    let client = client(&pki.join("admin.kubeconfig")).await?;
    let ready = async || {
        let request = http::Request::get("/readyz").body(Vec::new())?;
        ensure!(client.request_text(request).await? == "ok", "not ready yet");
        Ok(())
    };
    daemons.wait_for("the API server", LIMIT, ready).await?;

    daemons
        .start(
            plan.program("kube-controller-manager")?,
            controller_manager(&pki),
        )
        .await?;
    daemons
        .start(plan.program("kube-scheduler")?, scheduler(&pki))
        .await?;
    let class: StorageClass = serde_json::from_value(json!({
        "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": volumes::PROVISIONER,
        "allowVolumeExpansion": true,
        "reclaimPolicy": "Delete",
    }))?;
    apply(&Api::all(client.clone()), "standard", &class).await?;
    Ok(client)
}

/// A client out of a kubeconfig file.
pub async fn client(kubeconfig: &Path) -> Result<Client> {
    let config = Kubeconfig::read_from(kubeconfig)
        .with_context(|| format!("cannot read {}", kubeconfig.display()))?;
    let mut config =
        kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
    config.connect_timeout = Some(Duration::from_secs(10));
    Ok(Client::try_from(config)?)
}

/// Server-side apply as the local cluster.
pub async fn apply<K>(api: &Api<K>, name: &str, object: &K) -> Result<K>
where
    K: Clone + std::fmt::Debug + serde::Serialize + for<'a> serde::Deserialize<'a>,
{
    let params = PatchParams::apply("paperclip-local-cluster").force();
    api.patch(name, &params, &Patch::Apply(object))
        .await
        .with_context(|| format!("cannot apply {name}"))
}

fn etcd(plan: &Plan) -> Vec<String> {
    let data = plan.layout.run.join("etcd");
    let mut arguments = flags(&[
        ("data-dir", &data.to_string_lossy()),
        ("listen-client-urls", "http://127.0.0.1:2379"),
        ("advertise-client-urls", "http://127.0.0.1:2379"),
        ("listen-peer-urls", "http://127.0.0.1:2380"),
        ("quota-backend-bytes", "8589934592"),
        ("log-level", "warn"),
    ]);
    if !plan.fsync {
        arguments.push("--unsafe-no-fsync".to_owned());
    }
    arguments
}

fn api_server(plan: &Plan, pki: &Path) -> Result<Vec<String>> {
    let file = |name: &str| pki.join(name).to_string_lossy().into_owned();
    let mut arguments = flags(&[
        ("etcd-servers", "http://127.0.0.1:2379"),
        ("service-cluster-ip-range", SERVICE_RANGE),
        ("advertise-address", NODE_ADDRESS),
        ("bind-address", "0.0.0.0"),
        ("secure-port", "6443"),
        ("client-ca-file", &file("ca.crt")),
        ("tls-cert-file", &file("apiserver.crt")),
        ("tls-private-key-file", &file("apiserver.key")),
        ("kubelet-client-certificate", &file("kubelet-client.crt")),
        ("kubelet-client-key", &file("kubelet-client.key")),
        ("kubelet-preferred-address-types", "InternalIP"),
        ("service-account-issuer", "https://kubernetes.default.svc"),
        ("service-account-key-file", &file("service-accounts.pub")),
        (
            "service-account-signing-key-file",
            &file("service-accounts.key"),
        ),
        ("authorization-mode", "Node,RBAC"),
        ("enable-admission-plugins", "NodeRestriction"),
        ("allow-privileged", "true"),
    ]);
    if plan.audit {
        let policy = plan.layout.run.join("audit-policy.json");
        let rules = json!({
            "apiVersion": "audit.k8s.io/v1", "kind": "Policy",
            "omitStages": ["RequestReceived", "ResponseStarted"],
            "rules": [{"level": "Metadata"}],
        });
        fs::write(&policy, serde_json::to_vec(&rules)?)?;
        arguments.extend(flags(&[
            ("audit-policy-file", &policy.to_string_lossy()),
            ("audit-log-path", &plan.layout.audit_log().to_string_lossy()),
            // Written before the answer goes out: who has the answer can count on the entry.
            ("audit-log-mode", "blocking"),
        ]));
    }
    Ok(arguments)
}

fn controller_manager(pki: &Path) -> Vec<String> {
    let file = |name: &str| pki.join(name).to_string_lossy().into_owned();
    flags(&[
        ("kubeconfig", &file("controller-manager.kubeconfig")),
        ("root-ca-file", &file("ca.crt")),
        (
            "service-account-private-key-file",
            &file("service-accounts.key"),
        ),
        ("use-service-account-credentials", "true"),
        ("cluster-signing-cert-file", &file("ca.crt")),
        ("cluster-signing-key-file", &file("ca.key")),
        ("leader-elect", "false"),
        ("bind-address", "127.0.0.1"),
        ("cluster-cidr", POD_RANGE),
        ("service-cluster-ip-range", SERVICE_RANGE),
        ("kube-api-qps", "2000"),
        ("kube-api-burst", "4000"),
        ("concurrent-statefulset-syncs", "20"),
        ("concurrent-deployment-syncs", "20"),
        ("concurrent-namespace-syncs", "30"),
    ])
}

fn scheduler(pki: &Path) -> Vec<String> {
    flags(&[
        (
            "kubeconfig",
            &pki.join("scheduler.kubeconfig").to_string_lossy(),
        ),
        ("leader-elect", "false"),
        ("bind-address", "127.0.0.1"),
        ("kube-api-qps", "2000"),
        ("kube-api-burst", "4000"),
    ])
}

/// `--name=value` for each pair.
pub fn flags(pairs: &[(&str, &str)]) -> Vec<String> {
    pairs
        .iter()
        .map(|(name, value)| format!("--{name}={value}"))
        .collect()
}
