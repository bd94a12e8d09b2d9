--- MD5: `sum` (bytes), `sumhexa` and `hmacmd5` (digits), `exor`, and a cipher: `crypt`, `decrypt`.
return require "md5.core"
