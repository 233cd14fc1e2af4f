//! The connections: one task each, which owns its server's health, its lists and their clock. Reconciles ask what the
//! task knows and wait for nobody.
//!
//! ```text
//! sources     what a connection takes from Secrets and ConfigMaps
//! declared    what a connection's object says, of either kind
//! list        one list of one server, as it was last read
//! rows        what the lists hold
//! inventory   all lists of one server
//! audit       what its audit log is asked
//! health      what requests have shown of a server and of its token
//! server      a server, as reconciles see it
//! turns       whose turn it is to be reconciled
//! handle      one connection, as its task and everybody else see it
//! client      from a connection's settings to a client
//! status      what a connection's status says
//! object      what its task writes of a connection's object
//! told        what resources were last told of their connection
//! task        the task
//! registry    all connections, and which one a resource uses
//! apart       whether two URLs lead to one server
//! ```

mod apart;
mod audit;
mod client;
mod declared;
mod handle;
mod health;
mod inventory;
mod list;
mod object;
mod registry;
mod rows;
mod server;
mod sources;
mod status;
mod task;
mod told;
mod turns;

pub use self::{
    apart::{Apart, Doubt},
    declared::{Connection, Declared, key},
    list::{List, Listed, State},
    registry::{Found, Registry},
    rows::bindings_of,
    server::Server,
    sources::Holds,
    turns::Turn,
};
