---@meta md5.core

--- MD5, and a cipher made of it; `require "md5"` is the same.
---@class md5.core
local md5 = {}

---@param text string
---@return string hash sixteen bytes
function md5.sum(text) end

---@param text string
---@return string digits
function md5.sumhexa(text) end

---@param text string
---@param key string
---@return string digits
function md5.hmacmd5(text, key) end

---@param a string
---@param b string of the same length
---@return string
function md5.exor(a, b) end

---@param message string
---@param key string up to 256 bytes
---@param seed? string up to 16 bytes; random if absent
---@return string cipher
function md5.crypt(message, key, seed) end

---@param cipher string
---@param key string
---@return string message
function md5.decrypt(cipher, key) end

return md5
