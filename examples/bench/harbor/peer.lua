--- The other node: starts services for the one that measures, tells what it uses, and ends when it is told to.
local skynet = require "skynet"
require "skynet.manager"

local command = {}

---@return integer
function command.service(name, ...)
	return skynet.newservice(name, ...)
end

function command.kill(handle)
	skynet.kill(handle)
	return true
end

---CPU time of this process, in seconds.
function command.cpu()
	return os.clock()
end

---Is never answered.
function command.hold()
	print "held"
	io.stdout:flush()
	skynet.wait {}
end

function command.stop()
	skynet.timeout(10, skynet.abort)
	return true
end

skynet.start(function()
	skynet.dispatch("lua", function(_, _, name, ...)
		skynet.ret(skynet.pack(command[name](...)))
	end)
	skynet.name("BENCHPEER", skynet.self())
end)
