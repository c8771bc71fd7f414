//! What the API server refuses, in which words, and what it takes. The rules are those of the installed definitions, so these tests
//! need no operator.

use anyhow::{Context as _, Result, bail, ensure};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use paperclip_e2e::harness::{Cluster, workspace};
use serde_json::{Value, json};

mod inputs;
mod kubectl;
mod update;

const KINDS: [(&str, &str); 7] = [
    ("Instance", "instances"),
    ("PaperclipDatabase", "paperclipdatabases"),
    ("PaperclipBackup", "paperclipbackups"),
    ("PaperclipRestore", "papercliprestores"),
    ("PaperclipSandboxPool", "paperclipsandboxpools"),
    ("PaperclipImageWatch", "paperclipimagewatches"),
    ("PaperclipClusterDefaults", "paperclipclusterdefaults"),
];

fn resource(kind: &str) -> ApiResource {
    let plural = KINDS
        .iter()
        .find(|(name, _)| *name == kind)
        .map_or("", |(_, plural)| plural);
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("paperclip.inc", "v1alpha1", kind),
        plural,
    )
}

fn objects(client: &Client, namespace: &str, kind: &str) -> Api<DynamicObject> {
    if kind == "PaperclipClusterDefaults" {
        Api::all_with(client.clone(), &resource(kind))
    } else {
        Api::namespaced_with(client.clone(), namespace, &resource(kind))
    }
}

fn object(kind: &str, name: &str, spec: &Value) -> DynamicObject {
    DynamicObject::new(name, &resource(kind)).data(json!({ "spec": spec }))
}

fn dry_run() -> PostParams {
    PostParams {
        dry_run: true,
        ..PostParams::default()
    }
}

/// The refusal says this about this field; for a rule the text is its whole message.
fn says(answer: kube::Result<DynamicObject>, field: &str, text: &str) -> Result<()> {
    let status = match answer {
        Ok(object) => bail!("accepted: {}", object.data),
        Err(kube::Error::Api(status)) => status,
        Err(other) => return Err(other).context("no answer"),
    };
    let causes = status
        .details
        .as_ref()
        .map(|details| details.causes.clone())
        .unwrap_or_default();
    let told = causes.iter().any(|cause| {
        let fits = match text.strip_prefix('~') {
            Some(part) => cause.message.contains(part),
            // The value may stand before the text of a rule.
            None => cause.message == text || cause.message.ends_with(&format!(": {text}")),
        };
        cause.field == field && fits
    });
    ensure!(told, "wanted {field}: {text}\n  got {:#?}", status.message);
    Ok(())
}

