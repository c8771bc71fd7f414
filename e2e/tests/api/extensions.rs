//! OAuth clients, branding, tailnet: what they become, on a real API server.

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use paperclip_e2e::harness::{Cluster, wait_for};
use serde_json::{Value, json};

use crate::given::{Given, SOON, condition, message};

impl Given<'_> {
    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace.name)
    }

    async fn secret(&self, name: &str, key: &str, value: &str) -> Result<()> {
        let secret = serde_json::from_value(
            json!({"metadata": {"name": name}, "stringData": {key: value}}),
        )?;
        self.secrets()
            .create(&PostParams::default(), &secret)
            .await?;
        Ok(())
    }

    /// Asks for a pass: nobody watches Secrets.
    async fn ask(&self, name: &str, word: &str) -> Result<()> {
        let annotation =
            json!({"metadata": {"annotations": {"paperclip.inc/reconcile-requested-at": word}}});
        self.instances()
            .patch(name, &PatchParams::default(), &Patch::Merge(annotation))
            .await?;
        wait_for("the pass that was asked for", SOON, async || {
            let object = self.instances().get(name).await?;
            Ok((object.data["status"]["lastHandledReconcileAt"] == word).then_some(()))
        })
        .await
    }

    async fn template(&self, name: &str) -> Result<Value> {
        let sets = self.objects("apps/v1", "StatefulSet", "statefulsets");
        Ok(sets.get(name).await?.data["spec"]["template"].clone())
    }
}

fn names(secret: &Secret) -> Vec<&str> {
    secret
        .data
        .iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect()
}

