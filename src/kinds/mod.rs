//! The kinds of resource: one file a kind, and the registry that the rest of the operator is built from.
//!
//! A kind says what its spec holds and, in one row a field, how that is called, written, read back and compared; where authentik
//! keeps its objects, what uses them, and what hangs on them. Everything else (watches, reconciling, CRDs, rights, metrics) is
//! generic over [`Kind`].
//!
//! ```text
//! reference  what a spec refers to in authentik
//! seal       what is kept of secret values that authentik shows
//! field      a field of a kind
//! samples    values that authentik may hold, for tests
//! values     the ways in which a value is written, read back and compared
//! usage      what an object is used by
//! kind       what a kind is, and the rows of its table
//! words      values that fields of several kinds take
//! stage      what all kinds of stage have in common
//! strength   when a validation stage asks for less than another
//! registry   what is made of the list of all kinds
//! ```
//! Below it, the list.

pub mod field;
mod kind;
mod reference;
mod registry;
#[cfg(test)]
mod samples;
mod seal;
mod stage;
mod strength;
mod usage;
mod values;
mod words;

use self::registry::kinds;
pub use self::{
    field::{Compare, Field, Fields, NAME, Wanted},
    kind::{FieldRow, Kind, ResourceId},
    reference::{Names, Reference, Refers},
    registry::{
        ForEachKind, KindName, STAGES_TO_TELL_APART, crd, crds, kind_named, kind_names,
        stage_to_tell_apart, users_of,
    },
    seal::{seal, seal_value},
    usage::{Bound, Devices, Usage, Users},
    words::{UserVerification, WebauthnHint},
};

kinds! {
    validate::AuthenticatorValidateStage,
    duo::DuoStage,
    totp::AuthenticatorTOTPStage,
    static_codes::AuthenticatorStaticStage,
    webauthn::AuthenticatorWebAuthnStage,
    sms::AuthenticatorSMSStage,
    email::AuthenticatorEmailStage,
    flow::Flow,
}
