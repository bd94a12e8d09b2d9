---@meta skynet.kernel

--- The native dispatcher of a service, as far as the Lua library reaches into it. Not for services: it may change with
--- every version.
---@class skynet.kernel
---@field info_func fun(): function? what `skynet.info_func` was given; set by `skynet.extra`
local kernel = {}

---Makes the `skynet` table, whose fields are made when they are first asked for.
---@return skynet
function kernel.skynet() end

-- Requests without a coroutine that waits -----------------------------------------------------------------------------

---Packs and sends a request. Until `on_response` says who waits for the answer, it is dropped.
---@param address skynet.address
---@param typename string
---@param ... any
---@return integer? session nothing: it could not be sent
function kernel.request(address, typename, ...) end

---Has a function run in a coroutine of its own when the answer of a `request` comes. Raises if the session is not open.
---@param session integer
---@param f fun(ok: boolean, message: lightuserdata?, size: integer?) not ok: an error came, or the other side ended
function kernel.on_response(session, f) end

---The answer of a `request` is dropped when it comes.
---@param session integer
function kernel.forget(session) end

---The next session is the one after this, as if so many had been used; for tests of what happens when they begin anew.
---@param last integer
function kernel.skip_sessions(last) end

-- Coroutines ----------------------------------------------------------------------------------------------------------

---The suspended coroutines, each with the session that it waits for.
---@return table<thread, integer>
function kernel.tasks() end

---@param thread thread
---@return integer? session that it waits for
function kernel.session_of(thread) end

---@param session integer
---@return thread? waiter
function kernel.thread_of(session) end

---The coroutine of the start function, while that runs.
---@return thread?
function kernel.start_thread() end

---The dispatcher's coroutine that runs now, whatever coroutine runs inside it.
---@return thread?
function kernel.running() end

---@param thread thread
---@return boolean blocked it waits inside a skynet function
function kernel.is_blocked(thread) end

---Gives the coroutines that are kept for the next messages to the collector.
function kernel.drop_idle() end

-- The service ---------------------------------------------------------------------------------------------------------

---Keeps a function for the start of the service.
---@param f function
---@return boolean kept false in a coroutine: the service has started
function kernel.init(f) end

---Lua's own `require`.
---@param name string
---@return any ...
function kernel.require(name) end

---Limits the memory of this service's VM. Raises if it is not above 0.
---@param bytes integer
function kernel.memlimit(bytes) end

-- Messages ------------------------------------------------------------------------------------------------------------

---From now on messages of these types are dispatched as the type they map to, and their payload is not freed.
---@param map table<integer, integer>
function kernel.forward_map(map) end

---From now on every message goes through a function before it is dispatched.
---@param filter fun(kind: integer, message: lightuserdata, size: integer, session: integer, source: integer): ...
function kernel.filter(filter) end

---Sets what gets messages of an unknown type, or of a protocol without a handler.
---@param f? fun(session: integer, source: integer, message: lightuserdata, size: integer, protocol: skynet.protocol?)
---@return function? former
function kernel.on_unknown_request(f) end

---Sets what gets answers that nobody waits for.
---@param f? fun(session: integer, source: integer, message: lightuserdata, size: integer)
---@return function? former
function kernel.on_unknown_response(f) end

---Every registered protocol, by name and by number; a new table each time.
---@return table<string|integer, skynet.protocol>
function kernel.protocols() end

-- Traces --------------------------------------------------------------------------------------------------------------

---@param typename string
---@param flag? boolean true: log requests of this protocol; false: never; nil: when the caller asks
function kernel.traceproto(typename, flag) end

---Tags the running coroutine, and logs that it did.
---@param info? string
---@return string tag
function kernel.trace(info) end

---@return string? tag of the running coroutine
function kernel.tracetag() end

---@param tag string
---@param text string
---@param thread? thread
---@param level? integer
function kernel.tracelog(tag, text, thread, level) end

---Whether to remember where timers are made.
---@param on boolean
function kernel.trace_timeout(on) end

---@param session integer
---@return string? traceback of where that timer was made, if `trace_timeout` was on
function kernel.timer_origin(session) end

-- Debugging -----------------------------------------------------------------------------------------------------------

---The running coroutine is the debugger of this service, or is it no longer: what it waits for reaches it while another
---coroutine is stopped, and messages are held back.
---@param on boolean
function kernel.debugger(on) end

---@return thread? thread the coroutine that its hook has stopped
function kernel.stopped() end

---The stopped coroutine goes on when the running one suspends.
---@return boolean there is one
function kernel.go_on() end

return kernel
