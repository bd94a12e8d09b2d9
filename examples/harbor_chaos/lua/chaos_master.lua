--- The master of the cluster under test has nothing to do but to be one.
local skynet = require "skynet"

skynet.start(function()
end)
