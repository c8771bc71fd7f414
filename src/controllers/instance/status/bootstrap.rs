//! The condition of the first admin. True only after the server itself said that there is one. Pure.

use super::parts::{Class, Part, refused, remembered};
use super::{Scene, facts, server};
use crate::controllers::instance::applied::Part as Object;
use crate::controllers::instance::gates::{State, is_recorded_admin};
use crate::shared::conditions::{find, quote};
use std::time::Duration;

const KIND: &str = "Bootstrapped";

/// The first admin; `None`: everybody is one.
pub fn part(scene: &Scene<'_>) -> Option<Part> {
    let (Some(plan), Some(v)) = (scene.plan, scene.verdict.validated.as_ref()) else {
        // The spec was not applied: what was seen last stands.
        let known = scene
            .before()
            .is_some_and(|s| find(&s.conditions, KIND).is_some());
        return known.then(|| remembered(scene, KIND));
    };
    if v.access.local_trusted {
        return None;
    }
    let Some(state) = &plan.bootstrap else {
        return Some(nobody_asked(scene).class(Class::Informs));
    };
    if let Some(part) = refused(scene, KIND, Object::Bootstrap) {
        return Some(part);
    }
    let job = scene.names().bootstrap();
    Some(match state {
        State::Waiting => Part::waits(
            KIND,
            "WaitingForServer",
            "the first admin is made when the schema is up to date",
        ),
        State::Due | State::Running => {
            let mut pods = scene.observed.bootstrap_pods.iter();
            match pods.find_map(|p| Some((p, p.view.trouble.as_ref()?))) {
                Some((pod, trouble)) => Part::stalls(
                    KIND,
                    "BootstrapRunning",
                    format!(
                        "Job \"{job}\", pod \"{}\": {} \"{}\"",
                        pod.key.name, trouble.reason, trouble.message
                    ),
                    server::patience(trouble),
                ),
                None => Part::waits(
                    KIND,
                    "BootstrapRunning",
                    format!("Job \"{job}\" is at work"),
                ),
            }
        }
        State::Complete => Part::well(KIND, "AdminExists", "the server says that it has an admin"),
        State::Failed(why) => failed(scene, &job, why),
    })
}

fn nobody_asked(scene: &Scene<'_>) -> Part {
    if is_recorded_admin(scene.before()) {
        return Part::well(KIND, "AdminExists", "the server says that it has an admin");
    }
    Part::unknown(
        KIND,
        "NotObserved",
        "nobody has looked whether there is an admin; until somebody claims the server, anyone who reaches it can: set spec.auth.adminUser",
    )
}

fn failed(scene: &Scene<'_>, job: &str, why: &str) -> Part {
    let result = facts::bootstrap_result(scene);
    let text = |key: &str| {
        result
            .as_ref()
            .and_then(|r| r[key].as_str())
            .unwrap_or_default()
            .to_owned()
    };
    let (code, message) = (text("code"), text("message"));
    if code == "InvalidAdmin" {
        return Part::stalls(
            KIND,
            "InvalidAdmin",
            format!("spec.auth.adminUser: {}", quote(&message)),
            Duration::ZERO,
        );
    }
    let why = if code.is_empty() {
        why.to_owned()
    } else {
        format!("{code}: {message}")
    };
    Part::stalls(
        KIND,
        "BootstrapFailed",
        format!(
            "Job \"{job}\" failed: \"{}\"; another spec.auth.adminUser, or the annotation paperclip.inc/reconcile-requested-at, starts a new try",
            quote(&why)
        ),
        Duration::ZERO,
    )
}
