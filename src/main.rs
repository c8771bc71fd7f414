//! Command line of the operator.
#![forbid(unsafe_code)]

use clap::{Parser, Subcommand};
use paperclip_operator::crd::{self, manifest};
use paperclip_operator::run;
use paperclip_operator::shared::options::Options;
use paperclip_operator::shared::telemetry::Telemetry;
use std::process::ExitCode;

/// Kubernetes operator for Paperclip
#[derive(Parser)]
#[command(name = "paperclip-operator")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the controllers
    Run(Box<Options>),
    /// Print the definitions of all kinds as YAML
    Crds,
    /// Print the version
    Version,
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(options) => operate(*options),
        Command::Crds => match manifest::stream(&crd::all()) {
            Ok(yaml) => print(yaml.trim_end()),
            Err(error) => fail(&error.to_string()),
        },
        Command::Version => print(env!("CARGO_PKG_VERSION")),
    }
}

fn operate(options: Options) -> ExitCode {
    // Two workers are enough for what is mostly waiting, and keep the memory small on large nodes.
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("runtime: {error}")),
    };
    runtime.block_on(async {
        let telemetry = match Telemetry::start() {
            Ok(telemetry) => telemetry,
            Err(error) => return fail(&error.to_string()),
        };
        let ended = run::run(options).await;
        if let Err(error) = &ended {
            tracing::error!(%error, "the operator ends");
        }
        telemetry.shutdown();
        if ended.is_ok() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    })
}

#[allow(clippy::print_stdout)] // what the command is for
fn print(text: &str) -> ExitCode {
    println!("{text}");
    ExitCode::SUCCESS
}

#[allow(clippy::print_stderr)] // there is no log yet
fn fail(why: &str) -> ExitCode {
    eprintln!("paperclip-operator: {why}");
    ExitCode::FAILURE
}
