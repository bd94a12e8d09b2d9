--- A member of the cluster: greets the other one, by its global name and directly, as often as it comes.
local skynet = require "skynet"
local harbor = require "skynet.harbor"
require "skynet.manager"		-- for skynet.register

local MEMBERS = { 1, 2 }
local me = skynet.harbor(skynet.self())

local command = {}

function command.greet(from)
	skynet.error(("greeted by %s"):format(from))
	return ("hello %s, here is node%d"):format(from, me)
end

---@param address string|integer a global name or a handle
local function greet(address)
	-- An error means that the other node went away before it answered.
	local ok, answer = pcall(skynet.call, address, "lua", "greet", "node" .. me)
	skynet.error(ok and answer or ("no answer from %s"):format(address))
end

---Goes on for as long as this node lives: for each life of the other one, once round.
---@param id integer
local function keep_in_touch(id)
	local name = "node" .. id
	while true do
		harbor.connect(id)
		skynet.error(("%s has come"):format(name))
		greet(name)
		local handle = harbor.queryname(name, 500)
		if handle then
			greet(handle)
		end
		harbor.link(id)
		skynet.error(("%s has gone"):format(name))
	end
end

skynet.start(function()
	skynet.dispatch("lua", function(_, _, name, ...)
		local run = command[name] or error(("node: no command %s"):format(tostring(name)))
		skynet.retpack(run(...))
	end)
	skynet.register("node" .. me)
	for _, id in ipairs(MEMBERS) do
		if id ~= me then
			skynet.fork(keep_in_touch, id)
		end
	end
end)
