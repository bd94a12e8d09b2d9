--- Money that must not be spent twice, although each payment takes a while.
local skynet = require "skynet"
local queue = require "skynet.queue"

local coins = 10
local exclusive = queue()

local function pay(price)
	if coins < price then
		return false, coins
	end
	-- While this handler sleeps, others run. Without the queue they would all find the same ten coins.
	skynet.sleep(5)
	coins = coins - price
	return true, coins
end

skynet.start(function()
	skynet.dispatch("lua", function(_, _, price)
		skynet.retpack(exclusive(pay, price))
	end)
end)
