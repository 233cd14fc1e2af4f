//! The manifests of `examples/`, aimed at a server that is there.
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::Result;

/// One file.
pub(super) struct Manifest {
    pub(super) name: String,
    pub(super) documents: Vec<Value>,
}

/// The server that connections shall lead to.
pub(super) struct Server {
    pub(super) url: String,
    pub(super) token: String,
    pub(super) resync_interval: String,
}

/// All files, in the order of their names.
pub(super) fn examples() -> Result<Vec<Manifest>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut manifests = Vec::new();
    for entry in fs::read_dir(&directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let documents = serde_saphyr::from_multiple(&fs::read_to_string(&path)?)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        manifests.push(Manifest {
            name: name.into_owned(),
            documents,
        });
    }
    manifests.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(manifests)
}

/// The same documents, in which every connection leads to `server` and its Secret holds the token.
pub(super) fn aimed_at(server: &Server, mut documents: Vec<Value>) -> Vec<Value> {
    let mut tokens = Vec::new();
    for document in &mut documents {
        if is_connection(document) {
            document["spec"]["url"] = json!(server.url);
            document["spec"]["resyncInterval"] = json!(server.resync_interval);
            tokens.push(document["spec"]["tokenSecretRef"].clone());
        }
    }
    for document in documents.iter_mut().filter(|it| it["kind"] == "Secret") {
        for token in &tokens {
            if token["name"] == document["metadata"]["name"]
                && let Some(key) = token["key"].as_str()
            {
                document["stringData"][key] = json!(server.token);
            }
        }
    }
    documents
}

fn is_connection(document: &Value) -> bool {
    document["kind"]
        .as_str()
        .is_some_and(|kind| kind.ends_with("AuthentikConnection"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_connections_and_their_tokens_change() {
        let server = Server {
            url: "http://127.0.0.1:1".to_owned(),
            token: "t0ken".to_owned(),
            resync_interval: "2s".to_owned(),
        };
        for Manifest { name, documents } in examples().unwrap() {
            let aimed = aimed_at(&server, documents.clone());
            let text = json!(aimed).to_string();
            let connects = documents.iter().any(is_connection);
            assert_eq!(aimed != documents, connects, "{name}");
            assert_eq!(text.contains("t0ken"), connects, "{name}");
            assert!(!text.contains("authentik.example.com"), "{name}");
            assert!(!text.contains("AN-API-TOKEN"), "{name}");
        }
    }
}
