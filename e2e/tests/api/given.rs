//! What tests of Instances begin with: a namespace, an operator, and a few questions. Nothing here judges.

use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::events::v1::Event;
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use paperclip_e2e::harness::{Cluster, Namespace, Operator, OperatorOptions, until, wait_for};
use serde_json::{Value, json};

/// Long enough for everything that comes by itself.
pub const SOON: Duration = Duration::from_secs(60);

/// A namespace and an operator.
pub struct Given<'a> {
    pub cluster: &'a Cluster,
    pub client: Client,
    pub namespace: Namespace<'a>,
    pub operator: Operator<'a>,
}

impl<'a> Given<'a> {
    /// The operator works in this namespace only.
    pub async fn here(cluster: &'a Cluster, name: &str) -> Result<Self> {
        Self::start(cluster, name, true, &[]).await
    }

    /// The operator works in all namespaces: only for a cluster that no other test uses.
    pub async fn everywhere(cluster: &'a Cluster, name: &str) -> Result<Self> {
        Self::start(cluster, name, false, &[]).await
    }

    /// The same, with further arguments of the operator.
    pub async fn everywhere_with(
        cluster: &'a Cluster,
        name: &str,
        arguments: &[&str],
    ) -> Result<Self> {
        Self::start(cluster, name, false, arguments).await
    }

    async fn start(
        cluster: &'a Cluster,
        name: &str,
        here: bool,
        arguments: &[&str],
    ) -> Result<Self> {
        let namespace = cluster.namespace(name).await?;
        let mut options = OperatorOptions::for_namespace(&namespace.name);
        options.arguments = arguments.iter().map(ToString::to_string).collect();
        if !here {
            options.namespaces.clear();
        }
        Ok(Self {
            cluster,
            client: cluster.client().await?,
            operator: cluster.operator(options).await?,
            namespace,
        })
    }

    /// Objects of this kind in the namespace.
    pub fn objects(&self, api_version: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let resource = ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        };
        Api::namespaced_with(self.client.clone(), &self.namespace.name, &resource)
    }

    pub fn instances(&self) -> Api<DynamicObject> {
        self.objects("paperclip.inc/v1alpha1", "Instance", "instances")
    }

    /// Creates an Instance.
    pub async fn create(&self, name: &str, spec: Value) -> Result<()> {
        let object = json!({"apiVersion": "paperclip.inc/v1alpha1", "kind": "Instance",
            "metadata": {"name": name}, "spec": spec});
        let object = serde_json::from_value(object)?;
        self.instances()
            .create(&PostParams::default(), &object)
            .await?;
        Ok(())
    }

    /// Changes a part of its spec; null takes a field out.
    pub async fn change(&self, name: &str, spec: Value) -> Result<()> {
        self.instances()
            .patch(
                name,
                &PatchParams::default(),
                &Patch::Merge(json!({"spec": spec})),
            )
            .await?;
        Ok(())
    }

    /// Waits until the condition is `Status/Reason`, or `absent`, for the present spec.
    pub async fn until(&self, name: &str, kind: &str, expected: &str) -> Result<DynamicObject> {
        let what = format!("has {kind}={expected}");
        until(&self.instances(), name, &what, SOON, |object| {
            condition(object, kind) == expected
                && object.data["status"]["observedGeneration"].as_i64()
                    == object.metadata.generation
        })
        .await
    }

    /// Makes the operator look at a settled Instance, and demands that it writes nothing.
    pub async fn is_at_rest(&self, name: &str) -> Result<()> {
        // Details of the status lag half a second behind, and events come after it.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let mark = self.cluster.audit_mark()?;
        for number in 0..3 {
            let touch = json!({"metadata": {"labels": {"touched": number.to_string()}}});
            self.instances()
                .patch(name, &PatchParams::default(), &Patch::Merge(touch))
                .await?;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let user = self.operator.username();
        let writes: Vec<String> = self
            .cluster
            .audit_since(mark)?
            .into_iter()
            .filter(|e| e.username() == user && e.is_write() && e.object_ref.resource != "leases")
            .filter(|e| e.object_ref.namespace == self.namespace.name)
            .map(|e| format!("{} {} {}", e.verb, e.object_ref.resource, e.object_ref.name))
            .collect();
        ensure!(writes.is_empty(), "at rest it writes: {writes:?}");
        Ok(())
    }

    /// Waits until the object exists.
    pub async fn exists(&self, api: &Api<DynamicObject>, name: &str) -> Result<DynamicObject> {
        wait_for(&format!("{name} to exist"), SOON, async || {
            Ok(api.get_opt(name).await?)
        })
        .await
    }

    /// Waits until the object is gone.
    pub async fn is_gone(&self, api: &Api<DynamicObject>, name: &str) -> Result<()> {
        wait_for(&format!("{name} to be gone"), SOON, async || {
            Ok(api.get_opt(name).await?.is_none().then_some(()))
        })
        .await
    }

    /// Waits for an event about this Instance; gives its note.
    pub async fn event(&self, name: &str, reason: &str) -> Result<String> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace.name);
        wait_for(&format!("the event {reason}"), SOON, async || {
            let events = api.list(&ListParams::default()).await?;
            let found = events.items.into_iter().find(|e| {
                e.reason.as_deref() == Some(reason)
                    && e.regarding.as_ref().and_then(|r| r.name.as_deref()) == Some(name)
            });
            Ok(found.map(|e| e.note.unwrap_or_default()))
        })
        .await
    }
}

/// `Status/Reason` of a condition.
pub fn condition(object: &DynamicObject, kind: &str) -> String {
    found(object, kind).map_or_else(
        || "absent".to_owned(),
        |c| {
            let word = |key: &str| c[key].as_str().unwrap_or_default().to_owned();
            format!("{}/{}", word("status"), word("reason"))
        },
    )
}

/// Its message.
pub fn message(object: &DynamicObject, kind: &str) -> String {
    let text = found(object, kind).and_then(|c| c["message"].as_str());
    text.unwrap_or_default().to_owned()
}

fn found<'o>(object: &'o DynamicObject, kind: &str) -> Option<&'o Value> {
    let conditions = object.data["status"]["conditions"].as_array();
    conditions.into_iter().flatten().find(|c| c["type"] == kind)
}
