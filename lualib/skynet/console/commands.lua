--- The commands of the debug console. Each gets the words behind its name, as text; what it returns is shown.
---
--- `service/debug_console.lua` reads the lines and shows the results.
local skynet = require "skynet"
local core = require "skynet.core"
local codecache = require "skynet.codecache"
local memory = require "skynet.memory"
local socket = require "skynet.socket"
require "skynet.manager"

-- A survey of all services waits so long for each, in centiseconds.
local SURVEY_TIMEOUT = 300
-- Source text that `inject` reads, at the most.
local INJECT_MAX = 16 << 20

local M = {}

---@type table<string, fun(...: string): any>
local commands = {}
---Those that get (line, words, connection): see `debug_console`.
local special = {}
---These take their time, which they limit themselves.
local unlimited = { stat = true, mem = true, gc = true, debug = true }

M.commands, M.special, M.unlimited = commands, special, unlimited

---The handle behind `.name`, `:hex`, or `hex` without the harbor id.
---@param text string?
---@return integer
local function handle_of(text)
	-- Matched by programs: keep the words.
	if not text then
		error("Need an address", 0)
	elseif text:sub(1, 1) == "." then
		return skynet.localname(text) or error("Not a valid name", 0)
	end
	local hex = text:match "^:?(%x+)$"
	local handle = hex and #hex <= 8 and tonumber(hex, 16) or error("Need an address", 0)
	if text:sub(1, 1) == ":" then
		return handle
	end
	local own = skynet.harbor(skynet.self())
	return handle | own << 24
end

M.handle_of = handle_of

---@param text string?
---@return integer? centiseconds nil: wait
local function survey_timeout(text)
	local timeout = text and (tonumber(text) or error(("not a time: %s"):format(text), 0)) or SURVEY_TIMEOUT
	if timeout > 0 then
		return math.floor(timeout)
	end
end

---@return boolean? nil where nothing is said
local function switch(text)
	if text == "on" or text == "true" then
		return true
	elseif text == "off" or text == "false" then
		return false
	elseif text ~= nil then
		error(("on or off, not %s"):format(text), 0)
	end
end

local function ask(address, ...)
	return skynet.call(handle_of(address), "debug", ...)
end

-- Services ------------------------------------------------------------------------------------------------------------

function commands.list()
	return skynet.call(".launcher", "lua", "LIST")
end

function commands.stat(timeout)
	return skynet.call(".launcher", "lua", "STAT", survey_timeout(timeout))
end

function commands.mem(timeout)
	return skynet.call(".launcher", "lua", "MEM", survey_timeout(timeout))
end

function commands.gc(timeout)
	return skynet.call(".launcher", "lua", "GC", survey_timeout(timeout))
end

function commands.service()
	return skynet.call("SERVICE", "lua", "LIST")
end

---Shows how a start went.
local function started(name, ok, handle)
	if not ok then
		return "Failed"
	elseif not handle then
		return "Exit"
	end
	return { [skynet.address(handle)] = name }
end

local function need_name(name)
	return name or error("Need the name of a service", 0)
end

function commands.start(name, ...)
	return started(need_name(name), pcall(skynet.newservice, name, ...))
end

function commands.log(name, ...)
	return started(need_name(name), pcall(skynet.call, ".launcher", "lua", "LOGLAUNCH", "snlua", name, ...))
end

function commands.snax(name, ...)
	return started(need_name(name), pcall(function(...)
		local object = require "skynet.snax".newservice(...)
		return object and object.handle
	end, name, ...))
end

function commands.exit(address)
	skynet.send(handle_of(address), "debug", "EXIT")
end

function commands.kill(address)
	return skynet.call(".launcher", "lua", "KILL", handle_of(address))
end

-- Looking into one ----------------------------------------------------------------------------------------------------

function commands.info(address, ...)
	return ask(address, "INFO", ...)
end

function commands.task(address, ...)
	return ask(address, "TASK", ...)
end

function commands.uniqtask(address)
	return ask(address, "UNIQTASK")
end

function commands.killtask(address, pattern)
	if not pattern then
		error("Need the text of a thread", 0)
	end
	return ask(address, "KILLTASK", pattern)
end

function commands.ping(address)
	local handle = handle_of(address)
	local from = skynet.now()
	skynet.call(handle, "debug", "PING")
	return tostring(skynet.now() - from)
end

function commands.dbgcmd(address, name, ...)
	if not name then
		error("Need a debug command", 0)
	end
	-- The first value, as ever.
	return (ask(address, name, ...))
end

function commands.inject(address, filename, ...)
	local handle = handle_of(address)
	if not filename then
		error("Need a file", 0)
	end
	local file = io.open(filename, "rb")
	if not file then
		return "Can't open " .. filename
	end
	local source = file:read(INJECT_MAX + 1) or ""
	file:close()
	if #source > INJECT_MAX then
		error(("%s is longer than %d bytes"):format(filename, INJECT_MAX), 0)
	end
	local ok, output = skynet.call(handle, "debug", "RUN", source, filename, ...)
	if ok == false then
		error(output, 0)
	end
	return output
end

function special.call(line, words)
	local handle = handle_of(words[2])
	-- Matched by programs: keep the words.
	local expression = line:match "^%s*%S+%s+%S+%s+(.+)$" or error("need arguments", 0)
	local chunk = load("return " .. expression, "=(debug console)", "t", {}) or error("Invalid arguments", 0)
	local arguments = table.pack(chunk())
	return table.pack(skynet.call(handle, "lua", table.unpack(arguments, 1, arguments.n)))
