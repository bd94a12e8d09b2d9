---@meta ltls.c

--- TLS for who has the socket: it takes what came from the peer and gives what is to be sent. `http.tlshelper` is what
--- most code wants. The config key `enablessl` must be `true`.
---@class ltls.c
local ltls = {}

--- What connections have in common; may be used for any number of them, of both kinds.
---@class ltls.context
local context = {}

---The certificate (with those that lead to its authority) and the key of this side, from PEM files.
---@param certfile string
---@param keyfile string
function context:set_cert(certfile, keyfile) end

---Which suites TLS 1.2 may use; those of TLS 1.3 stay, unless the list names some of them.
---@param list string names of OpenSSL or of the standard, with colons between
function context:set_ciphers(list) end

---Trusts the authorities of a PEM file too. Not in C skynet.
---@param file string
function context:set_ca(file) end

---Whether clients ask who the server is; they do unless this is turned off. Not in C skynet.
---@param flag boolean
function context:set_verify(flag) end

---The protocols that are spoken inside, best first. Not in C skynet.
---@param names string[]
function context:set_alpn(names) end

--- One connection. To be closed when it is over: its buffers are not in the memory that Lua's collector counts.
---@class ltls.tls
local tls = {}

---One step of the handshake. After an error, `tls:write()` is what the peer should still be sent.
---@param data? string what came from the peer
---@return string? data to be sent
function tls:handshake(data) end

---@return boolean
function tls:finished() end

---@param data? string what came from the peer
---@return string text what it said; empty if there is more to come first
function tls:read(data) end

---@param text? string
---@return string data to be sent; without a text, what was waiting
function tls:write(text) end

---The host name to ask for, and to find in the server's certificate. Before the handshake.
---@param name string
function tls:set_ext_host_name(name) end

---Also done by `local tls <close> = ...`.
---@return string? data the goodbye to the peer, if there is one to be sent
function tls:close() end

---Whether the peer has said goodbye; if not, what was read may be cut off. Not in C skynet.
---@return boolean
function tls:peer_closed() end

---The protocol that both sides agreed on. Not in C skynet.
---@return string?
function tls:alpn() end

---The host name that the client asked for. Not in C skynet.
---@return string?
function tls:server_name() end

---@return ltls.context
function ltls.newctx() end

---@param method "client" | "server"
---@param ctx ltls.context
---@param hostname? string of the server, for a client: a name or an address, without a port
---@return ltls.tls
function ltls.newtls(method, ctx, hostname) end

return ltls
