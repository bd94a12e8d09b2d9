--- Starts a bank, two shoppers, and what an operator needs to look at them.
local skynet = require "skynet"

skynet.start(function()
	skynet.newservice "bank"
	for _, name in ipairs { "ann", "joe" } do
		skynet.newservice("shopper", name)
	end
	skynet.newservice("debug_console", skynet.getenv "console_port")
	-- Launches what is typed here. A daemon has nobody who types.
	if not skynet.getenv "daemon" then
		skynet.newservice "console"
	end
end)
