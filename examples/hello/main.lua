--- Starts the other services, talks to them, ends the node.
local skynet = require "skynet"
require "skynet.manager"	-- for skynet.abort

local TICKS = 4
local done = {}				-- a token to wait on
local ticks = 0

skynet.start(function()
	skynet.error "hello: the node is up"

	-- Messages that come to this service: the clock's ticks.
	skynet.dispatch("lua", function(_, source, what, n)
		skynet.error(("hello: %s %d from %s"):format(what, n, skynet.address(source)))
		ticks = n
		if ticks == TICKS then
			skynet.wakeup(done)
		end
	end)

	-- A service is started by the name of its file; this returns when its start function has.
	skynet.newservice "counter"
	local purse = skynet.newservice "purse"
	skynet.newservice("clock", skynet.self(), 15, TICKS)

	-- A call waits for the answer; a send does not. Both reach a service by handle or by name.
	skynet.send(".counter", "lua", "add", 1)
	skynet.error("hello: the counter stands at", skynet.call(".counter", "lua", "add", 41))

	-- An error in the other service ends the call, not this one.
	local ok, reason = pcall(skynet.call, ".counter", "lua", "divide")
	skynet.error("hello: a wrong command:", ok, reason)

	-- Three coroutines of this service, at the same time.
	for buyer = 1, 3 do
		skynet.fork(function()
			local paid, left = skynet.call(purse, "lua", 4)
			skynet.error(("hello: buyer %d %s, %d coins left"):format(buyer, paid and "paid" or "must go", left))
		end)
	end

	if ticks < TICKS then
		skynet.wait(done)
	end
	skynet.error "hello: all is said, the node ends now"
	skynet.abort()
end)
