//! trailwarden watches over an organization's CloudTrail archive. It consumes the notifications that S3 sends when CloudTrail
//! delivers, judges every delivery, proves every digest chain, and tells people what is wrong. If you read one file, read this.
//!
//! # The idea
//!
//! The bucket is the truth. The *ledger*, one SQLite file, is what the warden knows about the bucket: which objects it saw,
//! admitted, hashed and verified, and what it told to whom. Everything that deserves a human is a *finding*: one table of
//! kinds, one fingerprint rule, one outbox. Flows read the world through eight *seams* and write the ledger, one transaction a
//! step; every effect is in the transaction that records its cause. So what a queue delivers at least once has its effect
//! exactly once, a crash needs no code of its own, and the ledger can be rebuilt from the bucket.
//!
//! # The nouns
//!
//! A *notice* announces something about one object; a message carries one or more. A *delivery* is an object that CloudTrail
//! wrote, or that somebody wants us to take for one. *Logs* hold *records*; signed *digests* list the logs of an hour, and each
//! names its predecessor, which makes a *chain* for every account, region and trail. A *route* sends a finding to *channels*.
//!
//! # The layers
//!
//! A module imports only from strictly lower rows, and siblings never import each other; `tests/layers.rs` reads this table.
//!
//! ```text
//! 11  main · lib · cli
//! 10  cmd                                             one file per verb, glue only
//!  9  daemon                                          starts and supervises the loops
//!  8  wiring · http                                   configuration to running parts; metrics and health
//!  7  ingest · verify · alert · retain · posture · backfill · backtest · snapshot · doctor · archive · lease · world
//!                                                     the flows, and the made-up organization they are tried on
//!  6  delivery                                        the one step that every flow settles a notice with
//!  5  trail · channel · otlp                          one configured trail: its seams, rules and limits; a channel, opened; the
//!                                                     log and the traces of messages, sent to a collector
//!  4  store · aws · local · notify                    the ledger, and the implementations of the seams
//!  3  retry · listing · fence
//!  2  env · seam · config · metrics · health
//!  1  error
//!  0  core                                            pure: no I/O, no clock, no async; half of all tests live here
//! ```
//!
//! # The life of a notification
//!
//! `ingest` receives a message and holds it, extending its visibility while it works. `core::notice` opens the body: every
//! envelope, every record of it. For each notice `delivery` asks `core::admit` for a verdict (admit, refuse, removed, ignore, or
//! unsure of the account, which refreshes the members once), fetches the object, inflates it under caps, hashes it, and reads
//! it: `core::record` for a log, `core::digest` and `core::chain` for a digest. One commit writes the object's row, findings
//! and their outbox rows. *A crash before it did nothing; a crash after it makes the message a repeat, which changes nothing.*
//! Only when every notice of the message is durable is the message deleted. `verify::Sweep` looks for what should have come and
//! did not, and settles what it finds by the same step; `alert` empties the outbox. Poison goes to quarantine, and is told.
//!
//! A hostile input is never an error: it is a verdict or a finding. An `Error` means that we could not find out.

#![deny(
    clippy::dbg_macro,
    clippy::expect_used,
    clippy::panic,
    clippy::todo,
    clippy::unimplemented,
    clippy::unwrap_used
)]

/// Many threads take and free small blocks, and a large one now and then: see `docs/decisions/0010-allocator.md`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

pub mod alert;
pub mod archive;
pub mod aws;
pub mod backfill;
pub mod backtest;
pub mod channel;
pub mod cli;
pub mod cmd;
pub mod config;
pub mod core;
pub mod daemon;
pub mod delivery;
pub mod doctor;
pub mod env;
pub mod error;
pub mod fence;
pub mod health;
pub mod http;
pub mod ingest;
pub mod lease;
pub mod listing;
pub mod local;
pub mod metrics;
pub mod notify;
pub mod otlp;
pub mod posture;
pub mod retain;
pub mod retry;
pub mod seam;
pub mod snapshot;
pub mod store;
pub mod trail;
pub mod verify;
pub mod wiring;
pub mod world;
