//! The ways from outside to the server, on a real API server: made, changed, taken away, and never two for one name.

use std::time::Duration;

use anyhow::Result;
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use paperclip_e2e::cluster::Tier;
use paperclip_e2e::harness::{Cluster, published, wait_for};
use serde_json::{Value, json};

use crate::given::{Given, SOON, condition, message};

fn ingresses(given: &Given<'_>) -> Api<DynamicObject> {
    given.objects("networking.k8s.io/v1", "Ingress", "ingresses")
}

fn with_host(host: &str) -> Value {
    json!({"auth": {"disableSignUp": true},
        "networking": {"ingress": {"enabled": true, "ingressClassName": "nginx", "hosts": [host]}}})
}

#[tokio::test]
async fn an_ingress_comes_changes_and_goes_with_its_switch() -> Result<()> {
    let cluster = Cluster::api().await?;
    let given = Given::here(cluster, "ingress").await?;
    given.create("shop", with_host("shop.example.com")).await?;
    let object = given
        .until("shop", "IngressReady", "True/IngressProvisioned")
        .await?;
    assert_eq!(
        message(&object, "IngressReady"),
        "hosts: shop.example.com; address: none published yet"
    );
    let ingress = ingresses(&given).get("shop").await?;
    assert_eq!(ingress.data["spec"]["rules"][0]["host"], "shop.example.com");
    let pods = given.objects("v1", "Pod", "pods");
    let names = wait_for("the server's pod", SOON, async || {
        let pod = pods.get_opt("shop-0").await?;
        Ok(pod.map(|p| p.data["spec"]["containers"][0]["env"].clone()))
    })
    .await?;
    let hosts = names.as_array().and_then(|all| {
        let hosts = all
            .iter()
            .find(|e| e["name"] == "PAPERCLIP_ALLOWED_HOSTNAMES")?;
        hosts["value"].as_str().map(str::to_owned)
    });
    assert!(hosts.is_some_and(|h| h.split(',').any(|h| h == "shop.example.com")));

    given
        .until("shop", "Ready", "True/AllResourcesReady")
        .await?;
    given.is_at_rest("shop").await?;

    // Drift is repaired.
    let bent = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "spec": {"rules": [{"host": "evil.example.com"}]}});
    let by = PatchParams::apply("somebody").force();
    ingresses(&given)
        .patch("shop", &by, &Patch::Apply(bent))
        .await?;
    wait_for("the rule to be put back", SOON, async || {
        let ingress = ingresses(&given).get("shop").await?;
        Ok((ingress.data["spec"]["rules"][0]["host"] == "shop.example.com").then_some(()))
    })
    .await?;

    given
        .change(
            "shop",
            json!({"networking": {"ingress": {"enabled": false}}}),
        )
        .await?;
    let object = given.until("shop", "IngressReady", "absent").await?;
    given.is_gone(&ingresses(&given), "shop").await?;
    given.event("shop", "IngressRemoved").await?;
    let gone = wait_for("the name to leave the status", SOON, async || {
        let object = given.instances().get("shop").await?;
        Ok(object.data["status"]["managedResources"]["ingress"]
            .is_null()
            .then_some(()))
    });
    gone.await?;
    assert_eq!(
        condition(&object, "ConfigAccepted").split('/').next(),
        Some("True")
    );
    Ok(())
}

#[tokio::test]
async fn of_two_instances_with_one_host_the_older_has_it() -> Result<()> {
    let cluster = Cluster::api().await?;
    let given = Given::here(cluster, "hosts").await?;
    given.create("old", with_host("one.example.com")).await?;
    given
        .until("old", "IngressReady", "True/IngressProvisioned")
        .await?;
    // Ages are whole seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    given.create("young", with_host("one.example.com")).await?;
    let object = given
        .until("young", "IngressReady", "False/HostConflict")
        .await?;
    assert_eq!(condition(&object, "ConfigAccepted"), "False/Conflict");
    let expected = format!(
        "host one.example.com belongs to Instance \"old\" in {}",
        given.namespace.name
    );
    assert_eq!(message(&object, "IngressReady"), expected);
    assert!(ingresses(&given).get_opt("young").await?.is_none());
    // The rest of it runs.
    given
        .until("young", "ServiceReady", "True/ServiceReady")
        .await?;
    given
        .until("old", "IngressReady", "True/IngressProvisioned")
        .await?;

    given.change("old", with_host("two.example.com")).await?;
    given
        .until("young", "IngressReady", "True/IngressProvisioned")
        .await?;
    given.exists(&ingresses(&given), "young").await?;
    Ok(())
}

#[tokio::test]
async fn a_class_that_comes_later_heals_by_itself_and_routes_wait_for_an_admin() -> Result<()> {
    let cluster = Cluster::start(Tier::Api).await?;
    let given = Given::everywhere(&cluster, "class").await?;
    given.create("shop", with_host("shop.example.com")).await?;
    let object = given
        .until("shop", "IngressReady", "False/IngressClassNotFound")
        .await?;
    assert!(message(&object, "IngressReady").contains("IngressClass \"nginx\" not found"));
    given
        .namespace
        .apply("{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: nginx}, spec: {controller: example.com/none}}")
        .await?;
    given
        .until("shop", "IngressReady", "True/IngressProvisioned")
        .await?;

    let mut spec = with_host("closed.example.com");
    spec["auth"]["adminUser"] = json!({"email": "a@example.com"});
    given.create("closed", spec).await?;
    given
        .until("closed", "IngressReady", "False/WaitingForBootstrap")
        .await?;
    // As soon as there is one, it is opened.
    given
        .until("closed", "IngressReady", "True/IngressProvisioned")
        .await?;
    given
        .until("closed", "Bootstrapped", "True/AdminExists")
        .await?;
    given.exists(&ingresses(&given), "closed").await?;
    Ok(())
}

