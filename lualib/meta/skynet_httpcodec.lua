---@meta skynet.httpcodec

--- The native parts of HTTP and WebSocket. Services use `http.httpd`, `http.httpc` and `http.websocket` instead.
---@class skynet.httpcodec
local httpcodec = {}

---Reads the head of a request: all before its empty line. Field names come in lower case, and one that is there more
---than once with an array of its values.
---@param head string
---@return string? method nothing at all comes if the request line is malformed
---@return string url
---@return string version digits and dots
---@return table<string, string | string[]>? fields nil if they are malformed
function httpcodec.request(head) end

---Reads the head of a response.
---@param head string
---@param into? table gets the fields
---@return string? code three digits; nothing at all comes if the status line is malformed
---@return string reason
---@return table<string, string | string[]>? fields nil if they are malformed
function httpcodec.response(head, into) end

---Reads header fields.
---@param text string lines, with CR LF between them
---@param into? table gets the fields
---@return table<string, string | string[]>? fields nil if they are malformed
function httpcodec.fields(text, into) end

---Reads on in a body that comes in chunks.
---@param data string what has come and was not used yet
---@param state integer 0 for the first call, then what the last one returned
---@return integer? state -2 behind the last chunk; nil if the bytes are malformed
---@return integer | string used so many bytes of the data; or what is wrong
---@return string? body
function httpcodec.chunks(data, state) end

---Reads the WebSocket frame that begins at a place in a buffer.
---@param buffer string
---@param at integer the number of its first byte, from 1
---@param limit integer of the payload's length
---@return integer | false | nil op false if more bytes have to come, nil if it is malformed
---@return boolean | integer | string fin whether its message ends with it; or how many bytes have to come at least; or what is wrong
---@return integer? next where the next frame begins
---@return string? payload without its mask
function httpcodec.frame(buffer, at, limit) end

---Makes a WebSocket frame.
---@param op integer
---@param payload string
---@param mask? integer of 32 bits
---@param more? boolean its message goes on
---@return string
function httpcodec.encode(op, payload, mask, more) end

---@param key string of a WebSocket client
---@return string? answer nothing if the key is not 16 bytes in base64
function httpcodec.accept(key) end

---@return string key a new one for a WebSocket client
function httpcodec.key() end

---@return integer mask a new one that nobody foretells
function httpcodec.mask() end

return httpcodec
