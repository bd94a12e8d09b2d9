--- Passes every message through a filter.
local skynet = require "skynet"
require "skynet.manager"

skynet.filter(function(kind, msg, sz, session, source)
	if kind == skynet.PTYPE_LUA and skynet.unpack(msg, sz) == "fail in filter" then
		skynet.redirect(source, skynet.self(), "error", session, "")
		error "the filter refuses"
	end
	return kind, msg, sz, session, source
end, function()
	skynet.dispatch("lua", function(_, _, ...)
		skynet.retpack("filtered", ...)
	end)
end)
