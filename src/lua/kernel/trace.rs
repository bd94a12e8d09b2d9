//! Trace lines: `<TRACE tag> <ns> text : source:line ...`, with the three innermost Lua frames.

use std::ffi::CStr;
use std::fmt::Write;

use super::Kernel;
use super::task::TaskPtr;
use crate::handle::Handle;
use crate::lua::raw::{ffi, lua_State};

/// Frames that a line shows, at the most.
const FRAMES_MAX: usize = 3;

impl Kernel {
    /// Traces a request if its sender does, or if all of its protocol are to be traced; `traced` is what the protocol says.
    #[cold]
    pub(crate) unsafe fn begin_trace(
        kernel: *mut Kernel,
        task: TaskPtr,
        source: Handle,
        traced: Option<bool>,
    ) {
        let tag = (*kernel).trace_tags.remove(&source.as_u32());
        (*task.get()).untraced = traced == Some(false);
        let (tag, event) = match (traced, tag) {
            (Some(false), _) | (None, None) => return,
            (_, Some(tag)) => (tag.into(), "request"),
            (Some(true), None) => (Kernel::new_trace_tag(kernel), "trace"),
        };
        Kernel::trace_line(kernel, None, &tag, event);
        (*task.get()).trace = Some(tag);
    }

    /// A tag that no trace of this service has had.
    pub(crate) unsafe fn new_trace_tag(kernel: *mut Kernel) -> Box<[u8]> {
        (*kernel).trace_count += 1;
        let tag = format!("{}-{}", (*kernel).handle(), (*kernel).trace_count);
        tag.into_bytes().into()
    }

    /// Logs an event of a traced coroutine.
    #[cold]
    pub(crate) unsafe fn trace_event(kernel: *mut Kernel, task: TaskPtr, state: *mut lua_State, text: &str) {
        if let Some(tag) = (*task.get()).trace.clone() {
            Kernel::trace_line(kernel, Some((state, 1)), &tag, text);
        }
    }

    /// Logs a trace line, with the frames of `state` from `level` on.
    pub(crate) unsafe fn trace_line(
        kernel: *mut Kernel,
        frames: Option<(*mut lua_State, i32)>,
        tag: &[u8],
        text: &str,
    ) {
        let nanoseconds = (*kernel).context().map_or(0, |ctx| ctx.clock().now_ns());
        let tag = String::from_utf8_lossy(tag);
        // Matched by log readers: keep the words.
        let mut line = format!("<TRACE {tag}> {nanoseconds} {text}");
        if let Some((state, first)) = frames {
            let mut shown = 0;
            let mut level = first;
            let mut info: ffi::lua_Debug = std::mem::zeroed();
            while shown < FRAMES_MAX && ffi::lua_getstack(state, level, &raw mut info) != 0 {
                level += 1;
                if ffi::lua_getinfo(state, c"Sl".as_ptr(), &raw mut info) == 0 || info.currentline <= 0 {
                    continue;
                }
                let source = CStr::from_ptr(info.source).to_string_lossy();
                let _ = write!(line, "{}{source}:{}", if shown == 0 { " : " } else { " " }, info.currentline);
                shown += 1;
            }
        }
        (*kernel).log(line);
    }
}
