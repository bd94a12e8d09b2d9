--- What a service may do to other services and to the node: start and kill, names, monitor, special ways to start.
---
--- Requiring it adds these functions to the `skynet` table; the result is that table.
local skynet = require "skynet"
local core = require "skynet.core"

-- A global name crosses the network in a field of 16 bytes.
local GLOBAL_NAME_MAX = 15

---The number behind `12`, `"12"`, `":0100000a"` or `".name"`; nil where there is none.
---@param address integer|string
---@return integer?
local function handle_of(address)
	local number = math.tointeger(tonumber(address))
	if number then
		return number
	elseif type(address) ~= "string" then
		return nil
	elseif address:sub(1, 1) == "." then
		return skynet.localname(address)
	end
	return tonumber(address:match "^:(%x+)$" or "", 16)
end

---Tells a local name (`.x`) from a global one, and refuses what can be neither.
---@param name string
---@param level integer where the caller's mistake is reported
---@return boolean
local function is_global(name, level)
	if type(name) ~= "string" or name == "" then
		error(("a name must be a string, not %s"):format(name == "" and "empty" or type(name)), level + 1)
	end
	local first = name:sub(1, 1)
	if first == "." then
		return false
	elseif first == ":" then
		error(("%s is an address and cannot be a name"):format(name), level + 1)
	elseif tonumber(name) then
		error(("a global name cannot be a number: %s"):format(name), level + 1)
	elseif #name > GLOBAL_NAME_MAX then
		error(("the global name %s is longer than %d bytes"):format(name, GLOBAL_NAME_MAX), level + 1)
	end
	return true
end

---Starts a service of any module, without the launcher: it is not listed, and its start is not waited for.
---@param module string
---@param ... string|number words of its argument
---@return integer? handle nil if the module is missing or refused to start
function skynet.launch(module, ...)
	local words = table.pack(module, ...)
	for i = 1, words.n do
		local kind = type(words[i])
		if kind ~= "string" and kind ~= "number" then
			error(("word %d of a launch must be a string or a number, not %s"):format(i, kind), 2)
		end
	end
	return core.addresscommand("LAUNCH", table.concat(words, " "))
end

---Ends a service at once; what waits in its mailbox is answered with an error.
---@param address integer|string handle, `":hex"` or `".name"`
function skynet.kill(address)
	local handle = handle_of(address)
	if handle then
		skynet.send(".launcher", "lua", "REMOVE", handle, true)
		core.command("KILL", skynet.address(handle))
	elseif type(address) == "string" then
		core.command("KILL", address)
	else
		error(("cannot kill %s: not an address"):format(tostring(address)), 2)
	end
end

---Ends every service, and with them the node; its exit code is 0.
function skynet.abort()
	core.command "ABORT"
end

---Gives this service a name. The first owner of a local name keeps it.
---@param name string `.local`, or a global name of at most 15 bytes
function skynet.register(name)
	if is_global(name, 2) then
		require "skynet.harbor".globalname(name)
	else
		core.command("REG", name)
	end
end

---Gives any service a name.
---@param name string `.local`, or a global name of at most 15 bytes
---@param address integer|string
function skynet.name(name, address)
	local in_cluster = is_global(name, 2)
	local handle = handle_of(address)
	if not handle then
		error(("cannot name %s %s: not an address"):format(tostring(address), name), 2)
	end
	if in_cluster then
		require "skynet.harbor".globalname(name, handle)
	else
		core.command("NAME", name .. " " .. skynet.address(handle))
	end
end

---Like `skynet.start`, for a service that hands messages on: types in `map` are dispatched as the type they map to, and
---their payload is not freed, because the handler passes it to someone else.
---@param map table<integer, integer>
---@param start function
function skynet.forward_type(map, start)
	for from, to in pairs(map) do
		if math.type(from) ~= "integer" or math.type(to) ~= "integer" then
			error(("forward_type maps type to type, not %s to %s"):format(tostring(from), tostring(to)), 2)
		end
	end
	require "skynet.kernel".forward_map(map)
	skynet.start(start)
end

---Like `skynet.start`, with every message passed through `filter` first.
---@param filter fun(kind: integer, message: lightuserdata, size: integer, session: integer, source: integer): ...
---@param start function
function skynet.filter(filter, start)
	if type(filter) ~= "function" then
		error(("a filter must be a function, not %s"):format(type(filter)), 2)
	end
	require "skynet.kernel".filter(filter)
	skynet.start(start)
end

---Makes a cluster-wide unique service the exit monitor of this node: for each service that ends it receives an empty
---message of type PTYPE_CLIENT whose source is the dead handle. Yields.
---@param service string
---@param query boolean? do not start it, wait for it
---@return integer handle
function skynet.monitor(service, query)
	local find = query and skynet.queryservice or skynet.uniqueservice
	local monitor = find(true, service)
	if not monitor then
		error(("Monitor launch failed: %s"):format(service), 2)
	end
	core.command("MONITOR", skynet.address(monitor))
	return monitor
end

return skynet
