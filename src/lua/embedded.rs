//! The Lua files that the program carries in itself: what lies in `lualib/` and `service/` when it is built.

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The text of a file, by its path from the package's root, such as `service/launcher.lua`.
pub(crate) fn find(path: &str) -> Option<&'static str> {
    FILES.binary_search_by_key(&path, |(name, _)| name).ok().map(|at| FILES[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_in_order_and_found() {
        assert!(FILES.is_sorted_by_key(|(name, _)| *name));
        assert!(find("lualib/skynet.lua").is_some() && find("lualib/none.lua").is_none());
    }
}
