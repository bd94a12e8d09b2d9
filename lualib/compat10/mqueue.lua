return require "skynet.mqueue"
