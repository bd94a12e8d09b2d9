---@meta skynet.debugchannel

--- Lines of text from one service to another, and hooks that stop a coroutine: what a debugger is made of.
---@class skynet.debugchannel
local debugchannel = {}

---@class skynet.debugchannel.channel
local channel = {}

---Waits for a line. One coroutine reads at a time. Yields.
---@param timeout? integer centiseconds
---@return string? line nothing: the time is over, or the other side is gone
function channel:read(timeout) end

---Leaves a line for whoever reads. Raises where 1024 lines, or 1 MiB of them, wait already.
---@param text string
function channel:write(text) end

---Makes a channel.
---@return skynet.debugchannel.channel channel
---@return lightuserdata pointer what the other side connects with, which may be another service of the process
function debugchannel.create() end

---The other side of a channel; once for each.
---@param pointer lightuserdata
---@return skynet.debugchannel.channel channel
function debugchannel.connect(pointer) end

---Like `debug.sethook`, with a function that may stop the coroutine: when it returns true at a line or at a count, the
---coroutine yields there. One of user code yields to whoever resumed it. One that handles a message stands still, and its
---service with it, until `skynet.kernel.go_on`. Without a function it takes the hook away.
---@param thread thread the running one, if it is left out
---@param hook? fun(event: string, line: integer?, may_yield: boolean): boolean?
---@param mask? string letters of `crl`
---@param count? integer
---@overload fun(hook?: function, mask?: string, count?: integer)
function debugchannel.sethook(thread, hook, mask, count) end

return debugchannel