#[tokio::test]
async fn oauth_clients_reach_the_server_under_the_names_that_it_reads() -> Result<()> {
    const KEY: &str = "PAPERCLIP_OAUTH_CREDENTIALS";
    let cluster = Cluster::api().await?;
    let given = Given::here(cluster, "oauth").await?;
    let clients = r#"{"google-drive": {"clientId": "hunter2-id", "clientSecret": "hunter2-secret"}, "broken": {}}"#;
    given.secret("oauth", KEY, clients).await?;
    given
        .create(
            "shop",
            json!({"connections": {"credentialsSecretRef": {"name": "oauth"}}}),
        )
        .await?;
    given
        .until("shop", "Ready", "True/AllResourcesReady")
        .await?;
    let made = given.secrets().get("shop-connections").await?;
    assert_eq!(
        names(&made),
        [
            "PAPERCLIP_TOOL_OAUTH_GOOGLE_DRIVE_CLIENT_ID",
            "PAPERCLIP_TOOL_OAUTH_GOOGLE_DRIVE_CLIENT_SECRET"
        ]
    );
    let template = given.template("shop").await?;
    assert_eq!(
        template["spec"]["containers"][0]["envFrom"],
        json!([{"secretRef": {"name": "shop-connections"}}])
    );
    let object = given
        .until("shop", "ConfigAccepted", "False/Overridden")
        .await?;
    assert!(
        message(&object, "ConfigAccepted")
            .contains("provider \"broken\" is left out: it has no clientId")
    );
    let shown = format!(
        "{}{}",
        serde_json::to_string(&object)?,
        given.operator.log()
    );
    assert!(!shown.contains("hunter2"), "a value leaked");
    given.is_at_rest("shop").await?;

    // A change of the content is one new revision.
    let hash =
        |template: &Value| template["metadata"]["annotations"]["paperclip.inc/config-hash"].clone();
    let patch = json!({"stringData": {KEY: r#"{"slack": {"clientId": "s"}}"#}});
    given
        .secrets()
        .patch("oauth", &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    given.ask("shop", "one").await?;
    let made = given.secrets().get("shop-connections").await?;
    assert_eq!(names(&made), ["PAPERCLIP_TOOL_OAUTH_SLACK_CLIENT_ID"]);
    assert_ne!(hash(&template), hash(&given.template("shop").await?));

    // What cannot be read leaves the last good one.
    let patch = json!({"stringData": {KEY: "no json"}});
    given
        .secrets()
        .patch("oauth", &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    given.ask("shop", "two").await?;
    let object = given
        .until("shop", "ReferencesResolved", "False/InvalidValue")
        .await?;
    assert!(!serde_json::to_string(&object)?.contains("no json"));
    let made = given.secrets().get("shop-connections").await?;
    assert_eq!(names(&made), ["PAPERCLIP_TOOL_OAUTH_SLACK_CLIENT_ID"]);

    // Switched off: emptied, since nobody may delete Secrets, and no longer passed on.
    given.change("shop", json!({"connections": null})).await?;
    wait_for("the Secret to be emptied", SOON, async || {
        let made = given.secrets().get("shop-connections").await?;
        Ok(names(&made).is_empty().then_some(()))
    })
    .await?;
    given
        .until("shop", "ReferencesResolved", "True/NoReferences")
        .await?;
    wait_for("the variables to go", SOON, async || {
        let template = given.template("shop").await?;
        Ok(template["spec"]["containers"][0]["envFrom"]
            .is_null()
            .then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_tailnet_comes_with_its_container_and_goes_with_it() -> Result<()> {
    let cluster = Cluster::api().await?;
    let given = Given::here(cluster, "tailnet").await?;
    let maps = given.objects("v1", "ConfigMap", "configmaps");
    given
        .create(
            "shop",
            json!({"tailscale": {"enabled": true, "authKey": {"secretRef": {"name": "tail"}}}}),
        )
        .await?;
    given
        .until("shop", "ReferencesResolved", "False/SecretNotFound")
        .await?;
    given.secret("tail", "authkey", "tskey-hunter2").await?;
    let object = given
        .until("shop", "TailscaleReady", "True/TailscaleProvisioned")
        .await?;
    assert!(!serde_json::to_string(&object)?.contains("hunter2"));
    given
        .until("shop", "Ready", "True/AllResourcesReady")
        .await?;
    let map = maps.get("shop-tailscale").await?;
    let serve: Value = serde_json::from_str(
        map.data["data"]["tailscale-serve.json"]
            .as_str()
            .context("nothing is served")?,
    )?;
    assert_eq!(serve["TCP"]["443"]["HTTPS"], true);
    // Admitted where Pod Security is `restricted`.
    let pod = given.objects("v1", "Pod", "pods").get("shop-0").await?;
    assert_eq!(pod.data["spec"]["containers"][1]["name"], "tailscale");
    given.is_at_rest("shop").await?;

    given
        .change("shop", json!({"tailscale": {"enabled": false}}))
        .await?;
    given.until("shop", "TailscaleReady", "absent").await?;
    given.is_gone(&maps, "shop-tailscale").await?;
    given.event("shop", "TailscaleRemoved").await?;
    let template = given.template("shop").await?;
    assert_eq!(
        template["spec"]["containers"].as_array().map(Vec::len),
        Some(1)
    );
    Ok(())
}

#[tokio::test]
async fn branding_waits_for_its_config_map_and_is_mounted() -> Result<()> {
    let cluster = Cluster::api().await?;
    let given = Given::here(cluster, "branding").await?;
    given
        .create(
            "shop",
            json!({"branding": {"cssConfigMapRef": {"name": "style"}}}),
        )
        .await?;
    given
        .until("shop", "ReferencesResolved", "False/ConfigMapNotFound")
        .await?;
    given
        .namespace
        .apply(
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: style}, data: {theme.css: 'a {}'}}",
        )
        .await?;
    let object = given
        .until("shop", "Ready", "True/AllResourcesReady")
        .await?;
    assert_eq!(
        condition(&object, "ConfigAccepted"),
        "False/UnsupportedByVersion"
    );
    let mounts = given.template("shop").await?["spec"]["containers"][0]["volumeMounts"].clone();
    let mounts = mounts.as_array().cloned().unwrap_or_default();
    assert!(
        mounts
            .iter()
            .any(|m| m["mountPath"] == "/etc/paperclip/branding")
    );
    Ok(())
}
