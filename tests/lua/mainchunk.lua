--- Runs its words as code in the main chunk, then starts.
local skynet = require "skynet"

assert(load(table.concat({ ... }, " "), "=mainchunk", "t", setmetatable({ skynet = skynet }, { __index = _G })))()
skynet.start(function() end)
