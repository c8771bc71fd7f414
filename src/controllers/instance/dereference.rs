//! Reads what the spec names. Only when it has to: an Instance at rest is vouched for by its status, and costs no call at all. A missing
//! object is a value here, not an error. Must never list Secrets, and never read one of another namespace.

use super::found::{Data, Found, Learned, Look, Target};
use super::memory::Remembered;
use super::observed::Observed;
use super::validate::not_implemented::has_admin;
use super::validate::references::{self, Kind as Referred, Need};
use crate::crd::Instance;
use crate::crd::instance::{DatabaseMode, InstanceSpec, InstanceStatus};
use crate::shared::api::{ApiError, ApiServer};
use crate::shared::conditions::find;
use crate::shared::endpoint::Endpoint;
use crate::shared::names::{ANNOTATION_RECONCILE_REQUESTED, Names};
use crate::shared::wish::Kind;
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolumeClaim, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::networking::v1::IngressClass;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Instant;

/// The value of the annotation that asks for a pass, as it is echoed.
pub fn requested(instance: &Instance) -> Option<String> {
    let text = instance
        .metadata
        .annotations
        .as_ref()?
        .get(ANNOTATION_RECONCILE_REQUESTED)?;
    Some(
        crate::shared::conditions::clean(text)
            .chars()
            .take(64)
            .collect(),
    )
}

/// A pass was asked for that has not ended yet.
pub fn is_requested(instance: &Instance) -> bool {
    let handled = instance
        .status
        .as_ref()
        .and_then(|s| s.last_handled_reconcile_at.as_ref());
    requested(instance).is_some_and(|r| Some(&r) != handled)
}

/// Whether the last status does not vouch for what the spec refers to.
pub fn must_look(instance: &Instance, remembered: &Remembered, now: Instant) -> bool {
    let Some(status) = &instance.status else {
        return true;
    };
    let spec = &instance.spec;
    let untrue = |kind: &str| find(&status.conditions, kind).is_none_or(|c| c.status != "True");
    let outside = has_outside_parts(spec);
    status.observed_generation != instance.metadata.generation
        || is_requested(instance)
        || untrue("ReferencesResolved")
        || (has_admin(spec) && untrue("Bootstrapped"))
        || !vouches_for_keys(instance, status)
        || (outside && now >= remembered.next_check)
        || (needs_learning(spec) && remembered.learned.is_none())
        || (account(spec).is_some() && untrue("RBACReady"))
        || (existing_claim(spec).is_some() && untrue("StorageReady"))
        || (ingress_class(spec).is_some() && untrue("IngressReady"))
}

/// The status lists all generated Secrets.
fn vouches_for_keys(instance: &Instance, status: &InstanceStatus) -> bool {
    let names = Names::of(instance.metadata.name.as_deref().unwrap_or_default());
    let spec = &instance.spec;
    let listed = |name: String| {
        status
            .managed_resources
            .as_ref()
            .is_some_and(|m| m.secrets.contains(&name))
    };
    let own_session = spec.auth.as_ref().is_some_and(|a| a.secret_ref.is_some());
    let own_master = spec
        .secrets
        .as_ref()
        .is_some_and(|s| s.master_key_secret_ref.is_some());
    let own_connections = super::validate::clients(spec).is_none();
    listed(names.app_keys())
        && (own_connections || listed(names.connections()))
        && (own_session || listed(names.auth()))
        && (own_master || listed(names.master_key()))
}

/// Objects of the user that nobody watches.
pub fn has_outside_parts(spec: &InstanceSpec) -> bool {
    !references::of(spec).is_empty()
        || account(spec).is_some()
        || existing_claim(spec).is_some()
        || ingress_class(spec).is_some()
}

/// Something that only a look can teach is needed in every pass.
fn needs_learning(spec: &InstanceSpec) -> bool {
    references::of(spec).iter().any(|r| {
        matches!(r.need, Need::BucketKeys)
            || matches!(r.need, Need::Key(_, references::Form::DatabaseUrl))
            || matches!(r.need, Need::Key(_, references::Form::JsonObject))
            || r.path == "adapters.apiKeysSecretRef"
    }) || !urls(spec).is_empty()
}

