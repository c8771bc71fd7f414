//! What an admin's PaperclipClusterDefaults give to an Instance that says nothing itself. In memory only: nothing is ever written into an
//! Instance. Pure. Must never move data: what decides about a database or a volume counts for new ones only.

use crate::crd::cluster_defaults::PaperclipClusterDefaultsSpec as Admin;
use crate::crd::instance::{DatabaseMode, EffectiveDefault, InstanceSpec, Observability};
use crate::crd::{Word, text};
use serde::Serialize;
use serde_json::{Map, Value};

/// How many are named in the status.
const NAMED: usize = 64;
/// Values that count as one, though they are objects.
const WHOLE: [&str; 2] = ["labels", "dsnSecretRef"];

/// What is there already, and must stay what it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InUse {
    /// Mode of the database that is there.
    pub database: Option<DatabaseMode>,
    /// Class of the data volume that is there; the inner one is `None` if it has none.
    pub volume: Option<Option<String>>,
    /// Class of the database's volume that is there.
    pub database_volume: Option<Option<String>>,
}

/// A spec with the admin's values in its gaps, and what came from there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Merged {
    /// The spec that counts.
    pub spec: InstanceSpec,
    /// What came from the admin.
    pub effective: Vec<EffectiveDefault>,
}

struct Merge {
    out: Merged,
}

impl Merge {
    fn note(&mut self, path: &str, value: &impl Serialize) {
        let value = serde_json::to_string(value).ok();
        self.named(
            path,
            value.map(|v| crate::shared::conditions::limit(&v, 1024)),
        );
    }
    fn named(&mut self, path: &str, value: Option<String>) {
        if self.out.effective.len() < NAMED {
            self.out.effective.push(EffectiveDefault {
                path: path.to_owned(),
                value,
            });
        }
    }
}

/// Fills a field that the Instance leaves out.
macro_rules! fill {
    ($merge:ident, $path:literal, $($section:ident).+ => $field:ident, $value:expr) => {
        if let Some(value) = $value {
            $merge.note($path, &value);
            $merge.out.spec.$($section.get_or_insert_default()).+.$field = Some(value);
        }
    };
}

/// Merges. An Instance that speaks wins, field by field.
pub fn merge(spec: &InstanceSpec, admin: &Admin, in_use: &InUse) -> Merged {
    let mut merge = Merge {
        out: Merged {
            spec: spec.clone(),
            effective: vec![],
        },
    };
    image(spec, admin, &mut merge);
    storage(spec, admin, in_use, &mut merge);
    observability(spec, admin, &mut merge);
    let service = spec
        .networking
        .as_ref()
        .and_then(|n| n.service.as_ref()?.type_.as_ref());
    let admins = admin
        .networking
        .as_ref()
        .and_then(|n| n.service.as_ref()?.type_.clone());
    fill!(merge, "networking.service.type", networking.service => type_, admins.filter(|_| service.is_none()));
    security(spec, admin, &mut merge);
    env(spec, admin, &mut merge);
    merge.out
}

fn image(spec: &InstanceSpec, admin: &Admin, merge: &mut Merge) {
    let Some(given) = admin.image.as_deref() else {
        return;
    };
    let none = crate::crd::instance::Image::default();
    let own = spec.image.as_deref().unwrap_or(&none);
    let gap = |field: Option<&String>| text(field).is_none();
    let theirs = |field: &Option<String>| text(field.as_ref()).map(str::to_owned);
    fill!(merge, "image.repository", image => repository, theirs(&given.repository).filter(|_| gap(own.repository.as_ref())));
    if gap(own.tag.as_ref()) && gap(own.digest.as_ref()) {
        fill!(merge, "image.tag", image => tag, theirs(&given.tag));
        fill!(merge, "image.digest", image => digest, theirs(&given.digest));
    }
    fill!(merge, "image.pullPolicy", image => pull_policy, given.pull_policy.clone().filter(|_| own.pull_policy.is_none()));
    if own.pull_secrets.is_empty() && !given.pull_secrets.is_empty() {
        merge.note("image.pullSecrets", &given.pull_secrets);
        let image = merge.out.spec.image.get_or_insert_default();
        image.pull_secrets.clone_from(&given.pull_secrets);
    }
    fill!(merge, "image.autoUpdate", image => auto_update, given.auto_update.clone().filter(|_| own.auto_update.is_none()));
}

