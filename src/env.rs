//! [`Env`]: what `skynet.getenv` sees: the config's keys and what was set since.

use std::collections::HashMap;
use std::sync::RwLock;

/// Keys with their values; a key is set once.
pub(crate) struct Env(RwLock<HashMap<String, String>>);

/// The key has a value already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
// Matched by programs: keep the words.
#[error("Can't setenv exist key : {0}")]
pub struct KeyExists(pub String);

impl Env {
    pub(crate) fn new(values: HashMap<String, String>) -> Env {
        Env(RwLock::new(values))
    }

    pub(crate) fn get(&self, key: &str) -> Option<String> {
        self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner).get(key).cloned()
    }

    pub(crate) fn set(&self, key: &str, value: &str) -> Result<(), KeyExists> {
        let mut values = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if values.contains_key(key) {
            return Err(KeyExists(key.to_owned()));
        }
        values.insert(key.to_owned(), value.to_owned());
        Ok(())
    }
}
