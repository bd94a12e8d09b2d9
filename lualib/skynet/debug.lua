--- The debug protocol (PTYPE_DEBUG): what a console can ask of any service.
---
--- The kernel requires this module when the first debug message comes, so a service that nobody debugs does not carry it.
local skynet = require "skynet"

---The task of a request: its session, or "init"; a console sends both as text.
local function task_key(text)
	return math.tointeger(tonumber(text)) or text
end

-- What these return is packed and sent as the reply.
local answers = {}

function answers.MEM()
	return (collectgarbage "count")
end

function answers.STAT()
	return {
		task = skynet.task(),
		mqlen = skynet.stat "mqlen",
		cpu = skynet.stat "cpu",
		message = skynet.stat "message",
	}
end

function answers.TASK(key)
	if key ~= nil then
		return skynet.task(task_key(key))
	end
	local tasks = {}
	skynet.task(tasks)
	return tasks
end

function answers.UNIQTASK()
	return skynet.uniqtask()
end

function answers.INFO(...)
	-- Whoever set it has loaded the module that keeps it.
	local set = require "skynet.kernel".info_func
	local info = set and set()
	if info then
		return info(...)
	end
	return nil
end

function answers.RUN(source, filename, ...)
	local inject = require "skynet.inject"
	local ok, output = inject(skynet, source, filename, table.pack(...), skynet.dispatch, skynet.register_protocol)
	collectgarbage()
	return ok, table.concat(output, "\n")
end

function answers.SUPPORT(protocol)
	local known = skynet._proto[protocol]
	-- This protocol has no handler until its first message.
	return known ~= nil and (known.dispatch ~= nil or protocol == "debug")
end

-- These reply themselves, with no values or not at once.
local commands = {}

function commands.PING()
	skynet.ret()
end

function commands.GC()
	local before, start = collectgarbage "count", skynet.hpc()
	collectgarbage()
	local after, seconds = collectgarbage "count", (skynet.hpc() - start) / 1e9
	-- Matched by consoles: keep the words.
	skynet.error(("GC %.2f Kb -> %.2f Kb, cost %.2f sec"):format(before, after, seconds))
	skynet.ret()
end

function commands.KILLTASK(pattern)
	local thread = skynet.killthread(pattern)
	if thread then
		skynet.error(("Kill %s"):format(thread))
		skynet.ret()
	else
		skynet.error(("Kill %s : Not found"):format(pattern))
		skynet.retpack "Not found"
	end
end

function commands.EXIT()
	skynet.exit()
end

function commands.TERM(address)
	-- It takes the current request as one that needs no answer; none is due here either.
	skynet.term(address)
end

function commands.REMOTEDEBUG(...)
	require "skynet.remotedebug".start(require "skynet.kernel", ...)
	skynet.ret()
end

function commands.LINK()
	-- Never answered: when this service ends, the caller hears an error.
	skynet.response()
end

function commands.TRACELOG(protocol, flag)
	if type(protocol) == "boolean" then
		protocol, flag = "lua", protocol
	end
	skynet.error(("Turn trace log %s for %s"):format(tostring(flag), protocol))
	skynet.traceproto(protocol, flag)
	skynet.ret()
end

local registered = {}

local M = {}

---Adds a debug command to this service. It replies with skynet.ret itself.
---@param name string
---@param run fun(...)
function M.reg_debugcmd(name, run)
	if type(run) ~= "function" then
		error(("the debug command %s must be a function, not %s"):format(tostring(name), type(run)), 2)
	end
	registered[name] = run
end

---Handles one debug message; the kernel calls it in a coroutine of its own.
---@param session integer
---@param address integer
---@param name string
---@param ... any
function M.dispatch(session, address, name, ...)
	local answer = answers[name]
	if answer then
		skynet.retpack(answer(...))
		return
	end
	local run = commands[name] or registered[name]
	if not run then
		error(("%s sent the unknown debug command %s"):format(skynet.address(address), tostring(name)), 0)
	end
	run(...)
end

return M
