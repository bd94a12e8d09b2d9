//! How a service's script is found and run, and how `require` finds modules.
//!
//! The rules are skynet's (lua-api §1): what `lualoader` does there is done here natively, unless the config names a
//! loader of its own. Files on the disk come before those that the program carries in itself.
#![allow(unsafe_op_in_unsafe_fn)] // Raw Lua calls on every line: a block round each would say nothing.
#![expect(
    clippy::disallowed_methods,
    reason = "bare C functions: nothing here owns memory where Lua raises, see raw/entry.rs"
)]

use std::ffi::{CString, c_int};
use std::fmt::Write;
use std::sync::Arc;

use super::chunk::{self, Chunk};
use super::kernel::Kernel;
use super::kernel::whole::traceback;
use super::modules::skynet_codecache::{CacheMode, Held, find, hold, load_held};
use super::modules::{NATIVE, require_key};
use super::raw::entry::kernel_of;
use super::raw::{bytes_at, ffi, lua_State};

/// What a Lua service is told about where things are.
pub(crate) struct Paths {
    pub(crate) service: String,
    pub(crate) lua: String,
    pub(crate) c: String,
    pub(crate) preload: Option<String>,
    /// A loader of the user's, in place of ours.
    pub(crate) loader: Option<String>,
}

/// The name that a loader goes by when a config means ours.
const LOADER: &str = "lualib/loader.lua";

impl Paths {
    /// Reads the config's keys; the defaults are skynet's.
    pub(crate) fn read(env: impl Fn(&str) -> Option<String>) -> Paths {
        let or = |key: &str, default: &str| env(key).unwrap_or_else(|| default.to_owned());
        // A config that was written for C skynet names the loader of its own tree: where that is not there, ours is.
        let loader = env("lualoader")
            .filter(|path| std::path::Path::new(path).exists() || !path.replace('\\', "/").ends_with(LOADER));
        Paths {
            service: or("luaservice", "./service/?.lua"),
            lua: or("lua_path", "./lualib/?.lua;./lualib/?/init.lua"),
            c: or("lua_cpath", "./luaclib/?.so"),
            preload: env("preload"),
            loader,
        }
    }
}

/// A script that is about to run. It outlives the protected call that it is run in.
struct Plan {
    args: String,
    words: Vec<String>,
    paths: Paths,
    chunk: Arc<Chunk>,
    preload: Option<Arc<Chunk>>,
    /// `SERVICE_PATH`, and the path that modules beside the script are found by.
    service_path: String,
    beside: String,
    by_loader: bool,
}

/// Finds the script that `args` names, and runs it in the VM's main thread.
///
/// # Errors
/// The text of the log line that says why it does not run.
pub(crate) unsafe fn run(kernel: *mut Kernel, args: &str, paths: Paths) -> Result<(), Vec<u8>> {
    let plan = plan(args, paths)?;
    let main = (*kernel).main;
    let outer = (*kernel).reach.enter(main);
    (*kernel).reach.hook_if_asked(main);
    ffi::lua_settop(main, 0);
    ffi::lua_pushcfunction(main, traceback);
    ffi::lua_pushcfunction(main, run_plan);
    ffi::lua_pushlightuserdata(main, (&raw const plan).cast_mut().cast());
    let status = ffi::lua_pcall(main, 1, 0, 1);
    (*kernel).reach.leave(outer);
    let result = match status {
        ffi::LUA_OK => Ok(()),
        _ => {
            let text = bytes_at(main, -1).unwrap_or(b"(error object is not a string)");
            // Matched by log readers: keep the words.
            Err([b"lua loader error : ", text].concat())
        }
    };
    ffi::lua_settop(main, 0);
    // A service that starts natively goes on loading in its start function.
    if (*kernel).start_task.is_none() {
        Kernel::loaded(kernel, main);
    }
    result
}

