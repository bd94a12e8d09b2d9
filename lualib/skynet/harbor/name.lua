--- What may be a global name, and what may be its owner.
local M = {}

-- A name crosses the network in a field of 16 bytes.
local LEN_MAX = 15

---Why something cannot be a global name.
---@param name any
---@return string? reason nil if it can
function M.refusal(name)
	if type(name) ~= "string" then
		return ("a global name must be a string, not %s"):format(type(name))
	elseif name == "" then
		return "a global name must not be empty"
	elseif name:byte() == 46 then	-- "."
		return ("%s is a local name"):format(name)
	elseif name:byte() == 58 then	-- ":"
		return ("%s is an address and cannot be a name"):format(name)
	elseif #name > LEN_MAX then
		return ("the global name %s is longer than %d bytes"):format(name:sub(1, 64), LEN_MAX)
	elseif tonumber(name) then
		return ("a global name cannot be a number: %s"):format(name)
	elseif name:find("\0", 1, true) then
		return "a global name must not have a byte 0 in it"
	end
end

---@param handle any
---@return boolean
function M.is_handle(handle)
	return math.type(handle) == "integer" and handle > 0 and handle <= 0xffffffff
end

---The node that a handle belongs to.
---@param handle integer
---@return integer id
function M.node(handle)
	return handle >> 24
end

return M
