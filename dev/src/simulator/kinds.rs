//! The kinds of stages: their names in the API and their fields.

use super::fields::{Field, FieldKind};
use super::setup_kinds::{self, USER_VERIFICATION, hints};
use super::versions::Rules;
use serde_json::{Value, json};

/// The validation stage's model.
pub(crate) const VALIDATE: &str = "authenticatorvalidatestage";
/// The Duo stage's model.
pub(crate) const DUO: &str = "authenticatorduostage";

/// A kind of stage.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    /// The path below `stages/`, for kinds that have an endpoint here.
    pub(crate) route: Option<&'static str>,
    pub(crate) app: &'static str,
    pub(crate) model: &'static str,
    /// The model's class, as 404s name it.
    pub(crate) class: &'static str,
    pub(crate) component: &'static str,
    pub(crate) verbose_name: &'static str,
    /// Fields beside those of every stage.
    pub(crate) fields: Vec<Field>,
    /// The component of the user's settings page, for kinds that users set up.
    pub(crate) user_settings: Option<&'static str>,
    /// The model of the devices that refer to the stage that they were enrolled through. TOTP, static and `WebAuthn`
    /// devices refer to none.
    pub(crate) device: Option<&'static str>,
}

impl Kind {
    /// The fields of a request, in the order of the serializer.
    pub(crate) fn request_fields(&self, rules: &Rules) -> Vec<Field> {
        let mut fields = vec![Field::new("name", FieldKind::StageName, Value::Null).required()];
        if !rules.flow_set_read_only {
            fields.push(Field::new("flow_set", FieldKind::FlowSet, Value::Null));
        }
        fields.extend(self.fields.iter().cloned());
        fields
    }
}

/// All kinds that a server of the release starts with or the recordings create.
pub(crate) fn all(rules: &Rules) -> Vec<Kind> {
    let mut kinds = vec![validate(rules), dummy()];
    kinds.extend(setup_kinds::all(rules));
    kinds.extend(without_endpoint());
    kinds
}

fn validate(rules: &Rules) -> Kind {
    let mut classes = vec!["static", "totp", "webauthn", "duo", "sms"];
    if rules.email_class {
        classes.push("email");
    }
    let mut fields = vec![
        Field::new(
            "not_configured_action",
            FieldKind::NotConfiguredAction,
            json!("skip"),
        ),
        Field::new(
            "device_classes",
            FieldKind::Choices {
                of: classes.clone(),
                may_be_empty: false,
            },
            json!(classes),
        ),
        Field::new("configuration_stages", FieldKind::Stages, json!([])),
        Field::new(
            "last_auth_threshold",
            FieldKind::Duration,
            json!("seconds=0"),
        ),
        Field::new(
            "webauthn_user_verification",
            FieldKind::Choice(USER_VERIFICATION),
            json!("preferred"),
        ),
    ];
    if rules.webauthn_hints {
        fields.push(hints("webauthn_hints"));
    }
    if rules.device_types {
        fields.push(Field::new(
            "webauthn_allowed_device_types",
            FieldKind::DeviceTypes,
            json!([]),
        ));
    }
    Kind {
        route: Some("authenticator/validate"),
        app: "authentik_stages_authenticator_validate",
        model: VALIDATE,
        class: "AuthenticatorValidateStage",
        component: "ak-stage-authenticator-validate-form",
        verbose_name: "Authenticator Validation Stage",
        fields,
        user_settings: None,
        device: None,
    }
}

fn dummy() -> Kind {
    Kind {
        route: Some("dummy"),
        app: "authentik_stages_dummy",
        model: "dummystage",
        class: "DummyStage",
        component: "ak-stage-dummy-form",
        verbose_name: "Dummy Stage",
        fields: vec![Field::new("throw_error", FieldKind::Boolean, json!(false))],
        user_settings: None,
        device: None,
    }
}

/// Kinds that exist only as the stages of a fresh server.
fn without_endpoint() -> Vec<Kind> {
    [
        (
            "authentik_stages_password",
            "passwordstage",
            "PasswordStage",
            "ak-stage-password-form",
            "Password Stage",
        ),
        (
            "authentik_stages_prompt",
            "promptstage",
            "PromptStage",
            "ak-stage-prompt-form",
            "Prompt Stage",
        ),
        (
            "authentik_stages_consent",
            "consentstage",
            "ConsentStage",
            "ak-stage-consent-form",
            "Consent Stage",
        ),
        (
            "authentik_stages_user_login",
            "userloginstage",
            "UserLoginStage",
            "ak-stage-user-login-form",
            "User Login Stage",
        ),
        (
            "authentik_stages_user_logout",
            "userlogoutstage",
            "UserLogoutStage",
            "ak-stage-user-logout-form",
            "User Logout Stage",
        ),
        (
            "authentik_stages_user_write",
            "userwritestage",
            "UserWriteStage",
            "ak-stage-user-write-form",
            "User Write Stage",
        ),
        (
            "authentik_stages_identification",
            "identificationstage",
            "IdentificationStage",
            "ak-stage-identification-form",
            "Identification Stage",
        ),
    ]
    .into_iter()
    .map(|(app, model, class, component, verbose_name)| Kind {
        route: None,
        app,
        model,
        class,
        component,
        verbose_name,
        fields: Vec::new(),
        user_settings: (model == "passwordstage").then_some("ak-user-settings-password"),
        device: None,
    })
    .collect()
}