/// The account that is not ours to make.
fn account(spec: &InstanceSpec) -> Option<&str> {
    let rbac = spec.security.as_ref()?.rbac.as_ref()?;
    let name = crate::crd::text(rbac.service_account_name.as_ref());
    (rbac.create == Some(false)).then(|| name.unwrap_or("default"))
}

/// The claim that is used instead of one of ours.
pub fn existing_claim(spec: &InstanceSpec) -> Option<&str> {
    let persistence = spec.storage.as_ref()?.persistence.as_ref()?;
    crate::crd::text(persistence.existing_claim.as_ref())
        .filter(|_| persistence.enabled != Some(false))
}

/// The IngressClass that the spec names.
fn ingress_class(spec: &InstanceSpec) -> Option<&str> {
    let ingress = spec.networking.as_ref()?.ingress.as_ref()?;
    crate::crd::text(ingress.ingress_class_name.as_ref()).filter(|_| ingress.enabled == Some(true))
}

/// URLs of the spec whose hosts may be Services.
fn urls(spec: &InstanceSpec) -> Vec<Endpoint> {
    let text = crate::crd::text;
    let external = |s: &InstanceSpec| {
        s.database
            .as_ref()
            .and_then(|d| d.mode.as_ref())
            .is_some_and(|m| *m == DatabaseMode::External)
    };
    let mut all = vec![
        spec.object_storage
            .as_ref()
            .and_then(|o| text(o.endpoint.as_ref())),
        spec.secrets
            .as_ref()
            .and_then(|s| text(s.aws.as_ref()?.endpoint.as_ref())),
        spec.observability
            .as_ref()
            .and_then(|o| text(o.otlp.as_ref()?.endpoint.as_ref())),
    ];
    let literal = spec.database.as_ref().and_then(|d| d.external_url.as_ref());
    if external(spec) {
        all.push(literal.map(crate::crd::SecretText::reveal));
    }
    all.into_iter()
        .flatten()
        .filter_map(|url| {
            Endpoint::of(
                url,
                if url.starts_with("postgres") {
                    5432
                } else {
                    443
                },
            )
        })
        .collect()
}

/// Reads everything that the spec names, at the same time where one does not depend on the other.
///
/// # Errors
/// If the API server gives no answer; "not found" and "forbidden" are answers.
pub async fn look(
    api: &ApiServer,
    instance: &Instance,
    observed: &Observed,
    domain: &str,
) -> Result<(Found, Learned), ApiError> {
    let namespace = instance.metadata.namespace.as_deref().unwrap_or_default();
    let spec = &instance.spec;
    let references = references::of(spec);
    let mut secrets: BTreeSet<&str> = BTreeSet::new();
    let mut config_maps: BTreeSet<&str> = BTreeSet::new();
    for r in &references {
        match r.kind {
            Referred::Secret => secrets.insert(r.name),
            Referred::ConfigMap => config_maps.insert(r.name),
        };
    }
    let connections =
        Names::of(instance.metadata.name.as_deref().unwrap_or_default()).connections();
    if super::validate::clients(spec).is_some()
        || super::connections::is_known(instance.status.as_ref(), &connections)
    {
        secrets.insert(&connections);
    }
    let child = observed.child();
    if let Some((name, _)) = child.and_then(|c| c.connection()) {
        secrets.insert(name);
    }
    let (secrets, config_maps, account, ingress_class, claim) = futures::try_join!(
        try_join_all(secrets.into_iter().map(|name| async move {
            let look = get::<Secret>(api, namespace, name).await?;
            Ok((name.to_owned(), map(look, |v| Data::of_secret(&v))))
        })),
        try_join_all(config_maps.into_iter().map(|name| async move {
            let look = get::<ConfigMap>(api, namespace, name).await?;
            Ok((name.to_owned(), map(look, |v| Data::of_config_map(&v))))
        })),
        async {
            match account(spec) {
                Some(name) => Ok(map(
                    get::<ServiceAccount>(api, namespace, name).await?,
                    |_| (),
                )),
                None => Ok(Look::Skipped),
            }
        },
        async {
            match ingress_class(spec) {
                Some(name) => Ok(map(get::<IngressClass>(api, "", name).await?, |_| ())),
                None => Ok(Look::Skipped),
            }
        },
        async {
            match existing_claim(spec) {
                Some(name) => {
                    let look = get::<PersistentVolumeClaim>(api, namespace, name).await?;
                    let phase = |v: Value| {
                        v["status"]["phase"]
                            .as_str()
                            .unwrap_or("Pending")
                            .to_owned()
                    };
                    Ok(map(look, phase))
                }
                None => Ok(Look::Skipped),
            }
        },
    )?;
    let found = Found {
        looked: true,
        secrets: secrets.into_iter().collect(),
        config_maps: config_maps.into_iter().collect(),
        account,
        ingress_class,
        claim,
    };
    let mut learned = learn(&references, &found);
    let mut endpoints = urls(spec);
    endpoints.extend(learned.database.clone());
    targets(api, namespace, domain, &endpoints, &mut learned).await?;
    Ok((found, learned))
}

