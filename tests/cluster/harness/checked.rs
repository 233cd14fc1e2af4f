//! Whatever a test applies is also checked as the command line checks manifests: both have to take and to refuse the same.

use std::sync::OnceLock;

use authentik_stage_operator::manifests::{File, Set};
use kube::api::DynamicObject;
use serde_json::Value;

use super::Test;

/// What the command line makes of this object.
pub fn read(object: &Value) -> Result<Set, Vec<String>> {
    let file = File {
        name: "object".to_owned(),
        text: object.to_string(),
    };
    let read = Set::read(&[file], "default");
    read.map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

impl Test {
    /// From here on Kubernetes takes more than it should, for the test has changed the CRDs.
    pub fn is_loose(&self) {
        // Twice is as good as once.
        let _ = self.loose.set(());
    }

    /// Compares what Kubernetes has made of an object with what the command line makes of it.
    pub fn both_agree(&self, object: &Value, applied: &Result<DynamicObject, kube::Error>) {
        let refused = match applied {
            Ok(_) => false,
            Err(kube::Error::Api(status)) => match status.code {
                400 | 422 => true,
                // Refused for another reason than what it says.
                _ => return,
            },
            Err(_) => return,
        };
        if self.loose.get().is_none() {
            let said = read(object).err();
            let why = "Kubernetes and the command line don't agree about";
            assert_eq!(
                said.is_some(),
                refused,
                "{why} {object}: {said:?}, {applied:?}"
            );
        }
    }
}

/// Whether the CRDs were changed.
pub type Loose = OnceLock<()>;
