//! What a simulated server holds in memory.

use super::accounts::Accounts;
use super::devices::Device;
use super::events::{self, Log};
use super::kinds::{self, Kind};
use super::python;
use super::sets::Unwritten;
use super::tables::Row;
use super::versions::{Rules, Seed, Version};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use uuid::Uuid;

/// A stage of any kind.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) pk: Uuid,
    /// Index of its kind.
    pub(crate) kind: usize,
    pub(crate) name: String,
    pub(crate) fields: Map<String, Value>,
    /// When its row was last written: unordered queries return rows by this.
    pub(crate) touched: u64,
}

/// A flow.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) pk: Uuid,
    /// The key of the policy-bindable base object, which is not accepted anywhere.
    pub(crate) base: Uuid,
    pub(crate) fields: Map<String, Value>,
    pub(crate) policies: Vec<Uuid>,
    pub(crate) touched: u64,
}

impl Flow {
    /// A field that holds text.
    pub(crate) fn text(&self, field: &str) -> &str {
        self.fields
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

/// A stage's place in a flow.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    pub(crate) pk: Uuid,
    pub(crate) base: Uuid,
    pub(crate) target: Uuid,
    pub(crate) stage: Uuid,
    pub(crate) order: i64,
    pub(crate) fields: Map<String, Value>,
    pub(crate) touched: u64,
}

/// What an event says of a new row: the key of its base row, and no more.
fn created(base: &str, key: Uuid) -> Map<String, Value> {
    let new = json!({ "new_value": key.simple().to_string(), "previous_value": null });
    Map::from_iter([(base.to_owned(), new)])
}

/// Everything a server knows.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) rules: Rules,
    pub(crate) seed: Seed,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) stages: HashMap<Uuid, Stage>,
    /// Stages by name, of all kinds.
    pub(crate) names: BTreeMap<String, Uuid>,
    pub(crate) flows: HashMap<Uuid, Flow>,
    pub(crate) slugs: BTreeMap<String, Uuid>,
    pub(crate) bindings: HashMap<Uuid, Binding>,
    /// Bindings by stage.
    pub(crate) bound: HashMap<Uuid, BTreeSet<Uuid>>,
    pub(crate) devices: Vec<Device>,
    pub(crate) rows: HashMap<Uuid, Row>,
    pub(crate) accounts: Accounts,
    pub(crate) log: Log,
    pub(crate) database_down: bool,
    pub(crate) redis_down: bool,
    /// Whether a stage's row is written before its sets.
    pub(crate) rows_first: bool,
    /// The sets that the present request has yet to write.
    pub(crate) unwritten: Option<Unwritten>,
    /// Whether a stage through which devices are enrolled can't be deleted.
    pub(crate) devices_protected: bool,
    clock: u64,
}

impl State {
    /// A server as it is after its installation, with one superuser's token.
    pub(crate) fn new(version: Version, token: String) -> Self {
        let rules = version.rules();
        let mut state = Self {
            rules,
            seed: version.seed(),
            kinds: kinds::all(&rules),
            stages: HashMap::new(),
            names: BTreeMap::new(),
            flows: HashMap::new(),
            slugs: BTreeMap::new(),
            bindings: HashMap::new(),
            bound: HashMap::new(),
            devices: Vec::new(),
            rows: HashMap::new(),
            accounts: Accounts::new(token),
            log: Log::default(),
            database_down: false,
            redis_down: false,
            rows_first: false,
            unwritten: None,
            devices_protected: false,
            clock: 0,
        };
        state.install();
        state
    }

    /// Advances the order in which rows are written.
    pub(crate) fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// The kind of a stage.
    pub(crate) fn kind(&self, stage: &Stage) -> &Kind {
        &self.kinds[stage.kind]
    }

    /// Stages of one kind (or of all), by name.
    pub(crate) fn stages_by_name(&self, kind: Option<usize>) -> Vec<&Stage> {
        let stages = self.names.values().filter_map(|pk| self.stages.get(pk));
        stages
            .filter(|stage| kind.is_none_or(|kind| stage.kind == kind))
            .collect()
    }

    /// Adds a stage; fields that are not given get their defaults.
    pub(crate) fn add_stage(
        &mut self,
        kind: usize,
        name: String,
        values: Map<String, Value>,
    ) -> Uuid {
        let fields = super::serializer::with_defaults(&self.kinds[kind].fields, values);
        let (pk, touched) = (Uuid::new_v4(), self.tick());
        self.names.insert(name.clone(), pk);
        let stage = Stage {
            pk,
            kind,
            name,
            fields,
            touched,
        };
        self.note(
            "model_created",
            events::stage(self, &stage),
            created("stage_ptr", pk),
        );
        self.stages.insert(pk, stage);
        pk
    }

    /// Changes a stage's name and fields.
    pub(crate) fn change_stage(&mut self, pk: Uuid, mut values: Map<String, Value>) {
        let touched = self.tick();
        let Some(stage) = self.stages.get_mut(&pk) else {
            return;
        };
        let mut diff = events::changes(&stage.fields, &values);
        if let Some(Value::String(name)) = values.remove("name") {
            if stage.name == name {
                diff.remove("name");
            }
            self.names.remove(&stage.name);
            self.names.insert(name.clone(), pk);
            stage.name = name;
        }
        stage.fields.extend(values);
        stage.touched = touched;
        let stage = stage.clone();
        self.note("model_updated", events::stage(self, &stage), diff);
    }

