//! Models of what is shared between threads: every order of their steps is tried.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test --lib --release loom`.

mod mailbox;
mod park;
