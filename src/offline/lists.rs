//! Lists of a cluster, page by page.

use kube::{
    Api, Client,
    api::ListParams,
    core::{ApiResource, DynamicObject},
};

use crate::api::{GROUP, VERSION};

/// How many objects are asked for at one time.
pub const PAGE: u32 = 500;

/// The objects of a kind of ours; nothing for the namespace: all.
pub fn objects_of(
    client: &Client,
    kind: &str,
    plural: &str,
    namespace: Option<&str>,
) -> Api<DynamicObject> {
    let resource = ApiResource {
        group: GROUP.to_owned(),
        version: VERSION.to_owned(),
        api_version: format!("{GROUP}/{VERSION}"),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    };
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// What `keep` makes of each object; nothing where the kind's CRD is not there.
///
/// # Errors
/// Where Kubernetes does not answer, or refuses.
pub async fn all<T>(
    api: &Api<DynamicObject>,
    keep: impl Fn(DynamicObject) -> T,
) -> Result<Option<Vec<T>>, kube::Error> {
    let mut kept = Vec::new();
    let mut parameters = ListParams::default().limit(PAGE);
    loop {
        let page = match api.list(&parameters).await {
            Ok(page) => page,
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(None),
            // The list has become too old to go on with.
            Err(kube::Error::Api(status)) if status.code == 410 && !kept.is_empty() => {
                kept.clear();
                parameters = ListParams::default().limit(PAGE);
                continue;
            }
            Err(error) => return Err(error),
        };
        kept.extend(page.items.into_iter().map(&keep));
        match page.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => parameters.continue_token = Some(next),
            None => return Ok(Some(kept)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use axum::{Json, Router, http::StatusCode};
    use serde_json::{Value, json};

    use super::*;

    /// A cluster that gives these answers, one after the other.
    fn answering(answers: Vec<(u16, Value)>) -> Api<DynamicObject> {
        let (answers, asked) = (Arc::new(answers), Arc::new(AtomicUsize::new(0)));
        let answer = move || async move {
            let (code, body) = answers[asked.fetch_add(1, Ordering::Relaxed)].clone();
            (StatusCode::from_u16(code).unwrap(), Json(body))
        };
        let client = Client::new(Router::new().fallback(answer), "default");
        objects_of(&client, "Flow", "flows", None)
    }

    fn page(name: &str, next: &str) -> (u16, Value) {
        let item = json!({"metadata": {"name": name}});
        (
            200,
            json!({"metadata": {"continue": next}, "items": [item]}),
        )
    }

    fn refusal(code: u16) -> (u16, Value) {
        let status =
            json!({"status": "Failure", "message": "no", "reason": "Expired", "code": code});
        (code, status)
    }

    async fn names(answers: Vec<(u16, Value)>) -> Result<Option<Vec<String>>, kube::Error> {
        all(&answering(answers), |object| {
            object.metadata.name.unwrap_or_default()
        })
        .await
    }

    #[tokio::test]
    async fn a_list_that_has_become_too_old_begins_anew() {
        let answers = vec![
            page("gone", "a"),
            refusal(410),
            page("a", "b"),
            page("b", ""),
        ];
        let names = names(answers).await.unwrap().unwrap();
        assert_eq!(names, ["a", "b"]);
    }

    #[tokio::test]
    async fn a_kind_without_its_crd_is_no_error_and_a_refusal_is_one() {
        assert_eq!(names(vec![refusal(404)]).await.unwrap(), None);
        assert!(names(vec![refusal(403)]).await.is_err());
        // Who says so of the first page says it for good.
        assert!(names(vec![refusal(410)]).await.is_err());
    }
}
