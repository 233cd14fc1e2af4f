//! What the tests have to know of each kind: the operator's own tables, and the schemas of the CRDs.

use authentik_stage_operator::kinds::{Field, ForEachKind, Kind, crd, for_each_kind};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;

/// A kind.
pub struct Table {
    pub kind: &'static str,
    pub label: &'static Field,
    pub rows: Vec<Row>,
}

/// A field of a kind.
#[derive(Clone)]
pub struct Row {
    pub kind: &'static str,
    pub field: &'static Field,
    pub schema: JSONSchemaProps,
    /// Whether every spec sets it.
    pub required: bool,
}

impl Row {
    /// Whether it is called as the resource is, where the spec does not set it.
    pub fn is_named_after_the_resource(&self) -> bool {
        let description = self.schema.description.as_deref().unwrap_or_default();
        description
            .replace('\n', " ")
            .contains("Omitted: the name of this resource")
    }

    /// Whether it is managed though the spec does not set it.
    pub fn is_always_there(&self) -> bool {
        self.required || self.is_named_after_the_resource()
    }
}

impl Table {
    /// What the tests call their resource of this kind.
    pub fn resource(&self) -> String {
        self.kind.to_lowercase()
    }

    fn of<K: Kind>() -> Self {
        let spec = spec_schema::<K>();
        let properties = spec.properties.unwrap_or_default();
        let required = spec.required.unwrap_or_default();
        let rows = K::FIELDS.iter().map(|row| {
            let name = row.field.spec;
            let schema = properties.get(name).cloned();
            Row {
                kind: K::KIND,
                field: &row.field,
                schema: schema.unwrap_or_else(|| panic!("the CRD of {} lacks {name}", K::KIND)),
                // Where the value could be elsewhere, a rule asks for one of the two.
                required: row.field.spec_from.is_some()
                    || required.iter().any(|required| required == name),
            }
        });
        Self {
            kind: K::KIND,
            label: K::LABEL,
            rows: rows.collect(),
        }
    }
}

fn spec_schema<K: Kind>() -> JSONSchemaProps {
    let version = crd::<K>().spec.versions.swap_remove(0);
    let root = version.schema.and_then(|schema| schema.open_api_v3_schema);
    let properties = root.and_then(|root| root.properties);
    let spec = properties.and_then(|mut properties| properties.remove("spec"));
    spec.expect("the CRD says what a spec is")
}

/// All kinds of the registry.
pub fn tables() -> Vec<Table> {
    struct All(Vec<Table>);
    impl ForEachKind for All {
        fn kind<K: Kind>(&mut self) {
            self.0.push(Table::of::<K>());
        }
    }
    let mut all = All(Vec::new());
    for_each_kind(&mut all);
    all.0
}