/// For what is not there yet; what came from an admin before stays as it is.
fn storage(spec: &InstanceSpec, admin: &Admin, in_use: &InUse, merge: &mut Merge) {
    let class = text(admin.storage_class.as_ref());
    let wanted = |there: Option<&Option<String>>| {
        let class = class?;
        let fits = there.is_none_or(|c| c.as_deref() == Some(class));
        fits.then(|| class.to_owned())
    };
    let persistence = spec.storage.as_ref().and_then(|s| s.persistence.as_ref());
    let own = persistence.and_then(|p| text(p.storage_class.as_ref()));
    fill!(merge, "storage.persistence.storageClass", storage.persistence => storage_class, wanted(in_use.volume.as_ref()).filter(|_| own.is_none()));
    let managed = spec.database.as_ref().and_then(|d| d.managed.as_ref());
    let own = managed.and_then(|m| text(m.storage_class.as_ref()));
    fill!(merge, "database.managed.storageClass", database.managed => storage_class, wanted(in_use.database_volume.as_ref()).filter(|_| own.is_none()));
    let own = spec.database.as_ref().and_then(|d| d.mode.as_ref());
    if own.is_none() && admin.database_mode.is_some() {
        let mode = match in_use.database {
            // What everybody has who says nothing.
            Some(DatabaseMode::Managed) => None,
            Some(mode) => Some(Word::Known(mode)),
            None => admin.database_mode.clone(),
        };
        fill!(merge, "database.mode", database => mode, mode);
    }
}

fn security(spec: &InstanceSpec, admin: &Admin, merge: &mut Merge) {
    let Some(given) = admin.security.as_deref() else {
        return;
    };
    let own = spec.security.as_deref();
    let pod = own.and_then(|s| s.pod_security_context.as_ref());
    fill!(merge, "security.podSecurityContext", security => pod_security_context, given.pod_security_context.clone().filter(|_| pod.is_none()));
    let container = own.and_then(|s| s.container_security_context.as_ref());
    fill!(merge, "security.containerSecurityContext", security => container_security_context, given.container_security_context.clone().filter(|_| container.is_none()));
    let policy = own.and_then(|s| s.network_policy.as_ref()?.enabled);
    let theirs = given.network_policy.as_ref().and_then(|p| p.enabled);
    fill!(merge, "security.networkPolicy.enabled", security.network_policy => enabled, theirs.filter(|_| policy.is_none()));
}

/// By name: the admin's first, the Instance's entry of that name in its place.
fn env(spec: &InstanceSpec, admin: &Admin, merge: &mut Merge) {
    if admin.env.is_empty() {
        return;
    }
    let mut own = spec.env.clone();
    let mut all = vec![];
    for var in &admin.env {
        // Of several of one name the last counts, as everywhere.
        let last = own.iter().rposition(|v| v.name == var.name);
        if let Some(i) = last {
            all.push(own.remove(i));
            own.retain(|v| v.name != var.name);
        } else {
            merge.named(&format!("env[{}]", var.name), Some(var.name.clone()));
            all.push(var.clone());
        }
    }
    all.extend(own);
    merge.out.spec.env = all;
}

/// Leaf by leaf.
fn observability(spec: &InstanceSpec, admin: &Admin, merge: &mut Merge) {
    let Some(given) = admin.observability.as_deref() else {
        return;
    };
    let as_map = |section: Option<&Observability>| match section.map(serde_json::to_value) {
        Some(Ok(Value::Object(map))) => map,
        _ => Map::new(),
    };
    let mut all = as_map(spec.observability.as_deref());
    let mut filled = vec![];
    deep("observability", &mut all, as_map(Some(given)), &mut filled);
    let Ok(section) = serde_json::from_value::<Observability>(Value::Object(all)) else {
        return;
    };
    if filled.is_empty() {
        return;
    }
    for (path, value) in filled {
        merge.note(&path, &value);
    }
    merge.out.spec.observability = Some(Box::new(section));
}

