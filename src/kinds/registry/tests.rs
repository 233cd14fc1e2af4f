//! What holds for every kind.

use std::collections::BTreeSet;

use super::*;
use crate::kinds::{field::Field, for_each_kind};

struct EachOnce {
    kinds: BTreeSet<&'static str>,
    paths: BTreeSet<&'static str>,
}

impl ForEachKind for EachOnce {
    fn kind<K: Kind>(&mut self) {
        assert_eq!(K::KIND, K::kind(&()));
        assert!(self.kinds.insert(K::KIND), "{}", K::KIND);
        assert!(self.paths.insert(K::COLLECTION.path()), "{}", K::KIND);
        let mut names = BTreeSet::from([(K::LABEL.api, K::LABEL.spec)]);
        let properties = spec_properties::<K>();
        for row in K::FIELDS {
            let Field { api, spec, .. } = row.field;
            assert!(names.insert((api, spec)), "{}: {api} twice", K::KIND);
            assert!(
                properties.contains(spec),
                "{}: no {spec} in the spec",
                K::KIND
            );
        }
        assert!(properties.contains(K::LABEL.spec), "{}", K::KIND);
    }
}

fn spec_properties<K: Kind>() -> BTreeSet<String> {
    let crd = serde_json::to_value(crd::<K>()).unwrap();
    let schema = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let properties = crd.pointer(schema).and_then(Value::as_object);
    properties.unwrap().keys().cloned().collect()
}

#[test]
fn every_kind_is_there_once_and_every_field_is_in_its_spec() {
    let mut each = EachOnce {
        kinds: BTreeSet::new(),
        paths: BTreeSet::new(),
    };
    for_each_kind(&mut each);
    assert_eq!(each.kinds.len(), kind_names().len());
}

/// What the spec has beside what all kinds share is managed: no property is without a row.
struct EveryPropertyIsManaged;

impl ForEachKind for EveryPropertyIsManaged {
    fn kind<K: Kind>(&mut self) {
        let shared = [
            "connectionRef",
            "managementPolicy",
            "adoptionPolicy",
            "deletionPolicy",
            "suspend",
            "flows",
        ];
        let fields = K::FIELDS.iter().map(|row| row.field.spec);
        let elsewhere = K::FIELDS.iter().filter_map(|row| row.field.spec_from);
        let fields = fields.chain(elsewhere);
        let known: BTreeSet<_> = fields.chain(shared).chain([K::LABEL.spec]).collect();
        for property in spec_properties::<K>() {
            assert!(known.contains(property.as_str()), "{}: {property}", K::KIND);
        }
    }
}

#[test]
fn every_property_of_a_spec_is_managed() {
    for_each_kind(&mut EveryPropertyIsManaged);
}