fn plan(args: &str, paths: Paths) -> Result<Plan, Vec<u8>> {
    let words: Vec<String> = args.split_ascii_whitespace().map(str::to_owned).collect();
    let name = words.first().map_or("", String::as_str).to_owned();
    if let Some(loader) = &paths.loader {
        // Matched by log readers: keep the words.
        let chunk =
            find(CacheMode::On, loader).map_err(|why| format!("Can't load {loader} : {why}").into_bytes())?;
        return Ok(Plan {
            args: args.to_owned(),
            words,
            paths,
            chunk,
            preload: None,
            service_path: String::new(),
            beside: String::new(),
            by_loader: true,
        });
    }
    let error = |text: String| [b"lua loader error : ", text.as_bytes()].concat();
    if name.is_empty() {
        return Err(error("snlua is launched without the name of a script".to_owned()));
    }
    let (chunk, pattern) = find_script(&name, &paths.service).map_err(error)?;
    let preload = match &paths.preload {
        Some(path) => Some(find(CacheMode::On, path).map_err(error)?),
        None => None,
    };
    let (service_path, beside) = service_path(&pattern, &name);
    Ok(Plan { args: args.to_owned(), words, paths, chunk, preload, service_path, beside, by_loader: false })
}

/// The script of this name, and the pattern that found it.
fn find_script(name: &str, patterns: &str) -> Result<(Arc<Chunk>, String), String> {
    let mut tried = Vec::new();
    for pattern in patterns.split(';').filter(|pattern| !pattern.is_empty()) {
        match find(CacheMode::On, &pattern.replace('?', name)) {
            Ok(chunk) => return Ok((chunk, pattern.to_owned())),
            Err(why) => tried.push(why),
        }
    }
    if let Some(chunk) = chunk::load_embedded(&format!("service/{name}.lua")) {
        return Ok((chunk?, "./service/?.lua".to_owned()));
    }
    Err(tried.join("\n"))
}

/// `SERVICE_PATH`, and what is put before `package.path`: a script in a folder of its own finds modules there.
fn service_path(pattern: &str, name: &str) -> (String, String) {
    let cut = pattern.rfind('/').map_or(0, |at| at + 1);
    let (folder, file) = pattern.split_at(cut);
    if file.contains('?') {
        return (folder.to_owned(), String::new());
    }
    let folder = folder.replace('?', name);
    let beside = format!("{folder}?.lua;");
    (folder, beside)
}

/// Sets the globals and runs the plan's chunk: `(plan)`.
unsafe extern "C-unwind" fn run_plan(state: *mut lua_State) -> c_int {
    let plan = &*ffi::lua_touserdata(state, 1).cast::<Plan>();
    ffi::lua_settop(state, 0);
    if plan.by_loader {
        set_global(state, c"LUA_PATH", &plan.paths.lua);
        set_global(state, c"LUA_CPATH", &plan.paths.c);
        set_global(state, c"LUA_SERVICE", &plan.paths.service);
        if let Some(preload) = &plan.paths.preload {
            set_global(state, c"LUA_PRELOAD", preload);
        }
        load(state, &plan.chunk);
        push_text(state, &plan.args);
        ffi::lua_call(state, 1, 0);
        return 0;
    }
    set_global(state, c"SERVICE_NAME", &plan.words[0]);
    set_global(state, c"SERVICE_PATH", &plan.service_path);
    ffi::lua_getglobal(state, c"package".as_ptr());
    push_text(state, &plan.beside);
    push_text(state, &plan.paths.lua);
    ffi::lua_concat(state, 2);
    ffi::lua_setfield(state, 1, c"path".as_ptr());
    push_text(state, &plan.paths.c);
    ffi::lua_setfield(state, 1, c"cpath".as_ptr());
    ffi::lua_settop(state, 0);
    if let Some(preload) = &plan.preload {
        load(state, preload);
        push_words(state, &plan.words);
        ffi::lua_call(state, plan.words.len() as c_int, 0);
    }
    load(state, &plan.chunk);
    push_words(state, &plan.words[1..]);
    ffi::lua_call(state, plan.words.len() as c_int - 1, 0);
    0
}

