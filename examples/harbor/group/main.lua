--- Two workers on each node are a group; each node gives work to all of them.
local skynet = require "skynet"
local group = require "skynet.group"

---@param how "round"|"random"
local function square(number, how)
	local worker = group.pick("workers", how)
	if not worker then
		return skynet.error "nobody works"
	end
	-- An error means that the worker, or its node, went away: the next one is asked.
	local ok, result, node = pcall(skynet.call, worker, "lua", number)
	if not ok then
		return square(number, how)
	end
	skynet.error(("%d * %d = %d, says %s on node %d"):format(number, number, result, skynet.address(worker), node))
end

skynet.start(function()
	skynet.newservice "group/worker"
	skynet.newservice "group/worker"
	skynet.fork(function()
		local number = 0
		while true do
			number = number + 1
			skynet.error(("%d workers"):format(#group.members "workers"))
			square(number, "round")
			square(number, "random")
			skynet.sleep(50)
		end
	end)
end)
