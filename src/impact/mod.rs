//! Whom a change of a validation stage hits, before it hits them.
//!
//! ```text
//! outcome  what a validation stage does with somebody who has these devices
//! report   how many it hits, and whom
//! render   a report as text, Markdown and JSON
//! assess   reading people and devices from authentik
//! ```
//! Each file uses those above it only. All but the last are pure.

mod assess;
mod outcome;
mod render;
mod report;

pub use self::{
    assess::{Failure, Stage, assess, merged},
    outcome::{Kind, Malformed, Outcome, Owned, Rules},
    render::{json, markdown, text},
    report::{Assessed, Change, Counts, Report, Unseen},
};
