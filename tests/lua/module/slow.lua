--- Waits until it is woken.
local skynet = require "skynet"
slow_loads = (slow_loads or 0) + 1
skynet.wait "slow module"
return {}
