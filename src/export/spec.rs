//! The manifest of a live object.

use std::fmt;

use serde_json::{Map, Value, json};

use super::{
    labels::Labels,
    manifest::{Line, Manifest, Said},
    places::{FLOWS, places},
    schema::Schema,
    secrets,
};
use crate::{
    api::AdoptionPolicy,
    authentik::{Collection, Version, stripped},
    kinds::{Compare, Field, FieldRow, Kind, Names, Reference, Wanted},
    plan::{Desired, Live, bindings::Binding, diff},
};

const UNKNOWN: &str = "authentik holds a value that this version of the operator does not know";

/// What all objects of a kind are described with.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// What the CRD of the kind accepts.
    pub schema: &'a Schema,
    /// The server's version.
    pub version: &'a Version,
    /// What references can name objects by.
    pub labels: &'a Labels,
    /// The namespace of the manifests, if they are to name one.
    pub namespace: Option<&'a str>,
}

/// What is to be described.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    /// The object, as authentik holds it.
    pub live: &'a Live,
    /// What its resource is called.
    pub resource: &'a str,
    /// Where it stands in flows, if it is a stage and the manifest is to say so.
    pub bindings: Option<&'a [Binding]>,
}

/// Why no manifest can be true of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// The field of the spec that every manifest has to set.
    pub field: &'static str,
    /// Why it can't be set to what authentik holds.
    pub why: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.why)
    }
}

/// The manifest that describes this object.
///
/// # Errors
/// Where a field that every spec of the kind has can't hold what authentik holds.
pub fn manifest<K: Kind>(frame: &Frame<'_>, object: &Object<'_>) -> Result<Manifest, Refused> {
    let mut spec = Spec::<K>::begin(frame, object)?;
    for row in K::FIELDS {
        spec.add(row)?;
    }
    let bindings = spec.add_places();
    spec.settle()?;
    Ok(Manifest {
        kind: K::KIND,
        name: object.resource.to_owned(),
        bindings,
        namespace: frame.namespace.map(str::to_owned),
        spec: spec.lines,
    })
}

/// A spec that is being written.
struct Spec<'a, K: Kind> {
    frame: &'a Frame<'a>,
    object: &'a Object<'a>,
    /// What the kind makes of the object, references by UUID.
    described: Value,
    /// The fields of which that is not true.
    untrue: Vec<&'static Field>,
    lines: Vec<Line>,
    kind: std::marker::PhantomData<K>,
}

impl<'a, K: Kind> Spec<'a, K> {
    fn begin(frame: &'a Frame<'a>, object: &'a Object<'a>) -> Result<Self, Refused> {
        let live = object.live;
        let label = live.name.raw();
        let refused = |why: String| Refused {
            field: K::LABEL.spec,
            why,
        };
        if let Some(why) = frame.schema.refusal(K::LABEL.spec, &json!(label)) {
            return Err(refused(why));
        }
        if stripped(label) != label {
            return Err(refused("there are blanks around it".to_owned()));
        }
        let described = K::spec_from(label, &live.fields);
        let desired = desired(&K::from_spec(object.resource, described.clone()));
        let changes = diff::<K>(&desired, live, &[]).changes.into_iter();
        let mut spec = Self {
            frame,
            object,
            described: json!(described),
            untrue: changes.map(|change| change.field).collect(),
            lines: Vec::new(),
            kind: std::marker::PhantomData,
        };
        spec.say(K::LABEL.spec, json!(label));
        spec.say("adoptionPolicy", json!(AdoptionPolicy::IfMatch));
        Ok(spec)
    }

    fn say(&mut self, field: &'static str, value: Value) {
        self.lines.push(Line::Field(field, Said::Value(value)));
    }

    fn comment(&mut self, field: &str, why: &str) {
        self.lines.push(Line::Comment(format!("{field}: {why}")));
    }

    /// Adds a field, as far as the server has it and shows what it holds.
    fn add(&mut self, row: &'static FieldRow<K>) -> Result<(), Refused> {
        let field = &row.field;
        let (schema, live) = (self.frame.schema, self.object.live);
        if field.is_secret {
            let lines = secrets::lines(schema, field, live, self.object.resource);
            self.lines.extend(lines);
            return Ok(());
        }
        // What is wanted though nothing is said of it has to be said, and so has what could be said elsewhere only.
        let bare = K::from_spec(self.object.resource, K::labelled(live.name.raw()));
        let is_needed = field.spec_from.is_some() || (row.wanted)(&bare).is_some();
        let since = field.since;
        let is_known = since.is_none_or(|since| since.may_be_known(self.frame.version));
        let is_there = is_known && live.shows(field);
        let value = match is_there {
            true => self.value(field),
            false => Err("authentik does not show it".to_owned()),
        };
        match value {
            Ok(value) => self.say(field.spec, value),
            Err(why) if is_needed => return Err(refused(field, why)),
            Err(why) if is_there => self.comment(field.spec, &why),
            Err(_) => {}
        }
        Ok(())
    }

