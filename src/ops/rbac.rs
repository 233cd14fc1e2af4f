//! What the operator needs to be allowed in Kubernetes, made from the registry of kinds.

use k8s_openapi::api::rbac::v1::PolicyRule;

use crate::{
    api::{AuthentikConnection, ClusterAuthentikConnection, GROUP, MANAGER},
    kinds::{ForEachKind, Kind, for_each_kind},
};

/// What is done with resources of our own kinds: `get` reads what can't be decoded, `patch` adds and removes the
/// finalizer.
const OF_OUR_KINDS: &[&str] = &["get", "list", "watch", "patch"];

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> PolicyRule {
    let owned = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(owned(resources)),
        verbs: owned(verbs),
        ..PolicyRule::default()
    }
}

/// The rules by what they are for, each name that of a file of the chart.
#[must_use]
pub fn parts() -> [(&'static str, Vec<PolicyRule>); 6] {
    [
        ("namespaced", namespaced_rules()),
        ("events", event_rules()),
        ("secrets-watched", secret_rules(true)),
        ("secrets-read", secret_rules(false)),
        ("cluster", cluster_rules()),
        ("leader-election", leader_election_rules(MANAGER)),
    ]
}

/// All that an operator for all namespaces needs, with the Lease that it takes when it is told no other.
#[must_use]
pub fn all_rules(watch_secrets: bool) -> Vec<PolicyRule> {
    all_rules_with_lease(watch_secrets, MANAGER)
}

/// All that an operator for all namespaces needs, with a Lease of this name.
#[must_use]
pub fn all_rules_with_lease(watch_secrets: bool, lease: &str) -> Vec<PolicyRule> {
    [
        namespaced_rules(),
        event_rules(),
        secret_rules(watch_secrets),
        cluster_rules(),
        leader_election_rules(lease),
    ]
    .concat()
}

/// The rules for our kinds in namespaces: in a Role for each watched namespace, or in a ClusterRole for all.
#[must_use]
pub fn namespaced_rules() -> Vec<PolicyRule> {
    struct Stages(Vec<String>);
    impl ForEachKind for Stages {
        fn kind<K: Kind>(&mut self) {
            self.0.push(K::plural(&()).into_owned());
        }
    }
    let mut stages = Stages(Vec::new());
    for_each_kind(&mut stages);
    let mut names = stages.0;
    names.push(plural::<AuthentikConnection>());
    let statuses: Vec<_> = names.iter().map(|name| format!("{name}/status")).collect();
    vec![
        rule(GROUP, &texts(&names), OF_OUR_KINDS),
        rule(GROUP, &texts(&statuses), &["patch"]),
    ]
}

/// The rules for events: where our kinds are, and for cluster connections in the namespace `default`.
#[must_use]
pub fn event_rules() -> Vec<PolicyRule> {
    vec![rule("events.k8s.io", &["events"], &["create", "patch"])]
}

/// The rules for the Secrets that hold tokens and secret fields, and for Secrets and ConfigMaps that hold certificates.
#[must_use]
pub fn secret_rules(watched: bool) -> Vec<PolicyRule> {
    // The watch is of metadata; a value is read when it is sent.
    let verbs: &[_] = if watched {
        &["get", "list", "watch"]
    } else {
        &["get"]
    };
    vec![rule("", &["configmaps", "secrets"], verbs)]
}

/// The rules for the election of a leader, in the operator's own namespace: for the Lease of this name and no other.
#[must_use]
pub fn leader_election_rules(lease: &str) -> Vec<PolicyRule> {
    let rule = |verbs| rule("coordination.k8s.io", &["leases"], verbs);
    vec![
        // Kubernetes can't limit a creation by name: the request holds none in its path.
        rule(&["create"]),
        PolicyRule {
            resource_names: Some(vec![lease.to_owned()]),
            ..rule(&["get", "update"])
        },
    ]
}

/// The rules for what lies in no namespace.
#[must_use]
pub fn cluster_rules() -> Vec<PolicyRule> {
    let connections = plural::<ClusterAuthentikConnection>();
    vec![
        rule(GROUP, &[&connections], OF_OUR_KINDS),
        rule(GROUP, &[&format!("{connections}/status")], &["patch"]),
        // Their labels decide which namespaces may use a cluster connection.
        rule("", &["namespaces"], &["list", "watch"]),
    ]
}

fn texts(owned: &[String]) -> Vec<&str> {
    owned.iter().map(String::as_str).collect()
}

fn plural<K: kube::Resource<DynamicType = ()>>() -> String {
    K::plural(&()).into_owned()
}
