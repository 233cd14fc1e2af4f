//! One step of a reconcile that only rehearses: what would be written is noted, and what authentik would then hold is taken for
//! what it holds.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;
use uuid::Uuid;

use super::{
    act::Actor,
    body::secret_fields,
    observe::{holder, slugs},
    stop::{Steps, Stop},
};
use crate::{
    api::{DriftedField, SentSecret},
    authentik::Remote,
    controller::{
        connection::{Server, State},
        rehearsal::{FieldChange, Rehearsal},
    },
    kinds::{Field, Kind},
    plan::{
        Desired, Diff, Fact, Live,
        bindings::{Binding, BindingWrite, places_drift},
        create_body,
        decide::Step,
        failure::{Failure, Reason},
        sent_secret,
    },
};

/// What is shown in place of a secret value.
const WITHHELD: &str = "<secret>";

impl<K: Kind> Actor<'_, K> {
    /// Notes what this step would write.
    pub(super) async fn rehearse(&mut self, rehearsal: &Rehearsal, step: Step) -> Steps<()> {
        match step {
            Step::Create => self.rehearse_creation(rehearsal).await,
            Step::Patch(diff) => self.rehearse_patch(rehearsal, &diff).await,
            Step::Bind(writes) => {
                self.rehearse_binding(rehearsal, writes);
                Ok(())
            }
            Step::TellApart(rival) => Err(Failure::new(
                Reason::NameConflict,
                format!(
                    "{} manages a {} with this UUID on {}, and whether that is the same server as {} is found out by writing only",
                    rival.claim.id,
                    K::NOUN,
                    rival.server,
                    self.server.url
                ),
            )
            .into()),
            Step::Adopt => {
                let live = self.live()?;
                rehearsal.note(&self.subject.id, |planned| planned.adopts = Some(live.uuid));
                self.act_for_real(Step::Adopt).await
            }
            other => self.act_for_real(other).await,
        }
    }

    async fn rehearse_creation(&mut self, rehearsal: &Rehearsal) -> Steps<()> {
        if self.is_label_held().await? {
            return Ok(());
        }
        let mut changes: Vec<_> = create_body::<K>(self.desired)
            .into_iter()
            .filter_map(|(field, value)| {
                let field = K::field(field)?;
                Some(FieldChange {
                    field: field.spec.to_owned(),
                    found: None,
                    wanted: shown(self.server, field, &value),
                })
            })
            .collect();
        let secrets = secret_fields(&*self.subject.resource);
        changes.extend(secrets.iter().map(|field| FieldChange {
            field: field.spec.to_owned(),
            found: None,
            wanted: WITHHELD.to_owned(),
        }));
        rehearsal.note(&self.subject.id, |planned| {
            planned.creates = true;
            planned.changes.extend(changes);
            planned.after = Some(self.desired.fields.clone());
        });
        let live = Live {
            uuid: Uuid::new_v4(),
            name: Remote::from(self.desired.name.clone()),
            flows: Vec::new(),
            fields: self.desired.fields.clone(),
        };
        let sent = secrets.iter().map(|field| sent(field, self.desired));
        let fact = |live| Fact::Created(live, sent.collect(), None);
        let live = self.keep(live);
        self.fact(fact(live.clone()));
        self.sight.bindings.clear();
        self.sees(Some(live));
        Ok(())
    }

    async fn rehearse_patch(&mut self, rehearsal: &Rehearsal, diff: &Diff) -> Steps<()> {
        let renames = diff.changes.iter().any(|change| change.field == K::LABEL);
        if renames && self.is_label_held().await? {
            return Ok(());
        }
        let changes = changes(self.server, diff);
        let mut live = (*self.live()?).clone();
        let before = live.fields.clone();
        for change in &diff.changes {
            if change.field == K::LABEL {
                live.name = Remote::from(self.desired.name.clone());
            } else {
                live.fields.insert(change.field.api, change.wanted.clone());
            }
        }
        for field in diff.secrets.iter().filter(|field| field.is_readable()) {
            if let Some(wanted) = self.desired.fields.get(field.api) {
                live.fields.insert(field.api, wanted.clone());
            }
        }
        rehearsal.note(&self.subject.id, |planned| {
            planned.changes.extend(changes);
            planned.before.get_or_insert(before);
            planned.after = Some(live.fields.clone());
        });
        let sent = diff
            .secret_fields()
            .into_iter()
            .map(|field| sent(field, self.desired))
            .collect();
        let live = self.keep(live);
        self.fact(Fact::Patched {
            live: live.clone(),
            fields: diff.spec_fields(),
            readable: !diff.changes.is_empty(),
            sent,
            repair: None,
        });
        self.sees(Some(live));
        Ok(())
    }

    fn rehearse_binding(&mut self, rehearsal: &Rehearsal, writes: Vec<BindingWrite>) {
        let Some(live) = self.sight.live.clone() else {
            return;
        };
        if let Some(desired) = &self.desired.bindings {
            let slugs = slugs(self.server, self.sight, self.desired);
            let client = &self.server.client;
            let show = |text: &str| client.show_str(text);
            let drift = places_drift(
                desired,
                &self.sight.bindings,
                &slugs,
                K::ASKS_FOR_FACTOR,
                &show,
            );
            rehearsal.note(&self.subject.id, |planned| {
                let found = |drift: &DriftedField| (!planned.creates).then(|| drift.found.clone());
                planned.changes.extend(drift.map(|drift| FieldChange {
                    found: found(&drift),
                    field: drift.field,
                    wanted: drift.wanted,
                }));
            });
        }
        let list = &self.server.inventory.bindings;
        let mut places: BTreeMap<Uuid, Arc<Binding>> = self
            .sight
            .bindings
            .iter()
            .map(|binding| (binding.pk, binding.clone()))
            .collect();
        for write in writes {
            let (pk, written) = after(&places, live.uuid, write);
            list.rehearse(pk, written.clone());
            match written {
                Some(binding) => drop(places.insert(pk, binding)),
                None => drop(places.remove(&pk)),
            }
        }
        self.sight.bindings = places.into_values().collect();
        self.fact(Fact::Bound(None));
    }

    /// Whether something else holds the label, as authentik would answer to the write. The list of all that have labels tells,
    /// so that nothing is asked for each resource.
    async fn is_label_held(&mut self) -> Steps<bool> {
        let name = self.desired.name.clone();
        let list = self.server.inventory.referred(K::NAMES);
        match list.state(None, self.subject.view.waits_since) {
            State::NotYet => return Err(Stop::NotYet),
            State::Refused(error) => return Err(error.into()),
            State::Read => {}
        }
        if list.labelled(&name).is_empty() && !list.left_out(&name) {
            return Ok(false);
        }
        let own = self.sight.live.as_ref().map(|live| live.uuid);
        let found = holder(self.ctx, self.subject, self.server, &name).await?;
        self.sight.holder = found.filter(|holder| holder.uuid() != own || own.is_none());
        Ok(self.sight.holder.is_some())
    }

    fn keep(&self, live: Live) -> Arc<Live> {
        let live = Arc::new(live);
        let list = self.server.inventory.kind::<K>();
        list.rehearse(live.uuid, Some(live.clone()));
        live
    }
}