/// Names and ports that later passes need too.
fn learn(references: &[references::Reference<'_>], found: &Found) -> Learned {
    let mut learned = Learned::default();
    for r in references {
        let Some(data) = found.secret(r.name) else {
            continue;
        };
        let keeps_names =
            matches!(r.need, Need::BucketKeys) || r.path == "adapters.apiKeysSecretRef";
        if keeps_names {
            let names = data.names().map(str::to_owned).collect();
            learned.keys.insert(r.name.to_owned(), names);
        }
        if let Need::Key(key, references::Form::JsonObject) = r.need {
            let clients = data.get(key).and_then(super::build::connections::clients);
            learned.clients_left_out = clients.map(|c| c.left_out).unwrap_or_default();
        }
        if let Need::Key(key, references::Form::DatabaseUrl) = r.need {
            learned.database = data.text(key).and_then(|url| Endpoint::of(url, 5432));
        }
    }
    learned
}

/// Which ports of pods are behind the ports of Services.
async fn targets(
    api: &ApiServer,
    namespace: &str,
    domain: &str,
    endpoints: &[Endpoint],
    learned: &mut Learned,
) -> Result<(), ApiError> {
    let services = endpoints
        .iter()
        .filter_map(|e| e.service(namespace, domain).map(|(ns, n)| (ns, n, e.port)));
    let found = try_join_all(services.map(|(ns, name, port)| async move {
        let service = get::<Service>(api, ns, name).await?;
        let target = service.there().and_then(|s| target(s, port));
        Ok(target.map(|t| ((ns.to_owned(), name.to_owned(), port), t)))
    }))
    .await?;
    learned.targets.extend(found.into_iter().flatten());
    Ok(())
}

fn target(service: &Value, port: u16) -> Option<Target> {
    let entry = service["spec"]["ports"]
        .as_array()?
        .iter()
        .find(|p| p["port"] == port)?;
    match &entry["targetPort"] {
        Value::String(_) => Some(Target::Named),
        number => number
            .as_u64()
            .and_then(|n| u16::try_from(n).ok())
            .map(Target::Port),
    }
}

async fn get<K>(api: &ApiServer, namespace: &str, name: &str) -> Result<Look<Value>, ApiError>
where
    K: kube::Resource<DynamicType = ()>,
    K::Scope: crate::shared::wish::Scoped,
{
    match api.get(&Kind::of::<K>(), namespace, name).await {
        Ok(Some(object)) => Ok(Look::There(object)),
        Ok(None) => Ok(Look::Missing),
        Err(error) if error.code() == Some(403) => Ok(Look::Forbidden),
        Err(error) => Err(error),
    }
}

fn map<T, U>(look: Look<T>, f: impl FnOnce(T) -> U) -> Look<U> {
    match look {
        Look::There(value) => Look::There(f(value)),
        Look::Missing => Look::Missing,
        Look::Forbidden => Look::Forbidden,
        Look::Skipped => Look::Skipped,
    }
}
