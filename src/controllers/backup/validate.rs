//! Raw spec and what it refers to, to [`Validated`]. Pure. After this step nobody looks at the raw spec.

mod parts;

use super::dereference::Found;
use crate::controllers::archive::destination::{self, Destination};
use crate::controllers::archive::files::Files;
use crate::controllers::archive::job;
use crate::controllers::archive::keys::Role;
use crate::controllers::archive::policy;
use crate::controllers::archive::source::{self, Source};
use crate::controllers::archive::verdict;
use crate::controllers::archive::work::Owner;
use crate::crd::instance::DatabaseMode;
use crate::crd::shared::{BackupPart, VerificationLevel};
use crate::crd::{Instance, PaperclipBackup, SecretKeyRef, text, word};
use crate::shared::conditions::list;
use crate::shared::duration;
use crate::shared::names::API_VERSION;
use crate::shared::options::Options;
use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Longest duration of a backup, unless the spec says otherwise.
const DEADLINE: Duration = Duration::from_secs(6 * 3600);
/// The description of an installation travels in a variable of the Job; the kernel takes no longer one.
const SPEC_LIMIT: usize = 100 << 10;

/// What is looked at.
pub struct Input<'a> {
    /// As it is stored.
    pub object: &'a PaperclipBackup,
    /// What it refers to.
    pub found: &'a Found,
    /// Options of the process.
    pub options: &'a Options,
}

/// What came of it.
pub type Verdict = verdict::Verdict<Validated>;

/// A backup that can be taken.
#[derive(Debug)]
pub struct Validated {
    /// Namespace.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Reference to it, as controller of its children.
    pub owner: OwnerReference,
    /// Value of the instance label.
    pub installation: String,
    /// Where it goes.
    pub destination: Destination,
    /// The database.
    pub source: Source,
    /// Public keys.
    pub recipients: Vec<String>,
    /// Private key that opens it.
    pub identity: Option<SecretKeyRef>,
    /// The server's files, if they are kept.
    pub files: Option<Files>,
    /// A server works with them.
    pub server_runs: bool,
    /// The keys, if they are kept.
    pub keys: Vec<Role>,
    /// The Instance as it is, without passwords.
    pub spec: Option<String>,
    /// What the manifest says of whose data these are.
    pub about: Value,
    /// CPU and memory of the agent.
    pub resources: ResourceRequirements,
    /// Longest duration.
    pub deadline: Duration,
    /// Restrict connections of the Job.
    pub policy: bool,
    /// Image that the agent is copied from.
    pub agent_image: String,
    /// DNS domain of the cluster.
    pub domain: String,
    /// What is not done of it, though the rest is.
    pub notes: Vec<String>,
}

impl Validated {
    /// Whose work its Jobs are.
    pub fn owner(&self) -> Owner<'_> {
        Owner {
            namespace: &self.namespace,
            reference: &self.owner,
            domain: &self.domain,
            policy: self.policy,
        }
    }
}

/// Names of the Secrets that a Job would mount.
pub fn secrets(object: &PaperclipBackup, found: &Found) -> Vec<String> {
    let destination = where_to(object, found.instance()).ok().flatten();
    let mut names = destination.map(|d| d.secrets()).unwrap_or_default();
    if parts::parts(object, found).is_ok_and(|parts| parts.contains(&BackupPart::Secrets)) {
        names.extend(parts::roles(found).into_iter().map(|role| role.secret));
    }
    names.sort();
    names.dedup();
    names
}

/// Checks.
pub fn validate(input: &Input<'_>) -> Verdict {
    Verdict::of(accept(input))
}

fn refused<T>(reason: &'static str, text: impl Into<String>) -> Result<T, Verdict> {
    Err(Verdict::Refused(reason, text.into()))
}

fn accept(input: &Input<'_>) -> Result<Validated, Verdict> {
    let (object, found) = (input.object, input.found);
    let (spec, meta) = (&object.spec, &object.metadata);
    if spec.instance_ref.is_some() == spec.database_ref.is_some() {
        return refused(
            "InvalidSpec",
            "spec: set exactly one of instanceRef, databaseRef",
        );
    }
    if let Some(reference) = &spec.instance_ref {
        instance(found, &reference.name)?;
    }
    let wanted = parts::parts(object, found)?;
    let installation = spec
        .instance_ref
        .as_ref()
        .or(spec.database_ref.as_ref())
        .map(|r| r.name.clone())
        .unwrap_or_default();
    let Some(destination) =
        where_to(object, found.instance()).or_else(|text| refused("InvalidSpec", text))?
    else {
        return refused(
            "NoDestination",
            "no destination: set spec.storage.s3 here, or backup.s3 or objectStorage of the Instance",
        );
    };
    missing_secrets(found, &destination)?;
    let encryption = parts::encryption(object, found.instance());
    let recipients = parts::recipients(object, encryption)?;
    let files = wanted
        .contains(&BackupPart::Files)
        .then(|| parts::files(object, found))
        .transpose()?;
    let keys = if wanted.contains(&BackupPart::Secrets) {
        parts::keys(found, &recipients)?
    } else {
        vec![]
    };
    let deadline = match text(spec.active_deadline.as_ref()).map(duration::parse) {
        None => DEADLINE,
        Some(Some(deadline)) if deadline >= Duration::from_secs(1) => deadline,
        Some(_) => {
            return refused(
                "InvalidSpec",
                "spec.activeDeadline: must be a duration of at least 1s, such as 6h",
            );
        }
    };
    let source = source::of(found.database(), &installation)
        .map_err(|text| Verdict::Waiting("WaitingForChild", text))?;
    let described = wanted
        .contains(&BackupPart::Spec)
        .then(|| found.instance().map(description))
        .flatten();
    if described.as_ref().is_some_and(|s| s.len() > SPEC_LIMIT) {
        return refused(
            "InvalidSpec",
            "spec.include: the Instance is too large to be kept beside the dump; leave Spec out",
        );
    }
    let (namespace, name, uid) = (
        meta.namespace.clone().unwrap_or_default(),
        meta.name.clone().unwrap_or_default(),
        meta.uid.clone().unwrap_or_default(),
    );
    Ok(Validated {
        owner: OwnerReference {
            api_version: API_VERSION.to_owned(),
            kind: "PaperclipBackup".to_owned(),
            name: name.clone(),
            uid: uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        },
        about: about(object, found, &installation),
        installation,
        destination,
        source,
        recipients,
        identity: encryption.and_then(|e| e.identity_secret_ref.clone()),
        files,
        server_runs: found.server_runs,
        keys,
        spec: described,
        resources: spec
            .resources
            .as_deref()
            .cloned()
            .unwrap_or_else(job::default_resources),
        deadline,
        policy: policy::is_wanted(found.instance()),
        agent_image: input.options.agent_image.clone(),
        domain: input.options.cluster_domain.clone(),
        notes: notes(object),
        namespace,
        name,
        uid,
    })
}