/// The fields that this difference would change.
pub(super) fn changes(server: &Server, diff: &Diff) -> Vec<FieldChange> {
    let open = diff.changes.iter().filter(|change| !change.is_secret);
    let open = open.map(|change| FieldChange {
        field: change.field.spec.to_owned(),
        found: Some(shown(server, change.field, &change.found)),
        wanted: shown(server, change.field, &change.wanted),
    });
    let secrets = diff.secret_fields().into_iter().map(|field| FieldChange {
        field: field.spec.to_owned(),
        found: Some(WITHHELD.to_owned()),
        wanted: WITHHELD.to_owned(),
    });
    open.chain(secrets).collect()
}

/// A value as JSON, with names for the UUIDs of what it refers to, as far as they are known.
fn shown(server: &Server, field: &Field, value: &Value) -> String {
    let Some(collection) = field.refers_to else {
        return server.client.show_str(&value.to_string()).into_string();
    };
    let named = |value: &Value| {
        let uuid = value.as_str().and_then(|text| text.parse().ok());
        let label = uuid.and_then(|uuid| server.inventory.name_of(collection, uuid));
        label.map_or_else(|| value.clone(), |label| Value::from(label.raw()))
    };
    let value = match value {
        Value::Array(items) => in_order(items.iter().map(named)),
        one => named(one),
    };
    server.client.show_str(&value.to_string()).into_string()
}

/// What refers to several objects is a set: their order by UUIDs would be chance.
fn in_order(items: impl Iterator<Item = Value>) -> Value {
    let mut items: Vec<_> = items.collect();
    items.sort_unstable_by_key(Value::to_string);
    Value::Array(items)
}

fn sent(field: &'static Field, desired: &Desired) -> SentSecret {
    let version = desired.secrets.get(field.api);
    sent_secret(field, version.and_then(Option::as_ref))
}

/// The binding after this write; nothing where it is gone.
fn after(
    places: &BTreeMap<Uuid, Arc<Binding>>,
    stage: Uuid,
    write: BindingWrite,
) -> (Uuid, Option<Arc<Binding>>) {
    let (pk, mut fields, before) = match write {
        BindingWrite::Create(fields) => (Uuid::new_v4(), fields, None),
        BindingWrite::Update(pk, fields) => (pk, fields, places.get(&pk)),
        BindingWrite::Delete(pk) => return (pk, None),
    };
    let target = fields.remove("target");
    let target = target.and_then(|target| target.as_str()?.parse().ok());
    let order = fields.remove("order");
    let order = order.and_then(|order| i32::try_from(order.as_i64()?).ok());
    let mut settings = before.map_or_else(Default::default, |before| before.settings.clone());
    settings.extend(fields);
    let binding = Binding {
        pk,
        target: target
            .or(before.map(|before| before.target))
            .unwrap_or_default(),
        stage: stage.to_string(),
        order: order
            .or(before.map(|before| before.order))
            .unwrap_or_default(),
        settings,
    };
    (pk, Some(Arc::new(binding)))
}
