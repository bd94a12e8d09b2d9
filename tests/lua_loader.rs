//! How a service's script is found and run, and what it finds in its environment.

mod support;

use std::fs;
use std::path::PathBuf;

use skynet_rs::Config;
use support::TestNode;

/// An empty folder for the files of one test.
fn folder(test: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("lua_loader").join(test);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).expect("the test's folder is made");
    path
}

fn write(folder: &std::path::Path, file: &str, text: &str) -> String {
    let path = folder.join(file);
    fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("the file's folder is made");
    fs::write(&path, text).expect("the test's file is written");
    path.display().to_string()
}

/// The usual config, with patterns before those for scripts.
fn config_with(patterns: &str) -> Config {
    let usual = support::config();
    let scripts = usual.luaservice().to_owned();
    usual.set("luaservice", format!("{patterns};{scripts}"))
}

/// A script that answers each request with what an expression yields; the chunk's words are in `words`.
fn telling(expression: &str) -> String {
    format!(
        "local skynet = require 'skynet'
        local words = table.pack(...)
        local function tell() return {expression} end
        local told = table.pack(tell())
        skynet.start(function()
            skynet.dispatch('lua', function() skynet.retpack(table.unpack(told, 1, told.n)) end)
        end)"
    )
}

/// Launches `teller` with the words, and asks it.
fn told(node: &TestNode, arguments: &str) -> Vec<String> {
    node.lua(&format!("return skynet.call(skynet.newservice({arguments}), 'lua')"))
}

#[test]
fn a_script_knows_its_name_and_its_folder() {
    let folder = folder("name");
    write(&folder, "teller.lua", &telling("SERVICE_NAME, SERVICE_PATH"));
    write(&folder, "deep/teller.lua", &telling("SERVICE_NAME, SERVICE_PATH"));
    let node = support::start(config_with(&format!("{}/?.lua", folder.display())), None);
    let path = format!("{}/", folder.display());
    assert_eq!(told(&node, "'teller'"), ["teller", &path]);
    // The folder is that of the pattern.
    assert_eq!(told(&node, "'deep/teller'"), ["deep/teller", &path]);
}

#[test]
fn arguments_are_words_and_strings() {
    let folder = folder("arguments");
    write(
        &folder,
        "teller.lua",
        &telling("words.n, math.type(words[1]) or type(words[1]), table.unpack(words)"),
    );
    let node = support::start(config_with(&format!("{}/?.lua", folder.display())), None);
    assert_eq!(told(&node, "'teller', 1, 2.5, 'three  four'"), ["4", "string", "1", "2.5", "three", "four"]);
    assert_eq!(told(&node, "'teller'"), ["0", "nil"]);
}

#[test]
fn the_paths_are_nil_as_globals_and_set_in_package() {
    let folder = folder("globals");
    write(
        &folder,
        "teller.lua",
        &telling("LUA_SERVICE, LUA_PATH, LUA_CPATH, LUA_PRELOAD, package.path, package.cpath, _VERSION"),
    );
    let config = config_with(&format!("{}/?.lua", folder.display())).set("lua_cpath", "./some/?.so");
    let lua_path = config.lua_path().to_owned();
    let node = support::start(config, None);
    let answer = told(&node, "'teller'");
    assert_eq!(answer[..6], ["nil", "nil", "nil", "nil", &lua_path, "./some/?.so"]);
    assert!(answer[6].starts_with("Lua 5."), "{answer:?}");
}

#[test]
fn a_preloaded_script_runs_first_with_all_words() {
    let folder = folder("preload");
    let preload =
        write(&folder, "preload.lua", "preloaded = table.concat({ ... }, ' ') before = SERVICE_NAME");
    write(&folder, "teller.lua", &telling("preloaded, before, LUA_PRELOAD"));
    let config = config_with(&format!("{}/?.lua", folder.display())).set("preload", &preload);
    let node = support::start(config, None);
    assert_eq!(told(&node, "'teller', 'one', 2"), ["teller one 2", "teller", "nil"]);
}

#[test]
fn a_service_in_a_folder_finds_the_modules_beside_it() {
    let folder = folder("folders");
    write(&folder, "teller/init.lua", &telling("SERVICE_NAME, SERVICE_PATH, require 'beside', package.path"));
    write(&folder, "teller/beside.lua", "return 'beside'");
    let config = config_with(&format!("{}/?/init.lua", folder.display()));
    let lua_path = config.lua_path().to_owned();
    let node = support::start(config, None);
    let path = format!("{}/teller/", folder.display());
    assert_eq!(told(&node, "'teller'"), ["teller", &path, "beside", &format!("{path}?.lua;{lua_path}")]);
}

