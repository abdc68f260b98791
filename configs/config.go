// Package configs holds every setting of the gateway: one YAML file, overridden by the environment,
// overridden by flags.
//
// Default gives what an operator need not say, Load decodes over it and refuses what it does not know
// with line and column, Validate says everything that is wrong at once. Only package cmd sees a Config;
// it fills the Options of the others. Nothing here prints a secret.
package configs

import "net/netip"

// Config is every key of the configuration. The yaml tags are the keys; SEALGATE_ and the upper-case
// path with underscores is the variable of each. Load has made all paths independent of the working
// directory of the file's author: they are relative to the configuration file.
type Config struct {
	// Domain is the host in the actors' ids (Mastodon: WEB_DOMAIN), with a port only on loopback.
	Domain string `yaml:"domain" example:"social.example"`
	// Listen has the public listeners; one may be written without brackets.
	Listen []Address `yaml:"listen" example:"127.0.0.1:8420"`
	// ProxyProtocol says who must begin with a PROXY header (v1 or v2).
	ProxyProtocol string `yaml:"proxy_protocol" oneof:"off,trusted" example:"trusted"`
	// TrustedProxies are the addresses whose X-Forwarded-* and PROXY headers are believed.
	TrustedProxies []netip.Prefix `yaml:"trusted_proxies" example:"[127.0.0.0/8]"`
	// ShutdownTimeout is how long requests and upgraded connections may go on after SIGTERM.
	ShutdownTimeout Duration `yaml:"shutdown_timeout" min:"0s" max:"1h" example:"30s"`
	// Memory is what the program tries to stay within: above it, it rather spends processor time than take more.
	Memory Size `yaml:"memory" min:"128MiB" example:"512MiB"`

	Upstream    Upstream    `yaml:"upstream"`
	TLS         TLS         `yaml:"tls"`
	Storage     Storage     `yaml:"storage"`
	Mailbox     Mailbox     `yaml:"mailbox"`
	KeyPackages KeyPackages `yaml:"key_packages"`
	Signing     Signing     `yaml:"signing"`
	Sending     Sending     `yaml:"sending"`
	Federation  Federation  `yaml:"federation"`
	Policy      Policy      `yaml:"policy"`
	Limits      Limits      `yaml:"limits"`
	Admin       Admin       `yaml:"admin"`
	Log         Log         `yaml:"log"`
}

// Upstream is the instance behind the gateway: http://host:port or unix:/path each.
type Upstream struct {
	Web       string `yaml:"web" kind:"upstream" example:"http://127.0.0.1:3000"`
	Streaming string `yaml:"streaming" kind:"upstream" example:"http://127.0.0.1:4000"` // "": Web serves it
	Software  string `yaml:"software" oneof:"mastodon,gotosocial,snac,auto" example:"mastodon"`
	// AdminToken is an access token of an administrator with admin:read:domain_blocks and admin:read:domain_allows.
	AdminToken Secret `yaml:"admin_token" example:"file:./admin-token"`
}

// TLS is the gateway's own encryption, for when no proxy in front does it.
type TLS struct {
	Mode        string `yaml:"mode" oneof:"off,acme,files" example:"acme"`
	ACME        ACME   `yaml:"acme"`
	Certificate string `yaml:"certificate" kind:"path" example:"/etc/ssl/social.example.pem"`
	Key         string `yaml:"key" kind:"path" example:"/etc/ssl/private/social.example.key"`
	// HTTP has plain listeners beside Listen when Mode is not off: ACME's HTTP-01 answers, and a
	// redirect to https for the rest.
	HTTP []Address `yaml:"http" example:"0.0.0.0:80"`
}

// ACME says where certificates come from and where they are kept.
type ACME struct {
	Email     string `yaml:"email" example:"admin@social.example"`
	Directory string `yaml:"directory" example:"https://acme-v02.api.letsencrypt.org/directory"` // "": Let's Encrypt
	CAFile    string `yaml:"ca_file" kind:"path" example:"/etc/ssl/own-ca.pem"`                  // roots for Directory itself
	Path      string `yaml:"path" kind:"path" example:"./data/acme"`
}

// Storage is where messages are kept.
type Storage struct {
	Engine        string `yaml:"engine" oneof:"badger" example:"badger"`
	Path          string `yaml:"path" kind:"path" example:"./data/store"`
	EncryptionKey Secret `yaml:"encryption_key" example:"file:./data/store.key"`
}

// Mailbox bounds what is kept for one person.
type Mailbox struct {
	Retention   Duration `yaml:"retention" min:"1m" example:"30d"`
	Quota       Size     `yaml:"quota" min:"1MiB" example:"128MiB"`
	MaxActivity Size     `yaml:"max_activity" min:"1MiB" max:"64MiB" example:"1MiB"`

	// Unenrolled is what becomes of what other servers send to people who never published a key package
	// here nor signed in: nobody could read it.
	Unenrolled string `yaml:"unenrolled" oneof:"drop,keep" example:"keep"`

	Requests  Requests  `yaml:"requests"`
	Strangers Strangers `yaml:"strangers"`
}

