//! Links between nodes: what the harbor actor does with connections, whatever made them.
//!
//! Nodes in this process have the actor and a stand-in for its Lua side; peers of other kinds are played over plain sockets.
#![allow(clippy::disallowed_methods)] // A test's patience is measured in real time.
#![allow(unreachable_pub)]

mod bounds;
mod classic;
mod cluster;
mod extended;
mod failure;
mod large;
mod names;
mod peer;
mod proxy;
mod resume;
mod secret;
#[path = "../support/mod.rs"]
mod support;
