//! A history: what users do, by Kubernetes and behind the operator's back, and what goes wrong meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    time::Duration,
};

use serde_json::Value;
use tokio::time::Instant;

use super::{
    author::Author,
    cast::{Cast, Slot},
    dice::Dice,
    lasting::{self, Lasting},
    objects::Object,
    replicas::Replicas,
    sick::{Sick, is_sick},
    specs::SECRETS,
    teardown::Teardown,
    world::{At, World},
};
use crate::{harness::Test, record::Asked};

/// How long a step waits for the operator to get on, before the next one comes all the same.
pub const PACE: Duration = Duration::from_millis(300);

/// How many resources a history begins with at most.
const APPLIED_AT_ONCE: usize = 5;

/// What is particular to a history.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Setting {
    /// The API server is its own, to be restarted.
    Alone,
    /// Two replicas fight for the Lease. One that is killed is missed for many seconds.
    Replicas,
    /// Neither.
    Plain,
}

/// A history while it happens.
pub struct History<'a> {
    pub test: &'a Test,
    pub world: World<'a>,
    pub cast: Cast,
    pub replicas: Replicas<'a>,
    pub(super) sick: Sick,
    pub(super) dice: Dice,
    /// What has happened, one line a step.
    told: String,
    begun: Instant,
    pub(super) steps: usize,
    /// The present spec of each resource on the healthy server that is not deleted.
    pub(super) specs: BTreeMap<Slot, Value>,
    /// How many Secrets were written; each has another value.
    pub(super) secrets: u64,
    /// For how many more steps authentik (false) and Kubernetes (true) are out of reach.
    pub(super) shut: BTreeMap<bool, u64>,
    /// What is always there.
    pub lasting: Vec<Lasting>,
    /// The brand that names flows now and then.
    pub(super) brand: String,
    /// The UUIDs of what was made by hand.
    pub by_hand: BTreeSet<String>,
    /// The resources, by uid, that were deleted and may have left their objects.
    pub left: BTreeSet<String>,
    /// Objects that nobody asks the operator to touch, by UUID, as they were last seen.
    pub untouched: BTreeMap<String, Untouched>,
    /// What became of the second namespace, while it is torn down.
    pub teardown: Option<Teardown>,
    /// Whether replicas are killed at all.
    pub(super) kills: bool,
    /// The last request to authentik before a replica ended or was frozen, with what only it knew.
    pub killed_after: u64,
    /// The last request to Kubernetes before that.
    pub(super) read_after: u64,
    pub(super) setting: Setting,
}

/// An object that nobody asks the operator to touch.
pub struct Untouched {
    pub object: Object,
    /// The resources that stand for it.
    pub resources: BTreeSet<String>,
}

impl<'a> History<'a> {
    /// Begins with the connections, the Secrets, a few resources, and those on the sick server.
    pub async fn begin(test: &'a Test, seed: u64, setting: Setting) -> Self {
        let mut dice = Dice::new(seed);
        let kills = setting == Setting::Replicas || dice.percent(60);
        let count = if setting == Setting::Replicas { 2 } else { 1 };
        let cast = Cast::of(seed, test.release().await);
        let world = World::begin(test, &cast.kinds).await;
        let namespaces = [At::Home, At::Away].map(|at| world.namespace(at).to_owned());
        let replicas = Replicas::start(test, &namespaces, count).await;
        let sick = Sick::begin(test, &mut dice).await;
        let mut history = Self {
            test,
            world,
            replicas,
            told: format!("{setting:?} with {:?}, beside {sick}\n", cast.kinds),
            cast,
            begun: Instant::now(),
            sick,
            dice,
            steps: 0,
            specs: BTreeMap::new(),
            secrets: 0,
            shut: BTreeMap::new(),
            lasting: lasting::make(test).await,
            brand: lasting::brand(test).await,
            by_hand: BTreeSet::new(),
            left: BTreeSet::new(),
            untouched: BTreeMap::new(),
            teardown: None,
            kills,
            killed_after: 0,
            read_after: 0,
            setting,
        };
        history.prepare().await;
        history
    }

    async fn prepare(&mut self) {
        let lasting = self.lasting.iter();
        let lasting = lasting.map(|lasting| lasting.uuid.clone());
        self.by_hand = lasting.collect();
        for at in [At::Home, At::Away] {
            for secret in SECRETS {
                self.rotate(at, secret).await;
            }
        }
        self.connect_sick().await;
        for at in [At::Home, At::Away] {
            self.world.connect(at).await;
        }
        for _ in 0..APPLIED_AT_ONCE {
            let slot = self.slot();
            self.apply(slot).await;
        }
    }

    /// Who writes specs.
    pub(super) fn author(&mut self) -> Author<'_> {
        Author {
            dice: &mut self.dice,
            cast: &self.cast,
            test: self.test,
            lasting: &self.lasting,
        }
    }

    /// What has happened so far.
    pub fn told(&self) -> &str {
        &self.told
    }

    /// What was asked of the operator on the healthy server, by uid.
    pub fn asked(&self) -> BTreeMap<String, Asked> {
        let mut asked = self.test.record.asked();
        asked.retain(|_, asked| !asked.specs.values().any(is_sick));
        asked
    }

    /// Lets so many things happen.
    pub async fn go_on(&mut self, steps: usize) {
        self.build_again().await;
        self.touch_secrets().await;
        let teardown = self.dice.below(3 * steps as u64);
        for step in 0..steps {
            self.steps += 1;
            self.open_what_was_shut().await;
            if self.dice.percent(15) {
                self.sick_changes();
            }
            if step as u64 == teardown {
                self.tear_down().await;
            }
            self.step().await;
            self.start_again();
            let requests = self.dice.below(8);
            self.pace(requests).await;
        }
        self.calm().await;
    }

    async fn step(&mut self) {
        // With the Secret gone, a new operator could not delete what is left.
        let kills = self.kills && self.teardown.is_none();
        match self.dice.below(100) {
            0..43 => self.user().await,
            43..55 => self.hand().await,
            55..80 => self.fault(),
            80..85 => self.unseen().await,
            85..90 => self.shut().await,
            _ if kills => self.end_a_replica().await,
            _ => self.user().await,
        }
    }

    /// Deletes the second namespace for good.
    pub async fn end(&mut self) {
        self.build_again().await;
        self.touch_secrets().await;
        self.tear_down_for_good().await;
        self.pace(4).await;
        self.calm().await;
    }

    async fn calm(&mut self) {
        self.tell("calm");
        self.shut.clear();
        self.replicas.calm().await;
        self.start_again();
    }

    /// Starts the replicas again that have ended, killed or without the Lease.
    pub fn start_again(&mut self) {
        // What the next one asks is no part of what is lost.
        if self.replicas.any_has_ended() {
            self.note_loss();
            self.replicas.start_again();
        }
    }

    pub(super) fn tell(&mut self, what: impl std::fmt::Display) {
        let after = self.begun.elapsed().as_secs_f64();
        writeln!(self.told, "{:3}. {after:5.1} s: {what}", self.steps).expect("a text takes all");
    }

    /// Waits until the operator has sent so many requests to authentik, but not long.
    pub(super) async fn pace(&self, requests: u64) {
        let requests = usize::try_from(requests).expect("it is small");
        let before = self.test.gateway.audit().len();
        self.test
            .gateway
            .wait_for(|audit| audit.len() >= before + requests, PACE)
            .await;
    }
}
