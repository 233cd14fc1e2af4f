//! The body of a write of ours, with the values of secret fields; and why it was refused.

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::{stop::Steps, subject::Subject};
use crate::{
    api::SentSecret,
    authentik::{Body, Error, stripped},
    controller::{connection::Server, context::Context},
    kinds::{Field, Fields, Kind, Wanted},
    plan::{
        Desired,
        failure::{Failure, Reason},
        sent_secret,
    },
};

/// The body with the values of these secret fields. Returns what to record once they are sent; what is wanted of them
/// from here on is what was read for it.
pub(super) async fn with_secrets<K: Kind>(
    ctx: &Context,
    subject: &Subject<K>,
    desired: &mut Desired,
    fields: Fields,
    secret_fields: &[&'static Field],
) -> Steps<(Body, Vec<SentSecret>)> {
    let mut body = Body {
        fields: object(fields),
        secrets: Vec::new(),
    };
    let mut sent = Vec::new();
    for (field, wanted) in subject.resource.wanted() {
        let Wanted::Secret(key) = wanted else {
            continue;
        };
        if !secret_fields.contains(&field) {
            continue;
        }
        let (version, value) = match key {
            Some(key) => {
                let secrets = &ctx.shared.secrets;
                let read = secrets.read(&subject.id.namespace, &key).await?;
                (Some(read.0), read.1)
            }
            None => (None, SecretString::from("")),
        };
        let text = stripped(value.expose_secret());
        body.fields.insert(field.api.to_owned(), Value::from(text));
        if field.is_readable() {
            desired.fields.insert(field.api, field.kept(text));
        }
        sent.push(sent_secret(field, version.as_ref()));
        desired.secrets.insert(field.api, version);
        body.secrets.push(value);
    }
    Ok((body, sent))
}

/// Why the server did not take an object: in its own words, and with the release that knows a value which is too new for it.
pub(super) fn refused<K: Kind>(server: &Server, desired: &Desired, error: Error) -> Failure {
    let mut failure = Failure::from(error);
    let Ok(version) = server.version() else {
        return failure;
    };
    if failure.reason != Reason::Rejected {
        return failure;
    }
    for (field, value) in texts::<K>(desired) {
        if let Some(since) = field.value_since(value)
            && !since.may_be_known(&version)
        {
            let explanation = format!("; {value:?} needs {since}, and this is {version}");
            failure.message.push_str(&explanation);
        }
    }
    failure
}

/// The texts that are wanted, those in lists too.
fn texts<K: Kind>(desired: &Desired) -> impl Iterator<Item = (&'static Field, &str)> {
    desired.fields.iter().flat_map(|(field, value)| {
        let one = std::slice::from_ref(value);
        let values = value.as_array().map_or(one, Vec::as_slice).iter();
        values.filter_map(move |value| Some((K::field(field)?, value.as_str()?)))
    })
}

/// The secret fields that the resource manages.
pub(super) fn secret_fields<K: Kind>(resource: &K) -> Vec<&'static Field> {
    let wanted = resource.wanted().into_iter();
    wanted
        .filter(|(_, wanted)| matches!(wanted, Wanted::Secret(_)))
        .map(|(field, _)| field)
        .collect()
}

fn object(fields: Fields) -> Map<String, Value> {
    fields
        .into_iter()
        .map(|(field, value)| (field.to_owned(), value))
        .collect()
}
