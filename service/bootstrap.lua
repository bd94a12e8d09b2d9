--- The first service of a node: starts the others in their order, then ends.
---
--- A node is alone (`harbor = 0`), the master of a cluster and nothing else (`harbor = 0` and `standalone`), a member of a
--- cluster (`harbor` from 1), or a member and the master (`standalone` too).
local skynet = require "skynet"
local service = require "skynet.service"
require "skynet.manager"

---What the node cannot live without: a failure is logged and ends the node.
---@param what string
---@param start fun(...): integer?
---@return integer handle does not return without one
local function essential(what, start, ...)
	local ok, handle = pcall(start, ...)
	if ok and handle then
		return handle
	end
	skynet.error(("bootstrap: %s did not start%s; the node ends"):format(what, ok and "" or ": " .. tostring(handle)))
	skynet.abort()
	skynet.exit()
end

---@return integer
local function harbor_id()
	local text = skynet.getenv "harbor"
	if not text then
		return 0
	end
	return math.tointeger(tonumber(text)) or error(("config: harbor must be an integer from 0 to 255, not %q"):format(text))
end

---Joins the cluster, or puts a stand-in where a single node would look for one.
local function start_harbor()
	local standalone = skynet.getenv "standalone"
	local is_member = harbor_id() ~= 0
	if standalone then
		if not is_member and not standalone:match "^.+:%d+$" then
			error(("config: standalone must be host:port, where the master listens, not %q"):format(standalone))
		end
		skynet.name(".cmaster", essential("cmaster", skynet.newservice, "cmaster"))
	end
	local name = is_member and "cslave" or "cdummy"
	local slave = essential(name, skynet.newservice, name)
	skynet.name(".cslave", slave)
	if standalone then
		return
	elseif not is_member then
		skynet.setenv("standalone", "true")
	elseif skynet.call(slave, "lua", "HOST") then
		-- The master is no member, and has what there is one of in a cluster live here.
		skynet.error "bootstrap: DATACENTER and SERVICE of the cluster live on this node"
		skynet.setenv("standalone", "true")
	end
end

skynet.start(function()
	local launcher = essential("launcher", skynet.launch, "snlua", "launcher")
	skynet.name(".launcher", launcher)

	start_harbor()
	if skynet.getenv "standalone" then
		skynet.name("DATACENTER", essential("datacenterd", skynet.newservice, "datacenterd"))
	end
	essential("service_mgr", skynet.newservice, "service_mgr")

	if skynet.getenv "enablessl" == "true" then
		-- Reads whom the system trusts, once for the process, so that no service waits for it later. Nothing has to be
		-- kept alive for that; the service is a part of the start that is known from outside.
		essential("ltls_holder", service.new, "ltls_holder", function()
			require "ltls.init.c".constructor()
		end)
	end

	-- A failure here has been logged by the service itself; the node stays, so that its console can be reached.
	pcall(skynet.newservice, skynet.getenv "start" or "main")
	skynet.exit()
end)
