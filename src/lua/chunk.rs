//! Compiled Lua files, kept for the whole process.
//!
//! A VM never compiles a file itself: the file is compiled once, in a bare state of its own, and each VM loads the
//! result. In Lua 5.5 it even stays where it is, and the VM reads code and long strings from the shared buffer; hence a
//! VM holds on to what it loaded ([`Chunk`] is shared), also after the cache has been cleared.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_int, c_void};
use std::sync::{Arc, LazyLock, RwLock};

use super::embedded;
use super::raw::{ffi, lua_State};

/// One compiled file.
pub(crate) struct Chunk {
    /// Words, so that the buffer is aligned as Lua 5.5 wants it.
    words: Box<[u64]>,
    len: usize,
}

impl Chunk {
    fn new(bytes: &[u8]) -> Chunk {
        let mut words = vec![0_u64; bytes.len().div_ceil(8)].into_boxed_slice();
        // SAFETY: the words hold at least as many bytes, and any bytes make a word.
        unsafe {
            words.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
        Chunk { words, len: bytes.len() }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the words hold `len` bytes.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr().cast(), self.len) }
    }
}

/// By path, exactly as it was asked for.
static CACHE: LazyLock<RwLock<HashMap<String, Arc<Chunk>>>> = LazyLock::new(Default::default);

/// The compiled file at `path`, from the cache or, if it is not there, from the disk.
///
/// # Errors
/// Lua's own text: the file cannot be read, or not compiled.
pub(crate) fn load(path: &str, fill: bool) -> Result<Arc<Chunk>, String> {
    if let Some(chunk) = cached(path) {
        return Ok(chunk);
    }
    let chunk = Arc::new(compile_file(path)?);
    if fill { Ok(keep(path, chunk)) } else { Ok(chunk) }
}

/// The compiled file that the program carries in itself, such as `lualib/skynet/queue.lua`.
pub(crate) fn load_embedded(path: &str) -> Option<Result<Arc<Chunk>, String>> {
    let key = format!("embedded:{path}");
    if let Some(chunk) = cached(&key) {
        return Some(Ok(chunk));
    }
    let source = embedded::find(path)?;
    Some(compile(source.as_bytes(), &format!("@{path}")).map(|chunk| keep(&key, Arc::new(chunk))))
}

/// The compiled file, if it is in the cache.
pub(crate) fn cached(path: &str) -> Option<Arc<Chunk>> {
    CACHE.read().unwrap_or_else(std::sync::PoisonError::into_inner).get(path).cloned()
}

fn keep(path: &str, chunk: Arc<Chunk>) -> Arc<Chunk> {
    let mut cache = CACHE.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    Arc::clone(cache.entry(path.to_owned()).or_insert(chunk))
}

/// Forgets all compiled files. Functions that were made from them stay as they are.
pub(crate) fn clear() {
    CACHE.write().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
}

/// Compiles a file from the disk, without the cache.
pub(crate) fn compile_file(path: &str) -> Result<Chunk, String> {
    // Most scripts are looked for in several places: say that a file is not there without making a state for it.
    if let Err(why) = std::fs::metadata(path) {
        return Err(format!("cannot open {path}: {}", reason(&why)));
    }
    let name = CString::new(path).map_err(|_| format!("cannot open {path:?}: a zero byte in its name"))?;
    // SAFETY: a fresh state, as `in_bare_state` promises.
    in_bare_state(|state| unsafe { ffi::luaL_loadfilex(state, name.as_ptr(), std::ptr::null()) })
}

/// The operating system's words, without the number that Rust puts behind them.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

fn compile(source: &[u8], name: &str) -> Result<Chunk, String> {
    let name = CString::new(name).map_err(|_| "a zero byte in a chunk's name".to_owned())?;
    in_bare_state(|state| {
        // SAFETY: a fresh state; the source outlives the call.
        unsafe {
            ffi::luaL_loadbufferx(state, source.as_ptr().cast(), source.len(), name.as_ptr(), c"t".as_ptr())
        }
    })
}

fn in_bare_state(load: impl FnOnce(*mut lua_State) -> c_int) -> Result<Chunk, String> {
    unsafe extern "C-unwind" fn write(
        _state: *mut lua_State,
        data: *const c_void,
        len: usize,
        out: *mut c_void,
    ) -> c_int {
        if len > 0 {
            // SAFETY: `lua_dump` hands on the vector below, and `len` readable bytes.
            unsafe {
                (*out.cast::<Vec<u8>>()).extend_from_slice(std::slice::from_raw_parts(data.cast(), len));
            }
        }
        0
    }
    // SAFETY: a state of our own, with no library and no limit, that nobody else sees.
    unsafe {
        let state = ffi::luaL_newstate();
        if state.is_null() {
            return Err("not enough memory".to_owned());
        }
        let status = load(state);
        let result = if status == ffi::LUA_OK {
            let mut bytes = Vec::new();
            ffi::lua_dump(state, write, (&raw mut bytes).cast(), 0);
            Ok(Chunk::new(&bytes))
        } else {
            let text = ffi::lua_tolstring(state, -1, std::ptr::null_mut());
            Err(if text.is_null() {
                "(error object is not a string)".to_owned()
            } else {
                CStr::from_ptr(text).to_string_lossy().into_owned()
            })
        };
        ffi::lua_close(state);
        result
    }
}
