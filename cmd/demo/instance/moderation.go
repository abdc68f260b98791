package instance

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Moderation is what the instance does to other servers.
type Moderation struct {
	Blocks            []DomainBlock
	Allows            []string
	LimitedFederation bool // only Allows federate
	Hidden            bool // the public list is not shown
}

// DomainBlock is one of Moderation. Obfuscated hides letters of the domain in the public list.
type DomainBlock struct {
	Domain     string
	Severity   string // silence, suspend or noop
	Obfuscated bool
}

// Moderate sets what the instance does to other servers.
func (i *Instance) Moderate(m Moderation) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.moderation = m
}

// Role is one of Mastodon's stock roles; the zero Role is everybody's.
type Role string

// The stock roles.
const (
	Owner     Role = "Owner"
	Admin     Role = "Admin"
	Moderator Role = "Moderator"
)

// permissions is the bitmask that Mastodon's API shows.
func (r Role) permissions() int {
	switch r {
	case Owner:
		return 1<<20 - 1
	case Admin:
		return 0x0DFFC
	case Moderator:
		return 0x4 | 0x8 | 0x10 | 0x100 | 0x400
	}
	return 0
}

// manageFederation is Mastodon's flag for domain blocks.
const manageFederation = 1 << 5

// SetRole gives p a role.
func (i *Instance) SetRole(p *Person, r Role) {
	i.mu.Lock()
	defer i.mu.Unlock()
	p.role = r
}

// Report is what somebody reported.
type Report struct {
	By        *Person
	AccountID string
	StatusIDs []string
	Comment   string
	Category  string
	Forward   bool
}

// Reports returns what was reported, oldest first.
func (i *Instance) Reports() []Report {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.reports)
}

// serveInstanceBlocks is the list that visitors see, in one page.
func (i *Instance) serveInstanceBlocks(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	m := i.moderation
	i.mu.Unlock()
	if m.Hidden {
		serveMissing(w, r)
		return
	}
	list := []map[string]any{}
	for _, b := range m.Blocks {
		if b.Severity == "noop" {
			continue
		}
		shown := b.Domain
		if b.Obfuscated {
			shown = obfuscated(b.Domain)
		}
		list = append(list, map[string]any{"domain": shown, "digest": digest(b.Domain), "severity": b.Severity, "comment": ""})
	}
	writeTyped(w, "application/json; charset=utf-8", list)
}

func digest(domain string) string {
	sum := sha256.Sum256([]byte(domain))
	return hex.EncodeToString(sum[:])
}

// obfuscated hides the middle of a domain, but for its dots.
func obfuscated(domain string) string {
	letters := []byte(domain)
	for n := range letters {
		if n >= len(letters)/4 && n < len(letters)*3/4 && letters[n] != '.' {
			letters[n] = '*'
		}
	}
	return string(letters)
}

func (i *Instance) serveAdminBlocks(w http.ResponseWriter, r *http.Request) {
	if !i.allowedAdmin(w, r, "admin:read:domain_blocks") {
		return
	}
	i.mu.Lock()
	list := []any{}
	for n, b := range slices.Backward(i.moderation.Blocks) {
		list = append(list, map[string]any{
			"id": strconv.Itoa(n + 1), "domain": b.Domain, "digest": digest(b.Domain), "severity": b.Severity,
			"created_at": "2024-01-01T00:00:00.000Z", "reject_media": false, "reject_reports": false,
			"private_comment": nil, "public_comment": nil, "obfuscate": b.Obfuscated,
		})
	}
	i.mu.Unlock()
	i.servePages(w, r, 100, 200, list)
}

func (i *Instance) serveAdminAllows(w http.ResponseWriter, r *http.Request) {
	if !i.allowedAdmin(w, r, "admin:read:domain_allows") {
		return
	}
	i.mu.Lock()
	list := []any{}
	for n, domain := range slices.Backward(i.moderation.Allows) {
		list = append(list, map[string]any{"id": strconv.Itoa(n + 1), "domain": domain, "created_at": "2024-01-01T00:00:00.000Z"})
	}
	i.mu.Unlock()
	i.servePages(w, r, 100, 200, list)
}

func (i *Instance) allowedAdmin(w http.ResponseWriter, r *http.Request, scope string) bool {
	p, ok := i.allowed(w, r, "admin:read", scope)
	if !ok {
		return false
	}
	i.mu.Lock()
	isAdmin := p.role.permissions()&manageFederation != 0
	i.mu.Unlock()
	if !isAdmin {
		writeJSON(w, http.StatusForbidden, map[string]string{"error": "This action is not allowed"})
	}
	return isAdmin
}

func (i *Instance) serveAboutV2(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	limited := i.moderation.LimitedFederation
	i.mu.Unlock()
	writeTyped(w, "application/json; charset=utf-8", map[string]any{
		"domain": i.Host(), "title": "A sample instance", "version": i.version(),
		"configuration": map[string]any{"limited_federation": limited},
	})
}

// reported is what a client sends, as JSON or as a form.
type reported struct {
	AccountID string   `json:"account_id"`
	StatusIDs []string `json:"status_ids"`
	Comment   string   `json:"comment"`
	Category  string   `json:"category"`
	Forward   bool     `json:"forward"`
}

// serveReports takes a report. Comments are at most 1000 characters, as on Mastodon.
func (i *Instance) serveReports(w http.ResponseWriter, r *http.Request) {
	p, ok := i.allowed(w, r, "write", "write:reports")
	if !ok {
		return
	}
	got, ok := readReport(r)
	i.mu.Lock()
	defer i.mu.Unlock()
	target := i.findRemote(got.AccountID)
	var entity map[string]any
	if target != nil {
		entity = target.entity()
	} else if local := i.find(got.AccountID); local != nil && local.Account == got.AccountID {
		entity = i.account(local)
	}
	switch {
	case !ok || entity == nil:
		writeJSON(w, http.StatusNotFound, map[string]string{"error": "Record not found"})
	case utf8.RuneCountInString(got.Comment) > 1000:
		writeJSON(w, http.StatusUnprocessableEntity, map[string]string{"error": "Validation failed: Comment is too long (maximum is 1000 characters)"})
	default:
		i.reports = append(i.reports, Report{
			By: p, AccountID: got.AccountID, StatusIDs: got.StatusIDs, Comment: got.Comment, Category: got.Category, Forward: got.Forward,
		})
		writeJSON(w, http.StatusOK, map[string]any{
			"id": strconv.Itoa(len(i.reports)), "action_taken": false, "action_taken_at": nil, "category": got.Category,
			"comment": got.Comment, "forwarded": got.Forward, "created_at": "2026-01-01T00:00:00.000Z",
			"status_ids": got.StatusIDs, "rule_ids": nil, "target_account": entity,
		})
	}
}

func readReport(r *http.Request) (reported, bool) {
	got := reported{Category: "other"}
	if strings.Contains(r.Header.Get("Content-Type"), "json") {
		err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBody)).Decode(&got)
		return got, err == nil
	}
	if r.ParseForm() != nil {
		return got, false
	}
	got.AccountID, got.Comment, got.StatusIDs = r.PostForm.Get("account_id"), r.PostForm.Get("comment"), r.PostForm["status_ids[]"]
	got.Forward = r.PostForm.Get("forward") == "true"
	if c := r.PostForm.Get("category"); c != "" {
		got.Category = c
	}
	return got, true
}
