---@meta skynet.core

--- What the Lua library asks of the node. Services use `skynet`; this is below it.
---@class skynet.core
local core = {}

---@param address skynet.address
---@param kind integer message type
---@param session integer? nil: a new one
---@param message string|lightuserdata? a pointer passes into the hands of the receiver
---@param size? integer
---@return integer|false|nil session false: too large; nothing: no such address
function core.send(address, kind, session, message, size) end

---Like send, in the name of another service.
---@param address skynet.address
---@param source skynet.address
---@param kind integer
---@param session integer?
---@param message string|lightuserdata?
---@param size? integer
---@return integer|false|nil session
function core.redirect(address, source, kind, session, message, size) end

---@return integer session
function core.genid() end

---@param name string
---@param parameter? string
---@return string? result
function core.command(name, parameter) end

---@param name string
---@param parameter? string|number cut to 32 bits
---@return number? result
function core.intcommand(name, parameter) end

---@param name string
---@param parameter? string
---@return integer? handle
function core.addresscommand(name, parameter) end

---Writes a log line.
---@param ... any
function core.error(...) end

---@param handle integer
---@return integer harbor
---@return boolean remote
function core.harbor(handle) end

---Puts a function of the service's own in the place of the dispatcher.
---@param f fun(kind: integer, message: lightuserdata, size: integer, session: integer, source: integer)
---@param forward? boolean do not free the messages
function core.callback(f, forward) end

---@param tag string
---@param text string
---@param thread? thread
---@param level? integer
function core.trace(tag, text, thread, level) end

---@param message lightuserdata?
---@param size? integer
---@return string? copy
function core.tostring(message, size) end

---@param ... any
---@return lightuserdata message
---@return integer size
function core.pack(...) end

---@param message lightuserdata|string
---@param size? integer
---@return any ...
function core.unpack(message, size) end

---@param ... any
---@return string
function core.packstring(...) end

---Frees a payload.
---@param message lightuserdata|string
---@param size? integer
function core.trash(message, size) end

---@return integer centiseconds since the node started
function core.now() end

---@return integer nanoseconds, only forward
function core.hpc() end

return core
