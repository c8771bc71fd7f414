//! A namespace for one test, in which Pod Security `restricted` is enforced: what is created here is admitted in a strict cluster.

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Namespace as Object;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams,
};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use super::{Cluster, unique, wait_for};
use crate::cluster;
use crate::system::say;

const GROUP_VERSION: &str = "paperclip.inc/v1alpha1";

/// The namespace; it is deleted when this is dropped, without waiting for its end.
pub struct Namespace<'a> {
    /// Its name: the wished one and a few digits.
    pub name: String,
    cluster: &'a Cluster,
}

impl Cluster {
    /// Makes a namespace whose name begins with `name`.
    pub async fn namespace(&self, name: &str) -> Result<Namespace<'_>> {
        let name = unique(name);
        let client = self.client().await?;
        let object: Object = serde_json::from_value(json!({"metadata": {"name": name, "labels": {
            "pod-security.kubernetes.io/enforce": "restricted",
            "pod-security.kubernetes.io/enforce-version": "latest",
            "paperclip-e2e": "test",
        }}}))?;
        Api::<Object>::all(client.clone())
            .create(&PostParams::default(), &object)
            .await
            .context("cannot create a namespace")?;
        let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> =
            Api::namespaced(client, &name);
        // Pods are refused until the controller manager has made this.
        wait_for(
            "the default service account",
            Duration::from_secs(60),
            async || Ok(accounts.get_opt("default").await?),
        )
        .await?;
        Ok(Namespace {
            name,
            cluster: self,
        })
    }
}

impl Namespace<'_> {
    /// Applies manifests in this namespace.
    pub async fn apply(&self, manifests: &str) -> Result<String> {
        self.cluster.apply_yaml(&self.name, manifests).await
    }

    /// Runs kubectl in this namespace; failure is an error.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let all: Vec<_> = ["--namespace", &self.name]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        self.cluster.kubectl(&all).await
    }

    /// What is there, for a failed test's output.
    async fn describe(&self) -> String {
        let mut text = String::new();
        for arguments in [
            &[
                "get",
                "all,persistentvolumeclaims,networkpolicies",
                "-o",
                "wide",
            ][..],
            &["get", "events", "--sort-by=.lastTimestamp"],
            &["get", "paperclip", "-o", "yaml"],
        ] {
            if let Ok(output) = self.kubectl(arguments).await {
                text.push_str(&output);
            }
        }
        text
    }
}

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        if std::env::var_os("PAPERCLIP_E2E_KEEP").is_some() {
            say(&format!("namespace {} is kept", self.name));
            return;
        }
        // Nothing of a failed test may stay, so this works without the test's own runtime, which may be gone.
        let (name, this) = (self.name.clone(), &*self);
        let work = || -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                if failed {
                    say(&format!(
                        "what was in namespace {name}:\n{}",
                        this.describe().await
                    ));
                }
                let client = cluster::client(&this.cluster.kubeconfig()).await?;
                tokio::time::timeout(Duration::from_secs(30), remove(client, &name))
                    .await
                    .context("no answer within 30 s")?
            })
        };
        let result = std::thread::scope(|scope| scope.spawn(work).join());
        if let Ok(Err(error)) = result {
            say(&format!("namespace {} stays: {error:#}", self.name));
        }
    }
}

/// Deletes the namespace. No operator runs for it any more, so finalizers that wait for one are taken off.
async fn remove(client: Client, name: &str) -> Result<()> {
    let namespaces = Api::<Object>::all(client.clone());
    match namespaces.delete(name, &DeleteParams::default()).await {
        Ok(_) => {}
        // The test itself has removed it.
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    let Ok(resources) = client.list_api_group_resources(GROUP_VERSION).await else {
        return Ok(()); // no definitions, so no objects
    };
    for resource in resources
        .resources
        .iter()
        .filter(|resource| resource.namespaced && !resource.name.contains('/'))
    {
        let kind = ApiResource {
            group: "paperclip.inc".to_owned(),
            version: "v1alpha1".to_owned(),
            api_version: GROUP_VERSION.to_owned(),
            kind: resource.kind.clone(),
            plural: resource.name.clone(),
        };
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), name, &kind);
        for object in api.list(&ListParams::default()).await?.items {
            if !object.finalizers().is_empty() {
                let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
                api.patch(&object.name_any(), &PatchParams::default(), &none)
                    .await?;
            }
        }
    }
    Ok(())
}
