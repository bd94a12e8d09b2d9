-- What the two nodes of the benchmarks over harbor have in common.
thread = 2
bootstrap = "snlua bootstrap"
master = "127.0.0.1:2713"
luaservice = "./examples/bench/harbor/?.lua;./examples/bench/service/?.lua;./service/?.lua"
lua_path = "./examples/bench/harbor/?.lua;./examples/bench/?.lua;./lualib/?.lua;./lualib/?/init.lua"
