--- Groups of services over all nodes of a cluster: who does the same work joins under one name, and who needs the work
--- picks one. A service leaves its groups when it ends, and all of a node leave with the node. Beyond skynet.
---
--- What is read here is kept up to date by `groupd`: only the first look at a group yields.
local skynet = require "skynet"

local M = {}

local groupd
local groups = {}		---@type table<string, {list: integer[], last: integer}> by name: as far as is known here

local function service()
	groupd = groupd or skynet.uniqueservice "groupd"
	return groupd
end

local function check_name(name)
	if type(name) ~= "string" or name == "" then
		error(("the name of a group must be a string that is not empty, not %s"):format(tostring(name)), 3)
	end
end

---Makes a service of this node a member. It may be in any number of groups. Yields; other nodes hear of it a moment later.
---@param name string
---@param handle integer? this service
function M.join(name, handle)
	check_name(name)
	skynet.call(service(), "lua", "JOIN", name, handle or skynet.self())
end

---No longer. Yields.
---@param name string
---@param handle integer? this service
function M.leave(name, handle)
	check_name(name)
	skynet.call(service(), "lua", "LEAVE", name, handle or skynet.self())
end

---Goes on for as long as this service lives.
local function follow(name, group, version)
	while true do
		local ok, new, list = pcall(skynet.call, groupd, "lua", "WATCH", name, version)
		if not ok then
			-- The next look asks anew.
			groups[name] = nil
			return
		end
		version, group.list = new, list
	end
end

local function group_of(name)
	if not groups[name] then
		local version, list = skynet.call(service(), "lua", "MEMBERS", name)
		-- Another coroutine may have been quicker.
		if not groups[name] then
			-- Not all who use a group begin with the same member.
			groups[name] = { list = list, last = math.random(0, 0xffff) }
			skynet.fork(follow, name, groups[name], version)
		end
	end
	return groups[name]
end

---The members on all nodes, in the order of their handles. Yields the first time.
---@param name string
---@return integer[] handles
function M.members(name)
	check_name(name)
	local list = group_of(name).list
	return table.move(list, 1, #list, 1, {})
end

---One of the members. Yields the first time.
---@param name string
---@param how "round"|"random"? one after the other, which is what happens without a word, or by chance
---@return integer? handle nil where there is none
function M.pick(name, how)
	check_name(name)
	local group = group_of(name)
	local count = #group.list
	if count == 0 then
		return nil
	elseif how == "random" then
		return group.list[math.random(count)]
	elseif how ~= nil and how ~= "round" then
		error(('a member is picked by "round" or "random", not %s'):format(tostring(how)), 2)
	end
	group.last = group.last % count + 1
	return group.list[group.last]
end

return M
