//! How replicas of the operator end.

use super::{
    history::{History, PACE},
    replicas::{Moment, Server},
};

impl History<'_> {
    pub(super) async fn kill(&mut self, number: usize) {
        self.replicas.kill(number).await;
        self.start_again();
    }

    /// What a replica was about to record is lost from here on.
    pub(super) fn note_loss(&mut self) {
        let last = self.test.gateway.history().pop();
        self.killed_after = last.map_or(0, |request| request.n);
        let last = self.replicas.kubernetes.history().pop();
        self.read_after = last.map_or(0, |request| request.n);
        if let Some(teardown) = &mut self.teardown {
            teardown.may_wait |= teardown.token_is_gone;
        }
    }

    pub(super) async fn end_a_replica(&mut self) {
        let number =
            usize::try_from(self.dice.below(self.replicas.count() as u64)).expect("it is small");
        if self.replicas.count() > 1 && self.dice.percent(40) {
            self.tell("the Lease is taken away");
            self.replicas.take_the_lease_away().await;
            return;
        }
        if self.replicas.count() > 1 && self.dice.percent(25) {
            self.tell(format_args!(
                "replica {number} is frozen until all is right"
            ));
            self.replicas.freeze(number).await;
            self.note_loss();
            return;
        }
        if self.dice.percent(40) {
            self.tell(format_args!("replica {number} is killed"));
            self.kill(number).await;
            return;
        }
        let moment = Moment {
            server: *self
                .dice
                .one(&[Server::Authentik, Server::Authentik, Server::Kubernetes]),
            request: usize::try_from(self.dice.below(3)).expect("it is small"),
            after: self.dice.percent(60),
        };
        self.tell(format_args!(
            "replica {number} is killed {} write {} to {:?}",
            if moment.after { "after" } else { "before" },
            moment.request,
            moment.server
        ));
        self.replicas.hold_at(moment);
        // Something to do.
        let slot = self.slot();
        self.apply(slot).await;
        self.replicas.gateway(moment.server).hangs(PACE * 3).await;
        self.kill(number).await;
        self.replicas.gateway(moment.server).clear_faults();
    }
}
