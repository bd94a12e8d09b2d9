--- Keeps accounts. Known as `.bank`; commands: pay(name, coins) -> balance, balance(name) -> coins.
local skynet = require "skynet"
require "skynet.manager"	-- for skynet.register

local accounts = {}
local command = {}

function command.pay(name, coins)
	local before = accounts[name] or 100
	local after = before - coins
	if after < 0 then
		-- The bank is a patient one.
		after = 100
	end
	accounts[name] = after
	return after
end

function command.balance(name)
	return accounts[name] or 0
end

skynet.start(function()
	-- What the console's `info` shows.
	skynet.info_func(function()
		return accounts
	end)
	skynet.dispatch("lua", function(_, _, name, ...)
		local run = command[name] or error(("bank: no command %s"):format(tostring(name)))
		skynet.retpack(run(...))
	end)
	skynet.register ".bank"
end)
