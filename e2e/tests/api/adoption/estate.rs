//! What the earlier operator left, put into a namespace: its Instance with its finalizer and status, and its objects with its field
//! manager, its owner references and its labels.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use paperclip_e2e::harness::{AuditMark, Cluster, Namespace, Operator, OperatorOptions, wait_for};
use serde_json::{Value, json};

pub const SECOND: Duration = Duration::from_secs(1);
/// Long enough for a loaded machine.
pub const LONG: Duration = Duration::from_secs(90);
/// What an operator is called that was built with the usual tools.
const EARLIER: &str = "manager";

/// The recordings.
pub const QUICKSTART: &str = include_str!("quickstart.yaml");
pub const PRODUCTION: &str = include_str!("production.yaml");
pub const EMBEDDED: &str = include_str!("embedded.yaml");

/// An installation of the earlier operator.
pub struct Estate<'a> {
    pub cluster: &'a Cluster,
    pub namespace: Namespace<'a>,
    pub name: String,
    pub uid: String,
}

impl<'a> Estate<'a> {
    /// Everything as recorded, and its pods ready.
    pub async fn left(recording: &str) -> Result<Estate<'a>> {
        Self::left_with(recording, |_| true).await
    }

    /// As recorded, as far as `change` says yes; it may change the object.
    pub async fn left_with(
        recording: &str,
        mut change: impl FnMut(&mut Value) -> bool,
    ) -> Result<Estate<'a>> {
        let cluster = Cluster::api().await?;
        cluster.install_definitions().await?;
        let mut documents: Vec<Value> = serde_saphyr::from_multiple(recording)?;
        let mut instance = documents.remove(0);
        let name = text(&instance["metadata"]["name"]);
        let namespace = cluster.namespace("adopt").await?;
        // The earlier operator's pods have a privileged container.
        let label = "pod-security.kubernetes.io/enforce=privileged";
        let arguments = ["label", "namespace", &namespace.name, label, "--overwrite"];
        cluster.kubectl(&arguments).await?;
        let mut estate = Estate {
            cluster,
            namespace,
            name,
            uid: String::new(),
        };
        estate.users_secrets().await?;
        let status = instance["status"].take();
        change(&mut instance);
        let made = estate.create(&instance).await?;
        estate.uid = text(&made["metadata"]["uid"]);
        let patch = json!({"status": status}).to_string();
        let arguments = [
            "patch",
            "instance",
            &estate.name,
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch,
        ];
        estate.namespace.kubectl(&arguments).await?;
        for mut document in documents {
            estate.belongs_here(&mut document);
            if change(&mut document) {
                estate.create(&document).await?;
            }
        }
        Ok(estate)
    }

    /// The Secrets that users of the documentation's examples make.
    async fn users_secrets(&self) -> Result<()> {
        for (name, keys) in [
            ("paperclip-auth", &["BETTER_AUTH_SECRET"][..]),
            (
                "paperclip-api-keys",
                &["ANTHROPIC_API_KEY", "OPENAI_API_KEY"],
            ),
            ("paperclip-admin", &["password"]),
            ("resend-key", &["RESEND_API_KEY"]),
            (
                "google-oauth",
                &["GOOGLE_CLIENT_ID", "GOOGLE_CLIENT_SECRET"],
            ),
            (
                "backup-s3-credentials",
                &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
            ),
            (
                "paperclip-s3",
                &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
            ),
            ("paperclip-secrets", &["MASTER_KEY"]),
        ] {
            let data: serde_json::Map<_, _> = keys
                .iter()
                .map(|key| ((*key).to_owned(), json!("0123456789abcdef0123456789abcdef")))
                .collect();
            let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
            self.namespace.apply(&secret.to_string()).await?;
        }
        for (name, key, value) in [
            (
                "paperclip-database",
                "DATABASE_URL",
                "postgres://paperclip:pw@db.example.com:5432/paperclip",
            ),
            (
                "paperclip-oauth-credentials",
                "PAPERCLIP_OAUTH_CREDENTIALS",
                r#"{"github": {"clientId": "id", "clientSecret": "secret"}}"#,
            ),
        ] {
            let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {key: value}});
            self.namespace.apply(&secret.to_string()).await?;
        }
        Ok(())
    }

    async fn create(&self, object: &Value) -> Result<Value> {
        let mut object = object.clone();
        if let Some(meta) = object["metadata"].as_object_mut() {
            for field in ["namespace", "uid"] {
                meta.remove(field);
            }
        }
        let manager = format!("--field-manager={EARLIER}");
        let arguments = [
            "create",
            "--validate=ignore",
            "--namespace",
            &self.namespace.name,
            &manager,
            "-o",
            "json",
            "-f",
            "-",
        ];
        let made = self
            .cluster
            .kubectl_output(&arguments, Some(&object.to_string()))
            .await?;
        if !made.status.success() {
            bail!(
                "{} {}: {}",
                object["kind"],
                object["metadata"]["name"],
                String::from_utf8_lossy(&made.stderr)
            );
        }
        Ok(serde_json::from_slice(&made.stdout)?)
    }

    /// The new uid of the Instance, and nothing that only the cluster of the recording knew.
    fn belongs_here(&self, object: &mut Value) {
        object["metadata"]["ownerReferences"][0]["uid"] = json!(self.uid);
        match object["kind"].as_str().unwrap_or_default() {
            "Service" => forget(&mut object["spec"], &["clusterIP", "clusterIPs"]),
            "PersistentVolumeClaim" => {
                forget(&mut object["spec"], &["volumeName"]);
                forget(&mut object["metadata"], &["annotations"]);
                forget(object, &["status"]);
            }
            "Job" => {
                forget(&mut object["spec"], &["selector"]);
                let labels = &mut object["spec"]["template"]["metadata"]["labels"];
                let own = ["controller-uid", "job-name"];
                forget(labels, &own);
                forget(labels, &own.map(|l| format!("batch.kubernetes.io/{l}")));
            }
            _ => {}
        }
    }

    pub async fn operator(&self) -> Result<Operator<'a>> {
        let options = OperatorOptions::for_namespace(&self.namespace.name);
        self.cluster.operator(options).await
    }

    pub async fn operator_not_started(&self) -> Result<Operator<'a>> {
        let options = OperatorOptions::for_namespace(&self.namespace.name);
        self.cluster.operator_not_started(options).await
    }

    pub async fn get(&self, kind: &str, name: &str) -> Result<Value> {
        let arguments = ["get", kind, name, "-o", "json", "--show-managed-fields"];
        let text = self.namespace.kubectl(&arguments).await?;
        Ok(serde_json::from_str(&text)?)
    }

    pub async fn instance(&self) -> Result<Value> {
        self.get("instance", &self.name).await
    }

    /// Waits until the Instance is so.
    pub async fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
        wait_for(what, LONG, async || {
            let instance = self.instance().await?;
            ensure!(holds(&instance), "{:#}", instance["status"]);
            Ok(Some(instance))
        })
        .await
    }

    /// Waits until this operator's status of the present spec says that all is well.
    pub async fn until_running(&self) -> Result<Value> {
        self.until("Running", |i| {
            i["status"]["phase"] == "Running"
                && i["status"]["adopted"].is_object()
                && condition(i, "ReferencesResolved") == "True/Resolved"
                && condition(i, "Ready") == "True/AllResourcesReady"
                && i["status"]["observedGeneration"] == i["metadata"]["generation"]
        })
        .await
    }

    /// Waits until every pod that the StatefulSets want is ready.
    pub async fn until_pods_ready(&self) -> Result<()> {
        wait_for("the pods", LONG, async || {
            let list = self.list("statefulset").await?;
            for set in &list {
                let (spec, status) = (&set["spec"], &set["status"]);
                ensure!(
                    spec["replicas"] == status["readyReplicas"]
                        && status["observedGeneration"] == set["metadata"]["generation"],
                    "{}: {status}",
                    set["metadata"]["name"]
                );
            }
            Ok(Some(()))
        })
        .await
    }

    pub async fn list(&self, kinds: &str) -> Result<Vec<Value>> {
        let text = self
            .namespace
            .kubectl(&["get", kinds, "-o", "json"])
            .await?;
        let list: Value = serde_json::from_str(&text)?;
        Ok(list["items"].as_array().context("a list")?.clone())
    }

    /// `kind/name uid resourceVersion` of everything but the Instance.
    pub async fn versions(&self) -> Result<Vec<String>> {
        const KINDS: &str = "statefulset,service,serviceaccount,networkpolicy,persistentvolumeclaim,secret,job,cronjob,paperclipdatabase,pod,ingress,poddisruptionbudget";
        let all = self.list(KINDS).await?;
        let line = |o: &Value| {
            let meta = &o["metadata"];
            [
                &o["kind"],
                &meta["name"],
                &meta["uid"],
                &meta["resourceVersion"],
            ]
            .map(text)
            .join(" ")
        };
        Ok(all.iter().map(line).collect())
    }

    /// Uids of the pods, by name.
    pub async fn pods(&self) -> Result<Vec<String>> {
        let all = self.list("pod").await?;
        let line = |o: &Value| {
            format!(
                "{} {}",
                text(&o["metadata"]["name"]),
                text(&o["metadata"]["uid"])
            )
        };
        Ok(all
            .iter()
            .map(line)
            .filter(|l| !l.contains("migrate") && !l.contains("bootstrap"))
            .collect())
    }

    /// Writes of the operator after the mark, as `verb resource/name`.
    pub fn writes(&self, operator: &Operator<'_>, mark: AuditMark) -> Result<Vec<String>> {
        let mut all = self.cluster.audit_since(mark)?;
        all.retain(|e| {
            e.username() == operator.username()
                && e.is_write()
                && e.object_ref.resource != "leases"
                && e.object_ref.namespace == self.namespace.name
        });
        Ok(all
            .iter()
            .map(|e| {
                let o = &e.object_ref;
                format!(
                    "{} {}{}/{} {}",
                    e.verb,
                    o.resource,
                    o.subresource,
                    o.name,
                    e.code()
                )
            })
            .collect())
    }

    /// Waits until nothing was written for a while.
    pub async fn settled(&self, operator: &Operator<'_>) -> Result<()> {
        let quiet = 2 * SECOND;
        let mut mark = self.cluster.audit_mark()?;
        let mut since = Instant::now();
        wait_for("rest", LONG, async || {
            let writes = self.writes(operator, mark)?;
            if writes.is_empty() {
                return Ok((since.elapsed() > quiet).then_some(()));
            }
            mark = self.cluster.audit_mark()?;
            since = Instant::now();
            bail!("{writes:?}")
        })
        .await
    }

    /// Looks at the Instance ten times by request; nothing but its own status may change.
    pub async fn ten_forced_passes(&self) -> Result<()> {
        let before = self.versions().await?;
        for request in 1..=10 {
            let value = format!("look-{request}");
            let annotation = format!("paperclip.inc/reconcile-requested-at={value}");
            let arguments = [
                "annotate",
                "instance",
                &self.name,
                "--overwrite",
                &annotation,
            ];
            self.namespace.kubectl(&arguments).await?;
            self.until("the request is handled", |i| {
                i["status"]["lastHandledReconcileAt"] == *value
            })
            .await?;
        }
        assert_eq!(self.versions().await?, before);
        Ok(())
    }

    /// Reasons of the events about the Instance, with their texts.
    pub async fn events(&self) -> Result<Vec<(String, String)>> {
        let all = self.list("events.events.k8s.io").await?;
        let about = |o: &Value| o["regarding"]["kind"] == "Instance";
        let told = |o: &Value| (text(&o["reason"]), text(&o["note"]));
        Ok(all.iter().filter(|o| about(o)).map(told).collect())
    }

    /// Nothing that must outlive the Instance has an owner, and its content is what it was.
    pub async fn data_are_safe(&self, recording: &str) -> Result<()> {
        let documents: Vec<Value> = serde_saphyr::from_multiple(recording)?;
        let kept = documents
            .iter()
            .filter(|d| matches!(d["kind"].as_str(), Some("Secret" | "PersistentVolumeClaim")));
        for was in kept {
            let (kind, name) = (text(&was["kind"]), text(&was["metadata"]["name"]));
            let is = self.get(&kind, &name).await?;
            let meta = &is["metadata"];
            ensure!(meta["ownerReferences"].is_null(), "{kind} {name}: {meta:#}");
            ensure!(
                meta["deletionTimestamp"].is_null(),
                "{kind} {name} is being deleted"
            );
            for (key, value) in was["data"].as_object().into_iter().flatten() {
                ensure!(
                    is["data"][key] == *value,
                    "{kind} {name}: key {key} has changed"
                );
            }
            let size = "/spec/resources/requests/storage";
            ensure!(is.pointer(size) == was.pointer(size), "{kind} {name}: size");
        }
        Ok(())
    }

    /// Deletes the Instance and waits until everything but the data is gone.
    pub async fn delete(&self) -> Result<()> {
        let arguments = [
            "delete",
            "instance",
            &self.name,
            "--wait=true",
            "--timeout=60s",
        ];
        self.namespace.kubectl(&arguments).await?;
        // By Kubernetes' own collector, which in a cluster that has just started may not know our kinds yet.
        wait_for("what belonged to the Instance to go", 3 * LONG, async || {
            let left = self
                .list("statefulset,service,serviceaccount,networkpolicy,job,cronjob,paperclipdatabase,ingress,poddisruptionbudget")
                .await?;
            let names: Vec<_> = left
                .iter()
                .filter(|o| o["metadata"]["labels"]["app.kubernetes.io/instance"] == *self.name)
                .map(|o| format!("{} {}", o["kind"], o["metadata"]["name"]))
                .collect();
            ensure!(names.is_empty(), "still there: {names:?}");
            Ok(Some(()))
        })
        .await
    }
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn forget<S: AsRef<str>>(object: &mut Value, fields: &[S]) {
    if let Some(map) = object.as_object_mut() {
        map.retain(|key, _| !fields.iter().any(|field| field.as_ref() == key));
    }
}

