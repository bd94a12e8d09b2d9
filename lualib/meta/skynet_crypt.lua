---@meta skynet.crypt

--- Hashes, DES, base64 and a key exchange, for the handshakes of login and game servers. Keys and numbers of 64 bits are
--- strings of eight bytes. Also known as `client.crypt`.
---@class skynet.crypt
---@field padding { iso7816_4: integer, pkcs7: integer } how a text is filled up to whole blocks
local crypt = {}

---@return string key eight random bytes whose xor is not zero
function crypt.randomkey() end

---@param text string
---@return string key eight bytes
function crypt.hashkey(text) end

---DES, block by block.
---@param key string eight bytes
---@param text string
---@param padding? integer of `crypt.padding`; iso7816_4 if absent
---@return string cipher
function crypt.desencode(key, text, padding) end

---@param key string eight bytes
---@param cipher string
---@param padding? integer of `crypt.padding`; iso7816_4 if absent
---@return string text raises an error if the cipher text was not made with this key
function crypt.desdecode(key, cipher, padding) end

---@param bytes string
---@return string digits in lower case
function crypt.hexencode(bytes) end

---@param digits string in either case
---@return string bytes
function crypt.hexdecode(digits) end

---@param x string eight bytes
---@param y string eight bytes
---@return string hash eight bytes
function crypt.hmac64(x, y) end

---@param x string eight bytes
---@param y string eight bytes
---@return string hash eight bytes
function crypt.hmac64_md5(x, y) end

---`hmac64` of a text's `hashkey`.
---@param key string eight bytes
---@param text string
---@return string hash eight bytes
function crypt.hmac_hash(key, text) end

---What the holder of a secret tells the other side of a key exchange.
---@param secret string eight bytes, not all zero
---@return string public eight bytes
function crypt.dhexchange(secret) end

---What both sides of a key exchange know in the end.
---@param public string what the other side told
---@param secret string
---@return string shared eight bytes
function crypt.dhsecret(public, secret) end

---@param bytes string
---@return string text
function crypt.base64encode(bytes) end

---What is no letter of base64 is skipped; `=` may be missing at the end.
---@param text string
---@return string bytes
function crypt.base64decode(text) end

---@param text string
---@return string hash twenty bytes
function crypt.sha1(text) end

---@param key string
---@param text string
---@return string hash twenty bytes
function crypt.hmac_sha1(key, text) end

---@param text string
---@param mask string is repeated over the text
---@return string text
function crypt.xor_str(text, mask) end

return crypt