fn deep(
    path: &str,
    own: &mut Map<String, Value>,
    given: Map<String, Value>,
    filled: &mut Vec<(String, Value)>,
) {
    for (key, value) in given {
        let path = format!("{path}.{key}");
        let empty = |v: &Value| v.is_null() || *v == "" || v.as_object().is_some_and(Map::is_empty);
        if empty(&value) {
            continue;
        }
        match (own.get_mut(&key), value) {
            (Some(Value::Object(mine)), Value::Object(theirs)) if !WHOLE.contains(&&*key) => {
                deep(&path, mine, theirs, filled);
            }
            (Some(mine), _) if !empty(mine) => {}
            (_, Value::Object(theirs)) if !WHOLE.contains(&&*key) => {
                let mut mine = Map::new();
                deep(&path, &mut mine, theirs, filled);
                own.insert(key, Value::Object(mine));
            }
            (_, value) => {
                filled.push((path, value.clone()));
                own.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(spec: &str, admin: &str, in_use: &InUse) -> (InstanceSpec, Vec<String>) {
        let spec: InstanceSpec = serde_saphyr::from_str(spec).unwrap();
        let admin: Admin = serde_saphyr::from_str(admin).unwrap();
        let merged = merge(&spec, &admin, in_use);
        let said = merged.effective.into_iter();
        let said = said.map(|e| format!("{}={}", e.path, e.value.unwrap_or_default()));
        (merged.spec, said.collect())
    }

    #[test]
    fn gaps_are_filled_and_what_the_instance_says_stays() {
        let admin = "{image: {repository: mirror/p, tag: '7', pullPolicy: Always, pullSecrets: [{name: pull}]}, networking: {service: {type: NodePort}}}";
        let (spec, said) = merged("{}", admin, &InUse::default());
        assert_eq!(
            said,
            [
                "image.repository=\"mirror/p\"",
                "image.tag=\"7\"",
                "image.pullPolicy=\"Always\"",
                "image.pullSecrets=[{\"name\":\"pull\"}]",
                "networking.service.type=\"NodePort\"",
            ]
        );
        assert_eq!(spec.image.unwrap().tag.as_deref(), Some("7"));
        let own = "{image: {repository: mine, digest: 'sha256:ab', pullPolicy: Never, pullSecrets: [{name: x}]}, networking: {service: {type: ClusterIP}}}";
        let (spec, said) = merged(own, admin, &InUse::default());
        assert!(said.is_empty(), "{said:?}");
        assert_eq!(spec, serde_saphyr::from_str(own).unwrap());
    }

    #[test]
    fn an_instance_with_a_tag_or_digest_gets_neither() {
        let admin = "image: {digest: 'sha256:cd'}";
        assert!(
            merged("image: {tag: '7'}", admin, &InUse::default())
                .1
                .is_empty()
        );
        let (spec, _) = merged("image: {tag: ''}", admin, &InUse::default());
        assert_eq!(spec.image.unwrap().digest.as_deref(), Some("sha256:cd"));
    }

    #[test]
    fn what_is_there_is_never_moved() {
        let admin = "{storageClass: fast, databaseMode: embedded}";
        let (_, said) = merged("{}", admin, &InUse::default());
        assert_eq!(
            said,
            [
                "storage.persistence.storageClass=\"fast\"",
                "database.managed.storageClass=\"fast\"",
                "database.mode=\"embedded\"",
            ]
        );
        let there = InUse {
            database: Some(DatabaseMode::Managed),
            volume: Some(Some("slow".into())),
            database_volume: Some(None),
        };
        assert!(merged("{}", admin, &there).1.is_empty());
        // What came from the admin when it was made is still said of it.
        let there = InUse {
            database: Some(DatabaseMode::Embedded),
            volume: Some(Some("fast".into())),
            database_volume: None,
        };
        let other = "{storageClass: fast, databaseMode: managed}";
        let (spec, _) = merged("{}", other, &there);
        assert!(spec.database.unwrap().mode.unwrap() == DatabaseMode::Embedded);
        assert_eq!(
            spec.storage
                .unwrap()
                .persistence
                .unwrap()
                .storage_class
                .as_deref(),
            Some("fast")
        );
    }

    #[test]
    fn observability_is_merged_leaf_by_leaf_and_false_is_an_answer() {
        let admin = "observability: {metrics: {enabled: true, prometheusRule: {enabled: true, labels: {a: b}}}, logging: {level: debug}, sentry: {dsnSecretRef: {name: s, key: k}}}";
        let own = "observability: {metrics: {enabled: false, prometheusRule: {labels: {c: d}}}}";
        let (spec, said) = merged(own, admin, &InUse::default());
        assert_eq!(
            said,
            [
                "observability.logging.level=\"debug\"",
                "observability.metrics.prometheusRule.enabled=true",
                "observability.sentry.dsnSecretRef={\"key\":\"k\",\"name\":\"s\"}",
            ]
        );
        let metrics = spec.observability.unwrap().metrics.unwrap();
        assert_eq!(metrics.enabled, Some(false));
        assert_eq!(metrics.prometheus_rule.unwrap().labels.len(), 1);
    }

    #[test]
    fn variables_are_merged_by_name_and_only_the_name_is_told() {
        let admin = "env: [{name: A, value: admins}, {name: B, value: hidden}]";
        let (spec, said) = merged(
            "env: [{name: C, value: c}, {name: A, value: own}]",
            admin,
            &InUse::default(),
        );
        let all: Vec<_> = spec
            .env
            .iter()
            .map(|e| (e.name.as_str(), e.value.as_deref().unwrap()))
            .collect();
        assert_eq!(all, [("A", "own"), ("B", "hidden"), ("C", "c")]);
        assert_eq!(said, ["env[B]=B"]);
    }

    #[test]
    fn contexts_come_as_a_whole() {
        let admin =
            "security: {podSecurityContext: {runAsUser: 5}, networkPolicy: {enabled: false}}";
        let (spec, said) = merged(
            "security: {networkPolicy: {enabled: true}}",
            admin,
            &InUse::default(),
        );
        assert_eq!(said, ["security.podSecurityContext={\"runAsUser\":5}"]);
        assert_eq!(
            spec.security.unwrap().network_policy.unwrap().enabled,
            Some(true)
        );
    }

    #[test]
    fn an_admin_who_says_nothing_changes_nothing() {
        let (spec, said) = merged(
            "{env: [{name: A}], image: {tag: ''}}",
            "{image: {}, observability: {metrics: {}}, security: {}}",
            &InUse::default(),
        );
        assert!(said.is_empty());
        assert_eq!(
            spec,
            serde_saphyr::from_str("{env: [{name: A}], image: {tag: ''}}").unwrap()
        );
    }
}
