return require "module.circle_self"