end

---The debugger: lines go to it until the session ends.
function special.debug(_, words, connection)
	local handle = handle_of(words[2])
	local agent = assert(skynet.newservice "debug_agent")
	local forward = skynet.fork(function()
		repeat
			-- The end of the input ends the session, too.
			local line = connection:next_line() or "cont"
			skynet.call(agent, "lua", "cmd", line)
		until line:match "^%s*cont%s*$"
	end)
	local ok, problem = skynet.call(agent, "lua", "start", handle, connection.id)
	-- It waits for a line that is not for the debugger any more.
	skynet.killthread(forward)
	if not ok then
		error(problem, 0)
	end
end

-- Logs and traces -----------------------------------------------------------------------------------------------------

function commands.logon(address)
	core.command("LOGON", skynet.address(handle_of(address)))
end

function commands.logoff(address)
	core.command("LOGOFF", skynet.address(handle_of(address)))
end

function commands.signal(address, number)
	local signal = number == nil and 0 or math.tointeger(tonumber(number)) or error("not a signal: " .. number, 0)
	core.command("SIGNAL", ("%s %d"):format(skynet.address(handle_of(address)), signal))
end

function commands.trace(address, protocol, flag)
	if flag == nil and (protocol == nil or protocol == "on" or protocol == "off") then
		protocol, flag = "lua", protocol or "on"
	end
	ask(address, "TRACELOG", protocol, switch(flag))
end

-- The node ------------------------------------------------------------------------------------------------------------

function commands.clearcache()
	codecache.clear()
end

function commands.getenv(key)
	if not key then
		error("Need a key", 0)
	end
	return { [key] = tostring(skynet.getenv(key)) }
end

function commands.setenv(key, value)
	if not key or not value then
		error("Need a key and a value", 0)
	end
	skynet.setenv(key, value)
	return commands.getenv(key)
end

function commands.cmem()
	local shown = { total = memory.total(), block = memory.block() }
	for handle, bytes in pairs(memory.info()) do
		shown[skynet.address(handle)] = bytes
	end
	return shown
end

function commands.jmem()
	local shown = {}
	for name, bytes in pairs(memory.jestat()) do
		shown[name] = ("%11d  %8.2f Mb"):format(bytes, bytes / 1048576)
	end
	return shown
end

function commands.profactive(flag)
	local active = memory.profactive(switch(flag))
	-- Matched by programs: keep the words.
	return "heap profilling is " .. (active and "active" or "deactive")
end

function commands.dumpheap()
	memory.dumpheap()
end

local function bytes_text(bytes)
	if not bytes or bytes < 1024 then
		return bytes
	elseif bytes < 1024 * 1024 then
		return ("%.2fK"):format(bytes / 1024)
	end
	return ("%.2fM"):format(bytes / (1024 * 1024))
end

---How long ago something was.
local function ago_text(time, now)
	if not time then
		return nil
	end
	local seconds = (now - time) // 100
	if seconds < 60 then
		return ("%.2fs"):format((now - time) / 100)
	elseif seconds < 3600 then
		return ("%d:%02d"):format(seconds // 60, seconds % 60)
	end
	return ("%d:%02d:%02d"):format(seconds // 3600, seconds // 60 % 60, seconds % 60)
end

function commands.netstat()
	local now = skynet.now()
	local all = socket.netstat()
	for _, info in ipairs(all) do
		info.address = skynet.address(info.address)
		for _, field in ipairs { "read", "write", "wbuffer" } do
			info[field] = bytes_text(info[field])
		end
		info.rtime, info.wtime = ago_text(info.rtime, now), ago_text(info.wtime, now)
	end
	return all
end

function commands.harbor()
	return require "skynet.harbor".nodes()
end

local help = {
	help = "This help message",
	list = "List all the services",
	stat = "Figures of all services: stat [centiseconds]",
	mem = "Memory of all services: mem [centiseconds]",
	gc = "Collect garbage in all services: gc [centiseconds]",
	info = "What a service says of itself: info address ...",
	exit = "Ask a service to end: exit address",
	kill = "End a service: kill address",
	start = "Launch a Lua service: start name ...",
	log = "Launch a Lua service with a log of its messages: log name ...",
	snax = "Launch a snax service: snax name ...",
	clearcache = "Forget compiled Lua files",
	service = "List the unique services",
	task = "Stacks of a service's coroutines: task address [session]",
	uniqtask = "The same, equal ones together: uniqtask address",
	killtask = "End a coroutine: killtask address thread",
	inject = "Run a Lua file in a service: inject address file ...",
	logon = "Log a service's messages to a file: logon address",
	logoff = "No longer: logoff address",
	debug = "Debug a service: debug address; then Lua, watch(protocol[, condition]), s, n, c, cont",
	signal = "Send a signal to a service: signal address [number]; 0 interrupts it",
	cmem = "Bytes of each service, and of the process",
	jmem = "Figures of the allocator",
	ping = "How long a service takes to answer, in centiseconds: ping address",
	call = "Call a service: call address expression, ...",
	trace = "Trace the requests of a protocol: trace address [protocol] [on|off]",
	netstat = "The sockets of the node",
	harbor = "The other nodes of the cluster",
	profactive = "Heap profiling: profactive [on|off]",
	dumpheap = "Write a heap profile",
	dbgcmd = "Any debug command: dbgcmd address command ...",
	getenv = "A key of the config: getenv key",
	setenv = "Set a key, once: setenv key value",
}

function commands.help()
	return help
end

return M
