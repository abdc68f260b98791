module git.schwanenlied.me/yawning/x448.git

go 1.26

require github.com/cloudflare/circl v1.6.3

require golang.org/x/sys v0.37.0 // indirect
