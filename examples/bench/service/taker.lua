--- Answers with the length of the text it got.
local skynet = require "skynet"

skynet.start(function()
	skynet.dispatch("lua", function(_, _, text)
		skynet.ret(skynet.pack(#text))
	end)
end)