/// What the object says, else what its Instance says. `None`: nobody says. An error says what is wrong, with its path.
fn where_to(
    object: &PaperclipBackup,
    instance: Option<&Instance>,
) -> Result<Option<Destination>, String> {
    let spec = &object.spec;
    let name = spec
        .instance_ref
        .as_ref()
        .or(spec.database_ref.as_ref())
        .map_or("", |r| r.name.as_str());
    let own = spec.storage.as_ref().and_then(|s| s.s3.as_ref());
    let found = match own {
        Some(own) => Some(("spec.storage.s3", destination::of_storage(own, name))),
        None => instance.and_then(|i| destination::of_instance(name, i)),
    };
    found
        .map(|(path, destination)| destination::check(path, destination))
        .transpose()
}

fn instance<'a>(found: &'a Found, name: &str) -> Result<&'a Instance, Verdict> {
    let Some(instance) = found.instance() else {
        let text = if found.instance.is_some() {
            format!("Instance \"{name}\" cannot be decoded")
        } else {
            format!("spec.instanceRef: there is no Instance \"{name}\" in this namespace")
        };
        return refused("InstanceNotFound", text);
    };
    let mode = instance
        .spec
        .database
        .as_ref()
        .and_then(|d| word(d.mode.as_ref()).ok().flatten());
    if mode == Some(DatabaseMode::Embedded) {
        return refused(
            "EmbeddedRunning",
            format!(
                "Instance \"{name}\" has an embedded database: it cannot be copied while it runs; use database.mode managed or external"
            ),
        );
    }
    Ok(instance)
}

fn missing_secrets(found: &Found, destination: &Destination) -> Result<(), Verdict> {
    let missing: Vec<String> = destination
        .secrets()
        .iter()
        .filter(|name| found.secrets.get(*name).is_some_and(Option::is_none))
        .map(|name| format!("there is no Secret \"{name}\" in this namespace"))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        refused("SecretNotFound", list(&missing))
    }
}

/// The Instance as somebody would apply it again. A password in a URL stays out.
fn description(instance: &Instance) -> String {
    let meta = &instance.metadata;
    let mut spec = serde_json::to_value(&instance.spec).unwrap_or_default();
    if let Some(database) = spec["database"].as_object_mut() {
        database.remove("externalURL");
    }
    let annotations: BTreeMap<&String, &String> = meta
        .annotations
        .iter()
        .flatten()
        .filter(|(name, _)| *name != "kubectl.kubernetes.io/last-applied-configuration")
        .collect();
    // JSON is YAML.
    let object = json!({
        "apiVersion": API_VERSION,
        "kind": "Instance",
        "metadata": {
            "name": meta.name, "namespace": meta.namespace, "labels": meta.labels, "annotations": annotations,
        },
        "spec": spec,
    });
    format!("{object:#}\n")
}

fn about(object: &PaperclipBackup, found: &Found, installation: &str) -> Value {
    let meta = &object.metadata;
    let subject =
        |uid: Option<&str>| json!({"namespace": meta.namespace, "name": installation, "uid": uid});
    let mut about = json!({
        "backup": {"name": meta.name, "uid": meta.uid},
        "reason": object.spec.reason.as_ref().map_or("Manual", |r| r.as_str()),
        "operatorVersion": env!("CARGO_PKG_VERSION"),
    });
    if let Some(instance) = found.instance() {
        about["instance"] = subject(instance.metadata.uid.as_deref());
        let version = instance
            .status
            .as_ref()
            .and_then(|s| s.running_version.clone())
            .or_else(|| instance.spec.image.as_ref()?.tag.clone());
        if let Some(version) = version {
            about["appVersion"] = version.into();
        }
        // Never the key: what tells later whether somebody has it.
        let key = instance.status.as_ref().and_then(|s| s.master_key.as_ref());
        if let Some(fingerprint) = key.and_then(|k| k.fingerprint.as_ref()) {
            about["masterKey"] = fingerprint.as_str().into();
        }
    } else if let Some(database) = found.database() {
        about["databaseObject"] = subject(database.metadata.uid.as_deref());
    }
    about
}

fn notes(object: &PaperclipBackup) -> Vec<String> {
    let spec = &object.spec;
    let mut notes = vec![];
    let level = spec.verification.as_ref().and_then(|v| v.level.as_ref());
    if level.is_some_and(|l| *l == VerificationLevel::Boot) {
        notes.push(
            "spec.verification.level: Boot is not built into this version of the operator; Restore is done"
                .to_owned(),
        );
    }
    notes
}
