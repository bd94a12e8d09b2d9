--- Node 1 has the profiles of players; node 2 reads them through a cache.
local skynet = require "skynet"
local harbor = require "skynet.harbor"
require "skynet.manager"		-- for skynet.register

local new_cache = dofile "examples/harbor/cache/cache.lua"

skynet.start(function()
	if skynet.harbor(skynet.self()) == 1 then
		local asked = 0
		skynet.dispatch("lua", function(_, _, player)
			asked = asked + 1
			skynet.retpack { name = player, level = asked }
		end)
		skynet.register "profiles"
		return
	end
	-- Good for two seconds.
	local profiles = new_cache(200, function(player)
		-- A call by name would wait for somebody to take the name. Half a second must do.
		local handle = harbor.queryname("profiles", 50) or error("nobody has the profiles", 0)
		return skynet.call(handle, "lua", player)
	end)
	skynet.fork(function()
		while true do
			local ok, profile, how = pcall(profiles.get, profiles, "alice")
			if ok then
				skynet.error(("%s has level %d (%s)"):format(profile.name, profile.level, how))
			else
				skynet.error "nothing is known of alice"
			end
			skynet.sleep(50)
		end
	end)
end)
