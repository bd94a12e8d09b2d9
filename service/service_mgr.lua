--- `.service`: services of which there is one on a node, or (`@name`) one in the cluster.
---
--- The cluster's are kept by the manager of the standalone node, which has the global name `SERVICE`; the other managers
--- ask it and remember its answers. Face: `skynet.uniqueservice` and `skynet.queryservice`.
local skynet = require "skynet"
local harbor = require "skynet.harbor"
require "skynet.manager"

-- In centiseconds: until a manager that does not answer is asked again, and until one that was lost is looked for.
local REPORT_AGAIN, LOOK_AGAIN = 100, 10
-- How long LIST waits for other services, in centiseconds.
local LIST_TIMEOUT = 100

---@class Unique
---@field handle integer? it runs
---@field failure string? it did not start, and is not tried again
---@field launch { session: integer, source: integer, thread: thread }? it is being started, for this request
---@field querying boolean? the manager of the cluster has been asked to tell when it runs
---@field waiters { response: function, session: integer, source: integer }[]

local services = {}		---@type table<string, Unique>
local managers = {}		---@type table<integer, true> those of other nodes (standalone node only)
local standalone = skynet.getenv "standalone"

---@param key string
---@return Unique
local function entry(key)
	local unique = services[key]
	if not unique then
		unique = { waiters = {} }
		services[key] = unique
	end
	return unique
end

---Tells everyone who waits what became of it.
local function settle(unique, handle, failure)
	local waiters = unique.waiters
	unique.waiters = {}
	for _, waiter in ipairs(waiters) do
		waiter.response(true, handle, failure)
	end
end

local function answer(unique)
	skynet.retpack(unique.handle, unique.failure)
end

local function enlist(unique)
	local session, source = skynet.context()
	table.insert(unique.waiters, { response = skynet.response(), session = session, source = source })
end

