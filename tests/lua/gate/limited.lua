--- Makes strings of packages that there is no memory for: (count) -> how often that failed.
local skynet = require "skynet"
local netpack = require "skynet.netpack"

skynet.memlimit(4 << 20)
local package = ("y"):rep(60000)
local kept = {}

local function keep(size)
	kept[#kept + 1] = ("x"):rep(size) .. #kept
end

skynet.start(function()
	skynet.dispatch("lua", function(_, _, count)
		for _, size in ipairs { 20000, 1000 } do
			repeat
			until not pcall(keep, size)
		end
		local failures = 0
		for _ = 1, count do
			local data, size = netpack.pack(package)
			if not pcall(netpack.tostring, data, size) then
				failures = failures + 1
			end
		end
		kept = nil
		skynet.retpack(failures)
	end)
end)
