//! The operator as a process: its rights, its end, its start. What it does with objects is told elsewhere.

use anyhow::Result;
use paperclip_e2e::harness::{Cluster, OperatorOptions};

#[tokio::test]
async fn it_starts_with_the_rights_of_an_installation_and_no_others() -> Result<()> {
    let cluster = Cluster::api().await?;
    let namespace = cluster.namespace("rights").await?;
    let operator = cluster
        .operator(OperatorOptions::for_namespace(&namespace.name))
        .await?;

    let account = operator.username();
    let may = async |verb: &str, what: &str, place: &str| -> Result<bool> {
        let arguments = [
            "auth",
            "can-i",
            verb,
            what,
            "--as",
            &account,
            "--namespace",
            place,
        ];
        Ok(cluster
            .kubectl_output(&arguments, None)
            .await?
            .status
            .success())
    };
    assert!(may("create", "statefulsets.apps", &namespace.name).await?);
    assert!(
        !may("create", "statefulsets.apps", "default").await?,
        "another namespace than its own"
    );
    assert!(!may("list", "secrets", &namespace.name).await?);
    assert!(!may("delete", "persistentvolumeclaims", &namespace.name).await?);
    assert!(!may("create", "namespaces", &namespace.name).await?);

    assert!(
        operator.metrics().await?.contains("paperclip_"),
        "its own metrics"
    );
    Ok(())
}

#[tokio::test]
async fn nothing_it_asks_for_is_forbidden() -> Result<()> {
    let cluster = Cluster::api().await?;
    let namespace = cluster.namespace("forbidden").await?;
    let mark = cluster.audit_mark()?;
    let mut options = OperatorOptions::for_namespace(&namespace.name);
    options.arguments = vec!["--leader-elect".to_owned()];
    let mut operator = cluster.operator(options).await?;
    namespace
        .apply(include_str!("../../../deploy/samples/quickstart.yaml"))
        .await?;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let status = operator.stop().await?;
    assert!(status.success(), "it ends in order: {status}");

    let events = cluster.audit_since(mark)?;
    let own: Vec<_> = events
        .iter()
        .filter(|event| event.username() == operator.username())
        .collect();
    assert!(
        own.iter()
            .any(|event| event.verb == "list" || event.verb == "watch"),
        "it looked at something"
    );
    let forbidden: Vec<_> = own
        .iter()
        .filter(|event| event.code() == 403)
        .map(|event| &event.request_uri)
        .collect();
    assert!(forbidden.is_empty(), "{forbidden:?}");
    let agents: Vec<_> = own
        .iter()
        .filter(|event| !event.user_agent.starts_with("paperclip-operator/"))
        .collect();
    assert!(agents.is_empty(), "{agents:?}");
    Ok(())
}

#[tokio::test]
async fn it_is_ready_again_after_it_was_killed() -> Result<()> {
    let cluster = Cluster::api().await?;
    let namespace = cluster.namespace("killed").await?;
    let mut operator = cluster
        .operator(OperatorOptions::for_namespace(&namespace.name))
        .await?;
    let first = operator.pid();
    operator.kill9().await?;
    assert!(
        operator.metrics().await.is_err(),
        "a killed operator does not answer"
    );
    operator.start().await?;
    assert_ne!(operator.pid(), first);
    operator.metrics().await?;
    Ok(())
}
