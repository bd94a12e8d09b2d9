---@meta skynet.netpack

--- Packages behind their length in two bytes, the high one first. A package is a (pointer, size) pair that belongs to
--- whoever has it: it is handed on, or freed by `tostring`.
---@class skynet.netpack
local netpack = {}

--- Begun packages, and those that wait for `pop`; of all connections of a gate.
---@class skynet.netpack.queue

---Reads a socket message: the queue, which is made when it is first needed, then what happened. Only the queue when no
---package is complete.
--- - "data", fd, pointer, size
--- - "more": there are packages in the queue
--- - "open", fd, address
--- - "close", fd
--- - "error", fd, reason
--- - "warning", fd, kb
--- - "init", fd, address, port
---@param queue? skynet.netpack.queue
---@param message lightuserdata
---@param size integer
---@return skynet.netpack.queue? queue
---@return string? event
---@return any ...
function netpack.filter(queue, message, size) end

---The next complete package; nothing when there is none.
---@param queue? skynet.netpack.queue
---@return integer? fd
---@return lightuserdata pointer
---@return integer size
function netpack.pop(queue) end

---A new block with the length before the bytes; at most 65535 of them. A block that it is given is left alone.
---@param data string|lightuserdata
---@param size? integer
---@return lightuserdata pointer
---@return integer size
function netpack.pack(data, size) end

---Forgets what is in the queue.
---@param queue? skynet.netpack.queue
function netpack.clear(queue) end

---The bytes of a block, which is freed.
---@param pointer lightuserdata
---@param size integer
---@return string
function netpack.tostring(pointer, size) end

return netpack
