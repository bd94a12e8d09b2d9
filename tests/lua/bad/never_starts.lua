--- Never calls skynet.start.
local skynet = require "skynet"
skynet.error "the main chunk is over"
