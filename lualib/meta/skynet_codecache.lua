---@meta skynet.codecache

--- Compiled chunks, kept for the whole process by file name; a changed file is not seen until they are cleared.
---@class skynet.codecache
local codecache = {}

---Forgets all chunks; functions that exist stay valid.
function codecache.clear() end

---How this VM uses the cache: "ON" reads and fills, "EXIST" reads only, "OFF" goes past it. Without argument: which it is.
---@param mode? "ON"|"EXIST"|"OFF"
---@return "ON"|"EXIST"|"OFF"|nil
function codecache.mode(mode) end

---Lua's loadfile, through the cache.
---@param filename? string
---@param mode? string
---@param env? table
---@return function? chunk
---@return string? error
function codecache.loadfile(filename, mode, env) end

return codecache
