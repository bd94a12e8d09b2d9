---@meta skynet

--- The heart of every Lua service. Times are in centiseconds (10 ms) unless said otherwise.
---
--- An *address* is a handle (integer), `".name"` of this node, `":hex"`, or the global name of a service in the cluster.
--- "Yields" means: while the function waits, this service handles other messages.
---@class skynet
---@field PTYPE_TEXT 0
---@field PTYPE_RESPONSE 1
---@field PTYPE_MULTICAST 2
---@field PTYPE_CLIENT 3
---@field PTYPE_SYSTEM 4
---@field PTYPE_HARBOR 5
---@field PTYPE_SOCKET 6
---@field PTYPE_ERROR 7
---@field PTYPE_QUEUE 8
---@field PTYPE_DEBUG 9
---@field PTYPE_LUA 10
---@field PTYPE_SNAX 11
---@field PTYPE_TRACE 12
---@field cache skynet.codecache
---@field _proto table<string|integer, skynet.protocol> every registered protocol, by name and by number
local skynet = {}

---@alias skynet.address integer|string

---@class skynet.protocol
---@field name string
---@field id integer 0..255
---@field pack? fun(...): lightuserdata|string?, integer?
---@field unpack? fun(message: lightuserdata, size: integer): ...
---@field dispatch? fun(session: integer, source: integer, ...)
---@field trace? boolean true: log requests of this protocol; false: never; nil: when the caller asks

-- Message types ----------------------------------------------------------------------------------------------------

---Adds a protocol. Raises if its name or its number is taken, or the number is not in 0..255.
---@param protocol skynet.protocol
function skynet.register_protocol(protocol) end

---Sets the handler of a protocol; each message runs it in a coroutine of its own. Without a function: returns the handler.
---@param typename string
---@param handler? fun(session: integer, source: integer, ...)
---@return function? former
function skynet.dispatch(typename, handler) end

---Sets what happens with a message of an unknown type, or of a protocol without a handler.
---@param handler fun(session: integer, source: integer, message: lightuserdata, size: integer, protocol: skynet.protocol?)
---@return function? former
function skynet.dispatch_unknown_request(handler) end

---Sets what happens with an answer that nobody waits for.
---@param handler fun(session: integer, source: integer, message: lightuserdata, size: integer)
---@return function? former
function skynet.dispatch_unknown_response(handler) end

---The callback of this service: handles one raw message.
---@param kind integer
---@param message lightuserdata
---@param size integer
---@param session integer
---@param source integer
function skynet.dispatch_message(kind, message, size, session, source) end

-- Sending and calling ----------------------------------------------------------------------------------------------

---Packs and sends; nothing is waited for. Raises for an address that is 0 or no address at all.
---@param address skynet.address
---@param typename string
---@param ... any
---@return 0|false|nil sent 0; nil: no such service; false: too large
function skynet.send(address, typename, ...) end

---Sends a payload that is ready; a pointer passes into the hands of the receiver.
---@param address skynet.address
---@param typename string
---@param message string|lightuserdata
---@param size? integer
---@return 0|false|nil sent as with send
function skynet.rawsend(address, typename, message, size) end

---Packs, sends and waits for the answer. Yields.
---Raises `call to invalid address` if there is no such service, `call failed` if it fails or ends before it answers.
---@param address skynet.address
---@param typename string
---@param ... any
---@return any ... the answer, unpacked
function skynet.call(address, typename, ...) end

---Like call, with a payload that is ready. Yields. The answer's pointer is valid until the coroutine yields again.
---@param address skynet.address
---@param typename string
---@param message string|lightuserdata
---@param size? integer
---@return lightuserdata message
---@return integer size
function skynet.rawcall(address, typename, message, size) end

---Like rawcall, logged under a trace tag. Yields.
---@param tag string
---@param address skynet.address
---@param typename string
---@param message string|lightuserdata
---@param size? integer
---@return lightuserdata message
---@return integer size
function skynet.tracecall(tag, address, typename, message, size) end

