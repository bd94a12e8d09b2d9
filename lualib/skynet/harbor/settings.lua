--- What the config says about harbor, for the Lua side. Times are in centiseconds; the defaults are those of docs/config.md.
local skynet = require "skynet"

local M = {}

---@param key string
---@param default number seconds
---@param least number
---@return integer centiseconds
local function time(key, default, least)
	local text = skynet.getenv(key)
	local seconds = text and tonumber(text) or not text and default
	if not seconds or seconds ~= seconds or seconds < 0 or seconds > 1e9 then
		error(("config: %s must be a number of seconds, not %q"):format(key, text), 0)
	end
	return math.max(math.ceil(seconds * 100), least)
end

---For so long another node may be silent.
---@return integer
function M.down_after()
	return time("harbor_down_after", 5, 1)
end

---For so long a node that starts looks for the others.
---@return integer
function M.join_timeout()
	return time("harbor_join_timeout", 30, 0)
end

---How often the two ends of a connection to the master show that they live.
---@return integer
function M.ping_interval()
	return math.max(math.min(100, M.down_after() // 3), 1)
end

---@return string? secret
function M.secret()
	local secret = skynet.getenv "harbor_secret"
	if secret == "" then
		error("config: harbor_secret must not be empty", 0)
	end
	return secret
end

---The id of this node.
---@return integer
function M.id()
	local text = skynet.getenv "harbor" or "0"
	local id = math.tointeger(tonumber(text))
	if not id or id < 0 or id > 255 then
		error(("config: harbor must be an integer from 0 to 255, not %q"):format(text), 0)
	end
	return id
end

return M