#[test]
fn the_first_pattern_that_finds_a_script_wins() {
    let folder = folder("first");
    write(&folder, "one/teller.lua", &telling("'one'"));
    write(&folder, "two/teller.lua", &telling("'two'"));
    write(&folder, "two/other.lua", &telling("'other'"));
    let folder = folder.display();
    let node = support::start(config_with(&format!("{folder}/one/?.lua;{folder}/two/?.lua")), None);
    assert_eq!((told(&node, "'teller'"), told(&node, "'other'")), (vec!["one".into()], vec!["other".into()]));
}

#[test]
fn a_script_that_is_nowhere_is_an_error_with_all_places() {
    let node = support::start(config_with("/no/such/?.lua;/nor/?/such.lua"), None);
    let answer = node.lua("return pcall(skynet.newservice, 'missing')");
    assert!(answer[0] == "false" && answer[1].contains("call failed"), "{answer:?}");
    let line = node.log.wait_for("lua loader error : ");
    let first = "cannot open /no/such/missing.lua: No such file or directory\n";
    let second = "cannot open /nor/missing/such.lua: No such file or directory\n";
    assert!(line.contains(&format!("{first}{second}")), "{line}");
}

#[test]
fn a_script_that_does_not_compile_says_where() {
    let folder = folder("syntax");
    write(&folder, "bad.lua", "local a = 1\nlocal b = = 2");
    let node = support::start(config_with(&format!("{}/?.lua", folder.display())), None);
    assert_eq!(node.lua("return pcall(skynet.newservice, 'bad')")[0], "false");
    let line = node.log.wait_for("lua loader error : ");
    assert!(line.contains("bad.lua:2: unexpected symbol near '='"), "{line}");
}

#[test]
fn an_error_in_the_main_chunk_fails_the_launch_with_a_traceback() {
    let folder = folder("error");
    write(&folder, "bad.lua", "local function inner() error 'the chunk fails' end\ninner()");
    write(&folder, "odd.lua", "error { code = 1 }");
    write(
        &folder,
        "named.lua",
        "error(setmetatable({}, { __tostring = function() return 'an error object' end }))",
    );
    let node = support::start(config_with(&format!("{}/?.lua", folder.display())), None);
    assert_eq!(node.lua("return pcall(skynet.newservice, 'bad')")[0], "false");
    let line = node.log.wait_for("the chunk fails");
    assert!(line.contains("lua loader error : ") && line.contains("stack traceback"), "{line}");
    assert_eq!(node.lua("return pcall(skynet.newservice, 'odd')")[0], "false");
    node.log.wait_for_count("lua loader error : ", 2);
    assert_eq!(node.lua("return pcall(skynet.newservice, 'named')")[0], "false");
    node.log.wait_for("an error object");
}

#[test]
fn the_library_in_the_program_is_found_when_the_paths_point_nowhere() {
    let folder = folder("nowhere");
    write(
        &folder,
        "eval.lua",
        &fs::read_to_string(support::lua_dir().join("eval.lua")).expect("eval.lua is there"),
    );
    let config = support::config()
        .set("lua_path", "/no/such/?.lua")
        .set("luaservice", format!("{}/?.lua", folder.display()));
    let node = support::start(config, None);
    let answer = node.lua(
        "local queue = require 'skynet.queue'
        local found = package.searchpath('skynet.queue', package.path)
        return type(queue), found, skynet.localname '.launcher' ~= nil, (select(2, pcall(require, 'skynet.nothing')))",
    );
    assert_eq!(answer[..3], ["function", "nil", "true"]);
    assert!(answer[3].contains("no file '/no/such/skynet/nothing.lua'"), "{answer:?}");
}

#[test]
fn the_disk_wins_over_the_library_in_the_program() {
    let folder = folder("disk");
    write(&folder, "skynet/queue.lua", "return 'a queue of the user'");
    write(&folder, "cmemory.lua", &telling("'a script of the user'"));
    let usual = config_with(&format!("{}/?.lua", folder.display()));
    let lua_path = usual.lua_path().to_owned();
    let node = support::start(usual.set("lua_path", format!("{}/?.lua;{lua_path}", folder.display())), None);
    assert_eq!(node.lua("return require 'skynet.queue'"), ["a queue of the user"]);
    assert_eq!(told(&node, "'cmemory'"), ["a script of the user"]);
}

