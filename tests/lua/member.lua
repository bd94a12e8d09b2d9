--- Boots a member of a cluster without what needs the others: the launcher, cslave and eval.
local skynet = require "skynet"
require "skynet.manager"

skynet.start(function()
	skynet.name(".launcher", assert(skynet.launch("snlua", "launcher")))
	local ok, slave = pcall(skynet.newservice, "cslave")
	if not ok then
		skynet.error("cslave did not start:", slave)
		return skynet.abort()
	end
	skynet.name(".cslave", slave)
	skynet.newservice "eval"
	skynet.exit()
end)