    /// Removes a stage with its bindings, its devices and every reference to it.
    pub(crate) fn remove_stage(&mut self, pk: Uuid) {
        let Some(stage) = self.stages.remove(&pk) else {
            return;
        };
        self.names.remove(&stage.name);
        for binding in self.bound.remove(&pk).unwrap_or_default() {
            self.unbind(binding);
        }
        self.devices.retain(|device| device.stage != Some(pk));
        self.note("model_deleted", events::stage(self, &stage), Map::new());
        let key = json!(pk);
        for stage in self.stages.values_mut() {
            if let Some(Value::Array(used)) = stage.fields.get_mut("configuration_stages") {
                used.retain(|used| *used != key);
            }
        }
    }

    /// Adds a flow; fields that are not given get their defaults.
    pub(crate) fn add_flow(&mut self, values: Map<String, Value>) -> Uuid {
        let fields = super::serializer::with_defaults(&super::flows::fields(&self.rules), values);
        let (pk, touched) = (Uuid::new_v4(), self.tick());
        let flow = Flow {
            pk,
            base: Uuid::new_v4(),
            fields,
            policies: Vec::new(),
            touched,
        };
        self.slugs.insert(flow.text("slug").to_owned(), pk);
        let diff = created("policybindingmodel_ptr", flow.base);
        self.note("model_created", events::flow(&flow), diff);
        self.flows.insert(pk, flow);
        pk
    }

    /// Removes a flow with its bindings and every reference to it.
    pub(crate) fn remove_flow(&mut self, pk: Uuid) {
        let Some(flow) = self.flows.remove(&pk) else {
            return;
        };
        self.slugs.remove(flow.text("slug"));
        let bindings: Vec<_> = self
            .bindings
            .values()
            .filter(|binding| binding.target == pk)
            .map(|b| b.pk)
            .collect();
        for binding in bindings {
            self.unbind(binding);
        }
        self.unset(&json!(pk));
        self.forget_flow(&json!(pk));
        self.note("model_deleted", events::flow(&flow), Map::new());
    }

    /// Takes a flow or mapping that is gone out of the stages that name it.
    pub(crate) fn unset(&mut self, key: &Value) {
        for stage in self.stages.values_mut() {
            for field in ["configure_flow", "mapping"] {
                if let Some(value) = stage.fields.get_mut(field).filter(|value| *value == key) {
                    *value = Value::Null;
                }
            }
        }
    }

    /// Binds a stage to a flow.
    pub(crate) fn bind(
        &mut self,
        target: Uuid,
        stage: Uuid,
        order: i64,
        fields: Map<String, Value>,
    ) -> Uuid {
        let (pk, touched) = (Uuid::new_v4(), self.tick());
        let base = Uuid::new_v4();
        self.bound.entry(stage).or_default().insert(pk);
        let binding = Binding {
            pk,
            base,
            target,
            stage,
            order,
            fields,
            touched,
        };
        let diff = created("policybindingmodel_ptr", base);
        self.note("model_created", events::binding(&binding), diff);
        self.bindings.insert(pk, binding);
        pk
    }

    /// Removes a binding.
    pub(crate) fn unbind(&mut self, pk: Uuid) {
        let Some(binding) = self.bindings.remove(&pk) else {
            return;
        };
        if let Some(bound) = self.bound.get_mut(&binding.stage) {
            bound.remove(&pk);
        }
        self.note("model_deleted", events::binding(&binding), Map::new());
    }

    /// Puts a changed binding in the place of what it was.
    pub(crate) fn rebind(&mut self, binding: Binding) {
        if let Some(old) = self.bindings.get(&binding.pk)
            && let Some(bound) = self.bound.get_mut(&old.stage)
        {
            bound.remove(&binding.pk);
        }
        self.bound
            .entry(binding.stage)
            .or_default()
            .insert(binding.pk);
        self.bindings.insert(binding.pk, binding);
    }

    /// The bindings of a stage, by order.
    pub(crate) fn bindings_of(&self, stage: Uuid) -> Vec<&Binding> {
        let keys = self.bound.get(&stage).into_iter().flatten();
        let mut bindings: Vec<_> = keys.filter_map(|pk| self.bindings.get(pk)).collect();
        bindings.sort_by_key(|binding| (binding.order, binding.touched));
        bindings
    }

    /// The description of a `WebAuthn` device type.
    pub(crate) fn device_type(&self, aaguid: Uuid) -> Option<&str> {
        let key = aaguid.to_string();
        self.seed
            .device_types
            .iter()
            .find(|(id, _)| *id == key)
            .map(|(_, text)| text.as_str())
    }

    /// The stage of a kind with a key in any spelling.
    pub(crate) fn stage_at(&self, kind: Option<usize>, key: &str) -> Option<&Stage> {
        let stage = self.stages.get(&python::uuid(key)?)?;
        kind.is_none_or(|kind| stage.kind == kind).then_some(stage)
    }
}
