---@meta skynet.memory

--- What the process and its services have allocated.
---@class skynet.memory
local memory = {}

---@return integer bytes of the process
function memory.total() end

---@return integer blocks of the process
function memory.block() end

---@return integer bytes of this service
function memory.current() end

---@return table<integer, integer> bytes by handle
function memory.info() end

---Logs the allocator's statistics.
---@param options? string
function memory.dumpinfo(options) end

---Logs what each service has allocated.
function memory.dump() end

---@return table<string, integer> the allocator's `stats.*`
function memory.jestat() end

---@param name string
---@return integer
function memory.mallctl(name) end

---Writes a heap profile.
function memory.dumpheap() end

---@param active? boolean
---@return boolean
function memory.profactive(active) end

return memory
