//! The manifests start the operator with flags that it knows, and with what an installation needs.
#![allow(clippy::unwrap_used)] // a manifest that cannot be read fails the test

use clap::Parser;
use paperclip_operator::shared::options::Options;
use serde_json::Value;
use std::fs;
use std::path::Path;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    options: Options,
}

fn container() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/install.yaml");
    let text = fs::read_to_string(path).unwrap();
    // The other documents are not read: the definitions alone are half a megabyte.
    let document = text
        .split("\n---\n")
        .find(|document| document.contains("\nkind: Deployment\n"))
        .unwrap();
    let deployment: Value = serde_saphyr::from_str(document).unwrap();
    deployment["spec"]["template"]["spec"]["containers"][0].clone()
}

#[test]
fn the_operator_knows_the_flags_that_it_is_started_with() {
    let container = container();
    let mut arguments = container["args"].as_array().unwrap().iter();
    assert_eq!(arguments.next().unwrap(), "run");
    let arguments = arguments.map(|argument| argument.as_str().unwrap());
    let options = Cli::try_parse_from(std::iter::once("run").chain(arguments))
        .unwrap_or_else(|error| panic!("{error}"))
        .options;
    assert!(options.leader_elect);
    assert_eq!(options.agent_image, container["image"].as_str().unwrap());
    for (name, address) in [
        ("health", options.health_addr),
        ("metrics", options.metrics_addr),
    ] {
        let ports = container["ports"].as_array().unwrap();
        let port = ports.iter().find(|port| port["name"] == name).unwrap();
        let listens = address.0.unwrap();
        assert_eq!(port["containerPort"], listens.port());
        assert!(listens.ip().is_unspecified(), "nobody could reach {name}");
    }
}

#[test]
fn the_image_is_of_this_version() {
    let wanted = Cli::try_parse_from(["run"])
        .unwrap_or_else(|error| panic!("{error}"))
        .options
        .agent_image;
    assert_eq!(container()["image"], wanted);
}

#[test]
fn probes_ask_paths_that_are_answered() {
    let container = container();
    for (probe, path) in [("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
        assert_eq!(container[probe]["httpGet"]["path"], path);
        assert_eq!(container[probe]["httpGet"]["port"], "health");
    }
}
