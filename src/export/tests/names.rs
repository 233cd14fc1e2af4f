//! What resources are called.

use proptest::{collection::btree_set, prelude::*};
use uuid::Uuid;

use crate::export::resource_names;

fn names(labels: &[&str]) -> Vec<String> {
    let objects = labels.iter().zip(1..);
    let objects: Vec<_> = objects
        .map(|(label, n)| (Uuid::from_u128(n), *label))
        .collect();
    resource_names(&objects, "stage").into_values().collect()
}

#[test]
fn a_label_becomes_a_name() {
    let long = "x".repeat(100);
    for (label, name) in [
        ("mfa", "mfa"),
        ("Duo  Main (new)", "duo-main-new"),
        ("a--b", "a--b"),
        ("_a.b/", "a-b"),
        ("Größe", "gr-e"),
        ("認証", "stage"),
        ("-", "stage"),
        (&long, &long[..63]),
    ] {
        assert_eq!(names(&[label]), [name], "{label}");
    }
}

#[test]
fn who_is_called_so_keeps_the_name_and_others_get_a_number() {
    assert_eq!(names(&["MFA", "mfa", "M F A"]), ["mfa-2", "mfa", "m-f-a"]);
    assert_eq!(names(&["MFA", "mfa-2", "mfa"]), ["mfa-3", "mfa-2", "mfa"]);
    let long = ["x".repeat(63), "X".repeat(63), "x".repeat(70)];
    let names = names(&long.each_ref().map(String::as_str));
    assert_eq!(names[0], long[0]);
    assert_eq!(names[1], format!("{}-2", "x".repeat(61)));
    assert_eq!(names[2], format!("{}-3", "x".repeat(61)));
}

proptest! {
    #[test]
    fn names_are_names_and_unique_and_depend_on_no_order(labels in btree_set(".{0,3}|[aA]-{0,2}[bB ]{1,90}", 0..30)) {
        let objects = labels.iter().zip(1..);
        let mut objects: Vec<_> = objects.map(|(label, n)| (Uuid::from_u128(n), label.as_str())).collect();
        let names = resource_names(&objects, "stage");
        prop_assert_eq!(names.len(), objects.len());
        let form = regex::Regex::new("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$").unwrap();
        for name in names.values() {
            prop_assert!(form.is_match(name), "{}", name);
            prop_assert_eq!(names.values().filter(|other| *other == name).count(), 1);
        }
        objects.reverse();
        prop_assert_eq!(resource_names(&objects, "stage"), names);
    }
}
