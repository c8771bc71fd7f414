//! The definitions: complete, small enough, and the same as the files that are installed.
//!
//! After a change of the types run `UPDATE_GENERATED=1 cargo test --test crds --test reference`, then
//! `UPDATE_GENERATED=1 cargo test -p paperclip-e2e --test manifests deploy_holds` for the charts' copies, and commit what
//! they wrote.

#![allow(clippy::unwrap_used)] // a test fails by panicking

mod generated;
mod schema_walk;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use paperclip_operator::crd::{self, Instance, manifest};
use schema_walk::{Node, every_node, sample};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::Path, sync::LazyLock};

/// kubectl keeps the whole definition in an annotation, which may hold 262,144 bytes.
const LARGEST: usize = 180_000;

/// Making them takes a second or two.
static DEFINITIONS: LazyLock<Vec<CustomResourceDefinition>> = LazyLock::new(crd::all);

fn definitions() -> BTreeMap<String, Value> {
    let json = |definition| serde_json::to_value(definition).unwrap();
    DEFINITIONS
        .iter()
        .map(|definition| (definition.spec.names.kind.clone(), json(definition)))
        .collect()
}

fn schema(definition: &Value) -> &Value {
    &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

/// Decodes an object of this kind into our type and encodes it again.
fn through_our_type(kind: &str, object: &Value) -> Result<Value, String> {
    fn pass<T: serde::de::DeserializeOwned + serde::Serialize>(
        object: &Value,
    ) -> Result<Value, String> {
        let typed: T = serde_json::from_value(object.clone()).map_err(|error| error.to_string())?;
        serde_json::to_value(typed).map_err(|error| error.to_string())
    }
    match kind {
        "Instance" => pass::<Instance>(object),
        "PaperclipDatabase" => pass::<crd::PaperclipDatabase>(object),
        "PaperclipBackup" => pass::<crd::PaperclipBackup>(object),
        "PaperclipRestore" => pass::<crd::PaperclipRestore>(object),
        "PaperclipSandboxPool" => pass::<crd::PaperclipSandboxPool>(object),
        "PaperclipImageWatch" => pass::<crd::PaperclipImageWatch>(object),
        "PaperclipClusterDefaults" => pass::<crd::PaperclipClusterDefaults>(object),
        other => Err(format!("unknown kind {other}")),
    }
}

/// An object of this kind with every field that its schema has.
fn full_object(kind: &str, definition: &Value) -> Value {
    let properties = &schema(definition)["properties"];
    json!({
        "apiVersion": "paperclip.inc/v1alpha1",
        "kind": kind,
        "metadata": {"name": "full"},
        "spec": sample(&properties["spec"]),
        "status": sample(&properties["status"]),
    })
}

/// An object of this kind with this value, and besides only what is required.
fn object_with(kind: &str, definition: &Value, path: &str, value: &Value) -> Value {
    let mut object = schema_walk::only(schema(definition), path, value);
    object["apiVersion"] = json!("paperclip.inc/v1alpha1");
    object["kind"] = json!(kind);
    object["metadata"] = json!({"name": "one-field"});
    object
}

#[test]
fn crds_are_up_to_date() {
    let mut wanted = Vec::new();
    for definition in DEFINITIONS.iter() {
        let name = format!("{}.yaml", definition.spec.names.plural);
        let yaml = manifest::yaml(definition).unwrap();
        let text = format!("# Generated from src/crd; see tests/crds.rs.\n{yaml}");
        generated::same_as_file(&format!("deploy/crds/{name}"), &text);
        wanted.push(name);
    }
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/crds")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            wanted.contains(&name),
            "deploy/crds/{name} belongs to no kind"
        );
    }
}

#[test]
fn the_stream_is_plain_yaml_with_one_document_per_kind() {
    let stream = manifest::stream(&DEFINITIONS).unwrap();
    assert_eq!(
        stream.matches("\n---\n").count() + usize::from(stream.starts_with("---\n")),
        7
    );
    assert!(
        !stream.contains("status:\n  accepted"),
        "status is the server's"
    );
    for tag in ["!!", "&a", "*a"] {
        assert!(
            !stream
                .lines()
                .any(|line| line.trim_start().starts_with(tag)),
            "{tag} is not plain"
        );
    }
}

#[test]
fn each_definition_fits_into_an_annotation() {
    for (kind, definition) in definitions() {
        let size = definition.to_string().len();
        assert!(size < LARGEST, "{kind}: {size} bytes");
    }
}

