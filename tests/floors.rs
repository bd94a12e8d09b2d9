//! The modules of the library stand on floors, and imports only run down.
//!
//! Every `crate::` path in `src/` is read, also in `use crate::{...}` groups. A module may name those on lower floors, not
//! those on its own or above. What wants to run up goes through one of the seams instead: `HandleTable<T>`, `Post`,
//! `Task`, `Host`, `Service`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// From the ground to the roof. `lib.rs` lists them all; `main.rs` sees no more than any other user.
const FLOORS: &[&str] = &[
    "sync handle random date config env crypt http",
    "clock message check names table",
    "packed netpack remote post mailbox tls",
    "timer socket sched",
    "host",
    "context",
    "service command",
    "lua",
    "native node",
    "runtime",
    "loom_tests",
];

/// The files of `src/`, by the module that they belong to.
fn files() -> BTreeMap<String, Vec<PathBuf>> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("it can be listed").path();
            if path.is_dir() {
                walk(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    walk(&src, &mut all);
    let mut by_module = BTreeMap::<String, Vec<PathBuf>>::new();
    for path in all {
        let first =
            path.strip_prefix(&src).expect("it lies below").components().next().expect("it has a name");
        let module = Path::new(first.as_os_str()).file_stem().expect("a name").to_string_lossy().into_owned();
        // The others are parts of the program.
        if !["lib", "main", "allocator", "bench_echo", "daemon"].contains(&module.as_str()) {
            by_module.entry(module).or_default().push(path);
        }
    }
    by_module
}

/// The names that follow `crate::` in a source text, outside of comments.
fn imports(text: &str) -> BTreeSet<String> {
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join("\n");
    let mut found = BTreeSet::new();
    for (at, path) in code.match_indices("crate::") {
        // Not the end of a longer word, such as a crate of another name; `$crate` in a macro is ours.
        if code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_') {
            continue;
        }
        let rest = &code[at + path.len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(first_names(group)),
            None => found.extend(name_at(rest)),
        }
    }
    found
}

/// The first segments of the paths in a group, which begins behind its brace.
fn first_names(group: &str) -> Vec<String> {
    let mut names = Vec::new();
    let (mut depth, mut expects) = (0, true);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => expects = true,
            _ if expects && !character.is_whitespace() => {
                names.extend(name_at(&group[at..]));
                expects = false;
            }
            _ => {}
        }
    }
    names
}

fn name_at(text: &str) -> Option<String> {
    let name: String = text.chars().take_while(|next| next.is_alphanumeric() || *next == '_').collect();
    (!name.is_empty()).then_some(name)
}

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.split(' ').any(|known| known == module))
}

#[test]
fn imports_only_run_down() {
    let mut wrong = Vec::new();
    for (module, paths) in files() {
        let Some(floor) = floor_of(&module) else {
            wrong.push(format!("{module} has no floor"));
            continue;
        };
        for path in paths {
            let text = fs::read_to_string(&path).expect("it is a text");
            for name in imports(&text).into_iter().filter(|name| *name != module) {
                match floor_of(&name) {
                    Some(below) if below < floor => {}
                    Some(_) => wrong.push(format!("{}: {name} is not below {module}", path.display())),
                    None => wrong.push(format!("{}: crate::{name} is on no floor", path.display())),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_floor_is_kept_for_a_module_that_is_gone() {
    let there = files();
    let gone: Vec<_> = FLOORS.iter().flat_map(|floor| floor.split(' ')).collect();
    let gone: Vec<_> = gone.into_iter().filter(|module| !there.contains_key(*module)).collect();
    assert!(gone.is_empty(), "{gone:?}");
}

#[test]
fn groups_and_macros_are_read_too() {
    let text = "use crate::{a::{x, y}, b,\n  c::z};\n// crate::d\n$crate::e::f(my_crate::g); crate::h";
    assert_eq!(imports(text).into_iter().collect::<Vec<_>>(), ["a", "b", "c", "e", "h"]);
}
