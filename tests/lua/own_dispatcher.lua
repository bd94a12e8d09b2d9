--- A small dispatcher of its own over skynet.core, as projects carry that are older than today's library: one coroutine
--- for each message, and a table from sessions to the coroutines that wait for them.
local core = require "skynet.core"

local TEXT, RESPONSE, ERROR, LUA = 0, 1, 7, 10
local BLOCKED = {}

local waiting = {}	-- session -> coroutine
local requests = {}	-- coroutine -> { session, source } of the message that it handles

local function run(co, ...)
	local ok, what = coroutine.resume(co, ...)
	if not ok then
		local request = requests[co]
		requests[co] = nil
		if request and request.session ~= 0 then
			core.send(request.source, ERROR, request.session, "")
		end
		core.error(debug.traceback(co, tostring(what)))
	elseif coroutine.status(co) == "dead" then
		requests[co] = nil
	else
		assert(what == BLOCKED)
	end
end

local function await(session)
	waiting[session] = coroutine.running()
	local ok, msg, sz = coroutine.yield(BLOCKED)
	if not ok then
		error("call failed", 2)
	end
	return core.unpack(msg, sz)
end

local function call(address, ...)
	return await((assert(core.send(address, LUA, nil, core.pack(...)), "invalid address")))
end

local function sleep(centiseconds)
	return await(core.intcommand("TIMEOUT", centiseconds))
end

local function answer(...)
	local request = requests[coroutine.running()]
	core.send(request.source, RESPONSE, request.session, core.pack(...))
end

local commands = {}

function commands.echo(...)
	answer(...)
end

function commands.sleep(time)
	sleep(time)
	answer "slept"
end

function commands.ask(address)
	answer(call(address, "echo", "asked"))
end

function commands.fail()
	error "own handler fails"
end

function commands.log(word)
	core.error(word)
end

function commands.never()
	sleep(100000)
end

local function handle(msg, sz)
	local function run_command(name, ...)
		commands[name](...)
	end
	run_command(core.unpack(msg, sz))
end

core.callback(function(kind, msg, sz, session, source)
	if kind == RESPONSE or kind == ERROR then
		local co = waiting[session]
		waiting[session] = nil
		if co then
			run(co, kind == RESPONSE, msg, sz)
		end
	elseif kind == LUA then
		local co = coroutine.create(handle)
		requests[co] = { session = session, source = source }
		run(co, msg, sz)
	elseif session ~= 0 then
		core.send(source, ERROR, session, "")
	end
end)

-- The launcher waits for this.
core.send(".launcher", TEXT, 0, "")
