//! What the user of an API token needs to be allowed in authentik, made from the registry of kinds.

use std::collections::{BTreeSet, HashSet};

use reqwest::Method;

use crate::{
    authentik::{self, Collection, former_permission, model_permission},
    kinds::{Bound, ForEachKind, Kind, for_each_kind},
};

/// Where people's devices are, by their class.
const DEVICES: [Collection; 5] = [
    Collection::TOTP_DEVICES,
    Collection::WEBAUTHN_DEVICES,
    Collection::DUO_DEVICES,
    Collection::SMS_DEVICES,
    Collection::EMAIL_DEVICES,
];

/// A model permission and what it is for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Permission {
    /// `app_label.codename`, as authentik's API takes it.
    pub name: String,
    /// What it is called in authentik 2024.2, where that is another name.
    pub formerly: Option<String>,
    /// What it is for.
    pub purpose: String,
    /// The kind that needs it; nothing where several share it.
    pub kind: Option<&'static str>,
    /// What it is about.
    pub collection: Option<Collection>,
    /// What it allows there.
    pub method: Method,
}

/// Every model permission that the operator can make use of.
#[must_use]
pub fn all() -> Vec<Permission> {
    let mut made = Made::default();
    for_each_kind(&mut made);
    let bindings = [
        (
            Method::GET,
            "`flows`; and to see what uses a stage or a flow, under `deletionPolicy: Delete`",
        ),
        (Method::POST, "`flows`"),
        (Method::PATCH, "`flows`"),
        (Method::DELETE, "`flows`"),
    ];
    let bindings = bindings
        .into_iter()
        .filter_map(|(method, purpose)| permission(Collection::BINDINGS, &method, purpose));
    let referred = made.referred.into_iter().filter_map(Referred::permission);
    let all = made.kinds.into_iter().chain(referred).chain(bindings);
    let mut seen = HashSet::new();
    all.chain(made.deletions)
        .filter(|permission| seen.insert(permission.name.clone()))
        .collect()
}

/// The model permissions that the operator and most commands can do without.
#[must_use]
pub fn optional() -> Vec<Permission> {
    let log = permission(
        Collection::AUDIT_LOG,
        &Method::GET,
        "events: to tell who made drift",
    );
    let users = permission(
        Collection::USERS,
        &Method::GET,
        "`impact`: to see who there is",
    );
    let devices = DEVICES.into_iter().filter_map(|devices| {
        let purpose = "`impact`: to see people's devices, where a stage takes them";
        permission(devices, &Method::GET, purpose)
    });
    log.into_iter().chain(users).chain(devices).collect()
}

/// What follows from the registry of kinds.
#[derive(Default)]
struct Made {
    kinds: Vec<Permission>,
    referred: Vec<Referred>,
    deletions: Vec<Permission>,
}

/// A collection that fields refer to.
struct Referred {
    collection: Collection,
    fields: BTreeSet<&'static str>,
    /// Whether objects of several kinds have their names there.
    shares_names: bool,
}

impl Referred {
    fn permission(self) -> Option<Permission> {
        let fields: Vec<_> = self
            .fields
            .iter()
            .map(|field| format!("`{field}`"))
            .collect();
        let also = match self.shares_names {
            true => "; and to find names that a stage of another kind holds",
            false => "",
        };
        let purpose = format!("{}{also}", fields.join(", "));
        permission(self.collection, &Method::GET, &purpose)
    }
}

impl Made {
    fn refers(&mut self, collection: Collection, field: Option<&'static str>, shares_names: bool) {
        let known = self
            .referred
            .iter()
            .position(|known| known.collection == collection);
        let index = known.unwrap_or_else(|| {
            self.referred.push(Referred {
                collection,
                fields: BTreeSet::new(),
                shares_names: false,
            });
            self.referred.len() - 1
        });
        let referred = &mut self.referred[index];
        referred.fields.extend(field);
        referred.shares_names |= shares_names;
    }
}

impl ForEachKind for Made {
    fn kind<K: Kind>(&mut self) {
        let noun = K::NOUN;
        for (method, purpose) in [
            (Method::GET, "any use".to_owned()),
            (Method::POST, format!("to create a {noun}")),
            (Method::PATCH, format!("to change a {noun}")),
            (
                Method::DELETE,
                "`deletionPolicy: Delete` and `ForceDelete`".to_owned(),
            ),
        ] {
            let purpose = format!("`{}`: {purpose}", K::KIND);
            let permission = permission(K::COLLECTION, &method, &purpose);
            self.kinds.extend(of_kind(K::KIND, permission));
        }
        if K::NAMES != K::COLLECTION {
            self.refers(K::NAMES, None, true);
        }
        if K::USAGE.bound == Bound::Stage {
            self.refers(Collection::FLOWS, Some("flows"), false);
        }
        for field in K::FIELDS.iter().map(|row| &row.field) {
            if let Some(collection) = field.refers_to {
                self.refers(collection, Some(field.spec), false);
            }
        }
        for users in K::USAGE.users {
            let purpose = format!(
                "`{}`: to see whether a {} uses the {noun}, under `deletionPolicy: Delete`",
                K::KIND,
                users.noun
            );
            let permission = permission(users.collection, &Method::GET, &purpose);
            self.deletions.extend(of_kind(K::KIND, permission));
        }
        if let Some(devices) = K::USAGE.devices
            && let Some(name) = authentik::permission(devices.model, &Method::GET)
        {
            self.deletions.push(Permission {
                // What `used_by/` lists only to those who may see it.
                collection: devices_of(&name),
                method: Method::GET,
                kind: Some(K::KIND),
                name,
                formerly: None,
                purpose: format!(
                    "`{}`: to see people's devices, under `deletionPolicy: Delete`; without it they go unseen, and no message says so",
                    K::KIND
                ),
            });
        }
    }
}

fn permission(collection: Collection, method: &Method, purpose: &str) -> Option<Permission> {
    let formerly = former_permission(collection, method);
    let note = formerly.as_ref();
    let note = note.map(|name| format!(" (in authentik 2024.2: `{name}`)"));
    Some(Permission {
        name: model_permission(collection, method)?,
        formerly,
        purpose: format!("{purpose}{}", note.unwrap_or_default()),
        kind: None,
        collection: Some(collection),
        method: method.clone(),
    })
}

fn of_kind(kind: &'static str, permission: Option<Permission>) -> Option<Permission> {
    let kind = Some(kind);
    permission.map(|permission| Permission { kind, ..permission })
}

/// The devices that this permission shows.
fn devices_of(name: &str) -> Option<Collection> {
    DEVICES
        .into_iter()
        .find(|devices| model_permission(*devices, &Method::GET).as_deref() == Some(name))
}
