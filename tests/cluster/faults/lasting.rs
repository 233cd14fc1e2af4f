//! What is in authentik from the beginning of a history to its end, for resources to refer to.

use authentik_stage_operator::authentik::Collection;
use serde_json::{Value, json};

use crate::harness::{Test, text};

/// How many WebAuthn device types are referred to, of the many that authentik knows.
const DEVICE_TYPES: usize = 2;

/// The names of the flows.
pub const FLOWS: [&str; 2] = ["f0", "f1"];

/// Where stages are of a kind that the operator does not manage.
pub const FOREIGN: &str = "stages/dummy/";

/// An object that is always there.
pub struct Lasting {
    pub of: Collection,
    pub label: String,
    pub uuid: String,
}

impl Lasting {
    /// The references to it.
    pub fn ways(&self) -> [Value; 2] {
        let key = match self.of.key() {
            "pk" => "uuid",
            key => key,
        };
        [
            json!({self.of.label(): self.label}),
            json!({key: self.uuid}),
        ]
    }

    /// Whether this reference is to it.
    pub fn is_meant(&self, of: Collection, reference: &Value) -> bool {
        self.of == of && self.ways().contains(reference)
    }

    fn of(collection: Collection, row: &Value) -> Self {
        Self {
            of: collection,
            label: text(&row[collection.label()]).to_owned(),
            uuid: text(&row[collection.key()]).to_owned(),
        }
    }
}

/// Makes a brand that names flows now and then; returns its UUID.
pub async fn brand(test: &Test) -> String {
    let brand = json!({"domain": test.name("brand")});
    let brand = test.authentik.create("core/brands/", brand).await;
    text(&brand["brand_uuid"]).to_owned()
}

/// Makes what is always there: flows, a stage that the operator does not manage, a mapping.
pub async fn make(test: &Test) -> Vec<Lasting> {
    let authentik = &test.authentik;
    for flow in FLOWS {
        test.flow(flow).await;
    }
    let stage = json!({"name": test.name("other")});
    authentik.create(FOREIGN, stage).await;
    let mapping = json!({"name": test.name("mapping"), "expression": "return {}"});
    authentik
        .create("propertymappings/notification/", mapping)
        .await;
    let mut lasting = Vec::new();
    for collection in [
        Collection::FLOWS,
        Collection::ALL_STAGES,
        Collection::WEBHOOK_MAPPINGS,
    ] {
        let list = format!("{}/?search={}", collection.path(), test.name(""));
        let rows = authentik.list(&list).await;
        lasting.extend(rows.iter().map(|row| Lasting::of(collection, row)));
    }
    let types = Collection::WEBAUTHN_DEVICE_TYPES;
    let rows = authentik.list(&format!("{}/", types.path())).await;
    let rows = rows.iter().take(DEVICE_TYPES);
    lasting.extend(rows.map(|row| Lasting::of(types, row)));
    lasting
}
