//! What requests for different objects have in common.
use uuid::Uuid;

/// The path with `{uuid}` for every UUID in it.
pub(crate) fn template(path: &str) -> String {
    let parts = path.split('/').map(|part| match Uuid::try_parse(part) {
        Ok(_) => "{uuid}",
        Err(_) => part,
    });
    parts.collect::<Vec<_>>().join("/")
}
