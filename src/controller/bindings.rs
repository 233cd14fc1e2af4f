//! The places of a stage in its flows: part of the stage's own reconcile.

use std::{collections::BTreeMap, sync::Arc};

use reqwest::Method;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    failure::{Failure, Reason},
    resolve::Resolver,
    server::Server,
    stage::Run,
};
use crate::{
    api::{BoundFlow, DriftedField, FlowBinding},
    authentik::{self, Collection},
    plan::{
        Live,
        bindings::{Binding, Step, WantedBinding, only_missing, steps},
    },
    stages::{Compare, Field, StageKind},
};

/// The field of the spec.
pub static FLOWS: Field = Field::new("flows", "flows", Compare::Set);

/// How often one reconcile looks again at what its own writes made of the bindings.
const ROUNDS: usize = 3;

/// What the spec asks for, as far as its flows are found.
pub struct Wanted {
    bindings: Vec<WantedBinding>,
    /// Why not all of it could be looked up.
    missing: Option<Failure>,
}

impl Wanted {
    /// Whether the spec asks for this binding.
    pub(super) fn declares(&self, binding: &Binding) -> bool {
        let same = |wanted: &WantedBinding| {
            wanted.target == binding.target && wanted.order == binding.order
        };
        self.bindings.iter().any(same)
    }

    fn steps(&self, live: &[Arc<Binding>]) -> Vec<Step> {
        let mut steps = steps(&self.bindings, live.iter().map(Arc::as_ref));
        if self.missing.is_some() {
            // Adding comes before removing, and not all can be added yet.
            steps.retain(|step| !matches!(step, Step::Delete(_)));
        }
        steps
    }
}

impl<K: StageKind> Run<K> {
    /// What the spec asks for; nothing where it does not manage the bindings.
    pub(super) async fn wanted_bindings(
        &self,
        server: &Arc<Server>,
    ) -> Result<Option<Wanted>, Failure> {
        let Some(flows) = &self.resource.common().flows else {
            return Ok(None);
        };
        let resolver = Resolver::new(&self.ctx, server, &self.id);
        let mut wanted = Wanted {
            bindings: Vec::with_capacity(flows.len()),
            missing: None,
        };
        for flow in flows {
            match resolver.flow(&FLOWS, &flow.flow).await {
                Ok(target) => wanted.bindings.push(wanted_binding(target, flow)),
                Err(failure) if failure.reason == Reason::ReferenceNotFound => {
                    wanted.missing = Some(failure)
                }
                Err(failure) => return Err(failure),
            }
        }
        let mut places: Vec<_> = wanted
            .bindings
            .iter()
            .map(|binding| (binding.target, binding.order))
            .collect();
        places.sort_unstable();
        if places.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Failure::new(
                Reason::InvalidSpec,
                "flows: two entries name the same flow, one by its slug and one by its UUID, with the same order; remove one",
            ));
        }
        let read = server
            .inventory
            .bindings
            .at_most(self.ctx.resources.asked_since(&self.id), server.client())
            .await;
        server.learn(Collection::BINDINGS, &Method::GET, read)?;
        Ok(Some(wanted))
    }

    /// Makes the bindings what the spec asks for: exactly these.
    pub(super) async fn bind(
        &mut self,
        server: &Arc<Server>,
        stage: Uuid,
        wanted: &Wanted,
    ) -> Result<(), Failure> {
        for _ in 0..ROUNDS {
            let steps = wanted.steps(&self.live_bindings(server, stage).await?);
            if steps.is_empty() {
                self.identify_flows(server, stage);
                return wanted.missing.clone().map_or(Ok(()), Err);
            }
            if self.was_in_sync() {
                self.ctx.metrics.drift_found(K::KIND);
            }
            self.write_bindings(server, stage, steps).await?;
        }
        Err(Failure::new(
            Reason::AuthentikUnavailable,
            "the stage's bindings kept changing in authentik while they were written; someone else may be writing them",
        ))
    }

    async fn write_bindings(
        &mut self,
        server: &Arc<Server>,
        stage: Uuid,
        steps: Vec<Step>,
    ) -> Result<(), Failure> {
        let mut written = 0;
        let mut outcome = Ok(());
        for step in steps {
            outcome = self.write_binding(server, stage, step).await;
            if outcome.is_err() {
                break;
            }
            written += 1;
        }
        self.identify_flows(server, stage);
        if written > 0 {
            self.wrote_fields(vec![FLOWS.spec.to_owned()], true);
        }
        match outcome {
            Ok(()) => Ok(()),
            // Someone else was faster: what there is now decides.
            Err(authentik::Error::NotFound) => self.look_up_bindings(server, stage).await.map(drop),
            Err(error) if not_unique(&error) => {
                self.look_up_bindings(server, stage).await.map(drop)
            }
            Err(error) => {
                if error.outcome_unknown() {
                    self.uncertain();
                }
                Err(error.into())
            }
        }
    }

    async fn write_binding(
        &self,
        server: &Server,
        stage: Uuid,
        step: Step,
    ) -> Result<(), authentik::Error> {
        let bindings = &server.inventory.bindings;
        let answer = match step {
            Step::Create(mut body) => {
                body.insert("stage".to_owned(), Value::from(stage.to_string()));
                server
                    .create(Collection::BINDINGS, &Value::Object(body))
                    .await?
            }
            Step::Update(pk, body) => {
                server
                    .update(Collection::BINDINGS, pk, &Value::Object(body))
                    .await?
            }
            Step::Delete(pk) => {
                server.delete(Collection::BINDINGS, pk).await?;
                bindings.wrote(pk, None);
                return Ok(());
            }
        };
        let binding: Binding =
            serde_json::from_value(answer).map_err(|_| authentik::Error::NotAuthentik {
                what: "the answer to a write of a binding is no binding".to_owned(),
            })?;
        bindings.wrote(binding.pk, Some(Arc::new(binding)));
        Ok(())
    }

    async fn live_bindings(
        &mut self,
        server: &Server,
        stage: Uuid,
    ) -> Result<Vec<Arc<Binding>>, Failure> {
        if self.distrusts {
            self.look_up_bindings(server, stage).await?;
            self.distrusts = false;
        }
        Ok(server.inventory.bindings.labelled(&stage.to_string()))
    }

    /// Asks authentik itself for the stage's bindings and notes what it says in the inventory.
    pub(super) async fn look_up_bindings(
        &self,
        server: &Server,
        stage: Uuid,
    ) -> Result<Vec<Arc<Binding>>, Failure> {
        let stage = stage.to_string();
        let rows = server
            .list(Collection::BINDINGS, &[("stage", &stage)])
            .await?;
        let found: Result<Vec<_>, _> = rows
            .into_iter()
            .map(|row| serde_json::from_value(row).map(Arc::new))
            .collect();
        let found: Vec<Arc<Binding>> = found.map_err(|_| {
            Failure::new(
                Reason::AuthentikUnavailable,
                "authentik's list of bindings is not understood: check what stands before authentik",
            )
        })?;
        let bindings = &server.inventory.bindings;
        for stale in bindings.labelled(&stage) {
            if found.iter().all(|binding| binding.pk != stale.pk) {
                bindings.wrote(stale.pk, None);
            }
        }
        for binding in &found {
            bindings.wrote(binding.pk, Some(binding.clone()));
        }
        Ok(found)
    }

    /// Whether `IfMatch` takes over a stage with these bindings: it may lack some, as one does that was created
    /// and not yet bound when the operator was killed, but nothing that is there may be wrong.
    pub(super) fn bindings_match(server: &Server, stage: Uuid, wanted: &Wanted) -> bool {
        let live = server.inventory.bindings.labelled(&stage.to_string());
        only_missing(&wanted.steps(&live))
    }

    /// Under `Observe`: how the bindings differ.
    pub(super) fn binding_drift(
        server: &Server,
        stage: Uuid,
        wanted: &Wanted,
    ) -> Option<DriftedField> {
        let live = server.inventory.bindings.labelled(&stage.to_string());
        if wanted.steps(&live).is_empty() {
            return None;
        }
        let found = live
            .iter()
            .map(|live| shown(server, live.target, live.order, &live.settings));
        let asked = wanted
            .bindings
            .iter()
            .map(|wanted| shown(server, wanted.target, wanted.order, &wanted.settings));
        Some(DriftedField {
            field: FLOWS.spec.to_owned(),
            wanted: sorted(asked),
            found: sorted(found),
        })
    }

    /// Why not all bindings could be looked up, if so.
    pub(super) fn missing_flow(wanted: &Wanted) -> Result<(), Failure> {
        wanted.missing.clone().map_or(Ok(()), Err)
    }

    /// Shows in the status, and in the inventory, which flows the stage is bound to.
    pub(super) fn identify_flows(&mut self, server: &Server, stage: Uuid) {
        let mut bound: Vec<_> = server
            .inventory
            .bindings
            .labelled(&stage.to_string())
            .iter()
            .map(|binding| BoundFlow {
                flow: slug(server, binding.target),
                order: binding.order,
            })
            .collect();
        bound.sort_unstable();
        let mut flows: Vec<_> = bound.iter().map(|bound| bound.flow.clone()).collect();
        flows.dedup();
        let list = server.inventory.kind::<K>();
        if let Some(live) = list.get(stage).filter(|live| live.flows != flows) {
            let live = Live {
                flows: flows.clone(),
                ..(*live).clone()
            };
            list.wrote(stage, Some(Arc::new(live)));
        }
        if let Some(identity) = &mut self.status.stage {
            identity.flows = flows;
            identity.bindings = bound;
        }
    }
}

