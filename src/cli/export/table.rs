//! What an export has to know of each kind.

use futures::future::BoxFuture;

use crate::{
    authentik::{Client, Collection, Error, Listing, Version, versions::Since},
    export::{Frame, Manifest, Object, Refused, Schema, manifest},
    kinds::{Bound, Field, ForEachKind, Kind, for_each_kind},
    plan::{Live, Row},
};

/// The reading of a list.
type Reading<'a> = BoxFuture<'a, Result<Listing<Live>, Error>>;

/// A kind.
pub struct Table {
    /// The name of the kind.
    pub kind: &'static str,
    /// What messages call an object of it.
    pub title: &'static str,
    /// What Terraform calls it.
    pub terraform: &'static str,
    /// Whether flows use it, and not stages.
    pub is_stage: bool,
    /// What a resource is called whose label holds no letter of a name.
    pub noun: &'static str,
    /// Where its objects are.
    pub collection: Collection,
    /// Its fields.
    pub fields: Vec<&'static Field>,
    /// Makes the manifest of an object.
    pub manifest: fn(&Frame<'_>, &Object<'_>) -> Result<Manifest, Refused>,
    /// Makes what its CRD accepts.
    pub schema: fn() -> Schema,
    since: Option<Since>,
    list: for<'a> fn(&'a Client) -> Reading<'a>,
}

impl Table {
    fn of<K: Kind>() -> Self {
        Self {
            kind: K::KIND,
            title: K::TITLE,
            terraform: K::TERRAFORM,
            is_stage: K::USAGE.bound == Bound::Stage,
            noun: K::NOUN,
            collection: K::COLLECTION,
            fields: K::FIELDS.iter().map(|row| &row.field).collect(),
            manifest: manifest::<K>,
            schema: Schema::of::<K>,
            since: K::SINCE,
            list: |client| Box::pin(client.list(K::COLLECTION, &[], |row: Row<K>| Some(row.0))),
        }
    }

    /// Since when authentik has such objects, where this server is older than that.
    pub fn not_before(&self, version: &Version) -> Option<Since> {
        self.since.filter(|since| !since.may_be_known(version))
    }

    /// All objects of the kind.
    pub async fn read(&self, client: &Client) -> Result<Listing<Live>, Error> {
        (self.list)(client).await
    }
}

/// All kinds.
pub fn tables() -> Vec<Table> {
    struct All(Vec<Table>);
    impl ForEachKind for All {
        fn kind<K: Kind>(&mut self) {
            self.0.push(Table::of::<K>());
        }
    }
    let mut all = All(Vec::new());
    for_each_kind(&mut all);
    all.0
}