---Starts the service of `key` for this request, or lets the request share in a start under way.
---@param keep_failure boolean
---@param start fun(...): integer?, string?
local function launch(key, keep_failure, start, ...)
	local unique = entry(key)
	if unique.handle or unique.failure then
		return answer(unique)
	end
	enlist(unique)
	if unique.launch then
		return
	end
	local request = unique.waiters[#unique.waiters]
	unique.launch = { session = request.session, source = request.source, thread = coroutine.running() }
	local ok, handle, failure = pcall(start, ...)
	unique.launch = nil
	if ok and handle then
		unique.handle = handle
		return settle(unique, handle)
	end
	if not ok then
		failure = tostring(handle)
	elseif not failure then
		failure = ("%s ended while it started"):format(key)
		keep_failure = false
	end
	if keep_failure then
		unique.failure = failure
	end
	settle(unique, nil, failure)
	if not keep_failure and services[key] == unique then
		services[key] = nil
	end
end

---`@name` is a name of the cluster; the file is called `name`.
local function file_of(name)
	return (name:gsub("^@", ""))
end

---A snax service is one of many behind `snaxd`, and is told apart by its own name.
local function key_of(name, subname)
	if type(name) ~= "string" then
		error(("the name of a service must be a string, not %s"):format(type(name)), 0)
	end
	if file_of(name) == "snaxd" then
		if type(subname) ~= "string" then
			error(("the name of a snax service must be a string, not %s"):format(type(subname)), 0)
		end
		return name .. "." .. subname
	end
	return name
end

-- Each command answers its request itself, at once or when the service runs. What it raises is answered with (nil, text).
local command = {}

function command.LAUNCH(name, ...)
	local key = key_of(name, ...)
	if file_of(name) == "snaxd" then
		return launch(key, true, require "skynet.snax".rawnewservice, ...)
	end
	return launch(key, true, skynet.newservice, file_of(name), ...)
end

function command.QUERY(name, subname)
	local unique = entry(key_of(name, subname))
	if unique.handle or unique.failure then
		return answer(unique)
	end
	enlist(unique)
end

if standalone then
	function command.GLAUNCH(name, ...)
		return command.LAUNCH("@" .. name, ...)
	end

	function command.GQUERY(name, subname)
		return command.QUERY("@" .. name, subname)
	end

	function command.REPORT(handle)
		assert(math.type(handle) == "integer", "REPORT needs the handle of a manager")
		managers[handle] = true
		skynet.retpack(nil)
	end
else
	-- A failure is not kept here: the cluster's manager keeps it, and a lost connection is not one.
	function command.GLAUNCH(name, ...)
		local everywhere = "@" .. name
		return launch(key_of(everywhere, ...), false, skynet.call, "SERVICE", "lua", "LAUNCH", everywhere, ...)
	end

	function command.GQUERY(name, subname)
		local everywhere = "@" .. name
		local key = key_of(everywhere, subname)
		local unique = entry(key)
		if unique.handle then
			return answer(unique)
		end
		enlist(unique)
		if unique.querying or unique.launch then
			return
		end
		unique.querying = true
		local ok, handle, failure = pcall(skynet.call, "SERVICE", "lua", "QUERY", everywhere, subname)
		unique.querying = nil
		if unique.launch or unique.handle then
			-- Someone here began to launch it meanwhile, and answers these waiters too.
			if ok and handle and unique.launch then
				unique.handle = handle
				settle(unique, handle)
			end
			return
		end
		if ok and handle then
			unique.handle = handle
			return settle(unique, handle)
		end
		if services[key] == unique then
			services[key] = nil
		end
		settle(unique, nil, failure or tostring(handle))
	end
end

---Makes this manager known to the one of the cluster.
---@return integer? node that the manager of the cluster lives on; nil if it does not answer
local function report()
	local manager = harbor.queryname "SERVICE"
	local ok, failure = pcall(skynet.call, manager, "lua", "REPORT", skynet.self())
	if ok then
		return (skynet.harbor(manager))
	end
	skynet.error(("SERVICE at %s does not answer: %s"):format(skynet.address(manager), tostring(failure)))
	skynet.sleep(REPORT_AGAIN)
end

---Whatever the cluster's manager said is void when its node is gone: the services lived there. A new one is told of us.
local function follow(node)
	while true do
		if node then
			harbor.link(node)
			for key in pairs(services) do
				-- Those being launched or waited for hear of the lost node by themselves.
				if key:sub(1, 1) == "@" and services[key].handle then
					services[key] = nil
				end
			end
			skynet.sleep(LOOK_AGAIN)
		end
		node = report()
	end
end

---What a service that is not up waits for, with the stacks of those who know.
local function describe(unique)
	local lines = {}
	local request = skynet.request()
	local asking = false
	local function ask(address, task)
		request:add { address, "debug", "TASK", task, at = #lines }
		asking = true
	end

	if unique.launch then
		local session = skynet.task(unique.launch.thread)
		local ok, starting = pcall(skynet.call, ".launcher", "lua", "QUERY", session)
		if ok and starting then
			table.insert(lines, "starting as " .. skynet.address(starting))
			ask(starting, "init")
		end
		table.insert(lines, "launched by " .. skynet.address(unique.launch.source))
		ask(unique.launch.source, unique.launch.session)
	end
	for _, waiter in ipairs(unique.waiters) do
		table.insert(lines, ("waited for by %s, session %d"):format(skynet.address(waiter.source), waiter.session))
		ask(waiter.source, waiter.session)
	end
	if asking then
		for asked, reply in request:select(LIST_TIMEOUT) do
			if reply and type(reply[1]) == "string" then
				lines[asked.at] = lines[asked.at] .. "\n" .. reply[1]
			end
		end
	end
	return table.concat(lines, "\n")
end

function command.LIST()
	local list = {}
	-- A copy, because describing one yields.
	local keys = {}
	for key in pairs(services) do
		table.insert(keys, key)
	end
	for _, key in ipairs(keys) do
		local unique = services[key]
		if not unique then
			goto continue
		elseif unique.handle then
			list[key] = skynet.address(unique.handle)
		elseif unique.failure then
			list[key] = "Error: " .. unique.failure
		else
			list[key] = describe(unique)
		end
		::continue::
	end
	if next(managers) then
		local request = skynet.request()
		for manager in pairs(managers) do
			request:add { manager, "lua", "LIST" }
		end
		for asked, reply in request:select(3 * LIST_TIMEOUT) do
			local manager = asked[1]
			if reply and type(reply[1]) == "table" then
				local node = skynet.harbor(manager)
				for key, state in pairs(reply[1]) do
					list[key .. "@" .. node] = state
				end
			elseif not reply then
				-- Its node is gone; a new one reports again.
				managers[manager] = nil
			end
		end
	end
	skynet.retpack(list)
end

---A command that fails has answered or not; who has not heard, hears now.
local function refuse(reason)
	pcall(skynet.retpack, nil, reason)
end

skynet.start(function()
	skynet.dispatch("lua", function(_, _, name, ...)
		local run = command[name]
		if not run then
			return refuse("Invalid command " .. tostring(name))
		end
		local ok, failure = pcall(run, ...)
		if not ok then
			refuse(tostring(failure))
		end
	end)

	local other = skynet.localname ".service"
	if other then
		skynet.error(".service is already register by ", skynet.address(other))
		skynet.exit()
	end
	skynet.register ".service"
	if standalone then
		skynet.register "SERVICE"
	else
		local node
		repeat
			node = report()
		until node
		skynet.fork(follow, node)
	end
end)
