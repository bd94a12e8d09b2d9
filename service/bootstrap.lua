--- The first service of a node: starts the others in their order, then ends.
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
	local slave
	if harbor_id() == 0 then
		if standalone then
			error "config: harbor is 0, a node without a cluster, so standalone must not be set"
		end
		skynet.setenv("standalone", "true")
		slave = essential("cdummy", skynet.newservice, "cdummy")
	else
		if standalone then
			essential("cmaster", skynet.newservice, "cmaster")
		end
		slave = essential("cslave", skynet.newservice, "cslave")
	end
	skynet.name(".cslave", slave)
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
