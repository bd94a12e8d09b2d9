--- A login server with the keys of the test vector: challenge "abcdefgh", server key "87654321". A token is
--- base64(user)@base64(server):base64(pass). Words of the launch are those of the config of the test.
local login = require "snax.loginserver"
local skynet = require "skynet"
local crypt = require "skynet.crypt"

local keys = { "abcdefgh", "87654321" }
local turn = 0
if skynet.getenv "fixed_keys" == "true" then
	function crypt.randomkey()
		turn = turn % 2 + 1
		return keys[turn]
	end
end

local waiting

login {
	host = "127.0.0.1",
	port = tonumber(skynet.getenv "login_port"),
	instance = tonumber(skynet.getenv "login_instance"),
	multilogin = skynet.getenv "multilogin" == "true",
	name = "login_master",

	auth_handler = function(token)
		local user, server, password = token:match "([^@]+)@([^:]+):(.+)"
		user, server, password = crypt.base64decode(user), crypt.base64decode(server), crypt.base64decode(password)
		assert(password == "pw", "invalid password")
		skynet.error(("auth: %s by %s"):format(user, skynet.address(skynet.self())))
		return server, user
	end,

	login_handler = function(server, uid, secret)
		skynet.error(("login: %s %s %s"):format(server, uid, crypt.hexencode(secret)))
		assert(server ~= "forbidden", "nobody may log in there")
		if server == "slow" then
			waiting = {}
			skynet.wait(waiting)
		end
		if server == "none" then
			return nil
		end
		return 17
	end,

	command_handler = function(command, ...)
		if command == "release" then
			skynet.wakeup(waiting)
		elseif command == "fail" then
			error "the handler fails as asked"
		end
		return command, ...
	end,
}
