//! [`run_script`]: a Lua script outside of a node, with our modules within its reach: test clients, small tools.
#![allow(unsafe_op_in_unsafe_fn)] // Raw Lua calls on every line: a block round each would say nothing.
#![expect(
    clippy::disallowed_methods,
    reason = "bare C functions: nothing here owns memory where Lua raises, see raw/entry.rs"
)]

use std::ffi::{CString, c_int};
use std::sync::Arc;

use super::interrupt::Reach;
use super::kernel::Kernel;
use super::kernel::whole::traceback;
use super::raw::{bytes_at, ffi, lua_State};
use super::vm::Vm;

/// Where a script finds modules, behind its own folder. What the program carries in itself comes last.
const PATH: &str = "./?.lua;./?/init.lua;./lualib/?.lua;./lualib/?/init.lua";
const CPATH: &str = "./luaclib/?.so";

/// A script failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ScriptError(String);

/// What the protected call below works on, and outlives.
struct Job<'a> {
    /// The file; nothing for the standard input.
    file: Option<CString>,
    /// The script as it was named, then its arguments.
    words: Vec<&'a str>,
    path: String,
}

/// Runs a Lua script to its end, with a plain Lua in which `require` finds the modules and the library of this program.
///
/// `path` is a file, or `-` for the standard input. The script finds its arguments in `...` and in the table `arg`. There
/// is no node: a function that needs one raises `the service is not in a dispatch`.
///
/// # Errors
/// The text of the Lua error, with a traceback where the script ran.
pub fn run_script(path: &str, args: &[String]) -> Result<(), ScriptError> {
    let file = match path {
        "-" => None,
        path => Some(CString::new(path).map_err(|_| ScriptError(format!("a zero byte in {path:?}")))?),
    };
    let folder = path.rfind('/').map_or(String::new(), |at| format!("{}?.lua;", &path[..=at]));
    let words = std::iter::once(path).chain(args.iter().map(String::as_str)).collect();
    let job = Job { file, words, path: format!("{folder}{PATH}") };
    let mut vm = Vm::new(Arc::new(Reach::new()), crate::random::seed())
        .map_err(|error| ScriptError(error.to_string()))?;
    let kernel = vm.kernel();
    // SAFETY: the VM is ours, and no service of a node.
    unsafe { run(kernel, &job) }.map_err(|text| ScriptError(String::from_utf8_lossy(&text).into_owned()))
}

unsafe fn run(kernel: *mut Kernel, job: &Job<'_>) -> Result<(), Vec<u8>> {
    let main = (*kernel).main;
    Kernel::loaded(kernel, main);
    (*kernel).reach.enter(main);
    ffi::lua_settop(main, 0);
    ffi::lua_pushcfunction(main, traceback);
    ffi::lua_pushcfunction(main, run_job);
    ffi::lua_pushlightuserdata(main, std::ptr::from_ref(job).cast_mut().cast());
    if ffi::lua_pcall(main, 1, 0, 1) == ffi::LUA_OK {
        return Ok(());
    }
    Err(bytes_at(main, -1).unwrap_or(b"(error object is not a string)").to_vec())
}

/// `(job)`
unsafe extern "C-unwind" fn run_job(state: *mut lua_State) -> c_int {
    let job = &*ffi::lua_touserdata(state, 1).cast::<Job<'_>>();
    ffi::lua_settop(state, 0);
    ffi::lua_getglobal(state, c"package".as_ptr());
    push_text(state, &job.path);
    ffi::lua_setfield(state, 1, c"path".as_ptr());
    push_text(state, CPATH);
    ffi::lua_setfield(state, 1, c"cpath".as_ptr());
    ffi::lua_settop(state, 0);

    let file = job.file.as_ref().map_or(std::ptr::null(), |file| file.as_ptr());
    if ffi::luaL_loadfilex(state, file, std::ptr::null()) != ffi::LUA_OK {
        ffi::lua_error(state);
    }
    let count = c_int::try_from(job.words.len()).unwrap_or(c_int::MAX);
    ffi::luaL_checkstack(state, count, c"too many arguments for a script".as_ptr());
    ffi::lua_createtable(state, count, 1);
    for (at, word) in (0..).zip(&job.words) {
        push_text(state, word);
        ffi::lua_rawseti(state, 2, at);
    }
    ffi::lua_setglobal(state, c"arg".as_ptr());
    for word in &job.words[1..] {
        push_text(state, word);
    }
    ffi::lua_call(state, count - 1, 0);
    0
}

unsafe fn push_text(state: *mut lua_State, text: &str) {
    ffi::lua_pushlstring(state, text.as_ptr().cast(), text.len());
}