/// The flow's slug or, where flows are not known, its UUID.
pub(super) fn slug(server: &Server, flow: Uuid) -> String {
    server
        .inventory
        .flows
        .get(flow)
        .map_or_else(|| flow.to_string(), |flow| flow.slug.clone())
}

fn shown(server: &Server, flow: Uuid, order: i32, settings: &Map<String, Value>) -> Value {
    let mut shown: BTreeMap<_, _> = settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    shown.insert("flow", Value::from(slug(server, flow)));
    shown.insert("order", Value::from(order));
    json!(shown)
}

fn sorted(bindings: impl Iterator<Item = Value>) -> String {
    let mut texts: Vec<_> = bindings.map(|binding| binding.to_string()).collect();
    texts.sort_unstable();
    format!("[{}]", texts.join(","))
}

/// `{"non_field_errors": ["The fields target, stage, order must make a unique set."]}`
fn not_unique(error: &authentik::Error) -> bool {
    let authentik::Error::Rejected { messages } = error else {
        return false;
    };
    messages
        .values()
        .flatten()
        .any(|text| text.contains("unique set"))
}

fn wanted_binding(target: Uuid, binding: &FlowBinding) -> WantedBinding {
    let set = [
        (
            "evaluate_on_plan",
            binding.evaluate_on_plan.map(Value::from),
        ),
        (
            "re_evaluate_policies",
            binding.re_evaluate_policies.map(Value::from),
        ),
        (
            "invalid_response_action",
            binding.invalid_response_action.map(|action| json!(action)),
        ),
        (
            "policy_engine_mode",
            binding.policy_engine_mode.map(|mode| json!(mode)),
        ),
    ];
    WantedBinding {
        target,
        order: binding.order,
        settings: set
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect(),
    }
}