unsafe fn load(state: *mut lua_State, chunk: &Arc<Chunk>) {
    if load_held(state, hold(kernel_of(state), Arc::clone(chunk))) != ffi::LUA_OK {
        ffi::lua_error(state);
    }
}

unsafe fn push_text(state: *mut lua_State, text: &str) {
    ffi::lua_pushlstring(state, text.as_ptr().cast(), text.len());
}

unsafe fn push_words(state: *mut lua_State, words: &[String]) {
    ffi::luaL_checkstack(state, words.len() as c_int + 1, c"too many words in a launch".as_ptr());
    for word in words {
        push_text(state, word);
    }
}

unsafe fn set_global(state: *mut lua_State, name: &std::ffi::CStr, value: &str) {
    push_text(state, value);
    ffi::lua_setglobal(state, name.as_ptr());
}

/// Puts our searchers and our `require` in place of Lua's, and keeps Lua's `require` for ours.
///
/// # Safety
/// Runs inside a protected call, with the standard library open.
pub(super) unsafe fn install(state: *mut lua_State) {
    ffi::lua_getglobal(state, c"require".as_ptr());
    ffi::lua_rawsetp(state, ffi::LUA_REGISTRYINDEX, require_key());
    // In place before any script runs: a loader of the user's, and `skynet.require`, take what they find.
    ffi::lua_pushcfunction(state, require);
    ffi::lua_setglobal(state, c"require".as_ptr());
    ffi::lua_getglobal(state, c"package".as_ptr());
    ffi::lua_getfield(state, -1, c"searchers".as_ptr());
    // Preload stays first; then our native modules, so that no library of C skynet takes their place. What follows
    // Lua files are C libraries.
    ffi::lua_rawgeti(state, -1, 4);
    ffi::lua_rawseti(state, -2, 5);
    ffi::lua_rawgeti(state, -1, 3);
    ffi::lua_rawseti(state, -2, 4);
    ffi::lua_pushcfunction(state, search_native);
    ffi::lua_rawseti(state, -2, 2);
    ffi::lua_getfield(state, -2, c"path".as_ptr());
    ffi::lua_settop(state, -2);
    ffi::lua_pushvalue(state, -2);
    ffi::lua_pushcclosure(state, search_lua, 1);
    ffi::lua_rawseti(state, -2, 3);
    ffi::lua_settop(state, 0);
}

/// `(name) -> opener, ":native:"`
unsafe extern "C-unwind" fn search_native(state: *mut lua_State) -> c_int {
    let name = bytes_at(state, 1).unwrap_or_default();
    match NATIVE.iter().find(|(known, _)| known.to_bytes() == name) {
        Some((_, open)) => {
            ffi::lua_pushcfunction(state, *open);
            ffi::lua_pushstring(state, c":native:".as_ptr());
            2
        }
        None => 0,
    }
}

/// A module in Lua that was found, or what was tried.
enum Found {
    Chunk {
        held: Held,
        path: CString,
    },
    Tried(String),
    /// The file is there, but does not compile.
    Broken(String),
}

/// `(name) -> chunk, path`: by `package.path` on the disk, then in the program itself.
unsafe extern "C-unwind" fn search_lua(state: *mut lua_State) -> c_int {
    ffi::lua_settop(state, 1);
    ffi::lua_getfield(state, ffi::lua_upvalueindex(1), c"path".as_ptr());
    let kernel = kernel_of(state);
    let (name, patterns) = (ffi::luaL_checkstring(state, 1), ffi::lua_tostring(state, 2));
    if name.is_null() || patterns.is_null() {
        ffi::luaL_error(state, c"'package.path' must be a string".as_ptr());
    }
    // Everything that owns memory is moved into the kernel before Lua is called again.
    let status = {
        let name = String::from_utf8_lossy(bytes_at(state, 1).unwrap_or_default()).into_owned();
        let patterns = String::from_utf8_lossy(bytes_at(state, 2).unwrap_or_default()).into_owned();
        match find_module(kernel, &name, &patterns) {
            Found::Chunk { held, path } => {
                (*kernel).scratch = path.into_bytes();
                Ok(held)
            }
            Found::Tried(text) => {
                (*kernel).scratch = text.into_bytes();
                Err(false)
            }
            Found::Broken(text) => {
                (*kernel).scratch =
                    format!("error loading module '{name}' from file:\n\t{text}").into_bytes();
                Err(true)
            }
        }
    };
    // Loaded before anything is pushed: a push may run finalizers, and those may load something else.
    if let Ok(held) = status
        && load_held(state, held) != ffi::LUA_OK
    {
        ffi::lua_error(state);
    }
    let scratch: *const Vec<u8> = &raw const (*kernel).scratch;
    ffi::lua_pushlstring(state, (*scratch).as_ptr().cast(), (*scratch).len());
    match status {
        Ok(_) => 2,
        Err(false) => 1,
        Err(true) => ffi::lua_error(state),
    }
}

