--- base64 there and back, MD5 and DES, as login servers and web interfaces use them.
local crypt = require "skynet.crypt"
local md5 = require "md5"
local measure = require "measure"

local function rate(count, f, ...)
	local a, b = ...
	return count / measure.seconds(function()
		for _ = 1, count do
			f(a, b)
		end
	end)
end

return function()
	local bytes = {}
	for i = 1, 1024 do
		bytes[i] = string.char(i * 7 % 256)
	end
	local text = table.concat(bytes)
	local code = crypt.base64encode(text)
	local key, small = "skynetrs", text:sub(1, 64)
	return function()
		return {
			{ "crypt_base64_encode_1k", rate(500000, crypt.base64encode, text), "texts/s" },
			{ "crypt_base64_decode_1k", rate(500000, crypt.base64decode, code), "texts/s" },
			{ "crypt_md5_hex_1k", rate(200000, md5.sumhexa, text), "texts/s" },
			{ "crypt_des_encode_64", rate(500000, crypt.desencode, key, small), "texts/s" },
		}
	end
end