#[tokio::test]
async fn wrong_manifests_are_refused_and_say_why() -> Result<()> {
    let cluster = Cluster::api().await?;
    cluster.install_definitions().await?;
    let namespace = cluster.namespace("refused").await?;
    let client = cluster.client().await?;
    let mut wrong = Vec::new();
    for case in inputs::refused()? {
        let api = objects(&client, &namespace.name, &case.kind);
        let answer = api
            .create(&dry_run(), &object(&case.kind, "wrong", &case.spec))
            .await;
        if let Err(error) = says(answer, &case.field, &case.says) {
            wrong.push(format!("{} {}: {error:#}", case.kind, case.spec));
        }
    }
    ensure!(
        wrong.is_empty(),
        "{} of the cases:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_changed_is_refused_and_the_rest_is_not() -> Result<()> {
    let cluster = Cluster::api().await?;
    cluster.install_definitions().await?;
    let namespace = cluster.namespace("changes").await?;
    let client = cluster.client().await?;
    let mut wrong = Vec::new();
    for (number, change) in inputs::changes()?.into_iter().enumerate() {
        let api = objects(&client, &namespace.name, &change.kind);
        let name = format!("change-{number}");
        api.create(
            &PostParams::default(),
            &object(&change.kind, &name, &change.before),
        )
        .await
        .with_context(|| format!("{} is refused", change.before))?;
        if let Some(status) = &change.status {
            let patch = Patch::Merge(json!({ "status": status }));
            api.patch_status(&name, &PatchParams::default(), &patch)
                .await?;
        }
        let patch = Patch::Merge(json!({ "spec": change.refused }));
        let answer = api.patch(&name, &PatchParams::default(), &patch).await;
        if let Err(error) = says(answer, &change.field, &change.says) {
            wrong.push(format!(
                "{} -> {}: {error:#}",
                change.before, change.refused
            ));
        }
        let patch = Patch::Merge(json!({ "spec": change.accepted }));
        if let Err(error) = api.patch(&name, &PatchParams::default(), &patch).await {
            wrong.push(format!(
                "{} -> {}: {error:#}",
                change.before, change.accepted
            ));
        }
    }
    ensure!(
        wrong.is_empty(),
        "{} of the changes:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    Ok(())
}

/// Paths of what stands in `before` and not in `after`.
fn lost(before: &Value, after: &Value, path: &str, out: &mut Vec<String>) {
    match before {
        Value::Object(map) => {
            for (key, value) in map {
                lost(value, &after[key], &format!("{path}.{key}"), out);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                lost(value, &after[index], &format!("{path}[{index}]"), out);
            }
        }
        leaf if leaf != after => out.push(path.to_owned()),
        _ => {}
    }
}

#[tokio::test]
async fn documented_manifests_are_taken_as_they_are() -> Result<()> {
    let cluster = Cluster::api().await?;
    cluster.install_definitions().await?;
    let namespace = cluster.namespace("documented").await?;
    let mut seen = 0;
    for folder in ["deploy/samples", "tests/fixtures"] {
        for entry in std::fs::read_dir(workspace().join(folder))? {
            let file = entry?.path();
            // kubectl says what it sends, and what the API server would store; nothing may lie between them.
            let file = file.to_string_lossy();
            let sent = cluster
                .kubectl(&["create", "--dry-run=client", "-o", "json", "-f", &file])
                .await?;
            let namespaced = [
                "create",
                "--dry-run=server",
                "-o",
                "json",
                "--namespace",
                &namespace.name,
            ];
            let text = std::fs::read_to_string(&*file)?;
            // Objects that were recorded elsewhere name their own namespace.
            let text: Vec<&str> = text
                .lines()
                .filter(|line| !line.starts_with("  namespace: "))
                .collect();
            let arguments = [&namespaced[..], &["--validate=ignore", "-f", "-"]].concat();
            let output = cluster
                .kubectl_output(&arguments, Some(&text.join("\n")))
                .await?;
            ensure!(
                output.status.success(),
                "{file}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            let (sent, stored): (Value, Value) = (
                serde_json::from_str(&sent)?,
                serde_json::from_slice(&output.stdout)?,
            );
            let mut missing = Vec::new();
            lost(&sent["spec"], &stored["spec"], "", &mut missing);
            // The earlier operator had these two; nothing reads them.
            missing.retain(|path| !path.starts_with(".adapters.managedInference"));
            ensure!(missing.is_empty(), "{file}: {missing:?} are not stored");
            seen += 1;
        }
    }
    ensure!(seen >= 12, "only {seen} manifests");
    Ok(())
}

#[tokio::test]
async fn an_empty_spec_gets_one_replica_and_nothing_else() -> Result<()> {
    let cluster = Cluster::api().await?;
    cluster.install_definitions().await?;
    let namespace = cluster.namespace("empty").await?;
    let api = objects(&cluster.client().await?, &namespace.name, "Instance");
    let stored = api
        .create(&dry_run(), &object("Instance", "empty", &json!({})))
        .await?;
    ensure!(
        stored.data["spec"] == json!({"availability": {"replicas": 1}}),
        "{}",
        stored.data
    );
    Ok(())
}

#[tokio::test]
async fn empty_and_null_count_as_absent() -> Result<()> {
    let cluster = Cluster::api().await?;
    cluster.install_definitions().await?;
    let namespace = cluster.namespace("nothing").await?;
    let api = objects(&cluster.client().await?, &namespace.name, "Instance");
    let empty = json!({
        "image": {"repository": "", "tag": "", "digest": "", "pullSecrets": []},
        "deployment": {"publicURL": "", "allowedHostnames": []},
        "database": {"externalURL": "", "managed": {"storageSize": "", "storageClass": "", "resources": {}}},
        "storage": {"persistence": {"size": "", "storageClass": "", "accessModes": []}},
        "backup": {"schedule": "", "jitter": "", "include": []},
        "networking": {"ingress": {"hosts": [], "tls": []}, "trustedProxies": []},
        "availability": {"podDisruptionBudget": {"minAvailable": "", "maxUnavailable": 1}},
        "restoreFrom": "", "env": [], "sidecars": [], "podAnnotations": {},
    });
    api.create(&dry_run(), &object("Instance", "empty", &empty))
        .await
        .context("empty")?;
    let null = json!({
        "image": null, "deployment": {"publicURL": null, "allowedHostnames": null},
        "database": {"managed": {"storageSize": null, "resources": {"limits": null}}},
        "storage": {"persistence": {"size": null, "accessModes": null}},
        "backup": {"s3": null, "include": null, "encryption": null},
        "tailscale": {"enabled": null, "authKey": null}, "env": null, "sidecars": null, "suspended": null,
    });
    api.create(&dry_run(), &object("Instance", "null", &null))
        .await
        .context("null")?;
    // They satisfy no rule that asks for a value.
    for nothing in [json!(""), json!(null)] {
        let spec = json!({"deployment": {"exposure": "public", "publicURL": nothing}});
        let answer = api
            .create(&dry_run(), &object("Instance", "null", &spec))
            .await;
        says(
            answer,
            "spec.deployment",
            "deployment.publicURL is required when deployment.exposure is public",
        )?;
    }
    Ok(())
}

/// All rules below this schema: their messages, or the text before the first value in a computed one.
fn rules(schema: &Value, out: &mut Vec<String>) {
    match schema {
        Value::Object(map) => {
            for rule in map
                .get("x-kubernetes-validations")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                let computed = rule["messageExpression"]
                    .as_str()
                    .and_then(|text| text.split('\'').nth(1));
                out.extend(rule["message"].as_str().or(computed).map(str::to_owned));
            }
            map.values().for_each(|value| rules(value, out));
        }
        Value::Array(list) => list.iter().for_each(|value| rules(value, out)),
        _ => {}
    }
}

#[test]
fn every_rule_is_tried() -> Result<()> {
    let tried: Vec<String> = inputs::refused()?
        .into_iter()
        .map(|case| case.says)
        .chain(inputs::changes()?.into_iter().map(|change| change.says))
        .collect();
    let mut found = Vec::new();
    for (_, plural) in KINDS {
        let file = workspace().join(format!("deploy/crds/{plural}.yaml"));
        rules(
            &serde_saphyr::from_str(&std::fs::read_to_string(file)?)?,
            &mut found,
        );
    }
    ensure!(found.len() > 40, "only {} rules", found.len());
    found.retain(|message| !tried.iter().any(|says| says.starts_with(message.as_str())));
    ensure!(found.is_empty(), "nothing tries {found:?}");
    Ok(())
}
