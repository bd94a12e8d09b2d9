//! A node inside a Rust program: one service, one call.
//!
//! `cargo run --example embed`

use skynet_rs::{Context, Message, Runtime, Service, ServiceError};

struct Echo;

impl Service for Echo {
    fn handle(&mut self, ctx: &mut Context<'_>, message: Message) -> Result<(), ServiceError> {
        Ok(ctx.respond(message.origin(), message.into_payload())?)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = Runtime::builder().workers(4).service("echo", |_args| Ok(Echo)).start()?;
    let echo = runtime.launch("echo", "")?;
    assert_eq!(runtime.call(echo, "hello")?.as_bytes(), b"hello");
    runtime.shutdown();
    Ok(())
}
