//! `paperclip-operator run`: puts the parts together, and ends the process if one of them ends.

use crate::controllers::World;
use crate::shared::api::ApiServer;
use crate::shared::apply::Memory;
use crate::shared::context::Context;
use crate::shared::events::Events;
use crate::shared::health::{self, Exported, Gates};
use crate::shared::metrics::Metrics;
use crate::shared::options::Options;
use crate::shared::supervise::Tasks;
use k8s_controller::LeaderElection;
use kube::{Client, Config};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Calls to the API server at once; watches aside.
const PLACES: usize = 32;
/// What running passes get to end when the process is told to.
const GRACE: Duration = Duration::from_secs(20);
/// A leader that cannot renew for `RENEW` stops; another may take over after `LEASE` without a renewal.
const LEASE: Duration = Duration::from_secs(10);
const RENEW: Duration = Duration::from_secs(7);
const RETRY: Duration = Duration::from_secs(2);
const LEASE_NAME: &str = "paperclip-operator";

/// Why the process ends with an error.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No cluster to talk to.
    #[error("no cluster: {0}")]
    Config(String),
    /// The client cannot be made.
    #[error("client: {0}")]
    Client(#[from] kube::Error),
    /// Metrics cannot be registered.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// Signals cannot be received.
    #[error("signals: {0}")]
    Signals(#[from] std::io::Error),
    /// A part has ended.
    #[error("{0}")]
    Part(String),
}

/// Runs until SIGTERM or SIGINT (then `Ok`), or until a part ends.
///
/// # Errors
/// See [`RunError`].
pub async fn run(mut options: Options) -> Result<(), RunError> {
    // Policies and scrapes name the operator's own namespace, too: a pod is told where it is.
    options.lease_namespace = options.lease_namespace.or_else(own_namespace);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let config = config().await?;
    let host = config.cluster_url.host().unwrap_or_default().to_owned();
    let namespace = options
        .lease_namespace
        .clone()
        .unwrap_or_else(|| config.default_namespace.clone());
    // Renewals of the lease must never queue behind work, so they have connections of their own.
    let mut lease_config = config.clone();
    lease_config.read_timeout = Some(Duration::from_secs(5));
    let client = Client::try_from(config)?;
    let metrics = Metrics::new()?;
    let gates = Gates::new();
    let scopes = options.scopes();
    let mut tasks = Tasks::default();

    if let Some(addr) = options.health_addr.0 {
        tasks.spawn("health server", listen(addr, gates.clone(), None));
    }
    tasks.spawn("heart", health::heart(gates.clone()));

    let world = Arc::new(World::new(&scopes, &metrics));
    world.watch(&client, &scopes, &gates, &metrics, &mut tasks);
    let api = Arc::new(ApiServer::new(client, host, PLACES, metrics.clone()));
    let identity = identity();
    let (events, writer) = Events::new(api.clone(), metrics.clone(), identity.clone());
    tasks.spawn("events", writer);
    let leader_elect = options.leader_elect;
    let metrics_addr = options.metrics_addr.0;
    let context = Arc::new(Context {
        api,
        memory: Memory::default(),
        metrics: metrics.clone(),
        events,
        options,
    });
    if let Some(addr) = metrics_addr {
        let exported = Exported {
            metrics: metrics.clone(),
            app: world.ask_app(&context),
        };
        tasks.spawn(
            "metrics server",
            listen(addr, gates.clone(), Some(exported)),
        );
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        identity,
        ?scopes,
        leader_elect,
        "starting"
    );

    let stop = CancellationToken::new();
    let work = {
        let (world, stop, context) = (world.clone(), stop.clone(), context.clone());
        async move {
            world.synced().await;
            tracing::info!("all caches are complete, working");
            world.control(context, stop).await;
        }
    };
    let leader = metrics.leader.with_label_values(&[LEASE_NAME]);
    let election = if leader_elect {
        let election = LeaderElection::new(
            Client::try_from(lease_config)?,
            &namespace,
            LEASE_NAME,
            &identity,
        );
        Some(
            election
                .with_lease_duration(LEASE)
                .with_renew_deadline(RENEW)
                .with_retry_period(RETRY),
        )
    } else {
        None
    };
    let (shared, elected) = (leader.clone(), election.clone());
    // The events' queue ends with its last sender. This one outlives the work, or a lost lease, which drops the work, would look as if the
    // events had failed first.
    let queue = context;
    let mut working = tokio::spawn(async move {
        if let Some(election) = elected {
            election
                .with_lease(async {
                    shared.set(1);
                    work.await;
                })
                .await
                .ok_or("the lease was lost")
        } else {
            work.await;
            Ok(())
        }
    });

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        part = tasks.first_end() => return Err(RunError::Part(part)),
        ended = &mut working => {
            return Err(RunError::Part(match ended {
                Ok(Ok(())) => "the controllers ended".to_owned(),
                Ok(Err(why)) => why.to_owned(),
                Err(error) => format!("the controllers died: {error}"),
            }));
        }
    }
    tracing::info!("stopping: no new pass begins");
    stop.cancel();
    if tokio::time::timeout(GRACE, &mut working).await.is_err() {
        tracing::warn!("passes did not end in time and are given up");
        working.abort();
        if let Some(election) = &election {
            // The work is gone, so the lease may be handed over.
            let _ = tokio::time::timeout(Duration::from_secs(2), election.release()).await;
        }
    }
    leader.set(0);
    drop(queue);
    tasks.stop().await;
    Ok(())
}

async fn config() -> Result<Config, RunError> {
    let mut config = Config::infer()
        .await
        .map_err(|e| RunError::Config(e.to_string()))?;
    config.connect_timeout = Some(Duration::from_secs(5));
    config.write_timeout = Some(Duration::from_secs(10));
    // Retries are ours to decide: kube's would keep a call for minutes.
    config.default_retry = false;
    let agent = concat!("paperclip-operator/", env!("CARGO_PKG_VERSION"));
    config.headers.push((
        http::header::USER_AGENT,
        http::HeaderValue::from_static(agent),
    ));
    Ok(config)
}

async fn listen(addr: std::net::SocketAddr, gates: Arc<Gates>, exported: Option<Exported>) {
    if let Err(error) = health::serve(addr, gates, exported).await {
        tracing::error!(%addr, %error, "cannot listen");
    }
}

/// The namespace of this pod, if it is one.
fn own_namespace() -> Option<String> {
    std::env::var("POD_NAMESPACE")
        .ok()
        .filter(|namespace| !namespace.is_empty())
}

/// Unique per process: the pod's name, or something random.
fn identity() -> String {
    let random = crate::shared::random::bytes::<4>()
        .map(|b| crate::shared::random::hex(&b))
        .unwrap_or_default();
    let host = std::env::var("POD_NAME")
        .or_else(|_| std::env::var("HOSTNAME"))
        .unwrap_or_else(|_| "paperclip-operator".into());
    format!("{host}_{random}")
}