unsafe fn find_module(kernel: *mut Kernel, name: &str, patterns: &str) -> Found {
    let file = name.replace('.', "/");
    let mut tried = String::new();
    for pattern in patterns.split(';').filter(|pattern| !pattern.is_empty()) {
        let path = pattern.replace('?', &file);
        let mode = (*kernel).code_cache;
        let is_cached = mode != CacheMode::Off && chunk::cached(&path).is_some();
        if !is_cached && std::fs::File::open(&path).is_err() {
            let _ = write!(tried, "{}no file '{path}'", if tried.is_empty() { "" } else { "\n\t" });
            continue;
        }
        return match find(mode, &path) {
            Ok(chunk) => keep(kernel, chunk, &path),
            Err(why) => Found::Broken(why),
        };
    }
    for path in [format!("lualib/{file}.lua"), format!("lualib/{file}/init.lua")] {
        match chunk::load_embedded(&path) {
            Some(Ok(chunk)) => return keep(kernel, chunk, &path),
            Some(Err(why)) => return Found::Broken(why),
            None => {}
        }
    }
    let _ = write!(tried, "\n\tno file 'lualib/{file}.lua' in the program");
    Found::Tried(tried)
}

unsafe fn keep(kernel: *mut Kernel, chunk: Arc<Chunk>, path: &str) -> Found {
    Found::Chunk { held: hold(kernel, chunk), path: CString::new(path).unwrap_or_default() }
}

/// The `require` of a service: Lua's own, except in a coroutine, where the module may block.
pub(crate) unsafe extern "C-unwind" fn require(state: *mut lua_State) -> c_int {
    unsafe extern "C-unwind" fn done(state: *mut lua_State, _: c_int, _: ffi::lua_KContext) -> c_int {
        // SAFETY: Lua calls it with the results on its stack.
        unsafe { ffi::lua_gettop(state) }
    }
    ffi::luaL_checkstring(state, 1);
    ffi::lua_settop(state, 1);
    ffi::lua_getfield(state, ffi::LUA_REGISTRYINDEX, ffi::LUA_LOADED_TABLE);
    ffi::lua_pushvalue(state, 1);
    ffi::lua_gettable(state, 2);
    if ffi::lua_toboolean(state, -1) != 0 {
        return 1;
    }
    ffi::lua_settop(state, 1);
    ffi::lua_rawgetp(state, ffi::LUA_REGISTRYINDEX, require_key());
    if (*kernel_of(state)).running.is_none() || ffi::lua_isyieldable(state) == 0 {
        ffi::lua_rotate(state, 1, 1);
        ffi::lua_call(state, 1, ffi::LUA_MULTRET);
        return ffi::lua_gettop(state);
    }
    ffi::lua_pushstring(state, c"skynet.require".as_ptr());
    ffi::lua_call(state, 1, 1);
    ffi::lua_getfield(state, -1, c"in_coroutine".as_ptr());
    ffi::lua_rotate(state, 1, 1);
    ffi::lua_settop(state, 2);
    ffi::lua_callk(state, 1, ffi::LUA_MULTRET, 0, Some(done));
    done(state, ffi::LUA_OK, 0)
}
