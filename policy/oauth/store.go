package oauth

import (
	"context"
	"crypto/sha256"
	"time"
)

// Hash is the SHA-256 of something secret that was given out.
type Hash [sha256.Size]byte

// Store keeps who is signed in, durably and encrypted. It is used by one Server at a time.
type Store interface {
	// Note is what a hash stands for; ErrNone when there is none. It may still give one that has ended.
	Note(ctx context.Context, h Hash) (Note, error)
	// Device is one device of an account; ErrNone when there is none.
	Device(ctx context.Context, account, id string) (Device, error)
	// Devices are all of an account, in no order.
	Devices(ctx context.Context, account string) ([]Device, error)
	// Change writes all of it or nothing, durably.
	Change(ctx context.Context, c Change) error
}

// Change is what one step of a sign-in writes: notes and devices to keep, devices to remove.
type Change struct {
	Notes   []Note
	Devices []Device
	Removed []Device
}

// Kind is what a note stands for.
type Kind string

// Every kind of note. A state is a sign-in that was finished; a code knows what it will buy, and its
// device once it was redeemed; tokens know their device.
const (
	KindState   Kind = "state"
	KindCode    Kind = "code"
	KindAccess  Kind = "access"
	KindRefresh Kind = "refresh"
)

// Note is one row: a hash and what it stands for until it ends. Grant is set on codes alone.
type Note struct {
	Hash    Hash
	Kind    Kind
	Until   time.Time
	Account string
	Device  string
	Grant   *Grant `json:",omitempty"`
}

// Grant is what a person allowed: which client, in which words, and who they are. Login is the
// instance's token of the person.
type Grant struct {
	Client    Client
	Redirect  string
	Challenge string
	Scopes    []string
	Account   string
	Actor     string
	Login     string
}

// Device is one signed-in client. Access and Refresh are its only valid tokens; Former is the access
// token before the last refresh, for a few minutes.
type Device struct {
	ID          string
	Account     string
	Actor       string
	Client      Client
	Scopes      []string
	Login       string
	Created     time.Time
	Used        time.Time // to the day
	Access      Hash
	AccessEnds  time.Time
	Former      Hash
	FormerEnds  time.Time
	Refresh     Hash
	RefreshEnds time.Time
}
