//! Gives an operator that runs as a child process exactly the rights that an installation gives it: the roles of
//! `deploy/rbac.yaml`, bound to a service account of its own, whose token is the only credential it gets.

use anyhow::{Context as _, Result};
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{Cluster, workspace};

/// Name of the account, in the operator's namespace.
pub const ACCOUNT: &str = "paperclip-operator";

/// Makes the account in `home` with the installation's rights in the namespaces, or in all if there are none, and gives a
/// kubeconfig that is valid inside the cluster.
pub async fn grant(cluster: &Cluster, home: &str, namespaces: &[String]) -> Result<String> {
    let client = cluster.client().await?;
    put(&client, json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": home}})).await?;
    for object in installed(cluster).await? {
        for wanted in translate(&object, home, namespaces) {
            put(&client, wanted).await?;
        }
    }
    kubeconfig(cluster, &client, home).await
}

/// The objects of `deploy/rbac.yaml`.
async fn installed(cluster: &Cluster) -> Result<Vec<Value>> {
    let file = workspace().join("deploy/rbac.yaml");
    let text = cluster
        .kubectl(&[
            "create",
            "--dry-run=client",
            "--validate=false",
            "-o",
            "json",
            "-f",
            &file.to_string_lossy(),
        ])
        .await?;
    // One object, or a list, or several documents one after the other, depending on their number.
    let documents = serde_json::Deserializer::from_str(&text)
        .into_iter::<Value>()
        .collect::<Result<Vec<_>, _>>()?;
    let lists = documents
        .into_iter()
        .flat_map(|document| match document["items"].as_array() {
            Some(items) => items.clone(),
            None => vec![document],
        });
    Ok(lists.collect())
}

/// What of an installation's object this operator gets: roles as they are, bindings for its own account. An operator for some
/// namespaces has the cluster-wide role bound in these only.
fn translate(object: &Value, home: &str, namespaces: &[String]) -> Vec<Value> {
    let subjects = json!([{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": home}]);
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let api_version = "rbac.authorization.k8s.io/v1";
    let role_binding = |namespace: &str| {
        json!({
            "apiVersion": api_version, "kind": "RoleBinding", "metadata": {"name": name, "namespace": namespace},
            "roleRef": object["roleRef"], "subjects": subjects,
        })
    };
    let foreign_namespace = |own: &str| {
        object["metadata"]["namespace"]
            .as_str()
            .filter(|namespace| *namespace == "default")
            .unwrap_or(own)
            .to_owned()
    };
    match object["kind"].as_str().unwrap_or_default() {
        "ClusterRole" => vec![json!({
            "apiVersion": api_version, "kind": "ClusterRole", "metadata": {"name": name}, "rules": object["rules"],
        })],
        "ClusterRoleBinding" if namespaces.is_empty() => vec![json!({
            "apiVersion": api_version, "kind": "ClusterRoleBinding", "metadata": {"name": format!("{name}-{home}")},
            "roleRef": object["roleRef"], "subjects": subjects,
        })],
        "ClusterRoleBinding" => namespaces
            .iter()
            .map(|namespace| role_binding(namespace))
            .collect(),
        "Role" => vec![json!({
            "apiVersion": api_version, "kind": "Role", "metadata": {"name": name, "namespace": foreign_namespace(home)}, "rules": object["rules"],
        })],
        "RoleBinding" => vec![role_binding(&foreign_namespace(home))],
        _ => Vec::new(),
    }
}

async fn put(client: &Client, object: Value) -> Result<()> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (api_version, kind, name) = (
        text(&object["apiVersion"]),
        text(&object["kind"]),
        text(&object["metadata"]["name"]),
    );
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", &api_version));
    let resource = ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api_version.clone(),
        plural: format!("{}s", kind.to_lowercase()),
        kind: kind.clone(),
    };
    let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let params = PatchParams::apply("paperclip-e2e").force();
    api.patch(&name, &params, &Patch::Apply(&object))
        .await
        .with_context(|| format!("cannot apply {kind} {name}"))?;
    Ok(())
}

async fn kubeconfig(cluster: &Cluster, client: &Client, home: &str) -> Result<String> {
    use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
    let spec = TokenRequestSpec {
        expiration_seconds: Some(24 * 3600),
        ..TokenRequestSpec::default()
    };
    let request = TokenRequest {
        spec: Some(spec),
        ..TokenRequest::default()
    };
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> =
        Api::namespaced(client.clone(), home);
    let answer = accounts
        .create_token_request(ACCOUNT, &PostParams::default(), &request)
        .await?;
    let token = answer.status.context("no token in the answer")?.token;
    let authority = k8s_openapi::ByteString(std::fs::read(cluster.layout.pki().join("ca.crt"))?);
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "operator",
        "clusters": [{"name": "local", "cluster": {"server": "https://127.0.0.1:6443", "certificate-authority-data": authority}}],
        "users": [{"name": ACCOUNT, "user": {"token": token}}],
        "contexts": [{"name": "operator", "context": {"cluster": "local", "user": ACCOUNT, "namespace": home}}],
    });
    Ok(serde_json::to_string(&config)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding() -> Value {
        json!({"kind": "ClusterRoleBinding", "metadata": {"name": "paperclip-operator"}, "roleRef": {"kind": "ClusterRole", "name": "paperclip-operator"}})
    }

    #[test]
    fn an_operator_for_some_namespaces_gets_no_rights_elsewhere() {
        let made = translate(&binding(), "home", &["a".to_owned(), "b".to_owned()]);
        let places: Vec<_> = made
            .iter()
            .map(|object| {
                (
                    object["kind"].as_str(),
                    object["metadata"]["namespace"].as_str(),
                )
            })
            .collect();
        assert_eq!(
            places,
            [
                (Some("RoleBinding"), Some("a")),
                (Some("RoleBinding"), Some("b"))
            ]
        );
    }

    #[test]
    fn two_operators_for_all_namespaces_do_not_share_a_binding() {
        let names: Vec<_> = ["one", "two"]
            .iter()
            .map(|home| translate(&binding(), home, &[])[0]["metadata"]["name"].clone())
            .collect();
        assert_ne!(names[0], names[1]);
    }
}
