package configs

import (
	"net/netip"
	"time"
)

// Default returns the configuration of an empty file. Domain has no default: it does not pass Validate
// as it is.
func Default() Config {
	return Config{
		Listen:        []Address{"127.0.0.1:8420"},
		ProxyProtocol: "off",
		TrustedProxies: []netip.Prefix{
			netip.MustParsePrefix("127.0.0.0/8"),
			netip.MustParsePrefix("::1/128"),
		},
		ShutdownTimeout: Duration(30 * time.Second),
		Memory:          512 << 20,
		Upstream: Upstream{
			Web:       "http://127.0.0.1:3000",
			Streaming: "http://127.0.0.1:4000",
			Software:  "mastodon",
		},
		TLS:     TLS{Mode: "off", ACME: ACME{Path: "./data/acme"}},
		Storage: Storage{Engine: "badger", Path: "./data/store", EncryptionKey: NewSecret("file:./data/store.key")},
		Mailbox: Mailbox{
			Retention: Duration(30 * day), Quota: 128 << 20, MaxActivity: 1 << 20, Unenrolled: "drop",
			Requests: Requests{Max: 1024, Size: 16 << 20, Keep: Duration(14 * day)}, Strangers: Strangers{Messages: 256, Size: 1 << 20},
		},
		KeyPackages: KeyPackages{
			MaxPerDevice: 100, MaxLifetime: Duration(400 * day), LowWater: 5,
		},
		Signing:    Signing{Source: "none"},
		Sending:    Sending{Addressing: "all"},
		Federation: Federation{Timeout: Duration(10 * time.Second)},
		Policy:     Policy{Preset: "normal"},
		Limits: Limits{
			HeaderTimeout: Duration(10 * time.Second), IdleTimeout: Duration(60 * time.Second),
			BodyTimeout: Duration(30 * time.Second), WriteTimeout: Duration(60 * time.Second),
			HeaderBytes: 32 << 10, HeaderCount: 128, URIBytes: 16 << 10,
			Connections: 65536, ConnectionsPerClient: 256,
			FailedSignatures: Rate{Max: 10, Every: time.Minute},
			SignedRequests:   Rate{Max: 3000, Every: time.Minute},
			Intake:           32 << 20,
			JSONDepth:        32, JSONKeys: 1000,
		},
		Admin: Admin{Listen: "127.0.0.1:9420", Socket: "./data/admin.sock"},
		Log:   Log{Level: "info", Format: "text"},
	}
}
