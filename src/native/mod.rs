//! Services in Rust that every node has: `logger`, `harbor`, `snlua` and `gate`.

mod gate;
mod harbor;
mod logger;
mod snlua;

#[cfg(any(fuzzing, feature = "bench"))]
pub use gate::door as gate_door;
#[cfg(any(fuzzing, feature = "bench"))]
pub use harbor::door as harbor_door;

use std::collections::HashMap;
use std::sync::Arc;

use crate::service::{Factory, Service};

/// The factories of the built-in services, by the name that a launch line starts with.
pub(crate) fn modules() -> HashMap<String, Factory> {
    let mut modules = HashMap::new();
    let mut add = |name: &str, factory: Factory| modules.insert(name.to_owned(), factory);
    add("logger", Arc::new(|args| Ok(Box::new(logger::Logger::new(args)) as Box<dyn Service>)));
    add("harbor", Arc::new(|args| Ok(Box::new(harbor::Harbor::new(args)?) as Box<dyn Service>)));
    add("snlua", Arc::new(|args| Ok(Box::new(snlua::Snlua::new(args)) as Box<dyn Service>)));
    add("gate", Arc::new(|args| Ok(Box::new(gate::Gate::new(args)) as Box<dyn Service>)));
    modules
}
