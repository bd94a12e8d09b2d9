--- `.launcher`: starts services and knows which of them run. `skynet.newservice` is a call to its LAUNCH.
local skynet = require "skynet"
local core = require "skynet.core"
require "skynet.manager"

-- A service that has been starting for this long (in centiseconds) is asked whether it still lives.
local WATCH_INTERVAL = 100

---@class Starting
---@field response fun(ok: boolean, ...): boolean answers the launcher's caller
---@field source integer that caller
---@field session integer the session of its call
---@field lua boolean whether it can be asked for a sign of life
---@field seen boolean? it was starting at the last watch already
---@field asked boolean? a PING is under way

local command_lines = {}	---@type table<integer, string> every service that runs, by handle
local starting = {}			---@type table<integer, Starting> those that have not reported yet

---@param address integer|string
---@return integer
local function handle_of(address)
	local handle = math.tointeger(tonumber(address))
	if not handle and type(address) == "string" then
		handle = tonumber(address:match "^:(%x+)$" or "", 16)
	end
	return handle or error(("not the address of a service: %s"):format(tostring(address)), 0)
end

---Ends the start of a service, if it is starting, with what its caller hears.
local function settle(handle, ok, ...)
	local start = starting[handle]
	if start then
		starting[handle] = nil
		start.response(ok, ...)
	end
end

---@param handle integer
---@param ok boolean whether its caller, if it is starting, gets nil or an error
local function forget(handle, ok)
	command_lines[handle] = nil
	settle(handle, ok, nil)
end

-- Who is killed without a word to us (KILL of the core, a panic) sends neither LAUNCHOK nor ERROR. So a slow starter is
-- asked: a PING fails when the service is gone, and waits in its mailbox as long as it does not listen yet.

local function is_gone(handle)
	return skynet.send(handle, "debug", "PING") == nil
end

local function ask(handle, start)
	start.asked = true
	local ok = pcall(skynet.call, handle, "debug", "PING")
	start.asked = nil
	-- An error alone proves nothing: a service with a dispatcher of its own may refuse the message.
	if not ok and starting[handle] == start and is_gone(handle) then
		forget(handle, false)
	end
end

local watching = false

local function watch()
	for handle, start in pairs(starting) do
		if start.seen and not start.asked and start.lua then
			skynet.fork(ask, handle, start)
		end
		start.seen = true
	end
	watching = next(starting) ~= nil
	if watching then
		skynet.timeout(WATCH_INTERVAL, watch)
	end
end

---Creates a service; the reply to LAUNCH follows when it reports.
---@return integer? handle
local function launch(module, ...)
	local handle = skynet.launch(module, ...)
	local session, source = skynet.context()
	local response = skynet.response()
	if not handle then
		response(false)
		return nil
	end
	command_lines[handle] = table.concat({ module, ... }, " ")
	starting[handle] = { response = response, source = source, session = session, lua = module == "snlua" }
	if not watching then
		watching = true
		skynet.timeout(WATCH_INTERVAL, watch)
	end
	return handle
end

---Asks every service a debug question.
---@param timeout integer? centiseconds; nil waits
---@param shape fun(answer: any, handle: integer): any what to put into the table; answer is also "ERROR" and "TIMEOUT"
---@return table<string, any> by_address
local function survey(timeout, shape, question)
	local request = skynet.request()
	local answers = {}
	for handle in pairs(command_lines) do
		request:add { handle, "debug", question }
		answers[handle] = "TIMEOUT"
	end
	if next(answers) then
		for asked, reply in request:select(timeout) do
			answers[asked[1]] = reply and reply[1] or "ERROR"
		end
	end
	local by_address = {}
	for handle, answer in pairs(answers) do
		by_address[skynet.address(handle)] = shape(answer, handle)
	end
	return by_address
end

local function as_is(answer)
	return answer
end

local function memory_line(answer, handle)
	local name = command_lines[handle] or "exited"
	if type(answer) == "number" then
		return ("%.2f Kb (%s)"):format(answer, name)
	end
	return ("%s (%s)"):format(answer, name)
end

-- A command gets its source, then its arguments. What it returns is the reply, unless that is NO_REPLY.
local NO_REPLY = {}
local command = {}

function command.LAUNCH(_, module, ...)
	launch(module, ...)
	return NO_REPLY
end

function command.LOGLAUNCH(_, module, ...)
	local handle = launch(module, ...)
	if handle then
		core.command("LOGON", skynet.address(handle))
	end
	return NO_REPLY
end

function command.LAUNCHOK(source)
	settle(source, true, source)
	return NO_REPLY
end

function command.ERROR(source)
	forget(source, false)
	return NO_REPLY
end

function command.REMOVE(_, address, killed)
	forget(handle_of(address), not killed)
	return NO_REPLY
end

function command.KILL(_, address)
	local handle = handle_of(address)
	local killed = { [skynet.address(handle)] = tostring(command_lines[handle]) }
	skynet.kill(handle)
	forget(handle, false)
	return killed
end

function command.LIST()
	local list = {}
	for handle, line in pairs(command_lines) do
		list[skynet.address(handle)] = line
	end
	return list
end

function command.STAT(_, timeout)
	return survey(timeout, as_is, "STAT")
end

function command.MEM(_, timeout)
	return survey(timeout, memory_line, "MEM")
end

function command.GC(source, timeout)
	for handle in pairs(command_lines) do
		skynet.send(handle, "debug", "GC")
	end
	return command.MEM(source, timeout)
end

function command.QUERY(source, session)
	-- Sessions are counted by each caller for itself, so the asker's own launches come first.
	local found
	for handle, start in pairs(starting) do
		if start.session == session then
			if start.source == source then
				return handle
			end
			found = handle
		end
	end
	return found
end

skynet.dispatch("lua", function(session, source, name, ...)
	local run = type(name) == "string" and command[name:upper()]
	if not run then
		skynet.retpack { "Unknown command" }
		return
	end
	local reply = run(source, ...)
	if reply ~= NO_REPLY then
		skynet.retpack(reply)
	elseif session ~= 0 and run ~= command.LAUNCH and run ~= command.LOGLAUNCH then
		-- Meant to be sent; whoever calls it does not wait for ever.
		skynet.ret()
	end
end)

-- Services that speak no Lua report with a text message.
skynet.register_protocol {
	name = "text",
	id = skynet.PTYPE_TEXT,
	unpack = skynet.tostring,
	dispatch = function(_, source, text)
		if text == nil or text == "" then
			command.LAUNCHOK(source)
		elseif text == "ERROR" then
			command.ERROR(source)
		else
			error("Invalid text command " .. text)
		end
	end,
}

skynet.start(function() end)
