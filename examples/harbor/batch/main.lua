--- Many values from another node: one after the other, all at once, and in one request.
local skynet = require "skynet"
require "skynet.manager"		-- for skynet.register

local COUNT = 1000

local function score(player)
	return player * 7 % 101
end

local command = {}

function command.get(player)
	return score(player)
end

function command.get_many(players)
	local scores = {}
	for i, player in ipairs(players) do
		scores[i] = score(player)
	end
	return scores
end

local ways = {}

function ways.one_after_the_other(players)
	local sum = 0
	for _, player in ipairs(players) do
		sum = sum + skynet.call("scores", "lua", "get", player)
	end
	return sum
end

function ways.all_at_once(players)
	local requests = skynet.request()
	for _, player in ipairs(players) do
		requests:add { "scores", "lua", "get", player }
	end
	local sum = 0
	-- In the order in which they come; one that failed has none.
	for _, answer in requests:select() do
		sum = sum + assert(answer, "a request failed")[1]
	end
	return sum
end

function ways.in_one_request(players)
	local sum = 0
	for _, each in ipairs(skynet.call("scores", "lua", "get_many", players)) do
		sum = sum + each
	end
	return sum
end

skynet.start(function()
	if skynet.harbor(skynet.self()) == 1 then
		skynet.dispatch("lua", function(_, _, name, ...)
			skynet.retpack(command[name](...))
		end)
		skynet.register "scores"
		return
	end
	local players = {}
	for i = 1, COUNT do
		players[i] = i
	end
	skynet.fork(function()
		while true do
			for _, way in ipairs { "one_after_the_other", "all_at_once", "in_one_request" } do
				local start = skynet.hpc()
				local ok, sum = pcall(ways[way], players)
				local ms = (skynet.hpc() - start) / 1000000
				skynet.error(ok and ("%s: sum %d, %.2f ms"):format(way, sum, ms) or way .. ": node 1 is gone")
			end
			skynet.sleep(100)
		end
	end)
end)
