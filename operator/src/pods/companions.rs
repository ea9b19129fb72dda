//! What the pods of a model need beside them: an identity, the rights that it has, and the gate that evictions wait at.

use std::collections::BTreeSet;

use k8s_openapi::{
    api::{
        core::v1::ServiceAccount,
        policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
        rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject},
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};

use super::{SERVING_LABEL, Settings, Valid, names, template};

/// The objects beside the pods of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Companions {
    /// The identity of the pods.
    pub service_account: ServiceAccount,
    /// What they may read: their own kind of objects, and the Secrets in use, by name.
    pub role: Role,
    /// Gives them the role.
    pub role_binding: RoleBinding,
    /// Keeps evictions off pods with streams.
    pub disruption_budget: Option<PodDisruptionBudget>,
}

impl Companions {
    /// The companions of a model whose sources log in with `secrets`.
    #[must_use]
    pub fn new(valid: &Valid<'_>, settings: &Settings, secrets: &BTreeSet<String>) -> Self {
        let name = names::companion(valid.name);
        let metadata = ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(valid.namespace.to_owned()),
            labels: Some(template::labels(valid)),
            owner_references: Some(vec![template::owner(valid)]),
            ..ObjectMeta::default()
        };
        Self {
            service_account: ServiceAccount { metadata: metadata.clone(), ..ServiceAccount::default() },
            role: Role { metadata: metadata.clone(), rules: Some(rules(valid, secrets)) },
            role_binding: RoleBinding {
                metadata: metadata.clone(),
                role_ref: RoleRef {
                    api_group: "rbac.authorization.k8s.io".to_owned(),
                    kind: "Role".to_owned(),
                    name: name.clone(),
                },
                subjects: Some(vec![Subject {
                    kind: "ServiceAccount".to_owned(),
                    name,
                    namespace: Some(valid.namespace.to_owned()),
                    ..Subject::default()
                }]),
            },
            disruption_budget: settings.gate_evictions.then(|| disruption_budget(valid, metadata)),
        }
    }
}

fn rules(valid: &Valid<'_>, secrets: &BTreeSet<String>) -> Vec<PolicyRule> {
    let rule = |group: &str, resource: &str, names: Option<Vec<String>>, verbs: &[&str]| PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(vec![resource.to_owned()]),
        resource_names: names,
        verbs: verbs.iter().map(|&verb| verb.to_owned()).collect(),
        ..PolicyRule::default()
    };
    let read = ["get", "list", "watch"];
    let mut rules = vec![
        rule(crds::GROUP, "videosources", None, &read),
        rule(crds::GROUP, "detectionmodels", Some(vec![valid.name.to_owned()]), &read),
    ];
    // A rule without names would be one for every Secret.
    if !secrets.is_empty() {
        rules.push(rule("", "secrets", Some(secrets.iter().cloned().collect()), &["get"]));
    }
    rules
}

fn disruption_budget(valid: &Valid<'_>, metadata: ObjectMeta) -> PodDisruptionBudget {
    let mut labels = names::selector(valid.name);
    labels.insert(SERVING_LABEL.to_owned(), "true".to_owned());
    PodDisruptionBudget {
        metadata,
        spec: Some(PodDisruptionBudgetSpec {
            // More than there can be: none may be evicted. `maxUnavailable: 0` fails on pods without a controller of a
            // kind that the API server knows to scale.
            min_available: Some(IntOrString::Int(i32::MAX)),
            selector: Some(LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}