/// `status/reason` of a condition.
pub fn condition(object: &Value, kind: &str) -> String {
    let all = object["status"]["conditions"].as_array();
    let found = all.into_iter().flatten().find(|c| c["type"] == kind);
    found.map_or_else(
        || "none".to_owned(),
        |c| format!("{}/{}", text(&c["status"]), text(&c["reason"])),
    )
}

/// Kind and uid of the controlling owner.
pub fn controller(object: &Value) -> (String, String) {
    let owners = object["metadata"]["ownerReferences"].as_array();
    let found = owners
        .into_iter()
        .flatten()
        .find(|o| o["controller"] == true);
    found
        .map(|o| (text(&o["kind"]), text(&o["uid"])))
        .unwrap_or_default()
}

/// Managers with an entry of their own, status aside, as `operation manager`.
pub fn managers(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array();
    let mut all: Vec<_> = entries
        .into_iter()
        .flatten()
        .filter(|e| e["subresource"].is_null())
        .map(|e| format!("{} {}", text(&e["operation"]), text(&e["manager"])))
        .collect();
    all.sort();
    all
}

/// Names of a list's entries.
pub fn names(list: &Value) -> Vec<String> {
    let all = list.as_array().into_iter().flatten();
    all.map(|e| text(&e["name"])).collect()
}