fn http_routes(given: &Given<'_>) -> Api<DynamicObject> {
    given.objects("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes")
}

/// Plays the Gateway: accepts the route, or not.
async fn answer(given: &Given<'_>, accepted: bool) -> Result<()> {
    let generation = http_routes(given).get("shop").await?.metadata.generation;
    let (status, reason) = if accepted {
        ("True", "Accepted")
    } else {
        ("False", "NotAllowedByListeners")
    };
    let condition = |kind: &str, status: &str, reason: &str| {
        json!({"type": kind, "status": status, "reason": reason, "message": "", "observedGeneration": generation,
            "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    let parents = json!([{"parentRef": {"name": "public"}, "controllerName": "example.com/gateway",
        "conditions": [condition("Accepted", status, reason), condition("ResolvedRefs", "True", "ResolvedRefs")]}]);
    let patch = Patch::Merge(json!({"status": {"parents": parents}}));
    http_routes(given)
        .patch_status("shop", &PatchParams::default(), &patch)
        .await?;
    Ok(())
}

#[tokio::test]
async fn an_http_route_is_made_when_its_kind_comes_and_the_kind_may_go_again() -> Result<()> {
    let cluster = Cluster::start(Tier::Api).await?;
    let given = Given::everywhere(&cluster, "gateway").await?;
    let definition = published(
        "sigs.k8s.io/gateway-api",
        "v1.3.0",
        "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
    )
    .await?;
    given
        .create(
            "shop",
            json!({"auth": {"disableSignUp": true}, "networking": {"httpRoute": {"enabled": true,
                "parentRefs": [{"name": "public"}], "hostnames": ["shop.example.com"]}}}),
        )
        .await?;
    let object = given
        .until("shop", "HTTPRouteReady", "False/CRDMissing")
        .await?;
    assert_eq!(
        condition(&object, "Stalled").split('/').next(),
        Some("True")
    );
    // Nothing else waits for it.
    given
        .until("shop", "StatefulSetReady", "True/StatefulSetReady")
        .await?;

    given
        .cluster
        .kubectl_with(&["create", "-f", "-"], &definition)
        .await?;
    given
        .until("shop", "HTTPRouteReady", "False/ParentPending")
        .await?;
    let route = http_routes(&given).get("shop").await?;
    assert_eq!(route.data["spec"]["hostnames"], json!(["shop.example.com"]));
    answer(&given, false).await?;
    let object = given
        .until("shop", "HTTPRouteReady", "False/NotAccepted")
        .await?;
    let expected = format!(
        "Gateway \"{}/public\": NotAllowedByListeners",
        given.namespace.name
    );
    assert_eq!(message(&object, "HTTPRouteReady"), expected);
    answer(&given, true).await?;
    given
        .until("shop", "HTTPRouteReady", "True/HTTPRouteProvisioned")
        .await?;
    given
        .until("shop", "Ready", "True/AllResourcesReady")
        .await?;
    given.is_at_rest("shop").await?;

    // The kind goes, and comes again.
    let name = "crd/httproutes.gateway.networking.k8s.io";
    given.cluster.kubectl(&["delete", name]).await?;
    given
        .until("shop", "HTTPRouteReady", "False/CRDMissing")
        .await?;
    given
        .cluster
        .kubectl_with(&["create", "-f", "-"], &definition)
        .await?;
    given
        .until("shop", "HTTPRouteReady", "False/ParentPending")
        .await?;
    answer(&given, true).await?;
    given
        .until("shop", "HTTPRouteReady", "True/HTTPRouteProvisioned")
        .await?;

    given
        .change(
            "shop",
            json!({"networking": {"httpRoute": {"enabled": false}}}),
        )
        .await?;
    given.until("shop", "HTTPRouteReady", "absent").await?;
    given.is_gone(&http_routes(&given), "shop").await?;
    given.event("shop", "HTTPRouteRemoved").await?;
    Ok(())
}

#[tokio::test]
async fn a_budget_comes_and_goes_and_warns_if_it_blocks_drains() -> Result<()> {
    let cluster = Cluster::api().await?;
    let given = Given::here(cluster, "budget").await?;
    let budgets = given.objects("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets");
    let budget =
        json!({"availability": {"podDisruptionBudget": {"enabled": true, "minAvailable": "50%"}}});
    given.create("shop", budget).await?;
    let object = given
        .until("shop", "PDBReady", "True/PDBProvisioned")
        .await?;
    assert_eq!(
        message(&object, "PDBReady"),
        "PDB \"shop\": minAvailable 50% of 1 pod blocks every node drain"
    );
    given.event("shop", "PDBMayBlockDrains").await?;
    given
        .until("shop", "Ready", "True/AllResourcesReady")
        .await?;
    given.is_at_rest("shop").await?;
    let spec = budgets.get("shop").await?.data["spec"].clone();
    assert_eq!(spec["minAvailable"], "50%");
    assert_eq!(spec["unhealthyPodEvictionPolicy"], "AlwaysAllow");

    // From one bound to the other.
    let other = json!({"availability": {"podDisruptionBudget": {"minAvailable": null, "maxUnavailable": 1}}});
    given.change("shop", other).await?;
    wait_for("the other bound", SOON, async || {
        let spec = budgets.get("shop").await?.data["spec"].clone();
        Ok((spec["maxUnavailable"] == 1 && spec["minAvailable"].is_null()).then_some(()))
    })
    .await?;
    given
        .change(
            "shop",
            json!({"availability": {"podDisruptionBudget": null}}),
        )
        .await?;
    given.until("shop", "PDBReady", "absent").await?;
    given.is_gone(&budgets, "shop").await?;
    Ok(())
}