/// A loader as C skynet's trees have one, told in few words.
const LOADER: &str = "local words = {}
    for word in (...):gmatch '%S+' do table.insert(words, word) end
    SERVICE_NAME = words[1]
    local main, tried = nil, {}
    for pattern in LUA_SERVICE:gmatch '[^;]+' do
        local chunk, err = loadfile((pattern:gsub('?', words[1])))
        if chunk then main, SERVICE_PATH = chunk, pattern:match '.*/' break end
        table.insert(tried, err)
    end
    if not main then error(table.concat(tried, '\\n')) end
    loaded_by, with_preload = 'the loader of the user', LUA_PRELOAD
    package.path, package.cpath = LUA_PATH, LUA_CPATH
    LUA_SERVICE, LUA_PATH, LUA_CPATH = nil, nil, nil
    _G.require = (require 'skynet.require').require
    main(table.unpack(words, 2))";

#[test]
fn a_loader_of_the_users_loads_the_scripts() {
    let folder = folder("loader");
    let loader = write(&folder, "loader.lua", LOADER);
    write(&folder, "teller.lua", &telling("loaded_by, SERVICE_NAME, with_preload, table.unpack(words)"));
    let config =
        config_with(&format!("{}/?.lua", folder.display())).set("lualoader", &loader).set("preload", "p");
    let node = support::start(config, None);
    assert_eq!(told(&node, "'teller', 1, 'two'"), ["the loader of the user", "teller", "p", "1", "two"]);
    assert_eq!(node.lua("return pcall(skynet.newservice, 'missing')")[0], "false");
    let line = node.log.wait_for("lua loader error : ");
    assert!(line.contains("missing.lua: No such file or directory\n"), "{line}");
}

#[test]
fn under_a_loader_of_the_users_a_module_may_block_in_a_coroutine() {
    let folder = folder("loader_require");
    let loader = write(&folder, "loader.lua", LOADER);
    write(&folder, "slow.lua", "require 'skynet'.yield() return 'slow but there'");
    let usual = support::config().set("lualoader", &loader);
    let lua_path = usual.lua_path().to_owned();
    let node = support::start(usual.set("lua_path", format!("{}/?.lua;{lua_path}", folder.display())), None);
    assert_eq!(node.lua("return require 'slow'"), ["slow but there"]);
}

#[test]
fn a_loader_that_does_not_load_is_told() {
    let folder = folder("bad_loader");
    write(&folder, "loader.lua", LOADER);
    let node = support::start(
        support::config().set("lualoader", folder.join("loader.lua").display().to_string()),
        None,
    );
    // The file stays in the cache; in another node of this process a broken one is another file.
    drop(node);
    let broken = write(&folder, "broken.lua", "this is no Lua");
    let log = support::Log::default();
    let runtime = skynet_rs::Runtime::builder()
        .config(support::config().set("lualoader", &broken))
        .log_to(log.sink())
        .start()
        .expect("the node starts");
    let _ = runtime.launch("snlua", "eval");
    let line = log.wait_for("Can't load ");
    // In front of the line number Lua shortens a long path.
    let (_, why) = line.split_once(&format!("Can't load {broken} : ")).expect("the file is named");
    assert!(why.contains("broken.lua:1: syntax error"), "{line}");
}

#[test]
fn pairs_lists_every_function_of_skynet() {
    let node = support::node();
    let answer = node.lua_in(
        node.launch_eval(),
        "local missing = {}
        local listed = {}
        for name in pairs(skynet) do listed[name] = true end
        for name in ([[address cache call context dispatch dispatch_message dispatch_unknown_request
            dispatch_unknown_response endless error exit fork genid getenv harbor hpc ignoreret info_func init
            init_service killthread localname memlimit mqlen newservice now pack packstring pcall queryservice rawcall
            rawsend redirect register_protocol request response ret retpack self send setenv sleep start starttime
            stat task term time timeout trace trace_timeout tracecall tracelog traceproto tracetag trash
            tostring uniqtask uniqueservice unpack wait wakeup yield PTYPE_TEXT PTYPE_RESPONSE PTYPE_MULTICAST
            PTYPE_CLIENT PTYPE_SYSTEM PTYPE_HARBOR PTYPE_SOCKET PTYPE_ERROR PTYPE_QUEUE PTYPE_DEBUG PTYPE_LUA
            PTYPE_SNAX PTYPE_TRACE]]):gmatch '%S+' do
            if not listed[name] or skynet[name] == nil then table.insert(missing, name) end
        end
        return #missing, table.concat(missing, ' ')",
    );
    assert_eq!(answer, ["0", ""]);
}

#[test]
fn a_field_that_is_set_hides_the_one_that_was_there() {
    let node = support::node();
    let answer = node.lua(
        "local before = skynet.now
        skynet.now = function() return 'never' end
        skynet.uniqtask = 'mine'
        for _ in pairs(skynet) do end
        return skynet.now(), skynet.uniqtask, type(before()), skynet.nothing, skynet[1]",
    );
    assert_eq!(answer, ["never", "mine", "number", "nil", "nil"]);
}
