//! What uses an object of authentik, so that its deletion would take something from somebody.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{bindings, resolve, stop::Steps, subject::Subject};
use crate::{
    authentik::{Collection, Error, Keyed, ObjectId, Remote, UsedBy, Weigh},
    controller::{connection::Server, context::Context},
    kinds::{Bound, Kind, Users, users_of},
    plan::{
        AnyRow,
        bindings::Binding,
        failure::{Failure, Reason},
    },
};

/// The most users that a message names.
const MOST_NAMED: usize = 10;

/// Most bytes of JSON of a field that is looked at for what it mentions.
const MAX_FIELD: usize = 64 * 1024;

/// These users in words, cut where there are many.
pub(super) fn named(users: BTreeSet<String>) -> String {
    let more = users.len().saturating_sub(MOST_NAMED);
    let first: Vec<_> = users.into_iter().take(MOST_NAMED).collect();
    match more {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// Everything that uses the object, in words. The bindings that are its own doing don't count.
pub(super) async fn users<K: Kind>(
    ctx: &Context,
    subject: &Subject<K>,
    server: &Arc<Server>,
    id: ObjectId<'_>,
) -> Steps<BTreeSet<String>> {
    let Some(used_by) = used_by::<K>(server, id).await? else {
        return Ok(BTreeSet::new());
    };
    let is_user = |user: &&UsedBy| {
        let model = (user.app.as_str(), user.model_name.as_str());
        !K::USAGE.no_users.contains(&model)
    };
    let mut users: BTreeSet<_> = used_by.iter().filter(is_user).map(describe::<K>).collect();
    users.extend(foreign_bindings(ctx, subject, server, id.key).await?);
    let can_decide = users.is_empty();
    users.extend(mentioning(ctx, subject, server, id.key, can_decide).await?);
    Ok(users)
}

/// What `used_by/` says, as far as the token may see it; nothing where the object is gone already.
async fn used_by<K: Kind>(server: &Server, id: ObjectId<'_>) -> Steps<Option<Vec<UsedBy>>> {
    match server.client.used_by(K::COLLECTION, id).await {
        Ok(used_by) => Ok(Some(used_by)),
        Err(Error::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// People's devices that hang on the object, in words.
pub(super) async fn devices<K: Kind>(server: &Server, id: ObjectId<'_>) -> Steps<BTreeSet<String>> {
    let Some(devices) = K::USAGE.devices else {
        return Ok(BTreeSet::new());
    };
    let used_by = used_by::<K>(server, id).await?.unwrap_or_default();
    let is_device = |user: &&UsedBy| user.model_name.as_str() == devices.model.1;
    let enrolled = used_by.iter().filter(is_device);
    Ok(enrolled.map(describe::<K>).collect())
}

fn describe<K: Kind>(user: &UsedBy) -> String {
    let model = user.model_name.as_str();
    let devices = K::USAGE.devices.filter(|devices| devices.model.1 == model);
    let noun = devices.map_or(model, |devices| devices.noun);
    format!("{noun} {:?}", user.name.as_str())
}

/// What the object is bound to by others. A token that may not view bindings is refused here, while `used_by/` would leave
/// them out without a word.
async fn foreign_bindings<K: Kind>(
    ctx: &Context,
    subject: &Subject<K>,
    server: &Arc<Server>,
    uuid: Uuid,
) -> Steps<BTreeSet<String>> {
    let bound = K::USAGE.bound;
    let bindings = match bindings::look_up(server, bound, uuid).await {
        // "Select a valid choice.": the object is gone.
        Err(Error::Rejected { .. }) => return Ok(BTreeSet::new()),
        bindings => bindings?,
    };
    let others: BTreeSet<Uuid> = match bound {
        Bound::Stage => undeclared(ctx, subject, server, &bindings).await?,
        Bound::Flow => not_ours(ctx, subject, server, &bindings),
    };
    let (noun, collection) = match bound {
        Bound::Stage => ("flow", Collection::FLOWS),
        Bound::Flow => ("stage", Collection::ALL_STAGES),
    };
    let mut names = BTreeSet::new();
    for (n, other) in others.into_iter().enumerate() {
        let name = match n < MOST_NAMED {
            true => label(server, collection, other).await,
            false => other.to_string(),
        };
        names.insert(format!("{noun} {name}"));
    }
    Ok(names)
}

/// The flows of these bindings that the stage's spec does not ask for.
async fn undeclared<K: Kind>(
    ctx: &Context,
    subject: &Subject<K>,
    server: &Arc<Server>,
    bindings: &[Arc<Binding>],
) -> Steps<BTreeSet<Uuid>> {
    let declared = match bindings.is_empty() {
        true => None,
        false => resolve::desired_bindings(ctx, subject, server).await?,
    };
    let is_declared = |binding: &Binding| {
        let declared = declared.as_ref();
        declared.is_some_and(|declared| declared.declares(binding))
    };
    let foreign = bindings.iter().filter(|binding| !is_declared(binding));
    Ok(foreign.map(|binding| binding.target).collect())
}

/// The stages of these bindings that no resource of the flow's namespace manages.
fn not_ours<K: Kind>(
    ctx: &Context,
    subject: &Subject<K>,
    server: &Server,
    bindings: &[Arc<Binding>],
) -> BTreeSet<Uuid> {
    let memory = &ctx.shared.memory;
    let stages = bindings
        .iter()
        .filter_map(|binding| binding.stage.parse().ok());
    stages
        .filter(|stage| !memory.manages(&subject.id.namespace, &server.url, *stage))
        .collect()
}

/// An object's label; its UUID has to do where the token may not view it.
async fn label(server: &Server, collection: Collection, uuid: Uuid) -> String {
    let found = server.client.get::<AnyRow>(collection, uuid).await;
    let found = found.ok().flatten().and_then(|row| row.of(collection));
    found.map_or_else(
        || uuid.to_string(),
        |row| server.show(&row.label).into_string(),
    )
}

/// The users that `used_by/` leaves out: their own fields mention the object. Those that held up the deletion last are asked
/// first; only where none of them does, others are looked for, and only where that can still change anything.
async fn mentioning<K: Kind>(
    ctx: &Context,
    subject: &Subject<K>,
    server: &Server,
    uuid: Uuid,
    can_decide: bool,
) -> Steps<Vec<String>> {
    let all = users_of::<K>();
    let mut found = Vec::new();
    for (collection, blocker) in &subject.view.blockers {
        let users = all.iter().find(|users| users.collection == *collection);
        let row = server.client.get::<AnyUser>(*collection, *blocker).await?;
        if let (Some(users), Some(row)) = (users, row) {
            found.extend(row.mentions(users, uuid).then_some((users, row)));
        }
    }
    if found.is_empty() && can_decide {
        for users in &all {
            let rows = list(server, users, uuid).await?;
            found.extend(rows.into_iter().map(|row| (users, row)));
        }
    }
    let blockers = found.iter().take(MOST_NAMED);
    let blockers = blockers
        .map(|(users, row)| (users.collection, row.key))
        .collect();
    let memory = &ctx.shared.memory;
    memory.with(&subject.uid, |entry| entry.blockers = blockers);
    let in_words = |(users, row): &(&Users, AnyUser)| {
        format!("{} {:?}", users.noun, server.show(&row.label).as_str())
    };
    Ok(found.iter().map(in_words).collect())
}

/// Where it can, authentik is asked for the users alone: a list of all moves while others make and delete its rows, and then
/// proves nothing.
async fn list(server: &Server, users: &Users, uuid: Uuid) -> Steps<Vec<AnyUser>> {
    let keep = |row: AnyUser| row.mentions(users, uuid).then_some(row);
    let used = uuid.to_string();
    let filter = users.filter.map(|filter| (filter, used.as_str()));
    let filter = filter.as_slice();
    let listing = match server.client.list(users.collection, filter, keep).await {
        // "Select a valid choice.": the object is gone.
        Err(Error::Rejected { .. }) => return Ok(Vec::new()),
        listing => listing?,
    };
    if listing.rows.is_empty() && !(listing.complete && listing.unreadable.is_empty()) {
        return Err(Failure::new(
            Reason::AuthentikUnavailable,
            format!(
                "whether a {noun} uses it could not be seen, for {noun}s were made or deleted meanwhile or can't be read",
                noun = users.noun
            ),
        )
        .into());
    }
    Ok(listing.rows)
}

/// A row of any list, and the UUIDs that each of its fields mentions.
struct AnyUser {
    key: Uuid,
    label: Remote,
    mentions: BTreeMap<String, BTreeSet<Uuid>>,
    /// Fields that are too large to be looked at: they may mention anything.
    unread: BTreeSet<String>,
}

impl AnyUser {
    fn mentions(&self, users: &Users, uuid: Uuid) -> bool {
        let mut fields = users.fields.iter();
        let mentions = |field: &str| {
            let mentioned = self.mentions.get(field);
            self.unread.contains(field) || mentioned.is_some_and(|uuids| uuids.contains(&uuid))
        };
        self.key != uuid && fields.any(|field| mentions(field))
    }
}

impl Keyed for AnyUser {
    fn key(&self) -> Uuid {
        self.key
    }
}

impl Weigh for AnyUser {
    fn weight(&self) -> usize {
        let mentions = self.mentions.iter();
        let mentions = mentions.map(|(field, uuids)| {
            size_of::<Self>() + field.len() + uuids.len() * size_of::<Uuid>()
        });
        size_of::<Self>() + self.label.raw().len() + mentions.sum::<usize>()
    }
}

impl<'de> Deserialize<'de> for AnyUser {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = AnyUser;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<AnyUser, A::Error> {
                let mut user = AnyUser {
                    key: Uuid::nil(),
                    label: Remote::default(),
                    mentions: BTreeMap::new(),
                    unread: BTreeSet::new(),
                };
                while let Some((field, raw)) = map.next_entry::<String, Box<RawValue>>()? {
                    user.takes(field, &raw);
                }
                Ok(user)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// The UUID that this is, or those in this list.
fn uuids(raw: &RawValue) -> Vec<Uuid> {
    let items: Vec<&RawValue> = serde_json::from_str(raw.get()).unwrap_or_else(|_| vec![raw]);
    let items = items.into_iter();
    items
        .filter_map(|item| serde_json::from_str(item.get()).ok())
        .collect()
}

impl AnyUser {
    fn takes(&mut self, field: String, raw: &RawValue) {
        if raw.get().len() > MAX_FIELD {
            self.unread.insert(field);
            return;
        }
        let uuids = uuids(raw);
        match field.as_str() {
            "pk" | "brand_uuid" => {
                let number = || raw.get().parse().map(Uuid::from_u128).ok();
                self.key = uuids.first().copied().or_else(number).unwrap_or_default();
            }
            "name" | "domain" => self.label = serde_json::from_str(raw.get()).unwrap_or_default(),
            _ if uuids.is_empty() => {}
            _ => {
                self.mentions.insert(field, uuids.into_iter().collect());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_can_not_be_looked_at_may_mention_anything() {
        let used = Uuid::from_u128(7);
        let users = Users {
            collection: Collection::BRANDS,
            fields: &["flow_recovery", "stages"],
            filter: None,
            noun: "brand",
        };
        let large = "x".repeat(MAX_FIELD);
        for (mentions, field, value) in [
            (true, "flow_recovery", json!(used)),
            (true, "stages", json!([1, "no", used])),
            (true, "stages", json!(large)),
            (false, "flow_recovery", json!(Uuid::nil())),
            (false, "stages", json!({"of": used})),
            (false, "css", json!(large)),
            (false, "other", json!(used)),
            (false, "brand_uuid", json!(used)),
        ] {
            let row = json!({"brand_uuid": Uuid::from_u128(1), "domain": "a", field: value});
            let row: AnyUser = serde_json::from_value(row).expect("any row");
            assert_eq!(row.mentions(&users, used), mentions, "{field}");
        }
    }
}
