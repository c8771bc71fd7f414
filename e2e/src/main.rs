//! Command line of the local cluster. Also the programs that run inside it: hidden commands, started by this program only.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use paperclip_e2e::bench;
use paperclip_e2e::binaries::{Binaries, Group};
use paperclip_e2e::cache::Cache;
use paperclip_e2e::cluster::{self, Options, Tier, host, init};
use paperclip_e2e::demo;
use paperclip_e2e::images::{self, operator, store as image_store};
use paperclip_e2e::system::{self, Package, say};

#[derive(Parser)]
#[command(about = "A throw-away Kubernetes cluster on this machine, and the images that run on it")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start or end a local cluster
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Build the images that are missing; with --load also put the operator's image into a running cluster
    Images {
        /// Put the operator's image into the cluster of this folder
        #[arg(long)]
        load: Option<PathBuf>,
        /// Write the images as archives into this folder
        #[arg(long)]
        archives: Option<PathBuf>,
    },
    /// Install the packages and build the programs and images that the tests need, as far as they are missing
    Prepare,
    /// From nothing to a sample Instance that runs
    Demo {
        /// On the cluster of the current kubeconfig instead of a local one
        #[arg(long)]
        use_cluster: bool,
        /// Folder of the local cluster
        #[arg(long, default_value = ".cluster")]
        dir: PathBuf,
    },
    /// Measure what the operator costs; prints the table of docs/performance.md
    Bench {
        /// Instances at once
        #[arg(long, default_value_t = 1000)]
        fleet: usize,
        /// Instances one after the other
        #[arg(long, default_value_t = 30)]
        singles: usize,
        /// Seconds to look at a fleet at rest
        #[arg(long, default_value_t = 120)]
        rest: u64,
    },
    #[command(hide = true)]
    ClusterInit { run: PathBuf },
    #[command(hide = true)]
    ClusterSupervise { run: PathBuf },
    #[command(hide = true)]
    FillStore {
        folder: PathBuf,
        images: Vec<PathBuf>,
    },
    #[command(hide = true)]
    ImportImage { image: PathBuf },
}

#[derive(Subcommand)]
enum ClusterCommand {
    /// Start it
    Up {
        /// With a real kubelet, so that containers run
        #[arg(long)]
        node: bool,
        /// Folder for kubeconfig and logs
        #[arg(long, default_value = ".cluster")]
        dir: PathBuf,
        /// Log every request to the API server (log/audit.log)
        #[arg(long)]
        audit: bool,
        /// Let etcd wait for the disk
        #[arg(long)]
        fsync: bool,
    },
    /// End it, and remove all it wrote
    Down {
        /// Its folder
        #[arg(long, default_value = ".cluster")]
        dir: PathBuf,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        // The first process of a namespace has no threads and no runtime: it only waits.
        Command::ClusterInit { run } => init::first_process(&run),
        Command::FillStore { folder, images } => {
            image_store::fill(&folder, &images).map(|()| ExitCode::SUCCESS)
        }
        Command::ImportImage { image } => image_store::import(&image).map(|()| ExitCode::SUCCESS),
        other => with_runtime(other),
    };
    result.unwrap_or_else(|error| {
        say(&format!("error: {error:#}"));
        ExitCode::FAILURE
    })
}

#[tokio::main]
async fn with_runtime(command: Command) -> Result<ExitCode> {
    let cache = Cache::open()?;
    match command {
        Command::Cluster(ClusterCommand::Up {
            node,
            dir,
            audit,
            fsync,
        }) => {
            let tier = if node { Tier::Node } else { Tier::Api };
            let (state, lifeline) =
                cluster::up(&cache, &dir, &Options { tier, audit, fsync }).await?;
            lifeline.detach()?;
            println!(
                "export KUBECONFIG={}",
                state.dir.join("kubeconfig").display()
            );
            println!("# kubectl, if you have none: {}", state.kubectl.display());
        }
        Command::Cluster(ClusterCommand::Down { dir }) => {
            if !cluster::down(&cache, &dir).await? {
                say("no cluster was running");
            }
        }
        Command::Prepare => prepare(&cache).await?,
        Command::Demo {
            use_cluster: true, ..
        } => demo::on_current_cluster().await?,
        Command::Demo { dir, .. } => demo::on_local_cluster(&cache, &dir).await?,
        Command::Images { load, archives } => build_images(&cache, load, archives).await?,
        Command::Bench {
            fleet,
            singles,
            rest,
        } => {
            let plan = bench::Plan {
                fleet,
                singles,
                rest: std::time::Duration::from_secs(rest),
            };
            println!("{}", bench::run(&plan).await?);
        }
        Command::ClusterSupervise { run } => init::supervise(&run).await?,
        Command::ClusterInit { .. } | Command::FillStore { .. } | Command::ImportImage { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn prepare(cache: &Cache) -> Result<()> {
    let databases = [
        Package {
            name: "postgresql",
            provides: "/usr/lib/postgresql",
        },
        Package {
            name: "pgbouncer",
            provides: "/usr/sbin/pgbouncer",
        },
    ];
    host::ensure_packages(Tier::Node).await?;
    system::ensure_packages(&databases).await?;
    Binaries::ensure(
        cache,
        &[
            Group::Kubernetes,
            Group::Etcd,
            Group::Kwok,
            Group::CoreDns,
            Group::Helm,
            Group::S3,
            Group::Jaeger,
        ],
    )
    .await?;
    images::store(cache).await?;
    operator::programs("quick").await.map(drop)
}

async fn build_images(
    cache: &Cache,
    load: Option<PathBuf>,
    archives: Option<PathBuf>,
) -> Result<()> {
    let mut built = images::base(cache).await?;
    let programs = operator::programs("release").await?;
    let operator = operator::build(cache, &programs).await?;
    built.push(operator.clone());
    if let Some(dir) = load {
        host::import(cache, &dir, &operator).await?;
    }
    for image in &built {
        let mebibytes = images::oci::size(image)? / (1 << 20);
        println!("{} ({mebibytes} MiB)", image.display());
        if let Some(folder) = &archives {
            std::fs::create_dir_all(folder)?;
            let name = image
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let file = std::fs::File::create(folder.join(format!("{name}.tar")))?;
            images::oci::pack(image, std::io::BufWriter::new(file))?;
        }
    }
    Ok(())
}
