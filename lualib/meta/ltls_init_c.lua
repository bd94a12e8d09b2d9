---@meta ltls.init.c

--- What the node does once for TLS; see service/bootstrap.lua.
---@class ltls.init.c
local init = {}

---Reads whom the system trusts.
function init.constructor() end

---Does nothing.
function init.destructor() end

return init
