//! What the user of an API token needs to be allowed in authentik, made from the registry of kinds.

use reqwest::Method;

use crate::{
    authentik::{Collection, model_permission},
    kinds::{ForEachKind, Kind, for_each_kind},
};

/// A model permission and what it is for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Permission {
    /// `app_label.codename`, as authentik's API takes it.
    pub name: String,
    /// What it is for.
    pub purpose: String,
}

/// Every model permission that the operator can make use of.
#[must_use]
pub fn all() -> Vec<Permission> {
    let mut stages = Stages(Vec::new());
    for_each_kind(&mut stages);
    let others = [
        (
            Collection::ALL_STAGES,
            vec![(
                Method::GET,
                "to find stages that a spec names, and names that a stage of another kind holds",
            )],
        ),
        (
            Collection::FLOWS,
            vec![(Method::GET, "to find flows that a spec names")],
        ),
        (
            Collection::BINDINGS,
            vec![
                (
                    Method::GET,
                    "`flows`; and to see what uses a stage, under `deletionPolicy: Delete`",
                ),
                (Method::POST, "`flows`"),
                (Method::PATCH, "`flows`"),
                (Method::DELETE, "`flows`"),
            ],
        ),
        (
            Collection::WEBAUTHN_DEVICE_TYPES,
            vec![(Method::GET, "`webauthnAllowedDeviceTypes`")],
        ),
    ];
    let others = others.into_iter().flat_map(|(collection, methods)| {
        let permission = move |(method, purpose)| permission(collection, &method, purpose);
        methods.into_iter().filter_map(permission)
    });
    let devices = Permission {
        // What `used_by/` lists only to those who may see it.
        name: "authentik_stages_authenticator_duo.view_duodevice".to_owned(),
        purpose:
            "to see people's devices, under `deletionPolicy: Delete`; without it they go unseen, and no message says so"
                .to_owned(),
    };
    stages
        .0
        .into_iter()
        .chain(others)
        .chain([devices])
        .collect()
}

struct Stages(Vec<Permission>);

impl ForEachKind for Stages {
    fn kind<K: Kind>(&mut self) {
        for (method, purpose) in [
            (Method::GET, "any use"),
            (Method::POST, "to create a stage"),
            (Method::PATCH, "to change a stage"),
            (Method::DELETE, "`deletionPolicy: Delete` and `ForceDelete`"),
        ] {
            let purpose = format!("`{}`: {purpose}", K::KIND);
            self.0.extend(permission(K::COLLECTION, &method, &purpose));
        }
    }
}

fn permission(collection: Collection, method: &Method, purpose: &str) -> Option<Permission> {
    Some(Permission {
        name: model_permission(collection, method)?,
        purpose: purpose.to_owned(),
    })
}
