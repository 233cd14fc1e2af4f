//! Where a stage stands in which flow.

use kube::{KubeSchema, core::Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::FlowReference;

/// What a flow does when the stage's answer is not valid.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InvalidResponseAction {
    /// The stage is shown again.
    Retry,
    /// The flow starts again.
    Restart,
    /// The flow starts again with what it has gathered so far.
    RestartWithContext,
}

/// How many of a binding's policies have to pass.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyEngineMode {
    /// Every one.
    All,
    /// One.
    Any,
}

/// authentik refuses a binding whose policies are evaluated neither when the flow is planned nor when the stage
/// is reached, and looks only at what one request says of the two (measured on 2024.2 to 2026.5).
fn evaluated_somewhere() -> Rule {
    Rule::new("!has(self.reEvaluatePolicies) || self.reEvaluatePolicies || (has(self.evaluateOnPlan) && self.evaluateOnPlan)")
        .message("reEvaluatePolicies: false needs evaluateOnPlan: true; the policies have to be evaluated at one time at least")
}

/// One place of a stage in a flow. What is not set is not managed.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = evaluated_somewhere())]
pub struct FlowBinding {
    /// The flow.
    pub flow: FlowReference,
    /// The place: stages come in ascending order. It may be negative.
    pub order: i32,
    /// Whether policies are evaluated when the flow is planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluate_on_plan: Option<bool>,
    /// Whether policies are evaluated when the stage is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub re_evaluate_policies: Option<bool>,
    /// What the flow does when the stage's answer is not valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_response_action: Option<InvalidResponseAction>,
    /// How many of the binding's policies have to pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_engine_mode: Option<PolicyEngineMode>,
}

/// One place of a stage in a flow, as the status shows it.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
pub struct BoundFlow {
    /// The flow's slug.
    pub flow: String,
    /// The place.
    pub order: i32,
}
