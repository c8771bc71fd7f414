//! What becomes of the parts of the pod.

use super::*;

fn read(yaml: &str, look: impl FnOnce(&Pod<'_>)) -> Vec<String> {
    let spec: InstanceSpec = serde_saphyr::from_str(yaml).unwrap();
    let mut out = Findings::default();
    look(&pod(&spec, &mut out));
    out.iter()
        .map(|f| format!("{} {}: {}", f.class.reason(), f.path, f.text))
        .collect()
}

#[test]
fn without_a_word_the_pod_is_restricted_and_ends_in_good_time() {
    let said = read("{}", |p| {
        assert_eq!(
            (p.grace, p.drain, p.share_processes),
            (1800, Some(15), true)
        );
        assert_eq!(p.security.run_as_user, Some(1000));
        assert_eq!(
            p.security.fs_group_change_policy.as_deref(),
            Some("OnRootMismatch")
        );
        assert_eq!(p.container_security.read_only_root_filesystem, Some(true));
        let requests = p.resources.requests.as_ref().unwrap();
        assert_eq!(
            (&*requests["cpu"].0, &*requests["memory"].0),
            ("100m", "512Mi")
        );
        assert!(p.resources.limits.is_none());
    });
    assert!(said.is_empty(), "{said:?}");
}

#[test]
fn a_security_context_replaces_ours_and_only_holes_are_filled() {
    let said = read(
        "security: {podSecurityContext: {runAsUser: 7}, containerSecurityContext: {privileged: false}}",
        |p| {
            assert_eq!(p.security.run_as_user, Some(7));
            assert_eq!(p.security.run_as_group, Some(1000));
            assert_eq!(
                (p.security.fs_group, p.security.run_as_non_root),
                (None, None)
            );
            assert!(p.security.seccomp_profile.is_some());
            assert_eq!(p.container_security.capabilities, None);
        },
    );
    assert!(
        said[0].starts_with("AcceptedWithWarnings spec.security.podSecurityContext.runAsUser: 7")
    );
    read(
        "security: {podSecurityContext: {runAsNonRoot: false}}",
        |p| assert_eq!(p.security.run_as_user, None),
    );
}

#[test]
fn the_sleep_before_the_end_is_shorter_than_the_grace_period() {
    let said = read(
        "availability: {terminationGracePeriodSeconds: 10, serverDrain: {timeoutSeconds: 60}}",
        |p| assert_eq!(p.drain, Some(9)),
    );
    assert_eq!(
        said,
        [
            "Clamped spec.availability.serverDrain.timeoutSeconds: 60 lowered to 9, the grace period is 10"
        ]
    );
    for off in ["enabled: false", "timeoutSeconds: 0"] {
        read(&format!("availability: {{serverDrain: {{{off}}}}}"), |p| {
            assert_eq!(p.drain, None);
        });
    }
}

#[test]
fn limits_below_requests_are_refused_by_value_not_by_text() {
    let said = read(
        "resources: {requests: {memory: 1Gi, cpu: '1'}, limits: {memory: 1024Mi, cpu: 500m}}",
        |_| {},
    );
    assert_eq!(
        said,
        ["InvalidSpec spec.resources.limits.cpu: 500m is below the request 1"]
    );
}

#[test]
fn a_mount_of_data_means_the_data_volume_unless_the_user_has_one() {
    let yaml = "
        extraVolumeMounts: [{name: data, mountPath: /a}]
        initContainers: [{name: i, image: x, volumeMounts: [{name: data, mountPath: /b}]}]";
    read(yaml, |p| {
        assert_eq!(p.mounts[0].name, "paperclip-data");
        let mounts = p.init[0].volume_mounts.as_ref().unwrap();
        assert_eq!(mounts[0].name, "paperclip-data");
    });
    let own = format!("{yaml}\n        extraVolumes: [{{name: data, emptyDir: {{}}}}]");
    read(&own, |p| assert_eq!(p.mounts[0].name, "data"));
}

#[test]
fn what_would_hide_the_data_or_take_our_names_is_refused() {
    let said = read(
        "
        sidecars: [{name: tailscale, image: x}]
        shareProcessNamespace: false
        extraVolumes: [{name: paperclip-data, emptyDir: {}}, {name: v, emptyDir: {}}]
        extraVolumeMounts: [{name: v, mountPath: /paperclip/}, {name: v, mountPath: /paperclip/sub}, {name: v, mountPath: /}, {name: w, mountPath: /w}]",
        |_| {},
    );
    assert_eq!(
        said,
        [
            "InvalidSpec spec.sidecars[0].name: the container name is reserved",
            "InvalidSpec spec.extraVolumes[0].name: the volume name is reserved",
            "InvalidSpec spec.extraVolumeMounts[0].mountPath: \"/paperclip/\" would hide the data",
            "InvalidSpec spec.extraVolumeMounts[2].mountPath: \"/\" would hide the data",
            "InvalidSpec spec.extraVolumeMounts[3].name: no volume \"w\""
        ]
    );
}
