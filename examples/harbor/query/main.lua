--- A service is asked that may be slow, or not there at all: with a time limit, and again.
local skynet = require "skynet"
local harbor = require "skynet.harbor"
require "skynet.manager"		-- for skynet.register

-- Centiseconds.
local LIMIT, PAUSE = 30, 20
local TRIES = 4

---Calls the owner of a global name, and gives up in time: nothing here takes longer than TRIES * (2 * LIMIT + PAUSE).
---@param name string
---@param ... any the request
---@return boolean ok
---@return any ... the results, or why there are none
local function query(name, ...)
	local why
	for try = 1, TRIES do
		-- Nobody may have the name, or no longer.
		local handle = harbor.queryname(name, LIMIT)
		if not handle then
			why = "nobody is called " .. name
		else
			why = "no answer in time"
			for _, answer in skynet.request({ handle, "lua", ... }):select(LIMIT) do
				if answer then
					return true, table.unpack(answer, 1, answer.n)
				end
				why = "it went away"
			end
		end
		skynet.error(("try %d: %s"):format(try, why))
		skynet.sleep(PAUSE)
	end
	return false, why
end

skynet.start(function()
	if skynet.harbor(skynet.self()) == 1 then
		-- On node 1 somebody answers, but half of the time too late.
		skynet.dispatch("lua", function(_, _, what)
			skynet.sleep(math.random(0, 1) * 2 * LIMIT)
			skynet.retpack("the " .. what .. " of node 1")
		end)
		skynet.register "oracle"
		return
	end
	skynet.fork(function()
		while true do
			skynet.error("query:", query("oracle", "weather"))
			skynet.sleep(50)
		end
	end)
end)
