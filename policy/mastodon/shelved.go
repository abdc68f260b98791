package mastodon

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
)

const (
	aboutDomains = "domains" // on the shelf: what the instance said of other servers; the parts are "domains 0" and so on
	partBytes    = 500 << 10 // what a row of the shelf takes, and some room
	maxParts     = 8
)

// parted says where on the shelf something is that is too long for one row.
type parted struct {
	Parts int
	Sum   string // SHA-256 of all of it
}

// keepDomains writes the parts first: until all of them are there, nothing is.
func (r *Relations) keepDomains(ctx context.Context, d *domains) {
	value := jsonOf(d)
	parts := slices.Collect(slices.Chunk(value, partBytes))
	for n, part := range parts {
		r.keep(ctx, "", partOfDomains(n), part)
	}
	r.keep(ctx, "", aboutDomains, jsonOf(parted{len(parts), sumOf(value)}))
}

// jsonOf is an answer as the shelf has it.
func jsonOf(v any) []byte {
	value, err := json.Marshal(v)
	if err != nil {
		panic("bug: an answer is not JSON: " + err.Error())
	}
	return value
}

// keptDomains is nil when they are not there as they were written.
func (r *Relations) keptDomains(ctx context.Context) *domains {
	var head parted
	if value := r.kept(ctx, "", aboutDomains); value == nil || json.Unmarshal(value, &head) != nil || head.Parts > maxParts {
		return nil
	}
	var value bytes.Buffer
	for n := range head.Parts {
		value.Write(r.kept(ctx, "", partOfDomains(n)))
	}
	d := &domains{}
	if sumOf(value.Bytes()) != head.Sum || json.Unmarshal(value.Bytes(), d) != nil {
		return nil
	}
	return d
}

func partOfDomains(n int) string { return fmt.Sprintf("%s %d", aboutDomains, n) }

func sumOf(value []byte) string {
	sum := sha256.Sum256(value)
	return hex.EncodeToString(sum[:])
}
