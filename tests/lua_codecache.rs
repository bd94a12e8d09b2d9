//! The cache of compiled files, which all services of the process share.

mod support;

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Clearing the cache is seen by the whole process: these tests take turns.
static TURN: Mutex<()> = Mutex::new(());

/// A file of the test's own; holds the turn.
struct Scratch {
    path: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

impl Scratch {
    fn new(test: &str) -> Scratch {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("lua_codecache");
        fs::create_dir_all(&folder).expect("the tests' folder is made");
        Scratch { path: folder.join(format!("{test}.lua")), _turn: turn }
    }

    fn write(&self, text: &str) -> String {
        fs::write(&self.path, text).expect("the test's file is written");
        self.path.display().to_string()
    }

    fn remove(&self) {
        fs::remove_file(&self.path).expect("the test's file is removed");
    }
}

#[test]
fn a_change_of_a_file_is_not_seen_before_the_cache_is_cleared() {
    let file = Scratch::new("change");
    let node = support::node();
    let peer = node.launch_eval();
    let load = format!("return dofile '{}'", file.write("return 'old'"));
    assert_eq!(node.lua(&load), ["old"]);
    file.write("return 'new'");
    // In another service too.
    assert_eq!((node.lua1(&load), node.lua_in(peer, &load)), ("old".into(), vec!["old".into()]));
    assert_eq!(node.lua("return require 'skynet.codecache'.clear()"), [""; 0]);
    assert_eq!((node.lua1(&load), node.lua_in(peer, &load)), ("new".into(), vec!["new".into()]));
}

#[test]
fn functions_outlive_the_cache_that_they_came_from() {
    let file = Scratch::new("outlive");
    let node = support::node();
    let path = file.write(
        "local count = 0 return function() count = count + 1 return ('a long string '):rep(3) .. count end",
    );
    let answer = node.lua(&format!(
        "local f = dofile '{path}'
        f()
        require 'skynet.codecache'.clear()
        collectgarbage()
        return f()"
    ));
    assert_eq!(answer, ["a long string a long string a long string 2"]);
}

#[test]
fn each_load_makes_a_function_with_state_of_its_own() {
    let file = Scratch::new("own");
    let node = support::node();
    let path = file.write("local count = 0 return function() count = count + 1 return count end");
    let answer = node.lua(&format!(
        "local a, b = dofile '{path}', dofile '{path}'
        a() a()
        return a(), b(), loadfile '{path}' ~= loadfile '{path}'"
    ));
    assert_eq!(answer, ["3", "1", "true"]);
}

#[test]
fn the_mode_is_on_exist_or_off() {
    let file = Scratch::new("mode");
    let node = support::node();
    let path = file.write("return 1");
    let answer = node.lua(&format!(
        "local cache = require 'skynet.codecache'
        local path = '{path}'
        local function write(text) local f = io.open(path, 'w') f:write(text) f:close() end
        local modes = {{ cache.mode() }}
        local seen = {{}}
        cache.mode 'EXIST'
        table.insert(modes, cache.mode())
        table.insert(seen, dofile(path))           -- 1, and not kept
        write 'return 2'
        table.insert(seen, dofile(path))           -- 2
        cache.mode 'ON'
        table.insert(seen, dofile(path))           -- 2, and kept
        write 'return 3'
        cache.mode 'EXIST'
        table.insert(seen, dofile(path))           -- 2: it is there
        cache.mode 'OFF'
        table.insert(modes, cache.mode())
        table.insert(seen, dofile(path))           -- 3: past it
        cache.mode 'ON'
        table.insert(seen, dofile(path))           -- 2: it was not touched
        return table.concat(modes, ' '), table.concat(seen, ' '), (pcall(cache.mode, 'MAYBE'))"
    ));
    assert_eq!(answer, ["ON EXIST OFF", "1 2 2 2 3 2", "false"]);
}

#[test]
fn the_mode_is_each_services_own() {
    let _file = Scratch::new("modes");
    let node = support::node();
    let peer = node.launch_eval();
    node.lua("require 'skynet.codecache'.mode 'OFF'");
    assert_eq!(node.lua_in(peer, "return skynet.cache.mode()"), ["ON"]);
    assert_eq!(node.lua("return skynet.cache.mode()"), ["OFF"]);
}

#[test]
fn require_goes_through_the_cache() {
    let file = Scratch::new("required");
    let node = support::node();
    file.write("return 'old'");
    let load = format!(
        "package.path = '{}/?.lua;' .. package.path
        package.loaded.required = nil
        return require 'required'",
        file.path.parent().expect("the file lies in a folder").display()
    );
    assert_eq!(node.lua(&load), ["old"]);
    file.write("return 'new'");
    assert_eq!(node.lua(&load), ["old"]);
    file.remove();
    assert_eq!(node.lua(&load), ["old"]);
    node.lua("skynet.cache.clear()");
    assert_eq!(node.lua(&load)[0], "error");
}

#[test]
fn a_load_that_failed_is_not_kept() {
    let file = Scratch::new("failed");
    let node = support::node();
    let path = file.write("return = 1");
    let answer = node.lua(&format!("return loadfile '{path}'"));
    // Lua shows the end of a long path only.
    assert_eq!(answer[0], "nil");
    assert!(answer[1].ends_with("failed.lua:1: unexpected symbol near '='"), "{answer:?}");
    file.write("return 'repaired'");
    assert_eq!(node.lua(&format!("return dofile '{path}'")), ["repaired"]);
    file.remove();
    node.lua("skynet.cache.clear()");
    let answer = node.lua(&format!("return loadfile '{path}'"));
    assert_eq!(answer, ["nil", &format!("cannot open {path}: No such file or directory")]);
    let answer = node.lua(&format!("return pcall(dofile, '{path}')"));
    assert_eq!(answer, ["false", &format!("cannot open {path}: No such file or directory")]);
}

#[test]
fn an_environment_is_applied_to_each_load() {
    let file = Scratch::new("environment");
    let node = support::node();
    let path = file.write("value = (value or 0) + 1 return value");
    let answer = node.lua(&format!(
        "local path = '{path}'
        local mine, yours = {{ value = 10 }}, {{ value = 20 }}
        local a, b, c = loadfile(path, 'bt', mine), loadfile(path, nil, yours), loadfile(path)
        local none = loadfile(path, 'bt', nil)
        return a(), a(), b(), c(), mine.value, yours.value, _G.value, (pcall(none))"
    ));
    assert_eq!(answer, ["11", "12", "21", "1", "12", "21", "1", "false"]);
}

#[test]
fn a_mode_of_loadfile_says_what_the_file_may_be() {
    let file = Scratch::new("binary");
    let node = support::node();
    let path = file.write("return 'text'");
    let answer = node.lua(&format!(
        "local path = '{path}'
        local text, refused = loadfile(path, 't'), {{ loadfile(path, 'b') }}
        local dumped = string.dump(load 'return \"binary\"')
        local f = io.open(path, 'wb') f:write(dumped) f:close()
        skynet.cache.clear()
        return text(), refused[1], refused[2]:match 'attempt to load a text chunk', dofile(path), loadfile(path, 'b')(),
            (loadfile(path, 't'))"
    ));
    assert_eq!(answer, ["text", "nil", "attempt to load a text chunk", "binary", "binary", "nil"]);
}

#[test]
fn the_functions_of_the_cache_are_those_of_lua_and_skynet() {
    let _file = Scratch::new("functions");
    let node = support::node();
    let answer = node.lua(
        "local cache = require 'skynet.codecache'
        return cache.loadfile == loadfile, skynet.cache == cache, (pcall(loadfile, {})), (pcall(dofile, {}))",
    );
    assert_eq!(answer, ["true", "true", "false", "false"]);
}

#[test]
fn a_file_may_block_where_it_is_done() {
    let file = Scratch::new("blocks");
    let node = support::node();
    let path = file.write("require 'skynet'.yield() return ..., 'done'");
    assert_eq!(node.lua(&format!("return dofile '{path}'")), ["nil", "done"]);
}

#[test]
fn what_is_cached_keeps_its_name_and_its_lines() {
    let file = Scratch::new("lines");
    let node = support::node();
    let path = file.write("\n\nerror 'on line three'");
    let answer = node.lua(&format!("pcall(dofile, '{path}') return pcall(dofile, '{path}')"));
    assert!(answer[1].ends_with("lines.lua:3: on line three"), "{answer:?}");
    let answer = node.lua(&format!("return debug.getinfo(loadfile '{path}').source"));
    assert_eq!(answer, [format!("@{path}")]);
}
