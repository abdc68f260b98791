# Seals standard input as ActiveRecord::Encryption does: ruby seal.rb PRIMARY_KEY SALT [c]
# With the OpenSSL and zlib of Ruby, so that the reader in Go is held to another writer.
require "openssl"
require "json"
require "base64"
require "zlib"
plain = $stdin.read
plain = Zlib::Deflate.deflate(plain) if ARGV[2]
cipher = OpenSSL::Cipher.new("aes-256-gcm").encrypt
cipher.key = OpenSSL::PKCS5.pbkdf2_hmac(ARGV[0], ARGV[1], 65_536, 32, "SHA256")
iv = cipher.random_iv
cipher.auth_data = ""
sealed = cipher.update(plain) + cipher.final
h = { "iv" => Base64.strict_encode64(iv), "at" => Base64.strict_encode64(cipher.auth_tag) }
h["c"] = true if ARGV[2]
puts JSON.generate("p" => Base64.strict_encode64(sealed), "h" => h)