// Requests bounds the message requests of one person.
type Requests struct {
	Max  int      `yaml:"max" min:"1" max:"4096" example:"1024"`
	Size Size     `yaml:"size" min:"1MiB" max:"1GiB" example:"16MiB"` // of what waits in all of them
	Keep Duration `yaml:"keep" min:"1h" max:"90d" example:"14d"`
}

// Strangers bounds what one sender brings to groups that the person is not in, before it waits.
type Strangers struct {
	Messages int  `yaml:"messages" min:"1" max:"100000" example:"256"`
	Size     Size `yaml:"size" min:"1KiB" max:"1GiB" example:"1MiB"`
}

// KeyPackages bounds what one device publishes.
type KeyPackages struct {
	MaxPerDevice int      `yaml:"max_per_device" min:"1" max:"10000" example:"100"`
	MaxLifetime  Duration `yaml:"max_lifetime" min:"1d" example:"400d"`
	LowWater     int      `yaml:"low_water" min:"0" example:"5"`
}

// Signing says with whose keys activities for other servers are signed.
type Signing struct {
	Source     string     `yaml:"source" oneof:"none,file,mastodon-database,mastodon-sidekiq" example:"none"`
	File       string     `yaml:"file" kind:"path" example:"./keys"`
	Database   Secret     `yaml:"database" example:"file:./database-url"`
	Encryption Encryption `yaml:"encryption"`
	Redis      Secret     `yaml:"redis" example:"file:./redis-url"`
}

// Encryption is Mastodon 4.7's ACTIVE_RECORD_ENCRYPTION_*.
type Encryption struct {
	PrimaryKey        Secret `yaml:"primary_key" example:"file:./primary-key"`
	KeyDerivationSalt Secret `yaml:"key_derivation_salt" example:"file:./salt"`
}

// Sending says what a message to other servers shows of its recipients.
type Sending struct {
	// Addressing is what every recipient sees: all of them, or with each themselves alone.
	Addressing string `yaml:"addressing" oneof:"all,each" example:"each"`
	// Jitter is the longest random wait before a message goes to another server.
	Jitter Duration `yaml:"jitter" min:"0s" max:"1h" example:"5s"`
}

// Federation bounds the gateway's own requests to other servers.
type Federation struct {
	Timeout        Duration       `yaml:"timeout" min:"1ms" max:"5m" example:"10s"`
	AllowPlainHTTP bool           `yaml:"allow_plain_http" example:"false"`
	AllowNetworks  []netip.Prefix `yaml:"allow_networks" example:"[10.0.0.0/8]"`
}

// Policy is a preset, or a file that replaces it.
type Policy struct {
	Preset string `yaml:"preset" oneof:"open,normal,quiet" example:"normal"`
	File   string `yaml:"file" kind:"path" example:"./policy.yaml"`
}

// Limits hold before any parsing, per client address unless said otherwise.
type Limits struct {
	HeaderTimeout        Duration `yaml:"header_timeout" min:"1ms" example:"10s"` // a request's head, first byte to last
	IdleTimeout          Duration `yaml:"idle_timeout" min:"1ms" example:"60s"`   // a kept-alive connection without a request
	BodyTimeout          Duration `yaml:"body_timeout" min:"1ms" example:"30s"`   // a request body that does not get on
	WriteTimeout         Duration `yaml:"write_timeout" min:"1ms" example:"60s"`  // a client that does not take its answer
	HeaderBytes          Size     `yaml:"header_bytes" min:"4KiB" max:"1MiB" example:"32KiB"`
	HeaderCount          int      `yaml:"header_count" min:"16" max:"10000" example:"128"`
	URIBytes             Size     `yaml:"uri_bytes" min:"1KiB" max:"1MiB" example:"16KiB"` // counts within header_bytes too
	Connections          int      `yaml:"connections" min:"1" example:"65536"`             // of all clients together
	ConnectionsPerClient int      `yaml:"connections_per_client" min:"1" example:"256"`
	FailedSignatures     Rate     `yaml:"failed_signatures" example:"10/min"`
	SignedRequests       Rate     `yaml:"signed_requests" example:"3000/min"`        // per actor, once the signature holds
	Intake               Size     `yaml:"intake" min:"4MiB" example:"32MiB"`         // of MLS activities under way
	JSONDepth            int      `yaml:"json_depth" min:"8" max:"300" example:"32"` // of bodies that are MLS
	JSONKeys             int      `yaml:"json_keys" min:"64" max:"100000" example:"1000"`
}

// Admin is for the operator alone.
type Admin struct {
	Listen Address `yaml:"listen" example:"127.0.0.1:9420"`
	Socket string  `yaml:"socket" kind:"path" example:"./data/admin.sock"`
	URL    string  `yaml:"url" example:"https://sealgate-admin.social.example"` // "": http:// and Listen
}

// Log says what is written to stderr.
type Log struct {
	Level  string `yaml:"level" oneof:"debug,info,warn,error" example:"info"`
	Format string `yaml:"format" oneof:"text,json" example:"text"`
}
