-- What the three nodes of examples/harbor have in common.
thread = 2
bootstrap = "snlua bootstrap"
master = "127.0.0.1:2013"               -- where the nodes find the master
luaservice = "./examples/harbor/?.lua;./service/?.lua"
lua_path = "./lualib/?.lua;./lualib/?/init.lua"
