//! Taking backups away, with object storage that others made: the very ones that are meant, and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use serde_json::{Value, json};
use support::bucket::{BUCKET, Fate};
use support::place::{PREFIX, Place};

fn item(ended: &support::place::Ended) -> Value {
    json!({"location": ended.result["facts"]["location"], "sha256": ended.result["facts"]["sha256"]})
}

#[tokio::test]
async fn the_backups_that_are_named_go_and_no_others() {
    let mut place = Place::new().await;
    let (old, kept) = (place.backup(), place.backup());
    place
        .site
        .set("PAPERCLIP_AGENT_PRUNE", json!([item(&old)]).to_string());
    let ended = place.job("prune").end();
    assert_eq!(ended.code, 0, "{}", place.site.log());
    assert_eq!(ended.result["facts"]["removed"], 1);
    let objects = place.service.objects();
    let names: Vec<_> = objects.keys().collect();
    assert!(!names.is_empty());
    let folder = format!("{PREFIX}/{}/", kept.folder());
    assert!(
        names.iter().all(|name| name.starts_with(&folder)),
        "{names:?}"
    );
    // Again, as after a pod that was lost: there is nothing to do.
    assert_eq!(place.job("prune").end().code, 0);
    assert_eq!(place.service.objects().len(), objects.len());
    assert_eq!(place.job("restore").end().code, 0, "{}", place.site.log());
}

#[tokio::test]
async fn one_that_is_not_what_was_written_or_lies_elsewhere_stays() {
    let mut place = Place::new().await;
    let ended = place.backup();
    let before = place.service.objects();
    let location = ended.result["facts"]["location"].as_str().unwrap();
    let sum = ended.result["facts"]["sha256"].as_str().unwrap();
    for (location, sum, code) in [
        (location.to_owned(), "0".repeat(64), "ArtifactChanged"),
        (
            format!("s3://{BUCKET}/{PREFIX}/"),
            sum.to_owned(),
            "ForeignBackup",
        ),
        (
            format!("s3://{BUCKET}/prod/"),
            sum.to_owned(),
            "ForeignBackup",
        ),
        (
            format!("s3://{BUCKET}/{PREFIX}/../x/"),
            sum.to_owned(),
            "ForeignBackup",
        ),
        (
            format!("s3://other/{PREFIX}/{}/", ended.folder()),
            sum.to_owned(),
            "ForeignBackup",
        ),
        (
            format!("s3://{BUCKET}/other/{}/", ended.folder()),
            sum.to_owned(),
            "ForeignBackup",
        ),
    ] {
        let list = json!([{"location": location, "sha256": sum}]);
        place.site.set("PAPERCLIP_AGENT_PRUNE", list.to_string());
        let ended = place.job("prune").end();
        assert_eq!(
            (ended.code().0, ended.code().1),
            (3, code),
            "{location}: {}",
            ended.message()
        );
        assert!(
            place.service.objects() == before,
            "{location}: something is gone"
        );
    }
}

#[tokio::test]
async fn what_a_lost_connection_leaves_is_no_backup_and_goes_the_next_time() {
    let mut place = Place::new().await;
    let ended = place.backup();
    let endpoint = place.service.port;
    place
        .site
        .set("PAPERCLIP_AGENT_PRUNE", json!([item(&ended)]).to_string());
    // The first removal goes through, and none after it.
    let mut removals = 0;
    let _proxy = place.spoil(move |method, target| {
        if method == "DELETE" || target.contains("delete") {
            removals += 1;
            return if removals > 1 {
                Fate::Overloaded
            } else {
                Fate::Pass
            };
        }
        Fate::Pass
    });
    let first = place.job("prune").end();
    assert_ne!(first.code, 0);
    {
        assert!(
            !place
                .service
                .objects()
                .keys()
                .any(|name| name.ends_with("manifest.json")),
            "the manifest must go first"
        );
    }
    place.site.set(
        "PAPERCLIP_AGENT_S3_ENDPOINT",
        format!("http://127.0.0.1:{endpoint}"),
    );
    assert_eq!(place.job("prune").end().code, 0, "{}", place.site.log());
    place.nothing_is_left();
}