#[test]
fn names_are_pinned() {
    let pinned = [
        ("Instance", "instances", "pci", "Namespaced"),
        (
            "PaperclipDatabase",
            "paperclipdatabases",
            "pcdb",
            "Namespaced",
        ),
        ("PaperclipBackup", "paperclipbackups", "pcb", "Namespaced"),
        ("PaperclipRestore", "papercliprestores", "pcr", "Namespaced"),
        (
            "PaperclipSandboxPool",
            "paperclipsandboxpools",
            "pcsp",
            "Namespaced",
        ),
        (
            "PaperclipImageWatch",
            "paperclipimagewatches",
            "pciw",
            "Namespaced",
        ),
        (
            "PaperclipClusterDefaults",
            "paperclipclusterdefaults",
            "pccd",
            "Cluster",
        ),
    ];
    let definitions = definitions();
    assert_eq!(definitions.len(), pinned.len());
    for (kind, plural, short, scope) in pinned {
        let spec = &definitions[kind]["spec"];
        assert_eq!(
            definitions[kind]["metadata"]["name"],
            json!(format!("{plural}.paperclip.inc"))
        );
        assert_eq!(spec["group"], json!("paperclip.inc"));
        assert_eq!(spec["names"]["plural"], json!(plural));
        assert_eq!(spec["names"]["shortNames"], json!([short]));
        assert_eq!(spec["names"]["categories"], json!(["paperclip"]));
        assert_eq!(spec["scope"], json!(scope));
        assert_eq!(spec["versions"][0]["name"], json!("v1alpha1"));
        assert_eq!(spec["versions"][0]["subresources"]["status"], json!({}));
    }
    assert_eq!(
        definitions["Instance"]["spec"]["versions"][0]["subresources"]["scale"],
        json!({
            "specReplicasPath": ".spec.availability.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        })
    );
}

#[test]
fn every_field_of_every_schema_survives_our_types() {
    for (kind, definition) in definitions() {
        let full = full_object(&kind, &definition);
        assert_eq!(through_our_type(&kind, &full).unwrap(), full, "{kind}");
    }
}

#[test]
fn false_zero_and_unknown_words_survive_our_types() {
    for (kind, definition) in definitions() {
        let mut tried = 0;
        every_node(schema(&definition), &mut |path, node| {
            let value = match node {
                Node::Boolean => json!(false),
                Node::Integer => json!(0),
                Node::Enum => json!("a-word-of-another-version"),
                Node::Other => return,
            };
            let object = object_with(&kind, &definition, path, &value);
            let mut missing = Vec::new();
            lost(
                &object,
                &through_our_type(&kind, &object).unwrap(),
                "",
                &mut missing,
            );
            assert!(missing.is_empty(), "{kind} {path}: {value} is lost");
            tried += 1;
        });
        assert!(tried > 2, "{kind}: only {tried} values tried");
    }
}

#[test]
fn null_decodes_everywhere() {
    for (kind, definition) in definitions() {
        every_node(schema(&definition), &mut |path, _| {
            let ours = schema_walk::is_ours(schema(&definition), path);
            // What Kubernetes' own types require is never null in the API server; of ours we ask more.
            if path != ".spec" && (ours || schema_walk::is_optional(schema(&definition), path)) {
                let decoded =
                    through_our_type(&kind, &object_with(&kind, &definition, path, &Value::Null));
                assert!(decoded.is_ok(), "{kind} {path}: null: {decoded:?}");
            }
        });
    }
}

#[test]
fn only_the_replicas_have_stored_defaults() {
    let mut found = Vec::new();
    for (kind, definition) in definitions() {
        every_node(schema(&definition), &mut |path, _| {
            if let Some(default) = schema_walk::at(schema(&definition), path).get("default") {
                found.push(format!("{kind} {path} {default}"));
            }
        });
    }
    assert_eq!(
        found,
        [
            "Instance .spec.availability {}",
            "Instance .spec.availability.replicas 1"
        ]
    );
}

#[test]
fn every_field_of_ours_is_explained_in_one_paragraph() {
    for (kind, definition) in definitions() {
        every_node(schema(&definition), &mut |path, _| {
            let node = schema_walk::at(schema(&definition), path);
            if schema_walk::is_ours(schema(&definition), path) {
                let text = node["description"].as_str().unwrap_or_default();
                assert!(text.len() > 3, "{kind} {path} has no description");
                assert!(!text.contains('\n'), "{kind} {path}: {text:?}");
            }
        });
    }
}

#[test]
fn formats_are_those_that_kubernetes_knows() {
    for (kind, definition) in definitions() {
        every_node(schema(&definition), &mut |path, _| {
            if let Some(format) = schema_walk::at(schema(&definition), path).get("format") {
                let known = ["int32", "int64", "date-time", "double"];
                assert!(
                    known.contains(&format.as_str().unwrap()),
                    "{kind} {path}: {format}"
                );
            }
        });
    }
}

#[test]
fn ownership_of_lists_is_pinned() {
    let instance = &definitions()["Instance"];
    let at = |path: &str| schema_walk::at(schema(instance), &format!(".spec{path}")).clone();
    for (path, keys) in [
        (".image.pullSecrets", json!(["name"])),
        (".plugins", json!(["name"])),
        (".sidecars", json!(["name"])),
        (".initContainers", json!(["name"])),
        (".extraVolumes", json!(["name"])),
        (".extraVolumeMounts", json!(["mountPath"])),
        (".adapters.registry", json!(["adapterType"])),
        (
            ".availability.topologySpreadConstraints",
            json!(["topologyKey", "whenUnsatisfiable"]),
        ),
    ] {
        assert_eq!(at(path)["x-kubernetes-list-type"], json!("map"), "{path}");
        assert_eq!(at(path)["x-kubernetes-list-map-keys"], keys, "{path}");
    }
    for path in [
        ".adapters.execution.kubernetes.egressAllowFQDNs",
        ".adapters.execution.kubernetes.egressAllowCIDRs",
        ".security.networkPolicy.allowIngressCIDRs",
        ".security.networkPolicy.allowEgressCIDRs",
        ".networking.trustedProxies",
        ".backup.include",
        ".backup.encryption.recipients",
        ".restore.include",
    ] {
        assert_eq!(at(path)["x-kubernetes-list-type"], json!("set"), "{path}");
    }
    for path in [
        ".env",
        ".envFrom",
        ".deployment.allowedHostnames",
        ".storage.persistence.accessModes",
        ".networking.ingress.hosts",
        ".networking.ingress.tls",
        ".networking.httpRoute.hostnames",
        ".networking.httpRoute.parentRefs",
        ".security.networkPolicy.extraEgress",
        ".availability.tolerations",
        ".lifecycle.maintenanceWindows",
        ".selfConfigure.allowedActions",
        ".adapters.registry[].envKeys",
    ] {
        assert_eq!(
            at(path)["x-kubernetes-list-type"],
            json!("atomic"),
            "{path}"
        );
    }
    for path in [
        ".auth.secretRef",
        ".objectStorage.credentialsSecretRef",
        ".image.autoUpdate.policy",
    ] {
        assert_eq!(at(path)["x-kubernetes-map-type"], json!("atomic"), "{path}");
    }
}

/// Paths of leaves in `before` that `after` lacks or has otherwise; what is empty counts as absent.
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

#[test]
fn objects_of_the_earlier_operator_decode_without_loss() {
    // Fields that the earlier operator had and that mean nothing any more.
    let removed = [
        ".spec.adapters.managedInferenceModel",
        ".spec.adapters.managedInferenceProvider",
    ];
    let mut seen = 0;
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")).unwrap()
    {
        let path = entry.unwrap().path();
        if !path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("earlier-operator-"))
        {
            continue;
        }
        seen += 1;
        let stored: Value = serde_saphyr::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let mut missing = Vec::new();
        lost(
            &stored,
            &through_our_type("Instance", &stored).unwrap(),
            "",
            &mut missing,
        );
        missing.retain(|path| !removed.contains(&path.as_str()));
        assert!(missing.is_empty(), "{}: {missing:?}", path.display());
    }
    assert_eq!(seen, 3);
}

#[test]
fn samples_use_fields_that_exist() {
    let mut seen = 0;
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/samples")).unwrap()
    {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        for document in serde_saphyr::from_multiple::<Value>(&text).unwrap() {
            let kind = document["kind"].as_str().unwrap();
            if document["apiVersion"] != json!("paperclip.inc/v1alpha1") {
                continue;
            }
            seen += 1;
            let mut missing = Vec::new();
            lost(
                &document,
                &through_our_type(kind, &document).unwrap(),
                "",
                &mut missing,
            );
            assert!(missing.is_empty(), "{}: {missing:?}", path.display());
        }
    }
    assert!(seen >= 7, "one sample of each kind, found {seen}");
}

#[test]
fn a_minimal_instance_is_small_in_memory() {
    // Ten thousand of them are kept; sections that are not used must cost a pointer each.
    let size = size_of::<Instance>();
    assert!(size < 3_500, "{size} bytes");
}
