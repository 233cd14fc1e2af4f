//! Whether an object is what a resource asks for.

use std::collections::BTreeSet;

use devkit::gateway::Exchange;
use serde_json::Value;

use super::{
    model::{Snapshot, expect},
    objects::Object,
    places::Place,
    resource::Resource,
    shapes::{Property, Shape, properties},
};
use crate::factor;

impl Snapshot<'_> {
    /// How the object that the resource stands for is not what it asks for, if so.
    pub fn differs_from_its_own(&self, resource: &Resource) -> Option<String> {
        let own = resource.recorded().and_then(|uuid| self.objects.get(uuid));
        match own {
            Some(own) if own.kind == Some(resource.kind) => self.differs(resource, own),
            _ => Some("it stands for nothing".to_owned()),
        }
    }

    /// Whether `adoptionPolicy: IfMatch` takes this object: bindings may be missing.
    pub fn matches(&self, resource: &Resource, live: &Object) -> bool {
        let wanted = self.places(resource);
        let fits = |wanted: BTreeSet<Place>| live.places.is_subset(&wanted);
        self.differs_itself(resource, live).is_none() && wanted.is_none_or(fits)
    }

    /// How this object is not what the resource asks for, if so.
    fn differs(&self, resource: &Resource, live: &Object) -> Option<String> {
        let wanted = self.places(resource);
        let differs = wanted.is_some_and(|wanted| wanted != live.places);
        let bindings = differs.then(|| format!("it stands at {:?}", live.places));
        self.differs_itself(resource, live).or(bindings)
    }

    /// The first field in which this object is not what the resource asks for, if there is one.
    fn differs_itself(&self, resource: &Resource, live: &Object) -> Option<String> {
        if live.label() != resource.label() {
            return Some(format!("it is called {}", live.label()));
        }
        let mut properties = properties(resource.kind).iter();
        properties.find_map(|property| {
            let wanted = self.wanted(resource, property)?;
            // What the server does not have, or does not show, can't differ.
            let found = live.shown.get(&property.api)?;
            let differs = !property.is_same(&wanted, found);
            differs.then(|| format!("{} is {found}, not {wanted}", property.spec))
        })
    }

    /// What a resource wants of a field, as authentik shows it; nothing where it leaves that open, or where what it refers to
    /// is missing, which is judged by itself.
    fn wanted(&self, resource: &Resource, property: &Property) -> Option<Value> {
        match property.shape {
            Shape::One(_) => {
                let uuids = self.referred_by(resource, property)??;
                Some(uuids.first().copied().map_or(Value::Null, Value::from))
            }
            Shape::Many(_) => Some(Value::from(self.referred_by(resource, property)??)),
            Shape::Secret => self
                .secret(resource, property)
                .map(|wanted| wanted.value.into()),
            _ => property.wanted(resource.spec(), &resource.name()),
        }
    }

    /// What a resource wants of a secret field, where its Secret is there.
    fn secret(&self, resource: &Resource, property: &Property) -> Option<Secret> {
        let source = resource.spec().get(&property.spec)?;
        if source.is_null() {
            return Some(Secret::default());
        }
        let name = source["secretKeyRef"]["name"].as_str()?;
        self.secrets.get(&(resource.at, name.to_owned())).cloned()
    }

    /// Whether the values that Secrets hold now are those that were sent last, of the fields that authentik does not show.
    pub fn secrets_were_sent(&self, resource: &Resource, sent: &[Exchange]) -> Result<(), String> {
        let uuid = resource.manages().ok_or("nothing is recorded")?;
        let live = self.objects.get(uuid).ok_or("what it stands for is gone")?;
        for property in properties(resource.kind) {
            let is_hidden = live.shown.get(&property.api).is_none();
            let is_secret = matches!(property.shape, Shape::Secret);
            if let Some(secret) = self.secret(resource, property)
                && is_secret
                && is_hidden
            {
                was_sent(resource, property, &secret, sent, uuid)?;
            }
        }
        Ok(())
    }
}

/// The value of a Secret, and which one it is; without them, where a field is to be empty.
#[derive(Clone, Default)]
pub struct Secret {
    pub value: String,
    pub uid: Option<String>,
    pub version: Option<String>,
}

fn was_sent(
    resource: &Resource,
    property: &Property,
    secret: &Secret,
    sent: &[Exchange],
    uuid: &str,
) -> Result<(), String> {
    let (field, value) = (&property.spec, &secret.value);
    let labels = factor::labels(sent);
    let labels = labels.get(uuid);
    let of_it = sent.iter().filter(|write| match write.method.as_str() {
        "POST" => match write.response.as_ref().map(|made| &made["pk"]) {
            // Another may have been made under the name that this one had before.
            Some(made) if made.is_string() => made == uuid,
            _ => write
                .body
                .as_ref()
                .and_then(factor::label)
                .is_some_and(|label| labels.is_some_and(|labels| labels.contains(label))),
        },
        "PATCH" => write.path.ends_with(&format!("/{uuid}/")),
        _ => false,
    });
    let mut values = of_it.filter_map(|write| write.body.as_ref()?[&property.api].as_str());
    let last = values.next_back();
    expect(
        last == Some(value),
        &format!("{field} was last sent as {last:?}, not {value}"),
    )?;
    let recorded = resource.object.data["status"]["secrets"].as_array();
    let mut recorded = recorded.into_iter().flatten();
    let is_present = |recorded: &Value| {
        recorded["field"] == **field
            && recorded["uid"].as_str() == secret.uid.as_deref()
            && recorded["resourceVersion"].as_str() == secret.version.as_deref()
    };
    expect(
        recorded.any(is_present),
        &format!("{field} is not recorded as it is"),
    )
}
