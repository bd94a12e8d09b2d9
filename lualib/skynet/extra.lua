--- The rare and composed part of the `skynet` table; loaded when one of these is first asked for.
local skynet = require "skynet"
local kernel = require "skynet.kernel"
local core = require "skynet.core"

local M = {}

M.pcall = pcall
M.cache = require "skynet.codecache"

-- Unique services ---------------------------------------------------------------------------------------------------

---Asks the node's service manager; its answer is (handle) or (nil, error text).
local function ask_manager(command, global, ...)
	if global == true then
		return assert(skynet.call(".service", "lua", "G" .. command, ...))
	end
	return assert(skynet.call(".service", "lua", command, global, ...))
end

---Launches a service that there is once: on this node, or with `true` first, in the whole cluster.
---@param global boolean|string `true`, or the name
---@return integer handle
function M.uniqueservice(global, ...)
	return ask_manager("LAUNCH", global, ...)
end

---Waits until a unique service is there.
---@param global boolean|string `true`, or the name
---@return integer handle
function M.queryservice(global, ...)
	return ask_manager("QUERY", global, ...)
end

-- Requests in parallel -----------------------------------------------------------------------------------------------

local request = {}
request.__index = request

---Adds a request `{ address, typename, arguments... }`; `n` says how many fields there are, if some are nil.
function request:add(obj)
	if type(obj) ~= "table" then
		error(("a request is a table, not a %s"):format(type(obj)), 2)
	end
	self[#self + 1] = obj
	return self
end

request.__call = request.add

---Drops what has not been answered yet.
function request:close()
	for session in pairs(self._open or {}) do
		kernel.forget(session)
		self._open[session] = nil
	end
end

request.__close = request.close

---Sends everything at once, and gives (request, answer) pairs as the answers come: a packed table, `false` for an
---error, and nil for what could not be sent.
---@param timeout? integer centiseconds; when it is over, the field `timeout` is set
function request:select(timeout)
	assert(not self._open, "a request set can be selected once")
	local open, ready, first, last = {}, {}, 1, 0
	local waiting = 0
	local token = {}
	local asleep = false
	self._open = open

	local function push(obj, answer)
		last = last + 1
		ready[last] = { obj, answer }
	end

	local sent = {}
	for _, obj in ipairs(self) do
		local ok, session = pcall(kernel.request, table.unpack(obj, 1, obj.n or #obj))
		if not ok then
			skynet.error(session)
			session = nil
		end
		if session then
			sent[#sent + 1] = { session, obj }
		else
			push(obj, nil)
		end
	end
	for _, entry in ipairs(sent) do
		local session, obj = entry[1], entry[2]
		open[session] = true
		waiting = waiting + 1
		local unpack = skynet._proto[obj[2]].unpack
		kernel.on_response(session, function(ok, msg, sz)
			open[session] = nil
			waiting = waiting - 1
			local answer = false
			if ok then
				local values = table.pack(pcall(unpack, msg, sz))
				if values[1] then
					answer = table.pack(table.unpack(values, 2, values.n))
				else
					skynet.error(values[2])
				end
			end
			push(obj, answer)
			if asleep then
				skynet.wakeup(token)
			end
		end)
	end

	local deadline
	if timeout then
		deadline = skynet.now() + timeout
	end

	local function next_answer()
		while first > last do
			if waiting == 0 then
				return nil
			end
			asleep = true
			if deadline then
				local left = deadline - skynet.now()
				if left <= 0 or (skynet.sleep(left, token) ~= "BREAK" and first > last) then
					asleep = false
					self.timeout = true
					self:close()
					return nil
				end
			else
				skynet.wait(token)
			end
			asleep = false
		end
		local entry = ready[first]
		ready[first] = nil
		first = first + 1
		return entry[1], entry[2]
	end
	return next_answer, nil, nil, self
end

---Makes a set of requests; see `select`.
---@param obj? table the first of them
function M.request(obj)
	local set = setmetatable({}, request)
	if obj then
		set:add(obj)
	end
	return set
end

-- Starting -----------------------------------------------------------------------------------------------------------

---Has a function run before the start function; in a module that a coroutine requires, right after the module.
---@param f function
function M.init(f)
	if not kernel.init(f) then
		require("skynet.require").init(f)
	end
end

local info
---Says what the debug command INFO answers.
---@param f function
function M.info_func(f)
	info = f
end

kernel.info_func = function()
	return info
end

local limited = false
---Limits the memory of this service; in its main chunk, and once.
---@param bytes integer
function M.memlimit(bytes)
	if limited then
		return nil
	end
	limited = true
	kernel.memlimit(bytes)
	M.memlimit, skynet.memlimit = nil, nil
end

-- Looking into the service -------------------------------------------------------------------------------------------

local function trace_of(thread, session)
	local origin = kernel.timer_origin(session)
	return debug.traceback(thread) .. (origin and ("\n" .. origin) or "")
end

---Tells of suspended coroutines: their number; or fills a table with their tracebacks; or the traceback of a session, of
---the start function ("init"); or the session of a thread.
function M.task(what)
	if what == nil then
		local count = 0
		for _ in pairs(kernel.tasks()) do
			count = count + 1
		end
		return count
	elseif what == "init" then
		local thread = kernel.start_thread()
		return thread and debug.traceback(thread) or nil
	elseif type(what) == "thread" then
		return kernel.session_of(what)
	elseif type(what) == "table" then
		for thread, session in pairs(kernel.tasks()) do
			what[("%s session: %d"):format(tostring(thread), session)] = trace_of(thread, session)
		end
		return
	end
	local session = math.tointeger(tonumber(what))
	local thread = session and kernel.thread_of(session)
	return thread and trace_of(thread, session) or "No session"
end

---Suspended coroutines by their traceback: `"<count>\tsessions:[...]\n" = traceback`.
---@return table<string, string>
function M.uniqtask()
	local by_trace = {}
	for thread, session in pairs(kernel.tasks()) do
		local trace = debug.traceback(thread)
		local sessions = by_trace[trace]
		if not sessions then
			sessions = {}
			by_trace[trace] = sessions
		end
		sessions[#sessions + 1] = session
	end
	local result = {}
	for trace, sessions in pairs(by_trace) do
		table.sort(sessions)
		result[("%d\tsessions:[%s]\n"):format(#sessions, table.concat(sessions, ","))] = trace
	end
	return result
end

-- Unknown messages ---------------------------------------------------------------------------------------------------

-- What happens without a function of the service's own; the dispatcher does the same natively.

local function unknown_request(session, address, msg, sz, prototype)
	-- Matched by log readers: keep the words.
	skynet.error(("Unknown request (%s): %s"):format(prototype, skynet.tostring(msg, sz)))
	error(("Unknown session : %d from %x"):format(session, address))
end

local function unknown_response(session, address, msg, sz)
	-- Matched by log readers: keep the words.
	skynet.error(("Response message : %s"):format(skynet.tostring(msg, sz)))
	error(("Unknown session : %d from %x"):format(session, address))
end

---Has a function called with messages that no protocol handles: `f(session, address, msg, sz, prototype)`, the last of
---which is the protocol's name, or the number of the type. A request with a session is refused without it.
---@param f function
---@return function previous
function M.dispatch_unknown_request(f)
	return kernel.on_unknown_request(f) or unknown_request
end

---Has a function called with answers that nobody waits for: `f(session, address, msg, sz)`.
---@param f function
---@return function previous
function M.dispatch_unknown_response(f)
	return kernel.on_unknown_response(f) or unknown_response
end

-- Trace --------------------------------------------------------------------------------------------------------------

M.trace = kernel.trace
M.tracetag = kernel.tracetag
M.traceproto = kernel.traceproto
M.trace_timeout = kernel.trace_timeout

---Logs a line of the trace `tag`, with the frames of a coroutine: `tracelog(tag, text, thread?, level?)`.
M.tracelog = core.trace

---A raw call that is traced under `tag`.
---@return lightuserdata msg
---@return integer sz
function M.tracecall(tag, addr, typename, msg, sz)
	core.trace(tag, "tracecall begin", 2)
	core.send(addr, skynet.PTYPE_TRACE, 0, tag)
	local answer, size = skynet.rawcall(addr, typename, msg, sz)
	core.trace(tag, "tracecall end", 2)
	return answer, size
end

return M
