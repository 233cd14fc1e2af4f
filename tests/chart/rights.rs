//! The roles: they allow what the code needs and no more.

use std::{collections::BTreeMap, fs};

use authentik_stage_operator::ops::rbac;
use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::{Value, json};

use crate::rendering::{
    NAME, NAMESPACE, ca_elsewhere, chart, everything, objects, of_kind, only, variable,
};

/// All rules by the namespace of their role, empty for ClusterRoles; each role has to be bound to the operator.
fn rules(values: &Value) -> BTreeMap<String, Vec<Value>> {
    let objects = objects(values);
    let account =
        only(&objects, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"].clone();
    let mut rules = BTreeMap::<_, Vec<_>>::new();
    for kind in ["Role", "ClusterRole"] {
        let bindings = of_kind(&objects, &format!("{kind}Binding"));
        for role in of_kind(&objects, kind) {
            let place = &role["metadata"]["namespace"];
            let bound = |binding: &&Value| {
                binding["metadata"]["namespace"] == *place
                    && binding["roleRef"]["kind"] == kind
                    && binding["roleRef"]["name"] == role["metadata"]["name"]
            };
            let binding = bindings.iter().find(bound).expect("the role is bound");
            let subject =
                json!({"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE});
            assert_eq!(binding["subjects"], json!([subject]));
            let place = place.as_str().unwrap_or_default().to_owned();
            let more = role["rules"].as_array().expect("a list").iter().cloned();
            rules.entry(place).or_default().extend(more);
        }
    }
    rules
}

fn expected<const N: usize>(
    by_place: [(&str, Vec<Vec<PolicyRule>>); N],
) -> BTreeMap<String, Vec<Value>> {
    let values = |rules: Vec<Vec<PolicyRule>>| {
        let rules = rules.concat().into_iter();
        rules
            .map(|rule| serde_json::to_value(rule).expect("a rule is JSON"))
            .collect()
    };
    by_place
        .map(|(place, rules)| (place.to_owned(), values(rules)))
        .into()
}

#[test]
fn the_operator_is_allowed_what_its_code_needs() {
    use rbac::{cluster_rules, event_rules, leader_election_rules, namespaced_rules, secret_rules};
    let everywhere = |watched| vec![namespaced_rules(), event_rules(), secret_rules(watched)];
    let election = || (NAMESPACE, vec![leader_election_rules(NAME)]);
    for watched in [true, false] {
        let all = [everywhere(watched), vec![cluster_rules()]].concat();
        let values = json!({"secrets": {"watch": watched}});
        assert_eq!(rules(&values), expected([("", all), election()]));

        let values =
            json!({"secrets": {"watch": watched}, "watchNamespaces": ["team-a", "team-b"]});
        let some = expected([
            ("", vec![cluster_rules()]),
            ("team-a", everywhere(watched)),
            ("team-b", everywhere(watched)),
            // Where Kubernetes keeps the events of cluster connections.
            ("default", vec![event_rules()]),
            election(),
        ]);
        assert_eq!(rules(&values), some);
    }
    let own = json!({"watchNamespaces": [NAMESPACE], "rbac": {"clusterConnections": false}});
    let in_own = [everywhere(true), vec![leader_election_rules(NAME)]].concat();
    assert_eq!(rules(&own), expected([(NAMESPACE, in_own)]));
    let alone = json!({"replicas": 1, "leaderElection": {"enabled": false}});
    assert_eq!(rules(&alone).keys().collect::<Vec<_>>(), [""]);
    assert_eq!(rules(&json!({"rbac": {"create": false}})), BTreeMap::new());
}

#[test]
fn one_lease_may_be_written_and_it_is_that_of_the_program() {
    for (values, lease) in [(json!({}), NAME), (everything(), "ours")] {
        assert_eq!(variable(&values, "LEASE_NAME").as_deref(), Some(lease));
        let expected = expected([(NAMESPACE, vec![rbac::leader_election_rules(lease)])]);
        assert_eq!(rules(&values)[NAMESPACE], expected[NAMESPACE]);
    }
    let named = |rule: &PolicyRule| rule.resource_names.as_deref() == Some(&["ours".to_owned()]);
    let (by_name, by_any) = rbac::leader_election_rules("ours")
        .into_iter()
        .partition::<Vec<_>, _>(named);
    assert!(by_name.iter().any(|rule| rule.verbs == ["get", "update"]));
    assert!(by_any.iter().all(|rule| rule.verbs == ["create"]));
}

#[test]
fn tokens_and_certificates_elsewhere_may_be_read_by_name_alone() {
    let mut tokens = rbac::secret_rules(false);
    tokens[0].resource_names = Some(vec!["other".to_owned(), "token".to_owned()]);
    let expected = expected([("authentik", vec![tokens])]);
    assert_eq!(rules(&everything())["authentik"], expected["authentik"]);
    let of_ca = rules(&ca_elsewhere())["authentik"][0]["resourceNames"].clone();
    assert_eq!(of_ca, json!(["token", "ca", "access"]));
}

#[test]
fn the_rules_are_those_of_the_code() {
    let folder = chart().join("files/rbac");
    let names = fs::read_dir(&folder).expect("it can be read");
    assert_eq!(
        names.count(),
        rbac::parts().len(),
        "files/rbac has a file too many"
    );
    for (part, rules) in rbac::parts() {
        let text = fs::read_to_string(folder.join(format!("{part}.yaml"))).expect("it can be read");
        let committed: Vec<PolicyRule> = serde_saphyr::from_str(&text).expect("it is YAML");
        assert_eq!(
            committed, rules,
            "files/rbac/{part}.yaml is out of date; run `make generate`"
        );
    }
}
