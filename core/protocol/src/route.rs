//! Routes: which instances make up a service, and which of them is called next.
//!
//! ```text
//!   file, agent ──► Delta ──► ShrinkGuard ──► Table ──► Service { instances, policy, canary }
//!                                                          │  one copy a core
//!   "Demo.echo" ──► Target ───────────────► Balancer ◄─────┘
//!                                            │    ▲ finished: End, latency   News ◄──► other cores
//!                                       pick │    │
//!                                            ▼    │
//!   "10.0.0.1:7963@udp" ──► Address ──────► dial, call ──► RetryBudget: again? hedge?
//! ```
//!
//! A [`Target`] is what a caller writes: a service name, or an address that needs no table. A
//! [`Table`] is a value: it is built from a file or from the agent, checked whole, and replaced
//! whole; a call never sees half of a change.
//!
//! Which instance is next is decided by a [`Balancer`], one for each service and core, after the
//! service's [`Policy`]. It learns from the ends of calls alone ([`End`]): who is slow gets less,
//! who fails gets less and then nothing, who seems to have recovered is tried with a share of real
//! calls and is given its part back slowly.
//!
//! | module | noun |
//! |---|---|
//! | [`address`] | where an instance listens; what a caller writes |
//! | [`table`] | services, instances, policies; changes by revision |
//! | [`guard`] | is a push that takes most instances away to be believed? |
//! | [`balancer`] | which instance is next, and why |
//! | [`node`] | what is known of one instance: its weight, its health |
//! | `climate` | ends of calls, counted |
//! | `alias` | a draw by weight in constant time |
//! | `ring` | consistent hashing with bounded loads |
//! | [`wrr`] | smooth weighted round robin |
//! | [`retry`] | may a call be sent again: the budget, the tail of latencies |
//! | `sim` | callers and instances on virtual time, to see what all this is worth |
//!
//! Nothing here dials, resolves names or reads files, clocks or random numbers.
pub mod address;
mod alias;
pub mod balancer;
mod climate;
pub mod guard;
pub mod node;
pub mod retry;
mod ring;
#[doc(hidden)]
pub mod sim;
pub mod table;
pub mod wrr;

pub use address::{Address, BadTarget, Target, is_service_name};
pub use balancer::{About, Ask, Balancer, Ejections, Explained, News, Picked, Ticket, Why};
pub use guard::ShrinkGuard;
pub use node::{Cause, End, Standing};
pub use retry::{RetryBudget, Tail};
pub use ring::key_of;
pub use table::{
    BadDelta, BadService, Canary, Change, Delta, HedgeDelay, Instance, Labels, Policy, Service,
    State, Table,
};
pub use wrr::Wrr;
