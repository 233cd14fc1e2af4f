//! The kinds of stage: one file a kind, and the registry that the rest of the operator is built from.
//!
//! A kind says what its spec holds, how the spec becomes a request, how a live stage becomes a spec
//! again, and how each field compares. Everything else (watches, reconciling, CRDs) is generic over
//! [`StageKind`].
//!
//! ```text
//! kind      what a kind is
//! validate  one kind
//! duo       another
//! registry  all kinds
//! ```

mod duo;
mod kind;
mod registry;
mod validate;

pub use self::{
    duo::{DuoStage, DuoStageSpec},
    kind::{Compare, Field, Fields, NAME, ResourceId, StageKind, Wanted},
    registry::{ForEachKind, crds, for_each_kind, kind_named},
    validate::{
        AuthenticatorValidateStage, AuthenticatorValidateStageSpec, DeviceClass,
        NotConfiguredAction, UserVerification, WebauthnHint,
    },
};
