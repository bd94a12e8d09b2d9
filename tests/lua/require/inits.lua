--- Notes in what order its init functions run; the first word makes one fail, or a module block.
local skynet = require "skynet"

local how = ...

order = { "main chunk" }

package.preload["require.module"] = function()
	table.insert(order, "module chunk")
	skynet.init(function()
		skynet.yield()
		table.insert(order, "module init")
	end)
	if how == "block" then
		skynet.yield()
	end
	return true
end
require "require.module"

skynet.init(function()
	if how == "fail" then
		error "the init function fails as asked"
	end
	table.insert(order, "main init")
	require "require.late"
	table.insert(order, "after it")
end)

skynet.start(function()
	table.insert(order, "start")
	skynet.dispatch("lua", function()
		skynet.retpack(table.unpack(order))
	end)
end)
