--- Groups of services over the nodes of a cluster, for `skynet.group`.
---
--- Each node that uses groups has one of these. It knows the members on its own node and tells its peers, those of the
--- other nodes, of each change. A peer is found by its global name, and what it said is forgotten with its node; so no
--- node is special, and none is missed.
local skynet = require "skynet"
local harbor = require "skynet.harbor"
require "skynet.manager"		-- for skynet.register

-- Centiseconds between two looks for nodes that were not there before.
local SCAN = 100
-- A node that has no such service for so long will greet us when it gets one.
local GREET_WAIT = 500
-- A list of those who wait for a change is looked through for dead ones when it grows beyond this, then at each doubling.
local WATCHERS_MIN = 64

local me = skynet.harbor(skynet.self())
local own = {}			---@type table<string, table<integer, true>> by group: the members on this node
local own_changes = 0
local linked = {}		---@type table<integer, true> services whose end will be told
local peers = {}		---@type table<integer, {handle: integer, groups: table<string, integer[]>}> by node
local versions = {}		---@type table<string, integer>
local watchers = {}		---@type table<string, {limit: integer, [integer]: function}> who waits for a change

local function own_list(name)
	local list = {}
	for handle in pairs(own[name] or {}) do
		table.insert(list, handle)
	end
	return list
end

local function own_lists()
	local lists = {}
	for name in pairs(own) do
		lists[name] = own_list(name)
	end
	return lists
end

local function all(name)
	local list = own_list(name)
	for _, peer in pairs(peers) do
		local theirs = peer.groups[name] or {}
		table.move(theirs, 1, #theirs, #list + 1, list)
	end
	table.sort(list)
	return list
end

---A group has changed here: who waits for that hears of it.
local function changed(name)
	versions[name] = (versions[name] or 0) + 1
	local waiting = watchers[name]
	if not waiting then
		return
	end
	watchers[name] = nil
	local version, list = versions[name], all(name)
	for _, response in ipairs(waiting) do
		response(true, version, list)
	end
end

---The members on this node have changed: everybody hears of it.
local function own_changed(name)
	own_changes = own_changes + 1
	local list = own_list(name)
	if #list == 0 then
		own[name] = nil
	end
	for _, peer in pairs(peers) do
		skynet.send(peer.handle, "lua", "CHANGED", name, list)
	end
	changed(name)
end

local function leave(name, handle)
	if own[name] and own[name][handle] then
		own[name][handle] = nil
		own_changed(name)
	end
end

---Waits for the end of a service, which leaves its groups then.
local function follow(handle)
	-- This call has no answer; it fails when the service ends.
	pcall(skynet.call, handle, "debug", "LINK")
	linked[handle] = nil
	local names = {}
	for name in pairs(own) do
		table.insert(names, name)
	end
	for _, name in ipairs(names) do
		leave(name, handle)
	end
end

-- Other nodes ---------------------------------------------------------------------------------------------------------

---What a peer says of its members, without what cannot be true.
local function checked(id, list)
	local handles = {}
	for _, handle in ipairs(type(list) == "table" and list or {}) do
		if math.type(handle) == "integer" and handle >> 24 == id then
			table.insert(handles, handle)
		end
	end
	return handles
end

---From now on these are the members on a node, and this is who tells of changes; nobody where the node has gone.
local function adopt(id, handle, groups)
	local names = {}
	for name in pairs(peers[id] and peers[id].groups or {}) do
		names[name] = true
	end
	peers[id] = nil
	if handle then
		local checked_groups = {}
		for name, list in pairs(type(groups) == "table" and groups or {}) do
			if type(name) == "string" then
				checked_groups[name], names[name] = checked(id, list), true
			end
		end
		peers[id] = { handle = handle, groups = checked_groups }
	end
	for name in pairs(names) do
		changed(name)
	end
end

local function meet(id)
	local handle = harbor.queryname("groupd" .. id, GREET_WAIT)
	if not handle then
		return
	end
	local told, lists = own_changes, own_lists()
	local ok, groups = pcall(skynet.call, handle, "lua", "GREET", lists)
	if not ok then
		return
	end
	adopt(id, handle, groups)
	if told ~= own_changes then
		-- Something has changed behind what it was told.
		for name in pairs(own) do
			lists[name] = true
		end
		for name in pairs(lists) do
			skynet.send(handle, "lua", "CHANGED", name, own_list(name))
		end
	end
end

---Goes on for as long as this node lives: once round for each life of the other one.
local function keep_in_touch(id)
	while true do
		harbor.connect(id)
		meet(id)
		harbor.link(id)
		adopt(id, nil)
	end
end

local function look_for_nodes()
	local seen = {}
	while true do
		for id in pairs(harbor.nodes()) do
			if not seen[id] then
				seen[id] = true
				skynet.fork(keep_in_touch, id)
			end
		end
		skynet.sleep(SCAN)
	end
end

-- Commands ------------------------------------------------------------------------------------------------------------

local command = {}

---@param name string
---@param handle integer a service of this node
function command.JOIN(_, name, handle)
	if math.type(handle) ~= "integer" or skynet.harbor(handle) ~= me then
		error(("%s is no service of this node"):format(tostring(handle)), 0)
	end
	own[name] = own[name] or {}
	if not own[name][handle] then
		own[name][handle] = true
		own_changed(name)
	end
	if not linked[handle] then
		linked[handle] = true
		skynet.fork(follow, handle)
	end
	skynet.ret()
end

function command.LEAVE(_, name, handle)
	leave(name, handle)
	skynet.ret()
end

function command.MEMBERS(_, name)
	skynet.retpack(versions[name] or 0, all(name))
end

---Answers when the group is not what it was at this version.
function command.WATCH(_, name, version)
	if version ~= (versions[name] or 0) then
		return command.MEMBERS(nil, name)
	end
	local list = watchers[name] or { limit = WATCHERS_MIN }
	if #list >= list.limit then
		local live = {}
		for _, response in ipairs(list) do
			if response "TEST" then
				table.insert(live, response)
			end
		end
		live.limit = math.max(WATCHERS_MIN, 2 * #live)
		list = live
	end
	table.insert(list, skynet.response())
	watchers[name] = list
end

---A peer tells who is there, and hears the same.
function command.GREET(source, groups)
	adopt(source >> 24, source, groups)
	skynet.retpack(own_lists())
end

---A peer tells what a group of its node is now.
function command.CHANGED(source, name, list)
	local id = source >> 24
	local peer = peers[id]
	if peer and peer.handle == source and type(name) == "string" then
		list = checked(id, list)
		peer.groups[name] = #list > 0 and list or nil
		changed(name)
	end
end

skynet.start(function()
	skynet.dispatch("lua", function(_, source, name, ...)
		local run = command[name] or error(("groupd: no command %s"):format(tostring(name)), 0)
		run(source, ...)
	end)
	if me ~= 0 then
		skynet.register("groupd" .. me)
		skynet.fork(look_for_nodes)
	end
end)
