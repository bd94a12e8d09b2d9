---@meta skynet.harbor.core

--- What the harbor services ask of the engine.
---@class skynet.harbor.core
local core = {}

---@return string digits 16 hex digits that tell this life of the node from every other
function core.incarnation() end

---@return string bytes 16 random bytes
function core.nonce() end

---@param key string
---@param text string
---@return string mac 32 bytes
function core.hmac_sha256(key, text) end

---Compares in a time that does not tell where two strings differ.
---@param a string
---@param b string
---@return boolean
function core.equal(a, b) end

return core
