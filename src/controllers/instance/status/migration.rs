//! The condition of the database's schema. Pure.

use super::parts::{Part, refused, remembered};
use super::{Scene, facts, server};
use crate::controllers::instance::applied::Part as Object;
use crate::controllers::instance::gates::State;
use crate::shared::conditions::find;
use std::time::Duration;

/// The migration as it is; `None`: there is nothing to migrate.
pub fn part(scene: &Scene<'_>) -> Option<Part> {
    const KIND: &str = "Migrated";
    let Some(plan) = scene.plan else {
        // The spec was not applied: what is known of the schema still holds.
        let known = scene
            .before()
            .is_some_and(|s| find(&s.conditions, KIND).is_some());
        return known.then(|| remembered(scene, KIND));
    };
    let has_child = scene
        .verdict
        .validated
        .as_ref()
        .is_some_and(|v| v.database.has_child());
    let waits = "the schema is brought up to date when the database is ready";
    let Some(migration) = &plan.migration else {
        if plan.is_held() {
            // The server that runs has brought the schema up to date by itself.
            return None;
        }
        return has_child.then(|| Part::waits(KIND, "WaitingForDatabase", waits));
    };
    let job = &migration.job;
    if let Some(part) = refused(scene, KIND, Object::Migration) {
        return Some(part);
    }
    Some(match &migration.state {
        State::Waiting => Part::waits(KIND, "WaitingForDatabase", waits),
        State::Due | State::Running => {
            let trouble = scene.observed.job_pods.iter().find_map(|p| {
                let owner = p.controller.as_ref()?;
                (*owner.name == **job).then_some(())?;
                p.view.trouble.as_ref().map(|t| (p, t))
            });
            match trouble {
                Some((pod, trouble)) => Part::stalls(
                    KIND,
                    "MigrationRunning",
                    format!(
                        "Job \"{job}\", pod \"{}\": {} \"{}\"",
                        pod.key.name, trouble.reason, trouble.message
                    ),
                    server::patience(trouble),
                ),
                None => Part::waits(
                    KIND,
                    "MigrationRunning",
                    format!("Job \"{job}\" is at work"),
                ),
            }
        }
        State::Complete => Part::well(KIND, "SchemaUpToDate", format!("Job \"{job}\" is complete")),
        State::Failed(why) => {
            let said = facts::result(scene, job)
                .filter(|r| r["code"].is_string())
                .map(|r| {
                    format!(
                        "{}: {}",
                        r["code"].as_str().unwrap_or_default(),
                        r["message"].as_str().unwrap_or_default()
                    )
                });
            let why = crate::shared::conditions::quote(&said.unwrap_or_else(|| why.clone()));
            Part::stalls(
                KIND,
                "MigrationFailed",
                format!(
                    "Job \"{job}\" failed: \"{why}\"; another image, or the annotation paperclip.inc/reconcile-requested-at, starts a new try"
                ),
                Duration::ZERO,
            )
        }
    })
}
