//! What somebody does in authentik behind the operator's back.

use std::collections::BTreeMap;

use authentik_stage_operator::authentik::Collection;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{
    cast::Slot,
    history::History,
    lasting::FOREIGN,
    objects::{Object, objects},
    places::BINDINGS,
    shapes::{Property, Shape, properties},
    specs::odd,
};
use crate::harness::{collection, label_of, text};

/// The fields of a brand that name flows.
const OF_BRAND: [&str; 2] = ["flow_recovery", "flow_unenrollment"];

impl History<'_> {
    /// Does something in authentik, as a person does.
    pub(super) async fn hand(&mut self) {
        if self.dice.percent(35) {
            self.odd_hand().await;
            return;
        }
        let slot = *self.dice.one(&self.cast.slots);
        let suffix = *self.dice.one(&["", "", "", "-renamed"]);
        let label = self.test.name(&format!("{slot}{suffix}"));
        let objects = self.objects().await;
        let change = self.change(slot.kind, &objects);
        let (what, of_another_kind) = (self.dice.below(5), self.dice.percent(20));
        let called = objects
            .values()
            .find(|object| object.is(slot.names(), &label));
        let some = self.some_of(slot.names(), &objects);
        match (what, called.or(some)) {
            (0, _) if called.is_none() => self.create_by_hand(slot, of_another_kind, &label).await,
            (1, Some(object)) => self.delete_by_hand(object).await,
            (2, Some(object)) if object.kind == Some(slot.kind) => {
                self.change_by_hand(object, change).await;
            }
            (3, Some(object)) if object.is_flow() => self.give_to_brand(object).await,
            (3, Some(object)) => self.bind_by_hand(object, &objects).await,
            _ => {}
        }
    }

    /// Changes a secret of an object that may be as its resource says: in its Secret, or in authentik, for each resource that
    /// names one.
    pub(super) async fn touch_secrets(&mut self) {
        let named = self.specs.iter().flat_map(|(slot, spec)| {
            let secrets = properties(slot.kind).iter();
            let secrets = secrets.filter(|property| matches!(property.shape, Shape::Secret));
            secrets.filter_map(|property| {
                let secret = spec[property.spec.as_str()]["secretKeyRef"]["name"].as_str()?;
                let label = text(&spec[slot.names().label()]).to_owned();
                Some((*slot, label, property.api.as_str(), secret.to_owned()))
            })
        });
        let named: Vec<_> = named.collect();
        let objects = self.objects().await;
        for (slot, label, field, secret) in named {
            let mut objects = objects.values();
            let object = objects.find(|object| object.is(slot.names(), &label));
            match object.filter(|object| object.kind == Some(slot.kind)) {
                Some(object) if self.dice.percent(60) => {
                    self.change_by_hand(object, json!({ field: "by-hand" }))
                        .await;
                }
                _ => self.rotate(slot.at, &secret).await,
            }
        }
    }

    /// Gives an object an odd label or another's, makes one of an odd label, or does away with one.
    async fn odd_hand(&mut self) {
        let slot = *self.dice.one(&self.cast.slots);
        let what = self.dice.below(10);
        let of_another_kind = self.dice.percent(30);
        let plain = self.test.name(&slot.label());
        let label = odd(&mut self.dice, slot, &plain);
        let objects = self.objects().await;
        match (what, self.some_of(slot.names(), &objects)) {
            (0..3, _) => self.create_by_hand(slot, of_another_kind, &label).await,
            (3..8, Some(object)) => self.rename_by_hand(object, &label).await,
            (8, Some(object)) => self.rename_by_hand(object, &plain).await,
            (_, Some(object)) => self.delete_by_hand(object).await,
            _ => {}
        }
    }

    async fn objects(&self) -> BTreeMap<String, Object> {
        objects(self.test, &self.cast.kinds).await
    }

    /// One of these objects that does not last. They are drawn by their labels: UUIDs are others each time.
    fn some_of<'a>(
        &mut self,
        names: Collection,
        objects: &'a BTreeMap<String, Object>,
    ) -> Option<&'a Object> {
        let which = usize::try_from(self.dice.below(1 << 16)).expect("it is small");
        let some = objects
            .values()
            .filter(|object| object.names == names && !self.lasts(object));
        let mut some: Vec<_> = some.collect();
        some.sort_by_key(|object| object.label());
        Some(some[which.checked_rem(some.len())?])
    }

    fn lasts(&self, object: &Object) -> bool {
        let mut lasting = self.lasting.iter();
        lasting.any(|lasting| lasting.uuid == object.uuid())
    }

    /// A change of some field of this kind.
    fn change(&mut self, kind: &str, objects: &BTreeMap<String, Object>) -> Value {
        let property = self.dice.one(properties(kind));
        let value = match property.shape {
            Shape::Secret => json!("by-hand"),
            Shape::One(to) if to == Collection::FLOWS => self.any_flow(objects),
            Shape::One(_) => Value::Null,
            Shape::Many(_) => json!([]),
            _ => self.author().plain(property),
        };
        json!({property.api.as_str(): value})
    }

    /// The UUID of a flow of this history, drawn as the others are.
    fn any_flow(&mut self, objects: &BTreeMap<String, Object>) -> Value {
        let flows = objects.values().filter(|object| object.is_flow());
        let mut flows: Vec<_> = flows.collect();
        flows.sort_by_key(|flow| flow.label());
        json!(self.dice.one(&flows).uuid())
    }

    async fn rename_by_hand(&mut self, object: &Object, label: &str) {
        let renamed = json!({object.names.label(): label});
        self.change_by_hand(object, renamed).await;
    }

    async fn delete_by_hand(&mut self, object: &Object) {
        self.tell(format_args!("{:?} is deleted by hand", object.label()));
        self.untouched.remove(object.uuid());
        let path = object.path();
        // The operator may have been faster.
        let _ = self.test.authentik.send(Method::DELETE, &path, None).await;
    }

    /// Makes the least object of this resource's kind; or a stage that the operator does not manage.
    async fn create_by_hand(&mut self, slot: Slot, of_another_kind: bool, label: &str) {
        let is_foreign = of_another_kind && slot.names() == Collection::ALL_STAGES;
        let mut body = Map::new();
        if !is_foreign {
            let required = properties(slot.kind).iter();
            for property in required.filter(|of| of.is_required) {
                let value = self.by_hand(property);
                body.insert(property.api.clone(), value);
            }
        }
        body.insert("name".to_owned(), json!(label));
        body.insert(label_of(slot.kind).to_owned(), json!(label));
        let path = match is_foreign {
            true => FOREIGN,
            false => collection(slot.kind),
        };
        let body = Value::Object(body);
        self.tell(format_args!("{path} gets by hand: {body}"));
        let authentik = &self.test.authentik;
        let (status, made) = authentik.send(Method::POST, path, Some(body)).await;
        // The operator may have been faster.
        if status == 201 {
            self.by_hand.insert(text(&made["pk"]).to_owned());
        }
    }

    fn by_hand(&mut self, property: &Property) -> Value {
        match property.shape {
            Shape::Secret => json!("by-hand"),
            _ => self.author().plain(property),
        }
    }

    async fn change_by_hand(&mut self, object: &Object, change: Value) {
        let (uuid, names) = (object.uuid(), object.names);
        self.tell(format_args!(
            "{:?} is changed by hand: {change}",
            object.label()
        ));
        let authentik = &self.test.authentik;
        let path = object.path();
        let (status, changed) = authentik.send(Method::PATCH, &path, Some(change)).await;
        if status != 200 {
            // Its label is taken, or it is gone.
            return;
        }
        // The operator can't tell whether it was what came of a creation without an answer.
        let mut asked = self.test.record.asked().into_values();
        if !asked.any(|asked| asked.managed.contains(uuid)) {
            self.by_hand.insert(uuid.to_owned());
        }
        let labels = [object.label(), text(&changed[names.label()])];
        let wanted = |(slot, spec): (&Slot, &Value)| {
            slot.names() == names && labels.contains(&text(&spec[names.label()]))
        };
        if self.specs.iter().any(wanted) {
            // It may match now, and be taken over.
            self.untouched.remove(uuid);
        } else if let Some(untouched) = self.untouched.get_mut(uuid) {
            // The answer has fields of the kind that no list of all stages shows.
            let shown = untouched.object.shown.as_object_mut();
            for (field, value) in shown.into_iter().flatten() {
                value.clone_from(&changed[field.as_str()]);
            }
        }
    }

    /// Lets the brand name this flow, or none.
    async fn give_to_brand(&mut self, flow: &Object) {
        let field = *self.dice.one(&OF_BRAND);
        let value = match self.dice.percent(50) {
            true => json!(flow.uuid()),
            false => Value::Null,
        };
        self.tell(format_args!(
            "the brand's {field} becomes {value}, {:?} being {}",
            flow.label(),
            flow.uuid()
        ));
        let path = format!("{}/{}/", Collection::BRANDS.path(), self.brand);
        let body = json!({field: value});
        // The flow may be gone by now.
        let _ = self
            .test
            .authentik
            .send(Method::PATCH, &path, Some(body))
            .await;
    }

    /// The brand as authentik shows it.
    pub(super) async fn brand(&self) -> Map<String, Value> {
        let path = format!("{}/{}/", Collection::BRANDS.path(), self.brand);
        let (_, brand) = self.test.authentik.send(Method::GET, &path, None).await;
        brand.as_object().expect("it is there").clone()
    }

    /// Binds a stage to a flow, or takes it out or moves it where it is bound there.
    async fn bind_by_hand(&mut self, stage: &Object, objects: &BTreeMap<String, Object>) {
        let uuid = stage.uuid();
        let target = self.any_flow(objects);
        let order = 10 * self.dice.below(3);
        let moves = self.dice.percent(50);
        let authentik = &self.test.authentik;
        let there = format!("{BINDINGS}?target={}&stage={uuid}", text(&target));
        let (_, there) = authentik.send(Method::GET, &there, None).await;
        let (method, path, body, done) = match there["results"][0]["pk"].as_str() {
            None => {
                let body = json!({"target": target, "stage": uuid, "order": order});
                (Method::POST, BINDINGS.to_owned(), Some(body), "bound to")
            }
            Some(binding) if moves => {
                let body = json!({"order": order});
                let path = format!("{BINDINGS}{binding}/");
                (Method::PATCH, path, Some(body), "moved in")
            }
            Some(binding) => {
                let path = format!("{BINDINGS}{binding}/");
                (Method::DELETE, path, None, "taken out of")
            }
        };
        // The operator may have been faster.
        let _ = authentik.send(method, &path, body).await;
        self.tell(format_args!(
            "{:?} is {done} {target} by hand, at {order}",
            stage.label()
        ));
        // It may match now, and be taken over; and it is not as it was.
        self.untouched.remove(uuid);
    }
}