---Sends in the name of another service, with a session of the caller's choice.
---@param address skynet.address
---@param source skynet.address
---@param typename string
---@param session integer
---@param message string|lightuserdata
---@param size? integer
---@return integer|false|nil session as with send
function skynet.redirect(address, source, typename, session, message, size) end

---Answers the current request with a payload that is ready. Raises `No session` if it is answered, or there is none.
---@param message? string|lightuserdata "" if absent
---@param size? integer
---@return boolean sent false if no answer is expected, or it could not be sent
function skynet.ret(message, size) end

---Answers the current request with values.
---@param ... any
---@return boolean sent
function skynet.retpack(...) end

---Takes over the answer of the current request, to give it later from any coroutine. Raises `no session` if it was taken.
---
---The result: `respond(true, ...)` answers, `respond(false)` makes the caller's call fail; both return whether the caller
---still waited, and may be used once (`Can't response more than once`). `respond "TEST"` asks that only.
---@param pack? fun(...): lightuserdata|string, integer? skynet.pack
---@return fun(ok: boolean|"TEST", ...: any): boolean respond
function skynet.response(pack) end

---Declares that the current request gets no answer.
function skynet.ignoreret() end

---@return integer session of the current request
---@return integer source of it
function skynet.context() end

---Takes a session number that no request under way has.
---@return integer
function skynet.genid() end

---Packs values into a payload, which must be sent or trashed.
---@param ... any
---@return lightuserdata message
---@return integer size
function skynet.pack(...) end

---@param ... any
---@return string
function skynet.packstring(...) end

---@param message lightuserdata|string
---@param size? integer
---@return any ...
function skynet.unpack(message, size) end

---Copies a payload.
---@param message lightuserdata
---@param size integer
---@return string
function skynet.tostring(message, size) end

---Frees a payload; does nothing to a string.
---@param message lightuserdata|string
---@param size? integer
function skynet.trash(message, size) end

-- Several calls at once ----------------------------------------------------------------------------------------------

---@class skynet.request
---@field timeout boolean? true after a select that ended by its timeout
---@overload fun(request: table): skynet.request
local request = {}

---Adds a call, `{address, typename, args...}`; the count of args is taken from `n` if present.
---@param call table
---@return skynet.request self
function request:add(call) end

---Sends the calls at once and iterates over the answers as they come. Yields. Usable once.
---Each turn gives the table that was added and its answer, packed as by table.pack; false if it failed, nil if it was not sent.
---Leaving the loop drops what has not come.
---@param timeout? integer
---@return fun(): table?, (table|false|nil)
function request:select(timeout) end

---Drops what has not come.
function request:close() end

---Makes a set of calls.
---@param call? table the first, as for add
---@return skynet.request
function skynet.request(call) end

-- Coroutines and timers ----------------------------------------------------------------------------------------------

---Starts this service: runs the init functions, then `start`, in a coroutine, and reports to the launcher.
---@param start function
function skynet.start(start) end

---Has a function run before the start function; in a module that is required later, right after its chunk.
---@param f function
function skynet.init(f) end

---The body of start. Yields.
---@param start function
function skynet.init_service(start) end

---Runs a function in a coroutine of its own when the handling of the current message ends or waits.
---@param f function
---@param ... any
---@return thread
function skynet.fork(f, ...) end

---Runs a function in a coroutine of its own after some time; it cannot be taken back but by killthread.
---@param ti integer centiseconds; 0 or less: with the next messages
---@param f function
---@return thread
function skynet.timeout(ti, f) end

---Waits. Yields. Raises `token duplicative` if something waits on the token already.
---@param ti integer centiseconds
---@param token? any what wakeup may name; the running coroutine if absent
---@return "BREAK"? woken
function skynet.sleep(ti, token) end

---Lets other messages be handled. Yields.
---@return "BREAK"? woken
function skynet.yield() end

