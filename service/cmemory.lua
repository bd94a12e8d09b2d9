--- Prints what each service has allocated, then ends.
local skynet = require "skynet"
local memory = require "skynet.memory"

skynet.start(function()
	memory.dumpinfo()
	local by_handle = memory.info()
	local handles = {}
	for handle in pairs(by_handle) do
		table.insert(handles, handle)
	end
	table.sort(handles)
	for _, handle in ipairs(handles) do
		print((":%08x %gK"):format(handle, by_handle[handle] / 1024))
	end
	print("Total memory:", memory.total())
	print("Total block:", memory.block())
	skynet.exit()
end)
