--- `DATACENTER`: a tree of values for the whole cluster. Its face is `skynet.datacenter`.
local skynet = require "skynet"

local root = {}

-- Those who wait for a value: a second tree, in which a node is either a branch (`children`) or a place where callers wait
-- (`waiters`). It holds nothing that nobody waits for.
local waiting = { children = {} }

---@return string
local function shown(keys, count)
	local words = {}
	for i = 1, count do
		words[i] = tostring(keys[i])
	end
	return table.concat(words, ".")
end

---The value at the path, which ends at its first nil.
local function find(keys)
	local value = root
	for i = 1, keys.n do
		if keys[i] == nil then
			break
		elseif value == nil then
			return nil
		elseif type(value) ~= "table" then
			error(("datacenter: %s is not a table"):format(shown(keys, i - 1)), 0)
		end
		value = value[keys[i]]
	end
	return value
end

---Sets the leaf at the path, and makes the tables that lead to it.
---@return any old
local function put(keys, value)
	local at = root
	for i = 1, keys.n do
		local key = keys[i]
		if key == nil or key ~= key then
			error(("datacenter: key %d of the path is %s"):format(i, key == nil and "nil" or "not a number"), 0)
		elseif i == keys.n then
			local old = at[key]
			at[key] = value
			return old
		end
		local below = at[key]
		if below == nil then
			below = {}
			at[key] = below
		elseif type(below) ~= "table" then
			error(("datacenter: %s is not a table"):format(shown(keys, i)), 0)
		end
		at = below
	end
end

---The place of those who wait for exactly this path.
---@return function[] waiters
local function place(keys)
	local node = waiting
	for i = 1, keys.n do
		assert(node.children, "datacenter: somebody waits for a shorter path")
		local below = node.children[keys[i]]
		if not below then
			below = i == keys.n and { waiters = {} } or { children = {} }
			node.children[keys[i]] = below
		end
		node = below
	end
	assert(node.waiters, "datacenter: somebody waits for a longer path")
	return node.waiters
end

---Takes out of the waiting tree who waits on this path, and the branches that are empty then.
---@return function[]? waiters
---@return boolean? exact false if they wait for a shorter path, which has become a table now
local function take(keys)
	local node, trail = waiting, {}
	for i = 1, keys.n do
		trail[i] = node
		node = node.children[keys[i]]
		if not node then
			return nil
		elseif node.waiters then
			for at = i, 1, -1 do
				trail[at].children[keys[at]] = nil
				if next(trail[at].children) ~= nil then
					break
				end
			end
			return node.waiters, i == keys.n
		end
	end
end

local command = {}

function command.QUERY(...)
	skynet.retpack(find(table.pack(...)))
end

function command.UPDATE(...)
	local keys = table.pack(...)
	local value = keys[keys.n]
	if keys.n < 2 then
		error("datacenter: UPDATE needs a key and a value", 0)
	end
	keys.n = keys.n - 1
	local old = put(keys, value)
	if old == nil and value ~= nil then
		local waiters, exact = take(keys)
		for _, response in ipairs(waiters or {}) do
			response(exact, value)
		end
	end
	skynet.retpack(old)
end

function command.WAIT(...)
	local keys = table.pack(...)
	for i = 1, keys.n do
		if keys[i] == nil or keys[i] ~= keys[i] then
			error(("datacenter: key %d of the path is %s"):format(i, keys[i] == nil and "nil" or "not a number"), 0)
		end
	end
	local value = find(keys)
	if value ~= nil then
		skynet.retpack(value)
		return
	end
	-- In this order: a refusal must reach the caller, so the session is taken after it.
	local waiters = place(keys)
	table.insert(waiters, skynet.response())
end

skynet.start(function()
	skynet.dispatch("lua", function(_, _, name, ...)
		local run = command[name]
		if not run then
			error(("datacenter: unknown command %s"):format(tostring(name)), 0)
		end
		run(...)
	end)
end)