    /// What the spec says of a field.
    ///
    /// # Errors
    /// Why it can't say what authentik holds.
    fn value(&self, field: &'static Field) -> Result<Value, String> {
        let value = self.described.get(field.spec).cloned();
        let value = value.filter(|_| !self.untrue.contains(&field));
        let mut value = value.ok_or(UNKNOWN)?;
        if let Some(collection) = field.refers_to {
            self.name_references(field, collection, &mut value);
        }
        if let Value::Array(items) = &mut value
            && field.compare == Compare::Set
        {
            // authentik gives sets in any order.
            items.sort_by_cached_key(Value::to_string);
            items.dedup();
        }
        match self.frame.schema.refusal(field.spec, &value) {
            Some(why) => Err(format!("authentik holds what can't be said here: {why}")),
            None => Ok(value),
        }
    }

    /// Names what is referred to by its label, where that is possible.
    fn name_references(&self, field: &'static Field, to: Collection, value: &mut Value) {
        let is_taken = |reference: &Value, in_list: bool| {
            let value = match in_list {
                true => json!([reference]),
                false => reference.clone(),
            };
            self.frame.schema.refusal(field.spec, &value).is_none()
        };
        let named = |reference: &Value, in_list: bool| {
            let mut ways = reference.as_object()?.values();
            let uuid = to.parse_key(ways.next()?.as_str()?)?;
            let named = self.frame.labels.reference(to, uuid)?;
            is_taken(&named, in_list).then_some(named)
        };
        match value {
            Value::Array(items) => {
                for item in items {
                    *item = named(item, true).unwrap_or_else(|| item.take());
                }
            }
            one => *one = named(one, false).unwrap_or_else(|| one.take()),
        }
    }

    /// Adds where the stage stands, if that is to be said; the bindings that the manifest then holds.
    fn add_places(&mut self) -> Vec<uuid::Uuid> {
        let Some(bindings) = self.object.bindings else {
            return Vec::new();
        };
        match places(
            self.frame.schema,
            self.frame.labels,
            self.object.live,
            bindings,
        ) {
            Ok(places) => {
                for comment in places.comments {
                    self.comment(FLOWS, &comment);
                }
                let said = Said::Places(places.said);
                self.lines.push(Line::Field(FLOWS, said));
                bindings.iter().map(|binding| binding.pk).collect()
            }
            Err(why) => {
                self.comment(FLOWS, &why);
                Vec::new()
            }
        }
    }

    /// Takes out what can't stand beside the rest, and what goes without saying.
    fn settle(&mut self) -> Result<(), Refused> {
        let spec = self.read_back(None)?;
        if let Some((field, why)) = K::contradiction(&spec) {
            for line in &mut self.lines {
                if matches!(line, Line::Field(name, _) if *name == field) {
                    *line = Line::Comment(format!("{field}: {why}"));
                }
            }
        }
        let resource = self.object.resource;
        let called = Said::Value(json!(resource));
        let is_called_so = |line: &Line| matches!(line, Line::Field(_, said) if *said == called);
        let mut at = 0;
        while let Some(line) = self.lines.get(at) {
            if is_called_so(line) && self.goes_without_saying(at)? {
                self.lines.remove(at);
            } else {
                at += 1;
            }
        }
        Ok(())
    }

    /// Whether a resource of this name means the same without this line.
    fn goes_without_saying(&self, at: usize) -> Result<bool, Refused> {
        let meaning = |spec: K::Spec| {
            let resource = K::from_spec(self.object.resource, spec);
            (resource.label(), resource.wanted())
        };
        let whole = meaning(self.read_back(None)?);
        Ok(self
            .read_back(Some(at))
            .is_ok_and(|spec| meaning(spec) == whole))
    }

    /// The spec as the API server reads it, without the line that is left out.
    fn read_back(&self, left_out: Option<usize>) -> Result<K::Spec, Refused> {
        let lines = self.lines.iter().enumerate();
        let lines = lines.filter(|(at, _)| Some(*at) != left_out);
        let fields = lines.filter_map(|(_, line)| match line {
            Line::Field(name, said) => Some(((*name).to_owned(), json!(said))),
            Line::Comment(_) => None,
        });
        let fields: Map<_, _> = fields.collect();
        serde_json::from_value(Value::Object(fields)).map_err(|_| Refused {
            field: K::LABEL.spec,
            why: "the spec that describes it can't be read back".to_owned(),
        })
    }
}

fn refused(field: &Field, why: String) -> Refused {
    Refused {
        field: field.spec,
        why,
    }
}

/// What a spec wants whose references are UUIDs; of secrets, nothing.
fn desired<K: Kind>(resource: &K) -> Desired {
    let uuid = |reference: &Reference| match &reference.names {
        Names::Uuid(uuid) => Value::from(uuid.as_str()),
        _ => Value::Null,
    };
    let value = |wanted| match wanted {
        Wanted::Value(value) => Some(value),
        Wanted::OptionalText(text) => Some(json!(text)),
        Wanted::Objects(references) => Some(references.iter().map(uuid).collect()),
        Wanted::Object(reference) => Some(reference.as_ref().map_or(Value::Null, uuid)),
        Wanted::Secret(_) => None,
    };
    let wanted = resource.wanted().into_iter();
    Desired {
        name: resource.label(),
        fields: wanted
            .filter_map(|(field, wanted)| Some((field.api, value(wanted)?)))
            .collect(),
        ..Desired::default()
    }
}
