//! [`Names`]: the local names of a node, such as `.launcher`, without their dot.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::RwLock;

use crate::handle::Handle;

/// Who has which name; a service may have several.
#[derive(Default)]
pub(crate) struct Names(RwLock<Inner>);

#[derive(Default)]
struct Inner {
    by_name: HashMap<String, Handle>,
    by_handle: HashMap<Handle, Vec<String>>,
}

impl Names {
    /// Gives the name to a service; false where somebody has it already: the first registration wins.
    pub(crate) fn register(&self, name: &str, handle: Handle) -> bool {
        let mut inner = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        match inner.by_name.entry(name.to_owned()) {
            Entry::Occupied(_) => false,
            Entry::Vacant(free) => {
                free.insert(handle);
                inner.by_handle.entry(handle).or_default().push(name.to_owned());
                true
            }
        }
    }

    /// The owner of a name.
    pub(crate) fn find(&self, name: &str) -> Option<Handle> {
        let inner = self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        inner.by_name.get(name).copied()
    }

    /// Frees all names of a service.
    pub(crate) fn remove(&self, handle: Handle) {
        let mut inner = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        for name in inner.by_handle.remove(&handle).unwrap_or_default() {
            inner.by_name.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_registration_wins_until_its_service_ends() {
        let names = Names::default();
        let (first, second) = (Handle::new(0, 1), Handle::new(0, 2));
        assert!(names.register("db", first) && names.register("store", first));
        assert!(!names.register("db", second));
        names.remove(first);
        assert_eq!((names.find("db"), names.find("store")), (None, None));
        assert!(names.register("db", second));
    }
}
