//! Who else wants the stage of a resource, or has it.

use kube::ResourceExt;

use super::{observe::Sight, subject::Subject};
use crate::{
    api::Identity,
    controller::{connection::Server, context::Context, memory::Standing},
    kinds::{Kind, ResourceId},
    plan::{
        Live, Record,
        claims::{Claim, Rival, SameServer, outranks},
        failure::Reason,
    },
};

/// The resource's own claim.
pub(super) fn own_claim<K: Kind>(subject: &Subject<K>, record: &Record, sight: &Sight) -> Claim {
    let uuid = sight.live.as_ref().map(|live| live.uuid);
    let manages = record.managed().map(|stage| stage.uuid);
    let restored = subject.view.restored;
    Claim {
        id: subject.id.clone(),
        created: subject.resource.creation_timestamp().map(|time| time.0),
        manages: uuid.is_some() && manages == uuid,
        is_restored: restored.is_some() && restored == uuid,
    }
}

/// Who else manages the stage or its name, or could. Who observes, is suspended or has no working connection of its own
/// could not.
pub(super) fn rivals<K: Kind>(
    ctx: &Context,
    subject: &Subject<K>,
    server: &Server,
    name: &str,
    live: Option<&Live>,
) -> Vec<Rival> {
    let uuids: Vec<_> = live.iter().map(|live| live.uuid).collect();
    let memory = &ctx.shared.memory;
    let claimants = memory.claimants(&subject.id, K::NAMES, name, &uuids);
    claimants
        .into_iter()
        .filter(|(_, standing)| standing.is_active)
        .filter_map(|(id, standing)| rival(ctx, server, name, live, id, &standing))
        .collect()
}

/// Whether another resource manages this stage of ours as well, by a better claim. So it is after one was suspended, another
/// took the stage over, and the first goes on.
pub(super) fn belongs_to_another<K: Kind>(
    ctx: &Context,
    subject: &Subject<K>,
    stage: &Identity,
) -> bool {
    let claim = |id: ResourceId, created| Claim {
        id,
        created,
        manages: true,
        is_restored: false,
    };
    let created = subject.resource.creation_timestamp().map(|time| time.0);
    let own = claim(subject.id.clone(), created);
    let is_ours = |of: &Identity| {
        let same_server = ctx.apart.known(&of.server, &stage.server);
        of.managed && of.uuid == stage.uuid && same_server == SameServer::Yes
    };
    let memory = &ctx.shared.memory;
    let claimants = memory.claimants(&subject.id, K::NAMES, &stage.name, &[stage.uuid]);
    claimants
        .into_iter()
        .filter(|(_, standing)| standing.is_active)
        .filter(|(_, standing)| standing.stage.as_ref().is_some_and(is_ours))
        .any(|(id, standing)| outranks(&claim(id, standing.created), &own))
}

fn rival(
    ctx: &Context,
    server: &Server,
    name: &str,
    live: Option<&Live>,
    id: ResourceId,
    standing: &Standing,
) -> Option<Rival> {
    let stage = standing.stage.as_ref().filter(|stage| stage.managed);
    let reference = standing.connection.as_ref();
    let leads_to = ctx.registry.url(&id.namespace, reference);
    let url = leads_to.or_else(|| Some(stage?.server.clone()))?;
    let same_server = ctx.apart.known(&url, &server.url);
    let is_here = same_server == SameServer::Yes;
    let stage = stage.filter(|stage| stage.server == url);
    let manages = stage.is_some_and(|stage| live.is_some_and(|live| live.uuid == stage.uuid));
    // Where the name is still to be had, a resource whose stage has it keeps it, of whatever kind it is.
    let is_named = live.is_some_and(|live| live.name == *name);
    let has_name = is_here && !is_named && stage.is_some_and(|stage| stage.name == name);
    let could_manage = is_here
        && standing.name == name
        && standing.reason != Reason::AccessDenied.as_str()
        && ctx.registry.working(&id.namespace, reference).is_some();
    (manages || has_name || could_manage).then_some(Rival {
        claim: Claim {
            id,
            created: standing.created,
            manages,
            is_restored: stage.is_some_and(|stage| standing.restored == Some(stage.uuid)),
        },
        has_name,
        server: url,
        same_server,
    })
}