---Waits until it is woken. Yields. Raises `token duplicative` if something waits on the token already.
---@param token? any the running coroutine if absent
function skynet.wait(token) end

---Wakes what sleeps or waits on a token; it goes on when the current coroutine waits or ends.
---@param token any
---@return true? woken
function skynet.wakeup(token) end

---Ends a suspended coroutine; who waits for its answer hears an error.
---@param thread thread|string a string is searched in the coroutine's tostring
---@return thread? killed
function skynet.killthread(thread) end

---Centiseconds since the node started (plus the fraction of the second at which it did).
---@return integer
function skynet.now() end

---Unix time of the node's start, in seconds.
---@return integer
function skynet.starttime() end

---Unix time, in seconds with two decimals.
---@return number
function skynet.time() end

---A clock that only goes forward, in nanoseconds.
---@return integer
function skynet.hpc() end

---Whether to remember where timers were made; `task` shows it.
---@param on boolean
function skynet.trace_timeout(on) end

-- Services and names -------------------------------------------------------------------------------------------------

---Starts a Lua service and waits until its start function has returned. Yields. Raises `call failed` if that failed.
---@param name string
---@param ... string|number
---@return integer? handle nil if it ended itself while it started
function skynet.newservice(name, ...) end

---The one service of that name on this node, or with `true` in the cluster; starts it if need be. Yields.
---Raises if it did not start, now or when it was tried first.
---@param in_cluster true|string
---@param ... string|number the name if `in_cluster` is true, and arguments
---@return integer handle
function skynet.uniqueservice(in_cluster, ...) end

---The same, waiting until someone starts it. Yields.
---@param in_cluster true|string
---@param ... string
---@return integer handle
function skynet.queryservice(in_cluster, ...) end

---@return integer handle of this service
function skynet.self() end

---@param name string `.name`
---@return integer? handle
function skynet.localname(name) end

---How an address reads: `:0000000a`.
---@param address skynet.address
---@return string
function skynet.address(address) end

---@param handle integer
---@return integer harbor id of its node
---@return boolean remote
function skynet.harbor(handle) end

---@param key string
---@return string? value from the config, or from setenv
function skynet.getenv(key) end

---Sets a value for the whole node. Raises `Can't setenv exist key` if it has one.
---@param key string
---@param value any
function skynet.setenv(key, value) end

---Ends this service; does not return. Who waits for an answer of it hears an error.
function skynet.exit() end

---Treats another service as dead: calls to it that wait fail now.
---@param address integer
function skynet.term(address) end

---Writes a log line.
---@param ... any joined by spaces
function skynet.error(...) end

-- Statistics and traces ------------------------------------------------------------------------------------------------

---@param what "mqlen"|"cpu"|"time"|"message"|"endless"
---@return number
function skynet.stat(what) end

---@return integer length of the mailbox
function skynet.mqlen() end

---@return boolean whether a dispatch was reported as endless since the last question
function skynet.endless() end

---What waits in this service. Without argument the count; with a table it is filled with tracebacks; with a session or
---"init" that traceback; with a thread its session.
---@param which? table|integer|thread|"init"
---@return integer|string|nil
function skynet.task(which) end

---@return table<string, string> tracebacks by the sessions that share them
function skynet.uniqtask() end

---Limits the memory of this service's VM. In the main chunk only, once.
---@param bytes integer
function skynet.memlimit(bytes) end

---Sets what answers the debug command INFO.
---@param f fun(...): any
function skynet.info_func(f) end

---Logs what follows from the current coroutine, in every service it calls.
---@param info? string
function skynet.trace(info) end

---@return string? tag of the current coroutine's trace
function skynet.tracetag() end

---@param typename string
---@param flag? boolean
function skynet.traceproto(typename, flag) end

---@param tag string
---@param text string
---@param thread? thread
---@param level? integer
function skynet.tracelog(tag, text, thread, level) end

---The same as pcall.
---@param f function
---@param ... any
---@return boolean ok
---@return any ...
function skynet.pcall(f, ...) end

return skynet
